"""Distinguished names (RFC 4514): read, write, compare.

A DN is never an identity here; it says where an entry stands. Never build one
with string formatting: `join` and `child` escape.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from dirbridge.directory.errors import Undecodable
from dirbridge.model.names import fold

_ATTRIBUTE = re.compile(r"(?:[A-Za-z][A-Za-z0-9-]*|\d+(?:\.\d+)*)\Z")
_HEXSTRING = re.compile(r"#(?:[0-9A-Fa-f]{2})+\Z")
# A DN as servers mostly write it: nothing escaped, one part in each RDN, no blank at
# an edge. Such a one is split at its commas, ten times as fast.
_PLAIN = re.compile(
    r"[A-Za-z][A-Za-z0-9-]*=(?![ #])[^\x00-\x1f\"+,;<=>\\\ud800-\udfff]*(?<! )"
    r"(?:,[A-Za-z][A-Za-z0-9-]*=(?![ #])[^\x00-\x1f\"+,;<=>\\\ud800-\udfff]*(?<! ))*\Z"
)
_SPECIAL = frozenset(' "#+,;<=>\\')
_ESCAPED_ANYWHERE = frozenset('"+,;<>\\=')


@dataclass(frozen=True, slots=True)
class Ava:
    """One attribute and its value in an RDN.

    Attributes:
        attribute: The attribute's name as written.
        value: The value, unescaped; `#` and hex digits where `hexstring`.
        hexstring: Whether the value is the BER form (`#04024869`).
    """

    attribute: str
    value: str
    hexstring: bool = False


Rdn = tuple[Ava, ...]
"""One level of a DN; more than one part only in multi-valued RDNs."""

Dn = tuple[Rdn, ...]
"""A parsed DN, the entry's own RDN first."""


def parse(text: str) -> Dn:
    r"""Read a DN, such as `CN=Gro\C3\9F\, J,OU=Staff,DC=corp,DC=example,DC=com`.

    Blanks around `,`, `+` and `=` are let pass, as people write them. The empty
    text is the root.

    Raises:
        Undecodable: It is no DN; the text says at which character.
    """
    if not text.strip():
        return ()
    if _PLAIN.match(text):
        return tuple((_plain(part),) for part in text.split(","))
    return _parse_with_care(text)


def join(dn: Iterable[Iterable[Ava]]) -> str:
    """Write a DN with everything escaped that must be."""
    return ",".join("+".join(_format_ava(ava) for ava in rdn) for rdn in dn)


def child(attribute: str, value: str, parent: str) -> str:
    """Return the DN of `attribute=value` below `parent`."""
    rdn = f"{attribute}={escape(value)}"
    return f"{rdn},{parent}" if parent else rdn


def escape(value: str) -> str:
    """Escape an attribute value for use in a DN (RFC 4514 section 2.4)."""
    text = "".join(_escape_character(character) for character in value)
    if value.endswith(" "):
        text = f"{text[:-1]}\\ "
    if value.startswith(" ") and value != " ":
        text = f"\\{text}"
    return f"\\{text}" if value.startswith("#") else text


def parent(text: str) -> str:
    """Return the DN above, as normalised text; the empty text for the root.

    Raises:
        Undecodable: It is no DN.
    """
    if _PLAIN.match(text):
        return text.partition(",")[2]
    return join(parse(text)[1:])


def rdn_value(text: str, attribute: str | None = None) -> str | None:
    """Return the value in a DN's first RDN, unescaped.

    Args:
        text: The DN.
        attribute: Only the value of this attribute; None takes the first.

    Returns:
        The value, or None where the RDN has no such attribute.

    Raises:
        Undecodable: It is no DN.
    """
    if _PLAIN.match(text):
        first: Rdn = (_plain(text.partition(",")[0]),)
    else:
        first = next(iter(parse(text)), ())
    return next(
        (
            a.value
            for a in first
            if attribute in (None, a.attribute) or _same(a, attribute)
        ),
        None,
    )


def is_same(one: str, other: str) -> bool:
    """Whether two texts name the same entry; what is no DN is compared as it stands."""
    if one == other:
        return True
    try:
        return comparable(one) == comparable(other)
    except Undecodable:
        return False


