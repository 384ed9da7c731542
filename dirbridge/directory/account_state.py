"""Why a directory would not let an account log in, read from its entry.

Each sign is looked at where the entry has it, so there is no question of which
kind of directory it is (facts: ad-semantics 5, open-directory 3).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from datetime import datetime

from dirbridge.directory import (
    account_control,
    filetime,
    logon_hours,
    open_directory_state,
    plain_ldap_state,
    workstations,
)
from dirbridge.directory.account_control import AccountControl
from dirbridge.directory.errors import Undecodable
from dirbridge.model.entry import Entry
from dirbridge.model.login import Reason

COMPUTED = "msDS-User-Account-Control-Computed"

_NETBIOS = 15
"""Letters of a computer's NetBIOS name, as workstations have it (MS-ADA3 2.349)."""


def barriers(entry: Entry, now: datetime, computer: str = "") -> tuple[Reason, ...]:
    """Return every reason for which the directory would refuse a right password.

    Attributes that cannot be decoded are passed over: a login is refused only for
    what the directory really says.

    Args:
        entry: The entry, read with its account-state attributes.
        now: The time to judge by (UTC).
        computer: From where the login comes: the name of the machine that asks the
            directory. An account that names it in its workstations may log in there.
    """
    found = dict.fromkeys(r for sign in _SIGNS for r in sign(entry, now))
    if _may_come_from(entry, computer):
        found.pop(Reason.WORKSTATION, None)
    return tuple(found)


def _control(entry: Entry, attribute: str) -> AccountControl:
    for value in entry.values(attribute):
        with suppress(Undecodable):
            return account_control.decode(value)
    return AccountControl(0)


def _disabled(entry: Entry, _now: datetime) -> Iterator[Reason]:
    if AccountControl.DISABLED in _control(entry, "userAccountControl"):
        yield Reason.DISABLED


def _locked(entry: Entry, _now: datetime) -> Iterator[Reason]:
    """Believe the computed bit: lockoutTime stays when the lock has run out."""
    computed = entry.values(COMPUTED)
    if computed:
        if AccountControl.LOCKED_OUT in _control(entry, COMPUTED):
            yield Reason.LOCKED
    elif any(_times(entry, "lockoutTime")):
        yield Reason.LOCKED


def _expired(entry: Entry, now: datetime) -> Iterator[Reason]:
    if any(ends <= now for ends in _times(entry, "accountExpires")):
        yield Reason.EXPIRED


def _password(entry: Entry, _now: datetime) -> Iterator[Reason]:
    if AccountControl.PASSWORD_EXPIRED in _control(entry, COMPUTED):
        never_set = entry.values("pwdLastSet") == (b"0",)
        yield Reason.MUST_CHANGE if never_set else Reason.PASSWORD_EXPIRED


def _hours(entry: Entry, now: datetime) -> Iterator[Reason]:
    for value in entry.values("logonHours"):
        with suppress(Undecodable):
            if not logon_hours.decode(value).allow(now):
                yield Reason.LOGON_HOURS


def _workstations(entry: Entry, _now: datetime) -> Iterator[Reason]:
    for value in entry.values("userWorkstations"):
        with suppress(Undecodable):
            if workstations.decode(value):
                yield Reason.WORKSTATION


def _may_come_from(entry: Entry, computer: str) -> bool:
    """Tell whether the workstations name a computer, by its NetBIOS or DNS name."""
    names = {computer, computer.partition(".")[0][:_NETBIOS]} - {""}
    for value in entry.values("userWorkstations"):
        with suppress(Undecodable):
            listed = workstations.decode(value)
            return any(workstations.allow(listed, name) for name in names)
    return False


def _smartcard(entry: Entry, _now: datetime) -> Iterator[Reason]:
    if AccountControl.SMARTCARD_REQUIRED in _control(entry, "userAccountControl"):
        yield Reason.SMARTCARD


def _open_directory(entry: Entry, _now: datetime) -> tuple[Reason, ...]:
    return open_directory_state.reasons(entry)


def _times(entry: Entry, attribute: str) -> Iterator[datetime]:
    """Yield an attribute's times; never, and what is none, yield nothing."""
    for value in entry.values(attribute):
        with suppress(Undecodable):
            time = filetime.decode(value)
            if time is not None:
                yield time


_SIGNS: tuple[Callable[[Entry, datetime], Iterable[Reason]], ...] = (
    _disabled,
    _locked,
    _expired,
    _password,
    _hours,
    _workstations,
    _smartcard,
    _open_directory,
    plain_ldap_state.reasons,
)
