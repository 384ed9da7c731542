"""When one job is to run: at intervals, when told to, and later while it fails.

A directory that is watched (`push = true`) asks for a run by each change. What asks
is gathered: a run begins a moment after the first word of a burst, and everything
that was said before it began is answered by it. Reading costs the directory
something, and directories also tell of changes that no sync looks at: so runs that
were asked for take half of the time at most, and less the longer they find nothing.
The interval goes on beside it, for what nobody told.

A job that fails is tried again ever more seldom, up to an hour apart. Who asks does
not have to wait for that: one such run in a minute is begun all the same.
"""

from __future__ import annotations

import math
from collections.abc import Callable

GATHER = 0.3
"""Seconds between the first word of a burst and the run that answers it."""

PAUSE = 1.0
"""Seconds, beside what the last run took, before a run that is asked for."""

LONGEST_PAUSE = 30.0
"""Seconds to which that pause may grow while such runs find nothing new."""

LONGEST_BACKOFF = 3600.0
"""Seconds to which the interval may grow while runs fail."""

ASKED_WHILE_FAILING = 60.0
"""Least seconds between two runs that are asked for while runs fail."""

TAKEN = 1.0
"""Seconds before a run that is asked for looks again whether another bridge is done."""


def steady() -> float:
    """Return the factor of no jitter."""
    return 1.0


class Turns:
    """When one job is to run; the times are seconds of any one clock."""

    def __init__(self, interval: float, jitter: Callable[[], float] = steady) -> None:
        """Begin with a run that is due at once.

        Args:
            interval: Seconds between two runs that nobody asks for; `math.inf` where
                there are no such runs, not even a first one.
            jitter: Gives the factor, near 1, by which each of them is longer, so
                that many bridges do not ask one directory in the same second.
        """
        self._interval = interval
        self._jitter = jitter
        self._due = math.inf if interval == math.inf else 0.0
        self._asked: float | None = None
        self._urgent: float | None = None
        self._answering = (False, False)
        self._free = 0.0
        self._held = 0.0
        self._in_vain = 0
        self.failures = 0

    def ask(self, now: float) -> None:
        """Note that the directory asks for a run."""
        if self._asked is None:
            self._asked = now

    def ask_at_once(self, now: float) -> None:
        """Note that somebody waits for a run."""
        if self._urgent is None:
            self._urgent = now

    def held(self, now: float) -> bool:
        """Return whether who asks now has to wait, as the job fails again and again."""
        return now < self._held

    def next(self) -> float:
        """Return when the next run is to begin."""
        times = [self._due]
        if self._asked is not None:
            times.append(max(self._asked + GATHER, self._free, self._held))
        if self._urgent is not None:
            times.append(max(self._urgent, self._held))
        return min(times)

    @property
    def due(self) -> float:
        """When the next run is to begin that nobody asks for."""
        return self._due

    def begin(self, now: float) -> None:
        """Note that a run begins; it answers all that was asked so far."""
        if self._asked is None or self._asked + GATHER >= self._free:
            # Nobody had to wait: what is told now and then is no noise.
            self._in_vain = 0
        if self.failures and self._due > now:
            self._held = now + ASKED_WHILE_FAILING
        self._answering = (self._asked is not None, self._urgent is not None)
        self._asked = self._urgent = None

    def end(self, now: float, took: float, *, changed: bool) -> None:
        """Note that the run went well.

        Args:
            now: When it ended.
            took: How long it took.
            changed: Whether it found anything new.
        """
        self.failures = 0
        self._held = 0.0
        self._pause(now, took, changed=changed)
        self.postpone(now)

    def fail(self, now: float, took: float) -> None:
        """Note that the run failed; see `end`."""
        self.failures += 1
        self._pause(now, took, changed=False)
        longest = max(self._interval, LONGEST_BACKOFF)
        grown = self._interval * 2.0 ** min(self.failures - 1, 32)
        self._due = now + min(grown, longest) * self._jitter()

    def taken(self, now: float) -> None:
        """Note that it did not run, as another bridge syncs the domain just now.

        That one may be lost in mid-run: the next look is within the interval.
        """
        asked, urgent = self._answering
        if urgent:
            self.ask_at_once(now + TAKEN)
        if asked:
            self.ask(now)
            self._free = max(self._free, now + TAKEN)
        self._due = now + self._interval / 2 * self._jitter()

    def postpone(self, since: float) -> None:
        """Let the next run be an interval after another one, ours or not."""
        self._due = since + self._interval * self._jitter()

    def _pause(self, now: float, took: float, *, changed: bool) -> None:
        self._in_vain = 0 if changed else self._in_vain + 1
        least = PAUSE + took
        grown = least * 2.0 ** min(self._in_vain - 1, 16)
        self._free = now + max(least, min(grown, LONGEST_PAUSE))
