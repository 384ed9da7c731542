"""When jobs run: at intervals, and a moment after their directory asks for it."""

from __future__ import annotations

import contextlib
import itertools
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address

import pytest

from dirbridge.connectors.memory import MemoryConnector
from dirbridge.errors import StoreError
from dirbridge.model.account import AccountValues
from dirbridge.model.deadline import Deadline
from dirbridge.model.entry import Entry
from dirbridge.model.login import Attempt, Cause, Reason, Rejected
from dirbridge.model.mapping import Mapped, Unmapped
from dirbridge.model.names import DirectoryId, DomainName
from dirbridge.scheduler import housekeeping
from dirbridge.scheduler.asking import REST, WAITERS, Asking
from dirbridge.scheduler.housekeeping import Housekeeping, Retention
from dirbridge.scheduler.places import Places
from dirbridge.scheduler.rests import Rest
from dirbridge.scheduler.running import run_once
from dirbridge.scheduler.service import (
    ALL_WAITERS,
    AT_ONCE,
    JITTER,
    PATIENCE,
    Scheduled,
    Scheduler,
    jitter,
)
from dirbridge.scheduler.turns import (
    ASKED_WHILE_FAILING,
    GATHER,
    LONGEST_BACKOFF,
    LONGEST_PAUSE,
    PAUSE,
    TAKEN,
    Turns,
)
from dirbridge.store.base import RunResult
from dirbridge.store.memory import MemoryStore
from dirbridge.sync.job import SyncJob
from dirbridge.sync.limits import Limits
from dirbridge.sync.planner import Policy

HOUR = timedelta(hours=1)
DAY = 86_400


