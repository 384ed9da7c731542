"""A store in memory: the same contract without a database, for tests and demos."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import islice
from threading import Event, Lock
from typing import Self

from dirbridge.errors import StoreError
from dirbridge.model.account import Account, AccountState
from dirbridge.model.credentials import Credentials
from dirbridge.model.entry import Cursor, EntryKind
from dirbridge.model.login import Attempt
from dirbridge.model.names import Address, DirectoryId, DomainName, fold
from dirbridge.model.plan import Approval, Op, Plan
from dirbridge.store import rows
from dirbridge.store.base import (
    WELL,
    AuditRow,
    NameKind,
    Notice,
    RecordedAttempt,
    Run,
    RunResult,
)
from dirbridge.store.credentials import CREDENTIALS, audit_row_of, run_of
from dirbridge.store.credentials_memory import (
    Alter,
    MemoryCredentials,
    without_revoked,
)
from dirbridge.store.gathering import PAGE
from dirbridge.store.personal_memory import MemoryPersonal
from dirbridge.store.pulse import Pulse
from dirbridge.store.tries import MemoryTries
from dirbridge.store.view import AccountsView

_WHERE = "memory"


@dataclass(frozen=True, slots=True)
class _Content:
    """All that the store holds; a write replaces it whole, so readers see one."""

    accounts: dict[int, Account] = field(default_factory=dict)
    credentials: dict[int, Credentials] = field(default_factory=dict)
    runs: tuple[Run, ...] = ()
    audit: dict[int, tuple[AuditRow, ...]] = field(default_factory=dict)
    cursors: dict[tuple[DomainName, str], Cursor] = field(default_factory=dict)
    attempts: tuple[RecordedAttempt, ...] = ()
    approvals: dict[str, Approval] = field(default_factory=dict)
    notices: dict[str, Notice] = field(default_factory=dict)


class MemoryStore(MemoryCredentials, MemoryPersonal):
    """A store that forgets everything at its end.

    Tested by `tests/contract/test_store.py`.
    """

    _content: _Content

    def __init__(
        self, clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        """Take the clock, in UTC, by which kept addresses lapse."""
        MemoryTries.__init__(self)
        self._clock = clock
        self._lock = Lock()
        self._content = _Content()
        self._turns: dict[DomainName, Lock] = {}

    def close(self) -> None:
        """Nothing to let go of."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def named(
        self, domain: DomainName, kind: NameKind, name: str
    ) -> tuple[Account, ...]:
        """Return a domain's accounts that have a name of that kind."""
        folded, now = fold(name), self._clock()
        return tuple(
            account
            for account in self.accounts(domain)
            if account.state is not AccountState.REMOVED
            and account.kind is EntryKind.ACCOUNT
            and folded in map(fold, _names(account, kind, now))
        )

    def accounts(self, domain: DomainName | None = None) -> Iterator[Account]:
        """Stream accounts of one domain or of all, removed ones too, by number."""
        held = self._content.accounts
        return (held[n] for n in sorted(held) if domain in (None, held[n].domain))

    def page(self, after: int, domain: DomainName | None = None) -> tuple[Account, ...]:
        """Return the next accounts by number, () behind the last."""
        later = (one for one in self.accounts(domain) if one.number > after)
        return tuple(islice(later, PAGE))

    def counts(self) -> Mapping[tuple[DomainName, EntryKind, AccountState], int]:
        """Count accounts, groups and contacts by domain, kind and state."""
        return Counter((one.domain, one.kind, one.state) for one in self.accounts())

    def cursor(self, domain: DomainName, source: str) -> Cursor | None:
        """Return where the next delta of a domain's directory goes on, or None."""
        return self._content.cursors.get((domain, source))

    def version(self) -> int:
        """Return the number of the newest run of any domain, 0 before the first."""
        return _version(self._content)

    @contextmanager
    def view(self) -> Iterator[AccountsView]:
        """Give a view of one moment."""
        held = self._content
        yield AccountsView(held.accounts.values(), _version(held), held.cursors)

    def run(self, number: int) -> Run | None:
        """Return one run, None where there is none with this number."""
        return next((run for run in self._content.runs if run.number == number), None)

    def history(self, account: DirectoryId, limit: int = 100) -> tuple[AuditRow, ...]:
        """Return what runs changed of one account, newest first."""
        told = (row for rows in self._content.audit.values() for row in rows)
        own = [row for row in told if row.account == account]
        return tuple(reversed(own))[:limit]

    def approval(self, name: str) -> Approval | None:
        """Return what a stopped run offered."""
        return self._content.approvals.get(name)

    def notices(self) -> tuple[Notice, ...]:
        """Return what needs a person."""
        held = self._content.notices.values()
        return tuple(sorted(held, key=lambda notice: (notice.since, notice.key)))

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
        """Return the newest runs of a domain, newest first."""
        own = [
            run
            for run in reversed(self._content.runs)
            if run.domain == domain
            and source in (None, run.source)
            and server in (None, run.server)
            and but != run.server
            and run.number > after
        ]
        return tuple(own[:limit])

    def last_success(
        self, domain: DomainName, source: str, but: str | None = None
    ) -> Run | None:
        """Return the newest run of a directory that was applied or changed nothing."""
        runs = self.last_runs(domain, len(self._content.runs), source, but=but)
        return next((run for run in runs if run.result in WELL), None)

    def audit(self, run: int) -> tuple[AuditRow, ...]:
        """Return what a run changed, in the order in which it was applied."""
        return self._content.audit.get(run, ())

    def attempts(self, name: str, limit: int = 20) -> tuple[RecordedAttempt, ...]:
        """Return the newest attempts of somebody, newest first."""
        folded = fold(name)
        own = [
            recorded
            for recorded in reversed(self._content.attempts)
            if folded
            in (
                fold(recorded.attempt.verdict.user),
                fold(recorded.attempt.request_name),
            )
        ]
        return tuple(own[:limit])

    def _recorded(self) -> tuple[RecordedAttempt, ...]:
        return self._content.attempts

    def _credentials(self) -> Mapping[int, Credentials]:
        return self._content.credentials

    def _alter(self, account: Account, alter: Alter) -> None:
        """Change an account's credentials, and tell of it where that is a deed."""
        with self._lock:
            old = self._content
            held = old.credentials.get(account.number, Credentials())
            new, deed = alter(held)
            if new == held:
                return
            if account.number not in old.accounts:
                raise _refused("the credentials belong to no account")
            kept = {**old.credentials, account.number: new}
            self._content = replace(old, credentials=kept)
            if deed is not None:
                run = replace(run_of(account, self._clock()), number=_next(old))
                told = {run.number: (audit_row_of(run, account, deed),)}
                self._content = replace(
                    self._content,
                    runs=(*old.runs, run),
                    audit={**old.audit, **told},
                )

    @contextmanager
    def turn(self, domain: DomainName) -> Iterator[_Turn]:
        """Take the right to sync a domain."""
        lock = self._turns.setdefault(domain, Lock())
        if not lock.acquire(blocking=False):
            raise StoreError("turn-taken", _WHERE, domain)
        try:
            yield _Turn(self)
        finally:
            lock.release()

    def remember(self, run: Run, offer: Approval | None = None) -> Run:
        """Remember a run that wrote nothing."""
        with self._lock:
            old = self._content
            known = replace(run, number=_next(old))
            approvals = dict(old.approvals)
            if offer is not None:
                approvals[offer.id] = offer
            runs = _with(old.runs, known)
            self._content = replace(old, runs=runs, approvals=approvals)
            return known

    def notice(self, notice: Notice) -> None:
        """Keep a notice under its key, or replace it."""
        with self._lock:
            held = {**self._content.notices, notice.key: notice}
            self._content = replace(self._content, notices=held)

    def forget_notice(self, key: str) -> None:
        """Forget a notice."""
        with self._lock:
            held = dict(self._content.notices)
            held.pop(key, None)
            self._content = replace(self._content, notices=held)

    def changed(self, told: Callable[[DomainName], None], stop: Event) -> None:
        """Nobody else can change what is in this process's memory."""
        del told
        stop.wait()

    @contextmanager
    def pulse(self) -> Iterator[Pulse]:
        """Give what tells whether something changed."""
        yield self

    def beat(self) -> int | None:
        """Return the number of the newest run; see `Pulse`."""
        runs = self._content.runs
        return runs[-1].number if runs else 0

    def prune(
        self, attempts_before: datetime | None, changes_before: datetime | None
    ) -> tuple[int, int]:
        """Forget old attempts and audit rows."""
        with self._lock:
            old = self._content
            attempts = tuple(
                one
                for one in old.attempts
                if attempts_before is None or one.at >= attempts_before
            )
            audit = {
                number: tuple(
                    row
                    for row in told
                    if changes_before is None or row.at >= changes_before
                )
                for number, told in old.audit.items()
            }
            newest = {(run.domain, run.source): run.number for run in old.runs}
            runs = tuple(
                run
                for run in old.runs
                if audit.get(run.number)
                or run.number in {*newest.values(), _version(old)}
                or changes_before is None
                or run.finished_at >= changes_before
            )
            approvals = {
                name: offer
                for name, offer in old.approvals.items()
                if changes_before is None or offer.until >= changes_before
            }
            self._content = replace(
                old,
                attempts=attempts,
                audit=audit,
                runs=runs,
                approvals=approvals,
                credentials=without_revoked(old.credentials, changes_before),
            )
            forgotten = sum(map(len, old.audit.values()))
            kept = sum(map(len, audit.values()))
            return len(old.attempts) - len(attempts), forgotten - kept

    def record(self, attempts: Iterable[Attempt], at: datetime) -> None:
        """Write login attempts."""
        new = [RecordedAttempt(at, rows.storable(attempt)) for attempt in attempts]
        with self._lock:
            held = (*self._content.attempts, *new)
            self._content = replace(self._content, attempts=held)

    def apply(self, plan: Plan, run: Run) -> Run:
        """Apply a plan: accounts, audit rows, cursor and run, all or nothing."""
        with self._lock:
            old = self._content
            if plan.based_on not in (None, _version(old)):
                raise StoreError("outrun", _WHERE)
            number = _next(old)
            known = replace(run, number=number)
            accounts = _applied(old.accounts, plan)
            _check_unique(accounts.values())
            told = [rows.audit_row(known, plan.server, c) for c in plan.changes]
            cursors = dict(old.cursors)
            if plan.cursor is not None:
                cursors[plan.domain, plan.source] = plan.cursor
            approvals = dict(old.approvals)
            if plan.approved is not None:
                offer = approvals.get(plan.approved.id)
                if offer is not None and offer.used_by is not None:
                    raise StoreError("outrun", _WHERE)
                used = replace(plan.approved, used_by=number)
                approvals[used.id] = used
            self._content = replace(
                old,
                approvals=approvals,
                accounts=accounts,
                runs=_with(old.runs, known),
                audit={**old.audit, number: tuple(told)},
                cursors=cursors,
            )
            return known


