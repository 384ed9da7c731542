"""Run the sync jobs of all domains inside `serve`: at intervals, and when told to.

Theory. Each domain has one thread, which runs its jobs one after another, so that a
directory that hangs holds up no other domain's; `AT_ONCE` of them run at a time, and
beside them as many that a login waits for (`places`). All that is shared stands behind
one condition, which no run holds. When a job is to run, `turns` says; who may ask for
it because of an unknown name, `asking` does.
"""

from __future__ import annotations

import math
import random
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial

from dirbridge.errors import StoreError
from dirbridge.model.deadline import Deadline
from dirbridge.model.login import Cause
from dirbridge.model.names import DomainName
from dirbridge.notices.rules import Ended
from dirbridge.scheduler.asking import Asking
from dirbridge.scheduler.places import Places
from dirbridge.scheduler.rests import Rest
from dirbridge.scheduler.running import Done, log_bug, run_once
from dirbridge.scheduler.turns import Turns
from dirbridge.store.base import Run, RunResult
from dirbridge.sync.by_hand import ADMIN
from dirbridge.sync.job import SyncJob

AT_ONCE = 4
"""How many domains sync at the same time."""

PATIENCE = 60.0
"""Seconds after which a run no longer counts among them."""

ASKED_PATIENCE = 5.0
"""The same for a run that a login waits for: no login waits much longer."""

JITTER = 0.1
"""By how much of itself an interval may be shorter or longer."""

ALL_WAITERS = 24
"""How many logins wait for runs of all domains: the others have threads left."""

_LOOK = 0.5
"""Seconds after which a domain that waits for its turn looks whether all is over."""


def jitter() -> float:
    """Return a factor near 1, another one each time."""
    return random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311 - no secret


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


@dataclass(frozen=True, slots=True)
class JobState:
    """What is known of one job, for `status`.

    Attributes:
        domain: The mail domain.
        directory: The directory within it.
        next_at: When the next run is to begin (UTC), None while one is going on, and
            where it has to be asked for.
        running_since: Since when a run is going on (UTC), or None.
        failures: How many runs have failed in a row.
        result: How the last run ended, "" before the first.
        ended_at: When that was (UTC), None before the first.
    """

    domain: DomainName
    directory: str
    next_at: datetime | None
    running_since: datetime | None
    failures: int
    result: str
    ended_at: datetime | None


@dataclass(slots=True)
class _Lane:
    """One job on its way; everything behind the scheduler's condition."""

    one: Scheduled
    turns: Turns
    running_since: datetime | None = None
    begun: bool = False
    owes: bool = False
    answers: bool = False
    last: Done | None = None
    ended_at: datetime | None = None

    @property
    def job(self) -> SyncJob:
        return self.one.job

    @property
    def source(self) -> str:
        return self.job.policy.source


@dataclass(slots=True)
class _Domain:
    """The jobs of one domain, and who asks for them."""

    name: DomainName
    asking: Asking
    lanes: list[_Lane] = field(default_factory=list)


