"""`kill -9` of a sync at any moment: the store is as before or as after.

The moment that matters most is between the first write and the commit. SQLite
writes uncommitted pages into its WAL once its page cache is full, so a kill waits
until that file has grown by some random amount.
"""

from __future__ import annotations

import contextlib
import random
import shutil
import signal
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from testbed import cast
from testbed.bed import Bed
from testbed.scale import Scale, load
from tests.system.bridge import OD, Site

PEOPLE = 2999
ANY_TIME, IN_APPLY = 11, 9
FIRST_SPILL, WHOLE = 200_000, 3_000_000


@pytest.fixture
def crowded(bed: Bed, od_site: Site) -> Iterator[Site]:
    """A site of 2,999 people, and a store that has its tables and nobody yet."""
    server: Scale = load(bed.directory, 20_000)
    server.start()
    site = od_site
    directory = site.directory(OD)
    directory |= {"server": server.host, "suffix": cast.OD_BASE}
    directory["filter"] = "(|(uid=u000*)(uid=u001*)(uid=u002*))"
    del directory["backup_server"]
    assert site.accounts(OD) == {}
    yield site
    server.stop()


@pytest.mark.slow
@pytest.mark.needs_slapd
def test_twenty_kills_leave_the_store_as_before_or_as_after(crowded: Site) -> None:
    site, chance = crowded, random.Random(20)
    before = site.dump()
    empty = shutil.copy(site.database, site.folder / "empty.db")
    uncommitted = finished = 0
    for number in range(ANY_TIME + IN_APPLY):
        run = site.start("sync", OD)
        if number < ANY_TIME:
            time.sleep(chance.uniform(0.1, 2))
        else:
            wait_for_writes(run, site, chance.randint(FIRST_SPILL, WHOLE))
        run.send_signal(signal.SIGKILL)
        run.communicate()
        written = wal_size(site)
        if site.dump() == before:
            uncommitted += written > FIRST_SPILL
        else:
            assert_whole(site)
            finished += 1
            shutil.copy(empty, site.database)
    assert uncommitted >= 3, (uncommitted, finished)

    done = site.sync(OD)

    assert done.code == 0, done.out
    assert_whole(site)


def wait_for_writes(run: subprocess.Popen[bytes], site: Site, size: int) -> None:
    deadline = time.monotonic() + 60
    while run.poll() is None and wal_size(site) < size:
        assert time.monotonic() < deadline


def wal_size(site: Site) -> int:
    with contextlib.suppress(FileNotFoundError):
        return Path(f"{site.database}-wal").stat().st_size
    return 0


def assert_whole(site: Site) -> None:
    """Everybody is there, with the run and its audit rows, and SQLite is content."""
    with contextlib.closing(sqlite3.connect(site.database)) as database:

        def count(table: str) -> int:
            number: int = database.execute(f"SELECT count(*) FROM {table}").fetchone()[
                0
            ]
            return number

        assert count("accounts") == PEOPLE
        assert count("changes") == PEOPLE
        assert count("runs") == 1
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
