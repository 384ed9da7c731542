"""logonHours: at which hours of a week a user may log in (MS-ADA1 2.374).

21 octets are 168 bits, one for each hour of a week from Sunday 00:00 UTC, the
lowest bit of an octet first. Tools show them in local time and store them in UTC.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from dirbridge.directory.errors import Undecodable

OCTETS = 21
HOURS = 168
_ALL = (1 << HOURS) - 1
_HOUR = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class LogonHours:
    """The hours of a week at which a login is allowed.

    Attributes:
        bits: Bit n is the hour n of the week, counted from Sunday 00:00 UTC.
    """

    bits: int

    @property
    def always(self) -> bool:
        """Whether every hour is allowed."""
        return self.bits == _ALL

    def allow(self, at: datetime) -> bool:
        """Tell whether a login is allowed at a time, which must have a zone."""
        return bool(self.bits >> _hour_of_week(at) & 1)

    def next_allowed(self, at: datetime) -> datetime | None:
        """Return from when on a login is allowed: `at` itself, or a full hour (UTC).

        None where no hour of the week is allowed.
        """
        ahead = self._ahead(at, allowed=True)
        return None if ahead is None else _after(at, ahead)

    def allowed_until(self, at: datetime) -> datetime | None:
        """Return when the hours that hold at a time end: a full hour, or `at` itself.

        None where they never end.
        """
        ahead = self._ahead(at, allowed=False)
        return None if ahead is None else _after(at, ahead)

    def _ahead(self, at: datetime, *, allowed: bool) -> int | None:
        """Count the hours from that of `at` to the first one of a kind."""
        now = _hour_of_week(at)
        turned = (self.bits >> now | self.bits << HOURS - now) & _ALL
        wanted = turned if allowed else ~turned & _ALL
        return (wanted & -wanted).bit_length() - 1 if wanted else None


def decode(raw: bytes) -> LogonHours:
    """Read logonHours.

    Raises:
        Undecodable: It is not 21 octets.
    """
    if len(raw) != OCTETS:
        raise Undecodable(f"is not a week of hours: {len(raw)} octets instead of 21")
    return LogonHours(int.from_bytes(raw, "little"))


def _hour_of_week(at: datetime) -> int:
    utc = at.astimezone(UTC)
    return utc.isoweekday() % 7 * 24 + utc.hour


def _after(at: datetime, hours: int) -> datetime:
    utc = at.astimezone(UTC)
    if not hours:
        return utc
    return utc.replace(minute=0, second=0, microsecond=0) + hours * _HOUR
