"""BER as LDAP restricts it (RFC 4511 section 5.1): definite lengths, short tags.

Written for small messages: entries of a bulk read have a decoder of their own in
`ldap_entry`. Whatever the octets are, reading raises `RemoteProtocolError` only.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from dirbridge.errors import RemoteProtocolError

BOOLEAN, INTEGER, OCTETS, ENUMERATED = 0x01, 0x02, 0x04, 0x0A
SEQUENCE, SET = 0x30, 0x31

LONG_FORM = 0x80
MAX_LENGTH_OCTETS = 4
"""RFC 4511 knows no longer message; more would only be a way to lie."""

_MAX_INTEGER_OCTETS = 8


class Header(NamedTuple):
    """Where a value's content begins and ends."""

    start: int
    end: int


def tlv(tag: int, *contents: bytes) -> bytes:
    """Write one value."""
    content = b"".join(contents)
    size = len(content)
    if size < LONG_FORM:
        return bytes((tag, size)) + content
    octets = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((tag, LONG_FORM | len(octets))) + octets + content


def sequence(*contents: bytes) -> bytes:
    """Write a SEQUENCE."""
    return tlv(SEQUENCE, *contents)


def octets(value: bytes) -> bytes:
    """Write an OCTET STRING."""
    return tlv(OCTETS, value)


def text(value: str) -> bytes:
    """Write an LDAPString; what came undecodable from a server goes back as it was."""
    return tlv(OCTETS, value.encode("utf-8", "surrogatepass"))


def integer(value: int, tag: int = INTEGER) -> bytes:
    """Write an INTEGER in the fewest octets, two's complement (X.690 section 8.3)."""
    size = (value if value >= 0 else ~value).bit_length() // 8 + 1
    return tlv(tag, value.to_bytes(size, "big", signed=True))


def enumerated(value: int) -> bytes:
    """Write an ENUMERATED."""
    return integer(value, ENUMERATED)


def boolean(value: bool, tag: int = BOOLEAN) -> bytes:
    """Write a BOOLEAN; true is FF (RFC 4511 section 5.1)."""
    return tlv(tag, b"\xff" if value else b"\x00")


def header(data: bytes, at: int) -> Header | None:
    """Say where the value that begins at `at` has its content; None: too few octets.

    Raises:
        RemoteProtocolError: The length is none that LDAP knows.
    """
    if len(data) < at + 2:
        return None
    first = data[at + 1]
    if first < LONG_FORM:
        return Header(at + 2, at + 2 + first)
    count = first - LONG_FORM
    if not 1 <= count <= MAX_LENGTH_OCTETS:
        raise RemoteProtocolError("a broken length")
    start = at + 2 + count
    if len(data) < start:
        return None
    return Header(start, start + int.from_bytes(data[at + 2 : start], "big"))


def take(data: bytes, tag: int) -> tuple[bytes, bytes]:
    """Split one value with this tag off; return its content and the rest.

    Raises:
        RemoteProtocolError: There is none.
    """
    whole = len(data)
    # Nearly all values are short: a login takes some fifty of them apart.
    if whole > 1 and data[0] == tag and (size := data[1]) < LONG_FORM:
        end = 2 + size
        if end <= whole:
            return data[2:end], data[end:]
    found = header(data, 0)
    if found is None or data[0] != tag or found.end > whole:
        raise RemoteProtocolError(f"no value {tag:#04x} where one belongs")
    return data[found.start : found.end], data[found.end :]


def take_if(data: bytes, tag: int) -> tuple[bytes | None, bytes]:
    """Split one optional value off; None where the next has another tag."""
    return take(data, tag) if data[:1] == bytes((tag,)) else (None, data)


def take_integer(data: bytes, tag: int = INTEGER) -> tuple[int, bytes]:
    """Split one INTEGER (or ENUMERATED) off; return it and the rest.

    Raises:
        RemoteProtocolError: There is none, or one of more than eight octets.
    """
    content, rest = take(data, tag)
    if not 1 <= len(content) <= _MAX_INTEGER_OCTETS:
        raise RemoteProtocolError("a broken integer")
    return int.from_bytes(content, "big", signed=True), rest


def each(data: bytes, tag: int) -> Iterator[bytes]:
    """Yield the contents of values that all have this tag.

    Raises:
        RemoteProtocolError: Another tag, or a value without its end.
    """
    at, whole = 0, len(data)
    while at < whole:
        # As in `take`: nearly all values are short.
        if data[at] == tag and at + 1 < whole and (size := data[at + 1]) < LONG_FORM:
            end = at + 2 + size
            if end <= whole:
                yield data[at + 2 : end]
                at = end
                continue
        found = header(data, at)
        if found is None or data[at] != tag or found.end > whole:
            raise RemoteProtocolError(f"no value {tag:#04x} where one belongs")
        yield data[found.start : found.end]
        at = found.end


def only(data: bytes, tag: int) -> bytes:
    """Return the content of the one value that these octets are.

    Raises:
        RemoteProtocolError: They are something else, or go on after it.
    """
    content, rest = take(data, tag)
    if rest:
        raise RemoteProtocolError("octets after a value's end")
    return content
