"""Run the sync jobs of all domains inside `serve`, each at its interval."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from dirbridge.errors import DirbridgeError
from dirbridge.model.sentences import problems_of
from dirbridge.sync.job import SyncJob

LOG = logging.getLogger("dirbridge.sync")


@dataclass(frozen=True, slots=True)
class Scheduled:
    """A job and how often it runs."""

    job: SyncJob
    interval: timedelta


class Scheduler:
    """Run jobs one after another in one thread, until stopped.

    A job runs when the bridge starts and then each time its interval is over. A
    run that fails is logged with its mend and tried again at the next interval;
    logins never wait for it.
    """

    def __init__(self, scheduled: Sequence[Scheduled]) -> None:
        self._due = [(0.0, one) for one in scheduled]
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="sync", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self, wait: timedelta = timedelta(seconds=10)) -> None:
        """End after the run that is going on; its transaction is all or nothing."""
        self._stop.set()
        self._thread.join(wait.total_seconds())

    def _loop(self) -> None:
        while self._due and not self._stop.is_set():
            at, one = min(self._due, key=lambda due: due[0])
            if self._stop.wait(max(0.0, at - time.monotonic())):
                return
            _run(one.job)
            self._due.remove((at, one))
            again = time.monotonic() + one.interval.total_seconds()
            self._due.append((again, one))


def _run(job: SyncJob) -> None:
    domain = job.policy.domain
    try:
        report = job.run()
    except DirbridgeError as error:
        for problem in problems_of(error):
            LOG.warning("sync domain=%s %s %s", domain, problem.text, problem.next)
    except Exception as error:  # the scheduler's run loop
        LOG.error("sync domain=%s failed in itself: %s", domain, type(error).__name__)  # noqa: TRY400 - a traceback may hold personal values
    else:
        if report.stopped is not None:
            for problem in problems_of(report.stopped):
                LOG.warning("sync domain=%s %s %s", domain, problem.text, problem.next)
            return
        run = report.run
        LOG.info("sync domain=%s changes=%s", domain, run.changes if run else {})
