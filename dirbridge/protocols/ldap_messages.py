"""LDAP messages (RFC 4511) that dirbridge writes and reads.

They go around ldap3 for four reasons: it runs passwords through SASLprep, which
changes some; it keeps the password in its objects; it is slower by a factor, at
binds and at entries; and its decoder was not made for servers that send nonsense.
Nothing here does I/O: requests become bytes, bytes become values or raise
`RemoteProtocolError`. Many entries are read by `ldap_entry`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Literal

from dirbridge.errors import (
    MOST_SAID,
    LocalProtocolError,
    RemoteProtocolError,
    harmless,
)
from dirbridge.protocols import ber, ldap_controls, ldap_filter
from dirbridge.protocols.ldap_controls import Control

START_TLS = "1.3.6.1.4.1.1466.20037"
"""RFC 4511 section 4.14.1."""

NO_ATTRIBUTES = "1.1"
"""Asks for entries without attributes (RFC 4511 section 4.5.1.8)."""

ANY = "(objectClass=*)"

MAX_MESSAGE = 256 * 1024
"""Longest answer to a bind that we take; real ones have a few hundred octets."""

BIND_ANSWER, EXTENDED_ANSWER, INTERMEDIATE = 0x61, 0x78, 0x79
SEARCH_ENTRY, SEARCH_DONE, SEARCH_REFERENCE = 0x64, 0x65, 0x73

# Nearly every answer that ends a request: a code of 0, no matched DN, no text.
_PLAIN_SUCCESS: Mapping[bytes, int] = {
    bytes((tag, 7, 0x0A, 1, 0, 4, 0, 4, 0)): tag
    for tag in (BIND_ANSWER, EXTENDED_ANSWER, SEARCH_DONE)
}

Scope = Literal["BASE", "LEVEL", "SUBTREE"]

_BIND, _SEARCH, _EXTENDED = 0x60, 0x63, 0x77
_SIMPLE, _SASL = 0x80, 0xA3
_REQUEST_NAME, _REQUEST_VALUE = 0x80, 0x81
_RESPONSE_NAME, _RESPONSE_VALUE = 0x80, 0x81
_REFERRAL, _SERVER_CREDENTIALS = 0xA3, 0x87
_VERSION = ber.integer(3)
_ID_AT, _LONGEST_ID = 4, 4
"""Octets of a message's number (RFC 4511 section 4.1.1: up to 2147483647)."""
_SCOPES: Mapping[Scope, int] = {"BASE": 0, "LEVEL": 1, "SUBTREE": 2}
_NEVER_FOLLOW_ALIASES = ber.enumerated(0)
_NO_TIME_LIMIT = ber.integer(0)
_VALUES_TOO = ber.boolean(False)
_ANY_ENCODED = ldap_filter.encode(ANY)


@dataclass(frozen=True, slots=True)
class Result:
    """The result of an operation (RFC 4511 section 4.1.9).

    Attributes:
        message_id: 0 for an unsolicited notification, such as the server's notice
            that it ends the connection (section 4.4.1).
        code: The result code.
        text: The server's diagnostic text, one short line of it.
        tag: Which kind of answer it is (section 4.2.2 and others).
        controls: Values of the controls that came with it, by OID.
        server_credentials: The server's part of a SASL bind, None where none came.
    """

    message_id: int
    code: int
    text: str
    tag: int = BIND_ANSWER
    controls: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    server_credentials: bytes | None = field(default=None, repr=False)


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
    secret = ber.tlv(_SIMPLE, password.encode("utf-8", "surrogatepass"))
    return message(message_id, ber.tlv(_BIND, _VERSION, ber.text(name), secret))


def sasl_bind_request(
    message_id: int, mechanism: str, credentials: bytes | None
) -> bytes:
    """Write one leg of a SASL bind (RFC 4511 section 4.2).

    Args:
        message_id: The request's number.
        mechanism: Such as `GSS-SPNEGO` or `EXTERNAL`.
        credentials: Our part of this leg; None for none, which is not the same as
            an empty one.
    """
    given = b"" if credentials is None else ber.octets(credentials)
    sasl = ber.tlv(_SASL, ber.text(mechanism), given)
    return message(message_id, ber.tlv(_BIND, _VERSION, ber.octets(b""), sasl))


