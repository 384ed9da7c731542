"""What becomes of a login's record: lines and rows, queued and written in batches.

A login waits neither for the disk nor for whoever reads the log. Both queues are
bounded: where the other side is slower than the logins, attempts are dropped and
counted, and the logins go on. What was dropped is told once for each batch.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Self

from dirbridge.errors import StoreError, harmless
from dirbridge.login.log_line import log_line
from dirbridge.model.login import Accepted, Attempt

LOG = logging.getLogger("dirbridge.login")

LONGEST_LINE = 8000
"""Characters."""

Write = Callable[[Iterable[Attempt], datetime], None]


def together(attempts: Iterable[Attempt]) -> Iterator[Attempt]:
    """Put those together that are repetitions of one another, and count them.

    A mail program that opens ten connections logs in ten times at once. Only what was
    accepted from memory is told twice by the very same verdict; each other login keeps
    its own row.
    """
    alike: dict[tuple[object, ...], list[Attempt]] = {}
    for one in attempts:
        verdict = one.verdict
        same = id(verdict) if isinstance(verdict, Accepted) else id(one)
        who = (same, one.request_name, one.service, one.hook)
        alike.setdefault((*who, one.remote_ip, one.local_ip), []).append(one)
    return map(_counted, alike.values())


def _counted(alike: Sequence[Attempt]) -> Attempt:
    """Return the one that stands for some."""
    if len(alike) == 1:
        return alike[0]
    slowest = max(one.milliseconds for one in alike)
    times = sum(one.times for one in alike)
    return replace(alike[0], milliseconds=slowest, times=times)


class _Queue:
    """Attempts that wait; `add` is called by many threads and by the event loop."""

    def __init__(self, room: int, pause: float, name: str) -> None:
        self._room = room
        self._pause = pause
        self._waiting: deque[Attempt] = deque()
        self._stop = threading.Event()
        self._wake = threading.Event()
        self._thread = threading.Thread(target=self._loop, name=name, daemon=True)
        self.dropped = 0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._wake.set()
        self._thread.join()

    def add(self, attempt: Attempt) -> None:
        """Take one attempt; never waits."""
        if len(self._waiting) >= self._room:
            self.dropped += 1
            return
        self._waiting.append(attempt)
        if not self._wake.is_set():
            self._wake.set()

    def _loop(self) -> None:
        while not self._stop.is_set():
            self._wake.wait()
            # What comes while it rests makes one batch.
            self._stop.wait(self._pause)
            self._wake.clear()
            self._write_all(self._taken())
        self._write_all(self._taken())

    def _taken(self) -> list[Attempt]:
        """Take what waits by now."""
        return [self._waiting.popleft() for _ in range(len(self._waiting))]

    def _write_all(self, batch: list[Attempt]) -> None:
        raise NotImplementedError


class AttemptsLog(_Queue):
    """Writes attempts into the store within about a second.

    Attributes:
        dropped: Attempts that were dropped since the start.
    """

    def __init__(self, write: Write, *, room: int = 20_000, pause: float = 0.5) -> None:
        """Take the store's way to write attempts.

        Args:
            write: Writes one batch.
            room: Attempts that may wait.
            pause: Seconds from the first attempt of a batch to its end.
        """
        super().__init__(room, pause, "attempts")
        self._write = write
        self._told = 0

    def _write_all(self, batch: list[Attempt]) -> None:
        self._tell("the store is slower than the logins")
        if not batch:
            return
        try:
            self._write(together(batch), datetime.now(UTC))
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


class LineLog(_Queue):
    """Writes the stable lines of logins that were answered on the event loop.

    Nobody may wait there for a log that nobody reads. Several lines are written at
    once, within some hundredths of a second.

    Attributes:
        dropped: Lines that were dropped since the start.
    """

    def __init__(
        self,
        write: Callable[[str], object],
        *,
        room: int = 20_000,
        pause: float = 0.02,
    ) -> None:
        """Take where lines go.

        Args:
            write: Writes text; may raise `OSError`, which drops it.
            room: Attempts that may wait.
            pause: Seconds from the first line of a batch to its end.
        """
        super().__init__(room, pause, "login-lines")
        self._write = write

    def _write_all(self, batch: list[Attempt]) -> None:
        lines = [harmless(log_line(attempt), LONGEST_LINE) for attempt in batch]
        if not lines:
            return
        try:
            self._write("\n".join((*lines, "")))
        except OSError:
            self.dropped += len(lines)
