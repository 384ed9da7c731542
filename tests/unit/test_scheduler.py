"""When jobs run: at intervals, and a moment after their directory asks for it."""

from __future__ import annotations

import itertools
import logging
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest

from dirbridge.connectors.memory import MemoryConnector
from dirbridge.model.account import AccountValues
from dirbridge.model.entry import Entry
from dirbridge.model.mapping import Mapped, Unmapped
from dirbridge.model.names import DirectoryId, DomainName
from dirbridge.scheduler import (
    GATHER,
    LONGEST_PAUSE,
    PAUSE,
    Scheduled,
    Scheduler,
    Turns,
)
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
        turns.begin()
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
        turns.begin()
        turns.end(203, 1, changed=True)
        assert turns.next() == 203 + DAY

    def test_what_is_said_during_a_run_is_answered_by_another_one(self) -> None:
        turns = after_a_run(at=100, took=2)
        turns.ask(200)
        turns.begin()
        turns.ask(200.5)
        turns.end(205, 4, changed=True)
        assert turns.next() == 205 + PAUSE + 4

    def test_half_of_the_time_at_most_is_spent_on_reading(self) -> None:
        turns, now, busy = after_a_run(at=0, took=40), 0.0, 0.0
        for _ in range(20):
            turns.ask(now)
            now = turns.next()
            turns.begin()
            now, busy = now + 40, busy + 40
            turns.end(now, 40, changed=True)
        assert busy / now <= 0.51

    def test_what_finds_nothing_is_asked_ever_more_seldom(self) -> None:
        turns, ends, now = after_a_run(at=0, took=0), [0.0], 0.0
        for _ in range(10):
            turns.ask(now)
            now = turns.next()
            turns.begin()
            turns.end(now, 0, changed=False)
            ends.append(now)
        gaps = [b - a for a, b in itertools.pairwise(ends)]
        assert gaps == sorted(gaps)
        assert gaps[-1] == LONGEST_PAUSE

    def test_a_change_that_is_found_ends_that(self) -> None:
        turns = in_vain(times=8)
        turns.ask(1000)
        turns.begin()
        turns.end(1001, 1, changed=True)
        turns.ask(1001)
        assert turns.next() == 1001 + PAUSE + 1

    def test_a_quiet_while_ends_it_too(self) -> None:
        turns = in_vain(times=8)
        turns.ask(5000)
        assert turns.next() == 5000 + GATHER
        turns.begin()
        turns.end(5001, 0, changed=False)
        turns.ask(5001)
        assert turns.next() == 5001 + PAUSE

    def test_the_interval_goes_on_beside_it(self) -> None:
        turns = Turns(1)
        turns.begin()
        turns.end(100, 40, changed=True)
        turns.ask(100)
        assert turns.next() == 101


def after_a_run(at: float, took: float) -> Turns:
    turns = Turns(DAY)
    turns.begin()
    turns.end(at, took, changed=True)
    return turns


def in_vain(times: int) -> Turns:
    """After many runs in a row that were asked for and found nothing."""
    turns, now = after_a_run(at=0, took=0), 0.0
    for _ in range(times):
        turns.ask(now)
        now = turns.next()
        turns.begin()
        turns.end(now, 0, changed=False)
    return turns


class CountedConnector(MemoryConnector):
    """Knows how often it was read, and by how many at a time."""

    reads = 0
    most_at_a_time = 0

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
            yield from super().read()
        finally:
            with self._counting:
                self._now -= 1


def entry(name: str) -> Entry:
    return Entry(DirectoryId(f"id-{name}"), f"uid={name},dc=x", {})


def mapped(one: Entry) -> Mapped | Unmapped:
    name = str(one.id).removeprefix("id-")
    return Mapped(
        AccountValues(directory_id=one.id, dn=one.dn, login_names=(name,)), {}
    )


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

    def begin(*scheduled: Scheduled) -> Scheduler:
        started.append(Scheduler(scheduled))
        started[-1].start()
        return started[-1]

    yield begin
    for one in started:
        one.stop()


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


def test_stopping_ends_every_thread(job: SyncJob) -> None:
    before = threading.active_count()
    scheduler = Scheduler([Scheduled(job, HOUR, push=True)])
    scheduler.start()
    assert threading.active_count() == before + 2
    scheduler.stop()
    assert threading.active_count() == before
