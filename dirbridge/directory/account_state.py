"""Why a directory would not let an account log in, read from its entry.

Each sign is looked at where the entry has it, so there is no question of which
kind of directory it is (facts: ad-semantics 5, open-directory 3).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime

from dirbridge.directory import account_control, auth_authority, filetime
from dirbridge.directory.account_control import AccountControl
from dirbridge.directory.errors import Undecodable
from dirbridge.model.entry import Entry
from dirbridge.model.login import Reason

COMPUTED = "msDS-User-Account-Control-Computed"
HOURS = 21
"""logonHours: 168 bits, one for each hour of a week from Sunday 00:00 UTC."""


def barriers(entry: Entry, now: datetime) -> tuple[Reason, ...]:
    """Return every reason for which the directory would refuse a right password.

    Attributes that cannot be decoded are passed over: this only ever adds an
    explanation, it decides no login.

    Args:
        entry: The entry, read with its account-state attributes.
        now: The time to judge by (UTC).
    """
    return tuple(reason for sign in _SIGNS for reason in sign(entry, now))


def allowed_now(hours: bytes, now: datetime) -> bool:
    """Say whether logonHours allow a login at a time (MS-ADA1 logonHours).

    Args:
        hours: The 21 bytes; any other length allows everything.
        now: The time (UTC).
    """
    if len(hours) != HOURS:
        return True
    utc = now.astimezone(UTC)
    hour = (utc.isoweekday() % 7) * 24 + utc.hour
    return bool(hours[hour // 8] >> (hour % 8) & 1)


def _control(entry: Entry, attribute: str) -> AccountControl:
    for value in entry.values(attribute):
        try:
            return account_control.decode(value)
        except Undecodable:
            pass
    return AccountControl(0)


def _disabled(entry: Entry, _now: datetime) -> Iterator[Reason]:
    control = _control(entry, "userAccountControl")
    disabled_user = auth_authority.is_disabled(entry.values("authAuthority"))
    if AccountControl.DISABLED in control or disabled_user:
        yield Reason.DISABLED


def _locked(entry: Entry, _now: datetime) -> Iterator[Reason]:
    if AccountControl.LOCKED_OUT in _control(entry, COMPUTED):
        yield Reason.LOCKED


def _expired(entry: Entry, now: datetime) -> Iterator[Reason]:
    for value in entry.values("accountExpires"):
        try:
            ends = filetime.decode(value)
        except Undecodable:
            continue
        if ends is not None and ends <= now:
            yield Reason.EXPIRED


def _password(entry: Entry, _now: datetime) -> Iterator[Reason]:
    if AccountControl.PASSWORD_EXPIRED in _control(entry, COMPUTED):
        never_set = entry.values("pwdLastSet") == (b"0",)
        yield Reason.MUST_CHANGE if never_set else Reason.PASSWORD_EXPIRED


def _hours(entry: Entry, now: datetime) -> Iterator[Reason]:
    for value in entry.values("logonHours"):
        if not allowed_now(value, now):
            yield Reason.LOGON_HOURS


def _workstations(entry: Entry, _now: datetime) -> Iterator[Reason]:
    if any(entry.values("userWorkstations")):
        yield Reason.WORKSTATION


_SIGNS: tuple[Callable[[Entry, datetime], Iterator[Reason]], ...] = (
    _disabled,
    _locked,
    _expired,
    _password,
    _hours,
    _workstations,
)
