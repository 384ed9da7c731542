"""Who gets a mailbox here: members of one group, or who has an address here.

Theory. Whether somebody's address is of this domain, the entry itself says, so mapping
finds that out (`Elsewhere`). Membership does not stand in the entry: groups are nested,
one names people by DN, by id or by name, and a primary group names nobody. So it is
judged here, over all that a complete full read saw: what was mapped now, and what is
stored of those who are as they were. A delta does not ask: whatever may move somebody
in or out of the group has the run read everything (`may_regroup`).

Who is outside is, for the plan, as if not there: whoever has an account is deactivated
and counts for the limits, so that an emptied group stops the run. A group that is not
found is an error, never "nobody". Groups and contacts are not judged: they are
recipients, and members are found through groups.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

from dirbridge.directory import dn
from dirbridge.directory.errors import Undecodable
from dirbridge.directory.membership import resolve
from dirbridge.errors import Unsupported
from dirbridge.model.account import AccountValues
from dirbridge.model.entry import EntryKind, ReadKind
from dirbridge.model.names import DirectoryId
from dirbridge.model.plan import Change, Op
from dirbridge.store.base import StoreView
from dirbridge.sync.policy import Policy
from dirbridge.sync.read import Outside, Read
from dirbridge.sync.spool import mapped_spool

_HARMLESS = frozenset({Op.UPDATE, Op.DEACTIVATE, Op.REMOVE})
"""What a delta may do to an account without anybody coming into a group; but see
`_MEMBERSHIP`."""

_MEMBERSHIP = frozenset({"dn", "primary_group"})
"""Fields of an account that may bring it into a group, or out of one."""


def admit(policy: Policy, view: StoreView, read: Read) -> Read:
    """Leave out of a read who gets no mailbox here.

    Args:
        policy: The domain's settings.
        view: What the store has.
        read: What was read.

    Raises:
        Unsupported: The required group was not found.
    """
    whole = read.finished.kind is ReadKind.FULL and read.finished.complete
    if policy.require_group is None or not whole:
        return read
    there = _There(policy.require_group)
    membership = resolve(there.pass_by(_everybody(policy, view, read)))
    if there.group is None:
        raise _missing(policy, read)
    return _without(read, there, membership.members(there.group))


def may_regroup(change: Change) -> bool:
    """Whether a delta's change may bring anybody into a group, or out of it."""
    result = change.result
    return (
        result is None  # a conflict: whether it is one, membership decides
        or result.kind is EntryKind.GROUP
        or change.op not in _HARMLESS
        or not _MEMBERSHIP.isdisjoint(change.after)
    )


def why_outside(group: str) -> str:
    """Say why somebody who is not in the required group has no mailbox."""
    return f"It is not in the group {group}, which decides who gets a mailbox."


def is_named(group: AccountValues, name: str) -> bool:
    """Whether a group is the one with this DN, however it is written."""
    return group.kind is EntryKind.GROUP and _comparable(group.dn) == _comparable(name)


def _comparable(text: str) -> str:
    try:
        return dn.comparable(text)
    except Undecodable:
        return text


@dataclass(slots=True)
class _There:
    """What is noted of everybody who is there.

    Attributes:
        required: The DN of the required group.
        group: Its id, None while it was not found.
        people: Who is an account.
    """

    required: str
    group: DirectoryId | None = None
    people: set[DirectoryId] = field(default_factory=set)

    def pass_by(self, everybody: Iterable[AccountValues]) -> Iterator[AccountValues]:
        """Note what is needed of each, and hand it on."""
        for one in everybody:
            if one.kind is EntryKind.ACCOUNT:
                self.people.add(one.directory_id)
            elif is_named(one, self.required):
                self.group = one.directory_id
            yield one


def _everybody(policy: Policy, view: StoreView, read: Read) -> Iterator[AccountValues]:
    """Yield whom the read saw: as mapped now, else as stored."""
    new = set()
    for one in read.mapped:
        new.add(one.values.directory_id)
        yield one.values
    broken = {one.id: one for one in read.unmapped}
    for account in view.mapped(policy.domain, policy.source):
        values = account.values
        if values.directory_id in read.seen and values.directory_id not in new:
            unmapped = broken.pop(values.directory_id, None)
            yield replace(values, dn=unmapped.dn) if unmapped else values
    for unmapped in broken.values():
        yield AccountValues(directory_id=unmapped.id, dn=unmapped.dn)


def _missing(policy: Policy, read: Read) -> Unsupported:
    return Unsupported(
        domain=policy.domain,
        server=read.finished.server,
        operation="read",
        code="group-missing",
        detail=policy.require_group or "",
    )


def _without(read: Read, there: _There, members: frozenset[DirectoryId]) -> Read:
    why = Outside(why_outside(there.required))
    outside = dict.fromkeys(there.people - members, why)
    mapped = mapped_spool()
    for one in read.mapped:
        if one.values.directory_id not in outside:
            mapped.add(one)
    return replace(
        read,
        mapped=mapped,
        unmapped=tuple(one for one in read.unmapped if one.id not in outside),
        seen=read.seen - outside.keys(),
        outside={**read.outside, **outside},
        missing=None,
    )
