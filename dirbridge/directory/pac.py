"""The PAC of a ticket: who Active Directory says that the ticket is for (MS-PAC).

A principal's name is no identity: the KDC also takes a user principal name for a
login name, which lets another person have it. The SID in KERB_VALIDATION_INFO
(MS-PAC 2.5) is the account's own, and no other account ever gets it.

The structure is NDR (C706 chapter 14) as MS-RPCE 2.2.6 wraps it: two headers, the
fixed part, and behind it what its pointers point to, in their order.
"""

from __future__ import annotations

import struct

from dirbridge.directory import sid
from dirbridge.directory.errors import Undecodable

LOGON_INFO = b"urn:mspac:logon-info"
"""The GSSAPI name attribute that holds it (MIT krb5 1.8 and later)."""

_HEADER = b"\x01\x10\x08\x00"  # version 1, little-endian, 8 octets
_FIXED = 20  # behind both headers and the pointer to the structure
_STRINGS = _FIXED + 48  # behind six times
_USER_ID = _STRINGS + 48 + 4  # behind six strings and two counts
_GROUPS = _USER_ID + 8
_NAMES = _GROUPS + 8 + 20  # behind flags and session key
_DOMAIN_ID = _NAMES + 16
_END = _FIXED + 216
_SID_HEAD = 8


def user_sid(raw: bytes) -> bytes:
    """Return the SID of the ticket's account as `objectSid` holds it.

    Args:
        raw: KERB_VALIDATION_INFO.

    Raises:
        Undecodable: It is none, or names nobody of its own domain.
    """
    try:
        return _user_sid(raw)
    except struct.error:
        raise Undecodable("is a cut-off KERB_VALIDATION_INFO") from None


def _user_sid(raw: bytes) -> bytes:
    if raw[:4] != _HEADER or len(raw) < _END:
        raise Undecodable("is no KERB_VALIDATION_INFO")
    at = _END
    for position in range(_STRINGS, _STRINGS + 48, 8):
        at = _behind_string(raw, position, at)
    count, pointer = struct.unpack_from("<II", raw, _GROUPS)
    if pointer:
        at += 4 + 8 * count
    for position in (_NAMES, _NAMES + 8):
        at = _behind_string(raw, position, at)
    (pointer,) = struct.unpack_from("<I", raw, _DOMAIN_ID)
    (rid,) = struct.unpack_from("<I", raw, _USER_ID)
    if not pointer or not rid:
        raise Undecodable("names nobody of its own domain")
    (parts,) = struct.unpack_from("<I", raw, at)
    domain = raw[at + 4 : at + 4 + _SID_HEAD + 4 * parts]
    return sid.encode(f"{sid.decode(domain)}-{rid}")


def _behind_string(raw: bytes, position: int, at: int) -> int:
    """Return where the text of a string ends, at whose place another thing begins."""
    (pointer,) = struct.unpack_from("<I", raw, position + 4)
    if not pointer:
        return at
    letters: int = struct.unpack_from("<III", raw, at)[2]
    return at + 12 + (2 * letters + 3) // 4 * 4
