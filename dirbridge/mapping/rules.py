"""Map an entry to our values: pure, and every value remembers its rule."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TypedDict, cast

from dirbridge.directory.errors import Undecodable
from dirbridge.mapping.filling import (
    Context,
    Filling,
    Work,
    fillings,
    shown,
    transformed,
)
from dirbridge.mapping.profile import FieldRule, Profile, Source
from dirbridge.model.account import AccountState, AccountValues
from dirbridge.model.entry import Entry, EntryKind
from dirbridge.model.mapping import (
    Elsewhere,
    Mapped,
    MappingResult,
    Provenance,
    Rule,
    Unmapped,
)
from dirbridge.model.names import Address, DomainName, domain_of, fold
from dirbridge.model.quick import maker
from dirbridge.model.recipient import By, Reference

__all__ = ["Context", "Mapper", "map_entry"]

_MOST_RAW = 20

_values, _mapped = maker(AccountValues), maker(Mapped)


@dataclass(frozen=True, slots=True)
class _Steps:
    """What is done with the entries of one kind; required ones with their rule."""

    fillings: tuple[tuple[Filling, FieldRule | None], ...]
    values: Callable[[Work], AccountValues]
    must_have: tuple[tuple[FieldRule, Source], ...] = ()


class Mapper:
    """A profile's rules, made ready for the entries of one domain.

    Args:
        profile: The rules.
        context: The domain that entries are mapped for.
    """

    def __init__(self, profile: Profile, context: Context) -> None:
        self._profile, self._context = profile, context
        self._own = context.own
        account = profile.account
        if context.own is not None:
            account = tuple(map(_by_address, account))
        self._steps = {
            EntryKind.ACCOUNT: _Steps(
                _ready(account, context), _account, _must_have(profile)
            ),
            EntryKind.GROUP: _Steps(_ready(profile.group, context), _group),
            EntryKind.CONTACT: _Steps(_ready(profile.contact, context), _contact),
        }

    def __reduce__(self) -> tuple[type[Mapper], tuple[Profile, Context]]:
        """Go to another process as profile and context: it makes them ready anew."""
        return (Mapper, (self._profile, self._context))

    def __call__(self, entry: Entry) -> MappingResult:
        """Map one entry; see `map_entry`."""
        steps = self._steps[entry.kind]
        work = self._work(steps, entry)
        if isinstance(work, Unmapped):
            return work
        values = steps.values(work)
        if self._own is not None:
            if values.kind is EntryKind.ACCOUNT and not _is_here(values, self._own):
                return _elsewhere(entry, values)
            values = _with_own_addresses(values, self._own)
        return _mapped(values=values, digest=entry.digest, notes=tuple(work.notes))

    def provenance(self, entry: Entry) -> Provenance:
        """Return, for each field that gets a value, the rule that gives it."""
        steps = self._steps[entry.kind]
        work = self._work(steps, entry)
        if isinstance(work, Unmapped):
            return {}
        rules = {name: _rule(work, sources) for name, sources in work.used.items()}
        if not steps.values(work).aliases:
            rules.pop("aliases", None)
        return rules

    def _work(self, steps: _Steps, entry: Entry) -> Work | Unmapped:
        """Fill all fields of an entry, unless a required one stays empty."""
        if steps.must_have:
            lacking = next(_lacking(steps.must_have, entry), None)
            if lacking is not None:
                return lacking
        work = Work(entry)
        for filling, required in steps.fillings:
            if required is None:
                filling(work)
                continue
            before = len(work.notes)
            filling(work)
            if required.name not in work.found:
                return _unmapped(
                    required, work, work.notes[before:], self._profile.name
                )
        return work


def map_entry(profile: Profile, entry: Entry, context: Context) -> MappingResult:
    """Map one entry, of whichever kind.

    A value that is not what its syntax says, or an address in a domain that is
    not served, is dropped with a note; it harms no other value.

    Args:
        profile: The rules.
        entry: The entry.
        context: The domain that it is mapped for.

    Returns:
        The values, or why a required field has none, or why it is of another domain.
    """
    return Mapper(profile, context)(entry)


def _by_address(rule: FieldRule) -> FieldRule:
    """Take only an address that the directory itself gives for the primary one."""
    if rule.name != "primary_address":
        return rule
    return replace(rule, default=None, required=False)


def _is_here(values: AccountValues, own: frozenset[DomainName]) -> bool:
    primary = values.primary_address
    return primary is not None and domain_of(primary) in own


def _elsewhere(entry: Entry, values: AccountValues) -> Elsewhere:
    primary = values.primary_address
    if primary is None:
        why = "It has no primary address in any domain of this dirbridge."
    else:
        why = f"Its primary address {primary} is of another domain."
    return Elsewhere(entry.id, entry.dn, why, goes_on=primary is not None)


def _with_own_addresses(
    values: AccountValues, own: frozenset[DomainName]
) -> AccountValues:
    """Leave to other domains the addresses of their groups and contacts.

    A group is kept without them, as it says who is in it.
    """
    if _is_here(values, own):
        return values
    elsewhere = values.primary_address is not None
    aliases = (one for one in values.aliases if domain_of(one) in own)
    return replace(
        values, primary_address=None, aliases=() if elsewhere else tuple(aliases)
    )


def _ready(
    rules: tuple[FieldRule, ...], context: Context
) -> tuple[tuple[Filling, FieldRule | None], ...]:
    ready = zip(fillings(rules, context), rules, strict=True)
    return tuple((one, rule if rule.required else None) for one, rule in ready)


def _must_have(profile: Profile) -> tuple[tuple[FieldRule, Source], ...]:
    """Return the sources without which an entry says too little to be mapped.

    A service account that loses a right sees entries without the attribute. Of
    userAccountControl that would read as "nobody is disabled".
    """
    wanted = {attribute.lower() for attribute in profile.must_have}
    return tuple(
        (rule, source)
        for rule in profile.account
        for source in rule.sources
        if source.attribute.lower() in wanted
    )


def _lacking(
    must_have: tuple[tuple[FieldRule, Source], ...], entry: Entry
) -> Iterator[Unmapped]:
    for rule, source in must_have:
        wrong = _unreadable(rule, source, entry)
        if wrong:
            yield Unmapped(entry.id, entry.dn, rule.name, wrong)


def _unreadable(rule: FieldRule, source: Source, entry: Entry) -> str:
    """Return what is wrong with an attribute that must be there, "" if nothing."""
    right = "the service account the right to read it."
    values = entry.values(source.attribute)
    if not values:
        name = rule.name.replace("_", " ")
        return (
            f"{source.attribute} is not there, or may not be read; without it the "
            f"account's {name} cannot be told. Give {right}"
        )
    for raw in values:
        try:
            transformed(raw, source, entry.dn)
        except Undecodable as error:
            return (
                f"{source.attribute} {shown(raw)} {error}. Mend it in the directory, "
                f"or give {right}"
            )
    return ""


def _rule(work: Work, sources: tuple[Source, ...]) -> Rule:
    """Return one rule for what several sources gave together."""
    if not sources:
        return Rule("default")
    raw = (
        shown(value)
        for source in sources
        for value in work.entry.values(source.attribute)[:_MOST_RAW]
    )
    return Rule(
        ", ".join(dict.fromkeys(source.attribute for source in sources)),
        tuple(dict.fromkeys(name for source in sources for name in source.names)),
        tuple(dict.fromkeys(raw)),
    )


def _unmapped(rule: FieldRule, work: Work, notes: list[str], profile: str) -> Unmapped:
    attributes = ", ".join(dict.fromkeys(source.attribute for source in rule.sources))
    why = f" ({' '.join(notes)})" if notes else ""
    name, table = rule.name.replace("_", " "), f"[{rule.table}.{rule.name}]"
    reason = (
        f"Nothing usable for {name} was found in {attributes or 'its default'}{why}. "
        f"Mend the entry in the directory, or the rule {table} of the "
        f'mapping "{profile}".'
    )
    return Unmapped(work.entry.id, work.entry.dn, rule.name, reason)


class _Found(TypedDict, total=False):
    """The fields of a profile that are fields of an account's values as they stand.

    What kind of value each holds, `transforms.chain` has made sure of.
    """

    login_names: tuple[str, ...]
    upn: str
    principal: str
    name: str
    display_name: str
    given_name: str
    surname: str
    primary_address: Address
    forward: Address
    forward_dn: str
    forward_keep: bool
    quota: int
    title: str
    department: str
    phone: str
    number: str
    primary_group: str
    expires_at: datetime
    created_at: datetime


def _account(work: Work) -> AccountValues:
    """Put what was found into an account's fields."""
    found = work.found
    reason = _text(found.pop("state", None))
    return _values(
        directory_id=work.entry.id,
        dn=work.entry.dn,
        aliases=_aliases(found, found.get("primary_address")),
        state=AccountState.DISABLED if reason else AccountState.ACTIVE,
        state_reason=reason,
        **cast("_Found", found),
    )


