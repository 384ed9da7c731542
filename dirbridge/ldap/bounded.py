"""Calls that know no deadline of their own, run under one.

`getaddrinfo` and the Kerberos library wait as long as they please. Such a call
runs in a thread of its own that is abandoned when the deadline passes; a bounded
number of them may be on their way, so that a dead name server or KDC does not
fill the process with threads.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Overdue(Exception):
    """The call did not end in time; it goes on alone and its result is dropped."""


class Full(Exception):
    """As many calls as allowed are already on their way."""


class _Slot(Generic[T]):
    """Where the thread leaves what the call returned or raised."""

    def __init__(self, call: Callable[[], T]) -> None:
        self._call = call
        self._result: T | None = None
        self._error: BaseException | None = None
        self._done = threading.Event()

    def run(self) -> None:
        try:
            self._result = self._call()
        except BaseException as error:  # handed to the waiting thread
            self._error = error
        finally:
            self._done.set()

    def wait(self, seconds: float) -> T:
        if not self._done.wait(seconds):
            raise Overdue
        if self._error is not None:
            raise self._error
        return self._result  # type: ignore[return-value]  # set by run


class Bounded:
    """Runs calls under a deadline, at most `limit` of them at once."""

    def __init__(self, name: str, limit: int) -> None:
        self._name = name
        self._free = threading.BoundedSemaphore(limit)

    def call(self, call: Callable[[], T], seconds: float) -> T:
        """Run `call` and wait at most `seconds` for it.

        Without time left nothing is begun: a password that nobody waits for is not
        sent.

        Raises:
            Overdue: It did not end in time.
            Full: No place became free in time, or no thread could be had.
        """
        if seconds <= 0:
            raise Overdue
        end = time.monotonic() + seconds
        if not self._free.acquire(timeout=seconds):
            raise Full
        slot = _Slot(call)

        def work() -> None:
            try:
                slot.run()
            finally:
                self._free.release()

        self._begin(work)
        return slot.wait(max(end - time.monotonic(), 0.0))

    def _begin(self, work: Callable[[], None]) -> None:
        try:
            threading.Thread(target=work, name=self._name, daemon=True).start()
        except RuntimeError as error:  # the machine gives no more threads
            self._free.release()
            raise Full from error
