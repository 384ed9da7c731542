"""Mapping profiles: load `mappings/*.toml` and check every line of it."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, StrictBool, ValidationError

from dirbridge.config import shipped
from dirbridge.config.problems import (
    did_you_mean,
    place,
    problems_of,
    sentence,
    sound_part,
)
from dirbridge.config.toml_file import read_toml
from dirbridge.directory import filter as ldap_filter
from dirbridge.directory.errors import Undecodable
from dirbridge.directory.guid import ID_ATTRIBUTES
from dirbridge.errors import ConfigError, Problem
from dirbridge.mapping.fields import (
    ACCOUNT_FIELDS,
    CONTACT_FIELDS,
    GROUP_FIELDS,
    WITHDRAWN,
    Field,
)
from dirbridge.mapping.transforms import TRANSFORMS, Transform, chain
from dirbridge.model.entry import Exclusion

DEFAULT_WORDS = ("login", "domain", "directory_domain", "nt_domain")
"""What may stand in braces in a `default`."""

VOLATILE = frozenset(
    {
        "accountlockedtime",
        "badpasswordtime",
        "badpwdcount",
        "contextcsn",
        "entrycsn",
        "lastlogoff",
        "lastlogon",
        "lastlogontimestamp",
        "lockouttime",
        "logoncount",
        "modifiersname",
        "modifytimestamp",
        "pwdfailuretime",
        "pwdlastsuccess",
        "usnchanged",
        "whenchanged",
    }
)
"""Attributes that change without a change of the account, in lower case."""

_SECRET = frozenset(
    {
        "apple-kdc-authkey",
        "dbcspwd",
        "krbprincipalkey",
        "lmpwdhistory",
        "ms-mcs-admpwd",
        "msds-managedpassword",
        "mslaps-password",
        "ntpwdhistory",
        "pwdhistory",
        "sambalmpassword",
        "sambantpassword",
        "supplementalcredentials",
        "unicodepwd",
        "userpassword",
    }
)

OBJECT_CLASS = "objectClass"

_ATTRIBUTE = re.compile(r"[A-Za-z][A-Za-z0-9-]*\Z")


@dataclass(frozen=True, slots=True)
class Source:
    """One attribute that may fill a field.

    Attributes:
        attribute: The LDAP attribute as written.
        names: The transforms as written.
        steps: The transforms to apply, in order.
    """

    attribute: str
    names: tuple[str, ...]
    steps: tuple[Transform, ...]


@dataclass(frozen=True, slots=True)
class FieldRule:
    """How one field is filled.

    Attributes:
        name: The field.
        field: What it holds.
        sources: Where its values come from, in order.
        many: Whether all sources' values are taken, not the first value of the
            first source that yields one.
        required: Whether an entry without it stays unmapped.
        default: What it is where no source yields, with words in braces.
        table: The table that it stands in: account, group or contact.
    """

    name: str
    field: Field
    sources: tuple[Source, ...]
    many: bool = False
    required: bool = False
    default: str | None = None
    table: str = "account"


@dataclass(frozen=True, slots=True)
class Profile:
    """One mapping profile.

    Attributes:
        name: Its name in `dirbridge.toml`.
        id: The identity attribute.
        base_filter: Which entries are accounts.
        exclude: What is left out, each with its reason.
        must_have: Attributes without which an entry says too little to be mapped.
        account: The rules of an account's fields.
        group_filter: Which entries are groups; None where none are read.
        group: The rules of a group's fields.
        contact_filter: Which entries are contacts; None where none are read.
        contact: The rules of a contact's fields.
        fingerprint: Changes with the content; old hashes are void then.
    """

    name: str
    id: str
    base_filter: str
    exclude: tuple[Exclusion, ...]
    must_have: tuple[str, ...]
    account: tuple[FieldRule, ...]
    group: tuple[FieldRule, ...]
    fingerprint: str
    group_filter: str | None = None
    contact_filter: str | None = None
    contact: tuple[FieldRule, ...] = ()

    @property
    def attributes(self) -> tuple[str, ...]:
        """The attributes to request: the identity and all sources, each once.

        Where more than accounts is read, the object class tells what an entry is.
        """
        wanted = {self.id.lower(): self.id}
        rules = (*self.account, *self.group, *self.contact)
        for source in (source for rule in rules for source in rule.sources):
            wanted.setdefault(source.attribute.lower(), source.attribute)
        if self.group_filter or self.contact_filter:
            wanted.setdefault(OBJECT_CLASS.lower(), OBJECT_CLASS)
        return tuple(wanted.values())

    @property
    def login_attributes(self) -> frozenset[str]:
        """The attributes that login names come from, in lower case."""
        return frozenset(
            source.attribute.lower()
            for rule in self.account
            if rule.name == "login_names"
            for source in rule.sources
        )

    def search_filter(self, *more: str | None) -> str:
        """Return the filter for a read: the base, no exclusion, and `more`."""
        left_out = (ldap_filter.negate(each.filter) for each in self.exclude)
        return ldap_filter.all_of(self.base_filter, *left_out, *more)


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _SourceTable(_Table):
    attribute: str
    transforms: tuple[str, ...] = ()


class _FieldTable(_Table):
    sources: tuple[_SourceTable, ...] = ()
    many: StrictBool = False
    required: StrictBool = False
    default: str | None = None


class _ExcludeTable(_Table):
    name: str
    filter: str
    why: str


class _ProfileTable(_Table):
    name: str
    format: Literal[1]
    id: str
    base_filter: str
    exclude: tuple[_ExcludeTable, ...] = ()
    must_have: tuple[str, ...] = ()
    account: dict[str, _FieldTable]
    group_filter: str | None = None
    group: dict[str, _FieldTable] = {}
    contact_filter: str | None = None
    contact: dict[str, _FieldTable] = {}


def load_profile(name: str, beside: Path | None = None) -> Profile:
    """Load a mapping profile.

    Args:
        name: Its name, which is its file's name without `.toml`.
        beside: The folder of the configuration file; a profile in its `mappings/`
            wins over a shipped one.

    Raises:
        ConfigError: There is no such profile, or the file holds mistakes: all of
            them at once.
    """
    files = shipped.files("mappings", beside)
    if name not in files:
        problem = Problem(
            "unknown-profile",
            f"mappings/{name}.toml",
            f'There is no mapping profile "{name}".',
            did_you_mean(name, sorted(files)),
        )
        raise ConfigError((problem,))
    return load_profile_file(files[name])


def load_profile_file(path: Path) -> Profile:
    """Load a mapping profile from a file.

    Raises:
        ConfigError: The file cannot be read or holds mistakes: all of them.
    """
    raw = read_toml(path)
    file = f"mappings/{path.name}"
    try:
        table = _ProfileTable.model_validate(raw)
    except ValidationError as error:
        problems = problems_of(error, _ProfileTable, raw, file)
        sound, gone = sound_part(_ProfileTable, raw, error)
        if sound is not None:
            told = {place(file, each) for each in gone}
            further = _check(sound, file, path.stem)
            problems += tuple(each for each in further if each.where not in told)
        raise ConfigError(problems) from None
    problems = tuple(_check(table, file, path.stem))
    if problems:
        raise ConfigError(problems)
    return _profile(table)


def lint_profile(name: str | Path, beside: Path | None = None) -> tuple[Problem, ...]:
    """Return every problem of a profile, given by name or as a file."""
    try:
        if isinstance(name, Path):
            load_profile_file(name)
        else:
            load_profile(name, beside)
    except ConfigError as error:
        return error.problems
    return ()


@dataclass(frozen=True, slots=True)
class ProfileFile:
    """A profile that there is.

    Attributes:
        name: Its name.
        path: Its file.
        local: Whether it stands beside the configuration.
    """

    name: str
    path: Path
    local: bool


def list_profiles(beside: Path | None = None) -> tuple[ProfileFile, ...]:
    """Return all profiles by name; nothing is loaded."""
    built_in = shipped.folder("mappings")
    return tuple(
        ProfileFile(name, path, path.parent != built_in)
        for name, path in sorted(shipped.files("mappings", beside).items())
    )


def _profile(table: _ProfileTable) -> Profile:
    content = json.dumps(table.model_dump(mode="json"), sort_keys=True)
    return Profile(
        name=table.name,
        id=table.id,
        base_filter=table.base_filter,
        exclude=tuple(Exclusion(e.name, e.filter, e.why) for e in table.exclude),
        must_have=table.must_have,
        account=_rules(table.account, ACCOUNT_FIELDS, "account"),
        group_filter=table.group_filter,
        group=_rules(table.group, GROUP_FIELDS, "group"),
        contact_filter=table.contact_filter,
        contact=_rules(table.contact, CONTACT_FIELDS, "contact"),
        fingerprint=hashlib.sha256(content.encode()).hexdigest()[:16],
    )


def _rules(
    tables: Mapping[str, _FieldTable], fields: Mapping[str, Field], table: str
) -> tuple[FieldRule, ...]:
    """Return the rules; the login names come first, as defaults may hold one."""
    return tuple(
        FieldRule(
            name,
            fields[name],
            tuple(_source(source, fields[name]) for source in each.sources),
            each.many,
            each.required,
            each.default,
            table,
        )
        for name, each in sorted(tables.items(), key=lambda t: t[0] != "login_names")
    )


def _source(table: _SourceTable, field: Field) -> Source:
    steps = chain(table.transforms, field.kind)
    return Source(table.attribute, table.transforms, steps)


def _check(table: _ProfileTable, file: str, stem: str) -> Iterator[Problem]:
    """Yield what the types alone cannot tell."""
    if table.name != stem:
        yield Problem(
            "wrong-value",
            place(file, ("name",)),
            f'The profile is named "{table.name}" but its file "{stem}.toml".',
            "Give both the same name.",
        )
    if table.id not in ID_ATTRIBUTES:
        yield Problem(
            "wrong-value",
            place(file, ("id",)),
            f'"{table.id}" is not an attribute that stays with an entry for ever.',
            did_you_mean(table.id, ID_ATTRIBUTES),
        )
    yield from _check_filter(table.base_filter, place(file, ("base_filter",)))
    for number, exclusion in enumerate(table.exclude):
        where = place(file, ("exclude", number, "filter"))
        yield from _check_filter(exclusion.filter, where)
    yield from _check_must_have(table, file)
    yield from _check_fields(table.account, ACCOUNT_FIELDS, file, "account")
    yield from _check_recipients(table, file)
    if not getattr(table.account.get("login_names"), "sources", ()):
        yield Problem(
            "missing-key",
            place(file, ("account", "login_names")),
            "Nothing says what people log in with.",
            "Add [account.login_names] with at least one source.",
        )


def _check_recipients(table: _ProfileTable, file: str) -> Iterator[Problem]:
    """Check groups and contacts: each needs both a filter and fields."""
    kinds = (
        ("group", table.group_filter, table.group, GROUP_FIELDS),
        ("contact", table.contact_filter, table.contact, CONTACT_FIELDS),
    )
    for kind, text, tables, fields in kinds:
        key = f"{kind}_filter"
        if text is not None:
            yield from _check_filter(text, place(file, (key,)))
        if tables and text is None:
            yield Problem(
                "missing-key",
                place(file, (key,)),
                f"Nothing says which entries are {kind}s.",
                f'Add {key} = "(objectClass=...)", or take the [{kind}] tables out.',
            )
        if text is not None and not tables:
            yield Problem(
                "missing-key",
                place(file, (kind,)),
                f"Nothing says what a {kind} is made of.",
                f"Add [{kind}.display_name] with at least one source, or take "
                f"{key} out.",
            )
        yield from _check_fields(tables, fields, file, kind)


def _check_filter(text: str, where: str) -> Iterator[Problem]:
    try:
        ldap_filter.check(text)
    except Undecodable as error:
        wrong, _, mend = str(error).partition("; ")
        yield Problem(
            "filter-syntax",
            where,
            f"The filter {wrong}.",
            sentence(mend or "Mend it as RFC 4515 says, like (&(a=1)(b=2))"),
        )


def _check_must_have(table: _ProfileTable, file: str) -> Iterator[Problem]:
    """Only what a rule reads is asked of the server."""
    read = {
        source.attribute.lower(): source.attribute
        for rule in table.account.values()
        for source in rule.sources
    }
    for number, attribute in enumerate(table.must_have):
        if attribute.lower() not in read:
            yield Problem(
                "wrong-value",
                place(file, ("must_have", number)),
                f'No rule of an account reads "{attribute}".',
                did_you_mean(attribute, sorted(read.values())),
            )


def _check_fields(
    tables: Mapping[str, _FieldTable],
    fields: Mapping[str, Field],
    file: str,
    table: str,
) -> Iterator[Problem]:
    for name, each in tables.items():
        where = place(file, (table, name))
        if name not in fields:
            mend = WITHDRAWN.get((table, name)) or did_you_mean(name, tuple(fields))
            yield Problem("unknown-field", where, f'There is no field "{name}".', mend)
            continue
        yield from _check_field(each, fields[name], file, (table, name))


def _check_field(
    table: _FieldTable, field: Field, file: str, at: tuple[str, str]
) -> Iterator[Problem]:
    if table.many and not field.many:
        yield Problem(
            "wrong-value",
            place(file, (*at, "many")),
            f'The field "{at[1]}" holds only one value.',
            "Take many = true out.",
        )
    if not table.sources and table.default is None:
        yield Problem(
            "missing-key",
            place(file, (*at, "sources")),
            f'The field "{at[1]}" has neither sources nor a default.',
            'Add sources = [{ attribute = "..." }], or take the table out.',
        )
    if table.default is not None:
        yield from _check_default(table.default, place(file, (*at, "default")))
    for number, source in enumerate(table.sources):
        yield from _check_source(source, field, file, (*at, "sources", number))


def _check_default(default: str, where: str) -> Iterator[Problem]:
    for word in re.findall(r"\{([^{}]*)\}", default):
        if word not in DEFAULT_WORDS:
            text = f"{{{word}}} is not known in a default."
            yield Problem("wrong-value", where, text, did_you_mean(word, DEFAULT_WORDS))
    if re.search(r"[{}]", re.sub(r"\{[^{}]*\}", "", default)):
        text = "The default has a brace without its partner."
        yield Problem("wrong-value", where, text, 'Write it like "{login}@{domain}".')


def _check_source(
    source: _SourceTable, field: Field, file: str, at: tuple[int | str, ...]
) -> Iterator[Problem]:
    yield from _check_attribute(source.attribute, place(file, (*at, "attribute")))
    where = place(file, (*at, "transforms"))
    unknown = [name for name in source.transforms if name not in TRANSFORMS]
    for name in unknown:
        text = f'There is no transform "{name}".'
        yield Problem(
            "unknown-transform", where, text, did_you_mean(name, tuple(TRANSFORMS))
        )
    if unknown:
        return
    try:
        chain(source.transforms, field.kind)
    except ValueError as error:
        yield Problem(
            "wrong-transforms",
            where,
            f"The transforms do not fit together: {error}.",
            "Look the transforms up in docs/mappings.md.",
        )


def _check_attribute(attribute: str, where: str) -> Iterator[Problem]:
    if not _ATTRIBUTE.match(attribute):
        text = f'"{attribute}" is not the name of an LDAP attribute.'
        yield Problem(
            "wrong-value", where, text, "Use letters, digits and hyphens only."
        )
    if attribute.lower() in VOLATILE:
        yield Problem(
            "volatile-attribute",
            where,
            f'"{attribute}" changes at every login or replication.',
            "Map an attribute that changes only when the account does.",
        )
    if attribute.lower() in _SECRET:
        yield Problem(
            "secret-attribute",
            where,
            f'"{attribute}" holds a password or a key.',
            "Take it out; dirbridge never reads passwords from a directory.",
        )
