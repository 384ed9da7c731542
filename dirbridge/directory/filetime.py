"""FILETIME: 100-nanosecond steps since 1601, as text in Active Directory."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from dirbridge.directory.errors import Undecodable, as_text

NEVER = 0x7FFF_FFFF_FFFF_FFFF
_EPOCH = datetime(1601, 1, 1, tzinfo=UTC)
_NUMBER = re.compile(r"-?\d{1,20}\Z", re.ASCII)


def decode(raw: bytes | str) -> datetime | None:
    """Read a FILETIME, such as accountExpires, as UTC.

    0 and 0x7FFFFFFFFFFFFFFF both mean never (facts: ad-semantics 5), and so does
    any time past the year 9999, which tools have been seen to write.

    Returns:
        The time, or None for never.

    Raises:
        Undecodable: It is no 64-bit number, or lies before 1601.
    """
    text = as_text(raw).strip()
    if not _NUMBER.match(text) or not 0 <= int(text) <= NEVER:
        raise Undecodable("is not a FILETIME, a whole number from 0 to 2^63-1")
    if int(text) in {0, NEVER}:
        return None
    try:
        return _EPOCH + timedelta(microseconds=int(text) // 10)
    except OverflowError:
        return None


def encode(time: datetime | None) -> str:
    """Write a time as FILETIME; None is never."""
    if time is None:
        return str(NEVER)
    return str((time - _EPOCH) // timedelta(microseconds=1) * 10)
