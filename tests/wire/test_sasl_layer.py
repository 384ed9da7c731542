"""Sealed streams cut into tokens, whatever comes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dirbridge.errors import LocalProtocolError, RemoteProtocolError
from dirbridge.protocols.sasl_layer import MAX_TOKEN, Frames, frame
from tests.wire.feeding import Cut, each_cut

fuzz = pytest.mark.fuzz

TOKENS = [b"\x60\x28", b"x", b"\0" * 5, bytes(range(256)) * 40]
STREAM = b"".join(map(frame, TOKENS))


def taken(frames: Frames) -> list[bytes]:
    found = []
    while (token := frames.take()) is not None:
        found.append(token)
    return found


@each_cut
def test_a_stream_is_cut_into_its_tokens(cut: Cut) -> None:
    frames, seen = Frames(), []
    for piece in cut(STREAM):
        frames.receive_data(piece)
        seen += taken(frames)
    assert seen == TOKENS
    assert not frames


def test_a_token_waits_for_its_end() -> None:
    frames = Frames()
    assert frames.missing() == 4
    frames.receive_data(frame(b"whole") + frame(b"halved")[:7])
    assert taken(frames) == [b"whole"]
    assert frames.missing() == 3
    assert frames
    frames.receive_data(b"ved")
    assert taken(frames) == [b"halved"]


@pytest.mark.parametrize(
    "length",
    [b"\0\0\0\0", b"\x01\0\0\0", b"\xff\xff\xff\xff", b"HTTP", b"\x30\x0c\2\1"],
)
def test_a_length_that_is_nonsense_is_told_by_its_four_octets(length: bytes) -> None:
    frames = Frames()
    frames.receive_data(length)
    with pytest.raises(RemoteProtocolError):
        frames.missing()
    with pytest.raises(RemoteProtocolError):
        frames.take()


def test_what_we_send_has_the_same_bounds() -> None:
    assert frame(b"ab") == b"\0\0\0\2ab"
    for token in (b"", bytes(MAX_TOKEN + 1)):
        with pytest.raises(LocalProtocolError):
            frame(token)


@fuzz
@given(st.binary(max_size=40))
def test_any_octets_give_tokens_or_one_error(data: bytes) -> None:
    """However it is cut, the same tokens come, and nothing but our own error."""

    def cut_up(size: int) -> tuple[list[bytes], bool]:
        frames, seen = Frames(limit=16), []
        try:
            for at in range(0, len(data), size):
                frames.receive_data(data[at : at + size])
                seen += taken(frames)
        except RemoteProtocolError:
            return seen, True
        return seen, False

    pieces, failed = cut_up(7)
    assert (pieces, failed) == cut_up(1)
    assert all(1 <= len(token) <= 16 for token in pieces)
    assert data.startswith(b"".join(map(frame, pieces)))


@given(st.lists(st.binary(min_size=1, max_size=9), max_size=5), st.integers(1, 9))
def test_what_was_framed_comes_back(tokens: list[bytes], step: int) -> None:
    frames, seen = Frames(), []
    stream = b"".join(map(frame, tokens))
    for at in range(0, len(stream), step):
        frames.receive_data(stream[at : at + step])
        seen += taken(frames)
    assert seen == tokens
