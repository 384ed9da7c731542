"""PostgreSQL through psycopg 3, for fleets of bridges over one database."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import psycopg
from psycopg import sql
from sqlalchemy import URL, Connection, Engine, Table, create_engine, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from dirbridge.errors import StoreError
from dirbridge.model.names import DomainName
from dirbridge.model.secret import Secret
from dirbridge.store.database import Rows, plain_rows
from dirbridge.store.postgresql_turns import (
    SESSION_SETTINGS,
    SessionHold,
    session_held,
)

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
_ONE_WRITER = 0x6469_7262_7269_6467
"""The advisory lock that plans queue for: `dirbridg` in ASCII."""

_CODES = (
    # The beginning of the SQLSTATE (PostgreSQL manual, appendix A), and our word.
    ("08", "unreachable"),
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

    def __init__(self, url: URL, password: Secret | None) -> None:
        self.where = url.render_as_string(hide_password=True)
        self._url = url
        self._password = password
        secret = {"password": password.reveal()} if password else {}
        arguments = {**_NETWORK, "application_name": "dirbridge", **secret}
        engine = create_engine(
            url,
            connect_args={**arguments, "options": _options()},
            hide_parameters=True,
            pool_pre_ping=True,
            pool_size=8,
            max_overflow=24,
            pool_timeout=_POOL_SECONDS,
        )
        self.reads: Engine = engine.execution_options(isolation_level="REPEATABLE READ")
        self.writes: Engine = engine
        self._turns = create_engine(
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
        return session_held(self._turns, domain, self.where)

    def migrating(self) -> AbstractContextManager[Connection]:
        """Return a connection in one transaction."""
        return self.writes.begin()

    def account_numbers(self, connection: Connection, count: int) -> Sequence[int]:
        """Draw numbers from the column's sequence."""
        return connection.execute(_NUMBERS, {"count": count}).scalars().all()

    def insert(self, connection: Connection, table: Table, rows: Rows) -> None:
        """Insert many rows with COPY: five times an INSERT's speed (measured)."""
        if not rows:
            return
        names, plain = plain_rows(connection, table, rows)
        copy = sql.SQL("COPY {} ({}) FROM STDIN").format(
            sql.Identifier(table.name),
            sql.SQL(", ").join(map(sql.Identifier, names)),
        )
        try:
            driver = cast(
                "psycopg.Connection[Any]", connection.connection.driver_connection
            )
            with driver.cursor() as cursor, cursor.copy(copy) as lines:
                for row in plain:
                    lines.write_row(row)
        except psycopg.Error as error:
            raise DBAPIError(
                "COPY", None, error, hide_parameters=True, connection_invalidated=False
            ) from error

    def may_pass(self, error: BaseException) -> bool:
        """Tell whether it is a deadlock or a serialization failure."""
        return isinstance(error, psycopg.Error) and error.sqlstate in _PASSING

    def cause(self, error: BaseException) -> tuple[str, str]:
        """Return our word for the SQLSTATE; of the text only what has no values."""
        if not isinstance(error, psycopg.Error):
            return "broken", type(error).__name__
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
        program = shutil.which("pg_dump")
        if program is None or folder is None:
            return "PostgreSQL was not saved by dirbridge; keep a pg_dump of your own."
        stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
        target = folder / f"dirbridge.{stamp}.dump"
        plain = self._url.set(drivername="postgresql").render_as_string()
        secret = {"PGPASSWORD": self._password.reveal()} if self._password else {}
        try:
            with os.fdopen(os.open(target, _NEW_FILE, 0o600), "wb") as dump:
                done = subprocess.run(  # noqa: S603 - the url is the configuration's
                    [program, "--format=custom", f"--dbname={plain}"],
                    stdout=dump,
                    stderr=subprocess.PIPE,
                    env={**os.environ, **secret},
                    check=False,
                )
        except OSError as error:
            raise StoreError("backup", self.where, f"{target}: {error}") from error
        if done.returncode:
            target.unlink(missing_ok=True)
            words = done.stderr.decode("utf-8", "replace").strip()
            raise StoreError("backup", self.where, f"pg_dump: {words}")
        return f"The database before the upgrade is saved in {target}."


def _options(settings: Mapping[str, int] | None = None) -> str:
    """Return what libpq tells the server of a new session."""
    ours = {"timezone": "UTC", **(settings or {})}
    return " ".join(f"-c {name}={value}" for name, value in ours.items())


_PASSING = ("40001", "40P01")
"""SQLSTATE of a serialization failure and of a deadlock."""

_NEW_FILE = os.O_CREAT | os.O_EXCL | os.O_WRONLY
_NUMBERS = text(
    "SELECT nextval(pg_get_serial_sequence('accounts', 'number'))"
    " FROM generate_series(1, :count)"
)
_LOCK = text("SELECT pg_advisory_xact_lock(:lock)")