_MEMBERS = {
    "members": By.DN,
    "member_ids": By.ID,
    "nested": By.ID,
    "member_names": By.NAME,
}
"""What each field of a group names its members by."""


def _group(work: Work) -> AccountValues:
    """Put what was found into a group's fields."""
    found = work.found
    members = [
        Reference(by, value)
        for field, by in _MEMBERS.items()
        for value in _texts(found.pop(field, None))
    ]
    return _values(
        directory_id=work.entry.id,
        kind=EntryKind.GROUP,
        dn=work.entry.dn,
        aliases=_aliases(found, found.get("primary_address")),
        members=tuple(dict.fromkeys(members)),
        **cast("_Found", found),
    )


def _contact(work: Work) -> AccountValues:
    """Put what was found into a contact's fields.

    Mail for an address that is itself the target goes there without us: it is no
    address of the contact, and may well be that of an account.
    """
    found = work.found
    target = found.pop("target", None)
    aliases = _aliases(found, found.get("primary_address"), target)
    if _same(found.get("primary_address"), target):
        del found["primary_address"]
    if target is not None:
        found["forward"] = target
    return _values(
        directory_id=work.entry.id,
        kind=EntryKind.CONTACT,
        dn=work.entry.dn,
        aliases=aliases,
        **cast("_Found", found),
    )


def _aliases(found: dict[str, object], *others: object) -> tuple[Address, ...]:
    """Take the aliases out, without other addresses of the entry."""
    aliases = found.pop("aliases", None)
    if aliases is None or aliases == others:
        return ()
    known = {fold(other) for other in others if isinstance(other, str)}
    return tuple([Address(each) for each in _texts(aliases) if fold(each) not in known])


def _same(one: object, other: object) -> bool:
    return isinstance(one, str) and isinstance(other, str) and fold(one) == fold(other)


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _texts(values: object) -> tuple[str, ...]:
    if not isinstance(values, tuple):
        return ()
    return tuple([value for value in values if isinstance(value, str)])