class TestTurns:
    def test_it_runs_at_once_and_then_at_intervals(self) -> None:
        turns = Turns(300)
        assert turns.next() == 0
        turns.begin(0)
        turns.end(12, 2, changed=True)
        assert turns.next() == 312

    def test_who_asks_is_answered_a_moment_later(self) -> None:
        turns = after_a_run(at=100, took=2)
        turns.ask(200)
        assert turns.next() == 200 + GATHER

    def test_a_burst_is_answered_once_from_its_first_word_on(self) -> None:
        turns = after_a_run(at=100, took=2)
        for word in range(50):
            turns.ask(200 + word / 10)
        assert turns.next() == 200 + GATHER
        turns.begin(0)
        turns.end(203, 1, changed=True)
        assert turns.next() == 203 + DAY

    def test_what_is_said_during_a_run_is_answered_by_another_one(self) -> None:
        turns = after_a_run(at=100, took=2)
        turns.ask(200)
        turns.begin(0)
        turns.ask(200.5)
        turns.end(205, 4, changed=True)
        assert turns.next() == 205 + PAUSE + 4

    def test_half_of_the_time_at_most_is_spent_on_reading(self) -> None:
        turns, now, busy = after_a_run(at=0, took=40), 0.0, 0.0
        for _ in range(20):
            turns.ask(now)
            now = turns.next()
            turns.begin(0)
            now, busy = now + 40, busy + 40
            turns.end(now, 40, changed=True)
        assert busy / now <= 0.51

    def test_what_finds_nothing_is_asked_ever_more_seldom(self) -> None:
        turns, ends, now = after_a_run(at=0, took=0), [0.0], 0.0
        for _ in range(10):
            turns.ask(now)
            now = turns.next()
            turns.begin(0)
            turns.end(now, 0, changed=False)
            ends.append(now)
        gaps = [b - a for a, b in itertools.pairwise(ends)]
        assert gaps == sorted(gaps)
        assert gaps[-1] == LONGEST_PAUSE

    def test_a_change_that_is_found_ends_that(self) -> None:
        turns = in_vain(times=8)
        turns.ask(1000)
        turns.begin(0)
        turns.end(1001, 1, changed=True)
        turns.ask(1001)
        assert turns.next() == 1001 + PAUSE + 1

    def test_a_quiet_while_ends_it_too(self) -> None:
        turns = in_vain(times=8)
        turns.ask(5000)
        assert turns.next() == 5000 + GATHER
        turns.begin(0)
        turns.end(5001, 0, changed=False)
        turns.ask(5001)
        assert turns.next() == 5001 + PAUSE

    def test_the_interval_goes_on_beside_it(self) -> None:
        turns = Turns(1)
        turns.begin(0)
        turns.end(100, 40, changed=True)
        turns.ask(100)
        assert turns.next() == 101

    def test_the_interval_is_a_little_shorter_or_longer_each_time(self) -> None:
        factors = iter((0.9, 1.1))
        turns = Turns(100, lambda: next(factors))
        for ended, due in ((0, 90), (90, 200)):
            turns.begin(0)
            turns.end(ended, 1, changed=True)
            assert turns.next() == pytest.approx(due)

    def test_what_fails_is_tried_ever_more_seldom_up_to_an_hour(self) -> None:
        turns, now, gaps = Turns(300), 0.0, []
        for _ in range(8):
            turns.begin(now)
            turns.fail(now, 1)
            gaps.append(turns.next() - now)
            now = turns.next()
        assert gaps[:4] == [300, 600, 1200, 2400]
        assert set(gaps[4:]) == {LONGEST_BACKOFF}
        turns.begin(now)
        turns.end(now, 1, changed=False)
        assert turns.next() == now + 300
        assert turns.failures == 0

    def test_an_interval_of_a_day_stays_one_while_it_fails(self) -> None:
        turns = Turns(DAY)
        for _ in range(3):
            turns.begin(0)
            turns.fail(0, 1)
        assert turns.next() == DAY

    @pytest.mark.parametrize("ask", [Turns.ask, Turns.ask_at_once])
    def test_who_asks_while_it_fails_is_heard_once_a_minute(self, ask) -> None:
        turns = Turns(3600)
        turns.begin(0)
        turns.fail(1, 1)
        begun, now = [], 10.0
        while now < 400:
            ask(turns, now)
            if turns.next() <= now:
                turns.begin(now)
                turns.fail(now, 0)
                begun.append(now)
            now += 1
        assert begun[0] < 15
        gaps = [b - a for a, b in itertools.pairwise(begun)]
        assert len(gaps) >= 4
        assert min(gaps) >= ASKED_WHILE_FAILING

    def test_who_waits_is_answered_at_once_also_in_a_storm(self) -> None:
        turns = in_vain(times=8)
        turns.ask(1000)
        turns.ask_at_once(1000)
        assert turns.next() == 1000

    def test_a_domain_that_another_bridge_syncs_is_looked_at_again(self) -> None:
        turns = after_a_run(at=0, took=1)
        turns.ask_at_once(50)
        turns.begin(50)
        turns.taken(50)
        assert turns.next() == 50 + TAKEN
        turns.begin(51)
        turns.taken(51)
        assert turns.next() == 51 + TAKEN
        turns.begin(52)
        turns.end(52, 0, changed=False)
        turns.begin(52 + DAY)
        turns.taken(52 + DAY)
        # It may die: somebody must take over within the interval.
        assert turns.next() == 52 + DAY + DAY / 2
        assert turns.failures == 0


class TestAsking:
    def test_a_domain_is_asked_once_in_a_while(self) -> None:
        asking = Asking()
        assert asking.begin(0, frozenset({"a", "b"}))
        assert not asking.begin(1, frozenset({"a", "b"}))
        asking.end(0.5, "a", None)
        assert not asking.begin(1, frozenset({"a", "b"}))
        asking.end(1, "b", None)
        assert not asking.begin(REST, frozenset({"a", "b"}))
        assert asking.begin(1 + REST, frozenset({"a", "b"}))

    def test_what_takes_long_is_asked_for_a_tenth_of_the_time(self) -> None:
        asking = Asking()
        asking.begin(0, frozenset({"a"}))
        asking.end(30, "a", None)
        assert not asking.begin(299, frozenset({"a"}))
        assert asking.begin(300, frozenset({"a"}))

    def test_an_outage_of_one_directory_is_the_answer(self) -> None:
        asking = Asking()
        asking.begin(0, frozenset({"a", "b"}))
        asking.end(1, "a", Cause.UNREACHABLE)
        asking.end(1, "b", None)
        assert asking.answer() is Cause.UNREACHABLE
        asking.begin(20, frozenset({"a", "b"}))
        assert asking.answer() is None

    def test_an_outage_ends_with_a_good_run_of_that_directory(self) -> None:
        asking = Asking()
        asking.begin(0, frozenset({"a", "b"}))
        asking.end(60, "a", Cause.TIMEOUT)
        asking.went_well("b")
        asking.end(60, "b", None)
        assert asking.answer() is Cause.TIMEOUT
        asking.went_well("b")
        assert asking.answer() is Cause.TIMEOUT
        asking.went_well("a")
        assert asking.answer() is None

    def test_a_run_that_began_before_is_no_answer(self) -> None:
        asking = Asking()
        asking.begin(0, frozenset({"a"}))
        asking.went_well("a")
        assert asking.owed == {"a"}

    def test_runs_that_nobody_asked_for_are_no_answer(self) -> None:
        asking = Asking()
        asking.end(1, "a", Cause.UNREACHABLE)
        assert asking.answer() is None

    def test_a_domain_without_directories_is_never_asked(self) -> None:
        assert not Asking().begin(0, frozenset())

    def test_few_wait_and_nobody_once_it_is_late(self) -> None:
        asking = Asking()
        assert not asking.may_wait
        asking.begin(0, frozenset({"a"}))
        assert asking.may_wait
        asking.waiters = WAITERS
        assert not asking.may_wait
        assert asking.answer() is None
        asking.waiters, asking.late = 0, True
        assert not asking.may_wait
        assert asking.answer() is Cause.TIMEOUT


