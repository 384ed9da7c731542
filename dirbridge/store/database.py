"""What SQLite and PostgreSQL do each in their own way, behind one interface."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Protocol

from sqlalchemy import Connection, Engine, Table
from sqlalchemy.exc import DBAPIError, SQLAlchemyError, StatementError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from dirbridge.errors import StoreError
from dirbridge.model.names import DomainName
from dirbridge.store.rows import Unstorable
from dirbridge.store.turns import Hold

Rows = Sequence[Mapping[str, object]]


class Database(Protocol):
    """An open database; `sqlite` and `postgresql` have one class each.

    Attributes:
        where: The database for people, without any password.
        reads: Connections whose transaction sees one moment of the database.
        writes: Connections for writing.
    """

    where: str
    reads: Engine
    writes: Engine

    def first(self) -> AbstractContextManager[None]:
        """Make what a database lives in; hold off other first starts meanwhile."""
        ...

    def queue(self, connection: Connection) -> None:
        """Wait until no other plan is being applied, until the transaction ends."""
        ...

    def turn(self, domain: DomainName) -> AbstractContextManager[Hold]:
        """Hold a domain's lock until the block ends, or fail at once.

        Raises:
            StoreError: `turn-taken`.
        """
        ...

    def migrating(self) -> AbstractContextManager[Connection]:
        """Return a connection in one transaction in which tables may be rebuilt."""
        ...

    def account_numbers(self, connection: Connection, count: int) -> Sequence[int]:
        """Return numbers for new accounts, rising, never used before."""
        ...

    def insert(self, connection: Connection, table: Table, rows: Rows) -> None:
        """Insert many rows, in the fastest way that the driver has."""
        ...

    def may_pass(self, error: BaseException) -> bool:
        """Tell whether the same transaction may well succeed when it is repeated.

        Args:
            error: The driver's own exception.
        """
        ...

    def cause(self, error: BaseException) -> tuple[str, str]:
        """Return `StoreError.code` and a detail that shows no bound value.

        Args:
            error: The driver's own exception.
        """
        ...

    def backup(self, folder: Path | None) -> str:
        """Save the whole database before an upgrade.

        Args:
            folder: Where to put the copy; None for beside the database.

        Returns:
            A sentence that says where the copy stands, or what to do instead.
        """
        ...


def plain_rows(
    connection: Connection, table: Table, rows: Rows
) -> tuple[list[str], Iterator[tuple[object, ...]]]:
    """Return the columns of rows, and the rows as the driver takes them.

    Going past SQLAlchemy's own way of binding makes a bulk insert twice as fast.
    """
    columns = [column for column in table.columns if column.name in rows[0]]
    binds = [
        (column.name, column.type.dialect_impl(connection.dialect).bind_processor)
        for column in columns
    ]
    ways = [(name, bind(connection.dialect)) for name, bind in binds]
    plain = (
        tuple(row[name] if way is None else way(row[name]) for name, way in ways)
        for row in rows
    )
    return [column.name for column in columns], plain


@contextmanager
def wrapped(database: Database) -> Iterator[None]:
    """Turn every error of SQL and driver into a `StoreError`.

    Raises:
        StoreError: In place of theirs.
    """
    try:
        yield
    except (SQLAlchemyError, UnicodeError, OverflowError, ValueError) as error:
        # Not `from error`: PostgreSQL's words hold the values of the row, and a
        # traceback would print them.
        raise _store_error(error, database) from None


def _store_error(error: Exception, database: Database) -> StoreError:
    if isinstance(error, PoolTimeout):
        return StoreError("locked", database.where, "every connection is in use")
    if isinstance(error, DBAPIError) and error.orig is not None:
        code, detail = database.cause(error.orig)
        return StoreError(code, database.where, detail)
    if isinstance(error, SQLAlchemyError) and not isinstance(error, StatementError):
        return StoreError("broken", database.where, type(error).__name__)
    if isinstance(error, Unstorable):
        return StoreError("refused", database.where, str(error))
    # A value that no column can hold; its own words could show it.
    return StoreError("refused", database.where, "a value cannot be stored")
