"""Map an entry to our values: pure, and every value remembers its rule."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeVar

from dirbridge.directory import address
from dirbridge.directory.errors import Undecodable
from dirbridge.mapping.fields import Kind
from dirbridge.mapping.profile import FieldRule, Profile, Source
from dirbridge.mapping.transforms import Site, Value
from dirbridge.model.account import AccountState, AccountValues
from dirbridge.model.entry import Entry
from dirbridge.model.mapping import (
    Mapped,
    MappedContact,
    MappedGroup,
    Rule,
    Unmapped,
)
from dirbridge.model.names import Address, DomainName, domain_of, fold
from dirbridge.model.recipient import By, Contact, Group, Reference

T = TypeVar("T")

_LONGEST_RAW = 120
_MOST_RAW = 20


@dataclass(frozen=True, slots=True)
class Context:
    """What mapping must know beside the entry.

    Attributes:
        domain: The mail domain that the accounts belong to.
        served: All mail domains and alias domains that dirbridge serves.
        directory_domain: Active Directory's own DNS name, for defaults.
        nt_domain: The NT domain, for defaults.
    """

    domain: DomainName
    served: frozenset[DomainName]
    directory_domain: str = ""
    nt_domain: str = ""


@dataclass(slots=True)
class _Work:
    """One entry on its way: what was found, and what was dropped."""

    profile: Profile
    entry: Entry
    context: Context
    found: dict[str, tuple[Value, ...]] = field(default_factory=dict)
    provenance: dict[str, Rule] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def note(self, text: str) -> None:
        if text not in self.notes:
            self.notes.append(text)


def map_entry(profile: Profile, entry: Entry, context: Context) -> Mapped | Unmapped:
    """Map one entry.

    A value that is not what its syntax says, or an address in a domain that is
    not served, is dropped with a note; it harms no other value.

    Args:
        profile: The rules.
        entry: The entry.
        context: The domain that it is mapped for.

    Returns:
        The values with their provenance, or why a required field has none.
    """
    lacking = next(_lacking(profile, entry), None)
    if lacking is not None:
        return lacking
    work = _work(profile, profile.account, entry, context)
    if isinstance(work, Unmapped):
        return work
    return Mapped(
        _values(work),
        work.provenance,
        tuple(work.notes),
        primary_group=_one(work.found, "primary_group", str),
        forward_dn=_one(work.found, "forward_dn", str),
        forward_keep=bool(_one(work.found, "forward_keep", bool)),
    )


def map_group(
    profile: Profile, entry: Entry, context: Context
) -> MappedGroup | Unmapped:
    """Map one group; see `map_entry`."""
    work = _work(profile, profile.group, entry, context)
    if isinstance(work, Unmapped):
        return work
    return MappedGroup(_group(work), work.provenance, tuple(work.notes))


def map_contact(
    profile: Profile, entry: Entry, context: Context
) -> MappedContact | Unmapped:
    """Map one contact; see `map_entry`. Its addresses may be in any domain."""
    work = _work(profile, profile.contact, entry, context)
    if isinstance(work, Unmapped):
        return work
    return MappedContact(_contact(work), work.provenance, tuple(work.notes))


def _work(
    profile: Profile, rules: Iterable[FieldRule], entry: Entry, context: Context
) -> _Work | Unmapped:
    """Fill all fields of an entry, unless a required one stays empty."""
    work = _Work(profile, entry, context)
    for rule in rules:
        before = len(work.notes)
        _fill(rule, work)
        if rule.required and rule.name not in work.found:
            return _unmapped(rule, work, work.notes[before:])
    return work


def _lacking(profile: Profile, entry: Entry) -> Iterator[Unmapped]:
    """Yield why an entry says too little to be mapped.

    A service account that loses a right sees entries without the attribute. Of
    userAccountControl that would read as "nobody is disabled".
    """
    wanted = {attribute.lower() for attribute in profile.must_have}
    for rule in profile.account:
        for source in rule.sources:
            if source.attribute.lower() in wanted:
                wrong = _unreadable(rule, source, entry)
                if wrong:
                    yield Unmapped(entry.id, entry.dn, rule.name, wrong)


def _unreadable(rule: FieldRule, source: Source, entry: Entry) -> str:
    """Return what is wrong with an attribute that must be there, "" if nothing."""
    name = rule.name.replace("_", " ")
    right = "the service account the right to read it."
    values = entry.values(source.attribute)
    if not values:
        return (
            f"{source.attribute} is not there, or may not be read; without it the "
            f"account's {name} cannot be told. Give {right}"
        )
    for raw in values:
        try:
            _transformed(raw, source, Site(entry.dn, source.attribute))
        except Undecodable as error:
            return (
                f"{source.attribute} {_shown(raw)} {error}. Mend it in the directory, "
                f"or give {right}"
            )
    return ""


def _fill(rule: FieldRule, work: _Work) -> None:
    """Fill one field from its sources, else from its default."""
    taken: list[Value] = []
    rules: list[Rule] = []
    for source in rule.sources:
        raw = work.entry.values(source.attribute)
        values = list(_yielded(rule, source, raw, work)) if raw else []
        if not values:
            continue
        if not rule.many and len(values) > 1:
            _note_surplus(rule, source, len(values), work)
        taken += values if rule.many else values[:1]
        rules.append(_rule(source, work.entry))
        if not rule.many:
            break
    if not taken and rule.default is not None:
        taken = list(_default(rule, work))
        rules = [Rule("default")]
    if taken:
        work.found[rule.name] = _each_once(taken)
        work.provenance[rule.name] = _joined(rules)


def _yielded(
    rule: FieldRule, source: Source, values: tuple[bytes, ...], work: _Work
) -> Iterator[Value]:
    """Yield what a source gives, dropping with a note what is broken."""
    site = Site(work.entry.dn, source.attribute)
    for raw in values:
        try:
            value = _transformed(raw, source, site)
        except Undecodable as error:
            shown = _shown(raw)
            work.note(
                f"{source.attribute} {shown} {error}; it was left out. "
                "Mend it in the directory."
            )
            continue
        if value is None or not _is_served(rule, source.attribute, value, work):
            continue
        yield value
        if any(step.keep_first for step in source.steps):
            return


def _transformed(raw: bytes, source: Source, site: Site) -> Value | None:
    value: Value | None = raw
    for step in source.steps:
        value = step.apply(value, site)
        if value is None:
            return None
    return value


def _is_served(rule: FieldRule, attribute: str, value: Value, work: _Work) -> bool:
    if not rule.field.served_only or not isinstance(value, str):
        return True
    domain = domain_of(Address(value))
    if domain in work.context.served:
        return True
    work.note(
        f'{attribute} "{value}" was left out: {domain} is not a domain of this '
        "dirbridge. Add the domain to dirbridge.toml if its mail shall come here."
    )
    return False


def _note_surplus(rule: FieldRule, source: Source, count: int, work: _Work) -> None:
    """Note several primary addresses; several phone numbers are everyday."""
    if "smtp-primary" in source.names:
        work.note(
            f"{source.attribute} gives {count} values for {rule.name}; the first "
            "one was taken. Keep only one in the directory."
        )


def _default(rule: FieldRule, work: _Work) -> Iterator[Value]:
    """Yield the default with its words filled in, if it comes to a value."""
    login = str(next(iter(work.found.get("login_names", ())), ""))
    words = {
        "login": login,
        "domain": work.context.domain,
        "directory_domain": work.context.directory_domain,
        "nt_domain": work.context.nt_domain,
    }
    template = rule.default or ""
    if any(not value and f"{{{word}}}" in template for word, value in words.items()):
        return
    text = template.format_map(words)
    if rule.field.kind is not Kind.ADDRESS:
        yield text
        return
    try:
        yield address.decode(text)
    except Undecodable as error:
        work.note(f'The default "{text}" {error}; it was left out.')


def _each_once(values: list[Value]) -> tuple[Value, ...]:
    """Drop what is there already; names are compared after folding."""
    if len(values) == 1:
        return (values[0],)
    seen: dict[Value, Value] = {}
    for value in values:
        seen.setdefault(fold(value) if isinstance(value, str) else value, value)
    return tuple(seen.values())


def _rule(source: Source, entry: Entry) -> Rule:
    raw = tuple(_shown(value) for value in entry.values(source.attribute)[:_MOST_RAW])
    return Rule(source.attribute, source.names, raw)


def _joined(rules: list[Rule]) -> Rule:
    """Return one rule for what several sources gave together."""
    if len(rules) == 1:
        return rules[0]
    attributes = dict.fromkeys(rule.attribute for rule in rules)
    transforms = dict.fromkeys(name for rule in rules for name in rule.transforms)
    raw = dict.fromkeys(value for rule in rules for value in rule.raw)
    return Rule(", ".join(attributes), tuple(transforms), tuple(raw))


def _shown(raw: bytes) -> str:
    """Return a raw value for people: text in quotation marks, or octets in hex."""
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        text = ""
    if not text.isprintable() or (raw and not text):
        shown = raw[: _LONGEST_RAW // 2].hex()
        return f"0x{shown}" + ("..." if len(raw) > _LONGEST_RAW // 2 else "")
    return f'"{text[:_LONGEST_RAW]}"' + ("..." if len(text) > _LONGEST_RAW else "")


def _unmapped(rule: FieldRule, work: _Work, notes: list[str]) -> Unmapped:
    attributes = ", ".join(dict.fromkeys(source.attribute for source in rule.sources))
    why = f" ({' '.join(notes)})" if notes else ""
    name, table = rule.name.replace("_", " "), f"[{rule.table}.{rule.name}]"
    reason = (
        f"Nothing usable for {name} was found in {attributes or 'its default'}{why}. "
        f"Mend the entry in the directory, or the rule {table} of the "
        f'mapping "{work.profile.name}".'
    )
    return Unmapped(work.entry.id, work.entry.dn, rule.name, reason)


def _values(work: _Work) -> AccountValues:
    """Put what was found into the account's fields."""
    primary = _one(work.found, "primary_address", str)
    reason = _one(work.found, "state", str)
    return AccountValues(
        directory_id=work.entry.id,
        dn=work.entry.dn,
        login_names=_all(work.found, "login_names"),
        upn=_one(work.found, "upn", str),
        principal=_one(work.found, "principal", str),
        display_name=_one(work.found, "display_name", str),
        given_name=_one(work.found, "given_name", str),
        surname=_one(work.found, "surname", str),
        primary_address=Address(primary) if primary else None,
        aliases=_aliases(work, primary),
        forward=_address(work.found, "forward"),
        quota=_one(work.found, "quota", int),
        title=_one(work.found, "title", str),
        department=_one(work.found, "department", str),
        phone=_one(work.found, "phone", str),
        state=AccountState.DISABLED if reason else AccountState.ACTIVE,
        state_reason=reason,
        expires_at=_one(work.found, "expires_at", datetime),
        created_at=_one(work.found, "created_at", datetime),
    )


