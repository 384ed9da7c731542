"""So many places, taken one by one and given back."""

from __future__ import annotations

from queue import Empty, SimpleQueue


class Places:
    """A semaphore, for logins: `threading`'s costs four times as much."""

    def __init__(self, count: int) -> None:
        """Have so many free places."""
        self._free: SimpleQueue[None] = SimpleQueue()
        for _ in range(count):
            self._free.put(None)

    def take(self, seconds: float = 0.0) -> bool:
        """Take a place; False where none became free.

        Args:
            seconds: How long to wait for one.
        """
        try:
            self._free.get(seconds > 0, seconds or None)
        except Empty:
            return False
        return True

    def give_back(self) -> None:
        """Give back a place that was taken."""
        self._free.put(None)
