"""Who belongs to which group, nested groups and primary groups included.

A directory says membership in four ways that drift apart: by DN, by stable id, by
short name, and by the number of the primary group, which stands in the member's own
entry and in no `member` (measured on Samba 4.17). All of them are resolved to ids here
and united.

Groups may contain each other in a loop. Everything walks with a list of its own, so
no depth is too deep, and visits each group once.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from dirbridge.directory import dn
from dirbridge.directory.errors import Undecodable
from dirbridge.model.account import AccountValues
from dirbridge.model.entry import EntryKind
from dirbridge.model.names import DirectoryId, fold
from dirbridge.model.recipient import By, Reference


@dataclass(frozen=True, slots=True)
class Membership:
    """Who belongs to which group.

    Attributes:
        direct: Each group's members that are no groups, nested ones not counted.
        nested: Each group's groups that are named in it.
        unknown: What each group names and nobody has: entries outside of what was
            read, or names that two have. Groups without such are left out.
    """

    direct: Mapping[DirectoryId, frozenset[DirectoryId]]
    nested: Mapping[DirectoryId, frozenset[DirectoryId]]
    unknown: Mapping[DirectoryId, tuple[Reference, ...]]
    _within: Mapping[DirectoryId, frozenset[DirectoryId]]
    _above: Mapping[DirectoryId, frozenset[DirectoryId]]

    def members(self, group: DirectoryId) -> frozenset[DirectoryId]:
        """Return everybody in a group or in a group within it."""
        inner = (self.direct.get(one, frozenset()) for one in self.groups_in(group))
        return frozenset().union(*inner)

    def groups_in(self, group: DirectoryId) -> frozenset[DirectoryId]:
        """Return a group and all groups within it."""
        return _reach(self.nested, (group,))

    def groups(self, member: DirectoryId) -> frozenset[DirectoryId]:
        """Return every group that somebody is in, also by a group within it."""
        return _reach(self._above, self._within.get(member, frozenset()))


def resolve(everybody: Iterable[AccountValues]) -> Membership:
    """Find out who belongs to which group.

    Args:
        everybody: All groups, with all their members, and all accounts and contacts
            that may be in one.
    """
    index, groups = _Index(), []
    for one in everybody:
        index.add(one)
        if one.kind is EntryKind.GROUP:
            groups.append(one)
    direct: dict[DirectoryId, set[DirectoryId]] = {
        g.directory_id: set() for g in groups
    }
    nested: dict[DirectoryId, set[DirectoryId]] = {one: set() for one in direct}
    unknown: dict[DirectoryId, list[Reference]] = defaultdict(list)
    for group in groups:
        mine = group.directory_id
        for reference in group.members:
            found = index.find(reference)
            if found is None:
                unknown[mine].append(reference)
            else:
                (nested if found in direct else direct)[mine].add(found)
        direct[mine].update(index.primary_members(group.number))
    return Membership(
        _frozen(direct),
        _frozen(nested),
        {group: tuple(dict.fromkeys(lost)) for group, lost in unknown.items()},
        _turned(direct),
        _turned(nested),
    )


class _Index:
    """Finds an entry by what a group calls it."""

    def __init__(self) -> None:
        self._by_dn: dict[str, DirectoryId] = {}
        self._by_comparable: dict[str, DirectoryId] | None = None
        self._by_id: dict[str, DirectoryId] = {}
        self._by_name: dict[str, DirectoryId | None] = {}
        self._by_primary: dict[str, list[DirectoryId]] = defaultdict(list)

    def add(self, one: AccountValues) -> None:
        """Take an entry in; a name that two have is nobody's."""
        mine = one.directory_id
        self._by_id[mine.lower()] = mine
        if one.dn:
            self._by_dn[one.dn] = mine
        for name in map(fold, one.login_names):
            self._by_name[name] = (
                mine if self._by_name.get(name, mine) == mine else None
            )
        if one.primary_group is not None:
            self._by_primary[one.primary_group].append(mine)

    def primary_members(self, number: str | None) -> Iterable[DirectoryId]:
        """Return whose primary group has this number."""
        return () if number is None else self._by_primary.get(number, ())

    def find(self, reference: Reference) -> DirectoryId | None:
        """Return who is meant; None where nobody is, or two are."""
        match reference.by:
            case By.DN:
                # Servers write one DN the same everywhere, so that the slow way is
                # for members that are not there, and for tests.
                found = self._by_dn.get(reference.value)
                return found or self._compared(reference.value)
            case By.ID:
                return self._by_id.get(reference.value.strip().lower())
            case By.NAME:
                return self._by_name.get(fold(reference.value))

    def _compared(self, text: str) -> DirectoryId | None:
        if self._by_comparable is None:
            self._by_comparable = {
                key: one
                for written, one in self._by_dn.items()
                if (key := _comparable(written)) is not None
            }
        key = _comparable(text)
        return None if key is None else self._by_comparable.get(key)


def _comparable(text: str) -> str | None:
    try:
        return dn.comparable(text)
    except Undecodable:
        return None


def _frozen(
    sets: Mapping[DirectoryId, set[DirectoryId]],
) -> dict[DirectoryId, frozenset[DirectoryId]]:
    return {key: frozenset(values) for key, values in sets.items()}


def _turned(
    sets: Mapping[DirectoryId, set[DirectoryId]],
) -> dict[DirectoryId, frozenset[DirectoryId]]:
    """Return from each member to the groups that name it."""
    turned: dict[DirectoryId, set[DirectoryId]] = defaultdict(set)
    for key, values in sets.items():
        for value in values:
            turned[value].add(key)
    return _frozen(turned)


def _reach(
    edges: Mapping[DirectoryId, frozenset[DirectoryId]], start: Iterable[DirectoryId]
) -> frozenset[DirectoryId]:
    """Return all that can be reached, the start included; each is visited once."""
    seen = set(start)
    ahead = list(seen)
    while ahead:
        new = edges.get(ahead.pop(), frozenset()) - seen
        seen |= new
        ahead += new
    return frozenset(seen)
