"""Which proofs of passwords went to a realm's KDCs and came back unanswered.

libkrb5 says "cannot contact any KDC" whether a KDC was away from the start or went away
with the proof of a password, which it may then have counted. The relay that stands
between them knows.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class SentProofs:
    """What is known of one realm; safe from any thread."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Take a clock of seconds."""
        self._clock = clock
        self._lock = threading.Lock()
        self._on_their_way: dict[int, float] = {}
        self._number = 0
        self._lost_at = float("-inf")

    def now(self) -> float:
        """Return the time to ask `unanswered` with later."""
        return self._clock()

    @contextmanager
    def sent(self) -> Iterator[None]:
        """Take a proof for sent until the block ends, and for lost if that raises."""
        with self._lock:
            self._number += 1
            number = self._number
            self._on_their_way[number] = self._clock()
        try:
            yield
        except BaseException:
            self._lost_at = self._clock()
            raise
        finally:
            with self._lock:
                del self._on_their_way[number]

    def unanswered(self, since: float) -> bool:
        """Whether a proof that was sent since then is still, or for ever, unanswered.

        It may be another login's of the same moment: a request does not tell which
        thread of libkrb5 made it, so the doubt is everybody's.
        """
        with self._lock:
            return self._lost_at >= since or any(
                begun >= since for begun in self._on_their_way.values()
            )
