"""Ask an account's login methods, in order."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import assert_never

from dirbridge.authenticators.base import Authenticator
from dirbridge.model.account import Account
from dirbridge.model.deadline import Deadline
from dirbridge.model.login import (
    Accepted,
    Cause,
    Reason,
    Rejected,
    Unavailable,
    Verdict,
)
from dirbridge.model.secret import Secret


def first_to_know(
    authenticators: Iterable[Authenticator],
    account: Account,
    password: Secret,
    deadline: Deadline,
) -> Verdict:
    """Ask one method after another until one of them knows.

    The next one is asked only when nobody could say, or when the method does not
    know the account at all or holds no password for it; a wrong password stands. So
    does the silence of a server that may have counted the password: asked of the next
    method, a wrong one would count twice. An outage tells what another method said
    against the account.
    """
    last: Verdict | None = None
    against: Reason | None = None
    for authenticator in authenticators:
        if not deadline.left():
            late = Unavailable(Cause.TIMEOUT, account.canonical, authenticator.method)
            return _doubted(_weightier(late, last), against)
        verdict = authenticator.authenticate(account, password, deadline)
        verdict = _named(verdict, account.canonical)
        match verdict:
            case Accepted() | Unavailable(sent=True):
                return _doubted(verdict, against)
            case Rejected(reason=Reason.UNKNOWN | Reason.NO_PASSWORD) | Unavailable():
                last = _weightier(verdict, last)
                against = against or _against(verdict)
            case Rejected():
                return verdict
            case _:
                assert_never(verdict)
    no_method = Unavailable(
        Cause.CONFIGURATION, user=account.canonical, detail="no login method"
    )
    return _doubted(last or no_method, against)


def _against(verdict: Verdict) -> Reason | None:
    """Return what a verdict says against the account itself."""
    match verdict:
        case Rejected(reason=Reason.UNKNOWN):
            return Reason.UNKNOWN
        case _:
            return None


def _doubted(verdict: Verdict, against: Reason | None) -> Verdict:
    if against is not None and isinstance(verdict, Unavailable):
        return replace(verdict, against=against)
    return verdict


def _named(verdict: Verdict, user: str) -> Verdict:
    """Put the account's one name into a verdict, whatever the method wrote."""
    return replace(verdict, user=user)


def _weightier(now: Verdict, before: Verdict | None) -> Verdict:
    """Return which of two verdicts stands where no method is sure.

    An outage does before all: that method might have known. One that merely lacks
    its set-up never knew anybody, so it does not hide that another one said no.
    """
    if before is None or _weight(now) >= _weight(before):
        return now
    return before


def _weight(verdict: Verdict) -> int:
    match verdict:
        case Unavailable(cause=Cause.CONFIGURATION):
            return 0
        case Unavailable():
            return 2
        case _:
            return 1
