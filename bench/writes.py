"""Rows about writing: `Store.apply` of new accounts, against the bare driver.

The reference writes the very same rows into a store that dirbridge made, in one
transaction and as durably: the rows that ours has just written are read from its
tables first, which is not measured.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from psycopg.sql import SQL, Composed, Identifier

from bench.databases import Database, PostgresqlDatabase, SqliteFile, postgresql
from bench.row import BenchError, Pair
from dirbridge.model.account import Account, AccountValues, Origin
from dirbridge.model.entry import ReadKind
from dirbridge.model.fields import show
from dirbridge.model.names import Address, DirectoryId, DomainName
from dirbridge.model.plan import Change, Op, Plan
from dirbridge.model.secret import Secret
from dirbridge.store.base import Run, RunResult
from dirbridge.store.opening import open_store
from dirbridge.store.schema import Base
from testbed import cast, scale

DOMAIN = DomainName(cast.OD_MAIL_DOMAIN)
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
Rows = list[tuple[Any, ...]]
TABLES = [table.name for table in Base.metadata.sorted_tables]
"""The store's tables, those that others refer to first."""

Insert = Callable[[str, Rows], None]


@contextmanager
def into_sqlite(accounts: int, folder: Path) -> Iterator[Pair]:
    """New accounts into SQLite, against `executemany` of Python's sqlite3."""
    ours, theirs = folder / "ours", folder / "theirs"
    for place in (ours, theirs):
        place.mkdir()
    own, bare = SqliteFile(ours), SqliteFile(theirs)
    yield _pair(accounts, own, None, bare, lambda rows: _executemany(bare, rows))


@contextmanager
def into_postgresql(accounts: int, folder: Path) -> Iterator[Pair]:
    """New accounts into PostgreSQL, against binary COPY of psycopg."""
    with postgresql(folder) as store:
        secret = Secret(store.password)
        yield _pair(accounts, store, secret, store, lambda rows: _copy(store, rows))


def _pair(
    accounts: int,
    own: Database,
    secret: Secret | None,
    bare: Database,
    insert: Callable[[dict[str, Rows]], float],
) -> Pair:
    plan = _plan(accounts)
    _apply(own, secret, plan)
    written = {name: own.query(f'SELECT * FROM "{name}"') for name in TABLES}
    counted = {name: len(rows) for name, rows in written.items() if rows}
    if counted["accounts"] != accounts or counted["changes"] != accounts:
        raise BenchError(f"the store has {counted}, not {accounts} accounts")

    def reference() -> float:
        _made(bare, secret)
        seconds = insert(written)
        for name, number in counted.items():
            if bare.query(f'SELECT count(*) FROM "{name}"') != [(number,)]:
                raise BenchError(f"the reference did not fill {name}")
        return seconds

    return Pair(lambda: _apply(own, secret, plan), reference)


def _plan(accounts: int) -> Plan:
    return Plan(
        domain=DOMAIN,
        server="scale.example.com:636",
        kind=ReadKind.FULL,
        complete=True,
        made_at=NOW,
        read=accounts,
        changes=tuple(map(_create, range(1, accounts + 1))),
    )


def _create(number: int) -> Change:
    """The creation of an account of the large slapd."""
    person = scale.person(number)
    values = AccountValues(
        directory_id=DirectoryId(person.guid),
        dn=person.dn,
        login_names=person.uids,
        principal=person.principal,
        display_name=person.cn,
        given_name=person.given,
        surname=person.surname,
        primary_address=Address(person.mails[0]),
        primary_group=str(person.gid_number),
        created_at=NOW,
    )
    account = Account(
        number=0,
        domain=DOMAIN,
        mailbox=person.uid,
        origin=Origin.MAPPED,
        state_since=NOW,
        values=values,
        digest=number.to_bytes(16),
    )
    return Change(
        op=Op.CREATE,
        account=values.directory_id,
        name=account.canonical,
        after=show(account),
        why="The entry is new.",
        result=account,
    )


def _made(database: Database, secret: Secret | None) -> None:
    database.empty()
    open_store(database.url, secret).close()


def _apply(database: Database, secret: Secret | None, plan: Plan) -> float:
    database.empty()
    store = open_store(database.url, secret)
    run = Run(
        number=0,
        domain=DOMAIN,
        source=plan.source,
        server=plan.server,
        kind=plan.kind,
        started_at=NOW,
        finished_at=NOW,
        result=RunResult.APPLIED,
        read=plan.read,
    )
    try:
        started = time.monotonic()
        store.apply(plan, run)
        return time.monotonic() - started
    finally:
        store.close()


def _executemany(database: SqliteFile, written: dict[str, Rows]) -> float:
    with closing(sqlite3.connect(database.path, isolation_level=None)) as db:
        db.execute("PRAGMA synchronous = FULL")
        started = time.monotonic()
        db.execute("BEGIN IMMEDIATE")
        for name, rows in written.items():
            if rows:
                marks = ", ".join("?" * len(rows[0]))
                sql = f'INSERT INTO "{name}" VALUES ({marks})'
                db.executemany(sql, rows)
        db.execute("COMMIT")
        return time.monotonic() - started


def _copy(database: PostgresqlDatabase, written: dict[str, Rows]) -> float:
    with database.connect() as db, db.cursor() as cursor:
        types = {name: _types(cursor, name) for name in written}
        started = time.monotonic()
        for name, rows in written.items():
            if not rows:
                continue
            with cursor.copy(_copy_into(name)) as copy:
                copy.set_types(types[name])
                for row in rows:
                    copy.write_row(row)
        db.commit()
        return time.monotonic() - started


def _copy_into(name: str) -> Composed:
    return SQL("COPY {} FROM STDIN (FORMAT BINARY)").format(Identifier(name))


def _types(cursor: Any, name: str) -> list[int]:
    sql = SQL("SELECT * FROM {} LIMIT 0").format(Identifier(name))
    return [column.type_code for column in cursor.execute(sql).description]
