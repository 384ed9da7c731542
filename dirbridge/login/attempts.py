"""The attempts log: queued by logins, written in batches by one thread."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime

from dirbridge.errors import StoreError
from dirbridge.model.login import Attempt

LOG = logging.getLogger("dirbridge.login")

Write = Callable[[Iterable[Attempt], datetime], None]


class AttemptsLog:
    """Take attempts without waiting, and write them within about a second.

    The queue is bounded: when the store is slower than the logins, attempts are
    dropped and counted, and the logins go on. What was dropped is told once for
    each batch.

    Attributes:
        dropped: Attempts that were dropped since the start.
    """

    def __init__(self, write: Write, *, room: int = 10_000, pause: float = 0.5) -> None:
        """Take the store's way to write attempts.

        Args:
            write: Writes one batch.
            room: Attempts that may wait.
            pause: Seconds between two batches.
        """
        self._write = write
        self._pause = pause
        self._waiting: queue.Queue[Attempt] = queue.Queue(room)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="attempts", daemon=True)
        self.dropped = 0
        self._told = 0

    def __enter__(self) -> AttemptsLog:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def add(self, attempt: Attempt) -> None:
        """Take one attempt; never waits."""
        try:
            self._waiting.put_nowait(attempt)
        except queue.Full:
            self.dropped += 1

    def _loop(self) -> None:
        while not self._stop.wait(self._pause):
            self._write_batch()
        self._write_batch()

    def _write_batch(self) -> None:
        self._tell("the store is slower than the logins")
        batch = list(self._taken())
        if not batch:
            return
        try:
            self._write(batch, datetime.now(UTC))
        except StoreError as error:
            self.dropped += len(batch)
            self._tell(f"the store is {error.code}")

    def _tell(self, why: str) -> None:
        """Say how many were dropped since it was said last."""
        dropped = self.dropped
        if dropped > self._told:
            LOG.warning(
                "login attempts not recorded: %d, since %s; look at the user database, "
                'or run "dirbridge status"',
                dropped - self._told,
                why,
            )
            self._told = dropped

    def _taken(self) -> Iterator[Attempt]:
        while True:
            try:
                yield self._waiting.get_nowait()
            except queue.Empty:
                return
