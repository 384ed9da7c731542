"""What a running bridge does once a day: forget what is old."""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from dirbridge.errors import StoreError
from dirbridge.login.guard_addresses import KNOWN_FOR
from dirbridge.model.sentences import problems_of
from dirbridge.store.base import Store

LOG = logging.getLogger("dirbridge.serve")

FIRST_SECONDS = 300.0
"""Seconds after the start: a bridge that starts has better things to do."""

EVERY_SECONDS = 86_400.0

RETRY_SECONDS = 3600.0
"""Seconds to the next try where the store could not be written."""


@dataclass(frozen=True, slots=True)
class Retention:
    """How long the store remembers; None is for ever.

    Attributes:
        attempts: Login attempts.
        changes: Audit rows, and runs that have no others.
    """

    attempts: timedelta | None = None
    changes: timedelta | None = None


class Housekeeping:
    """Forget what is old, once a day, in a thread; a context manager."""

    def __init__(
        self,
        store: Store,
        retention: Retention,
        *,
        first: float = FIRST_SECONDS,
        every: float = EVERY_SECONDS,
    ) -> None:
        self._store = store
        self._retention = retention
        self._first = first
        self._every = every
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="forget", daemon=True)

    def __enter__(self) -> Housekeeping:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(10)

    def _loop(self) -> None:
        pause = self._first
        while not self._stop.wait(pause):
            pause = self._every if self.forget() else RETRY_SECONDS

    def forget(self, now: datetime | None = None) -> bool:
        """Forget what is old now; False where the store could not be written."""
        at = now or datetime.now(UTC)
        kept = self._retention
        try:
            attempts, changes = self._store.prune(
                _before(at, kept.attempts), _before(at, kept.changes)
            )
            self._store.prune_addresses(at - KNOWN_FOR)
        except StoreError as error:
            for one in problems_of(error):
                LOG.warning("forget: %s %s", one.text, one.next)
            return False
        if attempts or changes:
            LOG.info("forgotten attempts=%d changes=%d", attempts, changes)
        return True


def _before(at: datetime, kept: timedelta | None) -> datetime | None:
    return None if kept is None else at - kept
