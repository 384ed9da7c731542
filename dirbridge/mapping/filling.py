"""Fill one field after the other from an entry's attributes: pure.

Theory. A sync maps a hundred thousand entries in seconds, so that all that depends on
the profile and the domain alone is done once: each source becomes a `Reading`, a
function that gives its values, and each rule a `Filling` that asks its readings in
turn. An attribute that two rules read in the same way is read once for an entry.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import islice

from dirbridge.directory import address
from dirbridge.directory.errors import Undecodable
from dirbridge.mapping.fields import Kind
from dirbridge.mapping.profile import FieldRule, Source
from dirbridge.mapping.transforms import NOWHERE, Site, Value
from dirbridge.model.entry import Entry
from dirbridge.model.names import Address, DomainName, domain_of, fold

_LONGEST_RAW = 120

Key = tuple[str, tuple[str, ...], Kind, bool, bool]
"""What makes two sources one reading: attribute, steps, and which values count."""


@dataclass(frozen=True, slots=True)
class Context:
    """What mapping must know beside the entry.

    Attributes:
        domain: The mail domain that the accounts belong to.
        served: All mail domains and alias domains that dirbridge serves.
        directory_domain: Active Directory's own DNS name, for defaults.
        nt_domain: The NT domain, for defaults.
        own: The domains by whose addresses an entry belongs here: this one and its
            aliases; None where all entries do.
    """

    domain: DomainName
    served: frozenset[DomainName]
    directory_domain: str = ""
    nt_domain: str = ""
    own: frozenset[DomainName] | None = None


@dataclass(slots=True)
class Work:
    """One entry on its way: what was found, and what was dropped.

    Attributes:
        entry: The entry.
        found: Each field that has a value: the value, or a tuple of them where the
            field may hold several.
        notes: What was dropped and why.
        used: Of each such field, which sources gave it; () for the default.
        read: What was read before, by the reading's number.
    """

    entry: Entry
    found: dict[str, object] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    used: dict[str, tuple[Source, ...]] = field(default_factory=dict)
    read: dict[int, tuple[Value, ...]] = field(default_factory=dict)

    def note(self, text: str) -> None:
        """Keep a note, once."""
        if text not in self.notes:
            self.notes.append(text)

    def left_out(self, source: Source, raw: bytes, error: Undecodable) -> None:
        """Keep a note of a broken value."""
        self.note(
            f"{source.attribute} {shown(raw)} {error}; it was left out. "
            "Mend it in the directory."
        )


Raws = tuple[bytes, ...]
"""An attribute's values as the directory gave them."""

Reading = Callable[[Raws, Work], tuple[Value, ...]]
"""Gives what a source makes of an attribute's values."""

_One = Callable[[bytes, Work], Value | None]

_Steps = Callable[[bytes, Site], Value | None]

_Counts = Callable[[Value, Work], bool]

Default = Callable[[Work], tuple[Value, ...]]
"""Gives what a field holds where no source yields anything."""

Filling = Callable[[Work], None]
"""Fills a field, if anything does."""


def fillings(rules: Iterable[FieldRule], context: Context) -> tuple[Filling, ...]:
    """Make rules ready for the entries of a domain."""
    all_rules = tuple(rules)
    keys = Counter(_key(rule, each) for rule in all_rules for each in rule.sources)
    shared = [key for key, count in keys.items() if count > 1]
    numbers = {key: number for number, key in enumerate(shared)}
    return tuple(_filling(rule, context, numbers) for rule in all_rules)


def transformed(raw: bytes, source: Source, dn: str) -> Value | None:
    """Return what a source makes of a value, None where it passes it over.

    Raises:
        Undecodable: The value is broken.
    """
    return _transform(source)(raw, Site(dn, source.attribute))


