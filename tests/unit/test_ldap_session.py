"""Searches on a connection whose other end says what a test wants."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from itertools import count

import pytest

from dirbridge.config.settings import Security
from dirbridge.connectors.changes import read_keys
from dirbridge.connectors.reading import Reading
from dirbridge.errors import Unreachable, Unsupported
from dirbridge.ldap.access import Access, Endpoint
from dirbridge.ldap.progress import LEAST_OCTETS, MOST_EMPTY, WAITS, Progress
from dirbridge.ldap.ranges import with_whole
from dirbridge.ldap.session import Query, RawEntry, Session
from dirbridge.ldap.transport import Transport
from dirbridge.model.deadline import Deadline
from dirbridge.model.entry import Entry
from dirbridge.model.names import DirectoryId
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

    def answer(self, answers: Iterable[bytes]) -> None:
        """Say each when the next search has been asked, meanwhile."""

        def run() -> None:
            # Whoever has enough goes, and this ends with it.
            with contextlib.suppress(OSError, StopIteration):
                for each in answers:
                    self.asked()
                    self.say(each)

        threading.Thread(target=run, daemon=True).start()

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


def bare_end(number: int) -> bytes:
    """The good end of an answer without pages."""
    return result(number, DONE, 0)


def referral(number: int) -> bytes:
    url = ber.text("ldap://elsewhere.example.com/dc=y")
    return ldap_messages.message(number, ber.tlv(ldap_messages.SEARCH_REFERENCE, url))


def names(items: list[RawEntry | bytes | Result]) -> str:
    found = [item for item in items if isinstance(item, RawEntry)]
    return "".join(item.attributes["uid"][0].decode() for item in found)


def stream(session: Session, **changes: object) -> Iterator[RawEntry | bytes | Result]:
    return session.stream(EVERYBODY, page=2, **changes)


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


def test_a_page_after_the_first_must_say_whether_it_is_the_last(
    pair: tuple[Session, Peer],
) -> None:
    session, peer = pair
    peer.answer([page(1, "ab", b"more"), entry(2, {"uid": [b"c"]}) + bare_end(2)])
    reading = stream(session)
    assert names([next(reading), next(reading)]) == "ab"
    with pytest.raises(Unreachable) as caught:
        list(reading)
    assert caught.value.code == "protocol"
    assert "the last" in caught.value.detail
    assert not session.idle()


@pytest.mark.parametrize("knows", [False, True])
def test_who_knows_no_pages_gives_everything_at_once(
    pair: tuple[Session, Peer], knows: bool
) -> None:
    session, peer = pair
    session.learn([ldap_controls.PAGED_RESULTS] if knows else [])
    peer.say(entry(1, {"uid": [b"a"]}), bare_end(1))
    if knows:
        with pytest.raises(Unreachable) as caught:
            list(stream(session))
        assert caught.value.code == "protocol"
    else:
        *found, last = stream(session)
        assert (names(found), isinstance(last, Result)) == ("a", True)


def test_a_search_that_asked_for_a_page_is_told_whether_it_is_the_last(
    pair: tuple[Session, Peer],
) -> None:
    session, peer = pair
    soon = Deadline.after(SOON)
    peer.say(bare_end(1), bare_end(2))
    assert session.search(EVERYBODY, soon, page=2).good
    with pytest.raises(Unreachable) as caught:
        session.search(EVERYBODY, soon, page=2, cookie=b"more")
    assert caught.value.code == "protocol"


def test_a_page_that_ends_badly_needs_no_word_on_the_next(
    pair: tuple[Session, Peer],
) -> None:
    session, peer = pair
    session.learn([ldap_controls.PAGED_RESULTS])
    peer.say(result(1, DONE, 4))
    (last,) = stream(session)
    assert isinstance(last, Result)
    assert last.code == 4


def test_a_few_pages_without_an_entry_are_no_harm(pair: tuple[Session, Peer]) -> None:
    session, peer = pair
    empty = (page(number, "", b"c") for number in range(2, MOST_EMPTY + 2))
    peer.answer([page(1, "a", b"c"), *empty, page(MOST_EMPTY + 2, "b")])
    assert names(list(stream(session))) == "ab"


@pytest.mark.parametrize("filled", [False, True], ids=["empty", "referrals"])
def test_pages_without_entries_have_an_end(
    pair: tuple[Session, Peer], filled: bool
) -> None:
    session, peer = pair
    peer.answer(
        (referral(number) if filled else b"") + end(number, 0, b"c")
        for number in count(1)
    )
    with pytest.raises(Unreachable) as caught:
        next(stream(session))
    assert caught.value.code == "protocol"
    assert "without an entry" in caught.value.detail


def test_no_first_entry_in_time_is_a_timeout(pair: tuple[Session, Peer]) -> None:
    session, peer = pair
    peer.answer(end(number, 0, b"c") for number in range(1, 4))
    begun = time.monotonic()
    with pytest.raises(Unreachable) as caught:
        next(stream(session, first=Deadline.after(0.2)))
    assert caught.value.code == "timeout"
    assert time.monotonic() - begun < SOON / 2


def test_only_the_first_entry_must_come_so_soon(pair: tuple[Session, Peer]) -> None:
    session, peer = pair
    peer.say(entry(1, {"uid": [b"a"]}))
    reading = stream(session, first=Deadline.after(0.2))
    found = [next(reading)]
    time.sleep(0.3)
    peer.say(page(1, "b"))
    assert names(found + list(reading)) == "ab"


def test_a_page_must_come_on() -> None:
    progress = Progress(1.0)
    for _ in range(WAITS):
        progress.came(50, 0.99, entries=True)
    with pytest.raises(TimeoutError):
        progress.came(50, 0.99, entries=True)


def test_a_large_page_may_take_its_time() -> None:
    progress = Progress(1.0)
    for _ in range(100 * WAITS):
        progress.came(LEAST_OCTETS, 0.99, entries=True)


def test_a_page_that_drips_is_given_up(
    pair: tuple[Session, Peer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dirbridge.ldap.progress.WAITS", 0)
    session, peer = pair
    drip = threading.Timer(0.2, peer.say, [entry(1, {"uid": [b"a"]})])
    drip.start()
    with pytest.raises(Unreachable) as caught:
        list(stream(session))
    drip.join()
    assert caught.value.code == "timeout"
    assert "slowly" in caught.value.detail


def test_referrals_are_left_out_and_never_followed(pair: tuple[Session, Peer]) -> None:
    session, peer = pair
    peer.say(referral(1), page(1, "a"))
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


def test_a_read_of_the_same_entries_for_ever_has_an_end(
    pair: tuple[Session, Peer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dirbridge.connectors.reading.MOST_FAULTY", 10)
    session, peer = pair
    peer.answer(page(number, "a", b"c") for number in count(1))
    reading = Reading(
        session,
        EVERYBODY,
        entry=lambda raw: Entry(DirectoryId("same"), raw.dn, raw.attributes),
        beside=lambda: session,
    )
    assert len(list(reading.items())) == 1
    end = reading.finished("dc=x")
    assert not end.complete
    assert "the same id" in end.why


def test_keys_in_empty_pages_are_given_up(pair: tuple[Session, Peer]) -> None:
    session, peer = pair
    peer.answer(end(number, 0, b"c") for number in count(1))
    assert read_keys(session, EVERYBODY, SOON) is None


def test_an_entrys_name_in_a_fault_is_one_line(pair: tuple[Session, Peer]) -> None:
    session, peer = pair
    peer.say(page(1, "a"))
    reading = Reading(
        session,
        EVERYBODY,
        entry=lambda raw: Entry(DirectoryId(""), "cn=x\nlogin", raw.attributes),
        beside=lambda: session,
    )
    assert list(reading.items()) == []
    assert reading.finished("dc=x").why == "cn=x login has no readable id"
