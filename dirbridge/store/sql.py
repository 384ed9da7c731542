"""The local user database on SQLite and PostgreSQL.

`SqlStore.apply` is one transaction: child rows of every changed account go first
and come back last, so that uniqueness is judged on the outcome, not on the way.
Reads use statements that are built once and no ORM session: a login costs one
statement for a miss and four for a hit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from threading import Event
from typing import Any, Self, TypeVar

from sqlalchemy import (
    Connection,
    Select,
    bindparam,
    delete,
    func,
    or_,
    select,
    update,
)

from dirbridge.errors import StoreError
from dirbridge.model.account import Account, AccountState
from dirbridge.model.entry import Cursor
from dirbridge.model.login import Attempt
from dirbridge.model.names import DirectoryId, DomainName
from dirbridge.model.plan import Approval, Change, Op, Plan
from dirbridge.store import rows
from dirbridge.store.base import (
    AuditRow,
    NameKind,
    Notice,
    RecordedAttempt,
    Run,
    RunResult,
    Turn,
)
from dirbridge.store.database import Database, wrapped
from dirbridge.store.retrying import Writing
from dirbridge.store.schema import (
    SCHEMA,
    AccountRow,
    AddressKind,
    AddressRow,
    AttemptRow,
    ChangeRow,
    CursorRow,
    DomainRow,
    NameRow,
    RunRow,
    VerifierRow,
    key,
    table,
)
from dirbridge.store.turns import Hold, SqlTurn
from dirbridge.store.view import AccountsView

T = TypeVar("T")

_PAGE = 1000
_MANY = 500


class SqlStore:
    """A store in SQL; open one with `store.opening.open_store`.

    Tested by `tests/contract/test_store.py`.
    """

    def __init__(
        self,
        database: Database,
        *,
        schema: int = SCHEMA,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """Take an open database.

        Args:
            database: SQLite or PostgreSQL, with its tables there.
            schema: The number of the schema that it has.
            clock: Now, in UTC.
        """
        self._database = database
        self._schema = schema
        self._clock = clock

    @property
    def where(self) -> str:
        """The database for people, without any password."""
        return self._database.where

    def close(self) -> None:
        """Close every connection."""
        self._database.reads.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def named(
        self, domain: DomainName, kind: NameKind, name: str
    ) -> tuple[Account, ...]:
        """Return a domain's accounts that have a name of that kind."""
        folded = key(name)
        if not rows.is_storable(folded):
            return ()
        wanted: dict[str, object] = {"key": folded}
        if kind is NameKind.ALIAS:
            wanted["now"] = self._clock()
        with wrapped(self._database), self._database.reads.begin() as connection:
            found = connection.execute(_NAMED[kind], wanted).all()
            # One by one: two that share a name may stand far apart.
            return tuple(
                account
                for row in found
                if row.domain == domain
                for account in _with_lists(connection, [row])
            )

    def accounts(self, domain: DomainName | None = None) -> Iterator[Account]:
        """Stream accounts of one domain or of all, removed ones too, by number."""
        page = _page(domain)
        last = 0
        with wrapped(self._database), self._database.reads.begin() as connection:
            while found := connection.execute(page, {"after": last}).all():
                last = found[-1].number
                yield from _with_lists(connection, found)

    def cursor(self, domain: DomainName, source: str) -> Cursor | None:
        """Return where the next delta of a domain's directory goes on, or None."""
        wanted = {"domain": domain, "source": source}
        with wrapped(self._database), self._database.reads.begin() as connection:
            row = connection.execute(_CURSOR, wanted).one_or_none()
        return None if row is None else Cursor(row.kind, bytes(row.value))

    @contextmanager
    def view(self) -> Iterator[AccountsView]:
        """Give a view of one moment."""
        yield AccountsView(self.accounts(), self.version(), {})

    def run(self, number: int) -> Run | None:
        """Return one run, None where there is none with this number."""
        raise NotImplementedError

    def history(self, account: DirectoryId, limit: int = 100) -> tuple[AuditRow, ...]:
        """Return what runs changed of one account, newest first."""
        raise NotImplementedError

    def approval(self, name: str) -> Approval | None:
        """Return what a stopped run offered."""
        raise NotImplementedError

    def notices(self) -> tuple[Notice, ...]:
        """Return what needs a person."""
        raise NotImplementedError

    @contextmanager
    def turn(self, domain: DomainName) -> Iterator[Turn]:
        """Take the right to sync a domain."""
        with ExitStack() as stack:
            with wrapped(self._database):
                hold = stack.enter_context(self._database.turn(domain))
            yield SqlTurn(hold, self._apply)

    def remember(self, run: Run, offer: Approval | None = None) -> Run:
        """Remember a run that wrote nothing."""
        raise NotImplementedError

    def notice(self, notice: Notice) -> None:
        """Keep a notice under its key, or replace it."""
        raise NotImplementedError

    def forget_notice(self, key: str) -> None:
        """Forget a notice."""
        raise NotImplementedError

    def changed(self, told: Callable[[DomainName], None], stop: Event) -> None:
        """Call `told` whenever another process changed accounts."""
        raise NotImplementedError

    def prune(
        self, attempts_before: datetime | None, changes_before: datetime | None
    ) -> tuple[int, int]:
        """Forget old attempts and audit rows."""
        raise NotImplementedError

    def version(self) -> int:
        """Return the number of the newest run that changed accounts."""
        return int(self._all(_VERSION)[0][0])

    def last_runs(
        self, domain: DomainName, limit: int = 1, source: str | None = None
    ) -> tuple[Run, ...]:
        """Return the newest runs of a domain, newest first."""
        newest = rows.RUN.where(RunRow.domain == domain)
        if source is not None:
            newest = newest.where(RunRow.source == source)
        newest = newest.order_by(RunRow.number.desc()).limit(limit)
        return tuple(map(rows.run, self._all(newest)))

    def audit(self, run: int) -> tuple[AuditRow, ...]:
        """Return what a run changed, in the order in which it was applied."""
        told = rows.CHANGE.where(ChangeRow.run == run).order_by(ChangeRow.position)
        return tuple(AuditRow(*row) for row in self._all(told))

    def attempts(self, name: str, limit: int = 20) -> tuple[RecordedAttempt, ...]:
        """Return the newest attempts of somebody, newest first."""
        folded = key(name)
        if not rows.is_storable(folded):
            return ()
        named = or_(AttemptRow.user_key == folded, AttemptRow.name_key == folded)
        newest = rows.ATTEMPT.where(named).order_by(AttemptRow.number.desc())
        return tuple(map(rows.attempt, self._all(newest.limit(limit))))

    def verifier(self, account: Account) -> str | None:
        """Return an account's Argon2id verifier, or None."""
        held = select(VerifierRow.verifier).where(VerifierRow.account == account.number)
        found = self._all(held)
        return found[0].verifier if found else None

    def set_verifier(self, account: Account, verifier: str | None) -> None:
        """Keep an account's Argon2id verifier, or forget it."""
        number = account.number
        with wrapped(self._database), self._database.writes.begin() as connection:
            connection.execute(delete(VerifierRow).where(VerifierRow.account == number))
            if verifier is not None:
                row = {"account": number, "verifier": verifier}
                connection.execute(table(VerifierRow).insert(), row)

    def record(self, attempts: Iterable[Attempt], at: datetime) -> None:
        """Write login attempts."""
        new = [rows.attempt_row(attempt, at) for attempt in attempts]
        if not new:
            return
        with wrapped(self._database), self._database.writes.begin() as connection:
            connection.execute(table(AttemptRow).insert(), new)

    def apply(self, plan: Plan, run: Run) -> Run:
        """Apply a plan: accounts, audit rows, cursor and run, all or nothing."""
        return self._apply(None, plan, run)

    def _apply(self, hold: Hold | None, plan: Plan, run: Run) -> Run:
        if self._schema > SCHEMA:
            words = f"schema {self._schema}: only logins and look-ups work on it"
            raise StoreError("newer-schema", self.where, words)
        database = self._database
        begin = database.writes.begin if hold is None else hold.begin
        with wrapped(database):
            return Writing(
                database,
                begin,
                lambda connection: _Application(database, connection).apply(plan, run),
                anew=hold is None,
            ).done()

    def _all(self, statement: Select[*tuple[Any, ...]]) -> Sequence[Any]:
        with wrapped(self._database), self._database.reads.begin() as connection:
            return connection.execute(statement).all()


