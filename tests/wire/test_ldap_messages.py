"""Our own LDAP messages: written as RFC 4511 says, read without trust."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ldap3.protocol.rfc4511 import LDAPMessage
from pyasn1.codec.ber import decoder

from dirbridge.errors import (
    MOST_SAID,
    LocalProtocolError,
    RemoteProtocolError,
    harmless,
)
from dirbridge.protocols import ber
from dirbridge.protocols import ldap_messages as messages
from dirbridge.protocols.ldap_controls import Control
from tests.ldap_responder import entry, result

fuzz = pytest.mark.fuzz

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=300)


@given(number=st.integers(1, 2**31 - 1), name=texts, password=texts.filter(bool))
def test_a_bind_is_what_another_codec_reads(
    number: int, name: str, password: str
) -> None:
    request = messages.bind_request(number, name, password)
    message, rest = decoder.decode(request, asn1Spec=LDAPMessage())
    bind = message["protocolOp"]["bindRequest"]
    assert not rest
    assert int(message["messageID"]) == number
    assert int(bind["version"]) == 3
    assert bytes(bind["name"]) == name.encode()
    assert bytes(bind["authentication"]["simple"]) == password.encode()


def test_a_bind_without_a_password_is_never_written() -> None:
    with pytest.raises(LocalProtocolError):
        messages.bind_request(1, "cn=anybody", "")


def test_start_tls_is_what_another_codec_reads() -> None:
    message, _ = decoder.decode(messages.start_tls_request(7), asn1Spec=LDAPMessage())
    name = message["protocolOp"]["extendedReq"]["requestName"]
    assert bytes(name) == b"1.3.6.1.4.1.1466.20037"


@given(number=st.integers(1, 2**31 - 1), base=texts, names=st.lists(texts, max_size=5))
def test_a_read_is_what_another_codec_reads(
    number: int, base: str, names: list[str]
) -> None:
    request = messages.read_request(number, base, names)
    message, rest = decoder.decode(request, asn1Spec=LDAPMessage())
    search = message["protocolOp"]["searchRequest"]
    assert not rest
    assert int(message["messageID"]) == number
    assert bytes(search["baseObject"]) == base.encode()
    assert int(search["scope"]) == int(search["derefAliases"]) == 0
    assert int(search["sizeLimit"]) == int(search["timeLimit"]) == 0
    assert not bool(search["typesOnly"])
    assert bytes(search["filter"]["present"]) == b"objectClass"
    # Nothing wanted is "1.1": an empty list would mean all attributes.
    wanted = [name.encode() for name in names] or [b"1.1"]
    assert [bytes(name) for name in search["attributes"]] == wanted


@given(
    st.dictionaries(
        st.from_regex(r"[a-z]{1,9}", fullmatch=True),
        st.lists(st.binary(max_size=200), max_size=3),
        max_size=4,
    )
)
def test_an_entry_is_read_back(attributes: dict[str, list[bytes]]) -> None:
    message = entry(7, attributes)
    assert messages.kind_of(message) == (7, messages.SEARCH_ENTRY)
    assert messages.parse_entry(message) == {k: tuple(v) for k, v in attributes.items()}


@fuzz
@given(st.binary(min_size=1, max_size=8), st.integers(0, 60))
def test_a_damaged_entry_gives_the_remote_error_or_an_entry(
    noise: bytes, at: int
) -> None:
    message = bytearray(entry(5, {"objectsid": [b"x" * 28], "mail": [b"a", b"b"]}))
    message[at : at + len(noise)] = noise
    try:
        messages.kind_of(bytes(message))
        messages.parse_entry(bytes(message))
    except RemoteProtocolError:
        return


def test_a_search_with_all_its_parts_is_what_another_codec_reads() -> None:
    control = Control("1.2.3", critical=True, value=b"\x30\x00")
    request = messages.search_request(
        70000, "dc=x", "LEVEL", "(uid=a*)", ("uid",), 20, [control, Control("1.2.4")]
    )
    message, rest = decoder.decode(request, asn1Spec=LDAPMessage())
    search = message["protocolOp"]["searchRequest"]
    assert not rest
    assert (int(search["scope"]), int(search["sizeLimit"])) == (1, 20)
    found = [
        (bytes(c["controlType"]), bool(c["criticality"])) for c in message["controls"]
    ]
    assert found == [(b"1.2.3", True), (b"1.2.4", False)]
    assert bytes(message["controls"][0]["controlValue"]) == b"\x30\x00"
    assert not message["controls"][1]["controlValue"].hasValue()


@pytest.mark.parametrize("credentials", [None, b"", b"\x60\x00token"])
def test_a_sasl_bind_is_what_another_codec_reads(credentials: bytes | None) -> None:
    request = messages.sasl_bind_request(3, "GSS-SPNEGO", credentials)
    message, rest = decoder.decode(request, asn1Spec=LDAPMessage())
    bind = message["protocolOp"]["bindRequest"]
    sasl = bind["authentication"]["sasl"]
    assert not rest
    assert (int(bind["version"]), bytes(bind["name"])) == (3, b"")
    assert bytes(sasl["mechanism"]) == b"GSS-SPNEGO"
    given = sasl["credentials"]
    assert (bytes(given) if given.hasValue() else None) == credentials


def test_a_bind_answer_gives_the_servers_credentials() -> None:
    body = ber.enumerated(14) + ber.octets(b"") * 2 + ber.tlv(0x87, b"token")
    answer = messages.message(2, ber.tlv(messages.BIND_ANSWER, body))
    result_ = messages.parse_result(answer)
    assert (result_.code, result_.server_credentials) == (14, b"token")
    assert "token" not in repr(result_)


def test_an_intermediate_response_is_read() -> None:
    body = ber.tlv(0x80, b"1.2.3") + ber.tlv(0x81, b"value")
    answer = messages.message(2, ber.tlv(messages.INTERMEDIATE, body))
    assert messages.parse_intermediate(answer) == ("1.2.3", b"value")


@given(number=st.integers(0, 2**31 - 1), code=st.integers(0, 4096), text=texts)
def test_a_result_is_read_back(number: int, code: int, text: str) -> None:
    said = harmless(text.rstrip("\0"), MOST_SAID)
    for tag in (0x61, 0x78):
        message = result(number, tag, code, text)
        assert messages.message_size(message) == len(message)
        assert messages.parse_result(message) == messages.Result(
            number, code, said, tag
        )


def test_the_size_is_known_as_soon_as_it_can_be() -> None:
    message = result(1, 0x61, 49, "x" * 300)
    sizes = [messages.message_size(message[:n]) for n in range(len(message))]
    assert sizes[:4] == [None] * 4
    assert set(sizes[4:]) == {len(message)}


def test_a_servers_words_are_one_short_line() -> None:
    said = "data 52e\r\nlogin verdict=accepted rip=::1\x1b[2K\u2028" + "x" * 5000
    text = messages.parse_result(result(1, 0x61, 49, said)).text
    assert text.startswith("data 52e login verdict=accepted rip=::1 [2K x")
    assert len(text) == MOST_SAID


def test_samba_ends_its_text_with_a_nul() -> None:
    assert messages.parse_result(result(1, 0x61, 49, "data 52e\0")).text == "data 52e"


@fuzz
@given(st.binary(max_size=200))
def test_garbage_gives_the_remote_error_or_nothing(data: bytes) -> None:
    for read in (
        messages.message_size,
        messages.parse_result,
        messages.parse_entry,
    ):
        try:
            read(data)
        except RemoteProtocolError:
            continue


@fuzz
@given(st.binary(min_size=1, max_size=8), st.integers(0, 60))
def test_a_damaged_result_gives_the_remote_error_or_a_result(
    noise: bytes, at: int
) -> None:
    message = bytearray(result(5, 0x61, 49, "80090308: data 52e"))
    message[at : at + len(noise)] = noise
    try:
        messages.parse_result(bytes(message))
    except RemoteProtocolError:
        return


def test_a_message_above_the_limit_is_refused() -> None:
    with pytest.raises(RemoteProtocolError):
        messages.message_size(b"\x30\x84\x7f\xff\xff\xff")


def test_another_protocol_is_refused_at_once() -> None:
    with pytest.raises(RemoteProtocolError):
        messages.message_size(b"HTTP/1.1 400 Bad Request")


@pytest.mark.parametrize("tag", [0x61, 0x65, 0x78])
@pytest.mark.parametrize("number", [1, 127, 128, 2**31 - 1])
@pytest.mark.parametrize("padding", [b"", b"\x84\x00\x00\x00"])
def test_the_shortest_answer_is_read_like_all_others(
    tag: int, number: int, padding: bytes
) -> None:
    size = number.bit_length() // 8 + 1
    head = bytes((2, size)) + number.to_bytes(size, "big")
    plain = bytes((tag, 7, 0x0A, 1, 0, 4, 0, 4, 0))
    body = head + plain
    message = b"0" + padding + bytes((len(body),)) + body
    assert messages.parse_result(message) == messages.Result(number, 0, "", tag)
    # The same in Samba's longer way to write a length.
    body = head + bytes((tag, 0x84, 0, 0, 0, 7)) + plain[2:]
    message = b"0" + padding + bytes((len(body),)) + body
    assert messages.parse_result(message) == messages.Result(number, 0, "", tag)
