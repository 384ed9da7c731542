"""COPY, PostgreSQL's way to take many rows at once.

Theory. For each row the server keeps indexes and looks up foreign keys, which takes it
about as long as it takes us to make the row. Were both to wait for each other, a first
import would use one processor at a time. So a large plan's rows are gathered, and a
thread sends one batch while the next is being made. There is still one connection, one
transaction, and every constraint holds as ever. A plan that fits into one batch has no
thread.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import wait as wait_for
from contextlib import contextmanager, suppress
from functools import lru_cache
from typing import Any, cast

import psycopg
from psycopg import sql
from sqlalchemy import (
    BigInteger,
    Boolean,
    Connection,
    Float,
    Integer,
    LargeBinary,
    String,
    Table,
)
from sqlalchemy.exc import DBAPIError
from sqlalchemy.types import TypeEngine

from dirbridge.store.filling import Rows
from dirbridge.store.schema import Utc

Cursor = psycopg.Cursor[Any]

BATCH = 16_000
"""Rows of all tables that are sent at once: those of some 4,000 accounts, 15 MB."""

AHEAD = 40_000
"""Account numbers that are drawn at once, at most."""

_CANCELLED = 3.0
"""Seconds in which a server is to let go of a COPY that is cancelled."""

_TYPES: Sequence[tuple[type[TypeEngine[Any]], str]] = (
    # Ours, and how PostgreSQL calls it; the first one that fits.
    (BigInteger, "int8"),
    (Integer, "int4"),
    (String, "text"),
    (Boolean, "bool"),
    (Utc, "timestamptz"),
    (LargeBinary, "bytea"),
    (Float, "float8"),
)


@contextmanager
def driver(connection: Connection) -> Iterator[Cursor]:
    """Give a cursor of the driver; its errors come as SQLAlchemy's do.

    Raises:
        DBAPIError: In place of psycopg's.
    """
    try:
        with _own(connection).cursor() as cursor:
            yield cursor
    except psycopg.Error as error:
        raise DBAPIError(
            "COPY", None, error, hide_parameters=True, connection_invalidated=False
        ) from error


def copy(
    cursor: Cursor,
    table: Table,
    names: Sequence[str],
    rows: Rows,
    into: str | None = None,
) -> None:
    """Insert rows in binary form, which is made faster than text.

    Args:
        cursor: Of a connection in a transaction.
        table: Has the types of the columns.
        names: The columns.
        rows: Values as psycopg takes them, in that order.
        into: Another table with these columns.
    """
    with cursor.copy(_statement(into or table.name, tuple(names))) as lines:
        lines.set_types(column_types(table, tuple(names)))
        for row in rows:
            lines.write_row(row)


def columns(names: Sequence[str]) -> sql.Composed:
    """Return names of columns as they stand in a statement."""
    return sql.SQL(", ").join(map(sql.Identifier, names))


@lru_cache(maxsize=64)
def _statement(into: str, names: tuple[str, ...]) -> sql.Composed:
    return sql.SQL("COPY {} ({}) FROM STDIN (FORMAT BINARY)").format(
        sql.Identifier(into), columns(names)
    )


@lru_cache(maxsize=64)
def column_types(table: Table, names: tuple[str, ...]) -> tuple[str, ...]:
    """Return how PostgreSQL calls the types of columns."""
    return tuple(_type(table.columns[name].type) for name in names)


def _type(ours: TypeEngine[Any]) -> str:
    return next(theirs for known, theirs in _TYPES if isinstance(ours, known))


class InBatches:
    """Sends a batch of rows while the next one is gathered; see `Filling`."""

    def __init__(
        self, connection: Connection, draw: Callable[[Connection, int], Sequence[int]]
    ) -> None:
        """Take a connection in a transaction.

        Args:
            connection: The connection.
            draw: `Database.account_numbers`.
        """
        self._connection = connection
        self._own = _own(connection)
        self._draw = draw
        self._numbers: list[int] = []
        self._batch: dict[Table, list[tuple[object, ...]]] = {}
        self._size = 0
        self._thread = ThreadPoolExecutor(1, "copy")
        self._sent: Future[None] | None = None

    def numbers(self, count: int, left: int) -> Sequence[int]:
        """Draw many at once, so that the thread is seldom waited for."""
        if len(self._numbers) < count:
            self.wait()
            more = max(count, min(left, AHEAD)) - len(self._numbers)
            self._numbers += self._draw(self._connection, more)
        given, self._numbers = self._numbers[:count], self._numbers[count:]
        return given

    def insert(self, table: Table, rows: Rows) -> None:
        """Gather rows, and send them when they are enough."""
        if not rows:
            return
        self._batch.setdefault(table, []).extend(rows)
        self._size += len(rows)
        if self._size >= BATCH:
            self._arrive()
            self._sent = self._thread.submit(_send, self._connection, self._taken())

    def wait(self) -> None:
        """Wait for the thread, and send the rest from here."""
        self._arrive()
        if self._batch:
            _send(self._connection, self._taken())

    def close(self) -> None:
        """Let the thread end soon: what it still sends is undone anyhow.

        It may be waiting for a lock, or for a server that says nothing any more.
        """
        try:
            if self._sent is not None and not self._sent.done():
                _stop(self._own, self._sent)
        finally:
            self._thread.shutdown()
            if self._own.closed:
                # Else the ROLLBACK that fails would take a Ctrl-C's place, and a
                # plan whose connection was lost is written anew.
                self._connection.invalidate()

    def _arrive(self) -> None:
        if self._sent is not None:
            # Kept while it is waited for: a Ctrl-C may end that, and `close` looks.
            self._sent.result()
            self._sent = None

    def _taken(self) -> Mapping[Table, Rows]:
        batch, self._batch, self._size = self._batch, {}, 0
        return batch


def _own(connection: Connection) -> psycopg.Connection[Any]:
    return cast("psycopg.Connection[Any]", connection.connection.driver_connection)


def _stop(own: psycopg.Connection[Any], sent: Future[None]) -> None:
    """Cancel what a thread sends; where that is of no use, cut the connection."""
    try:
        with suppress(psycopg.Error):
            own.cancel_safe(timeout=_CANCELLED)
        wait_for([sent], _CANCELLED)
    finally:  # also at a second Ctrl-C
        if not sent.done():
            with suppress(OSError, psycopg.Error):
                _cut(own)


def _cut(own: psycopg.Connection[Any]) -> None:
    """End a connection that another thread is using, which gets an error there."""
    with socket.socket(fileno=os.dup(own.fileno())) as wire:
        wire.shutdown(socket.SHUT_RDWR)


def _send(connection: Connection, batch: Mapping[Table, Rows]) -> None:
    """Send a batch, tables to which others refer first."""
    with driver(connection) as cursor:
        for table in next(iter(batch)).metadata.sorted_tables:
            if table in batch:
                copy(cursor, table, table.columns.keys(), batch[table])
