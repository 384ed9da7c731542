"""The plan of a sync run: the whole decision before the first write."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum

from dirbridge.model.account import LIVE, Account
from dirbridge.model.entry import Cursor, EntryKind, ReadKind
from dirbridge.model.fields import Value, fingerprint
from dirbridge.model.mapping import Unmapped
from dirbridge.model.names import DirectoryId, DomainName


class Op(StrEnum):
    """What a change does to one account."""

    CREATE = "create"
    UPDATE = "update"
    RENAME = "rename"
    MOVE = "move"
    DEACTIVATE = "deactivate"
    REACTIVATE = "reactivate"
    REMOVE = "remove"
    CONFLICT = "conflict"


APPLY_ORDER = (
    Op.DEACTIVATE,
    Op.REMOVE,
    Op.RENAME,
    Op.MOVE,
    Op.UPDATE,
    Op.REACTIVATE,
    Op.CREATE,
    Op.CONFLICT,
)
"""What takes away comes first, so that names become free before others take them."""

TAKES_AWAY = frozenset({Op.DEACTIVATE, Op.REMOVE})
"""The operations that the limits count."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One line of a plan; preview, log, audit row and page show this very value.

    Attributes:
        op: What is done.
        account: The directory id of the account (the identity).
        name: The account's name for people, `mailbox@domain` where it has one.
        before: The fields that change, with their stored values.
        after: The same fields, with their new values.
        why: One sentence.
        result: The account as it shall be stored; None for a conflict.
        drafted: What the mapped entry asks for; None where nobody vanished or was
            read.
        stored: The account as it is stored; None where there is none.
    """

    op: Op
    account: DirectoryId
    name: str
    before: Mapping[str, Value] = field(default_factory=dict)
    after: Mapping[str, Value] = field(default_factory=dict)
    why: str = ""
    result: Account | None = field(default=None, repr=False, compare=False)
    drafted: Account | None = field(default=None, repr=False, compare=False)
    stored: Account | None = field(default=None, repr=False, compare=False)

    @property
    def entry(self) -> str:
        """Fingerprint of the mapped entry, "" where there is none."""
        return fingerprint(self.drafted)

    @property
    def row(self) -> str:
        """Fingerprint of the stored account, "" where there is none."""
        return fingerprint(self.stored)

    @property
    def places(self) -> int:
        """How many places below the user limit it takes; -1 where one becomes free."""
        if self.op is Op.CONFLICT:
            return 0
        return _has_place(self.result) - _has_place(self.stored)


def _has_place(account: Account | None) -> bool:
    return (
        account is not None
        and account.kind is EntryKind.ACCOUNT
        and account.state in LIVE
    )


class Changes(Collection[Change]):
    """Changes by operation, which need not all be in memory.

    Args:
        parts: For each operation, in the order in which they are applied, its
            changes; they may be made anew each time that they are walked through.
    """

    def __init__(self, parts: Mapping[Op, Collection[Change]]) -> None:
        self.parts = parts

    def __len__(self) -> int:
        return sum(map(len, self.parts.values()))

    def __iter__(self) -> Iterator[Change]:
        for part in self.parts.values():
            yield from part

    def __contains__(self, change: object) -> bool:
        return any(change in part for part in self.parts.values())


Covered = tuple[Op, DirectoryId]
"""What a limit counts: who loses what."""


@dataclass(frozen=True, slots=True)
class Approval:
    """What a stopped run offers to a person: to let just this pass, once.

    Attributes:
        id: What the person types.
        domain: The mail domain.
        source: The directory within the domain.
        covers: What tripped the limit; it holds for any subset as well.
        offered_at: When the run stopped (UTC).
        until: When the offer lapses (UTC).
        used_by: The run that used it, or None.
    """

    id: str
    domain: DomainName
    source: str
    covers: frozenset[Covered]
    offered_at: datetime
    until: datetime
    used_by: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Everything that a run would do to one domain.

    Attributes:
        domain: The mail domain.
        server: `host:port` that was read, or `admin` for a local change.
        kind: Full or delta.
        complete: Whether the read behind it was complete.
        made_at: When it was made (UTC).
        base: The DN that was read below.
        read: Entries that were read.
        wholes: What the limits' shares are of: accounts of this directory in the
            store that are active or disabled, by kind; counted only where somebody
            vanished or cannot be read any more.
        containers: The same within one container, by kind and its DN.
        unchanged: Accounts that stay as they are.
        changes: What changes, in the order in which it is applied: what takes
            away first, so that names and addresses become free. It may be walked
            through several times; of a first import it does not fit into memory,
            and makes each `Change` anew.
        cursor: Stored with the changes, for the next delta.
        based_on: The store's version before its accounts were read; a store that
            has moved on refuses the plan. None for a plan that needs no such guard.
        scope_changed: Whether base, filter or mapping are others than at the last
            run, so that somebody may only seem to have vanished.
        source: Name of the directory within the domain, see `Account.source`.
        remembered: New `Account.digest` by account number, of accounts that do not
            change otherwise; no audit row tells of it.
        approved: The approval that let it pass; used up by applying it.
        unreadable: Accounts whose entries are there, but show less than in the last
            run: too little to be mapped, and those stay as they are; or no addresses.
        unmapped: Entries that could not be mapped, of those that get a mailbox.
    """

    domain: DomainName
    server: str
    kind: ReadKind
    complete: bool
    made_at: datetime
    base: str = ""
    read: int = 0
    wholes: Mapping[EntryKind, int] = field(default_factory=dict)
    containers: Mapping[tuple[EntryKind, str], int] = field(default_factory=dict)
    unchanged: int = 0
    changes: Collection[Change] = ()
    cursor: Cursor | None = None
    based_on: int | None = None
    scope_changed: bool = False
    source: str = "directory"
    remembered: Mapping[int, bytes] = field(default_factory=dict, repr=False)
    approved: Approval | None = None
    unreadable: tuple[DirectoryId, ...] = ()
    unmapped: tuple[Unmapped, ...] = ()

    def of(self, *ops: Op) -> tuple[Change, ...]:
        """Return the changes with one of these operations."""
        parts = self._parts()
        return tuple(change for op in parts if op in ops for change in parts[op])

    def walk(self, *ops: Op) -> Iterator[Change]:
        """Yield the changes with one of these operations, however many they are."""
        parts = self._parts()
        return (change for op in parts if op in ops for change in parts[op])

    def counts(self) -> Mapping[Op, int]:
        """Count the changes of each operation without looking at them."""
        return {op: len(part) for op, part in self._parts().items() if part}

    def only(self, keep: Callable[[Change], bool], *ops: Op) -> Plan:
        """Return the plan without the changes that are not to be kept.

        Args:
            keep: Whether a change stays.
            ops: Who is asked; all others stay.
        """
        parts = self._parts()
        kept = {op: [c for c in parts[op] if keep(c)] for op in parts if op in ops}
        return replace(self, changes=Changes({**parts, **kept}))

    def _parts(self) -> Mapping[Op, Collection[Change]]:
        if isinstance(self.changes, Changes):
            return self.changes.parts
        parts: dict[Op, list[Change]] = {op: [] for op in APPLY_ORDER}
        for change in self.changes:
            parts[change.op].append(change)
        return parts
