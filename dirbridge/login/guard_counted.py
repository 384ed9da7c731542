"""Of which accounts something is counted at all: nearly none.

To read the fleet's count at each login would cost as much as all else that a login
needs of the store. So the list of those that have one is read a few times a second, and
the count itself only of them. What another bridge has counted in between is late; it is
one try at most, as each bridge of the fleet may be late by one anyway.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from dirbridge.errors import StoreError
from dirbridge.model.account import Account
from dirbridge.store.tries_base import TriesReader

EVERY = 0.25
"""Seconds for which the list is believed."""

MOST = 2000
"""Longest list; in a worse flood each account is looked up."""


class Counted:
    """Know which accounts may have been counted; safe from any thread."""

    def __init__(
        self,
        store: TriesReader,
        *,
        every: float = EVERY,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Take the fleet's count, how often to look, and a clock of seconds."""
        self._store = store
        self._every = every
        self._clock = clock
        self._lock = threading.Lock()
        self._known: frozenset[int] | None = None
        self._good_until = float("-inf")
        # A list that was read while we counted may lack it.
        self._own: dict[int, float] = {}

    def may_be(self, account: Account) -> bool:
        """Whether something may be counted of an account."""
        if self._clock() >= self._good_until and self._lock.acquire(blocking=False):
            try:
                self._look()
            finally:
                self._lock.release()
        known = self._known
        number = account.number
        return known is None or number in known or number in self._own

    def is_none(self, account: Account) -> bool:
        """Whether it is known, without a look, that nothing is counted."""
        known = self._known
        if known is None or self._clock() >= self._good_until:
            return False
        return account.number not in known and account.number not in self._own

    def note(self, account: Account) -> None:
        """Take down that this process has counted."""
        with self._lock:
            self._own[account.number] = self._clock()

    def forget(self, account: Account) -> None:
        """Take down that what this process has counted is given back."""
        with self._lock:
            self._own.pop(account.number, None)

    def _look(self) -> None:
        begun = self._clock()
        try:
            self._known = self._store.tried(MOST)
        except StoreError:
            self._known = None
        recent = {n: at for n, at in self._own.items() if at >= begun - self._every}
        self._own = recent
        self._good_until = begun + self._every