def shown(raw: bytes) -> str:
    """Return a raw value for people: text in quotation marks, or octets in hex."""
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        text = ""
    if not text.isprintable() or (raw and not text):
        octets = raw[: _LONGEST_RAW // 2].hex()
        return f"0x{octets}" + ("..." if len(raw) > _LONGEST_RAW // 2 else "")
    return f'"{text[:_LONGEST_RAW]}"' + ("..." if len(text) > _LONGEST_RAW else "")


def _key(rule: FieldRule, source: Source) -> Key:
    attribute, holds = source.attribute.lower(), rule.field
    return (attribute, source.names, holds.kind, holds.served_only, holds.told)


@dataclass(frozen=True, slots=True)
class _Ready:
    """One source of a rule, made ready.

    Attributes:
        source: The source.
        key: Its attribute in lower case.
        simply: Its steps, where they are all that becomes of a single value.
        reading: What becomes of all values.
    """

    source: Source
    key: str
    simply: _Steps | None
    reading: Reading


def _filling(rule: FieldRule, context: Context, numbers: Mapping[Key, int]) -> Filling:
    sources = tuple(_ready(rule, each, context, numbers) for each in rule.sources)
    fill = _all if rule.many else _first
    return fill(rule, sources, _default(rule, context))


def _first(rule: FieldRule, sources: tuple[_Ready, ...], default: Default) -> Filling:
    """Take the first value of the first source that yields one."""
    name, many = rule.name, rule.field.many
    ready = tuple((one.key, one.simply, one.reading, (one.source,)) for one in sources)

    def filling(work: Work) -> None:
        attributes = work.entry.attributes
        for key, simply, reading, used in ready:
            raws = attributes.get(key)
            if not raws:
                continue
            if simply is not None and len(raws) == 1:  # nearly always
                try:
                    value = simply(raws[0], NOWHERE)
                except Undecodable as error:
                    work.left_out(used[0], raws[0], error)
                    continue
                if value is None:
                    continue
                work.found[name] = (value,) if many else value
            elif values := reading(raws, work):
                if len(values) > 1:
                    _note_surplus(rule, used[0], len(values), work)
                work.found[name] = values[:1] if many else values[0]
            else:
                continue
            work.used[name] = used
            return
        if values := default(work):
            work.found[name] = values if many else values[0]
            work.used[name] = ()

    return filling


def _all(rule: FieldRule, sources: tuple[_Ready, ...], default: Default) -> Filling:
    """Take all values of all sources, each once."""
    name = rule.name
    ready = tuple((one.source, one.key, one.reading) for one in sources)

    def filling(work: Work) -> None:
        attributes = work.entry.attributes
        taken: tuple[Value, ...] = ()
        used: tuple[Source, ...] = ()
        for source, key, reading in ready:
            raws = attributes.get(key)
            if raws and (values := reading(raws, work)):
                taken += values
                used += (source,)
        if not taken:
            taken = default(work)
        if taken:
            work.found[name] = _each_once(taken) if len(taken) > 1 else taken
            work.used[name] = used

    return filling


def _each_once(values: tuple[Value, ...]) -> tuple[Value, ...]:
    """Drop what is there already; names are compared after folding."""
    if len(set(values)) == 1:
        return values[:1]
    seen: dict[Value, Value] = {}
    for value in values:
        seen.setdefault(fold(value) if isinstance(value, str) else value, value)
    return tuple(seen.values())


def _note_surplus(rule: FieldRule, source: Source, count: int, work: Work) -> None:
    """Note several primary addresses; several phone numbers are everyday."""
    if "smtp-primary" in source.names:
        work.note(
            f"{source.attribute} gives {count} values for {rule.name}; the first "
            "one was taken. Keep only one in the directory."
        )


def _ready(
    rule: FieldRule, source: Source, context: Context, numbers: Mapping[Key, int]
) -> _Ready:
    """Make a source ready; what several rules need of it is kept for the entry."""
    steps, around = _transform(source), _looks_around(source)
    counts = _counting(rule, source, context)
    reading = _reading(_one(source, steps, counts), keep_first=_keeps_first(source))
    number = numbers.get(_key(rule, source))
    key = source.attribute.lower()
    if number is None:
        simple = counts is None and not around
        return _Ready(source, key, steps if simple else None, reading)

    def remembering(raws: Raws, work: Work) -> tuple[Value, ...]:
        values = work.read.get(number)
        if values is None:
            values = work.read[number] = reading(raws, work)
        return values

    return _Ready(source, key, None, remembering)


def _one(source: Source, steps: _Steps, counts: _Counts | None) -> _One:
    """Return what becomes of one value; None where it is passed over."""
    attribute, around = source.attribute, _looks_around(source)

    def one(raw: bytes, work: Work) -> Value | None:
        site = Site(work.entry.dn, attribute) if around else NOWHERE
        try:
            value = steps(raw, site)
        except Undecodable as error:
            work.left_out(source, raw, error)
            return None
        if value is None or counts is None or counts(value, work):
            return value
        return None

    return one


def _reading(one: _One, *, keep_first: bool) -> Reading:
    def reading(raws: Raws, work: Work) -> tuple[Value, ...]:
        if len(raws) == 1:
            value = one(raws[0], work)
            return () if value is None else (value,)
        values = (value for raw in raws if (value := one(raw, work)) is not None)
        return tuple(islice(values, 1) if keep_first else values)

    return reading


def _counting(rule: FieldRule, source: Source, context: Context) -> _Counts | None:
    """Return what tells whether a value counts, where not every address does."""
    if not rule.field.served_only:
        return None
    told = rule.field.told

    domains = context.served

    def counts(value: Value, work: Work) -> bool:
        served = domain_of(Address(str(value))) in domains
        if told and not served:
            work.note(_not_served(source.attribute, str(value)))
        return served

    return counts


def _keeps_first(source: Source) -> bool:
    return any(step.keep_first for step in source.steps)


def _not_served(attribute: str, value: str) -> str:
    domain = domain_of(Address(value))
    return (
        f'{attribute} "{value}" was left out: {domain} is not a domain of this '
        "dirbridge. Add the domain to dirbridge.toml if its mail shall come here."
    )


def _looks_around(source: Source) -> bool:
    return any(step.looks_around for step in source.steps)


def _transform(source: Source) -> _Steps:
    """Return the steps of a source as one function of a value and its site."""
    applied = tuple(step.apply for step in source.steps)
    if len(applied) == 1:
        return applied[0]
    first, *others = applied

    def transform(raw: bytes, site: Site) -> Value | None:
        value = first(raw, site)
        for apply in others:
            if value is None:
                return None
            value = apply(value, site)
        return value

    return transform


def _nothing(_: Work) -> tuple[Value, ...]:
    return ()


def _default(rule: FieldRule, context: Context) -> Default:
    """Return what gives the default with its words filled in, where there is one."""
    template = rule.default
    if template is None:
        return _nothing
    words = {
        "domain": str(context.domain),
        "directory_domain": context.directory_domain,
        "nt_domain": context.nt_domain,
    }

    def default(work: Work) -> tuple[Value, ...]:
        logins = work.found.get("login_names")
        login = str(logins[0]) if isinstance(logins, tuple) else ""
        filled = {"login": login, **words}
        if any(
            not value and f"{{{word}}}" in template for word, value in filled.items()
        ):
            return ()
        text = template.format_map(filled)
        if rule.field.kind is not Kind.ADDRESS:
            return (text,)
        try:
            return (address.decode(text),)
        except Undecodable as error:
            work.note(f'The default "{text}" {error}; it was left out.')
            return ()

    return default
