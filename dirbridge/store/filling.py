"""Rows on their way into tables while the next ones are being made."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from sqlalchemy import Connection, Table

Rows = Sequence[tuple[object, ...]]
"""Whole rows of a table, values as the driver takes them, in its columns' order."""


class Filling(Protocol):
    """Takes the rows of one plan, in one transaction.

    Rows may be written later than they are given, those of a table that another one
    refers to first, and an error may be raised later as well. Between `insert` and
    `wait` nobody else may use the connection.
    """

    def numbers(self, count: int, left: int) -> Sequence[int]:
        """Return numbers for new accounts, rising, never used before.

        Args:
            count: How many.
            left: How many will be asked for until the plan is written, these among
                them.

        Raises:
            DBAPIError: As the driver's.
        """
        ...

    def insert(self, table: Table, rows: Rows) -> None:
        """Take many whole rows.

        Raises:
            DBAPIError: Rows that were given before could not be written.
        """
        ...

    def wait(self) -> None:
        """Wait until all rows are written.

        Raises:
            DBAPIError: They could not be.
        """
        ...

    def close(self) -> None:
        """Forget what is not written; the connection is free then."""
        ...


Write = Callable[[Connection, Table, Rows], None]
Draw = Callable[[Connection, int], Sequence[int]]


class AtOnce:
    """Writes rows when they are given; see `Filling`."""

    def __init__(self, connection: Connection, write: Write, draw: Draw) -> None:
        """Take what the database does it with.

        Args:
            connection: In a transaction.
            write: `Database.insert`.
            draw: `Database.account_numbers`.
        """
        self._connection = connection
        self._write = write
        self._draw = draw

    def numbers(self, count: int, left: int) -> Sequence[int]:
        """Draw them."""
        del left
        return self._draw(self._connection, count)

    def insert(self, table: Table, rows: Rows) -> None:
        """Write them."""
        self._write(self._connection, table, rows)

    def wait(self) -> None:
        """Nothing is open."""

    def close(self) -> None:
        """Nothing is open."""
