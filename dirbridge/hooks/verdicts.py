"""How verdicts are told: one table for each protocol.

The outside learns only that a login failed, never why: every rejection is told
in the same words; a failure repeats the name that was typed, since Postfix logs it
as `sasl_username`. An outage is not a rejection (facts: mail-hooks sections 1 and
3): Postfix, Exim and libsasl understand it only where the connection is closed
without a reply, so that is what `temp_failure = "close"` does. With `"fail"` the
reply is a failure, which a client of the Dovecot protocol may tell from a wrong
password by its code, while one of saslauthd cannot.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

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


LONGEST_NAME = 255
"""Longest name, in characters, that a failure repeats."""


@dataclass(frozen=True, slots=True)
class Asked:
    """The exchange that a reply belongs to.

    Attributes:
        id: The client's number for it.
        name: What the person typed.
    """

    id: int
    name: str

    @property
    def shown(self) -> str:
        """The name where a failure may repeat it, for the mail server's log."""
        plain = self.name.isprintable() and len(self.name) <= LONGEST_NAME
        return self.name if plain else ""


def _ok(asked: Asked, verdict: Verdict) -> dovecot_auth.Reply:
    return dovecot_auth.Ok(asked.id, verdict.user)


def _fail(asked: Asked, _: Verdict) -> dovecot_auth.Reply:
    return dovecot_auth.Fail(asked.id, user=asked.shown)


def _temporary(asked: Asked, _: Verdict) -> dovecot_auth.Reply:
    return dovecot_auth.Fail(asked.id, user=asked.shown, code="temp_fail")


_DOVECOT: Mapping[Case, Callable[[Asked, Verdict], dovecot_auth.Reply] | None] = {
    (Accepted, TemporaryFailure.CLOSE): _ok,
    (Accepted, TemporaryFailure.FAIL): _ok,
    (Rejected, TemporaryFailure.CLOSE): _fail,
    (Rejected, TemporaryFailure.FAIL): _fail,
    (Unavailable, TemporaryFailure.CLOSE): CLOSE,
    (Unavailable, TemporaryFailure.FAIL): _temporary,
}


def dovecot_reply(
    asked: Asked, verdict: Verdict, temp_failure: TemporaryFailure
) -> dovecot_auth.Reply | None:
    """Give the reply to a Dovecot auth client's exchange, or CLOSE."""
    make = _DOVECOT[type(verdict), temp_failure]
    return make(asked, verdict) if make else CLOSE
