"""Turns: one run of a domain at a time, for all processes that use the store.

A turn is a lock that ends with its holder: on SQLite with the process (a locked file
beside the database), on PostgreSQL with a session of the database. There a plan is
written by that very session, so a bridge that has lost the lock has lost the means
to commit as well.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from sqlalchemy import Connection

from dirbridge.model.plan import Plan
from dirbridge.store.base import Run


class Hold(Protocol):
    """A lock that is held; `sqlite_turns` and `postgresql_turns` have one class each.

    Tested by `tests/contract/test_turns.py`.
    """

    def check(self) -> None:
        """Make sure that the lock is still held.

        Raises:
            StoreError: `turn-lost`.
        """
        ...

    def begin(self) -> AbstractContextManager[Connection]:
        """Return a connection in a transaction that commits only while it is held."""
        ...


@dataclass(frozen=True, slots=True)
class SqlTurn:
    """The right to sync one domain; see `store.base.Turn`.

    Attributes:
        hold: The lock.
        write: Applies a plan in a transaction of the lock's.
    """

    hold: Hold
    write: Callable[[Hold, Plan, Run], Run]

    def check(self) -> None:
        """Make sure that the turn is still ours."""
        self.hold.check()

    def apply(self, plan: Plan, run: Run) -> Run:
        """Apply a plan as the store does; nothing is written without the turn."""
        self.hold.check()
        return self.write(self.hold, plan, run)
