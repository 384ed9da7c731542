"""groupType: what a group is for, and how far it reaches (MS-ADTS 2.2.12)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from dirbridge.directory.errors import Undecodable, as_text

_NUMBER = re.compile(r"-?\d{1,11}\Z", re.ASCII)

_BUILTIN = 0x1
_SECURITY = 0x8000_0000


class Scope(StrEnum):
    """Who may be a member, and where the group may be used."""

    GLOBAL = "global"
    DOMAIN_LOCAL = "domain local"
    UNIVERSAL = "universal"
    APP_BASIC = "application basic"
    APP_QUERY = "application query"


_SCOPES = {
    0x2: Scope.GLOBAL,
    0x4: Scope.DOMAIN_LOCAL,
    0x8: Scope.UNIVERSAL,
    0x10: Scope.APP_BASIC,
    0x20: Scope.APP_QUERY,
}


@dataclass(frozen=True, slots=True)
class GroupType:
    """What a group is.

    Attributes:
        scope: How far it reaches.
        security: Whether rights may be given to it; else it only distributes mail.
            Both kinds can have an address.
        builtin: Whether the system made it, as it made Users and Guests.
    """

    scope: Scope
    security: bool
    builtin: bool = False


def decode(raw: bytes | str) -> GroupType:
    """Read groupType, a signed number whose sign is the bit for "security".

    Raises:
        Undecodable: It is no 32-bit number, or has not exactly one scope.
    """
    text = as_text(raw).strip()
    if not _NUMBER.match(text) or not -(2**31) <= int(text) < 2**32:
        raise Undecodable("is not a group type, a 32-bit number")
    bits = int(text) & 0xFFFF_FFFF
    scopes = [scope for bit, scope in _SCOPES.items() if bits & bit]
    if len(scopes) != 1:
        raise Undecodable("is not a group type: it has not exactly one scope")
    return GroupType(scopes[0], bool(bits & _SECURITY), bool(bits & _BUILTIN))