class Scheduler:
    """Run jobs, the domains beside each other, until stopped.

    A job runs when the bridge starts, then each time its interval is over, shortly
    after its directory said that something changed, and when somebody logs in whom
    nobody knows. Another bridge's run of the same directory counts as one of ours. A
    run that fails is logged with its mend and tried again, ever more seldom; logins
    never wait for it.

    Where several processes of one bridge answer, all but one run a job only when
    somebody logs in whom nobody knows. They take turns as bridges do.
    """

    def __init__(
        self,
        scheduled: Sequence[Scheduled],
        clock: Callable[[], float] = time.monotonic,
        jitter: Callable[[], float] = jitter,
        ended: Callable[[Ended], None] = lambda _ended: None,
        *,
        asked_only: bool = False,
        rests: Mapping[DomainName, Rest] | None = None,
    ) -> None:
        """Prepare; nothing runs before `start`.

        Args:
            scheduled: The jobs of all domains.
            clock: Seconds that only grow.
            jitter: See `Turns`.
            ended: Told of each run, for notices; called in the domain's thread.
            asked_only: Whether jobs run only for unknown names.
            rests: What the processes of this bridge have in common, if there are
                others.
        """
        rests = rests or {}
        self._asked_only = asked_only
        self._clock = clock
        self._ended = ended
        self._domains: dict[DomainName, _Domain] = {}
        for one in scheduled:
            name = one.job.policy.domain
            interval = math.inf if asked_only else one.interval.total_seconds()
            turns = Turns(interval, jitter)
            domain = self._domains.setdefault(
                name, _Domain(name, Asking(rests.get(name)))
            )
            domain.lanes.append(_Lane(one, turns))
        self._stop = threading.Event()
        self._room = Places(AT_ONCE, PATIENCE)
        self._asked_room = Places(AT_ONCE, ASKED_PATIENCE)
        self._moved = threading.Condition()
        self._threads = [*self._workers(), *self._watchers()]

    def start(self) -> None:
        """Begin."""
        for thread in self._threads:
            thread.start()

    def stop(self, wait: timedelta = timedelta(seconds=10)) -> None:
        """End after the runs that are going on; their transactions are all or nothing.

        Args:
            wait: How long at most.
        """
        self._stop.set()
        with self._moved:
            self._moved.notify_all()
        until = time.monotonic() + wait.total_seconds()
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))

    def states(self) -> tuple[JobState, ...]:
        """Return what is known of each job."""
        with self._moved:
            now, at = self._clock(), datetime.now(UTC)
            return tuple(
                _state(domain.name, lane, now, at)
                for domain in self._domains.values()
                for lane in domain.lanes
            )

    def refresh(
        self, domains: Collection[DomainName], deadline: Deadline
    ) -> Cause | None:
        """Bring domains up to date for a name that nobody has there, where due.

        See `asking` for who asks and who waits.

        Args:
            domains: Where the name was looked for.
            deadline: When the login must be answered; half of what is left is used.

        Returns:
            Why it is not known whether the name is there; None where it is as known
            as it can be.
        """
        until = self._clock() + deadline.left() / 2
        with self._moved:
            asked = [self._domains[name] for name in domains if name in self._domains]
            for domain in asked:
                self._ask_for(domain)
            for domain in asked:
                self._await(domain, until)
            causes = (cause for domain in asked for cause in self._causes(domain))
            return next(causes, None)

    def _causes(self, domain: _Domain) -> Iterator[Cause]:
        """Yield why it is not known whether a name is there."""
        now = self._clock()
        held = (lane.last for lane in domain.lanes if lane.turns.held(now))
        for cause in (domain.asking.answer(), *(last.cause for last in held if last)):
            if cause is not None:
                yield cause

    def _ask_for(self, domain: _Domain) -> None:
        now = self._clock()
        free = [lane for lane in domain.lanes if not lane.turns.held(now)]
        if not domain.asking.begin(now, frozenset(lane.source for lane in free)):
            return
        for lane in free:
            lane.owes = True
            lane.turns.ask_at_once(now)
        self._moved.notify_all()

    def _await(self, domain: _Domain, until: float) -> None:
        asking = domain.asking
        if not asking.may_wait or self._waiters() >= ALL_WAITERS:
            return
        asking.waiters += 1
        try:
            while asking.owed:
                left = until - self._clock()
                if left <= 0 or self._stop.is_set():
                    asking.late = True
                    return
                self._moved.wait(left)
        finally:
            asking.waiters -= 1

    def _waiters(self) -> int:
        return sum(domain.asking.waiters for domain in self._domains.values())

    def _workers(self) -> Iterator[threading.Thread]:
        for domain in self._domains.values():
            target = partial(self._loop, domain)
            yield threading.Thread(target=target, name="sync", daemon=True)

    def _watchers(self) -> Iterator[threading.Thread]:
        for domain in self._domains.values():
            for lane in domain.lanes:
                if lane.one.push and not self._asked_only:
                    target = partial(self._watch, lane)
                    yield threading.Thread(target=target, name="watch", daemon=True)

    def _watch(self, lane: _Lane) -> None:
        def ask() -> None:
            with self._moved:
                lane.turns.ask(self._clock())
                self._moved.notify_all()

        try:
            lane.job.connector.watch(ask, self._stop)
        except Exception as error:  # the interval goes on without it
            log_bug(lane.job, error)

    def _loop(self, domain: _Domain) -> None:
        while (lane := self._wait(domain)) is not None:
            if not self._is_done_elsewhere(domain, lane) and self._enter(domain):
                try:
                    self._run(domain, lane)
                finally:
                    self._leave(domain)

    def _wait(self, domain: _Domain) -> _Lane | None:
        """Wait for the domain's next turn; None when it is over."""
        with self._moved:
            while not self._stop.is_set():
                lane = min(domain.lanes, key=lambda one: one.turns.next())
                left = lane.turns.next() - self._clock()
                if left <= 0:
                    return lane
                self._moved.wait(min(left, threading.TIMEOUT_MAX))
        return None

    def _enter(self, domain: _Domain) -> bool:
        """Wait for a place for the domain's run; False when all is over."""
        with self._moved:
            while not self._stop.is_set():
                if self._takes_place(domain):
                    return True
                self._moved.wait(_LOOK)
        return False

    def _takes_place(self, domain: _Domain) -> bool:
        now = self._clock()
        asked = bool(domain.asking.owed)
        return (asked and self._asked_room.take(domain.name, now)) or self._room.take(
            domain.name, now
        )

    def _leave(self, domain: _Domain) -> None:
        with self._moved:
            self._room.leave(domain.name)
            self._asked_room.leave(domain.name)
            self._moved.notify_all()

    def _is_done_elsewhere(self, domain: _Domain, lane: _Lane) -> bool:
        """Whether another bridge or cron has just done what is due now, and no more."""
        if not lane.begun or lane.turns.next() < lane.turns.due:
            return False
        job, own = lane.job, lane.last and lane.last.run
        try:
            runs = job.store.last_runs(job.policy.domain, source=job.policy.source)
        except StoreError:
            return False  # the run itself tells it
        if not runs or not _is_good(runs[0]) or (own and own == runs[0]):
            return False
        age = (datetime.now(UTC) - runs[0].finished_at).total_seconds()
        if not 0 <= age < lane.one.interval.total_seconds() * (1 - JITTER):
            return False
        with self._moved:
            lane.turns.postpone(self._clock() - age)
            domain.asking.went_well(lane.source)
        return True

    def _run(self, domain: _Domain, lane: _Lane) -> None:
        with self._moved:
            begun = self._clock()
            lane.turns.begin(begun)
            lane.answers, lane.owes, lane.begun = lane.owes, False, True
            lane.running_since = datetime.now(UTC)
        done = self._shielded(lane.job)
        with self._moved:
            now = self._clock()
            _note(lane, done, now, now - begun)
            if done.result is None:
                lane.owes |= lane.answers
            elif lane.answers:
                domain.asking.end(now, lane.source, done.cause)
            elif done.cause is None:
                domain.asking.went_well(lane.source)
            self._moved.notify_all()
        self._tell(lane.job, done)

    def _tell(self, job: SyncJob, done: Done) -> None:
        try:
            if done.ended is not None:
                self._ended(done.ended)
        except Exception as error:  # the scheduler's run loop
            log_bug(job, error)

    def _shielded(self, job: SyncJob) -> Done:
        try:
            return run_once(job)
        except Exception as error:  # the scheduler's run loop
            log_bug(job, error)
            return Done(RunResult.FAILED, cause=Cause.INTERNAL)


_WELL = frozenset({RunResult.APPLIED, RunResult.UNCHANGED})


def _is_good(run: Run) -> bool:
    """Whether a run has read the directory; what admins do reads none."""
    return run.result in _WELL and run.server != ADMIN


def _note(lane: _Lane, done: Done, now: float, took: float) -> None:
    """Note how a run ended, and when the next one is to begin."""
    lane.running_since = None
    if done.result is None:
        lane.turns.taken(now)
        return
    lane.last, lane.ended_at = done, datetime.now(UTC)
    if done.result is RunResult.FAILED:
        lane.turns.fail(now, took)
    else:
        lane.turns.end(now, took, changed=done.changed)


def _state(name: DomainName, lane: _Lane, now: float, at: datetime) -> JobState:
    running = lane.running_since
    left = max(0.0, lane.turns.next() - now)
    return JobState(
        domain=name,
        directory=lane.source,
        next_at=None if running or left == math.inf else at + timedelta(seconds=left),
        running_since=running,
        failures=lane.turns.failures,
        result=str(lane.last.result) if lane.last else "",
        ended_at=lane.ended_at,
    )