class _Turn:
    """Always ours: the lock is in this process."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store

    def check(self) -> None:
        """Nothing can take it away."""

    def apply(self, plan: Plan, run: Run) -> Run:
        """Apply a plan as the store does."""
        return self._store.apply(plan, run)


def _with(runs: tuple[Run, ...], new: Run) -> tuple[Run, ...]:
    """Add a run; what it knows is not kept twice."""
    if not new.known:
        return (*runs, new)
    own = (new.domain, new.source)
    older = (replace(o, known=()) if (o.domain, o.source) == own else o for o in runs)
    return (*older, new)


def _version(content: _Content) -> int:
    """Return the newest run that changed accounts."""
    return next((run.number for run in reversed(content.runs) if _counts(run)), 0)


def _counts(run: Run) -> bool:
    return run.result is RunResult.APPLIED and run.kind != CREDENTIALS


def _next(content: _Content) -> int:
    return content.runs[-1].number + 1 if content.runs else 1


def _applied(old: dict[int, Account], plan: Plan) -> dict[int, Account]:
    held = dict(old)
    for change in plan.changes:
        if change.op is Op.CONFLICT:
            continue
        if change.result is None:
            raise _refused(f"a change of {change.name} has no result")
        account = change.result
        if change.op is Op.CREATE:
            account = replace(account, number=max(held, default=0) + 1)
        elif account.number not in old:
            raise _refused(f"account {account.number} is not there")
        try:
            rows.check_storable(account)
        except rows.Unstorable as error:
            raise _refused(str(error)) from error
        held[account.number] = account
    for number, digest in plan.remembered.items():
        if number not in old:
            raise _refused(f"account {number} is not there")
        held[number] = replace(held[number], digest=digest)
    return held


def _names(account: Account, kind: NameKind, now: datetime) -> Iterable[str]:
    values = account.values
    match kind:
        case NameKind.LOGIN:
            return values.login_names
        case NameKind.UPN:
            return () if values.upn is None else (values.upn,)
        case NameKind.PRIMARY:
            return _primary(account)
        case NameKind.ALIAS:
            kept = (k.address for k in account.kept if k.until > now)
            return (*values.aliases, *kept)


def _primary(account: Account) -> tuple[Address, ...]:
    address = account.values.primary_address
    return () if address is None else (address,)


def _check_unique(accounts: Iterable[Account]) -> None:
    owners: dict[tuple[str, ...], int] = {}
    for account in accounts:
        for unique in _unique(account):
            if owners.setdefault(unique, account.number) != account.number:
                raise _refused(f"two accounts with one {unique[0]}")


def _unique(account: Account) -> Iterable[tuple[str, ...]]:
    """Return what no other account may have, each with its kind in front."""
    if account.kind is EntryKind.ACCOUNT:
        yield "mailbox name", account.domain, fold(account.mailbox)
    yield (
        "directory id",
        account.domain,
        account.source,
        account.values.directory_id,
    )
    if rows.is_live(account):
        for address in (*_primary(account), *account.values.aliases):
            yield "address", fold(address)


def _refused(words: str) -> StoreError:
    return StoreError("refused", _WHERE, words)
