"""Who may wait for a check that takes a processor for long.

Whoever waits holds one of the threads that answer all logins. So only some may wait in
all, and fewer with one account: wrong passwords for one local account hold up neither
the other ones nor the logins that ask a directory.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from dirbridge.model.deadline import Deadline

MOST = 32
"""How many may wait or be checked: half of the threads that answer logins."""

EACH = 12
"""The same with one account: programs open up to ten connections at once."""


class Turns:
    """Give turns, a few at the same time; safe from any thread."""

    def __init__(self, at_once: int, *, most: int = MOST, each: int = EACH) -> None:
        """Take how many have their turn at once, and how many may be there in all.

        Args:
            at_once: How many have their turn at the same time.
            most: How many may be there, waiting ones included.
            each: How many of them with the same account.
        """
        self._slots = threading.BoundedSemaphore(at_once)
        self._most = most
        self._each = each
        self._lock = threading.Lock()
        self._there: Counter[int] = Counter()
        self._all = 0

    @contextmanager
    def turn(self, number: int, deadline: Deadline) -> Iterator[bool]:
        """Wait for one's turn, and have it until the end of the block.

        Args:
            number: The account's number.
            deadline: How long to wait.

        Yields:
            Whether one has it; at once False where too many are there.
        """
        if not self._come(number):
            yield False
            return
        try:
            free = self._slots.acquire(timeout=deadline.left())
            try:
                yield free
            finally:
                if free:
                    self._slots.release()
        finally:
            self._go(number)

    def _come(self, number: int) -> bool:
        with self._lock:
            if self._all >= self._most or self._there[number] >= self._each:
                return False
            self._all += 1
            self._there[number] += 1
            return True

    def _go(self, number: int) -> None:
        with self._lock:
            self._all -= 1
            self._there[number] -= 1
            if not self._there[number]:
                del self._there[number]
