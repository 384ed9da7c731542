"""Whether what logins were told by the store still holds, asked at each of them.

What is kept in memory of accounts and credentials is of use only while nobody has
changed them. A `Pulse` gives a number that moves with every run, also with one that
only noted other octets of an entry (a new password's date, perhaps). SQLite is asked
each time, by one pragma on a connection that is kept; PostgreSQL tells by itself, and
where it cannot be heard nothing may be believed.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from time import monotonic
from typing import Protocol

_GOOD = 0.01
"""Seconds for which a look at a file is good; one costs as much as a whole login from
memory, as it locks the file."""

_NEWEST = "SELECT max(number) FROM runs"


class Pulse(Protocol):
    """Says whether accounts or credentials may have changed; asked by any thread."""

    def beat(self) -> int | None:
        """Return a number, another one than before where something may have changed.

        None where that cannot be told: then nothing that is kept may be believed.
        It waits for nobody, and raises nothing. What this process has written itself
        moves it before the write returns.
        """
        ...


class FilePulse:
    """The pulse of a SQLite file.

    `data_version` moves with each commit of any other connection; only then is the
    number of the newest run read, as logins are recorded twice a second. A look is
    good for a hundredth of a second: what another process commits meanwhile and what
    is asked meanwhile are at the same time.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._lock = threading.Lock()
        self._seen: object = None
        self._newest: int | None = None
        self._good_until = 0.0

    def beat(self) -> int | None:
        """Look at the file; see `Pulse.beat`."""
        newest = self._newest
        if monotonic() < self._good_until:
            return newest
        with self._lock:
            try:
                newest = self._looked()
            except sqlite3.Error:
                self._seen = newest = None
                self._good_until = 0.0
            return newest

    def doubt(self) -> None:
        """Look again the next time: this process has written."""
        with self._lock:
            self._good_until = 0.0

    def _looked(self) -> int | None:
        good_until = monotonic() + _GOOD
        now = self._connection.execute("PRAGMA data_version").fetchone()
        if now != self._seen:
            (newest,) = self._connection.execute(_NEWEST).fetchone()
            self._newest, self._seen = newest or 0, now
        self._good_until = good_until
        return self._newest


@contextmanager
def file_pulse(connect: Callable[[], sqlite3.Connection]) -> Iterator[FilePulse]:
    """Give a file's pulse on a connection of its own, which never waits for a lock.

    Raises:
        sqlite3.Error: It cannot be opened.
    """
    connection = connect()
    try:
        connection.execute("PRAGMA busy_timeout = 0").fetchone()
        yield FilePulse(connection)
    finally:
        with suppress(sqlite3.Error):
            connection.close()


class HeardPulse:
    """The pulse of a store that tells of runs, for as long as it can be heard."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._count = 0
        self._heard = False

    def beat(self) -> int | None:
        """Return the number of what was heard; see `Pulse.beat`."""
        with self._lock:
            return self._count if self._heard else None

    def move(self) -> None:
        """Note that something changed."""
        with self._lock:
            self._count += 1

    def listen(self) -> None:
        """Note that the store is heard from now on."""
        self._switch(heard=True)

    def lose(self) -> None:
        """Note that it is heard no more."""
        self._switch(heard=False)

    def _switch(self, *, heard: bool) -> None:
        with self._lock:
            self._count += 1
            self._heard = heard
