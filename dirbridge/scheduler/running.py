"""Run one job once: log how it went, and tell it in words for notices."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass

from dirbridge.authenticators.outages import cause_of
from dirbridge.errors import DirbridgeError, DirectoryError, Problem, StoreError
from dirbridge.login.log_line import plain
from dirbridge.model.login import Cause
from dirbridge.model.sentences import of_stop, problems_of
from dirbridge.notices.rules import Ended
from dirbridge.store.base import Run, RunResult
from dirbridge.sync.job import Report, SyncJob

LOG = logging.getLogger("dirbridge.sync")


@dataclass(frozen=True, slots=True)
class Done:
    """How a run ended.

    Attributes:
        result: Its result; None where another bridge syncs the domain just now.
        ended: What notices should know of it; None where nothing ran.
        cause: Why nothing could be looked up, None where the directory was read.
        run: The run as the store remembers it, where it does.
    """

    result: RunResult | None
    ended: Ended | None = None
    cause: Cause | None = None
    run: Run | None = None

    @property
    def changed(self) -> bool:
        """Whether it found anything new."""
        return self.result is RunResult.APPLIED


def run_once(job: SyncJob) -> Done:
    """Run a job, and log how it went; only bugs are raised."""
    begun = time.monotonic()
    try:
        report = job.run()
    except DirbridgeError as error:
        if isinstance(error, StoreError) and error.code == "turn-taken":
            LOG.debug("sync domain=%s: another one is going on", job.policy.domain)
            return Done(None)
        return _failed(job, error, time.monotonic() - begun)
    return _ended(job, report, time.monotonic() - begun)


def log_bug(job: SyncJob, error: Exception) -> None:
    """Log an error that nobody foresaw; a traceback may hold personal values."""
    domain, kind = job.policy.domain, type(error).__name__
    LOG.error("sync domain=%s failed in itself: %s", domain, kind)


def ended_of(report: Report) -> Ended:
    """Return what notices should know of a run that reached its end."""
    return Ended.of(report.plan, report.run, report.stopped, report.new)


def ended_by(job: SyncJob, error: DirbridgeError) -> Ended:
    """Return what notices should know of a run that failed."""
    return Ended(
        domain=job.policy.domain,
        source=job.policy.source,
        result=RunResult.FAILED,
        error=error,
    )


def _failed(job: SyncJob, error: DirbridgeError, took: float) -> Done:
    server = error.server if isinstance(error, DirectoryError) else ""
    LOG.info("%s", _line(job, RunResult.FAILED, took, {"server": server}))
    _warn(job.policy.domain, error)
    return Done(RunResult.FAILED, ended_by(job, error), _cause(error))


def _ended(job: SyncJob, report: Report, took: float) -> Done:
    ended, plan, run = ended_of(report), report.plan, report.run
    counts = {} if run is None else run.changes
    fields = {
        "server": plan.server,
        "kind": plan.kind,
        "read": str(plan.read),
        "changes": ",".join(f"{op}:{count}" for op, count in sorted(counts.items())),
    }
    LOG.info("%s", _line(job, ended.result, took, fields))
    if report.stopped is not None:
        _tell(plan.domain, of_stop(report.stopped, plan.domain))
    return Done(ended.result, ended, run=run)


_FIELDS = ("domain", "source", "kind", "server", "result", "read", "changes", "ms")


def _line(job: SyncJob, result: RunResult, took: float, known: dict[str, str]) -> str:
    """Return the stable line of one run; fields hold no blanks.

    `sync domain= source= kind= server= result= read= changes= ms=`
    """
    told = {
        "domain": job.policy.domain,
        "source": job.policy.source,
        "result": result,
        "ms": f"{took * 1000:.0f}",
        **known,
    }
    fields = {name: told.get(name, "") for name in _FIELDS}
    return "sync " + " ".join(f"{key}={plain(text)}" for key, text in fields.items())


def _warn(domain: str, error: DirbridgeError) -> None:
    for problem in problems_of(error):
        _tell(domain, problem)


def _tell(domain: str, problem: Problem) -> None:
    LOG.warning("sync domain=%s %s %s", domain, problem.text, problem.next)


def _cause(error: DirbridgeError) -> Cause:
    match error:
        case DirectoryError():
            return cause_of(error)
        case StoreError():
            return Cause.STORE
        case _:
            return Cause.CONFIGURATION
