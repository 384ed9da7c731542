"""PostgreSQL through psycopg 3, for fleets of bridges over one database."""

from __future__ import annotations

import shutil
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import UTC, datetime
from pathlib import Path
from threading import Event
from typing import Any

import psycopg
from psycopg import sql
from sqlalchemy import (
    ARRAY,
    URL,
    BigInteger,
    ColumnElement,
    Connection,
    Engine,
    Integer,
    Table,
    Text,
    any_,
    bindparam,
    create_engine,
    event,
    text,
)
from sqlalchemy.pool import NullPool

from dirbridge.errors import StoreError
from dirbridge.model.names import DomainName
from dirbridge.model.secret import Secret
from dirbridge.store import postgresql_feed
from dirbridge.store.feed import Told
from dirbridge.store.filling import Rows
from dirbridge.store.postgresql_copy import InBatches, columns, copy, driver
from dirbridge.store.postgresql_saving import Programs
from dirbridge.store.postgresql_turns import (
    KEEPALIVES,
    SESSION_SETTINGS,
    SILENT,
    SessionHold,
    session_held,
)
from dirbridge.store.pulse import HeardPulse, Pulse
from dirbridge.store.schema import as_utc
from dirbridge.store.sqlite_saving import stamp

_NETWORK: dict[str, int] = {
    # Seconds, but for tcp_user_timeout (PostgreSQL manual, libpq parameters). A
    # server that is cut off sends nothing back, so without these a thread would
    # wait for as long as the kernel repeats its packets: a quarter of an hour. The
    # lost connection and the try of a new one fit into a login's nine seconds.
    "connect_timeout": 3,
    "tcp_user_timeout": 4000,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 2,
}
_POOL_SECONDS = 5
_LONGEST_WAIT = 600
"""Seconds that a write waits for another one; a million accounts need fewer."""

_ONE_WRITER = 0x6469_7262_7269_6467
"""The advisory lock that plans queue for: `dirbridg` in ASCII."""

_CODES = (
    # The beginning of the SQLSTATE (PostgreSQL manual, appendix A), and our word.
    ("08", "unreachable"),
    # It was frozen in a transaction, and the server has ended its session.
    ("25P03", "unreachable"),
    ("28", "unreachable"),
    ("3D", "unreachable"),
    ("57P", "unreachable"),
    ("53100", "full"),
    ("53", "unreachable"),
    ("40", "locked"),
    ("55P03", "locked"),
    ("57014", "locked"),
    ("22", "refused"),
    ("23", "refused"),
)