class _Application:
    """One plan on its way into the tables, inside one transaction."""

    def __init__(self, database: Database, connection: Connection) -> None:
        self._database = database
        self._connection = connection

    def apply(self, plan: Plan, run: Run) -> Run:
        self._check_current(plan)
        for account in _results(plan):
            rows.check_storable(account)
        known = replace(run, number=self._remember(run))
        for domain in {plan.domain} | {account.domain for account in _results(plan)}:
            self._know(domain, run.finished_at)
        changed = {a.number: a for a in _results(plan, created=False)}
        self._clear(list(changed))
        self._update(list(changed.values()))
        created = self._create(_results(plan, created=True))
        self._fill([*changed.values(), *created])
        self._audit(plan, known)
        self._point(plan, run.finished_at)
        return known

    def _check_current(self, plan: Plan) -> None:
        newest = self._connection.execute(_VERSION).scalar_one()
        if plan.based_on is not None and plan.based_on != newest:
            raise StoreError("outrun", self._database.where)

    def _remember(self, run: Run) -> int:
        self._know(run.domain, run.finished_at)
        insert = table(RunRow).insert().returning(RunRow.number)
        return self._connection.execute(insert, rows.run_row(run)).scalar_one()

    def _know(self, domain: DomainName, since: datetime) -> None:
        there = select(DomainRow.name).where(DomainRow.name == domain)
        if self._connection.execute(there).first() is None:
            row = {"name": domain, "since": since}
            self._connection.execute(table(DomainRow).insert(), row)

    def _clear(self, numbers: list[int]) -> None:
        for some in _portions(numbers):
            for child in (NameRow, AddressRow):
                gone = delete(child).where(child.account.in_(some))
                self._connection.execute(gone)

    def _update(self, accounts: list[Account]) -> None:
        numbers = [account.number for account in accounts]
        there: set[int] = set()
        for some in _portions(numbers):
            known = select(AccountRow.number).where(AccountRow.number.in_(some))
            there.update(self._connection.execute(known).scalars())
        if missing := set(numbers) - there:
            words = f"the plan changes account {min(missing)}, which is not there"
            raise StoreError("refused", self._database.where, words)
        if accounts:
            new = [{"_number": a.number, **rows.account_row(a)} for a in accounts]
            self._connection.execute(_UPDATE, new)

    def _create(self, accounts: Sequence[Account]) -> list[Account]:
        if not accounts:
            return []
        numbers = self._database.account_numbers(self._connection, len(accounts))
        numbered = [
            replace(account, number=number)
            for account, number in zip(accounts, numbers, strict=True)
        ]
        new = [{"number": a.number, **rows.account_row(a)} for a in numbered]
        self._database.insert(self._connection, table(AccountRow), new)
        return numbered

    def _fill(self, accounts: list[Account]) -> None:
        for row, new in (
            (
                NameRow,
                [r for a in accounts for r in rows.name_rows(a.number, a.values)],
            ),
            (AddressRow, [r for a in accounts for r in rows.address_rows(a.number, a)]),
        ):
            self._database.insert(self._connection, table(row), new)

    def _audit(self, plan: Plan, run: Run) -> None:
        new = []
        for position, change in enumerate(plan.changes):
            told = rows.audit_row(run, plan.server, change)
            new.append({"position": position, **rows.change_row(told)})
        self._database.insert(self._connection, table(ChangeRow), new)

    def _point(self, plan: Plan, at: datetime) -> None:
        if plan.cursor is None:
            return
        old = delete(CursorRow).where(
            CursorRow.domain == plan.domain, CursorRow.source == plan.source
        )
        self._connection.execute(old)
        row = {
            "domain": plan.domain,
            "source": plan.source,
            "kind": plan.cursor.kind,
            "value": plan.cursor.value,
            "at": at,
        }
        self._connection.execute(table(CursorRow).insert(), row)


