"""The contract of all stores, tested by `tests/contract/test_store.py`."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from threading import Event
from typing import NamedTuple, Protocol

from dirbridge.model.account import Account, AccountState
from dirbridge.model.entry import Cursor, EntryKind
from dirbridge.model.login import Attempt
from dirbridge.model.names import DirectoryId, DomainName
from dirbridge.model.plan import Approval, Plan
from dirbridge.store.credentials_base import CredentialsReader, CredentialsStore
from dirbridge.store.personal_base import PersonalReader, PersonalStore
from dirbridge.store.pulse import Pulse
from dirbridge.store.tries_base import TriesReader, TriesStore

RESTORED = Cursor("restored", b"")
"""Stands in the place of every cursor in a store that was restored from a backup: the
next run reads everything, believes no digest, and what it would take away needs
approval."""


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


WELL = frozenset({RunResult.APPLIED, RunResult.UNCHANGED})
"""How a run ends whose directory was read and whose plan could be applied."""


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
            the next run can tell new ones. Only the newest run of a directory that
            had any keeps them: they may be many, and runs are.
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


class Remembered(NamedTuple):
    """What a read must know of a stored account.

    Attributes:
        id: Its stable id.
        digest: See `Account.digest`.
        kind: Account, group or contact.
        state: Its state.
    """

    id: DirectoryId
    digest: bytes
    kind: EntryKind
    state: AccountState


@dataclass(frozen=True, slots=True)
class Notice:
    """Something that needs a person, told once and once more when it is over.

    Attributes:
        key: What it is about; one cause has one key.
        domain: The mail domain, "" where it is about no single one.
        code: A word for it, such as `sync-stopped`.
        text: What is wrong, one sentence.
        next: What to do, one sentence.
        since: Since when (UTC).
        told_at: When people were told (UTC), None where nobody could be yet.
        over_at: When it was over (UTC); kept until people were told that, too.
    """

    key: str
    domain: str
    code: str
    text: str
    next: str
    since: datetime
    told_at: datetime | None = None
    over_at: datetime | None = None


class StoreView(Protocol):
    """What the store has at one moment, for a plan; used by one thread.

    Every method may raise `StoreError`. Tested by `tests/contract/test_store_view.py`.

    Attributes:
        version: See `StoreReader.version`.
    """

    version: int

    def cursor(self, domain: DomainName, source: str) -> Cursor | None:
        """Return where the next delta of a domain's directory goes on, or None."""
        ...

    def remembered(self, domain: DomainName, source: str) -> Iterator[Remembered]:
        """Stream what a read must know of each mapped account of a directory.

        Groups, contacts and removed accounts are among them.
        """
        ...

    def by_id(
        self, domain: DomainName, source: str, ids: Collection[DirectoryId]
    ) -> dict[DirectoryId, Account]:
        """Return those of a directory's mapped accounts that have one of these ids."""
        ...

    def holders(
        self,
        domain: DomainName,
        names: Collection[str],
        addresses: Collection[str],
    ) -> tuple[Account, ...]:
        """Return every account that has one of these names or addresses.

        Whatever its state and origin: who asks judges whether it still holds them.

        Args:
            domain: The mail domain in which the names are looked for.
            names: Login names and UPNs, folded.
            addresses: Addresses of any domain, folded; kept ones and an account's
                own `mailbox@domain` count.
        """
        ...

    def taken(self, domain: DomainName, mailboxes: Collection[str]) -> frozenset[str]:
        """Return which mailbox names nobody new may have, numbered ones too.

        Args:
            domain: The mail domain.
            mailboxes: Wanted names, folded.

        Returns:
            Of the wanted names and of each with `-NUMBER` behind it those, folded,
            that an account of the domain has or had as mailbox name, or that stand
            before `@domain` in an address of whomever.
        """
        ...

    def live(self, domain: DomainName) -> Mapping[tuple[str, EntryKind], int]:
        """Count a domain's active and disabled accounts by source and kind.

        Local ones are among them, under their source.
        """
        ...

    def containers(
        self, domain: DomainName, source: str
    ) -> Mapping[tuple[EntryKind, str], int]:
        """Count a directory's active and disabled accounts by kind and parent DN."""
        ...

    def due(
        self, domain: DomainName, source: str, since: datetime
    ) -> tuple[Account, ...]:
        """Return a directory's accounts that are deactivated since then or longer."""
        ...

    def mapped(self, domain: DomainName, source: str) -> Iterator[Account]:
        """Stream a directory's mapped accounts, removed ones too, by number."""
        ...


class Turn(Protocol):
    """The right to sync one domain, held by one bridge at a time."""

    def check(self) -> None:
        """Make sure that the turn is still ours.

        Raises:
            StoreError: `turn-lost`: another bridge may have it by now.
        """
        ...

    def apply(self, plan: Plan, run: Run) -> Run:
        """Apply a plan as `Store.apply` does; nothing is written without the turn.

        Raises:
            StoreError: Also `turn-lost`.
        """
        ...