class PostgresqlDatabase:
    """A PostgreSQL database; see `store.database.Database`."""

    errors: type[Exception] = psycopg.Error
    listed = "unnest(CAST(:wanted AS text[])) AS w(value)"

    def __init__(self, url: URL, password: Secret | None) -> None:
        self.where = url.render_as_string(hide_password=True)
        self._url = url
        self._password = password
        secret = {"password": password.reveal()} if password else {}
        arguments = {**_NETWORK, "application_name": "dirbridge", **secret}
        engine = create_engine(
            url,
            connect_args={**arguments, "options": _options(KEEPALIVES)},
            hide_parameters=True,
            pool_pre_ping=True,
            pool_size=8,
            max_overflow=24,
            pool_timeout=_POOL_SECONDS,
        )
        self.reads: Engine = engine.execution_options(isolation_level="REPEATABLE READ")
        event.listen(engine, "begin", _begin)
        self.writes: Engine = engine.execution_options(dirbridge_writes=True)
        self.hurried: Engine = self.writes  # each row has a lock of its own
        self._engine = engine
        self._pulses: list[HeardPulse] = []
        self._sessions = create_engine(
            url,
            connect_args={**arguments, "options": _options(SESSION_SETTINGS)},
            hide_parameters=True,
            poolclass=NullPool,
            isolation_level="AUTOCOMMIT",
        )

    def first(self) -> AbstractContextManager[None]:
        """Nothing to hold: the advisory lock of `queue` is enough."""
        return nullcontext()

    def queue(self, connection: Connection) -> None:
        """Take the advisory lock, which ends with the transaction."""
        connection.execute(_LOCK, {"lock": _ONE_WRITER})

    def turn(self, domain: DomainName) -> AbstractContextManager[SessionHold]:
        """Hold an advisory lock by a session of its own."""
        return session_held(self._sessions, domain, self.where)

    def tell(
        self, connection: Connection, domain: DomainName, *, changed: bool
    ) -> None:
        """Send a NOTIFY."""
        postgresql_feed.tell(connection, domain, changed=changed)

    def changed(self, told: Told, stop: Event) -> None:
        """LISTEN on a session of its own until stopped."""
        postgresql_feed.listen(self._sessions, told, stop)

    @contextmanager
    def pulse(self) -> Iterator[Pulse]:
        """Listen for runs on a session of its own."""
        pulse = HeardPulse()
        self._pulses.append(pulse)
        try:
            with postgresql_feed.pulsing(self._sessions, pulse):
                yield pulse
        finally:
            self._pulses.remove(pulse)

    def moved(self) -> None:
        """Move own pulses at once: a notification takes its time."""
        for pulse in tuple(self._pulses):
            pulse.move()

    def migrating(self) -> AbstractContextManager[Connection]:
        """Return a connection in one transaction, which may take its time."""
        return self._engine.begin()

    def account_numbers(self, connection: Connection, count: int) -> Sequence[int]:
        """Draw numbers from the column's sequence."""
        return connection.execute(_NUMBERS, {"count": count}).scalars().all()

    def moment(self, time: datetime | None) -> object:
        """Return UTC; psycopg takes times as they are."""
        return time if time is None or time.tzinfo is UTC else as_utc(time)

    def insert(self, connection: Connection, table: Table, rows: Rows) -> None:
        """Insert many rows with COPY: five times an INSERT's speed (measured)."""
        if rows:
            with driver(connection) as cursor:
                copy(cursor, table, table.columns.keys(), rows)

    def filling(self, connection: Connection) -> InBatches:
        """Insert rows while the next ones are made."""
        return InBatches(connection, self.account_numbers)

    def append(
        self, connection: Connection, table: Table, names: Sequence[str], rows: Rows
    ) -> None:
        """Insert many rows with COPY."""
        with driver(connection) as cursor:
            copy(cursor, table, names, rows)

    def update(
        self, connection: Connection, table: Table, names: Sequence[str], rows: Rows
    ) -> int:
        """Update many rows with COPY into a temporary table and one merge."""
        if not rows:
            return 0
        with driver(connection) as cursor:
            if len(rows) < _WORTH_A_TABLE:
                turned = [(*row[1:], row[0]) for row in rows]
                cursor.executemany(_each(table.name, names), turned)
                return cursor.rowcount
            cursor.execute(_incoming(table.name, names))
            copy(cursor, table, names, rows, into=_INCOMING)
            cursor.execute(_merge(table.name, names))
            merged = cursor.rowcount
            cursor.execute(sql.SQL("DROP TABLE {}").format(sql.Identifier(_INCOMING)))
            return merged

    @staticmethod  # statements are built once for all databases of a kind
    def among(column: ColumnElement[Any]) -> ColumnElement[bool]:
        """Take the values from one array."""
        number = isinstance(column.type, Integer)
        array = ARRAY(BigInteger() if number else Text())
        return column == any_(bindparam("wanted", type_=array))

    def many(self, values: Collection[str] | Collection[int]) -> object:
        """Return values as psycopg takes an array."""
        return list(values)

    def may_pass(self, error: BaseException) -> bool:
        """Tell whether it is a deadlock or a serialization failure."""
        return isinstance(error, psycopg.Error) and error.sqlstate in _PASSING

    def cause(self, error: BaseException) -> tuple[str, str]:
        """Return our word for the SQLSTATE; of the text only what has no values."""
        if not isinstance(error, psycopg.Error):
            return "broken", type(error).__name__
        if isinstance(error, psycopg.DataError) and error.sqlstate is None:
            # What the driver cannot even send, such as a NUL.
            return "refused", "a value cannot be stored"
        state = error.sqlstate
        if state is None:
            # No server has seen a row yet: libpq's words on the connection.
            words = str(error).strip().splitlines()
            return "unreachable", words[0] if words else type(error).__name__
        code = next((ours for theirs, ours in _CODES if state.startswith(theirs)), None)
        constraint = error.diag.constraint_name
        if code == "refused":
            return code, f"{type(error).__name__} {constraint or ''}".strip()
        return code or "broken", error.diag.message_primary or state

    def backup(self, folder: Path | None) -> str:
        """Run pg_dump where it is installed and a folder is given."""
        if shutil.which("pg_dump") is None or folder is None:
            return "PostgreSQL was not saved by dirbridge; keep a pg_dump of your own."
        target = self.save(folder / f"dirbridge.{stamp()}.dump")
        return f"The database before the upgrade is saved in {target}."

    def save(self, target: Path | None) -> Path:
        """Run pg_dump."""
        place = target or Path.cwd() / f"dirbridge.{stamp()}.dump"
        self._programs.save(place)
        return place

    def restore(self, source: Path, newest: int) -> Path | None:
        """Run pg_restore, in one transaction, while no bridge is connected."""
        with self.writes.begin() as connection:
            others = connection.execute(_OTHERS).scalar_one()
        if others:
            words = f"{others} connections of dirbridge"
            raise StoreError("in-use", self.where, words)
        self._programs.restore(source, newest)
        return None

    @property
    def _programs(self) -> Programs:
        return Programs(self._url, self._password, self.where)


