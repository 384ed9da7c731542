"""Turns on PostgreSQL: an advisory lock of a session of its own.

The server lets the lock go when the session ends: at once when its process is killed
or a machine is shut down; after `DEAD` seconds when a machine or the network
vanishes (the server's own keepalives). A process that is only frozen keeps its
session open, for the kernel answers for it. So the holder says something every
`BEAT` seconds, and whoever wants the turn of one that was silent for `SILENT`
seconds ends its session. When it wakes up, it cannot commit.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from hashlib import blake2b
from typing import Any, cast

import psycopg
from psycopg.pq import TransactionStatus
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from dirbridge.errors import StoreError
from dirbridge.model.names import DomainName

BEAT = 2.0
"""Seconds from one word of the holder to the next."""

SILENT = 10
"""Seconds of silence after which a holder is taken for frozen."""

FROZEN_COPY = 20
"""The same in the middle of a COPY, in which the holder can say nothing else."""

DEAD = 16
"""Seconds after which the server gives up a session whose machine is gone."""

KEEPALIVES = {
    # PostgreSQL manual, 20.3.2 and 20.11.1; all are known since release 14.
    "tcp_keepalives_idle": 6,
    "tcp_keepalives_interval": 5,
    "tcp_keepalives_count": 2,
    "tcp_user_timeout": DEAD * 1000,
    # Also while it computes, the server looks whether anybody is still there.
    "client_connection_check_interval": 5000,
}
"""What lets the server end the sessions of a machine that is gone."""

SESSION_SETTINGS = {
    **KEEPALIVES,
    # Others' plans queue behind a transaction, whoever wants this turn or not.
    "idle_in_transaction_session_timeout": SILENT * 1000,
}

_QUIET = (TransactionStatus.IDLE, TransactionStatus.INTRANS)
_TRY = "SELECT pg_try_advisory_lock(%s)"
_FREE = "SELECT pg_advisory_unlock(%s)"
_HOLDER = """
    SELECT a.client_addr::text, a.pid
    FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid
    WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1
    AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
    AND l.classid::bigint = (%(key)s::bigint >> 32) & 4294967295
    AND l.objid::bigint = %(key)s::bigint & 4294967295
"""
_END_SILENT = f"""
    SELECT pg_terminate_backend(h.pid, 5000)
    FROM ({_HOLDER}) h JOIN pg_stat_activity a ON a.pid = h.pid
    WHERE (
        a.state LIKE 'idle%%'
        AND a.state_change < clock_timestamp() - make_interval(secs => {SILENT})
    ) OR (
        a.state = 'active' AND a.wait_event = 'ClientRead'
        AND a.query_start < clock_timestamp() - make_interval(secs => {FROZEN_COPY})
    )
"""  # noqa: S608 - numbers of this module


def turn_key(domain: DomainName) -> int:
    """Return the advisory lock of a domain's turn, a signed number of 64 bits."""
    digest = blake2b(f"dirbridge turn {domain}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True)


class SessionHold:
    """An advisory lock and its session; see `store.turns.Hold`."""

    def __init__(self, connection: Connection, key: int, where: str) -> None:
        """Take a session in autocommit mode, in which every word counts at once."""
        self._connection = connection
        self._key = key
        self._where = where
        self._driver = cast(
            "psycopg.Connection[Any]", connection.connection.driver_connection
        )
        self._over = threading.Event()
        self._heart = threading.Thread(target=self._beat, name="turn", daemon=True)

    def take(self) -> None:
        """Take the lock, from a holder that is frozen too.

        Raises:
            StoreError: `turn-taken`.
        """
        if not self._try():
            self._driver.execute(_END_SILENT, {"key": self._key})
            if not self._try():
                raise StoreError("turn-taken", self._where, self._holder())
        self._heart.start()

    def check(self) -> None:
        """Ask the session: as long as it is there, it has the lock."""
        try:
            self._driver.execute("SELECT 1")
        except psycopg.Error as error:
            raise self.lost() from error

    @contextmanager
    def begin(self) -> Iterator[Connection]:
        """Begin a transaction on the lock's session; the driver ends it.

        Raises:
            StoreError: `turn-lost`, in place of what a session says that has ended.
        """
        try:
            with self._connection.begin():
                self._connection.exec_driver_sql("BEGIN")
                yield self._connection
        except SQLAlchemyError as error:
            if self._driver.closed:
                raise self.lost() from error
            raise

    def end(self) -> None:
        """Let the lock go, where the session is still there."""
        self._over.set()
        with suppress(psycopg.Error):
            # Not left to the end of the session, which the server notices later.
            self._driver.execute(_FREE, (self._key,))

    def lost(self) -> StoreError:
        """Return the error of a session that is gone."""
        words = "its session of the database has ended"
        return StoreError("turn-lost", self._where, words)

    def _try(self) -> bool:
        row = self._driver.execute(_TRY, (self._key,)).fetchone()
        return bool(row and row[0])

    def _holder(self) -> str:
        row = self._driver.execute(_HOLDER, {"key": self._key}).fetchone()
        return "" if row is None else f"by {row[0] or 'this machine'}, session {row[1]}"

    def _beat(self) -> None:
        """Say something now and then, also inside a transaction.

        The driver lets one thread speak at a time. Who is in the middle of a
        statement is not silent; should one begin just now, the word is refused or
        waits, which does no harm.
        """
        while not self._over.wait(BEAT) and not self._driver.closed:
            if self._driver.info.transaction_status in _QUIET:
                with suppress(psycopg.Error):
                    self._driver.execute("SELECT 1")


@contextmanager
def session_held(
    engine: Engine, domain: DomainName, where: str
) -> Iterator[SessionHold]:
    """Hold a domain's lock until the block ends, or fail at once.

    Args:
        engine: Gives sessions of their own, in autocommit mode.
        domain: The mail domain.
        where: The database for people.

    Raises:
        StoreError: `turn-taken`.
        SQLAlchemyError: The database could not be asked.
    """
    with engine.connect() as connection:
        hold = SessionHold(connection, turn_key(domain), where)
        try:
            hold.take()
        except psycopg.Error as error:
            raise DBAPIError("lock", None, error, hide_parameters=True) from error
        try:
            yield hold
        finally:
            hold.end()