def _results(plan: Plan, *, created: bool | None = None) -> list[Account]:
    """Return the accounts of a plan's creates, of its other changes, or of all."""
    return [
        _result(change)
        for change in plan.changes
        if change.op is not Op.CONFLICT
        and (created is None or (change.op is Op.CREATE) is created)
    ]


def _result(change: Change) -> Account:
    if change.result is None:
        words = f"its change of {change.name} ({change.op}) has no result"
        raise StoreError("refused", "plan", words)
    return change.result


def _portions(values: Sequence[T]) -> Iterator[Sequence[T]]:
    return (values[i : i + _MANY] for i in range(0, len(values), _MANY))


def _with_lists(connection: Connection, found: Sequence[Any]) -> tuple[Account, ...]:
    """Read the lists of some accounts, one statement for each kind of list.

    Accounts of a page are neighbours, so their lists are one range of each table.
    """
    if not found:
        return ()
    lists = {row.number: rows.Lists() for row in found}
    span = {"first": min(lists), "last": max(lists)}
    for number, kind, name in connection.execute(_NAMES, span):
        if (own := lists.get(number)) is not None:
            own.add_name(kind, name)
    for number, kind, address, until in connection.execute(_ADDRESSES, span):
        if (own := lists.get(number)) is not None:
            own.add_address(kind, address, until)
    return tuple(rows.account(row, lists[row.number]) for row in found)


