"""What Windows' limits and a failing server do to a read.

Samba cuts neither pages nor ranges, so a limiting proxy stands before the real servers.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from dirbridge.connectors.ldap_directory import LdapDirectory
from dirbridge.errors import BindRefused, IncompleteRead, Unreachable
from dirbridge.model.entry import Entry, Finished
from dirbridge.model.names import DirectoryId
from dirbridge.model.sentences import problems_of
from testbed import cast
from testbed.bed import Bed
from testbed.ldap_proxy import DROP, HANG, At, Counts, Fault, LdapProxy, Limits
from testbed.samba import Dc1, Dc2
from testbed.slapd import Od1
from tests.directories import ad_connector, ad_ids, od_connector

DC2 = "dc2.corp.example.com:636"
NOBODY = DirectoryId("00000000-0000-4000-8000-000000000000")
MANY = len(cast.CROWD)
FEW = "(sAMAccountName=crowd00*)"
"""Ninety-nine people: enough for five pages of twenty."""


@pytest.fixture
def proxy(dc1: Dc1) -> Iterator[LdapProxy]:
    """A proxy before DC 1 with small limits, so that a short read has many pages."""
    with LdapProxy.before(dc1, limits=Limits(page=20, values=0)) as made:
        yield made


def alone(
    bed: Bed, proxy: LdapProxy, password: str = "", **changes: Any
) -> LdapDirectory:
    values = {"server": str(proxy), "backup_server": (), "filter": FEW}
    return ad_connector(bed, password, **(values | changes))


def with_backup(bed: Bed, proxy: LdapProxy) -> LdapDirectory:
    backup = "dc2.corp.example.com"
    return alone(bed, proxy, backup_server=backup, read_timeout="8s")


def read(connector: LdapDirectory) -> tuple[list[Entry], Finished]:
    *entries, last = connector.read()
    assert isinstance(last, Finished)
    assert all(isinstance(entry, Entry) for entry in entries)
    return entries, last


def test_more_than_a_page_comes_whole(bed: Bed, dc1: Dc1, proxy: LdapProxy) -> None:
    proxy.limits = Limits()
    connector = alone(bed, proxy, filter=None)
    entries, last = read(connector)
    assert (last.complete, last.why) == (True, "")
    ids = ad_ids(dc1)
    crowd = {ids[person.sam] for person in cast.CROWD}
    assert crowd <= {entry.id for entry in entries}
    assert len(crowd) == MANY
    pages = -(-len(entries) // 1000)
    assert proxy.counts.pages in (pages, pages + 1)


def test_small_pages_come_whole(bed: Bed, proxy: LdapProxy) -> None:
    entries, last = read(alone(bed, proxy))
    assert last.complete
    assert len({entry.id for entry in entries}) == len(entries) >= 99
    assert proxy.counts.pages >= 5


@pytest.mark.parametrize("limits", [Limits(20, 300), Limits(1000, 1500)])
def test_an_attribute_with_too_many_values_comes_whole(
    bed: Bed, dc1: Dc1, proxy: LdapProxy, limits: Limits
) -> None:
    proxy.limits = limits
    entries, last = read(alone(bed, proxy, filter="(cn=Crowd)"))
    assert last.complete, last.why
    (crowd,) = (e for e in entries if e.dn.startswith("CN=Crowd,"))
    members = crowd.attributes["member"]
    assert len(set(members)) == len(members) == MANY
    assert not any(";" in name for entry in entries for name in entry.attributes)
    assert proxy.counts.searches > MANY // limits.values


@pytest.mark.parametrize("entries", [0, 10])
@pytest.mark.parametrize("code", [4, 12, 53])
def test_an_error_on_a_later_page_is_never_a_silent_end(
    bed: Bed, proxy: LdapProxy, code: int, entries: int
) -> None:
    proxy.fault = Fault(At.PAGE, 3, code, entries=entries)
    found, last = read(alone(bed, proxy))
    assert not last.complete
    assert f"result {code}" in last.why
    assert "says the proxy" in last.why
    assert 40 <= len(found) < 99


@pytest.mark.parametrize("code", [51, 52])
@pytest.mark.parametrize(("at", "number"), [(At.BIND, 0), (At.PAGE, 1)])
def test_who_is_busy_or_away_is_passed_by(
    bed: Bed, dc2: Dc2, proxy: LdapProxy, at: At, number: int, code: int
) -> None:
    connector = with_backup(bed, proxy)
    proxy.fault = Fault(at, number, code)
    begun = connector.read()
    next(begun)
    begun.close()
    first, second = connector.states()
    assert (first.up, second.up) == (False, True)
    assert first.error.startswith({51: "busy", 52: "unavailable"}[code])


@pytest.mark.parametrize("code", [51, 52])
def test_who_is_busy_in_the_middle_ends_the_read(
    bed: Bed, proxy: LdapProxy, code: int
) -> None:
    proxy.fault = Fault(At.PAGE, 3, code)
    connector = alone(bed, proxy)
    _, last = read(connector)
    assert not last.complete
    assert last.why
    assert connector.states()[0].up is False


@pytest.mark.parametrize(("how", "entries"), [(HANG, 10), (DROP, 0), (DROP, 10)])
def test_who_dies_on_page_3_is_noted_and_the_next_read_goes_elsewhere(
    bed: Bed, dc2: Dc2, proxy: LdapProxy, how: int, entries: int
) -> None:
    connector = with_backup(bed, proxy)
    proxy.fault = Fault(At.PAGE, 3, how, entries=entries)
    start = time.monotonic()
    found, last = read(connector)
    assert time.monotonic() - start < 30
    assert (last.complete, last.server) == (False, str(proxy))
    assert 40 <= len(found) < 99
    assert last.why.startswith("timeout" if how == HANG else "closed")
    assert connector.states()[0].up is False
    begun = connector.read()
    next(begun)
    begun.close()
    assert connector.states()[1].up
    assert connector.lookup("anna")[0].server == DC2


def test_a_refused_service_account_binds_once(bed: Bed, proxy: LdapProxy) -> None:
    connector = alone(bed, proxy, password="not the one")
    for _ in range(5):
        with pytest.raises(BindRefused):
            connector.find(NOBODY)
        with pytest.raises(BindRefused):
            next(connector.read())
    assert proxy.counts.binds == 1


def test_short_work_is_tried_a_second_time(bed: Bed, proxy: LdapProxy) -> None:
    connector = alone(bed, proxy)
    proxy.fault = Fault(At.BIND, 1, 51)
    assert connector.find(NOBODY) is None
    assert proxy.counts.binds == 2
    proxy.reset()
    proxy.fault = Fault(At.BIND, 0, 51)
    with pytest.raises(Unreachable) as caught:
        alone(bed, proxy).find(NOBODY)
    assert caught.value.code == "busy"
    assert proxy.counts.binds == 2


def test_a_server_that_restarts_is_back_within_one_look_up(
    bed: Bed, proxy: LdapProxy
) -> None:
    connector = alone(bed, proxy)
    assert connector.find(NOBODY) is None
    proxy.hang_up()
    assert connector.find(NOBODY) is None
    assert connector.states()[0].up


def test_what_crossed_the_wire_is_counted(bed: Bed, proxy: LdapProxy) -> None:
    connector = alone(bed, proxy)
    connector.find(NOBODY)
    counts = proxy.counts
    assert (counts.connections, counts.binds, counts.pages) == (1, 1, 0)
    assert counts.searches >= 2
    assert counts.sent > 100
    proxy.reset()
    assert proxy.counts == Counts()


def test_a_size_limit_of_slapd_is_partial_and_named(
    bed: Bed, changeable_od: Od1
) -> None:
    """Pages do not lift it (facts: open-directory 8)."""
    od1 = changeable_od
    conf = od1.conf.read_text()
    cut = conf.replace("size.prtotal=unlimited", "size.prtotal=3")
    assert cut != conf
    od1.stop()
    od1.write_conf = lambda: od1.conf.write_text(cut)
    try:
        od1.start()
        _, last = read(od_connector(bed))
    finally:
        del od1.write_conf
    assert not last.complete
    assert "result 4" in last.why
    (told,) = problems_of(
        IncompleteRead(
            domain="example.org",
            server=last.server,
            operation="read",
            code="incomplete",
            detail=last.why,
        )
    )
    assert "size.prtotal" in told.next