class StoreReader(CredentialsReader, TriesReader, PersonalReader, Protocol):
    """What may be asked of the local user database, from any thread.

    Every answer is of one moment: no reader sees half of an `apply`. Every method
    may raise `StoreError`. Tested by `tests/contract/test_store.py`.
    """

    def named(
        self, domain: DomainName, kind: NameKind, name: str
    ) -> tuple[Account, ...]:
        """Return a domain's accounts that have a name of that kind.

        Names are compared after `fold`. For `ALIAS`, addresses that are kept for
        a time after a rename count while they last. Removed accounts, groups and
        contacts never come: nobody logs in as one.
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

    def page(self, after: int, domain: DomainName | None = None) -> tuple[Account, ...]:
        """Return the next accounts by number, () behind the last.

        What is open behind `accounts` stays open for as long as somebody looks at
        what came first; each page is of a moment of its own.

        Args:
            after: The number of the last one of the page before, 0 in the beginning.
            domain: Only accounts of this domain.
        """
        ...

    def counts(self) -> Mapping[tuple[DomainName, EntryKind, AccountState], int]:
        """Count accounts, groups and contacts by domain, kind and state."""
        ...

    def cursor(self, domain: DomainName, source: str) -> Cursor | None:
        """Return where the next delta of a domain's directory goes on, or None."""
        ...

    def view(self) -> AbstractContextManager[StoreView]:
        """Give a view of one moment, which no write moves, for as long as it is open.

        Keep it short: PostgreSQL cannot tidy up behind it.
        """
        ...

    def version(self) -> int:
        """Return the number of the newest run that changed accounts, 0 before.

        See `Plan.based_on`. Runs that changed credentials only do not count, see
        `store.credentials_base`.
        """
        ...

    def last_runs(
        self,
        domain: DomainName,
        limit: int = 1,
        source: str | None = None,
        *,
        server: str | None = None,
        but: str | None = None,
        after: int = 0,
    ) -> tuple[Run, ...]:
        """Return the newest runs of a domain, newest first.

        Args:
            domain: The mail domain.
            limit: How many at most.
            source: Only those of this directory; `local` is what admins did.
            server: Only those with this server; `admin` stands for a person.
            but: None of those with this server.
            after: Only those with a higher number.
        """
        ...

    def last_success(
        self, domain: DomainName, source: str, but: str | None = None
    ) -> Run | None:
        """Return the newest run of a directory that was applied or changed nothing.

        Args:
            domain: The mail domain.
            source: The directory.
            but: None of those with this server.
        """
        ...

    def run(self, number: int) -> Run | None:
        """Return one run, None where there is none with this number."""
        ...

    def history(self, account: DirectoryId, limit: int = 100) -> tuple[AuditRow, ...]:
        """Return what runs changed of one account, newest first.

        Args:
            account: Its stable id.
            limit: How many rows at most.
        """
        ...

    def approval(self, name: str) -> Approval | None:
        """Return what a stopped run offered, also when it lapsed or was used."""
        ...

    def notices(self) -> tuple[Notice, ...]:
        """Return what needs a person, and what is over and not told yet."""
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


class Store(StoreReader, CredentialsStore, TriesStore, PersonalStore, Protocol):
    """A store that may be written. `apply` is the only way in for accounts."""

    def apply(self, plan: Plan, run: Run) -> Run:
        """Apply a plan: accounts, audit rows, cursor and run, all or nothing.

        Conflicts change no account but are audited. `run.number` is ignored and
        given by the store. A create takes `change.result` with a new number; any
        other operation replaces the account of `change.result.number`. Uniqueness
        is judged on the outcome: two accounts may swap addresses. A plan without a
        cursor keeps the cursor that is there. `plan.remembered` is written without an
        audit row, and `plan.approved` is marked as used by this run.

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

    def turn(self, domain: DomainName) -> AbstractContextManager[Turn]:
        """Take the right to sync a domain, for all processes that use the store.

        It ends with the block, and with the process or its database session.

        Raises:
            StoreError: `turn-taken`: another run of the domain is going on.
        """
        ...

    def remember(self, run: Run, offer: Approval | None = None) -> Run:
        """Remember a run that wrote nothing: it stopped, or failed.

        Args:
            run: As for `apply`; it moves no version.
            offer: What would let it pass. One with the same id that was used or
                lapsed is offered anew.
        """
        ...

    def notice(self, notice: Notice) -> None:
        """Keep a notice under its key, or replace it."""
        ...

    def forget_notice(self, key: str) -> None:
        """Forget a notice: people were told that it is over."""
        ...

    def changed(self, told: Callable[[DomainName], None], stop: Event) -> None:
        """Call `told` with a domain whenever another process changed its accounts.

        Also where it changed the credentials of one.
        Blocks until stopped, and is called in a thread of its own. In the beginning,
        and where something may have been missed, each domain is told; what this
        process changes itself may be told, too. Raises nothing: what fails is tried
        again. Tested by `tests/contract/test_feed.py`.
        """
        ...

    def pulse(self) -> AbstractContextManager[Pulse]:
        """Give what tells whether something changed, for what is kept in memory.

        Raises:
            StoreError: It cannot be had.
        """
        ...

    def prune(
        self, attempts_before: datetime | None, changes_before: datetime | None
    ) -> tuple[int, int]:
        """Forget old attempts, and old audit rows with the runs that have no others.

        The newest run of each directory stays.

        Returns:
            How many attempts and how many audit rows were forgotten.
        """
        ...

    def record(self, attempts: Iterable[Attempt], at: datetime) -> None:
        """Write login attempts."""
        ...

    def close(self) -> None:
        """Let go of files and connections; the store is not used afterwards."""
        ...
