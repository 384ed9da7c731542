"""The plan of a sync run: the whole decision before the first write."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from dirbridge.model.account import Account
from dirbridge.model.entry import Cursor, ReadKind
from dirbridge.model.names import DirectoryId, DomainName

Value = str | int | None | tuple[str, ...]
"""What a field holds in a change, an audit row, a preview and in JSON."""


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
        entry: Fingerprint of the mapped entry, "" where there is none.
        row: Fingerprint of the stored account, "" where there is none.
        why: One sentence.
        result: The account as it shall be stored; None for a conflict.
    """

    op: Op
    account: DirectoryId
    name: str
    before: Mapping[str, Value] = field(default_factory=dict)
    after: Mapping[str, Value] = field(default_factory=dict)
    entry: str = ""
    row: str = ""
    why: str = ""
    result: Account | None = field(default=None, repr=False, compare=False)


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
        containers: How many accounts this directory has in the store that are
            active or disabled, for each container's DN; the limits' wholes.
        unchanged: Accounts that stay as they are.
        changes: What changes, in the order in which it is applied: what takes
            away first, so that names and addresses become free.
        cursor: Stored with the changes, for the next delta.
        based_on: The store's version before its accounts were read; a store that
            has moved on refuses the plan. None for a plan that needs no such guard.
        scope_changed: Whether base, filter or mapping are others than at the last
            run, so that somebody may only seem to have vanished.
        source: Name of the directory within the domain, see `Account.source`.
    """

    domain: DomainName
    server: str
    kind: ReadKind
    complete: bool
    made_at: datetime
    base: str = ""
    read: int = 0
    containers: Mapping[str, int] = field(default_factory=dict)
    unchanged: int = 0
    changes: tuple[Change, ...] = ()
    cursor: Cursor | None = None
    based_on: int | None = None
    scope_changed: bool = False
    source: str = "directory"

    @property
    def stored(self) -> int:
        """Accounts of this directory that were active or disabled before."""
        return sum(self.containers.values())

    def of(self, *ops: Op) -> tuple[Change, ...]:
        """Return the changes with one of these operations."""
        return tuple(change for change in self.changes if change.op in ops)
