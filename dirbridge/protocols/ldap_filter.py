"""LDAP search filters as they go over the wire (RFC 4515 text to RFC 4511 BER).

Strict: what RFC 4515 does not allow is refused here, before a server reads it in
its own way. A filter with two meanings takes the wrong people away.
"""

from __future__ import annotations

import re

from dirbridge.errors import LocalProtocolError
from dirbridge.protocols import ber

MAX_DEPTH = 100
"""How deep a filter may nest: a person's, inside what a profile and we put round."""

_LISTS = {"&": 0xA0, "|": 0xA1}
_NOT, _SUBSTRINGS, _PRESENT, _EXTENSIBLE = 0xA2, 0xA4, 0x87, 0xA9
_EQUALITY = 0xA3
_ORDERINGS = {">": 0xA5, "<": 0xA6, "~": 0xA8}
_INITIAL, _ANY, _FINAL = 0x80, 0x81, 0x82
_RULE, _TYPE, _VALUE, _DN_ATTRIBUTES = 0x81, 0x82, 0x83, 0x84

_ATTRIBUTE = re.compile(r"(?:[A-Za-z][A-Za-z0-9-]*|\d+(?:\.\d+)*)(?:;[A-Za-z0-9-]+)*\Z")
_EXTENDED = re.compile(
    r"(?P<type>[A-Za-z0-9.;-]*)(?P<dn>:dn)?(?::(?P<rule>[A-Za-z0-9.-]+))?:\Z",
    re.IGNORECASE,
)
_ESCAPE = re.compile(rb"\\([0-9A-Fa-f]{2})?")
_END = re.compile(r"[()]")


def encode(text: str) -> bytes:
    """Write a filter in BER.

    Args:
        text: RFC 4515, values escaped.

    Raises:
        LocalProtocolError: It is no filter; the text says where.
    """
    encoded, end = _filter(text, 0, 0)
    if end != len(text):
        raise LocalProtocolError(f"the filter goes on at character {end + 1}")
    return encoded


def _filter(text: str, at: int, depth: int) -> tuple[bytes, int]:
    """Write the filter that begins at `at`; return it and where it ends."""
    if depth > MAX_DEPTH:
        raise LocalProtocolError("the filter nests too deep")
    _demand(text, at, "(")
    operator = text[at + 1 : at + 2]
    if operator in _LISTS:
        parts, end = _parts(text, at + 2, depth)
        encoded = ber.tlv(_LISTS[operator], *parts)
    elif operator == "!":
        part, end = _filter(text, at + 2, depth + 1)
        encoded = ber.tlv(_NOT, part)
    else:
        match = _END.search(text, at + 1)
        end = match.start() if match else len(text)
        encoded = _item(text[at + 1 : end])
    _demand(text, end, ")")
    return encoded, end + 1


def _parts(text: str, at: int, depth: int) -> tuple[list[bytes], int]:
    parts = []
    while text[at : at + 1] == "(":
        part, at = _filter(text, at, depth + 1)
        parts.append(part)
    return parts, at


def _item(text: str) -> bytes:
    left, sign, value = text.partition("=")
    if not sign:
        raise LocalProtocolError('a part of the filter lacks its "="')
    if left.endswith(":"):
        return _extensible(left, value)
    if left[-1:] in _ORDERINGS:
        return _assertion(_ORDERINGS[left[-1]], left[:-1], value)
    if value == "*":
        return ber.tlv(_PRESENT, _named(left))
    if "*" in value:
        return _substrings(left, value)
    return _assertion(_EQUALITY, left, value)


def _assertion(tag: int, attribute: str, value: str) -> bytes:
    return ber.tlv(tag, ber.octets(_named(attribute)), ber.octets(_octets(value)))


def _substrings(attribute: str, value: str) -> bytes:
    first, *middle, last = value.split("*")
    if "" in middle:
        raise LocalProtocolError('a "**" in the filter')
    parts = [
        *([ber.tlv(_INITIAL, _octets(first))] if first else ()),
        *(ber.tlv(_ANY, _octets(part)) for part in middle),
        *([ber.tlv(_FINAL, _octets(last))] if last else ()),
    ]
    return ber.tlv(_SUBSTRINGS, ber.octets(_named(attribute)), ber.sequence(*parts))


def _extensible(left: str, value: str) -> bytes:
    match = _EXTENDED.match(left)
    if match is None or not (match["type"] or match["rule"]):
        raise LocalProtocolError("a matching rule of the filter is none")
    parts = [
        *([ber.tlv(_RULE, match["rule"].encode())] if match["rule"] else ()),
        *([ber.tlv(_TYPE, _named(match["type"]))] if match["type"] else ()),
        ber.tlv(_VALUE, _octets(value)),
        # False is the default and is left out (RFC 4511 section 5.1).
        *([ber.boolean(True, _DN_ATTRIBUTES)] if match["dn"] else ()),
    ]
    return ber.tlv(_EXTENSIBLE, *parts)


def _named(attribute: str) -> bytes:
    if not _ATTRIBUTE.match(attribute):
        raise LocalProtocolError("a part of the filter has no attribute's name")
    return attribute.encode()


def _octets(value: str) -> bytes:
    """Undo the escapes of an assertion value."""
    if "*" in value or "\0" in value:
        raise LocalProtocolError("a value of the filter is not escaped")
    return _ESCAPE.sub(_unescaped, value.encode("utf-8", "surrogatepass"))


def _unescaped(match: re.Match[bytes]) -> bytes:
    if match[1] is None:
        raise LocalProtocolError("a backslash in the filter lacks its two hex digits")
    return bytes.fromhex(match[1].decode())


def _demand(text: str, at: int, sign: str) -> None:
    if text[at : at + 1] != sign:
        raise LocalProtocolError(f'the filter lacks a "{sign}" at character {at + 1}')