def extended_request(message_id: int, oid: str, value: bytes | None = None) -> bytes:
    """Write an extended request (RFC 4511 section 4.12)."""
    name = ber.tlv(_REQUEST_NAME, oid.encode())
    given = b"" if value is None else ber.tlv(_REQUEST_VALUE, value)
    return message(message_id, ber.tlv(_EXTENDED, name, given))


def start_tls_request(message_id: int) -> bytes:
    """Write the extended request that starts TLS."""
    return extended_request(message_id, START_TLS)


def search_request(  # noqa: PLR0913, PLR0917 - the fields of RFC 4511 section 4.5.1
    message_id: int,
    base: str,
    scope: Scope,
    filter_text: str,
    attributes: Sequence[str],
    size_limit: int = 0,
    controls: Sequence[Control] = (),
) -> bytes:
    """Write a search (RFC 4511 section 4.5.1); aliases are not followed.

    Args:
        message_id: The request's number.
        base: DN, or Active Directory's `<GUID=...>`.
        scope: How deep.
        filter_text: RFC 4515, values escaped.
        attributes: What to ask for; nothing for none, never for all.
        size_limit: Most entries to send, 0 for all.
        controls: What goes along.

    Raises:
        LocalProtocolError: The filter is none.
    """
    body = _search_body(base, scope, filter_text, tuple(attributes), size_limit)
    return message(message_id, body, ldap_controls.encode(controls))


def _search_body(
    base: str,
    scope: Scope,
    filter_text: str,
    attributes: tuple[str, ...],
    size_limit: int,
) -> bytes:
    return ber.tlv(
        _SEARCH,
        ber.text(base),
        ber.enumerated(_SCOPES[scope]),
        _NEVER_FOLLOW_ALIASES,
        ber.integer(size_limit),
        _NO_TIME_LIMIT,
        _VALUES_TOO,
        _ANY_ENCODED if filter_text is ANY else ldap_filter.encode(filter_text),
        _wanted(attributes or (NO_ATTRIBUTES,)),
    )


@lru_cache(maxsize=64)  # a login asks for the same ones each time
def _wanted(attributes: tuple[str, ...]) -> bytes:
    return ber.sequence(*map(ber.text, attributes))


def read_request(message_id: int, base: str, attributes: Sequence[str]) -> bytes:
    """Write a search for the one entry `base`, "" for the rootDSE."""
    return message(message_id, _read_body(base, tuple(attributes)))


@lru_cache(maxsize=4096)  # people log in again
def _read_body(base: str, attributes: tuple[str, ...]) -> bytes:
    return _search_body(base, "BASE", ANY, attributes, 0)


def message(message_id: int, operation: bytes, controls: bytes = b"") -> bytes:
    """Write a message round an operation (RFC 4511 section 4.1.1)."""
    return ber.sequence(ber.integer(message_id), operation, controls)


def message_size(data: bytes, limit: int = MAX_MESSAGE) -> int | None:
    """Say how long the message is whose first octets these are.

    Returns:
        The size in octets with its header, None where more octets are needed.

    Raises:
        RemoteProtocolError: This is no LDAP message, or one above the limit.
    """
    if data and data[0] != ber.SEQUENCE:
        raise RemoteProtocolError("the peer does not speak LDAP")
    if len(data) > 1 and data[1] < ber.LONG_FORM:
        return 2 + data[1]
    header = ber.header(data, 0)
    if header is None:
        return None
    if header.end > limit:
        raise RemoteProtocolError(f"a message of {header.end} octets")
    return header.end


def kind_of(message: bytes) -> tuple[int, int]:
    """Return a message's id and the tag of its operation.

    Raises:
        RemoteProtocolError: It is no message.
    """
    message_id, operation = opened(message)
    return message_id, operation[0] if operation else 0


def parse_result(message: bytes) -> Result:
    """Read the answer that ends one of our requests.

    Raises:
        RemoteProtocolError: It is something else.
    """
    return result_of(*opened(message))


