"""The contract of all stores, tested by `tests/contract/test_store.py`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from dirbridge.model.account import Account
from dirbridge.model.entry import Cursor
from dirbridge.model.login import Attempt
from dirbridge.model.names import DomainName
from dirbridge.model.plan import Plan


class NameKind(StrEnum):
    """The kinds of names, in the order in which a login is compared with them."""

    LOGIN = "login"
    UPN = "upn"
    PRIMARY = "primary"
    ALIAS = "alias"


class RunResult(StrEnum):
    """How a sync run ended."""

    APPLIED = "applied"
    UNCHANGED = "unchanged"
    STOPPED = "stopped"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One sync run as the store remembers it.

    Attributes:
        number: The store's key, rising.
        domain: The mail domain.
        source: The directory within the domain.
        server: The server that was read.
        kind: `full` or `delta`.
        started_at: When it began (UTC).
        finished_at: When it ended (UTC).
        result: How it ended.
        read: Entries read.
        changes: How many changes, by operation.
        known: Keys of conflicts and unmappable entries that it reported, so that
            the next run can tell new ones.
        why: One sentence where it did not apply.
    """

    number: int
    domain: DomainName
    source: str
    server: str
    kind: str
    started_at: datetime
    finished_at: datetime
    result: RunResult
    read: int = 0
    changes: dict[str, int] = field(default_factory=dict)
    known: tuple[str, ...] = ()
    why: str = ""


@dataclass(frozen=True, slots=True)
class AuditRow:
    """One change as it was applied.

    Attributes:
        run: The run's number.
        at: When (UTC).
        op: The operation.
        account: The directory id.
        name: `mailbox@domain`.
        before: Fields that changed, old values, as JSON.
        after: The same fields, new values, as JSON.
        why: One sentence.
        server: The server that said so, or who did it.
    """

    run: int
    at: datetime
    op: str
    account: str
    name: str
    before: str
    after: str
    why: str
    server: str


@dataclass(frozen=True, slots=True)
class RecordedAttempt:
    """A login attempt as the store remembers it.

    Attributes:
        at: When it was recorded (UTC).
        attempt: The attempt; texts are shortened, and what no database can hold
            (NUL, lone surrogates) is replaced.
    """

    at: datetime
    attempt: Attempt


class StoreReader(Protocol):
    """What may be asked of the local user database, from any thread.

    Every answer is of one moment: no reader sees half of an `apply`. Every method
    may raise `StoreError`. Tested by `tests/contract/test_store.py`.
    """

    def named(
        self, domain: DomainName, kind: NameKind, name: str
    ) -> tuple[Account, ...]:
        """Return a domain's accounts that have a name of that kind.

        Names are compared after `fold`. For `ALIAS`, addresses that are kept for
        a time after a rename count while they last. Removed accounts never come.
        A name that no database can hold (with a NUL) belongs to nobody.

        Args:
            domain: The mail domain that the account belongs to.
            kind: Which kind of name.
            name: A bare login name for `LOGIN`, `name@suffix` for `UPN`, an
                address for `PRIMARY` and `ALIAS`.
        """
        ...

    def accounts(self, domain: DomainName | None = None) -> Iterator[Account]:
        """Stream accounts of one domain or of all, removed ones too, by number."""
        ...

    def cursor(self, domain: DomainName, source: str) -> Cursor | None:
        """Return where the next delta of a domain's directory goes on, or None."""
        ...

    def version(self) -> int:
        """Return the number of the newest run of any domain, 0 before the first.

        It moves with every `apply`; see `Plan.based_on`.
        """
        ...

    def last_runs(
        self, domain: DomainName, limit: int = 1, source: str | None = None
    ) -> tuple[Run, ...]:
        """Return the newest runs of a domain, newest first.

        Args:
            domain: The mail domain.
            limit: How many at most.
            source: Only those of this directory; `local` is what admins did.
        """
        ...

    def audit(self, run: int) -> tuple[AuditRow, ...]:
        """Return what a run changed, in the order in which it was applied."""
        ...

    def attempts(self, name: str, limit: int = 20) -> tuple[RecordedAttempt, ...]:
        """Return the newest attempts of somebody, newest first.

        Args:
            name: `mailbox@domain`, or what was typed; compared after `fold`.
            limit: How many at most.
        """
        ...

    def verifier(self, account: Account) -> str | None:
        """Return a local account's Argon2id verifier (PHC string), or None."""
        ...


class Store(StoreReader, Protocol):
    """A store that may be written. `apply` is the only way in for accounts."""

    def apply(self, plan: Plan, run: Run) -> Run:
        """Apply a plan: accounts, audit rows, cursor and run, all or nothing.

        Conflicts change no account but are audited. `run.number` is ignored and
        given by the store. A create takes `change.result` with a new number; any
        other operation replaces the account of `change.result.number`. Uniqueness
        is judged on the outcome: two accounts may swap addresses. A plan without a
        cursor keeps the cursor that is there.

        Args:
            plan: What to change; its changes are applied in their order.
            run: What to remember of the run.

        Returns:
            The run with its number.

        Raises:
            StoreError: Nothing was written; `outrun` where another run was applied
                since the plan's accounts were read.
        """
        ...

    def set_verifier(self, account: Account, verifier: str | None) -> None:
        """Keep a local account's Argon2id verifier, or forget it."""
        ...

    def record(self, attempts: Iterable[Attempt], at: datetime) -> None:
        """Write login attempts."""
        ...

    def close(self) -> None:
        """Let go of files and connections; the store is not used afterwards."""
        ...
