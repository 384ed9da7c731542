"""SQLite: one file in WAL mode, readable by its owner alone.

A transaction of `reads` begins with BEGIN and sees one moment; one of `writes`
begins with BEGIN IMMEDIATE, so that two writers queue instead of failing halfway.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from functools import cache, lru_cache
from pathlib import Path
from threading import Event
from typing import Any, cast

from sqlalchemy import (
    URL,
    ColumnElement,
    Connection,
    Engine,
    Table,
    bindparam,
    create_engine,
    event,
    func,
    select,
)
from sqlalchemy.dialects.sqlite.base import SQLiteDialect
from sqlalchemy.pool import QueuePool

from dirbridge.errors import StoreError
from dirbridge.model.names import DomainName
from dirbridge.store import sqlite_saving
from dirbridge.store.feed import Told, follow_file
from dirbridge.store.filling import AtOnce, Rows
from dirbridge.store.pulse import FilePulse, Pulse, file_pulse
from dirbridge.store.schema import as_utc
from dirbridge.store.sqlite_files import (
    BUSY_SECONDS,
    check_access,
    connect,
    locked,
    make_file,
    no_access,
)
from dirbridge.store.sqlite_saving import stamp
from dirbridge.store.sqlite_turns import FileHold, held, turn_file

_POOL_SECONDS = 5

_CODES = (
    # The beginning of SQLite's name of the error, and our word for it.
    ("SQLITE_BUSY", "locked"),
    ("SQLITE_LOCKED", "locked"),
    ("SQLITE_CONSTRAINT", "refused"),
    ("SQLITE_TOOBIG", "refused"),
    ("SQLITE_FULL", "full"),
    ("SQLITE_READONLY", "read-only"),
    ("SQLITE_CANTOPEN", "unreachable"),
    ("SQLITE_PERM", "read-only"),
    ("SQLITE_IOERR", "unreachable"),
)

_DIALECT = SQLiteDialect()
_WITHOUT_ZONE = len("2026-03-01 12:00:00.000000")
_WRITERS_CACHE = "PRAGMA cache_size = -16000"
"""Kilobytes, where 2000 is usual. Ids come in no order: with a small cache, pages of
their indexes are written again and again within one large transaction."""
_HURRY = 300
"""Milliseconds that a write waits which a login waits for."""
_LAST_NUMBER = "SELECT seq FROM sqlite_sequence WHERE name = 'accounts'"


class SqliteDatabase:
    """A SQLite file; see `store.database.Database`."""

    errors: type[Exception] = sqlite3.Error
    listed = "json_each(:wanted) AS w"

    def __init__(self, url: URL) -> None:
        if not url.database or url.database.startswith(":memory:"):
            raise StoreError(
                "url", str(url), "names no file; write sqlite:////path/to/file.db"
            )
        self.path = Path(url.database).absolute()
        self.where = f"sqlite:///{self.path}"
        check_access(self.path, self.where)
        engine = create_engine(
            url,
            creator=lambda: connect(self.path),
            hide_parameters=True,
            poolclass=QueuePool,
            pool_size=8,
            max_overflow=24,
            pool_timeout=_POOL_SECONDS,
        )
        event.listen(engine, "begin", _begin)
        self._pulses: list[FilePulse] = []
        self.reads: Engine = engine
        self.writes: Engine = engine.execution_options(dirbridge_writes=True)
        self.hurried: Engine = self.writes.execution_options(dirbridge_hurry=True)

    @contextmanager
    def first(self) -> Iterator[None]:
        """Hold the folder's lock, with the file there (0600) and in WAL mode.

        Two first starts at once must not both make the tables, and SQLite does not
        queue for a change of the journal mode. The lock is on the folder: closing
        any other descriptor of the file would drop SQLite's own locks.
        """
        with locked(self.path.parent, self.where):
            try:
                if not self.path.exists():
                    make_file(self.path)
                with closing(connect(self.path)) as connection:
                    connection.execute("PRAGMA journal_mode = WAL").fetchone()
            except OSError as error:
                raise no_access(self.path.parent, self.where, error) from error
            except sqlite3.Error as error:
                code, detail = self.cause(error)
                raise StoreError(code, self.where, detail) from error
            yield

    def queue(self, connection: Connection) -> None:
        """Nothing more to do: BEGIN IMMEDIATE has waited already."""

    @contextmanager
    def turn(self, domain: DomainName) -> Iterator[FileHold]:
        """Lock the domain's file beside the database."""
        path = turn_file(self.path, domain)
        with held(path, self.where, make_file) as descriptor:
            yield FileHold(path, descriptor, self.where, self.writes.begin)

    def tell(
        self, connection: Connection, domain: DomainName, *, changed: bool
    ) -> None:
        """Nothing to do: others look at the file."""

    def changed(self, told: Told, stop: Event) -> None:
        """Look at the file until stopped."""
        follow_file(lambda: connect(self.path), told, stop)

    @contextmanager
    def pulse(self) -> Iterator[Pulse]:
        """Look at the file each time."""
        with file_pulse(lambda: connect(self.path)) as pulse:
            self._pulses.append(pulse)
            try:
                yield pulse
            finally:
                self._pulses.remove(pulse)

    def moved(self) -> None:
        """Let own pulses look at once."""
        for pulse in tuple(self._pulses):
            pulse.doubt()

    @contextmanager
    def migrating(self) -> Iterator[Connection]:
        """Give a connection in one transaction without foreign keys, checked after.

        A rebuilt table is dropped on the way, which would take its children along;
        the pragma is only heard outside a transaction.
        """
        with self.writes.connect() as connection:
            driver = cast("sqlite3.Connection", connection.connection.driver_connection)
            driver.execute("PRAGMA foreign_keys = OFF")
            try:
                with connection.begin():
                    yield connection
                    broken = connection.exec_driver_sql("PRAGMA foreign_key_check")
                    if broken.first() is not None:
                        words = "the upgrade would break references; report this"
                        raise StoreError("broken", self.where, words)
            finally:
                driver.execute("PRAGMA foreign_keys = ON")

    def account_numbers(self, connection: Connection, count: int) -> Sequence[int]:
        """Go on after the last number ever given; nobody else writes meanwhile."""
        last = connection.exec_driver_sql(_LAST_NUMBER).scalar() or 0
        return range(last + 1, last + 1 + count)

    def moment(self, time: datetime | None) -> object:
        """Return UTC as text, as SQLAlchemy writes it."""
        return None if time is None else _written(time)

    def insert(self, connection: Connection, table: Table, rows: Rows) -> None:
        """Insert many rows with the driver's executemany."""
        if rows:
            connection.exec_driver_sql(_insert(table), list(rows))

    def filling(self, connection: Connection) -> AtOnce:
        """Insert rows when they are given: SQLite works in our own thread."""
        return AtOnce(connection, self.insert, self.account_numbers)

    def append(
        self, connection: Connection, table: Table, names: Sequence[str], rows: Rows
    ) -> None:
        """Insert many rows with the driver's executemany."""
        connection.exec_driver_sql(_append(table, tuple(names)), list(rows))

    def update(
        self, connection: Connection, table: Table, names: Sequence[str], rows: Rows
    ) -> int:
        """Update many rows with the driver's executemany."""
        if not rows:
            return 0
        # The key stands at the end of the statement.
        turned = [(*row[1:], row[0]) for row in rows]
        return connection.exec_driver_sql(_update(table, tuple(names)), turned).rowcount

    @staticmethod  # statements are built once for all databases of a kind
    def among(column: ColumnElement[Any]) -> ColumnElement[bool]:
        """Take the values from one JSON text: SQLite limits how many are bound."""
        each = func.json_each(bindparam("wanted")).table_valued("value")
        return column.in_(select(each.c.value))

    def many(self, values: Collection[str] | Collection[int]) -> object:
        """Return values as JSON."""
        return json.dumps(list(values), ensure_ascii=False)

    def may_pass(self, error: BaseException) -> bool:
        """Nothing does: BEGIN IMMEDIATE has waited for other writers already."""
        del error
        return False

    def cause(self, error: BaseException) -> tuple[str, str]:
        """Return our word for SQLite's error, and its text, which has no values."""
        name = getattr(error, "sqlite_errorname", None) or ""
        code = next((ours for theirs, ours in _CODES if name.startswith(theirs)), None)
        return code or "broken", str(error)

    def backup(self, folder: Path | None) -> str:
        """Copy the database beside it, or into the folder."""
        name = f"{self.path.name}.{stamp()}.bak"
        target = self.save((folder or self.path.parent) / name)
        return f"The database before the upgrade is saved in {target}."

    def save(self, target: Path | None) -> Path:
        """Copy the database with SQLite's backup call."""
        place = target or self.path.with_name(f"{self.path.name}.{stamp()}.bak")
        sqlite_saving.save(self.path, place, self.where)
        return place

    def restore(self, source: Path, newest: int) -> Path | None:
        """Replace the file; the former one is kept beside it."""
        try:
            return sqlite_saving.restore(self.path, source, newest, self.where)
        except sqlite3.Error as error:
            code, detail = self.cause(error)
            raise StoreError(code, self.where, detail) from error


@lru_cache(maxsize=4096)  # most rows of a run have the same few
def _written(time: datetime) -> str:
    utc = time if time.tzinfo is UTC else as_utc(time)
    return utc.isoformat(" ", "microseconds")[:_WITHOUT_ZONE]


@cache
def _insert(table: Table) -> str:
    return str(table.insert().compile(dialect=_DIALECT))


@cache
def _append(table: Table, names: tuple[str, ...]) -> str:
    given = table.insert().values({name: bindparam(name) for name in names})
    return str(given.compile(dialect=_DIALECT))


@cache
def _update(table: Table, names: tuple[str, ...]) -> str:
    key, *others = names
    change = table.update().where(table.c[key] == bindparam("wanted"))
    change = change.values({name: bindparam(name) for name in others})
    return str(change.compile(dialect=_DIALECT))


def _begin(connection: Connection) -> None:
    options = connection.get_execution_options()
    writes = options.get("dirbridge_writes", False)
    if writes:
        patience = _HURRY if options.get("dirbridge_hurry") else BUSY_SECONDS * 1000
        connection.exec_driver_sql(f"PRAGMA busy_timeout = {patience}")
        connection.exec_driver_sql(_WRITERS_CACHE)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
