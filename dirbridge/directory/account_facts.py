"""What an entry says of its account's state, with times, for people.

`account_state` says what would stop a login; this is the rest that helpdesk staff
look for: since when, until when, from where. Attributes that are not there or cannot
be decoded say nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime

from dirbridge.directory import (
    exchange,
    filetime,
    logon_hours,
    open_directory_state,
    password_age,
    workstations,
)
from dirbridge.directory.account_state import barriers
from dirbridge.directory.errors import Undecodable
from dirbridge.model.entry import Entry
from dirbridge.model.login import Reason

Fact = tuple[str, str]
"""What it is about, and half a sentence."""


def facts(entry: Entry, now: datetime) -> tuple[Fact, ...]:
    """Return what an entry says of its account's state.

    Args:
        entry: The entry, read with its account-state attributes.
        now: The time to judge by (UTC).
    """
    found: list[Fact] = []
    for tell in _TELLERS:
        with suppress(Undecodable):
            found += tell(entry, now)
    return tuple(found)


def _lock(entry: Entry, now: datetime) -> Iterator[Fact]:
    for raw in entry.values("lockoutTime"):
        at = filetime.decode(raw)
        if at is not None and Reason.LOCKED in barriers(entry, now):
            yield "lock", f"locked since {_shown(at)}"
        elif at is not None:
            yield "lock", f"was locked on {_shown(at)}; that lock has run out"


def _account(entry: Entry, now: datetime) -> Iterator[Fact]:
    for raw in entry.values("accountExpires"):
        at = filetime.decode(raw)
        if at is not None:
            yield "account", f"{'ended' if at <= now else 'ends'} on {_shown(at)}"


def _password_set(entry: Entry, _now: datetime) -> Iterator[Fact]:
    for raw in entry.values("pwdLastSet"):
        at = password_age.decode_last_set(raw)
        if at is not None:
            yield "password", f"set on {_shown(at)}"


def _password_end(entry: Entry, now: datetime) -> Iterator[Fact]:
    for raw in entry.values("msDS-UserPasswordExpiryTimeComputed"):
        expiry = password_age.decode_expiry(raw)
        if expiry.at is not None:
            word = "expired" if expiry.at <= now else "expires"
            yield "password", f"{word} on {_shown(expiry.at)}"
        elif expiry.never:
            yield "password", "never expires"
        else:
            yield "password", "must be changed at the next login"


def _hours(entry: Entry, now: datetime) -> Iterator[Fact]:
    for raw in entry.values("logonHours"):
        hours = logon_hours.decode(raw)
        start, end = hours.next_allowed(now), hours.allowed_until(now)
        if start is None:
            yield "logon hours", "no hour of the week is allowed"
        elif not hours.allow(now):
            yield "logon hours", f"not now; from {_shown(start)} on"
        elif end is not None:
            yield "logon hours", f"now, until {_shown(end)}"


def _computers(entry: Entry, _now: datetime) -> Iterator[Fact]:
    for raw in entry.values("userWorkstations"):
        names = workstations.decode(raw)
        if names:
            yield "workstations", f"only {', '.join(names)}"


def _exchange(entry: Entry, _now: datetime) -> Iterator[Fact]:
    for raw in entry.values("msExchRecipientTypeDetails"):
        yield "Exchange", f"a {exchange.decode_recipient_type(raw).name}"


def _hidden(entry: Entry, _now: datetime) -> Iterator[Fact]:
    for raw in entry.values("msExchHideFromAddressLists"):
        if exchange.decode_flag(raw):
            yield "Exchange", "hidden from address lists"


def _open_directory(entry: Entry, _now: datetime) -> Iterator[Fact]:
    for sign, reason in open_directory_state.signs(entry):
        yield sign, f"says: {reason}"


def _shown(time: datetime) -> str:
    return f"{time.astimezone(UTC):%a %Y-%m-%d %H:%M} UTC"


_TELLERS: tuple[Callable[[Entry, datetime], Iterator[Fact]], ...] = (
    _lock,
    _account,
    _password_set,
    _password_end,
    _hours,
    _computers,
    _exchange,
    _hidden,
    _open_directory,
)
