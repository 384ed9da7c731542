"""Writing LDIF (RFC 2849)."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable
from itertools import groupby
from operator import itemgetter

Pairs = Iterable[tuple[str, str | bytes]]


def add(dn: str, pairs: Pairs) -> str:
    """A record that adds an entry."""
    lines = [_line("dn", dn), *(_line(name, value) for name, value in pairs)]
    return "\n".join(lines) + "\n\n"


def modify(dn: str, pairs: Pairs, *, how: str = "replace") -> str:
    """A record that replaces (or `how="add"`: adds to) each of these attributes."""
    lines = [_line("dn", dn), "changetype: modify"]
    for name, group in groupby(pairs, key=itemgetter(0)):
        lines += [f"{how}: {name}", *(_line(name, value) for _, value in group), "-"]
    return "\n".join(lines) + "\n\n"


def delete(dn: str) -> str:
    """A record that deletes an entry."""
    return f"{_line('dn', dn)}\nchangetype: delete\n\n"


def move(dn: str, rdn: str, parent: str) -> str:
    """A record that renames an entry and puts it under another parent."""
    lines = [
        _line("dn", dn),
        "changetype: moddn",
        _line("newrdn", rdn),
        "deleteoldrdn: 1",
        _line("newsuperior", parent),
    ]
    return "\n".join(lines) + "\n\n"


def _line(name: str, value: str | bytes) -> str:
    raw = value.encode() if isinstance(value, str) else value
    if _SAFE.fullmatch(raw):
        return f"{name}: {raw.decode()}"
    return f"{name}:: {base64.b64encode(raw).decode()}"


# Printable ASCII that begins and ends with no blank, and begins with no `:` or `<`.
_SAFE = re.compile(rb"[!-9;=-~](?:[ -~]*[!-~])?")
