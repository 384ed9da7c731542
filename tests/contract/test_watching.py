"""The contract of `Connector.watch`: memory, a real Samba DC, a real slapd."""

from __future__ import annotations

import itertools
import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from dirbridge.connectors.base import Connector
from dirbridge.connectors.memory import MemoryConnector
from dirbridge.connectors.watching import change_notification, content_sync
from dirbridge.ldap.watching import Pace, Watch
from dirbridge.model.entry import Entry
from dirbridge.model.names import DirectoryId
from testbed import cast, ldif
from testbed.bed import Bed
from testbed.ldap_proxy import LdapProxy
from testbed.ldap_server import LdapServer
from testbed.samba import Dc1
from testbed.slapd import Od1, Od2
from tests.directories import ad_connector, od_connector

SOON = 30.0
"""Seconds for what takes one or two where the machine has nothing else to do."""

HASTY = Pace(look=0.2, proof=1, shortest=0.2, longest=1)

_numbers = itertools.count()


@dataclass
class Heard:
    """What a watch says."""

    times: list[float] = field(default_factory=list)

    def changed(self) -> None:
        self.times.append(time.monotonic())

    def wait_for(self, number: int, seconds: float = SOON) -> None:
        """Wait until it has said so that many times, at least."""
        eventually(lambda: len(self.times) >= number, seconds)


def eventually(holds: Callable[[], bool], seconds: float = SOON) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@contextmanager
def watching(
    watch: Callable[[Callable[[], None], threading.Event], None],
) -> Iterator[Heard]:
    """Watch in a thread; gives what is heard, and ends it."""
    heard, stop = Heard(), threading.Event()
    thread = threading.Thread(target=watch, args=(heard.changed, stop))
    thread.start()
    try:
        yield heard
    finally:
        stop.set()
        thread.join(SOON)
        assert not thread.is_alive()


@dataclass
class Case:
    connector: Connector
    change: Callable[[], None]
    leave: Callable[[], None]
    come_back: Callable[[], None]


class WatchContract:
    def test_it_says_so_when_it_begins_and_then_is_silent(self, case: Case) -> None:
        with watching(case.connector.watch) as heard:
            heard.wait_for(1)
            time.sleep(1)
            assert len(heard.times) == 1

    def test_each_change_is_told_within_two_seconds(self, case: Case) -> None:
        with watching(case.connector.watch) as heard:
            heard.wait_for(1)
            for _ in range(3):
                before = len(heard.times)
                case.change()
                heard.wait_for(before + 1, seconds=2)
                time.sleep(0.3)

    def test_it_ends_soon_after_it_is_told_to(self, case: Case) -> None:
        with watching(case.connector.watch) as heard:
            heard.wait_for(1)
            told = time.monotonic()
        assert time.monotonic() - told < 3

    def test_it_goes_on_by_itself_when_the_server_was_away(self, case: Case) -> None:
        with watching(case.connector.watch) as heard:
            heard.wait_for(1)
            case.leave()
            time.sleep(0.5)
            before = len(heard.times)
            case.come_back()
            heard.wait_for(before + 1)
            case.change()
            heard.wait_for(before + 2)


class TestMemory(WatchContract):
    @pytest.fixture
    def case(self) -> Case:
        connector = MemoryConnector()

        def change() -> None:
            name = f"person-{next(_numbers)}"
            connector.entries.append(Entry(DirectoryId(name), f"uid={name}", {}))

        def reachable(yes: bool) -> Callable[[], None]:
            return lambda: setattr(connector, "unreachable", not yes)

        return Case(connector, change, reachable(False), reachable(True))


def changes(server: LdapServer, dn: str) -> Callable[[], None]:
    """What changes an attribute that no mapping reads."""

    def change() -> None:
        text = f"{next(_numbers)} {time.time()}"
        server.modify(ldif.modify(dn, [("description", text)]))

    return change


