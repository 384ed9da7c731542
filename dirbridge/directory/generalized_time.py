"""GeneralizedTime (RFC 4517 section 3.3.13)."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone

from dirbridge.directory.errors import Undecodable, as_text

_FORM = re.compile(
    r"(?P<day>\d{8})(?P<hour>\d\d)(?P<minute>\d\d)?(?P<second>\d\d)?"
    r"(?:[.,](?P<fraction>\d{1,20}))?(?:Z|(?P<sign>[+-])(?P<off>\d\d)(?P<offmin>\d\d)?)\Z",
    re.ASCII,
)

_USUAL = re.compile(r"\d{12}[0-5]\d(?:\.0)?Z\Z", re.ASCII)
"""As OpenLDAP and Active Directory write it."""


def decode(raw: bytes | str) -> datetime:
    """Read a GeneralizedTime, such as `20240229120000.0Z`, as UTC.

    A leap second (`60`) is read as the second before it.

    Raises:
        Undecodable: It is none, or no such day exists.
    """
    text = as_text(raw).strip()
    if _USUAL.match(text):
        return _usual(text)
    match = _FORM.match(text)
    if match is None or (match["second"] and not match["minute"]):
        raise Undecodable("is not a time like 20240229120000Z")
    try:
        day = match["day"]
        local = datetime(
            int(day[:4]),
            int(day[4:6]),
            int(day[6:]),
            int(match["hour"]),
            int(match["minute"] or 0),
            min(int(match["second"] or 0), 59),
            tzinfo=timezone(_offset(match)),
        )
        return (local + _fraction(match)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise Undecodable("is not a time that exists") from None


def _usual(text: str) -> datetime:
    try:
        return datetime.fromisoformat(f"{text[:8]}T{text[8:14]}+00:00")
    except ValueError:
        raise Undecodable("is not a time that exists") from None


def encode(time: datetime) -> str:
    """Write a time in UTC, to the second, as AD and OpenLDAP both take it."""
    utc = time.astimezone(UTC)
    return f"{utc.year:04}{utc:%m%d%H%M%S}.0Z"


def _offset(match: re.Match[str]) -> timedelta:
    size = timedelta(hours=int(match["off"] or 0), minutes=int(match["offmin"] or 0))
    return -size if match["sign"] == "-" else size


def _fraction(match: re.Match[str]) -> timedelta:
    """Return the fraction of the smallest unit that is written."""
    if not match["fraction"]:
        return timedelta()
    unit = 1 if match["second"] else 60 if match["minute"] else 3600
    return timedelta(seconds=float(f"0.{match['fraction']}") * unit)
