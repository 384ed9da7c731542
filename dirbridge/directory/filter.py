"""LDAP search filters (RFC 4515): build them escaped, check what people wrote.

No filter is ever built with string formatting: values go through `escape`.
"""

from __future__ import annotations

import re

from dirbridge.directory.errors import Undecodable

MAX_DEPTH = 64
"""How deep a person's filter may nest; servers have limits of their own."""

_ATTRIBUTE = re.compile(r"(?:[A-Za-z][A-Za-z0-9-]*|\d+(?:\.\d+)*)(?:;[A-Za-z0-9-]+)*\Z")
_EXTENSIBLE = re.compile(
    r"(?:(?P<attribute>[A-Za-z0-9.;-]+)(?::dn)?(?::[A-Za-z0-9.-]+)?|:dn:[\w.-]+|:[\w.-]+):\Z",
    re.ASCII | re.IGNORECASE,
)
_BAD_ESCAPE = re.compile(r"\\(?![0-9A-Fa-f]{2})")
_PLAIN = frozenset(range(0x20, 0x7F)) - frozenset(b"*()\\")

BIT_AND = "1.2.840.113556.1.4.803"
"""LDAP_MATCHING_RULE_BIT_AND (MS-ADTS 3.1.1.3.4.4.1)."""

IN_CHAIN = "1.2.840.113556.1.4.1941"
"""LDAP_MATCHING_RULE_TRANSITIVE_EVAL (MS-ADTS 3.1.1.3.4.4.3)."""


def escape(value: str | bytes) -> str:
    r"""Escape an assertion value: `*`, `(`, `)`, `\`, controls, non-ASCII octets."""
    octets = value.encode("utf-8", "surrogatepass") if isinstance(value, str) else value
    return "".join(chr(o) if o in _PLAIN else f"\\{o:02x}" for o in octets)


def equals(attribute: str, value: str | bytes) -> str:
    """Return `(attribute=value)`."""
    return f"({_named(attribute)}={escape(value)})"


def at_least(attribute: str, value: str | bytes) -> str:
    """Return `(attribute>=value)`."""
    return f"({_named(attribute)}>={escape(value)})"


def at_most(attribute: str, value: str | bytes) -> str:
    """Return `(attribute<=value)`."""
    return f"({_named(attribute)}<={escape(value)})"


def starts_with(attribute: str, value: str | bytes) -> str:
    """Return `(attribute=value*)`."""
    return f"({_named(attribute)}={escape(value)}*)"


def present(attribute: str) -> str:
    """Return `(attribute=*)`."""
    return f"({_named(attribute)}=*)"


def matches(attribute: str, rule: str, value: str | bytes) -> str:
    """Return `(attribute:rule:=value)`, such as a bit test with `BIT_AND`."""
    return f"({_named(attribute)}:{rule}:={escape(value)})"


def negate(part: str) -> str:
    """Return a filter for all that `part` does not match."""
    return f"(!{part})"


def all_of(*parts: str | None) -> str:
    """Join filters with AND; parts that are None or empty are left out."""
    return _joined("&", parts)


def any_of(*parts: str | None) -> str:
    """Join filters with OR; parts that are None or empty are left out."""
    return _joined("|", parts)


def _joined(operator: str, parts: tuple[str | None, ...]) -> str:
    given = [part for part in parts if part]
    return given[0] if len(given) == 1 else f"({operator}{''.join(given)})"


def _named(attribute: str) -> str:
    if not _ATTRIBUTE.match(attribute):
        raise Undecodable("is not an attribute's name")
    return attribute


def check(text: str) -> None:
    """Check that a text is one whole filter after RFC 4515.

    Raises:
        Undecodable: It is not; the text says where and what was expected.
    """
    end = _filter(text, 0, 0)
    if end != len(text):
        raise Undecodable(f"goes on after its end at character {end + 1}")


def attributes_of(text: str) -> tuple[str, ...]:
    """Return the attributes that a filter names, in order, each once.

    Raises:
        Undecodable: It is no filter.
    """
    check(text)
    names = re.findall(r"\(([A-Za-z0-9][A-Za-z0-9.;-]*)(?=[:~<>=])", text)
    return tuple(dict.fromkeys(names))


def _filter(text: str, at: int, depth: int) -> int:
    """Read one filter from `at` on; return where it ends."""
    if depth > MAX_DEPTH:
        raise Undecodable(f"is nested deeper than {MAX_DEPTH} levels")
    if text[at : at + 1] != "(":
        raise Undecodable(f'lacks a "(" at character {at + 1}')
    operator = text[at + 1 : at + 2]
    if operator in {"&", "|"}:
        end = _list(text, at + 2, depth)
    elif operator == "!":
        end = _filter(text, at + 2, depth + 1)
    else:
        end = _item(text, at + 1)
    if text[end : end + 1] != ")":
        raise Undecodable(f'lacks a ")" at character {end + 1}')
    return end + 1


def _list(text: str, at: int, depth: int) -> int:
    while text[at : at + 1] == "(":
        at = _filter(text, at, depth + 1)
    return at


def _item(text: str, at: int) -> int:
    """Check `attribute=value` and its kin; return the place of the closing `)`."""
    end = next((i for i in range(at, len(text)) if text[i] in "()"), len(text))
    left, equals_sign, value = text[at:end].partition("=")
    if not equals_sign:
        raise Undecodable(f'has no "=" in the part at character {at + 1}')
    extensible = left.endswith(":")
    attribute = left[:-1] if left[-1:] in {"~", "<", ">"} else left
    if not (_EXTENSIBLE if extensible else _ATTRIBUTE).match(attribute):
        raise Undecodable(f"has no attribute's name at character {at + 1}")
    if _BAD_ESCAPE.search(value) or "\0" in value:
        raise Undecodable(
            f"has a bad escape in the part at character {at + 1}; "
            "a backslash needs two hex digits"
        )
    if "*" in value and attribute != left:
        raise Undecodable(f'has a "*" in a comparison at character {at + 1}')
    return end
