"""The saslauthd codec, with bytes of a real testsaslauthd."""

from __future__ import annotations

from enum import Enum

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dirbridge.errors import LocalProtocolError, RemoteProtocolError
from dirbridge.protocols.saslauthd import (
    Closed,
    Need,
    No,
    Ok,
    Request,
    ServerConnection,
    whole_request,
)
from tests.wire.feeding import DATA, each_cut, events, pieces

CAPTURED = {
    "saslauthd-testsaslauthd.bin": Request(b"anna", b"secret", b"smtp", b"example.com"),
    "saslauthd-testsaslauthd-utf8.bin": Request(
        "jürgen@example.com".encode(), "pässwört".encode(), b"imap", b""
    ),
    "saslauthd-testsaslauthd-empty.bin": Request(b"", b"", b"imap", b""),
}

each_capture = pytest.mark.parametrize(("name", "request_"), CAPTURED.items())


def request_bytes(*strings: bytes) -> bytes:
    return b"".join(len(s).to_bytes(2, "big") + s for s in strings)


@each_cut
@each_capture
@pytest.mark.parametrize("tail", [b"", b"\x00", b"\xff\xff\xff", b"anna" * 9999])
def test_captured_requests(name, request_, cut, tail):
    codec = ServerConnection()
    seen = []
    for piece in [*cut((DATA / name).read_bytes()), tail or b"x"]:
        codec.receive_data(piece)
        seen += events(codec)
    assert seen == [request_]
    assert codec.send(Ok()) == b"\x00\x02OK"


def test_says_no():
    codec = ServerConnection()
    codec.receive_data(request_bytes(b"anna", b"wrong", b"smtp", b""))
    codec.next_event()
    assert codec.send(No()) == b"\x00\x02NO"


@pytest.mark.parametrize("early", [True, False])
def test_one_reply_for_one_request(early):
    codec = ServerConnection()
    if not early:
        codec.receive_data(request_bytes(b"anna", b"secret", b"smtp", b""))
        codec.next_event()
        codec.send(Ok())
    with pytest.raises(LocalProtocolError):
        codec.send(Ok())


def test_the_end_after_the_request():
    codec = ServerConnection()
    codec.receive_data(request_bytes(b"anna", b"secret", b"smtp", b""))
    codec.receive_data(b"")
    assert isinstance(codec.next_event(), Request)
    assert codec.next_event() == Closed()
    assert codec.send(Ok())
    with pytest.raises(LocalProtocolError):
        codec.receive_data(b"x")


def test_the_end_before_any_request():
    codec = ServerConnection()
    assert codec.next_event() is Need.DATA
    codec.receive_data(b"")
    assert codec.next_event() == Closed()


@each_cut
def test_the_end_inside_a_request(cut):
    whole = request_bytes(b"anna", b"secret", b"smtp", b"realm")
    for length in range(1, len(whole)):
        codec = ServerConnection()
        for piece in cut(whole[:length]):
            codec.receive_data(piece)
            assert codec.next_event() is Need.DATA
        codec.receive_data(b"")
        for _ in range(2):
            with pytest.raises(RemoteProtocolError):
                codec.next_event()


def test_strings_up_to_the_limit():
    codec = ServerConnection(max_string=300)
    codec.receive_data(request_bytes(b"a" * 300, b"p" * 300, b"s" * 300, b"r" * 300))
    assert codec.next_event() == Request(b"a" * 300, b"p" * 300, b"s" * 300, b"r" * 300)


@pytest.mark.parametrize("before", range(4))
def test_a_string_beyond_the_limit_is_refused_at_its_length(before):
    codec = ServerConnection(max_string=300)
    codec.receive_data(request_bytes(*[b"x"] * before) + (301).to_bytes(2, "big"))
    with pytest.raises(RemoteProtocolError):
        codec.next_event()


def test_no_password_in_a_repr():
    assert "secret" not in repr(Request(b"anna", b"secret", b"smtp", b""))


WORDS = [b"\0\4anna", b"\0\1", b"\0\x40", b"\0\x41", b"\0\0", b"\0", b"a" * 60]


@pytest.mark.fuzz
@given(st.binary(min_size=4, max_size=40), st.integers(0, 64))
def test_garbage_gives_only_the_remote_error(spelled, limit):
    assert_harmless(pieces(spelled, WORDS), limit)


def assert_harmless(pieces: list[bytes], limit: int) -> None:
    codec = ServerConnection(max_string=limit)
    try:
        for piece in [*pieces, b""]:
            codec.receive_data(piece)
            assert len(list(events(codec))) <= 2
    except RemoteProtocolError:
        return


@given(*[st.binary(max_size=600)] * 4)
def test_round_trip(login, password, service, realm):
    codec = ServerConnection()
    codec.receive_data(request_bytes(login, password, service, realm))
    assert codec.next_event() == Request(login, password, service, realm)
    assert isinstance(codec.next_event(), Enum)


@given(st.lists(st.binary(max_size=300), min_size=4, max_size=4), st.binary())
def test_a_request_in_one_piece_is_read_at_once(
    strings: list[bytes], rest: bytes
) -> None:
    data = b"".join(len(one).to_bytes(2) + one for one in strings) + rest
    assert whole_request(data) == Request(*strings)


@given(st.binary(max_size=64) | st.lists(st.sampled_from([0, 1, 2, 255])).map(bytes))
def test_what_is_read_at_once_is_what_the_connection_reads(data: bytes) -> None:
    connection = ServerConnection()
    connection.receive_data(data)
    found = whole_request(data)
    try:
        event = connection.next_event()
    except RemoteProtocolError:
        event = Need.DATA
    assert found == (event if isinstance(event, Request) else None)
