"""Who is waited for too long; one timer serves all, as nearly nobody is.

A login takes some hundred-thousandths of a second: a timer for each would cost more
than it does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")

_TICK = 0.005
"""Seconds by which a timer may come early."""


class Overdue(Generic[T]):
    """Tell who was there for some seconds; used on the event loop."""

    def __init__(self, seconds: float, late: Callable[[T], None]) -> None:
        """Wait for nobody yet; to be called on the running event loop.

        Args:
            seconds: How long one may be there.
            late: Told who was there for that long; he is not there any more.
        """
        self._seconds = seconds
        self._late = late
        self._loop = asyncio.get_running_loop()
        # Who came first stands first.
        self._since: dict[T, float] = {}
        self._look: asyncio.TimerHandle | None = None

    def __contains__(self, one: T) -> bool:
        return one in self._since

    def __len__(self) -> int:
        return len(self._since)

    def add(self, one: T) -> None:
        """Wait for somebody from now on."""
        self._since[one] = self._loop.time()
        if self._look is None:
            self._look = self._loop.call_later(self._seconds, self._pass)

    def remove(self, one: T) -> None:
        """Wait for somebody no more, if we did."""
        self._since.pop(one, None)

    def _pass(self) -> None:
        """Tell who is late; the others came later."""
        latest = self._loop.time() - self._seconds + _TICK
        try:
            while self._since:
                one, since = next(iter(self._since.items()))
                if since > latest:
                    break
                self.remove(one)
                self._late(one)
        finally:
            self._look = self._next_look()

    def _next_look(self) -> asyncio.TimerHandle | None:
        for since in self._since.values():
            left = since + self._seconds - self._loop.time()
            return self._loop.call_later(max(left, 0.0), self._pass)
        return None