def _begin(connection: Connection) -> None:
    """Let nobody wait for ever for a write whose bridge is frozen.

    A frozen process keeps its session, for the kernel answers for it; and where it
    holds the lock of `queue`, no bridge could write a plan any more.
    """
    if connection.get_execution_options().get("dirbridge_writes", False):
        connection.execute(_NOT_FOR_EVER)


def _options(settings: Mapping[str, int]) -> str:
    """Return what libpq tells the server of a new session."""
    ours = {"timezone": "UTC", **settings}
    return " ".join(f"-c {name}={value}" for name, value in ours.items())


def _each(table: str, names: Sequence[str]) -> sql.Composed:
    sets = (sql.SQL("{} = %s").format(sql.Identifier(name)) for name in names[1:])
    return sql.SQL("UPDATE {} SET {} WHERE {} = %s").format(
        sql.Identifier(table), sql.SQL(", ").join(sets), sql.Identifier(names[0])
    )


def _incoming(table: str, names: Sequence[str]) -> sql.Composed:
    made = "CREATE TEMPORARY TABLE {} ON COMMIT DROP AS SELECT {} FROM {} WITH NO DATA"
    return sql.SQL(made).format(
        sql.Identifier(_INCOMING), columns(names), sql.Identifier(table)
    )


def _merge(table: str, names: Sequence[str]) -> sql.Composed:
    new = sql.Identifier(_INCOMING)
    sets = (
        sql.SQL("{} = {}").format(sql.Identifier(name), sql.Identifier(_INCOMING, name))
        for name in names[1:]
    )
    return sql.SQL("UPDATE {} SET {} FROM {} WHERE {} = {}").format(
        sql.Identifier(table),
        sql.SQL(", ").join(sets),
        new,
        sql.Identifier(table, names[0]),
        sql.Identifier(_INCOMING, names[0]),
    )


_INCOMING = "incoming"
_WORTH_A_TABLE = 50
"""From so many rows on a temporary table is faster than an UPDATE for each."""

_PASSING = ("40001", "40P01")
"""SQLSTATE of a serialization failure and of a deadlock."""

_OTHERS = text(
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
    " AND application_name = 'dirbridge' AND pid <> pg_backend_pid()"
)
_NUMBERS = text(
    "SELECT nextval(pg_get_serial_sequence('accounts', 'number'))"
    " FROM generate_series(1, :count)"
)
_LOCK = text("SELECT pg_advisory_xact_lock(:lock)")
_NOT_FOR_EVER = text(
    # PostgreSQL manual, 20.11.1; in milliseconds, until the transaction ends.
    f"SELECT set_config('idle_in_transaction_session_timeout', '{SILENT}000', true),"
    f" set_config('lock_timeout', '{_LONGEST_WAIT}000', true)"
)
