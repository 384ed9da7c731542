"""How verdicts are told: one table for each protocol.

The outside learns only that a login failed, never why: every rejection is told
in the same words. An outage is not a rejection (facts: mail-hooks sections 1 and
3): Postfix, Exim and libsasl understand it only where the connection is closed
without a reply, so that is what `temp_failure = "close"` does. With `"fail"` the
reply is a failure, which a client of the Dovecot protocol may tell from a wrong
password by its code, while one of saslauthd cannot.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from dirbridge.config.settings import TemporaryFailure
from dirbridge.model.login import Accepted, Rejected, Unavailable, Verdict
from dirbridge.protocols import dovecot_auth, saslauthd

CLOSE = None
"""Instead of a reply: close the connection."""

Case = tuple[type[Verdict], TemporaryFailure]

_SASLAUTHD: Mapping[Case, saslauthd.Reply | None] = {
    (Accepted, TemporaryFailure.CLOSE): saslauthd.Ok(),
    (Accepted, TemporaryFailure.FAIL): saslauthd.Ok(),
    (Rejected, TemporaryFailure.CLOSE): saslauthd.No(),
    (Rejected, TemporaryFailure.FAIL): saslauthd.No(),
    (Unavailable, TemporaryFailure.CLOSE): CLOSE,
    (Unavailable, TemporaryFailure.FAIL): saslauthd.No(),
}


def saslauthd_reply(
    verdict: Verdict, temp_failure: TemporaryFailure
) -> saslauthd.Reply | None:
    """Give the reply to a saslauthd client, or CLOSE."""
    return _SASLAUTHD[type(verdict), temp_failure]


def _ok(number: int, verdict: Verdict) -> dovecot_auth.Reply:
    return dovecot_auth.Ok(number, verdict.user)


def _fail(number: int, _: Verdict) -> dovecot_auth.Reply:
    return dovecot_auth.Fail(number)


def _temporary(number: int, _: Verdict) -> dovecot_auth.Reply:
    return dovecot_auth.Fail(number, code="temp_fail")


_DOVECOT: Mapping[Case, Callable[[int, Verdict], dovecot_auth.Reply] | None] = {
    (Accepted, TemporaryFailure.CLOSE): _ok,
    (Accepted, TemporaryFailure.FAIL): _ok,
    (Rejected, TemporaryFailure.CLOSE): _fail,
    (Rejected, TemporaryFailure.FAIL): _fail,
    (Unavailable, TemporaryFailure.CLOSE): CLOSE,
    (Unavailable, TemporaryFailure.FAIL): _temporary,
}


def dovecot_reply(
    number: int, verdict: Verdict, temp_failure: TemporaryFailure
) -> dovecot_auth.Reply | None:
    """Give the reply to a Dovecot auth client's exchange, or CLOSE."""
    make = _DOVECOT[type(verdict), temp_failure]
    return make(number, verdict) if make else CLOSE
