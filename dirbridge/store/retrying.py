"""Writing a plan although the database sometimes says no, or says nothing any more.

A deadlock or a serialization failure has undone the whole transaction: it is tried
again. So is one whose connection was lost before COMMIT was sent. When the connection
is lost while COMMIT is answered, nobody knows how it ended; then the run's row tells,
once the old transaction is over for certain. Nothing is ever written twice.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

from sqlalchemy import Connection, select
from sqlalchemy.exc import DBAPIError
from tenacity import (
    Retrying,
    retry_if_exception,
    stop_after_delay,
    wait_random_exponential,
)

from dirbridge.errors import StoreError
from dirbridge.store.base import Run, RunResult
from dirbridge.store.database import Database
from dirbridge.store.schema import RunRow

PATIENCE = 15
"""Seconds after which a last try is given up; a database restarts in fewer."""

Begin = Callable[[], AbstractContextManager[Connection]]


class Writing:
    """One plan's way into the database, through as many transactions as it takes."""

    def __init__(
        self,
        database: Database,
        begin: Begin,
        write: Callable[[Connection], Run],
        *,
        anew: bool = True,
    ) -> None:
        """Take what is to be written.

        Args:
            database: The database.
            begin: Begins a transaction.
            write: Writes everything in it, and gives the run with its number.
            anew: Whether another connection will do where one was lost.
        """
        self._database = database
        self._begin = begin
        self._write = write
        self._anew = anew
        self._reached = False

    def done(self) -> Run:
        """Write, and return the run with its number.

        Raises:
            SQLAlchemyError: Nothing was written.
            StoreError: Nothing was written; `undecided` where that is not known.
        """
        try:
            return self._patiently(self._may_repeat)(self._once)
        finally:
            # Also where it is not known whether it was written.
            self._database.moved()

    def _once(self) -> Run:
        done = None
        try:
            with self._begin() as connection:
                self._reached = True
                self._database.queue(connection)
                done = self._write(connection)
                changed = done.result is RunResult.APPLIED
                self._database.tell(connection, done.domain, changed=changed)
        except (DBAPIError, StoreError) as error:
            if done is None or not self._is_lost(error):
                raise
            if not self._was_heard(done):
                raise
        return done

    def _was_heard(self, done: Run) -> bool:
        """Tell whether the COMMIT of a run was heard whose answer was lost."""
        try:
            return self._patiently(self._is_lost)(self._is_there, done)
        except DBAPIError as error:
            if self._is_lost(error):
                raise StoreError("undecided", self._database.where) from None
            raise

    def _is_there(self, done: Run) -> bool:
        wanted = select(RunRow.number).where(
            RunRow.number == done.number,
            # A crash may take back the number, which then is given once more.
            RunRow.domain == done.domain,
            RunRow.started_at == done.started_at,
        )
        with self._database.writes.begin() as connection:
            # The old transaction has this lock until it is over.
            self._database.queue(connection)
            return connection.execute(wanted).first() is not None

    def _may_repeat(self, error: BaseException) -> bool:
        if not isinstance(error, DBAPIError) or error.orig is None:
            return False
        if self._database.may_pass(error.orig):
            return True
        # A database that cannot be reached at all is told at once.
        return self._anew and self._reached and self._is_lost(error)

    def _is_lost(self, error: BaseException) -> bool:
        match error:
            case StoreError(code=code):
                return code == "turn-lost"
            case DBAPIError(orig=BaseException() as cause):
                return self._database.cause(cause)[0] == "unreachable"
            case _:
                return False

    def _patiently(self, repeat: Callable[[BaseException], bool]) -> Retrying:
        return Retrying(
            retry=retry_if_exception(repeat),
            stop=stop_after_delay(PATIENCE),
            wait=wait_random_exponential(multiplier=0.05, max=1),
            reraise=True,
        )
