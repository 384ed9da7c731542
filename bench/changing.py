"""Rows about a running bridge: what changed, and how all of it grows."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from itertools import count
from pathlib import Path
from statistics import median
from typing import Any

from bench.bridge import Bridge, bridge
from bench.databases import SqliteFile
from bench.row import BenchError, Pair
from bench.syncs import change, check_titles
from testbed import scale

CHANGES = 10
"""Changes that one delta brings."""

DELTAS = 7
"""Deltas for one figure."""

FULL_RUNS = 5
"""Full runs of the small directory for one figure."""

SMALLER = 50
"""How many times larger the large directory is than the small one."""

PUSHES, QUIET = 5, 2.5
"""Changes for one figure of the push, and the seconds between them."""

VISIBLE_WITHIN = 180.0
"""Seconds after which a change counts as lost; the first waits for a whole read."""

Jobs = Callable[[str], dict[str, Any]]


@contextmanager
def delta_ten(accounts: int, folder: Path) -> Iterator[Pair]:
    """Milliseconds of a run with ten changed accounts, to committed rows.

    It is the job that the scheduler calls, in a process that is kept, with its
    sessions; not the time until the scheduler calls it.
    """
    numbers = count(1)
    with bridge(folder, accounts) as ours, ours.jobs() as jobs:
        yield Pair(lambda: deltas(ours, jobs, numbers))


@contextmanager
def push(accounts: int, folder: Path) -> Iterator[Pair]:
    """Seconds from a change in the directory to its row, with `dirbridge serve`."""
    lines = 'push = true\ninterval = "1h"'
    with bridge(folder, accounts, lines={"sync": lines}) as ours, ours.serving():
        titles = (f"Title {number}" for number in count(1))
        _until_visible(ours, next(titles))  # not before the first run is over
        yield Pair(lambda: median(_pushed(ours, next(titles)) for _ in range(PUSHES)))


@contextmanager
def growth_full(accounts: int, folder: Path) -> Iterator[Pair]:
    """Seconds per account of a full run in which nothing changed, large and small.

    Without the start of Python, which would weigh more on the small one.
    """
    with _two(accounts, folder) as (large, small):
        yield Pair(
            lambda: _full(*large),
            lambda: median(_full(*small) for _ in range(FULL_RUNS)),
        )


@contextmanager
def growth_delta(accounts: int, folder: Path) -> Iterator[Pair]:
    """Milliseconds of a delta with ten changes in a large and a small directory."""
    numbers = count(1)
    with _two(accounts, folder) as (large, small):
        yield Pair(lambda: deltas(*large, numbers), lambda: deltas(*small, numbers))


@contextmanager
def _two(
    accounts: int, folder: Path
) -> Iterator[tuple[tuple[Bridge, Jobs], tuple[Bridge, Jobs]]]:
    places = folder / "large", folder / "small"
    for place in places:
        place.mkdir(mode=0o711)
    fewer = max(CHANGES, accounts // SMALLER)
    with (
        bridge(places[0], accounts) as large,
        bridge(places[1], fewer, kind=scale.Small) as small,
        large.jobs() as large_jobs,
        small.jobs() as small_jobs,
    ):
        yield (large, large_jobs), (small, small_jobs)


def deltas(ours: Bridge, jobs: Jobs, numbers: Iterator[int]) -> float:
    """Return the median of the milliseconds of deltas, each one verified."""
    jobs("delta")  # the sessions are there, and what went before is read
    return median(_delta(ours, jobs, next(numbers)) for _ in range(DELTAS))


def _delta(ours: Bridge, jobs: Jobs, number: int) -> float:
    apart = ours.accounts // CHANGES
    chosen = range(1 + number % apart, 1 + number % apart + apart * CHANGES, apart)
    title = f"Delta {number}"
    change(ours, chosen, title)
    found = jobs("delta")
    if found["kind"] != "delta" or sum(found["changes"].values()) != CHANGES:
        raise BenchError(f"that was no delta with {CHANGES} changes: {found}")
    check_titles(ours, chosen, title)
    return float(found["seconds"]) * 1000


def _full(ours: Bridge, jobs: Jobs) -> float:
    found = jobs("full")
    if (found["unchanged"], found["changes"]) != (ours.accounts, {}):
        raise BenchError(f"something changed: {found}")
    return float(found["seconds"]) / ours.accounts


def _pushed(ours: Bridge, title: str) -> float:
    time.sleep(QUIET)
    return _until_visible(ours, title)


def _until_visible(ours: Bridge, title: str) -> float:
    """Change one account, and wait until the store has it."""
    assert isinstance(ours.database, SqliteFile)
    path = ours.database.path
    number = max(1, ours.accounts // 2)
    uid = scale.person(number).uid
    sql = "SELECT title FROM accounts WHERE mailbox_key = ?"
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as store:
        started = time.monotonic()
        change(ours, range(number, number + 1), title)
        while time.monotonic() < started + VISIBLE_WITHIN:
            if store.execute(sql, (uid,)).fetchone() == (title,):
                return time.monotonic() - started
            time.sleep(0.005)
    raise BenchError(f"the change is not in the store after {VISIBLE_WITHIN:.0f} s")