class TestPlaces:
    def test_there_are_so_many_at_a_time(self) -> None:
        places = Places(2, 60)
        assert places.take("a", 0)
        assert places.take("b", 1)
        assert not places.take("c", 2)
        places.leave("a")
        assert places.take("c", 3)
        assert not places.take("a", 4)

    def test_what_takes_long_holds_up_nobody(self) -> None:
        places = Places(1, 60)
        assert places.take("a", 0)
        assert not places.take("b", 59)
        assert places.take("b", 60)
        assert not places.take("c", 61)
        places.leave("a")
        assert not places.take("c", 62)
        places.leave("b")
        assert places.take("c", 63)


def test_jitter_stays_near_one() -> None:
    drawn = [jitter() for _ in range(1000)]
    assert 1 - JITTER <= min(drawn) < 0.95
    assert 1.05 < max(drawn) <= 1 + JITTER


def after_a_run(at: float, took: float) -> Turns:
    turns = Turns(DAY)
    turns.begin(0)
    turns.end(at, took, changed=True)
    return turns


def in_vain(times: int) -> Turns:
    """After many runs in a row that were asked for and found nothing."""
    turns, now = after_a_run(at=0, took=0), 0.0
    for _ in range(times):
        turns.ask(now)
        now = turns.next()
        turns.begin(0)
        turns.end(now, 0, changed=False)
    return turns


class CountedConnector(MemoryConnector):
    """Knows how often it was read, and by how many at a time."""

    reads = 0
    most_at_a_time = 0
    gate: threading.Event | None = None

    def __init__(self) -> None:
        super().__init__([entry("anna")])
        self._now = 0
        self._counting = threading.Lock()

    def read(self, *args: object, **kwargs: object) -> Iterator[object]:
        with self._counting:
            self.reads += 1
            self._now += 1
            self.most_at_a_time = max(self.most_at_a_time, self._now)
        try:
            time.sleep(0.01)
            if self.gate is not None:
                assert self.gate.wait(20)
            yield from super().read()
        finally:
            with self._counting:
                self._now -= 1


def entry(name: str) -> Entry:
    return Entry(DirectoryId(f"id-{name}"), f"uid={name},dc=x", {})


def mapped(one: Entry) -> Mapped | Unmapped:
    name = str(one.id).removeprefix("id-")
    return Mapped(AccountValues(directory_id=one.id, dn=one.dn, login_names=(name,)))


@pytest.fixture
def connector() -> CountedConnector:
    return CountedConnector()


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def job(connector: CountedConnector, store: MemoryStore) -> SyncJob:
    policy = Policy(DomainName("company.com"))
    return SyncJob(policy, Limits(), connector, mapped, store)


@pytest.fixture
def start() -> Iterator[Callable[[Scheduled], Scheduler]]:
    started: list[Scheduler] = []

    def begin(*scheduled: Scheduled, **more: object) -> Scheduler:
        started.append(Scheduler(scheduled, **more))
        started[-1].start()
        return started[-1]

    yield begin
    for one in started:
        one.stop()