_MEMBERS = {
    "members": By.DN,
    "member_ids": By.ID,
    "nested": By.ID,
    "member_names": By.NAME,
}
"""What each field of a group names its members by."""


def _group(work: _Work) -> Group:
    primary = _one(work.found, "primary_address", str)
    members = (
        Reference(by, value)
        for field, by in _MEMBERS.items()
        for value in _all(work.found, field)
    )
    return Group(
        directory_id=work.entry.id,
        dn=work.entry.dn,
        name=_one(work.found, "name", str),
        display_name=_one(work.found, "display_name", str),
        primary_address=Address(primary) if primary else None,
        aliases=_aliases(work, primary),
        members=tuple(dict.fromkeys(members)),
        number=_one(work.found, "number", str),
        kind=_one(work.found, "kind", str),
    )


def _contact(work: _Work) -> Contact:
    primary = _one(work.found, "primary_address", str)
    return Contact(
        directory_id=work.entry.id,
        dn=work.entry.dn,
        display_name=_one(work.found, "display_name", str),
        primary_address=Address(primary) if primary else None,
        aliases=_aliases(work, primary),
        target=_address(work.found, "target"),
    )


def _aliases(work: _Work, primary: str | None) -> tuple[Address, ...]:
    """Return the aliases without the primary address."""
    others = tuple(
        Address(each)
        for each in _all(work.found, "aliases")
        if primary is None or fold(each) != fold(primary)
    )
    if not others:
        work.provenance.pop("aliases", None)
    return others


def _one(found: Mapping[str, tuple[Value, ...]], name: str, kind: type[T]) -> T | None:
    return next((v for v in found.get(name, ()) if isinstance(v, kind)), None)


def _all(found: Mapping[str, tuple[Value, ...]], name: str) -> tuple[str, ...]:
    return tuple(value for value in found.get(name, ()) if isinstance(value, str))


def _address(found: Mapping[str, tuple[Value, ...]], name: str) -> Address | None:
    value = _one(found, name, str)
    return Address(value) if value else None
