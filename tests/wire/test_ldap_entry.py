"""Streams cut into messages, and entries decoded, whatever comes."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dirbridge.errors import RemoteProtocolError
from dirbridge.protocols import ber, ldap_controls, ldap_messages
from dirbridge.protocols.ldap_controls import Control
from dirbridge.protocols.ldap_entry import MAX_DN, EntryDecoder, Frames
from tests.ldap_responder import entry, result
from tests.wire.feeding import Cut, each_cut

fuzz = pytest.mark.fuzz

ENTRY = entry(5, {"objectSid": [b"x" * 28], "mail": [b"a", b"b"], "cn": [b"y" * 200]})
STREAM = [ENTRY, result(5, 0x65, 0, "done"), entry(6, {"jpegPhoto": [bytes(70000)]})]


@each_cut
def test_a_stream_is_cut_into_its_messages(cut: Cut) -> None:
    frames = Frames()
    seen = []
    for piece in cut(b"".join(STREAM)):
        frames.receive_data(piece)
        seen += frames.messages()
    assert seen == STREAM
    assert not frames.pending


def test_a_tail_waits_for_its_end() -> None:
    frames = Frames()
    frames.receive_data(ENTRY + ENTRY[:9])
    assert frames.messages() == [ENTRY]
    assert frames.messages() == []
    assert frames.pending
    frames.receive_data(ENTRY[9:])
    assert frames.messages() == [ENTRY]


@pytest.mark.parametrize(
    "tail", [b"HTTP/1.1", b"\x30\x80", b"\x30\x85" + bytes(5), b"\x30\x84\x7f" * 3]
)
def test_garbage_after_messages_is_told_after_them(tail: bytes) -> None:
    frames = Frames()
    frames.receive_data(ENTRY + tail)
    assert frames.messages() == [ENTRY]
    with pytest.raises(RemoteProtocolError):
        frames.messages()


def test_a_message_above_the_limit_is_refused_by_its_header() -> None:
    frames = Frames(limit=1000)
    frames.receive_data(b"\x30\x82\x03\xf0")
    with pytest.raises(RemoteProtocolError):
        frames.messages()


def test_a_long_message_in_small_pieces_takes_no_quadratic_time() -> None:
    message = entry(1, {"member": [bytes(1000)] * 20000})
    frames = Frames()
    joined = 0
    for at in range(0, len(message), 1000):
        frames.receive_data(message[at : at + 1000])
        joined += len(frames._parts) == 1
        frames.messages()
    assert joined < 10


def test_an_entry_is_decoded() -> None:
    raw = EntryDecoder().decode(ENTRY)
    assert raw.dn == "cn=somebody"
    assert raw.attributes == {
        "objectsid": (b"x" * 28,),
        "mail": (b"a", b"b"),
        "cn": (b"y" * 200,),
    }
    assert raw.controls == {}
    assert "objectsid" not in repr(raw)


def test_long_lengths_may_have_leading_zeros_as_windows_writes_them() -> None:
    def wide(tag: int, content: bytes) -> bytes:
        return bytes((tag, 0x84)) + len(content).to_bytes(4, "big") + content

    mail = wide(0x30, ber.text("mail") + wide(0x31, ber.octets(b"a@b")))
    body = wide(0x64, ber.text("CN=x") + wide(0x30, mail))
    decoder = EntryDecoder()
    for _ in range(2):
        raw = decoder.decode(wide(0x30, ber.integer(2) + body))
        assert (raw.dn, raw.attributes) == ("CN=x", {"mail": (b"a@b",)})


def test_a_cleared_attribute_has_no_values_also_as_the_last() -> None:
    """DirSync tells a cleared attribute by an empty set of values."""
    decoder = EntryDecoder()
    decoder.decode(entry(1, {"mail": [b"a"]}))
    for values in ({"mail": []}, {"mail": [], "cn": [b"x"]}, {"cn": [], "mail": []}):
        found = decoder.decode(entry(1, values)).attributes
        assert found == {name: tuple(each) for name, each in values.items()}


def test_a_value_of_129_octets_is_no_short_one() -> None:
    # 04 81 81 ...: read as a short length, the second octet would end it as well.
    for size in range(120, 140):
        raw = EntryDecoder().decode(entry(1, {"cn": [b"z" * size]}))
        assert raw.attributes["cn"] == (b"z" * size,)


def attribute(name: str, *values: bytes) -> bytes:
    found = ber.tlv(ber.SET, *map(ber.octets, values))
    return ber.sequence(ber.text(name), found)


def test_an_attribute_that_comes_twice_loses_nothing() -> None:
    parts = (
        attribute("mail", b"a"),
        attribute("cn", b"x"),
        attribute("MAIL", b"b", b"c"),
        attribute("mail", b"d"),
        attribute("member;range=0-0", b"m"),
    )
    operation = ber.tlv(0x64, ber.text("cn=x"), ber.sequence(*parts))
    message = ldap_messages.message(1, operation)
    decoder = EntryDecoder()
    for _ in range(2):  # what is known by then takes another way
        raw = decoder.decode(message, digest=b"digest")
        assert raw.attributes == {
            "mail": (b"a", b"b", b"c", b"d"),
            "cn": (b"x",),
            "member;range=0-0": (b"m",),
        }
        assert not raw.digest
        assert ldap_messages.parse_entry(message) == raw.attributes


def test_an_attribute_that_comes_very_often_takes_no_quadratic_time() -> None:
    parts = attribute("mail", b"a") * 100_000
    operation = ber.tlv(0x64, ber.text("cn=x"), ber.sequence(parts))
    begun = time.process_time()
    raw = EntryDecoder().decode(ldap_messages.message(1, operation))
    assert len(raw.attributes["mail"]) == 100_000
    assert time.process_time() - begun < 5


INDEFINITE = b"\x80"


@pytest.mark.parametrize(
    "operation",
    [
        b"\x64" + INDEFINITE + ber.text("cn=x") + ber.sequence() + bytes(2),
        b"\x64\x0a"
        + b"\x04"
        + INDEFINITE
        + b"\x04\x00"
        + bytes(2)
        + b"\x30\x02"
        + bytes(2),
        ber.tlv(0x64, ber.text("cn=x"), b"\x30" + INDEFINITE + bytes(2)),
        ber.tlv(
            0x64,
            ber.text("cn=x"),
            ber.sequence(b"\x30" + INDEFINITE + attribute("cn", b"y")[2:] + bytes(2)),
        ),
    ],
    ids=["entry", "dn", "attributes", "attribute"],
)
def test_a_length_that_is_not_told_is_refused(operation: bytes) -> None:
    """RFC 4511 section 5.1: only the definite form."""
    message = ldap_messages.message(1, operation)
    with pytest.raises(RemoteProtocolError):
        EntryDecoder().decode(message)
    with pytest.raises(RemoteProtocolError):
        ldap_messages.parse_entry(message)
    with pytest.raises(RemoteProtocolError):
        ber.header(b"\x30" + INDEFINITE, 0)


def test_an_entrys_controls_are_read() -> None:
    controls = ldap_controls.encode([Control("1.2.3", value=b"v")])
    operation = ber.tlv(0x64, ber.text("cn=x"), ber.sequence())
    raw = EntryDecoder().decode(ldap_messages.message(1, operation, controls))
    assert (raw.attributes, raw.controls) == ({}, {"1.2.3": b"v"})


def test_a_dn_beyond_all_measure_is_refused() -> None:
    operation = ber.tlv(0x64, ber.text("x" * (MAX_DN + 1)), ber.sequence())
    with pytest.raises(RemoteProtocolError):
        EntryDecoder().decode(ldap_messages.message(1, operation))


def test_names_are_not_remembered_without_end() -> None:
    decoder = EntryDecoder()
    for number in range(20_000):
        decoder.decode(entry(1, {f"name{number}": [b"v"]}))
    assert len(decoder._names) <= 4096
    assert len(decoder._heads) <= 16384
    decoder = EntryDecoder()
    for size in range(128, 5000):
        decoder.decode(entry(1, {"photo": [bytes(size)]}))
    assert len(decoder._heads) < 50


@given(
    st.dictionaries(
        st.from_regex(r"[a-z]{1,9}", fullmatch=True),
        st.lists(st.binary(max_size=200), max_size=3),
        max_size=4,
    )
)
def test_an_entry_is_read_back_as_the_slow_decoder_does(
    attributes: dict[str, list[bytes]],
) -> None:
    message = entry(7, attributes)
    decoder = EntryDecoder()
    found = decoder.decode(message).attributes
    assert decoder.decode(message).attributes == found
    assert found == {k: tuple(v) for k, v in attributes.items()}
    assert found == ldap_messages.parse_entry(message)


# It has seen the sample: what is damaged meets the way that is taken for known heads.
LEARNED = EntryDecoder()
LEARNED.decode(ENTRY)


def decoded(message: bytes) -> None:
    """Either both decoders refuse it or they agree."""
    try:
        slow = ldap_messages.parse_entry(message)
    except RemoteProtocolError:
        slow = None
    try:
        fast = LEARNED.decode(message)
    except RemoteProtocolError:
        return
    assert slow is None or fast.attributes == slow


@fuzz
@given(st.binary(max_size=60))
def test_garbage_gives_only_the_remote_error(data: bytes) -> None:
    decoded(data)
    frames = Frames()
    frames.receive_data(data)
    try:
        frames.messages()
    except RemoteProtocolError:
        return


@fuzz
@given(st.binary(min_size=1, max_size=4), st.integers(0, len(ENTRY)))
def test_damage_gives_only_the_remote_error(noise: bytes, at: int) -> None:
    decoded(ENTRY[:at] + noise + ENTRY[at + len(noise) :])


@fuzz
@given(st.integers(0, len(ENTRY)))
def test_a_cut_entry_gives_the_remote_error(at: int) -> None:
    if at < len(ENTRY):
        with pytest.raises(RemoteProtocolError):
            EntryDecoder().decode(ENTRY[:at])
