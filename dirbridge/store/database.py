"""What SQLite and PostgreSQL do each in their own way, behind one interface."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime
from pathlib import Path
from threading import Event
from typing import Any, Protocol

from sqlalchemy import ColumnElement, Connection, Engine, Table
from sqlalchemy.exc import DBAPIError, SQLAlchemyError, StatementError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from dirbridge.errors import StoreError
from dirbridge.model.names import DomainName
from dirbridge.store.filling import Filling, Rows
from dirbridge.store.pulse import Pulse
from dirbridge.store.rows import Unstorable
from dirbridge.store.turns import Hold


class Database(Protocol):
    """An open database; `sqlite` and `postgresql` have one class each.

    Attributes:
        where: The database for people, without any password.
        reads: Connections whose transaction sees one moment of the database.
        writes: Connections for writing.
        hurried: The same, for short writes that a login waits for: they fail soon
            where another write holds the whole database.
        listed: SQL: the values that are bound as `wanted` as a table `w` with one
            column `value`.
        errors: What the driver raises.
    """

    where: str
    reads: Engine
    writes: Engine
    hurried: Engine
    listed: str
    errors: type[Exception]

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

    def tell(
        self, connection: Connection, domain: DomainName, *, changed: bool
    ) -> None:
        """Let others know of a domain's run, when the transaction commits.

        Args:
            connection: In the transaction.
            domain: The domain.
            changed: Whether accounts or credentials were changed.
        """
        ...

    def changed(self, told: Callable[[DomainName], None], stop: Event) -> None:
        """See `Store.changed`."""
        ...

    def pulse(self) -> AbstractContextManager[Pulse]:
        """See `Store.pulse`."""
        ...

    def moved(self) -> None:
        """Note that a run of this process was committed, for its own pulses."""
        ...

    def migrating(self) -> AbstractContextManager[Connection]:
        """Return a connection in one transaction in which tables may be rebuilt."""
        ...

    def account_numbers(self, connection: Connection, count: int) -> Sequence[int]:
        """Return numbers for new accounts, rising, never used before."""
        ...

    def moment(self, time: datetime | None) -> object:
        """Return a time as the driver takes it in `insert` and `update`.

        Raises:
            ValueError: It has no zone.
        """
        ...

    def insert(self, connection: Connection, table: Table, rows: Rows) -> None:
        """Insert many whole rows, in the fastest way that the driver has."""
        ...

    def filling(self, connection: Connection) -> Filling:
        """Return what inserts the rows of a plan, which may be a large one."""
        ...

    def append(
        self, connection: Connection, table: Table, names: Sequence[str], rows: Rows
    ) -> None:
        """Insert many rows of some columns; the database gives the others.

        Args:
            connection: In a transaction.
            table: The table.
            names: The columns, in the table's order.
            rows: Values as the driver takes them, in that order.
        """
        ...

    def update(
        self, connection: Connection, table: Table, names: Sequence[str], rows: Rows
    ) -> int:
        """Update many rows, in the fastest way that the driver has.

        Args:
            connection: In a transaction.
            table: The table.
            names: Its columns of which `rows` has the values, in the table's order;
                the first one is the key, which tells the row to update.
            rows: No key stands in it twice.

        Returns:
            How many rows were there.
        """
        ...

    def among(self, column: ColumnElement[Any]) -> ColumnElement[bool]:
        """Return a condition: the column's value is among those bound as `wanted`.

        One text of SQL for any number of values; bind what `many` makes of them.
        """
        ...

    def many(self, values: Collection[str] | Collection[int]) -> object:
        """Return values as they are bound as `wanted`."""
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

    def save(self, target: Path | None) -> Path:
        """Save the whole database in a new file, while it is in use.

        Args:
            target: The file; None for a name with the time, beside a SQLite file, or
                in the current folder.

        Returns:
            The file.

        Raises:
            StoreError: `backup` or `no-program`; there is no copy.
        """
        ...

    def restore(self, source: Path, newest: int) -> Path | None:
        """Put what `save` made in the place of everything, all or nothing.

        Cursors are `RESTORED` then, and no approval is left.

        Args:
            source: The file.
            newest: The newest schema that will do.

        Returns:
            Where the former database is kept, None where it is not.

        Raises:
            StoreError: `in-use`, `no-backup`, `newer-schema` or `no-program`; nothing
                was changed.
        """
        ...


_VALUES = (UnicodeError, OverflowError, ValueError)
"""What drivers raise for a value that no column can hold."""


@contextmanager
def wrapped(database: Database) -> Iterator[None]:
    """Turn every error of SQL and driver into a `StoreError`.

    Raises:
        StoreError: In place of theirs.
    """
    try:
        yield
    except (SQLAlchemyError, database.errors, *_VALUES) as error:
        # Not `from error`: PostgreSQL's words hold the values of the row, and a
        # traceback would print them.
        raise _store_error(error, database) from None


def _store_error(error: Exception, database: Database) -> StoreError:
    if isinstance(error, PoolTimeout):
        return StoreError("locked", database.where, "every connection is in use")
    if isinstance(error, DBAPIError) and error.orig is not None:
        code, detail = database.cause(error.orig)
        return StoreError(code, database.where, detail)
    if isinstance(error, database.errors):
        # SQLAlchemy lets them pass where it sets a connection up or back.
        code, detail = database.cause(error)
        return StoreError(code, database.where, detail)
    if isinstance(error, SQLAlchemyError) and not isinstance(error, StatementError):
        return StoreError("broken", database.where, type(error).__name__)
    if isinstance(error, Unstorable):
        return StoreError("refused", database.where, str(error))
    # A value that no column can hold; its own words could show it.
    return StoreError("refused", database.where, "a value cannot be stored")