@pytest.fixture
def scheduler(start: Start, job: SyncJob) -> Scheduler:
    """One that has done its first run."""
    scheduler = start(Scheduled(job, HOUR))
    eventually(lambda: scheduler.states()[0].ended_at is not None)
    return scheduler


def eventually(holds: Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)


Start = Callable[..., Scheduler]


def test_a_change_in_a_watched_directory_is_in_the_store_soon(
    connector: CountedConnector, store: MemoryStore, job: SyncJob, start: Start
) -> None:
    start(Scheduled(job, HOUR, push=True))
    eventually(lambda: len(tuple(store.accounts())) == 1)
    connector.entries.append(entry("bob"))
    eventually(lambda: len(tuple(store.accounts())) == 2)


def test_without_push_it_waits_for_the_interval(
    connector: CountedConnector, store: MemoryStore, job: SyncJob, start: Start
) -> None:
    start(Scheduled(job, HOUR))
    eventually(lambda: len(tuple(store.accounts())) == 1)
    connector.entries.append(entry("bob"))
    time.sleep(0.5)
    assert connector.reads == 1


def test_a_storm_of_changes_leads_to_few_runs_one_at_a_time(
    connector: CountedConnector, store: MemoryStore, job: SyncJob, start: Start
) -> None:
    start(Scheduled(job, HOUR, push=True))
    eventually(lambda: connector.reads >= 1)
    begun = time.monotonic()
    for number in range(100):
        connector.entries.append(entry(f"person-{number}"))
        time.sleep(0.01)
    eventually(lambda: len(tuple(store.accounts())) == 101)
    assert connector.reads <= 3 + (time.monotonic() - begun) / PAUSE
    assert connector.most_at_a_time == 1


def test_a_failed_run_ends_neither_watch_nor_interval(
    connector: CountedConnector,
    store: MemoryStore,
    job: SyncJob,
    start: Start,
    caplog: pytest.LogCaptureFixture,
) -> None:
    connector.unreachable = True
    with caplog.at_level(logging.WARNING, "dirbridge.sync"):
        start(Scheduled(job, HOUR, push=True))
        eventually(lambda: "refused the connection" in caplog.text)
    # The watch begins anew as soon as somebody answers, and says so.
    connector.unreachable = False
    eventually(lambda: len(tuple(store.accounts())) == 1)


