"""The store's news: which domains another bridge has just changed.

SQLite is looked at twice a second (one pragma, which reads nothing); PostgreSQL tells
by itself. In the beginning, and whenever something may have been missed, every domain
is told: to look once more costs little.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from threading import Event, Thread

from dirbridge.model.names import DomainName
from dirbridge.store.base import RunResult, Store

LOOK = 0.5
"""Seconds from one look at a SQLite file to the next."""

_CHANGED = """
    SELECT domain, max(number) FROM runs WHERE number > ? AND result = ? GROUP BY domain
"""

Told = Callable[[DomainName], None]


@contextmanager
def followed(store: Store, told: Told) -> Iterator[None]:
    """Tell of changes, in a thread of its own, until the block ends.

    Args:
        store: The store.
        told: See `Store.changed`.
    """
    stop = Event()
    thread = Thread(
        target=store.changed, args=(told, stop), name="store-news", daemon=True
    )
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(2 * LOOK)


def follow_file(
    connect: Callable[[], sqlite3.Connection], told: Told, stop: Event
) -> None:
    """Look at a SQLite file until stopped; see `Store.changed`."""
    while not stop.is_set():
        with suppress(sqlite3.Error), closing(connect()) as connection:
            _follow(connection, told, stop)
        stop.wait(LOOK)


def _follow(connection: sqlite3.Connection, told: Told, stop: Event) -> None:
    seen, newest = None, 0
    while not stop.is_set():
        # It moves with each commit of any other connection, also to other tables.
        now = connection.execute("PRAGMA data_version").fetchone()
        if now != seen:
            wanted = (newest, RunResult.APPLIED.value)
            for domain, number in connection.execute(_CHANGED, wanted).fetchall():
                newest = max(newest, number)
                told(DomainName(domain))
        seen = now
        stop.wait(LOOK)
