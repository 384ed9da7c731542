"""Two bridges over one PostgreSQL: one syncs, both answer, and either may fall.

The runs are stopped in their middle by a lock on the table of changes, which a plan
comes to when it has written its accounts; logins and look-ups do not see it.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psycopg
import pytest

from dirbridge.model.names import DomainName
from dirbridge.store.postgresql_turns import turn_key
from testbed import cast
from testbed.bed import Bed
from testbed.process import wait_until
from testbed.slapd import Od1
from tests.system.bridge import OD, Serve, Site, new_site
from tests.system.sasl import ask

SOMEBODY = "carla"
SESSIONS = """
    SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND application_name = 'dirbridge'
"""
TURN_LOST = "gave the right to sync this domain away"


@pytest.fixture
def sites(bed: Bed, od1: Od1, folder: Path, full_url: str) -> tuple[Site, Site]:
    """Two machines' sites over one database."""
    made = []
    for name in ("a", "b"):
        site = new_site(bed, folder / name, OD)
        site.on_postgresql(full_url)
        site.config["domains"][OD]["sync"] = {"interval": "2s"}
        made.append(site)
    return made[0], made[1]


class Watcher:
    """Looks at the database, and holds runs in their middle."""

    def __init__(self, url: str) -> None:
        self._url = url
        self.session = psycopg.connect(url, autocommit=True)

    def number(self, question: str, *values: object) -> int:
        row = self.session.execute(question, values).fetchone()
        assert row is not None
        return int(row[0])

    def holders(self) -> list[int]:
        """The sessions that have the domain's turn."""
        key = turn_key(DomainName(OD)) % 2**64
        found = self.session.execute(
            "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted"
            " AND classid = %s AND objid = %s AND objsubid = 1",
            (key >> 32, key % 2**32),
        )
        return [pid for (pid,) in found.fetchall()]

    def is_halfway(self) -> bool:
        """Whether the one who has the turn waits for the table of changes."""
        waiting = (
            "SELECT count(*) FROM pg_locks WHERE relation = 'changes'::regclass"
            " AND NOT granted AND pid = ANY(%s)"
        )
        return self.number(waiting, self.holders()) > 0

    @contextmanager
    def holding(self) -> Iterator[None]:
        """Let no plan get beyond its accounts."""
        with psycopg.connect(self._url) as blocker:
            blocker.execute("LOCK TABLE changes IN EXCLUSIVE MODE")
            yield

    def assert_nothing_half_done(self) -> None:
        """There is not a trace of a run that was not applied whole."""
        for table in ("accounts", "names", "addresses", "changes", "cursors"):
            assert self.number(f"SELECT count(*) FROM {table}") == 0, table
        assert self.applied() == 0

    def applied(self) -> int:
        return self.number("SELECT count(*) FROM runs WHERE result = 'applied'")

    def assert_done_once(self) -> None:
        """Everybody is there, with one audit row each, all of one run."""
        accounts = self.number("SELECT count(*) FROM accounts")
        assert accounts > 0
        created = "SELECT count(*) FROM changes WHERE op = 'create'"
        assert self.number(created) == accounts
        assert self.number("SELECT count(DISTINCT run) FROM changes") == 1
        assert self.applied() == 1


@pytest.fixture
def watcher(sites: tuple[Site, Site], full_url: str) -> Iterator[Watcher]:
    """Comes when the tables are there."""
    assert sites[0].run("accounts", "list").code == 0
    watching = Watcher(full_url)
    yield watching
    watching.session.close()


def can_log_in(site: Site) -> bool:
    password = site.bed.password(cast.od(SOMEBODY))
    return ask(site.saslauthd, SOMEBODY, password, realm=OD) == "OK"


def test_one_syncs_and_both_answer(sites: tuple[Site, Site], watcher: Watcher) -> None:
    sites[1].config["serve"]["processes"] = 2
    with ExitStack() as stack:
        serves = [stack.enter_context(site.serving()) for site in sites]
        wait_until(lambda: watcher.applied() == 1, "nobody syncs")
        watcher.assert_done_once()
        assert [can_log_in(site) for site in sites] == [True, True]
        runs = "SELECT count(*) FROM runs"
        before = watcher.number(runs)
        wait_until(lambda: watcher.number(runs) >= before + 3, "nobody goes on")
        assert_quiet(*serves)
    watcher.assert_done_once()


