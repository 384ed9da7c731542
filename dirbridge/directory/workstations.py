"""userWorkstations: the computers from which a user may log in (MS-ADA3 2.349).

A domain controller compares the name that a client gives with an NTLM or simple
bind. Kerberos does not look at it (measured on Samba 4.17).
"""

from __future__ import annotations

import re

from dirbridge.directory.errors import Undecodable, as_text
from dirbridge.model.names import fold

_MOST = 1024
"""Characters; the schema's own limit."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def decode(raw: bytes | str) -> tuple[str, ...]:
    """Read the list as written, each name once; an empty one restricts nothing.

    Raises:
        Undecodable: It is no list of names with commas between them.
    """
    text = as_text(raw)
    if len(text) > _MOST:
        raise Undecodable(f"is longer than {_MOST} characters")
    if _CONTROL.search(text):
        raise Undecodable("holds a control character")
    names = (name.strip() for name in text.split(","))
    return tuple({fold(name): name for name in names if name}.values())


def allow(workstations: tuple[str, ...], computer: str) -> bool:
    """Tell whether a list lets a computer in."""
    wanted = fold(computer)
    return not workstations or any(fold(name) == wanted for name in workstations)