def comparable(text: str) -> str:
    """Return the form by which two DNs are compared: case and blanks folded.

    Raises:
        Undecodable: It is no DN.
    """
    folded = (
        sorted(
            (Ava(a.attribute.lower(), " ".join(fold(a.value).split())) for a in rdn),
            key=lambda a: (a.attribute, a.value),
        )
        for rdn in parse(text)
    )
    return join(folded)


def is_below(text: str, base: str) -> bool:
    """Tell whether a DN is `base` or stands below it.

    Raises:
        Undecodable: One of them is no DN.
    """
    below, above = (parse(comparable(each)) for each in (text, base))
    return len(below) >= len(above) and below[len(below) - len(above) :] == above


def from_dns_name(name: str) -> str:
    """Return `dc=mail1,dc=company,dc=com` for `mail1.company.com` (RFC 2247)."""
    labels = name.strip().strip(".").split(".")
    return join([(Ava("dc", label),) for label in labels if label])


def dns_name(text: str) -> str:
    """Return the DNS name that a DN's `dc` parts spell, in lower case.

    Raises:
        Undecodable: It is no DN.
    """
    parts = (ava for rdn in parse(text) for ava in rdn)
    return ".".join(a.value.lower() for a in parts if a.attribute.lower() == "dc")


def _plain(text: str) -> Ava:
    attribute, _, value = text.partition("=")
    return Ava(attribute, value)


def _parse_with_care(text: str) -> Dn:
    return tuple(
        tuple(_ava(part, at) for part, at in _split(rdn, "+", at))
        for rdn, at in _split(text, ",", 0)
    )


def _same(ava: Ava, attribute: str | None) -> bool:
    return attribute is not None and ava.attribute.lower() == attribute.lower()


def _escape_character(character: str) -> str:
    if character in _ESCAPED_ANYWHERE:
        return f"\\{character}"
    # Control characters would be legal but tear log lines and LDIF apart.
    return f"\\{ord(character):02X}" if ord(character) < ord(" ") else character


def _format_ava(ava: Ava) -> str:
    value = ava.value if ava.hexstring else escape(ava.value)
    return f"{ava.attribute}={value}"


def _split(text: str, separator: str, start: int) -> list[tuple[str, int]]:
    """Split at unescaped separators; each part with its place in the whole."""
    parts: list[tuple[str, int]] = []
    begin = at = 0
    while at < len(text):
        if text[at] == "\\":
            at += 1
        elif text[at] == separator:
            parts.append((text[begin:at], start + begin))
            begin = at + 1
        at += 1
    return [*parts, (text[begin:], start + begin)]


def _ava(text: str, at: int) -> Ava:
    attribute, equals, value = text.partition("=")
    name = attribute.strip()
    if not equals or not _ATTRIBUTE.match(name):
        raise Undecodable(f'has no "attribute=value" at character {at + 1}')
    value = value.lstrip(" ")
    if value.startswith("#"):
        if not _HEXSTRING.match(value.rstrip(" ")):
            raise Undecodable(f"has a broken hex value at character {at + 1}")
        return Ava(name, value.rstrip(" "), hexstring=True)
    return Ava(name, _unescape(value, at))


def _unescape(value: str, at: int) -> str:
    octets = bytearray()
    keep = 0  # octets up to here were escaped: blanks among them are no padding
    position = 0
    while position < len(value):
        character = value[position]
        if character == "\\":
            taken, width = _escaped(value[position + 1 : position + 3], at)
            octets += taken
            keep = len(octets)
            position += 1 + width
            continue
        if character in '";<>\0':
            raise Undecodable(f"has an unescaped character in the part at {at + 1}")
        octets += character.encode("utf-8", "surrogatepass")
        position += 1
    kept = bytes(octets[:keep]) + bytes(octets[keep:]).rstrip(b" ")
    try:
        return kept.decode()
    except UnicodeDecodeError:
        raise Undecodable(f"is not UTF-8 in the part at character {at + 1}") from None


def _escaped(pair: str, at: int) -> tuple[bytes, int]:
    """Return what follows a backslash stands for, and how many characters it took."""
    if re.fullmatch(r"[0-9A-Fa-f]{2}", pair):
        return bytes.fromhex(pair), 2
    if pair[:1] in _SPECIAL and pair:
        return pair[0].encode(), 1
    raise Undecodable(f"has a broken escape in the part at character {at + 1}")
