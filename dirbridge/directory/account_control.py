"""userAccountControl and its computed sibling (MS-ADTS 2.2.16)."""

from __future__ import annotations

import re
from enum import IntFlag

from dirbridge.directory.errors import Undecodable, as_text

_NUMBER = re.compile(r"-?\d{1,11}\Z", re.ASCII)


class AccountControl(IntFlag):
    """The bits that matter for a mail account; test bits, never compare with 514."""

    DISABLED = 0x2
    LOCKED_OUT = 0x10  # only in msDS-User-Account-Control-Computed
    PASSWORD_NOT_REQUIRED = 0x20
    NORMAL = 0x200
    INTERDOMAIN_TRUST = 0x800
    WORKSTATION_TRUST = 0x1000
    SERVER_TRUST = 0x2000
    DONT_EXPIRE_PASSWORD = 0x10000
    SMARTCARD_REQUIRED = 0x40000
    PASSWORD_EXPIRED = 0x800000  # only in msDS-User-Account-Control-Computed


def decode(raw: bytes | str) -> AccountControl:
    """Read userAccountControl or msDS-User-Account-Control-Computed.

    Raises:
        Undecodable: It is no 32-bit number.
    """
    text = as_text(raw).strip()
    if not _NUMBER.match(text) or not -(2**31) <= int(text) < 2**32:
        raise Undecodable("is not a set of account control bits, a 32-bit number")
    return AccountControl(int(text) & 0xFFFF_FFFF)
