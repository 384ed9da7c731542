"""Searches on a connection whose other end says what a test wants."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import closing

import pytest

from dirbridge.config.settings import Security
from dirbridge.errors import Unreachable, Unsupported
from dirbridge.ldap.access import Access, Endpoint
from dirbridge.ldap.ranges import with_whole
from dirbridge.ldap.session import Query, RawEntry, Session
from dirbridge.ldap.transport import Transport
from dirbridge.model.deadline import Deadline
from dirbridge.protocols import ber, ldap_controls, ldap_messages
from dirbridge.protocols.ldap_controls import Control
from dirbridge.protocols.ldap_messages import Result
from tests.ldap_responder import entry, operations, result

DONE = ldap_messages.SEARCH_DONE
EVERYBODY = Query(base="dc=x", filter="(uid=*)", attributes=("uid", "cn"))
NOTICE = result(0, ldap_messages.EXTENDED_ANSWER, 52, "going down")
SOON = 5.0


class Peer:
    """The server's end."""

    def __init__(self, stream: socket.socket) -> None:
        self._stream = stream
        self._operations = operations(stream)

    def asked(self) -> int:
        """Wait for the next search; return its number."""
        number, tag = next(self._operations)
        assert tag == 0x63
        return number

    def waits(self) -> bool:
        """Whether nothing was asked that was not taken."""
        self._stream.setblocking(False)
        try:
            self._stream.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return True
        finally:
            self._stream.setblocking(True)
        return False

    def say(self, *octets: bytes) -> None:
        self._stream.sendall(b"".join(octets))

    def hang_up(self) -> None:
        self._stream.close()


@pytest.fixture
def pair() -> Iterator[tuple[Session, Peer]]:
    ours, theirs = socket.socketpair()
    with closing(ours), closing(theirs):
        access = Access(domain="x", security=Security.NONE, read_seconds=SOON)
        transport = Transport(ours, Endpoint("peer", 389), "x")
        theirs.settimeout(SOON)
        yield Session(transport, access), Peer(theirs)


def page(number: int, names: str, cookie: bytes = b"") -> bytes:
    """Entries of these names, and the end of a page."""
    return b"".join(entry(number, {"uid": [n.encode()]}) for n in names) + end(
        number, 0, cookie
    )


def end(number: int, code: int, cookie: bytes = b"", text: str = "") -> bytes:
    body = ber.enumerated(code) + ber.octets(b"") + ber.text(text)
    control = ldap_controls.paged(0, cookie)
    return ldap_messages.message(
        number, ber.tlv(DONE, body), ldap_controls.encode([control])
    )


def names(items: list[RawEntry | bytes | Result]) -> str:
    found = [item for item in items if isinstance(item, RawEntry)]
    return "".join(item.attributes["uid"][0].decode() for item in found)


def stream(session: Session, **changes: object) -> Iterator[RawEntry | bytes | Result]:
    return session.stream(EVERYBODY, page=2, **changes)  # type: ignore[arg-type]


def test_the_next_page_is_asked_for_before_the_first_entry_is_given(
    pair: tuple[Session, Peer],
) -> None:
    session, peer = pair
    peer.say(page(1, "ab", b"more"))
    reading = stream(session)
    first = next(reading)
    assert isinstance(first, RawEntry)
    assert (peer.asked(), peer.asked()) == (1, 2)
    peer.say(page(2, "c"))
    rest = list(reading)
    assert names([first, *rest]) == "abc"
    assert isinstance(rest[-1], Result)
    assert peer.waits()
    assert session.idle()


def test_a_page_that_ends_badly_is_the_end(pair: tuple[Session, Peer]) -> None:
    session, peer = pair
    peer.say(entry(1, {"uid": [b"a"]}), end(1, 4, b"more", "limit"))
    *found, last = stream(session)
    assert names(found) == "a"
    assert isinstance(last, Result)
    assert (last.code, last.text) == (4, "limit")
    assert peer.asked() == 1
    assert peer.waits()