class TestActiveDirectory(WatchContract):
    @pytest.fixture
    def case(self, bed: Bed, dc1: Dc1) -> Iterator[Case]:
        change = changes(dc1, cast.ad("bob").dn)
        with LdapProxy.before(dc1) as proxy:
            connector = ad_connector(bed, server=str(proxy), backup_server=())
            yield Case(connector, change, proxy.stop, proxy.start)

    def test_who_comes_is_told_and_who_goes_only_to_those_who_may_see_it(
        self, bed: Bed, changeable_ad: Dc1
    ) -> None:
        """Why an ordinary service account sees deletions at the interval."""
        administrator = bed.dc1.password("ad:Administrator")
        full = ad_connector(
            bed, administrator, username=f"Administrator@{cast.AD_DOMAIN}"
        )
        newcomer = replace(cast.ad("bob"), sam="newcomer", cn="Newcomer", proxies=())
        newcomer = replace(newcomer, upn=f"newcomer@{cast.AD_DOMAIN}", mail="")
        with (
            watching(ad_connector(bed).watch) as ordinary,
            watching(full.watch) as privileged,
        ):
            ordinary.wait_for(1)
            privileged.wait_for(1)
            changeable_ad.create(newcomer, "Ne-wcomer 2026!")
            ordinary.wait_for(2)
            privileged.wait_for(2)
            time.sleep(1)
            told = len(ordinary.times), len(privileged.times)
            changeable_ad.delete(newcomer.dn)
            privileged.wait_for(told[1] + 1)
            assert len(ordinary.times) == told[0]

    def test_it_is_told_on_a_sealed_connection_as_well(
        self, bed: Bed, dc1: Dc1
    ) -> None:
        connector = ad_connector(
            bed,
            security="sealed",
            backup_server=(),
            username=f"{cast.AD_NT_DOMAIN}\\svc-dirbridge",
        )
        with watching(connector.watching(Pace(proof=0.5)).run) as heard:
            heard.wait_for(1)
            time.sleep(2)
            changes(dc1, cast.ad("bob").dn)()
            heard.wait_for(2, seconds=2)
            assert len(heard.times) == 2


class TestOpenDirectory(WatchContract):
    @pytest.fixture
    def case(self, bed: Bed, od1: Od1) -> Case:
        change = changes(od1, cast.od("carla").dn)
        return Case(od_connector(bed), change, od1.stop, od1.start)

    def test_a_deletion_is_told(self, bed: Bed, changeable_od: Od1) -> None:
        with watching(od_connector(bed).watch) as heard:
            heard.wait_for(1)
            changeable_od.delete(cast.od("carla").dn)
            heard.wait_for(2)


@dataclass
class Wired:
    """A watch through a proxy that counts."""

    watch: Watch
    proxy: LdapProxy


@pytest.fixture
def wired(bed: Bed, dc1: Dc1, od1: Od1) -> Iterator[Callable[..., Wired]]:
    """Makes watches of a server through proxies of their own."""
    with ExitStack() as stack:

        def make(server: LdapServer, pace: Pace | None = None, **more: Any) -> Wired:
            proxy = stack.enter_context(LdapProxy.before(server))
            connector = ad_connector if server is dc1 else od_connector
            settings = {"server": str(proxy), "backup_server": (), **more}
            return Wired(connector(bed, **settings).watching(pace), proxy)

        yield make


def test_idle_costs_one_search_a_minute_and_no_more(
    dc1: Dc1, od1: Od1, wired: Callable[..., Wired]
) -> None:
    """Counted on the wire, before a real server of each kind.

    In 10 s the usual watch asks nothing at all: its question comes after each 60 s of
    silence, so there is one in 60 s, and two where the first second is one of them.
    That the question has its interval is shown with one of 3 s: three, in the same
    10 s.
    """
    usual = [wired(dc1), wired(od1)]
    often = [wired(dc1, Pace(proof=3)), wired(od1, Pace(proof=3))]
    with ExitStack() as stack:
        heard = [
            stack.enter_context(watching(one.watch.run)) for one in (*usual, *often)
        ]
        for one in heard:
            one.wait_for(1)
        for wire in (*usual, *often):
            wire.proxy.reset()
        time.sleep(10)
        assert [one.proxy.counts.searches for one in usual] == [0, 0]
        assert [one.proxy.counts.searches in {2, 3} for one in often] == [True, True]
        assert [len(one.times) for one in heard] == [1, 1, 1, 1]


