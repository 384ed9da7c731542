"""Answer one login: resolve, refuse what may not reach a directory, ask.

Theory. A login that waits for a directory holds a thread. So that a domain whose
servers hang cannot hold them all, at most `AT_ONCE` logins of one domain wait for
its directories at the same time. The next one waits for a moment only, which a
burst of logins at a healthy directory needs, and is then told as an outage. Local
accounts ask no directory and are not counted.
"""

from __future__ import annotations

import logging
import re
import unicodedata
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from threading import BoundedSemaphore
from typing import assert_never

from dirbridge.authenticators.base import Authenticator
from dirbridge.errors import StoreError
from dirbridge.login.domains import Resolution, Resolver
from dirbridge.model.account import Account, AccountState, Origin
from dirbridge.model.deadline import Deadline
from dirbridge.model.login import (
    Accepted,
    Attempt,
    Cause,
    LoginRequest,
    Reason,
    Rejected,
    Unavailable,
    Verdict,
)
from dirbridge.model.names import DomainName
from dirbridge.model.secret import Secret

LOG = logging.getLogger("dirbridge.login")

LONGEST_NAME = 1024
"""Characters; the longest address of RFC 5321 has 254."""

AT_ONCE = 32
"""How many logins of one domain may wait for its directories at the same time."""

_MOMENT = 0.25
"""Seconds that the next login waits for one of them to end."""

_STATE_REASONS = {
    AccountState.DISABLED: Reason.DISABLED,
    AccountState.DEACTIVATED: Reason.DEACTIVATED,
    AccountState.REMOVED: Reason.REMOVED,
}


Refresh = Callable[[Collection[DomainName], Deadline], Cause | None]
"""Brings domains up to date; see `LoginService.refresh`."""


@dataclass(frozen=True, slots=True)
class LoginService:
    """Answer logins, from any thread.

    Attributes:
        resolver: Finds who is meant.
        methods: Gives the authenticators of a mapped account, in order.
        local: The authenticator of local accounts.
        limit: How long an answer may take where the request has no deadline.
        attempted: Told each attempt, for the attempts log; must not block.
        refresh: Brings domains up to date for a name that nobody has there; says why
            it could not, or None. It ends well before the deadline.
    """

    resolver: Resolver
    methods: Callable[[Account], tuple[Authenticator, ...]]
    local: Authenticator
    limit: timedelta = timedelta(seconds=9)
    attempted: Callable[[Attempt], None] = lambda _attempt: None
    refresh: Refresh = lambda _domains, _deadline: None
    _places: dict[DomainName, BoundedSemaphore] = field(default_factory=dict)

    def answer(self, request: LoginRequest) -> Verdict:
        """Say whether the login is right, wrong, or cannot be told.

        Args:
            request: What the mail service asks.

        Returns:
            One of the three verdicts; an outage is never a rejection. Nobody is
            asked once the request's deadline is over.
        """
        deadline = request.deadline or Deadline.after(self.limit.total_seconds())
        return self._verdict(request, deadline)

    def told(self, request: LoginRequest, verdict: Verdict, seconds: float) -> None:
        """Log what a mail service was told, and hand it to the attempts log.

        Args:
            request: What it asked.
            verdict: What it was told.
            seconds: How long that took.
        """
        attempt = Attempt(
            verdict=verdict,
            request_name=request.name[:LONGEST_NAME],
            service=request.service,
            hook=request.hook,
            remote_ip=request.remote_ip,
            local_ip=request.local_ip,
            milliseconds=seconds * 1000,
        )
        LOG.info("%s", log_line(attempt))
        self.attempted(attempt)

    def _verdict(self, request: LoginRequest, deadline: Deadline) -> Verdict:
        refusal = refuse(request.name, request.password)
        if refusal is not None:
            return Rejected(refusal)
        if not deadline.left():
            return Unavailable(Cause.TIMEOUT)
        found = self._meant(request, deadline)
        if isinstance(found, Unavailable):
            return found
        account = found.account
        if account is None:
            return Rejected(found.reason or Reason.UNKNOWN)
        barred = barred_by(account, datetime.now(UTC))
        if barred is not None:
            return Rejected(barred, user=account.canonical)
        return self._ask(account, request.password, deadline)

    def _meant(
        self, request: LoginRequest, deadline: Deadline
    ) -> Resolution | Unavailable:
        """Find out who is meant; somebody hired at nine logs in at nine."""
        try:
            found = self._resolve(request)
            if found.reason is not Reason.UNKNOWN:
                return found
            cause = self.refresh(found.domains, deadline)
            if cause is not None:
                return Unavailable(cause, detail="for a name not known here")
            return self._resolve(request)
        except StoreError as error:
            return Unavailable(Cause.STORE, detail=error.code)

    def _resolve(self, request: LoginRequest) -> Resolution:
        return self.resolver.resolve(request.name, request.local_ip, request.remote_ip)

    def _ask(self, account: Account, password: Secret, deadline: Deadline) -> Verdict:
        if account.origin is Origin.LOCAL:
            return _first_to_know((self.local,), account, password, deadline)
        place = self._places.setdefault(account.domain, BoundedSemaphore(AT_ONCE))
        if not place.acquire(timeout=deadline.within(_MOMENT)):
            detail = f"{AT_ONCE} logins of {account.domain} wait for its directory"
            return Unavailable(Cause.OVERLOADED, account.canonical, detail=detail)
        try:
            methods = self.methods(account)
            return _first_to_know(methods, account, password, deadline)
        finally:
            place.release()


