"""Why an OpenLDAP or a 389 Directory Server would refuse an account.

389 Directory Server: nsAccountLock, accountUnlockTime, passwordExpirationTime.
OpenLDAP (draft-behera-ldap-password-policy): pwdAccountLockedTime, pwdReset.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime

from dirbridge.directory import generalized_time
from dirbridge.directory.errors import Undecodable
from dirbridge.model.entry import Entry
from dirbridge.model.login import Reason

ATTRIBUTES = (
    "nsAccountLock",
    "accountUnlockTime",
    "passwordExpirationTime",
    "pwdAccountLockedTime",
    "pwdReset",
    "pwdChangedTime",
    "krbLastPwdChange",
)
"""Operational, nearly all of them: to be asked for by name."""

FOR_EVER = (b"000001010000Z", b"00000101000000Z")
"""pwdAccountLockedTime of an account that only an administrator unlocks."""

NEVER_ENDS = b"19700101000000Z"
"""accountUnlockTime of an account that only an administrator unlocks."""


def is_locked(text: str) -> bool:
    """Read nsAccountLock.

    Raises:
        Undecodable: It is no truth value.
    """
    word = text.strip().lower()
    if word not in {"true", "false"}:
        raise Undecodable("is neither TRUE nor FALSE")
    return word == "true"


def reasons(entry: Entry, now: datetime) -> tuple[Reason, ...]:
    """Return why such a server would refuse an account; broken values say nothing.

    A lock by OpenLDAP's password policy is told also where it may have run out:
    how long it lasts stands in the policy, not in the entry.

    Args:
        entry: The entry, read with `ATTRIBUTES`.
        now: The time to judge by (UTC).
    """
    return tuple(dict.fromkeys(r for look in _SIGNS for r in look(entry, now)))


def _disabled(entry: Entry, _now: datetime) -> Iterator[Reason]:
    if any(value.strip().lower() == b"true" for value in entry.values("nsAccountLock")):
        yield Reason.DISABLED


def _locked(entry: Entry, now: datetime) -> Iterator[Reason]:
    for value in entry.values("accountUnlockTime")[:1]:
        if value == NEVER_ENDS or _ahead(value, now):
            yield Reason.LOCKED
    for value in entry.values("pwdAccountLockedTime")[:1]:
        if value in FOR_EVER or _ahead(value, now) is False:
            yield Reason.LOCKED


def _password(entry: Entry, now: datetime) -> Iterator[Reason]:
    if entry.values("pwdReset") == (b"TRUE",):
        yield Reason.MUST_CHANGE
    for value in entry.values("passwordExpirationTime")[:1]:
        if value == NEVER_ENDS:
            # What the server writes when an administrator has set the password.
            yield Reason.MUST_CHANGE
        elif _ahead(value, now) is False:
            yield Reason.PASSWORD_EXPIRED


def _ahead(value: bytes, now: datetime) -> bool | None:
    """Tell whether a time is still to come, None where it is no time."""
    try:
        return generalized_time.decode(value) > now
    except Undecodable:
        return None


_SIGNS: tuple[Callable[[Entry, datetime], Iterator[Reason]], ...] = (
    _disabled,
    _locked,
    _password,
)