def result_of(message_id: int, operation: bytes) -> Result:
    """Read what `opened` gave of such an answer.

    Raises:
        RemoteProtocolError: It is something else.
    """
    plain = _PLAIN_SUCCESS.get(operation)
    if plain is not None:
        return Result(message_id, 0, "", plain)
    tag = operation[0] if operation else 0
    if tag not in (BIND_ANSWER, EXTENDED_ANSWER, SEARCH_DONE):
        raise RemoteProtocolError(f"an answer of kind {tag:#04x} that nobody asked for")
    body, controls = ber.take(operation, tag)
    code, body = ber.take_integer(body, ber.ENUMERATED)
    _matched, body = ber.take(body, ber.OCTETS)
    text, body = ber.take(body, ber.OCTETS)
    return Result(
        message_id,
        code,
        # Samba and Windows end their texts with a NUL.
        harmless(text.decode("utf-8", "replace").rstrip("\0"), MOST_SAID),
        tag,
        ldap_controls.parse(controls),
        _server_credentials(body) if tag == BIND_ANSWER else None,
    )


def _server_credentials(rest: bytes) -> bytes | None:
    _referral, rest = ber.take_if(rest, _REFERRAL)
    return ber.take_if(rest, _SERVER_CREDENTIALS)[0]


def parse_reference(operation: bytes) -> str:
    """Return the first URL of a search result reference (RFC 4511 section 4.5.3).

    Args:
        operation: The message from its operation on.

    Raises:
        RemoteProtocolError: It is none.
    """
    urls, _ = ber.take(operation, SEARCH_REFERENCE)
    return next(ber.each(urls, ber.OCTETS), b"").decode("utf-8", "replace")


def parse_intermediate(message: bytes) -> tuple[str, bytes]:
    """Read an intermediate response: its OID and value (RFC 4511 section 4.13).

    Raises:
        RemoteProtocolError: It is something else.
    """
    _, operation = opened(message)
    body, _controls = ber.take(operation, INTERMEDIATE)
    name, body = ber.take_if(body, _RESPONSE_NAME)
    value, _ = ber.take_if(body, _RESPONSE_VALUE)
    return (name or b"").decode("ascii", "replace"), value or b""


def parse_entry(message: bytes) -> Entry:
    """Read the attributes of an entry that a search found (section 4.5.2).

    Raises:
        RemoteProtocolError: It is something else.
    """
    return entry_of(opened(message)[1])


def entry_of(operation: bytes) -> Entry:
    """Read what `opened` gave of such an entry.

    Raises:
        RemoteProtocolError: It is something else.
    """
    small = len(operation) <= _SMALL_ENTRY
    return _same_entry_of(operation) if small else _entry_of(operation)


def _entry_of(operation: bytes) -> Entry:
    body, _controls = ber.take(operation, SEARCH_ENTRY)
    _name, body = ber.take(body, ber.OCTETS)
    return parse_attributes(ber.only(body, ber.SEQUENCE))


# People log in again, and nothing of their entries has changed.
_same_entry_of = lru_cache(maxsize=2048)(_entry_of)

_SMALL_ENTRY = 2048
"""Octets; larger ones are not kept in memory."""


def parse_attributes(data: bytes) -> dict[str, tuple[bytes, ...]]:
    """Read an entry's attributes.

    A name that comes twice is against the rules; nothing of it may be lost.

    Raises:
        RemoteProtocolError: They are something else.
    """
    found: dict[str, list[bytes]] = {}
    for attribute in ber.each(data, ber.SEQUENCE):
        name, values = ber.take(attribute, ber.OCTETS)
        same = found.setdefault(name.decode("utf-8", "replace").lower(), [])
        same.extend(ber.each(ber.only(values, ber.SET), ber.OCTETS))
    return {name: tuple(values) for name, values in found.items()}


def opened(message: bytes) -> tuple[int, bytes]:
    """Split a message into its id, and its operation with what follows.

    Raises:
        RemoteProtocolError: It is no message.
    """
    whole = len(message)
    # This takes nearly all of them apart without the general way's detours.
    if whole > _ID_AT and message[0] == ber.SEQUENCE:
        size, start = message[1], 2
        count = size - ber.LONG_FORM
        if 0 < count <= ber.MAX_LENGTH_OCTETS:
            start = 2 + count
            size = int.from_bytes(message[2:start])
        id_at = start + 2
        known = count <= ber.MAX_LENGTH_OCTETS and count != 0
        if known and start + size == whole > id_at:
            end = id_at + message[start + 1]
            plain = id_at < end <= min(id_at + _LONGEST_ID, whole)
            if plain and message[start] == ber.INTEGER:
                number = int.from_bytes(message[id_at:end], "big", signed=True)
                return number, message[end:]
    return ber.take_integer(ber.only(message, ber.SEQUENCE))