def _page(domain: DomainName | None) -> Select[*tuple[Any, ...]]:
    page = rows.ACCOUNT.where(AccountRow.number > bindparam("after"))
    page = page.order_by(AccountRow.number).limit(_PAGE)
    return page if domain is None else page.where(AccountRow.domain == domain)


def _owner_of_name(kind: NameKind) -> Select[*tuple[Any, ...]]:
    named = select(NameRow.account).where(
        NameRow.key == bindparam("key"), NameRow.kind == kind.value
    )
    return _owner(named)


def _owner_of_address(kind: AddressKind) -> Select[*tuple[Any, ...]]:
    held = select(AddressRow.account).where(
        AddressRow.key == bindparam("key"), AddressRow.kind == kind.value
    )
    return _owner(held)


def _owner_of_alias() -> Select[*tuple[Any, ...]]:
    held = select(AddressRow.account).where(
        AddressRow.key == bindparam("key"),
        AddressRow.kind.in_([AddressKind.ALIAS.value, AddressKind.KEPT.value]),
        or_(AddressRow.until.is_(None), AddressRow.until > bindparam("now")),
    )
    return _owner(held)


def _owner(numbers: Select[int]) -> Select[*tuple[Any, ...]]:
    # Not by domain: SQLite would then walk through the whole domain instead of
    # the few that have the name.
    return rows.ACCOUNT.where(
        AccountRow.number.in_(numbers),
        AccountRow.state != AccountState.REMOVED.value,
    ).order_by(AccountRow.number)


_NAMED = {
    NameKind.LOGIN: _owner_of_name(NameKind.LOGIN),
    NameKind.UPN: _owner_of_name(NameKind.UPN),
    NameKind.PRIMARY: _owner_of_address(AddressKind.PRIMARY),
    NameKind.ALIAS: _owner_of_alias(),
}
_NAMES = (
    select(NameRow.account, NameRow.kind, NameRow.name)
    .where(NameRow.account.between(bindparam("first"), bindparam("last")))
    .order_by(NameRow.account, NameRow.kind, NameRow.position)
)
_ADDRESSES = (
    select(AddressRow.account, AddressRow.kind, AddressRow.address, AddressRow.until)
    .where(AddressRow.account.between(bindparam("first"), bindparam("last")))
    .order_by(AddressRow.account, AddressRow.kind, AddressRow.position)
)
_VERSION = select(func.coalesce(func.max(RunRow.number), 0)).where(
    RunRow.result == RunResult.APPLIED.value
)

_CURSOR = select(CursorRow.kind, CursorRow.value).where(
    CursorRow.domain == bindparam("domain"), CursorRow.source == bindparam("source")
)
_UPDATE = update(table(AccountRow)).where(
    table(AccountRow).c.number == bindparam("_number")
)