@pytest.mark.parametrize(("code", "word"), [(51, "busy"), (52, "unavailable")])
def test_a_server_that_is_away_is_unreachable(
    pair: tuple[Session, Peer], code: int, word: str
) -> None:
    session, peer = pair
    peer.say(entry(1, {"uid": [b"a"]}), end(1, code))
    reading = stream(session)
    assert isinstance(next(reading), RawEntry)
    with pytest.raises(Unreachable) as caught:
        list(reading)
    assert caught.value.code == word


Ruin = Callable[[Peer], None]
RUINS: dict[str, tuple[Ruin, str]] = {
    "closed": (lambda peer: peer.hang_up(), "closed"),
    "notice": (lambda peer: peer.say(NOTICE), "unavailable"),
    "garbage": (lambda peer: peer.say(b"HTTP/1.1 200 OK"), "protocol"),
    "another id": (lambda peer: peer.say(entry(9, {"uid": [b"x"]})), "protocol"),
    "another kind": (lambda peer: peer.say(result(1, 0x61, 0)), "protocol"),
    "a broken entry": (
        lambda peer: peer.say(ldap_messages.message(1, b"\x64\x02\x04\x09")),
        "protocol",
    ),
    "a message cut short": (
        lambda peer: (peer.say(entry(1, {"uid": [b"x"]})[:-3]), peer.hang_up())[0],
        "closed",
    ),
    "too long a message": (lambda peer: peer.say(b"\x30\x84\x7f" * 2), "protocol"),
}


@pytest.mark.parametrize(("ruin", "word"), RUINS.values(), ids=RUINS.keys())
def test_a_stream_that_breaks_is_unreachable_after_what_came(
    pair: tuple[Session, Peer], ruin: Ruin, word: str
) -> None:
    session, peer = pair
    peer.say(entry(1, {"uid": [b"a"]}))
    reading = stream(session)
    assert isinstance(next(reading), RawEntry)
    ruin(peer)
    with pytest.raises(Unreachable) as caught:
        list(reading)
    assert caught.value.code == word
    assert not session.idle()


def test_a_notice_after_the_end_does_not_undo_the_read(
    pair: tuple[Session, Peer],
) -> None:
    session, peer = pair
    peer.say(page(1, "ab"), NOTICE)
    *found, last = stream(session)
    assert names(found) == "ab"
    assert isinstance(last, Result)
    assert not session.idle()


def test_referrals_are_left_out_and_never_followed(pair: tuple[Session, Peer]) -> None:
    session, peer = pair
    url = ber.text("ldap://elsewhere.example.com/dc=y")
    peer.say(
        ldap_messages.message(1, ber.tlv(ldap_messages.SEARCH_REFERENCE, url)),
        page(1, "a"),
    )
    assert names(list(stream(session))) == "a"
    assert peer.asked() == 1
    assert peer.waits()


def test_what_is_known_is_not_decoded(pair: tuple[Session, Peer]) -> None:
    session, peer = pair
    peer.say(page(1, "ab"))
    first, second, _ = stream(session)
    assert isinstance(first, RawEntry)
    assert isinstance(second, RawEntry)
    assert len({first.digest, second.digest, b""}) == 3
    peer.say(page(2, "ab"))
    known, decoded, last = stream(session, known={first.digest})
    assert known == first.digest
    assert decoded == second
    assert isinstance(last, Result)


def test_a_digest_holds_for_its_attributes_only(pair: tuple[Session, Peer]) -> None:
    session, peer = pair
    peer.say(page(1, "a"), page(2, "a"), page(3, "a"))
    soon = Deadline.after(SOON)
    digests = [
        session.search(
            Query(base="dc=x", filter="(uid=*)", attributes=attributes), soon
        )
        .entries[0]
        .digest
        for attributes in (("uid", "cn"), ("CN", "UID"), ("uid",))
    ]
    assert digests[0] == digests[1] != digests[2]


