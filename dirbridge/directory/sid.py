"""Security identifiers (MS-DTYP 2.4.2): objectSid, each value of sIDHistory."""

from __future__ import annotations

import re
import struct

from dirbridge.directory.errors import Undecodable, as_text

_HEAD = 8
_MOST = 15
_RID = re.compile(r"\d{1,10}\Z", re.ASCII)


def decode(raw: bytes) -> str:
    """Read objectSid as `S-1-5-21-...`.

    The authority is six octets big-endian, the sub-authorities little-endian; the
    last one is the RID (facts: ad-semantics 3).

    Raises:
        Undecodable: It is no SID of revision 1, or has another length.
    """
    if len(raw) < _HEAD or raw[0] != 1 or raw[1] > _MOST:
        raise Undecodable("is not a SID of revision 1")
    count = raw[1]
    if len(raw) != _HEAD + 4 * count:
        raise Undecodable(f"is not a SID: {len(raw)} octets do not hold {count} parts")
    authority = int.from_bytes(raw[2:_HEAD], "big")
    parts = struct.unpack(f"<{count}I", raw[_HEAD:])
    return "-".join(str(part) for part in ("S", 1, authority, *parts))


def encode(text: str) -> bytes:
    """Write `S-1-5-21-...` as octets, for a search filter.

    Raises:
        Undecodable: It is no SID.
    """
    parts = text.split("-")
    if parts[:2] != ["S", "1"] or not all(
        p.isascii() and p.isdigit() for p in parts[2:]
    ):
        raise Undecodable("is not a SID like S-1-5-21-1-2-3-500")
    authority, *rest = (int(part) for part in parts[2:]) if parts[2:] else (2**48,)
    if authority >= 2**48 or len(rest) > _MOST or any(part >= 2**32 for part in rest):
        raise Undecodable("is not a SID: a part is missing or too large")
    head = bytes([1, len(rest)]) + authority.to_bytes(6, "big")
    return head + struct.pack(f"<{len(rest)}I", *rest)


def with_rid(domain: str, rid: int) -> str:
    """Return the SID of the object with that RID in a domain.

    primaryGroupID holds such a RID; that membership stands in no `member`.
    """
    return f"{domain}-{rid}"


def rid(text: str) -> int:
    """Return the last part of a SID.

    Raises:
        Undecodable: It is no SID, or has no RID.
    """
    if len(encode(text)) == _HEAD:
        raise Undecodable("is a SID without a RID")
    return int(text.rpartition("-")[2])


def domain(text: str) -> str:
    """Return the SID of the domain that an object's SID belongs to.

    Raises:
        Undecodable: It is no SID, or has no RID.
    """
    rid(text)
    return text.rpartition("-")[0]


def primary_group(text: str, raw: bytes | str) -> str:
    """Return the SID of an account's primary group, which stands in no `member`.

    Args:
        text: The account's own SID; the group is of the same domain.
        raw: Its primaryGroupID, a RID.

    Raises:
        Undecodable: One of them is not what it must be.
    """
    number = as_text(raw).strip()
    if not _RID.match(number) or int(number) >= 2**32:
        raise Undecodable("is not a RID, a 32-bit number")
    return with_rid(domain(text), int(number))
