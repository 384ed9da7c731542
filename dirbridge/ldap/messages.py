"""The few LDAP messages that we write ourselves: bind, StartTLS, read one entry.

Binds go around ldap3 for three reasons: it runs passwords through SASLprep, which
changes some; it keeps the password in its objects; and it is four times slower.
Nothing here does I/O: requests become bytes, bytes become a `Result` or raise
`RemoteProtocolError`. BER as RFC 4511 section 5.1 restricts it: definite lengths.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from dirbridge.errors import LocalProtocolError, RemoteProtocolError

START_TLS = "1.3.6.1.4.1.1466.20037"
"""RFC 4511 section 4.14.1."""

MAX_MESSAGE = 256 * 1024
"""Longest answer to a bind that we take; real ones have a few hundred octets."""

BIND_ANSWER, EXTENDED_ANSWER = 0x61, 0x78
SEARCH_ENTRY, SEARCH_DONE, SEARCH_REFERENCE = 0x64, 0x65, 0x73

_SEQUENCE, _SET, _INTEGER, _OCTETS = 0x30, 0x31, 0x02, 0x04
_ENUMERATED, _BIND, _SEARCH, _EXTENDED = 0x0A, 0x60, 0x63, 0x77
_CONTEXT_0, _PRESENT = 0x80, 0x87
_VERSION = b"\x02\x01\x03"
# Base object, aliases not followed, no limits, values too (RFC 4511 section 4.5.1).
_ONE_ENTRY = b"\x0a\x01\x00\x0a\x01\x00\x02\x01\x00\x02\x01\x00\x01\x01\x00"
_LONG_FORM = 0x80
_MAX_LENGTH_OCTETS = 4
_MAX_ID_OCTETS = 4


@dataclass(frozen=True, slots=True)
class Result:
    """The result of an operation (RFC 4511 section 4.1.9).

    Attributes:
        message_id: 0 for an unsolicited notification, such as the server's notice
            that it ends the connection (section 4.4.1).
        code: The result code.
        text: The server's diagnostic text.
        tag: Which kind of answer it is (section 4.2.2 and others).
    """

    message_id: int
    code: int
    text: str
    tag: int = BIND_ANSWER


Entry = Mapping[str, tuple[bytes, ...]]
"""Values by lower-case attribute name."""


@dataclass(frozen=True, slots=True)
class Reading:
    """How the read of one entry ended; None where none came."""

    result: Result
    entry: Entry | None


def bind_request(message_id: int, name: str, password: str) -> bytes:
    """Write a simple bind (RFC 4511 section 4.2).

    Raises:
        LocalProtocolError: The password is empty: such a bind would succeed as
            anonymous (RFC 4513 section 5.1.2).
    """
    if not password:
        raise LocalProtocolError("a simple bind needs a password")
    body = (
        _VERSION
        + _tlv(_OCTETS, name.encode("utf-8", "surrogatepass"))
        + _tlv(_CONTEXT_0, password.encode("utf-8", "surrogatepass"))
    )
    return _message(message_id, _tlv(_BIND, body))


def start_tls_request(message_id: int) -> bytes:
    """Write the extended request that starts TLS."""
    name = _tlv(_CONTEXT_0, START_TLS.encode())
    return _message(message_id, _tlv(_EXTENDED, name))


def read_request(message_id: int, base: str, attributes: Sequence[str]) -> bytes:
    """Write a search for the one entry `base`, "" for the rootDSE."""
    wanted = b"".join(_tlv(_OCTETS, name.encode()) for name in attributes)
    body = (
        _tlv(_OCTETS, base.encode("utf-8", "surrogatepass"))
        + _ONE_ENTRY
        + _tlv(_PRESENT, b"objectClass")
        + _tlv(_SEQUENCE, wanted)
    )
    return _message(message_id, _tlv(_SEARCH, body))


def message_size(data: bytes) -> int | None:
    """Say how long the message is whose first octets these are.

    Returns:
        The size in octets with its header, None where more octets are needed.

    Raises:
        RemoteProtocolError: This is no LDAP message, or one above `MAX_MESSAGE`.
    """
    if data and data[0] != _SEQUENCE:
        raise RemoteProtocolError("the peer does not speak LDAP")
    header = _header(data, 0)
    if header is None:
        return None
    size = header.end
    if size > MAX_MESSAGE:
        raise RemoteProtocolError(f"a message of {size} octets")
    return size


def kind_of(message: bytes) -> tuple[int, int]:
    """Return a message's id and the tag of its operation.

    Raises:
        RemoteProtocolError: It is no message.
    """
    message_id, operation = _opened(message)
    return message_id, operation[0] if operation else 0


def parse_result(message: bytes) -> Result:
    """Read the answer that ends one of our requests.

    Raises:
        RemoteProtocolError: It is something else.
    """
    message_id, operation = _opened(message)
    tag = operation[0] if operation else 0
    if tag not in (BIND_ANSWER, EXTENDED_ANSWER, SEARCH_DONE):
        raise RemoteProtocolError(f"an answer of kind {tag:#04x} that nobody asked for")
    body, _controls = _take(operation, tag)
    code, body = _take(body, _ENUMERATED)
    _matched, body = _take(body, _OCTETS)
    text, _ = _take(body, _OCTETS)
    if not 1 <= len(code) <= _MAX_ID_OCTETS:
        raise RemoteProtocolError("a broken result code")
    # Samba and Windows end their texts with a NUL.
    return Result(
        message_id,
        int.from_bytes(code, "big", signed=True),
        text.decode("utf-8", "replace").rstrip("\0"),
        tag,
    )


def parse_entry(message: bytes) -> Entry:
    """Read an entry that a search found (RFC 4511 section 4.5.2).

    Raises:
        RemoteProtocolError: It is something else.
    """
    _, operation = _opened(message)
    body, _controls = _take(operation, SEARCH_ENTRY)
    _name, body = _take(body, _OCTETS)
    attributes, _ = _take(body, _SEQUENCE)
    entry = {}
    for attribute in _each(attributes, _SEQUENCE):
        name, values = _take(attribute, _OCTETS)
        found, _ = _take(values, _SET)
        entry[name.decode("utf-8", "replace").lower()] = tuple(_each(found, _OCTETS))
    return entry


def _opened(message: bytes) -> tuple[int, bytes]:
    outer, rest = _take(message, _SEQUENCE)
    if rest:
        raise RemoteProtocolError("octets after the message")
    message_id, operation = _take(outer, _INTEGER)
    if not 1 <= len(message_id) <= _MAX_ID_OCTETS:
        raise RemoteProtocolError("a broken message id")
    return int.from_bytes(message_id, "big", signed=True), operation


def _each(data: bytes, tag: int) -> Iterator[bytes]:
    while data:
        value, data = _take(data, tag)
        yield value


class _Header(NamedTuple):
    start: int
    end: int


def _header(data: bytes, at: int) -> _Header | None:
    """Where the value that begins at `at` has its content; None: too few octets."""
    if len(data) < at + 2:
        return None
    first = data[at + 1]
    if first < _LONG_FORM:
        return _Header(at + 2, at + 2 + first)
    count = first - _LONG_FORM
    if not 1 <= count <= _MAX_LENGTH_OCTETS:
        raise RemoteProtocolError("a broken length")
    if len(data) < at + 2 + count:
        return None
    length = int.from_bytes(data[at + 2 : at + 2 + count], "big")
    return _Header(at + 2 + count, at + 2 + count + length)


def _take(data: bytes, tag: int) -> tuple[bytes, bytes]:
    """Split one value with this tag off; return its content and the rest."""
    header = _header(data, 0)
    if header is None or data[0] != tag or header.end > len(data):
        raise RemoteProtocolError(f"no value {tag:#04x} where one belongs")
    return data[header.start : header.end], data[header.end :]


def _message(message_id: int, operation: bytes) -> bytes:
    return _tlv(_SEQUENCE, _integer(message_id) + operation)


def _integer(value: int) -> bytes:
    return _tlv(_INTEGER, value.to_bytes(value.bit_length() // 8 + 1, "big"))


def _tlv(tag: int, content: bytes) -> bytes:
    size = len(content)
    if size < _LONG_FORM:
        return bytes((tag, size)) + content
    octets = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((tag, _LONG_FORM | len(octets))) + octets + content
