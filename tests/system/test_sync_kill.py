"""Whatever ends a sync, at any step: the store is as before or as after.

A run is killed when it begins to read, to plan and to write, and between its first
write and the commit: SQLite writes uncommitted pages into its WAL once its page cache
is full, so that kill waits until the file has grown by some random amount. The disk
fills up in mid-write, and the database cuts every connection. What a directory server
does in mid-read stands in `test_sync_safety`, what PostgreSQL may do at each statement
in `tests/contract/test_retrying.py`.
"""

from __future__ import annotations

import contextlib
import json
import random
import shutil
import signal
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from testbed import cast
from testbed.bed import Bed
from testbed.postgresql import Postgresql
from testbed.scale import Scale, load
from tests.system.bridge import OD, Site

PEOPLE = 2999
PHASES = ("read", "plan", "apply")
AT_EACH, IN_APPLY = 3, 8
FIRST_SPILL, WHOLE = 200_000, 3_000_000


@pytest.fixture(scope="module")
def scale(bed: Bed) -> Iterator[Scale]:
    server = load(bed.directory, 20_000)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def crowded(scale: Scale, od_site: Site) -> Site:
    """A site of 2,999 people, and a store that has its tables and nobody yet."""
    site = od_site
    directory = site.directory(OD)
    directory |= {"server": scale.host, "suffix": cast.OD_BASE}
    directory["filter"] = "(|(uid=u000*)(uid=u001*)(uid=u002*))"
    del directory["backup_server"]
    return site


@pytest.mark.slow
@pytest.mark.needs_slapd
def test_kills_leave_the_store_as_before_or_as_after(crowded: Site) -> None:
    site, chance = crowded, random.Random(20)
    assert site.accounts(OD) == {}
    before = site.dump()
    empty = shutil.copy(site.database, site.folder / "empty.db")
    uncommitted = 0
    for moment in (*PHASES * AT_EACH, *[""] * IN_APPLY):
        run = site.start("sync", OD, "--json")
        if moment:
            wait_for_phase(run, moment)
            time.sleep(chance.uniform(0, 0.05))
        else:
            wait_for_writes(run, site, chance.randint(FIRST_SPILL, WHOLE))
        run.send_signal(signal.SIGKILL)
        run.communicate()
        written = wal_size(site)
        if site.dump() == before:
            uncommitted += written > FIRST_SPILL
        else:
            assert_whole(site)
            shutil.copy(empty, site.database)
    assert uncommitted >= 3

    done = site.sync(OD)

    assert done.code == 0, done.out
    assert_whole(site)


@pytest.mark.slow
@pytest.mark.needs_slapd
def test_a_full_disk_leaves_the_store_as_before(crowded: Site) -> None:
    site, disk = crowded, crowded.folder / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", disk], check=True)
    try:
        site.config["store"]["url"] = f"sqlite:///{disk}/dirbridge.db"
        assert site.accounts(OD) == {}
        done = site.sync(OD)
        assert (done.code, done.codes) == (5, ["store-full"]), done.out
        assert site.accounts(OD) == {}
        larger = ["mount", "-o", "remount,size=100m", disk]
        subprocess.run(larger, check=True)

        done = site.sync(OD)

        assert done.code == 0, done.out
        assert len(site.accounts(OD)) == PEOPLE
    finally:
        subprocess.run(["umount", "--lazy", disk], check=True)


@pytest.mark.slow
@pytest.mark.needs_slapd
def test_a_database_that_cuts_everybody_off_is_before_or_after(
    crowded: Site, postgresql: Postgresql
) -> None:
    site = crowded
    site.on_postgresql(postgresql.create_database("cut_in_sync"))
    assert site.accounts(OD) == {}
    for moment in PHASES:
        run = site.start("sync", OD, "--json")
        wait_for_phase(run, moment)
        said = cut_off(run, postgresql)
        assert run.returncode == 5, (moment, said)
        assert site.accounts(OD) == {}, moment

    done = site.sync(OD)

    assert done.code == 0, done.out
    assert len(site.accounts(OD)) == PEOPLE


def cut_off(run: subprocess.Popen[bytes], postgresql: Postgresql) -> bytes:
    """Cut every connection of a run until it gives up."""
    everybody = (
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE datname = 'cut_in_sync'"
    )
    with psycopg.connect(postgresql.url_of("postgres"), autocommit=True) as admin:
        while run.poll() is None:
            admin.execute(everybody)
            time.sleep(0.005)
    return b"".join(run.communicate())


def wait_for_phase(run: subprocess.Popen[bytes], phase: str) -> None:
    """Wait until a run says that it has come to a phase, or has ended."""
    assert run.stdout is not None
    for line in run.stdout:
        if json.loads(line).get("phase") == phase:
            return


def wait_for_writes(run: subprocess.Popen[bytes], site: Site, size: int) -> None:
    deadline = time.monotonic() + 60
    while run.poll() is None and wal_size(site) < size:
        assert time.monotonic() < deadline
        time.sleep(0.001)


def wal_size(site: Site) -> int:
    with contextlib.suppress(FileNotFoundError):
        return Path(f"{site.database}-wal").stat().st_size
    return 0


def assert_whole(site: Site) -> None:
    """Everybody is there, with the run and its audit rows, and SQLite is content."""
    with contextlib.closing(sqlite3.connect(site.database)) as database:

        def count(what: str) -> int:
            number: int = database.execute(f"SELECT count(*) FROM {what}").fetchone()[0]
            return number

        assert count("accounts WHERE kind = 'account'") == PEOPLE
        assert count("changes") == count("accounts")
        assert count("runs") == 1
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