def test_an_entry_in_slices_has_no_digest(pair: tuple[Session, Peer]) -> None:
    session, peer = pair
    peer.say(entry(1, {"Member;Range=0-1": [b"a", b"b"]}), page(1, "a"))
    sliced, whole, _ = stream(session)
    assert isinstance(sliced, RawEntry)
    assert isinstance(whole, RawEntry)
    assert (sliced.digest, bool(whole.digest)) == (b"", True)


def test_a_search_gives_controls_and_infos(pair: tuple[Session, Peer]) -> None:
    session, peer = pair
    info = ber.tlv(0x80, ldap_controls.SYNC_INFO_OID.encode()) + ber.tlv(0x81, b"i")
    controls = ldap_controls.encode([Control("1.2.3", value=b"v")])
    body = ber.enumerated(0) + ber.octets(b"") * 2
    peer.say(
        ldap_messages.message(1, ber.tlv(ldap_messages.INTERMEDIATE, info)),
        ldap_messages.message(1, ber.tlv(DONE, body), controls),
    )
    answer = session.search(EVERYBODY, Deadline.after(SOON))
    assert (answer.good, answer.infos, answer.controls) == (
        True,
        (b"i",),
        {"1.2.3": b"v"},
    )


def test_no_request_is_made_of_a_bad_filter(pair: tuple[Session, Peer]) -> None:
    session, peer = pair
    with pytest.raises(Unsupported) as caught:
        session.search(Query(base="", filter="(uid"), Deadline.after(SOON))
    assert caught.value.code == "bad-request"
    assert peer.waits()


def slices(number: int, change: int, name: str, *values: bytes) -> bytes:
    found = {name: values, "uSNChanged": [str(change).encode()]}
    return entry(number, found) + result(number, DONE, 0)


SLICED = RawEntry("cn=x", {"cn": (b"x",), "member": (), "member;range=0-0": (b"a",)})


def test_slices_of_one_state_are_joined(pair: tuple[Session, Peer]) -> None:
    session, peer = pair
    peer.say(
        slices(1, 7, "member;range=0-1", b"a", b"b"),
        slices(2, 7, "member;range=2-*", b"c"),
    )
    whole = with_whole(session, SLICED)
    assert whole.attributes == {"cn": (b"x",), "member": (b"a", b"b", b"c")}
    assert not whole.digest


def test_slices_of_two_states_are_read_again(pair: tuple[Session, Peer]) -> None:
    session, peer = pair
    peer.say(
        slices(1, 7, "member;range=0-1", b"a", b"b"),
        slices(2, 8, "member;range=2-*", b"d"),
        slices(3, 8, "member;range=0-1", b"b", b"c"),
        slices(4, 8, "member;range=2-*", b"d"),
    )
    assert with_whole(session, SLICED).attributes["member"] == (b"b", b"c", b"d")


def test_values_that_went_meanwhile_are_read_again(pair: tuple[Session, Peer]) -> None:
    session, peer = pair
    peer.say(
        slices(1, 7, "member;range=0-1", b"a", b"b"),
        entry(2, {"uSNChanged": [b"7"]}) + result(2, DONE, 0),
        entry(3, {"uSNChanged": [b"7"]}) + result(3, DONE, 0),
    )
    assert with_whole(session, SLICED).attributes["member"] == ()


def test_an_entry_that_goes_on_changing_is_given_up(pair: tuple[Session, Peer]) -> None:
    session, peer = pair
    for number in range(1, 7, 2):
        peer.say(
            slices(number, number, "member;range=0-0", b"a"),
            slices(number + 1, number + 1, "member;range=1-*", b"b"),
        )
    with pytest.raises(Unreachable) as caught:
        with_whole(session, SLICED)
    assert caught.value.code == "range"
    assert "cn=x" in caught.value.detail