def _first_to_know(
    authenticators: Iterable[Authenticator],
    account: Account,
    password: Secret,
    deadline: Deadline,
) -> Verdict:
    """Ask one method after another until one of them knows.

    The next one is asked only when nobody could say, or when the method does not
    know the account at all; a wrong password stands.
    """
    last: Verdict | None = None
    for authenticator in authenticators:
        if not deadline.left():
            late = Unavailable(Cause.TIMEOUT, account.canonical, authenticator.method)
            return _weightier(late, last)
        verdict = authenticator.authenticate(account, password, deadline)
        verdict = _named(verdict, account.canonical)
        match verdict:
            case Accepted():
                return verdict
            case Rejected(reason=Reason.UNKNOWN) | Unavailable():
                last = _weightier(verdict, last)
            case Rejected():
                return verdict
            case _:
                assert_never(verdict)
    no_method = Unavailable(
        Cause.CONFIGURATION, user=account.canonical, detail="no login method"
    )
    return last or no_method


def refuse(name: str, password: Secret) -> Reason | None:
    """Return why this login may not reach a directory, or None.

    An empty password would bind as anonymous and look accepted (RFC 4513 section
    5.1.2); one of control characters alone is what broken clients send for an
    empty one (facts: mail-hooks 5); a NUL ends it in C libraries.
    """
    text = password.reveal()
    if not text:
        return Reason.EMPTY_PASSWORD
    if "\0" in text or all(unicodedata.category(letter) == "Cc" for letter in text):
        return Reason.BAD_PASSWORD
    typed = name.strip()
    broken = any(unicodedata.category(letter) == "Cc" for letter in typed)
    if not typed or broken or len(typed) > LONGEST_NAME:
        return Reason.BAD_NAME
    return None


def barred_by(account: Account, now: datetime) -> Reason | None:
    """Return why the account may not log in whatever its password, or None."""
    expires = account.values.expires_at
    if account.state is AccountState.ACTIVE and expires and expires <= now:
        return Reason.EXPIRED
    return _STATE_REASONS.get(account.state)


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


def log_line(attempt: Attempt) -> str:
    """Return the stable line of one login; fields hold no blanks.

    `login verdict= reason= user= rip= lip= service= hook= method= server= ms=`
    """
    verdict = attempt.verdict
    word, reason = _words(verdict)
    fields = {
        "verdict": word,
        "reason": reason,
        "user": verdict.user or attempt.request_name,
        "rip": str(attempt.remote_ip or ""),
        "lip": str(attempt.local_ip or ""),
        "service": attempt.service,
        "hook": attempt.hook,
        "method": verdict.method,
        "server": verdict.server,
        "ms": f"{attempt.milliseconds:.0f}",
    }
    return "login " + " ".join(f"{key}={plain(text)}" for key, text in fields.items())


def _words(verdict: Verdict) -> tuple[str, str]:
    match verdict:
        case Accepted():
            return ("accepted", "")
        case Rejected(reason=reason):
            return ("rejected", reason)
        case Unavailable(cause=cause):
            return ("unavailable", cause)
        case _:
            assert_never(verdict)


def plain(text: str) -> str:
    """Percent-encode what would break a log's line into other fields or lines."""

    def encoded(match: re.Match[str]) -> str:
        return "".join(f"%{byte:02X}" for byte in match[0].encode("utf-8", "replace"))

    return re.sub(r"[\s%=\x00-\x1f\x7f-\x9f\u2028\u2029]", encoded, text[:256])
