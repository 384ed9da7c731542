"""The local user database on SQLite and PostgreSQL.

Plans are written by `store.application`, and answered about by `store.sql_view`.
Reads use statements that are built once and no ORM session: a login costs one
statement for a miss and three for a hit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from threading import Event
from typing import Any, Self

from sqlalchemy import (
    Select,
    bindparam,
    delete,
    func,
    or_,
    select,
)

from dirbridge.errors import StoreError
from dirbridge.model.account import Account, AccountState
from dirbridge.model.entry import Cursor, EntryKind
from dirbridge.model.login import Attempt
from dirbridge.model.names import DirectoryId, DomainName
from dirbridge.model.plan import Approval, Plan
from dirbridge.store import rows
from dirbridge.store.application import VERSION, Application
from dirbridge.store.base import (
    WELL,
    AuditRow,
    NameKind,
    Notice,
    RecordedAttempt,
    Run,
    Turn,
)
from dirbridge.store.credentials_sql import SqlCredentials
from dirbridge.store.database import Database, wrapped
from dirbridge.store.gathering import by_table, neighbours, page, paged
from dirbridge.store.personal_sql import SqlPersonal
from dirbridge.store.pruning import prune_attempts, prune_changes
from dirbridge.store.pulse import Pulse
from dirbridge.store.retrying import Writing
from dirbridge.store.schema import (
    SCHEMA,
    AccountRow,
    AddressKind,
    AddressRow,
    AttemptRow,
    ChangeRow,
    NameRow,
    NoticeRow,
    OfferRow,
    RunRow,
    key,
    table,
)
from dirbridge.store.sql_view import SqlView
from dirbridge.store.tries_sql import SqlTries
from dirbridge.store.turns import Hold, SqlTurn


class SqlStore(SqlCredentials, SqlTries, SqlPersonal):
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
                for account in neighbours(connection, [row])
            )

    def accounts(self, domain: DomainName | None = None) -> Iterator[Account]:
        """Stream accounts of one domain or of all, removed ones too, by number."""
        which = () if domain is None else (by_table(AccountRow.domain) == domain,)
        with wrapped(self._database), self._database.reads.begin() as connection:
            yield from paged(self._database, connection, page(*which), {})

    def page(self, after: int, domain: DomainName | None = None) -> tuple[Account, ...]:
        """Return the next accounts by number, () behind the last."""
        which = () if domain is None else (by_table(AccountRow.domain) == domain,)
        with wrapped(self._database), self._database.reads.begin() as connection:
            found = connection.execute(page(*which), {"after": after}).all()
            return neighbours(connection, found)

    def counts(self) -> Mapping[tuple[DomainName, EntryKind, AccountState], int]:
        """Count accounts, groups and contacts by domain, kind and state."""
        return {
            (DomainName(domain), EntryKind(kind), AccountState(state)): number
            for domain, kind, state, number in self._all(_COUNTED)
        }

    def cursor(self, domain: DomainName, source: str) -> Cursor | None:
        """Return where the next delta of a domain's directory goes on, or None."""
        with self.view() as view:
            return view.cursor(domain, source)

    @contextmanager
    def view(self) -> Iterator[SqlView]:
        """Give a view of one moment: that of a transaction."""
        with wrapped(self._database):
            connection = self._database.reads.connect()
        # What goes wrong while it is used is not the store's; what does at its end is.
        try:
            with wrapped(self._database):
                version = connection.execute(VERSION).scalar() or 0
            yield SqlView(self._database, connection, version)
        finally:
            with wrapped(self._database):
                connection.close()

    def run(self, number: int) -> Run | None:
        """Return one run, None where there is none with this number."""
        found = self._all(rows.RUN.where(RunRow.number == number))
        return rows.run(found[0]) if found else None

    def history(self, account: DirectoryId, limit: int = 100) -> tuple[AuditRow, ...]:
        """Return what runs changed of one account, newest first."""
        if not rows.is_storable(account):
            return ()
        told = rows.CHANGE.where(ChangeRow.account == account)
        newest = told.order_by(ChangeRow.run.desc(), ChangeRow.position.desc())
        return tuple(AuditRow(*row) for row in self._all(newest.limit(limit)))

    def approval(self, name: str) -> Approval | None:
        """Return what a stopped run offered."""
        if not rows.is_storable(name):
            return None
        found = self._all(rows.OFFER.where(OfferRow.id == name))
        return rows.approval(found[0]) if found else None

    def notices(self) -> tuple[Notice, ...]:
        """Return what needs a person."""
        return tuple(Notice(*row) for row in self._all(rows.NOTICE))

    @contextmanager
    def turn(self, domain: DomainName) -> Iterator[Turn]:
        """Take the right to sync a domain."""
        with ExitStack() as stack:
            with wrapped(self._database):
                hold = stack.enter_context(self._database.turn(domain))
            yield SqlTurn(hold, self._apply)

    def remember(self, run: Run, offer: Approval | None = None) -> Run:
        """Remember a run that wrote nothing."""

        def write(application: Application) -> Run:
            if offer is not None:
                application.offer(offer)
            return application.remember(run)

        return self._write(None, write)

    def notice(self, notice: Notice) -> None:
        """Keep a notice under its key, or replace it."""
        with wrapped(self._database), self._database.writes.begin() as connection:
            self._database.queue(connection)
            connection.execute(delete(NoticeRow).where(NoticeRow.key == notice.key))
            connection.execute(table(NoticeRow).insert(), rows.notice_row(notice))

    def forget_notice(self, key: str) -> None:
        """Forget a notice."""
        with wrapped(self._database), self._database.writes.begin() as connection:
            connection.execute(delete(NoticeRow).where(NoticeRow.key == key))

    def changed(self, told: Callable[[DomainName], None], stop: Event) -> None:
        """Call `told` whenever another process changed accounts."""
        self._database.changed(told, stop)

    @contextmanager
    def pulse(self) -> Iterator[Pulse]:
        """Give what tells whether something changed."""
        with ExitStack() as stack:
            with wrapped(self._database):
                pulse = stack.enter_context(self._database.pulse())
            yield pulse

    def prune(
        self, attempts_before: datetime | None, changes_before: datetime | None
    ) -> tuple[int, int]:
        """Forget old attempts and audit rows."""
        attempts = changes = 0
        with wrapped(self._database):
            if attempts_before is not None:
                attempts = prune_attempts(self._database, attempts_before)
            if changes_before is not None:
                changes = prune_changes(self._database, changes_before)
        return attempts, changes

    def version(self) -> int:
        """Return the number of the newest run that changed accounts."""
        with self.view() as view:
            return view.version

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
        newest = rows.RUN.where(RunRow.domain == domain, RunRow.number > after)
        if source is not None:
            newest = newest.where(RunRow.source == source)
        if server is not None:
            newest = newest.where(RunRow.server == server)
        if but is not None:
            newest = newest.where(RunRow.server != but)
        newest = newest.order_by(RunRow.number.desc()).limit(limit)
        return tuple(map(rows.run, self._all(newest)))

    def last_success(
        self, domain: DomainName, source: str, but: str | None = None
    ) -> Run | None:
        """Return the newest run of a directory that was applied or changed nothing."""
        good = rows.RUN.where(
            RunRow.domain == domain,
            RunRow.source == source,
            RunRow.result.in_(sorted(WELL)),
        )
        if but is not None:
            good = good.where(RunRow.server != but)
        found = self._all(good.order_by(RunRow.number.desc()).limit(1))
        return rows.run(found[0]) if found else None

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

    def record(self, attempts: Iterable[Attempt], at: datetime) -> None:
        """Write login attempts."""
        database = self._database
        with wrapped(database):
            now = database.moment(at)
            new = [rows.attempt_row(attempt, now) for attempt in attempts]
            if new:
                with database.writes.begin() as connection:
                    names = rows.ATTEMPT_COLUMNS
                    database.append(connection, table(AttemptRow), names, new)

    def apply(self, plan: Plan, run: Run) -> Run:
        """Apply a plan: accounts, audit rows, cursor and run, all or nothing."""
        return self._apply(None, plan, run)

    def _apply(self, hold: Hold | None, plan: Plan, run: Run) -> Run:
        return self._write(hold, lambda application: application.apply(plan, run))

    def _write(self, hold: Hold | None, work: Callable[[Application], Run]) -> Run:
        if self._schema > SCHEMA:
            words = f"schema {self._schema}: only logins and look-ups work on it"
            raise StoreError("newer-schema", self.where, words)
        database = self._database
        begin = database.writes.begin if hold is None else hold.begin
        with wrapped(database):
            return Writing(
                database,
                begin,
                lambda connection: work(Application(database, connection)),
                anew=hold is None,
            ).done()

    def _all(self, statement: Select[*tuple[Any, ...]]) -> Sequence[Any]:
        with wrapped(self._database), self._database.reads.begin() as connection:
            return connection.execute(statement).all()


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
        AccountRow.kind == EntryKind.ACCOUNT.value,
    ).order_by(AccountRow.number)


# One walk through the table for all domains: no index has all of it.
_PARTS = (by_table(AccountRow.domain).label("where"), AccountRow.kind, AccountRow.state)
_COUNTED = select(*_PARTS, func.count()).group_by("where", *_PARTS[1:])
_NAMED = {
    NameKind.LOGIN: _owner_of_name(NameKind.LOGIN),
    NameKind.UPN: _owner_of_name(NameKind.UPN),
    NameKind.PRIMARY: _owner_of_address(AddressKind.PRIMARY),
    NameKind.ALIAS: _owner_of_alias(),
}