def test_a_watch_that_breaks_leaves_the_interval(
    connector: CountedConnector,
    job: SyncJob,
    start: Start,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("secret")

    connector.watch = broken
    with caplog.at_level(logging.ERROR, "dirbridge.sync"):
        start(Scheduled(job, timedelta(seconds=0.05), push=True))
        eventually(lambda: connector.reads >= 3)
    assert "failed in itself: ZeroDivisionError" in caplog.text
    assert "secret" not in caplog.text


def other_domain(name: str, store: MemoryStore) -> tuple[SyncJob, CountedConnector]:
    connector = CountedConnector()
    policy = Policy(DomainName(name))
    return SyncJob(policy, Limits(), connector, mapped, store), connector


def test_a_directory_that_hangs_holds_up_no_other_domain(
    connector: CountedConnector, store: MemoryStore, job: SyncJob, start: Start
) -> None:
    connector.gate = threading.Event()
    other, read = other_domain("design.org", store)
    start(Scheduled(job, HOUR), Scheduled(other, timedelta(seconds=0.02)))
    eventually(lambda: read.reads >= 3)
    assert connector.reads == 1
    connector.gate.set()
    eventually(lambda: store.last_runs(job.policy.domain))


def test_few_domains_sync_at_a_time(store: MemoryStore, start: Start) -> None:
    gate = threading.Event()
    jobs = [other_domain(f"d{number}.example", store) for number in range(AT_ONCE + 3)]
    for _, read in jobs:
        read.gate = gate
    start(*(Scheduled(one, HOUR) for one, _ in jobs))
    eventually(lambda: sum(read.reads for _, read in jobs) == AT_ONCE)
    time.sleep(0.2)
    assert sum(read.reads for _, read in jobs) == AT_ONCE
    gate.set()
    eventually(lambda: all(read.reads == 1 for _, read in jobs))


def test_what_hangs_holds_up_other_domains_for_a_while_only(
    store: MemoryStore, start: Start
) -> None:
    passed = threading.Event()
    scheduler, jobs, gate = crowded(
        start, store, lambda: time.monotonic() + PATIENCE * passed.is_set()
    )
    time.sleep(0.2)
    assert sum(read.reads for _, read in jobs) == AT_ONCE
    passed.set()
    eventually(lambda: sum(read.reads for _, read in jobs) == AT_ONCE + 1)
    assert all(one.ended_at is None for one in scheduler.states())
    gate.set()


def crowded(
    start: Start, store: MemoryStore, clock: Callable[[], float] = time.monotonic
) -> tuple[Scheduler, list[tuple[SyncJob, CountedConnector]], threading.Event]:
    """One domain more than may sync at a time; the directories of all others hang."""
    gate = threading.Event()
    jobs = [other_domain(f"d{number}.example", store) for number in range(AT_ONCE + 1)]
    for _, read in jobs:
        read.gate = gate
    scheduler = start(*(Scheduled(one, HOUR) for one, _ in jobs), clock=clock)
    eventually(lambda: sum(read.reads for _, read in jobs) == AT_ONCE)
    return scheduler, jobs, gate


def test_directories_of_one_domain_take_turns(store: MemoryStore, start: Start) -> None:
    reads = CountedConnector()
    jobs = [
        SyncJob(Policy(DomainName("x.org"), source), Limits(), reads, mapped, store)
        for source in ("one", "two")
    ]
    start(*(Scheduled(job, timedelta(seconds=0.01)) for job in jobs))
    eventually(lambda: reads.reads >= 6)
    assert reads.most_at_a_time == 1


@pytest.mark.slow
def test_what_another_one_has_just_done_is_not_done_again(
    connector: CountedConnector, store: MemoryStore, job: SyncJob, start: Start
) -> None:
    start(Scheduled(job, timedelta(seconds=1)), jitter=lambda: 1.0)
    eventually(lambda: connector.reads == 1)
    cron = replace(job, connector=CountedConnector())
    end = time.monotonic() + 2.5
    while time.monotonic() < end:
        with contextlib.suppress(StoreError):
            cron.run()
        time.sleep(0.1)
    assert connector.reads <= 2
    # Once the other one is gone, ours takes over.
    eventually(lambda: connector.reads >= 3)


def test_a_domain_that_another_one_syncs_is_no_failure(
    connector: CountedConnector,
    store: MemoryStore,
    job: SyncJob,
    start: Start,
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.INFO, "dirbridge"), store.turn(job.policy.domain):
        scheduler = start(Scheduled(job, timedelta(seconds=0.2)))
        time.sleep(0.5)
        (state,) = scheduler.states()
        assert (state.failures, state.result) == (0, "")
    eventually(lambda: len(tuple(store.accounts())) == 1)
    assert "failed" not in caplog.text


class TestUnknownNames:
    def test_a_newcomer_is_there_when_the_answer_comes(
        self,
        connector: CountedConnector,
        store: MemoryStore,
        job: SyncJob,
        scheduler: Scheduler,
    ) -> None:
        connector.entries.append(entry("bob"))
        assert scheduler.refresh([job.policy.domain], Deadline.after(9)) is None
        assert len(tuple(store.accounts())) == 2

    def test_a_flood_makes_one_run(
        self, connector: CountedConnector, job: SyncJob, scheduler: Scheduler
    ) -> None:
        reads = connector.reads
        for _ in range(200):
            assert scheduler.refresh([job.policy.domain], Deadline.after(9)) is None
        assert connector.reads == reads + 1

    def test_only_few_wait(
        self,
        connector: CountedConnector,
        job: SyncJob,
        start: Start,
        scheduler: Scheduler,
    ) -> None:
        connector.gate = threading.Event()
        domains = [job.policy.domain]
        waiting = [
            threading.Thread(
                target=scheduler.refresh, args=(domains, Deadline.after(30))
            )
            for _ in range(WAITERS + 5)
        ]
        for thread in waiting:
            thread.start()
        eventually(lambda: sum(one.is_alive() for one in waiting) == WAITERS)
        assert scheduler.refresh(domains, Deadline.after(30)) is None
        connector.gate.set()
        for thread in waiting:
            thread.join(20)
            assert not thread.is_alive()

    def test_an_outage_is_told_as_one_and_not_asked_again(
        self, connector: CountedConnector, job: SyncJob, scheduler: Scheduler
    ) -> None:
        connector.unreachable = True
        reads = connector.reads
        for _ in range(50):
            cause = scheduler.refresh([job.policy.domain], Deadline.after(9))
            assert cause is Cause.UNREACHABLE
        assert connector.reads == reads + 1

    def test_a_slow_directory_takes_half_of_the_time_at_most(
        self, connector: CountedConnector, job: SyncJob, scheduler: Scheduler
    ) -> None:
        connector.gate = threading.Event()
        deadline = Deadline.after(1)
        try:
            cause = scheduler.refresh([job.policy.domain], deadline)
            assert cause is Cause.TIMEOUT
            assert deadline.left() > 0
            # Who comes later does not even wait.
            assert scheduler.refresh([job.policy.domain], Deadline.after(60)) is cause
        finally:
            connector.gate.set()

    def test_many_domains_leave_login_threads_to_others(
        self, store: MemoryStore, start: Start
    ) -> None:
        jobs = [other_domain(f"d{number}.example", store) for number in range(5)]
        scheduler = start(*(Scheduled(one, HOUR) for one, _ in jobs))
        eventually(lambda: all(one.ended_at for one in scheduler.states()))
        gate = threading.Event()
        for _, connector in jobs:
            connector.gate = gate
        threads = [
            threading.Thread(
                target=scheduler.refresh,
                args=([one.policy.domain], Deadline.after(30)),
            )
            for one, _ in jobs
            for _ in range(WAITERS)
        ]
        for thread in threads:
            thread.start()
        eventually(lambda: sum(one.is_alive() for one in threads) == ALL_WAITERS)
        gate.set()
        for thread in threads:
            thread.join(20)
            assert not thread.is_alive()

    def test_who_waits_when_all_ends_is_told_of_no_wrong_name(
        self,
        connector: CountedConnector,
        job: SyncJob,
        start: Start,
        scheduler: Scheduler,
    ) -> None:
        connector.gate = threading.Event()
        answers: list[Cause | None] = []
        thread = threading.Thread(
            target=lambda: answers.append(
                scheduler.refresh([job.policy.domain], Deadline.after(60))
            )
        )
        thread.start()
        eventually(lambda: connector.reads == 2)
        scheduler.stop(timedelta(0))
        thread.join(20)
        connector.gate.set()
        assert answers == [Cause.TIMEOUT]

    def test_directories_that_hang_hold_up_no_other_domains_names(
        self, store: MemoryStore, start: Start
    ) -> None:
        scheduler, jobs, gate = crowded(start, store)
        ((healthy, read),) = ((one, read) for one, read in jobs if not read.reads)
        read.gate = None
        try:
            domains = [healthy.policy.domain]
            assert scheduler.refresh(domains, Deadline.after(40)) is None
            assert store.last_runs(healthy.policy.domain)
            assert sum(read.reads for _, read in jobs) == AT_ONCE + 1
        finally:
            gate.set()

    def test_a_run_that_goes_well_ends_an_outage(
        self,
        connector: CountedConnector,
        store: MemoryStore,
        job: SyncJob,
        start: Start,
    ) -> None:
        # Within the time in which no name asks again.
        scheduler = start(Scheduled(job, timedelta(seconds=REST / 10)))
        eventually(lambda: scheduler.states()[0].result == "applied")
        domains = [job.policy.domain]
        connector.unreachable = True
        assert scheduler.refresh(domains, Deadline.after(9)) is Cause.UNREACHABLE
        connector.unreachable = False
        eventually(lambda: scheduler.states()[0].result == "unchanged")
        assert scheduler.refresh(domains, Deadline.after(9)) is None

    def test_a_domain_without_a_directory_is_as_known_as_can_be(
        self, scheduler: Scheduler
    ) -> None:
        assert scheduler.refresh([DomainName("other.org")], Deadline.after(9)) is None
        assert scheduler.refresh([], Deadline.after(9)) is None


def test_it_says_how_each_job_stands(
    connector: CountedConnector, store: MemoryStore, job: SyncJob, start: Start
) -> None:
    connector.gate = threading.Event()
    scheduler = start(Scheduled(job, HOUR), jitter=lambda: 1.0)
    eventually(lambda: scheduler.states()[0].running_since is not None)
    (state,) = scheduler.states()
    assert (state.domain, state.directory) == ("company.com", "directory")
    assert (state.next_at, state.result) == (None, "")
    connector.gate.set()
    eventually(lambda: scheduler.states()[0].running_since is None)
    (state,) = scheduler.states()
    assert (state.result, state.failures) == ("applied", 0)
    assert state.next_at - state.ended_at > timedelta(minutes=59)


def test_each_run_is_one_line_without_blanks_in_its_fields(
    connector: CountedConnector,
    job: SyncJob,
    store: MemoryStore,
    start: Start,
    caplog: pytest.LogCaptureFixture,
) -> None:
    told = []
    with caplog.at_level(logging.INFO, "dirbridge.sync"):
        scheduler = start(Scheduled(job, HOUR), ended=told.append)
        eventually(lambda: len(told) == 1)
        connector.unreachable = True
        scheduler.refresh([job.policy.domain], Deadline.after(9))
        eventually(lambda: len(told) == 2)
    lines = [m for m in caplog.messages if m.startswith("sync domain=company.com so")]
    well, failed = (dict(word.split("=") for word in m.split()[1:]) for m in lines)
    assert int(well.pop("ms")) >= 0
    assert well == {
        "domain": "company.com",
        "source": "directory",
        "result": "applied",
        "server": "memory:0",
        "kind": "full",
        "read": "1",
        "changes": "create:1",
    }
    assert (failed["result"], failed["server"]) == ("failed", "memory:0")
    assert [str(one.result) for one in told] == ["applied", "failed"]


def test_a_stop_is_logged_with_the_command_that_lets_it_pass(
    connector: CountedConnector,
    job: SyncJob,
    store: MemoryStore,
    caplog: pytest.LogCaptureFixture,
) -> None:
    run_once(job)
    connector.remove(DirectoryId("id-anna"))
    with caplog.at_level(logging.WARNING, "dirbridge.sync"):
        done = run_once(job)
    (run,) = store.last_runs(job.policy.domain)
    assert (done.result, run.result) == (RunResult.STOPPED, RunResult.STOPPED)
    assert "`dirbridge sync company.com --approve " in caplog.text


def test_a_notice_that_breaks_ends_no_sync(
    connector: CountedConnector,
    job: SyncJob,
    start: Start,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def broken(_ended: object) -> None:
        raise ZeroDivisionError("secret")

    with caplog.at_level(logging.ERROR, "dirbridge.sync"):
        start(Scheduled(job, timedelta(seconds=0.05)), ended=broken)
        eventually(lambda: connector.reads >= 3)
    assert "failed in itself: ZeroDivisionError" in caplog.text
    assert "secret" not in caplog.text


def test_old_attempts_and_changes_are_forgotten(
    store: MemoryStore, job: SyncJob, caplog: pytest.LogCaptureFixture
) -> None:
    now = datetime.now(UTC)
    attempt = Attempt(Rejected(Reason.UNKNOWN), "anna", "imap", "hook")
    store.record([attempt], now - timedelta(days=40))
    store.record([attempt], now - timedelta(days=20))
    job.run()
    (anna, *_) = store.accounts()
    for days, address in ((100, "192.0.2.1"), (80, "192.0.2.2")):
        store.note_address(anna, ip_address(address), now - timedelta(days=days))
    keeping = Housekeeping(store, Retention(timedelta(days=30), None))
    with caplog.at_level(logging.INFO, "dirbridge.serve"):
        assert keeping.forget(now)
    assert len(store.attempts("anna")) == 1
    assert len(store.audit(1)) == 1
    assert "forgotten attempts=1 changes=0" in caplog.text
    assert store.came_from(anna, ip_address("192.0.2.1")) is None
    assert store.came_from(anna, ip_address("192.0.2.2")) is not None
    assert Housekeeping(store, Retention(None, timedelta(0))).forget(
        now + timedelta(days=1)
    )
    assert len(store.attempts("anna")) == 1
    assert store.audit(1) == ()
    # The newest run says how the directory stands.
    assert len(store.last_runs(job.policy.domain)) == 1


def test_it_forgets_by_itself(store: MemoryStore) -> None:
    attempt = Attempt(Rejected(Reason.UNKNOWN), "anna", "imap", "hook")
    old = datetime.now(UTC) - timedelta(days=40)
    store.record([attempt], old)
    kept = Retention(timedelta(days=30), None)
    with Housekeeping(store, kept, first=0.01, every=0.01):
        eventually(lambda: not store.attempts("anna"))
        store.record([attempt], old)
        eventually(lambda: not store.attempts("anna"))
    assert housekeeping.EVERY_SECONDS == DAY


def test_stopping_ends_every_thread(job: SyncJob) -> None:
    before = threading.active_count()
    scheduler = Scheduler([Scheduled(job, HOUR, push=True)])
    scheduler.start()
    assert threading.active_count() == before + 2
    scheduler.stop()
    assert threading.active_count() == before


class TestProcesses:
    """Schedulers of one bridge's processes, as if each were in its own."""

    def test_one_that_is_only_asked_runs_nothing_by_itself(
        self, connector: CountedConnector, job: SyncJob, start: Start
    ) -> None:
        scheduler = start(Scheduled(job, HOUR, push=True), asked_only=True)
        connector.entries.append(entry("bob"))
        # One that runs jobs by itself has read by then.
        start(Scheduled(replace(job, connector=CountedConnector()), HOUR))
        eventually(lambda: bool(job.store.last_runs(job.policy.domain)))
        assert connector.reads == 0
        assert [state.next_at for state in scheduler.states()] == [None]

    def test_one_that_is_only_asked_runs_for_a_newcomer_each_time(
        self,
        connector: CountedConnector,
        store: MemoryStore,
        job: SyncJob,
        start: Start,
    ) -> None:
        scheduler = start(Scheduled(job, HOUR), asked_only=True)
        for number in range(2):
            connector.entries.append(entry(f"new-{number}"))
            # Nothing rests here: each is a name of another hour.
            scheduler._domains[job.policy.domain].asking = Asking()
            domains = [job.policy.domain]
            assert scheduler.refresh(domains, Deadline.after(9)) is None
            assert len(tuple(job.store.accounts())) == 2 + number
        assert connector.reads == 2
        assert [state.next_at for state in scheduler.states()] == [None]

    def test_one_that_is_only_asked_goes_on_after_an_outage(
        self, connector: CountedConnector, job: SyncJob, start: Start
    ) -> None:
        connector.unreachable = True
        scheduler = start(Scheduled(job, HOUR), asked_only=True)
        domains = [job.policy.domain]
        assert scheduler.refresh(domains, Deadline.after(9)) is Cause.UNREACHABLE
        (state,) = scheduler.states()
        assert (state.failures, state.next_at) == (1, None)

    def test_all_rest_after_a_run_that_one_was_asked_for(
        self, connector: CountedConnector, job: SyncJob, start: Start
    ) -> None:
        rests = {job.policy.domain: Rest()}
        both = [
            start(Scheduled(job, HOUR), asked_only=True, rests=rests) for _ in range(2)
        ]
        for scheduler in (*both, *both):
            assert scheduler.refresh([job.policy.domain], Deadline.after(9)) is None
        assert connector.reads == 1

    def test_an_outage_is_told_by_all(
        self, connector: CountedConnector, job: SyncJob, start: Start
    ) -> None:
        connector.unreachable = True
        rests = {job.policy.domain: Rest()}
        both = [
            start(Scheduled(job, HOUR), asked_only=True, rests=rests) for _ in range(2)
        ]
        causes = [
            scheduler.refresh([job.policy.domain], Deadline.after(9))
            for scheduler in (*both, *both)
        ]
        assert causes == [Cause.UNREACHABLE] * 4

    def test_a_rest_is_seen_by_who_is_forked_later(self) -> None:
        rest = Rest()
        pid = os.fork()
        if pid == 0:
            rest.begin(12.5)
            os._exit(0)
        assert os.waitpid(pid, 0)[1] == 0
        assert rest.until == 12.5
        assert not Asking(rest).begin(12, frozenset({"a"}))
        assert Asking(rest).begin(13, frozenset({"a"}))