def assert_quiet(*serves: Serve) -> None:
    """That another one has the turn is nothing to tell anybody."""
    for serve in serves:
        assert "Traceback" not in serve.log
        assert "another sync" not in serve.log, serve.log


def test_the_other_takes_over_from_a_killed_one(
    sites: tuple[Site, Site], watcher: Watcher
) -> None:
    one, other = sites
    with other.serving("--no-sync"):
        assert not can_log_in(other)
    with watcher.holding(), one.serving() as first, ExitStack() as stack:
        wait_until(watcher.is_halfway, "nobody syncs")
        (held,) = watcher.holders()
        second = stack.enter_context(other.serving())
        first.process.send_signal(signal.SIGKILL)
        first.process.wait()
        wait_until(
            lambda: watcher.is_halfway() and held not in watcher.holders(),
            "nobody takes over",
        )
        watcher.assert_nothing_half_done()
        kept = stack.pop_all()
    with kept:
        wait_until(lambda: watcher.applied() == 1, "it does not come to an end")
        watcher.assert_done_once()
        assert can_log_in(other)
        assert_quiet(second)
        with one.serving():
            assert can_log_in(one)
    watcher.assert_done_once()


def test_the_other_takes_over_when_the_session_is_cut(
    sites: tuple[Site, Site], watcher: Watcher
) -> None:
    one, other = sites
    with ExitStack() as stack:
        with watcher.holding():
            first = stack.enter_context(one.serving())
            wait_until(watcher.is_halfway, "nobody syncs")
            (held,) = watcher.holders()
            # The first one has none but its session to write by, and is not let back.
            stack.enter_context(other.serving())
            assert watcher.number("SELECT pg_terminate_backend(%s)::int", held) == 1
            wait_until(lambda: TURN_LOST in first.log, "it did not notice")
            watcher.assert_nothing_half_done()
            wait_until(
                lambda: watcher.is_halfway() and held not in watcher.holders(),
                "nobody takes over",
            )
        wait_until(lambda: watcher.applied() == 1, "it does not come to an end")
        watcher.assert_done_once()
        assert [can_log_in(site) for site in sites] == [True, True]


def test_a_frozen_one_wakes_up_to_nothing(
    sites: tuple[Site, Site], watcher: Watcher
) -> None:
    one, other = sites
    with ExitStack() as stack:
        with watcher.holding():  # before it syncs, or its first sync may be over
            first = stack.enter_context(one.serving())
            wait_until(watcher.is_halfway, "nobody syncs")
            (held,) = watcher.holders()
            first.process.send_signal(signal.SIGSTOP)
        # The server got as far as to ask it for the rows, which do not come.
        try:
            stack.enter_context(other.serving())
            wait_until(lambda: watcher.applied() == 1, "nobody takes over")
            assert held not in watcher.holders()
            assert can_log_in(other)
        finally:
            first.process.send_signal(signal.SIGCONT)
        wait_until(lambda: TURN_LOST in first.log, "it did not notice")
        wait_until(lambda: can_log_in(one), "it does not answer again")
        watcher.assert_done_once()


def test_sync_from_cron_waits_for_its_turn(
    sites: tuple[Site, Site], watcher: Watcher
) -> None:
    one, other = sites
    with ExitStack() as stack:
        with watcher.holding():
            stack.enter_context(one.serving())
            wait_until(watcher.is_halfway, "nobody syncs")
            there = watcher.number(SESSIONS)
            cron = other.start("sync")
            wait_until(lambda: watcher.number(SESSIONS) > there, "it does not ask")
            watcher.assert_nothing_half_done()
        _, said = cron.communicate(timeout=60)
        assert cron.returncode == 0, said
    watcher.assert_done_once()
