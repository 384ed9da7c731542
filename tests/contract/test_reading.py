"""Bulk reads of real servers, and of a server that limits and fails on command."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import ldap3
import pytest

from dirbridge.connectors.ldap_directory import LdapDirectory
from dirbridge.connectors.reading import Reading
from dirbridge.errors import Unreachable
from dirbridge.ldap.session import Query, RawEntry, Session
from dirbridge.model.deadline import Deadline
from dirbridge.model.entry import Entry, Finished, Unchanged
from dirbridge.model.names import DirectoryId
from dirbridge.protocols.ldap_controls import PAGED_RESULTS
from dirbridge.protocols.ldap_messages import Result
from testbed import cast
from testbed.bed import Bed
from testbed.ldap_proxy import DROP, At, Fault, LdapProxy, Limits
from testbed.samba import Dc1
from testbed.slapd import Od1
from tests.directories import ad_connector, od_connector

CROWD = Query(
    base=cast.AD_GROUPS, filter="(cn=Crowd)", attributes=("cn", "member", "objectGUID")
)


@pytest.fixture
def proxy(dc1: Dc1) -> Iterator[LdapProxy]:
    with LdapProxy.before(dc1, limits=Limits(page=500, values=400)) as made:
        yield made


def behind(bed: Bed, proxy: LdapProxy) -> LdapDirectory:
    return ad_connector(bed, server=str(proxy), backup_server=())


def ids(connector: LdapDirectory) -> set[DirectoryId]:
    return {item.id for item in connector.read() if isinstance(item, Entry)}


def test_small_pages_give_the_same(bed: Bed, proxy: LdapProxy) -> None:
    connector = behind(bed, proxy)
    items = list(connector.read())
    assert isinstance(items[-1], Finished)
    assert items[-1].complete
    assert proxy.counts.pages >= 5
    assert {i.id for i in items if isinstance(i, Entry)} == ids(
        ad_connector(bed, backup_server=())
    )


@pytest.mark.parametrize(
    ("fault", "least", "word"),
    [
        (Fault(At.PAGE, 3, DROP, entries=10), 1000, "closed"),
        (Fault(At.PAGE, 3, 4, entries=10), 1000, "result 4"),
        (Fault(At.PAGE, 2, 12), 500, "result 12"),
        (Fault(At.PAGE, 2, 51), 500, "busy"),
        (Fault(At.PAGE, 2, 53), 500, "result 53"),
        (Fault(At.PAGE, 1, DROP, entries=3), 3, "closed"),
    ],
    ids=str,
)
def test_a_read_that_breaks_is_told_at_its_end(
    bed: Bed, proxy: LdapProxy, fault: Fault, least: int, word: str
) -> None:
    proxy.fault = fault
    *entries, last = behind(bed, proxy).read()
    assert all(isinstance(item, Entry) for item in entries)
    assert least <= len(entries) < least + 500
    assert isinstance(last, Finished)
    assert (last.complete, last.cursor) == (False, None)
    assert word in last.why


def test_a_read_that_never_began_is_an_exception(bed: Bed, proxy: LdapProxy) -> None:
    proxy.fault = Fault(At.PAGE, 1, 51)
    with pytest.raises(Unreachable) as caught:
        next(behind(bed, proxy).read())
    assert caught.value.code == "busy"


def test_slices_are_fetched_while_the_next_page_comes_in(
    bed: Bed, proxy: LdapProxy
) -> None:
    """A thousand and more members in slices of 400, among small pages."""
    connector = behind(bed, proxy)
    proxy.limits = Limits(page=2, values=400)

    def work(session: Session, deadline: Deadline) -> tuple[list[Entry], Finished]:
        query = Query(base=cast.AD_GROUPS, filter="(cn=*)", attributes=CROWD.attributes)
        reading = Reading(
            session,
            query,
            entry=connector.entry,
            beside=lambda: connector._open_beside(session),
        )
        found = [item for item in reading.items() if isinstance(item, Entry)]
        reading.close()
        return found, reading.finished(cast.AD_GROUPS)

    _, session, (found, finished) = connector._client.begin(work)
    session.close()
    assert finished.complete
    (crowd,) = [e for e in found if e.values("cn") == (b"Crowd",)]
    assert len(set(crowd.values("member"))) == cast.CROWD_SIZE
    assert set(crowd.attributes) == {"cn", "member", "objectguid"}
    assert not crowd.digest
    assert all(e.digest for e in found if e is not crowd)
    assert proxy.counts.connections == 2


def test_what_did_not_change_is_skipped(bed: Bed, changeable_od: Od1) -> None:
    connector = od_connector(bed)
    first = [item for item in connector.read() if isinstance(item, Entry)]
    known = {entry.digest: entry.id for entry in first}
    assert len(known) == len(first)
    *again, last = connector.read(known=known)
    assert again == [Unchanged(entry.id) for entry in first]
    assert isinstance(last, Finished)
    assert last.complete

    anna = cast.od("anna")
    changeable_od.modify(
        f"dn: {anna.dn}\nchangetype: modify\nreplace: title\ntitle: Boss\n\n"
    )
    changed = [i for i in connector.read(known=known) if isinstance(i, Entry)]
    assert [(e.id, e.values("title")) for e in changed] == [(anna.guid, (b"Boss",))]


@pytest.mark.parametrize("kind", ["ad", "od"])
def test_a_sweep_tells_every_id(bed: Bed, dc1: Dc1, od1: Od1, kind: str) -> None:
    make = {"ad": ad_connector, "od": od_connector}[kind]
    connector = make(bed)
    *swept, last = connector.sweep()
    assert isinstance(last, Finished)
    assert last.complete
    assert len(swept) == len(set(swept))
    assert set(swept) == ids(connector)


def test_a_sweep_carries_nothing_else(bed: Bed, proxy: LdapProxy) -> None:
    connector = behind(bed, proxy)
    read = len(list(connector.read()))
    whole = proxy.counts.sent
    proxy.reset()
    assert len(list(connector.sweep())) == read
    assert proxy.counts.sent < whole / 2


def test_no_entry_is_read_through_ldap3(
    bed: Bed, dc1: Dc1, od1: Od1, monkeypatch: pytest.MonkeyPatch
) -> None:
    def explode(*_arguments: object, **_named: object) -> None:
        raise AssertionError("ldap3 was asked to search")

    monkeypatch.setattr(ldap3.Connection, "search", explode)
    for connector in (ad_connector(bed), od_connector(bed)):
        items = list(connector.read())
        assert isinstance(items[-1], Finished)
        assert items[-1].complete
        assert connector.lookup("anna")
        assert connector.find(items[0].id)
        connector.check()


@pytest.mark.parametrize("made", [ad_connector, od_connector])
@pytest.mark.parametrize("text", ["(cn=nobody at all)", "(objectClass=*)"])
def test_real_servers_say_which_page_is_the_last(
    bed: Bed, dc1: Dc1, od1: Od1, made: Callable[..., LdapDirectory], text: str
) -> None:
    """Also of an answer without entries, and of a page that is just full."""

    def work(session: Session, deadline: Deadline) -> list[str]:
        naming = connector._naming(session, deadline)
        assert session.pages
        query = Query(base=naming.base, filter=text, attributes=("cn",))
        everything = session.search(query, deadline)
        found = sorted(entry.dn for entry in everything.entries)
        for page in {500, len(found) or 1}:
            *entries, last = session.stream(query, page=page)
            assert isinstance(last, Result)
            assert last.code == 0
            assert PAGED_RESULTS in last.controls
            assert sorted(e.dn for e in entries if isinstance(e, RawEntry)) == found
        return found

    connector = made(bed)
    _, session, found = connector._client.begin(work)
    session.close()
    assert bool(found) == (text == "(objectClass=*)")
