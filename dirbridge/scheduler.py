"""Run the sync jobs of all domains inside `serve`: at intervals, and when told to.

A directory that is watched (`push = true`) asks for a run by each change. What asks
is gathered: a run begins a moment after the first word of a burst, and everything
that was said before it began is answered by it. Reading costs the directory
something, and directories also tell of changes that no sync looks at: so runs that
were asked for take half of the time at most, and less the longer they find nothing.
The interval goes on beside it, for what nobody told.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial

from dirbridge.errors import DirbridgeError
from dirbridge.model.sentences import problems_of
from dirbridge.store.base import RunResult
from dirbridge.sync.job import SyncJob

LOG = logging.getLogger("dirbridge.sync")

GATHER = 0.3
"""Seconds between the first word of a burst and the run that answers it."""

PAUSE = 1.0
"""Seconds, beside what the last run took, before a run that is asked for."""

LONGEST_PAUSE = 30.0
"""Seconds to which that pause may grow while such runs find nothing new."""


@dataclass(frozen=True, slots=True)
class Scheduled:
    """A job and when it runs.

    Attributes:
        job: The job.
        interval: How often it runs in any case.
        push: Whether its directory is watched, and asks for runs by itself.
    """

    job: SyncJob
    interval: timedelta
    push: bool = False


class Turns:
    """When one job is to run; the times are seconds of any one clock."""

    def __init__(self, interval: float) -> None:
        self._interval = interval
        self._due = 0.0
        self._asked: float | None = None
        self._free = 0.0
        self._in_vain = 0

    def ask(self, now: float) -> None:
        """Note that the directory asks for a run."""
        if self._asked is None:
            self._asked = now

    def next(self) -> float:
        """Return when the next run is to begin."""
        if self._asked is None:
            return self._due
        return min(self._due, max(self._asked + GATHER, self._free))

    def begin(self) -> None:
        """Note that a run begins; it answers all that was asked so far."""
        if self._asked is None or self._asked + GATHER >= self._free:
            # Nobody had to wait: what is told now and then is no noise.
            self._in_vain = 0
        self._asked = None

    def end(self, now: float, took: float, *, changed: bool) -> None:
        """Note how the run went.

        Args:
            now: When it ended.
            took: How long it took.
            changed: Whether it found anything new.
        """
        self._in_vain = 0 if changed else self._in_vain + 1
        least = PAUSE + took
        grown = least * 2.0 ** min(self._in_vain - 1, 16)
        self._free = now + max(least, min(grown, LONGEST_PAUSE))
        self._due = now + self._interval


class Scheduler:
    """Run jobs one after another in one thread, until stopped.

    A job runs when the bridge starts, then each time its interval is over, and
    shortly after its directory said that something changed. A run that fails is
    logged with its mend and tried again at the next of these times; logins never
    wait for it.
    """

    def __init__(
        self,
        scheduled: Sequence[Scheduled],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock = clock
        self._turns = [(Turns(s.interval.total_seconds()), s.job) for s in scheduled]
        self._stop = threading.Event()
        self._asked = threading.Condition()
        self._threads = [
            threading.Thread(target=self._loop, name="sync", daemon=True),
            *(
                self._watcher(turns, one.job)
                for (turns, _), one in zip(self._turns, scheduled, strict=True)
                if one.push
            ),
        ]

    def start(self) -> None:
        """Begin."""
        for thread in self._threads:
            thread.start()

    def stop(self, wait: timedelta = timedelta(seconds=10)) -> None:
        """End after the run that is going on; its transaction is all or nothing."""
        self._stop.set()
        with self._asked:
            self._asked.notify_all()
        until = time.monotonic() + wait.total_seconds()
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))

    def _watcher(self, turns: Turns, job: SyncJob) -> threading.Thread:
        def watch() -> None:
            try:
                job.connector.watch(partial(self._ask, turns), self._stop)
            except Exception as error:  # the interval goes on without it
                _log_bug(job, error)

        return threading.Thread(target=watch, name="watch", daemon=True)

    def _ask(self, turns: Turns) -> None:
        with self._asked:
            turns.ask(self._clock())
            self._asked.notify_all()

    def _loop(self) -> None:
        while (found := self._wait()) is not None:
            turns, job = found
            begun = self._clock()
            changed = _run(job)
            with self._asked:
                now = self._clock()
                turns.end(now, now - begun, changed=changed)

    def _wait(self) -> tuple[Turns, SyncJob] | None:
        """Wait for the next turn; None when it is over."""
        with self._asked:
            while self._turns and not self._stop.is_set():
                turns, job = min(self._turns, key=lambda one: one[0].next())
                left = turns.next() - self._clock()
                if left <= 0:
                    turns.begin()
                    return turns, job
                self._asked.wait(left)
        return None


def _run(job: SyncJob) -> bool:
    """Run a job, log how it went, and say whether it changed anything."""
    domain = job.policy.domain
    try:
        report = job.run()
    except DirbridgeError as error:
        _warn(domain, error)
        return False
    except Exception as error:  # the scheduler's run loop
        _log_bug(job, error)
        return False
    if report.stopped is not None:
        _warn(domain, report.stopped)
        return False
    run = report.run
    LOG.info("sync domain=%s changes=%s", domain, run.changes if run else {})
    return run is not None and run.result is RunResult.APPLIED


def _warn(domain: str, error: DirbridgeError) -> None:
    for problem in problems_of(error):
        LOG.warning("sync domain=%s %s %s", domain, problem.text, problem.next)


def _log_bug(job: SyncJob, error: Exception) -> None:
    domain, kind = job.policy.domain, type(error).__name__
    # A traceback may hold personal values.
    LOG.error("sync domain=%s failed in itself: %s", domain, kind)