@pytest.mark.parametrize("fate", [Od1.freeze, Od1.cut_off])
def test_a_silent_server_is_left_for_the_next_one_and_taken_again(
    bed: Bed, od1: Od1, od2: Od2, fate: Callable[[Od1], None]
) -> None:
    connector = od_connector(
        bed, backup_server="od2.example.com", read_timeout="2s", connect_timeout="2s"
    )
    connector.failover._cool_down = 1.0
    pace = replace(HASTY, steady=0)
    with watching(connector.watching(pace).run) as heard:
        heard.wait_for(1)
        fate(od1)
        heard.wait_for(2)
        assert [state.up for state in connector.states()] == [False, True]
        before = len(heard.times)
        od1.heal()
        # Nobody but the watch asks, and it stays: only a read goes back by itself.
        time.sleep(1.5)
        assert len(heard.times) == before
        connector.lookup("carla")
        heard.wait_for(before + 1)
        assert [state.up for state in connector.states()] == [True, True]


def test_a_server_that_cannot_watch_is_told_once(
    bed: Bed, od1: Od1, caplog: pytest.LogCaptureFixture
) -> None:
    """A database without syncprov has no contextCSN."""
    pace = Pace(look=0.1, shortest=0.1, refused=0.3)
    with LdapProxy.before(od1) as proxy:
        client = od_connector(bed, server=str(proxy))._client
        watch = Watch(client, lambda s, d: content_sync(s, "cn=authdata", d), pace)
        with (
            caplog.at_level(logging.INFO, "dirbridge.push"),
            watching(watch.run) as heard,
        ):
            eventually(lambda: proxy.counts.binds >= 3)
        assert heard.times == []
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "syncprov" in caplog.text


def test_a_refused_control_is_no_reason_to_hurry(
    bed: Bed, od1: Od1, caplog: pytest.LogCaptureFixture
) -> None:
    """slapd knows no change notification: unavailableCriticalExtension (12).

    Its threads may answer the question that was sent behind it first: that is one look.
    """
    client = od_connector(bed)._client
    watch = Watch(client, lambda s, d: change_notification(s, cast.OD_BASE, d))
    with caplog.at_level(logging.INFO, "dirbridge.push"):
        with watching(watch.run) as heard:
            eventually(lambda: "result 12" in caplog.text)
            time.sleep(1)
        assert len(heard.times) <= 1
    warnings = [one for one in caplog.records if one.levelname == "WARNING"]
    assert len(warnings) == 1


def test_a_refused_service_account_is_not_hammered(
    bed: Bed, od1: Od1, caplog: pytest.LogCaptureFixture
) -> None:
    with LdapProxy.before(od1) as proxy:
        connector = od_connector(bed, "not the password", server=str(proxy))
        pace = Pace(look=0.1, shortest=0.1, refused=0.2)
        with (
            caplog.at_level(logging.INFO, "dirbridge.push"),
            watching(connector.watching(pace).run) as heard,
        ):
            time.sleep(1.2)
        assert heard.times == []
        assert proxy.counts.binds == 1
        assert [record.levelname for record in caplog.records] == ["WARNING"]


def test_the_usual_pace_leaves_a_refusal_alone_for_minutes() -> None:
    assert Pace().refused >= 300
    assert Pace().longest >= 30
    assert Pace().proof >= 60


def test_a_server_that_ends_each_watch_is_asked_ever_more_seldom(
    dc1: Dc1, wired: Callable[..., Wired]
) -> None:
    one = wired(dc1, Pace(look=0.1, shortest=0.2, longest=5))
    with watching(one.watch.run) as heard:
        for number in range(1, 5):
            heard.wait_for(number)
            one.proxy.hang_up()
        gaps = [b - a for a, b in itertools.pairwise(heard.times)]
    pauses = (0.2, 0.4, 0.8)
    assert all(gap >= pause for gap, pause in zip(gaps, pauses, strict=False)), gaps
