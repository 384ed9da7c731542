"""Answer one login: resolve, refuse what may not reach a directory, ask.

Theory. A login that waits for a directory holds a thread. So that a domain whose
servers hang cannot hold them all, at most `AT_ONCE` logins of one domain wait for
its directories at the same time. The next one waits for a moment only, which a
burst of logins at a healthy directory needs, and is then told as an outage. Passwords
that are checked here ask no directory, whoever's they are, and are not counted.

Between the resolved name and the methods stand the stages; see `login.stage`.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from dirbridge.authenticators.base import Authenticator, is_startable
from dirbridge.errors import StoreError
from dirbridge.login.cache_names import KnownNames
from dirbridge.login.choices import LOCAL
from dirbridge.login.domains import Resolution, Resolver
from dirbridge.login.log_line import log_line
from dirbridge.login.methods import first_to_know
from dirbridge.login.places import Places
from dirbridge.login.refusals import LONGEST_NAME, barred_by, refuse
from dirbridge.login.repeats import Repeats
from dirbridge.login.stage import Login, Stage, is_swift
from dirbridge.login.tickets import Tickets, no_tickets
from dirbridge.login.underway import LoginUnderway
from dirbridge.model.account import Account, Origin
from dirbridge.model.deadline import Deadline
from dirbridge.model.finding import Finding
from dirbridge.model.login import (
    Accepted,
    Attempt,
    Cause,
    LoginRequest,
    Question,
    Reason,
    Rejected,
    TicketRequest,
    Unavailable,
    Verdict,
)
from dirbridge.model.names import DomainName
from dirbridge.model.quick import remaker
from dirbridge.model.secret import Secret

LOG = logging.getLogger("dirbridge.login")

AT_ONCE = 32
"""How many logins of one domain may wait for its directories at the same time."""

_MOMENT = 0.25
"""Seconds that the next login waits for one of them to end."""


Refresh = Callable[[Collection[DomainName], Deadline], Cause | None]
"""Brings domains up to date; see `LoginService.refresh`."""


def log_at_once(attempt: Attempt) -> None:
    """Log an attempt's stable line."""
    LOG.info("%s", log_line(attempt))


@dataclass(frozen=True, slots=True)
class LoginService:
    """Answer logins, from any thread.

    Attributes:
        resolver: Finds who is meant.
        methods: Gives the authenticators of an account, in order.
        known: Remembers who is meant; finds it as well, in the resolver's place.
        repeats: Remembers what was accepted by the octets of a request.
        stages: What stands before the methods, outermost first.
        instant: How many of the outermost stages wait for nobody and ask nobody in
            their `before`, and in their `after` for an acceptance.
        tickets: Judges logins by ticket.
        limit: How long an answer may take where the request has no deadline.
        reserves: Seconds of each login's time that its methods do not get, by domain;
            a stage needs them after an outage. At most half of the time.
        attempted: Told each attempt, for the attempts log; must not block.
        lines: Told each attempt that `quick` answered, for the log; must not block
            where an event loop is served.
        refresh: Brings domains up to date for a name that nobody has there; says why
            it could not, or None. It ends well before the deadline.
    """

    resolver: Resolver
    methods: Callable[[Account], tuple[Authenticator, ...]]
    known: KnownNames | None = None
    repeats: Repeats | None = None
    stages: tuple[Stage, ...] = ()
    instant: int = 0
    tickets: Tickets = no_tickets
    limit: timedelta = timedelta(seconds=9)
    reserves: Mapping[DomainName, float] = field(default_factory=dict)
    attempted: Callable[[Attempt], None] = lambda _attempt: None
    lines: Callable[[Attempt], None] = log_at_once
    refresh: Refresh = lambda _domains, _deadline: None
    _places: dict[DomainName, Places] = field(default_factory=dict)

    def answer(self, request: Question) -> Verdict:
        """Say whether the login is right, wrong, or cannot be told.

        Args:
            request: What the mail service asks.

        Returns:
            One of the three verdicts; an outage is never a rejection. Nobody is
            asked once the request's deadline is over.
        """
        begun = time.monotonic()
        deadline = request.deadline or Deadline.after(self.limit.total_seconds())
        if isinstance(request, TicketRequest):
            return self.tickets(request, deadline)
        return self._verdict(request, deadline, begun)

    def again(self, hook: str, octets: bytes) -> Verdict | None:
        """Accept a request that was accepted a moment ago, and note it as `noted`.

        Args:
            hook: Where it came.
            octets: All of it.

        Returns:
            What `quick` would tell; None where the request has to be read.
        """
        if self.repeats is None:
            return None
        begun = time.monotonic()
        found = self.repeats.find(hook, octets)
        if found is None:
            return None
        verdict, took = found.verdict, (time.monotonic() - begun) * 1000
        who = (verdict, found.name, found.service, hook, None, found.local_ip)
        self._note(_made_attempt(*who, took, 1))
        return verdict

    def remember(self, octets: bytes, request: Question, verdict: Verdict) -> None:
        """Have `again` know what `quick` told, if that may be.

        Args:
            octets: All of the request.
            request: What it says.
            verdict: What it was told.
        """
        if self.repeats is not None:
            self.repeats.keep(octets, request, verdict)

    def quick(self, request: Question) -> Verdict | Login | None:
        """Accept what can be accepted without asking anybody.

        Only an acceptance is told so: a rejection may have to take its time.

        Returns:
            The verdict, or the login where it is known who is meant, for `start`;
            None where only `answer` can go on.
        """
        login = self._recalled(request)
        if login is None:
            return None
        stages = self.stages[: self.instant]
        for position, stage in enumerate(stages):
            verdict = stage.before(login)
            if verdict is None:
                continue
            if not isinstance(verdict, Accepted):
                return None
            for passed in reversed(stages[:position]):
                verdict = passed.after(login, verdict)
            return verdict
        return login

    def start(self, login: Login) -> LoginUnderway | None:
        """Begin a login that waits for one directory only, else None.

        Waits for nobody.

        Args:
            login: What `quick` gave.
        """
        account = login.account
        if account is None or account.origin is Origin.LOCAL:
            return None
        methods = self.methods(account)
        if not methods:
            return None
        place = self._place_of(account)
        if not place.take():
            return None
        begun: LoginUnderway | None = None
        try:
            begun = self._begun(login, account, methods, place)
        finally:
            if begun is None:
                place.give_back()
        return begun

    def _begun(
        self,
        login: Login,
        account: Account,
        methods: tuple[Authenticator, ...],
        place: Places,
    ) -> LoginUnderway | None:
        """Begin with the first method, unless that or a stage has to wait."""
        method = methods[0]
        if not is_startable(method):
            return None
        deadline = self._without_reserve(login.deadline, account)
        check = method.start(account, login.password, deadline)
        if check is None:
            return None
        passes = False
        try:
            passes = self._let_pass(login)
        finally:
            if not passes:
                check.drop()
        if not passes:
            return None
        stages, ended = self.stages, place.give_back
        return LoginUnderway(login, account, deadline, stages, check, methods, ended)

    def _recalled(self, request: Question) -> Login | None:
        """Return the login where it is known, without a look, who may log in."""
        if self.known is None or isinstance(request, TicketRequest):
            return None
        if refuse(request.name, request.password) is not None:
            return None
        found = self.known.recall(request.name, request.local_ip, request.remote_ip)
        if found is None or barred_by(found.account) is not None:
            return None
        begun = time.monotonic()
        deadline = request.deadline or Deadline(begun + self.limit.total_seconds())
        domains = found.resolution.domains
        return _made_login(request, deadline, found.account, domains, begun, {})

    def _let_pass(self, login: Login) -> bool:
        """Have all stages after the instant ones let a login pass, or none of them."""
        inner, passed = self.stages[self.instant :], list[Stage]()
        try:
            for stage in inner:
                if not (is_swift(stage) and stage.passes(login)):
                    break
                passed.append(stage)
        finally:
            if len(passed) < len(inner):
                nobody_asked = Unavailable(Cause.OVERLOADED)
                for one in reversed(passed):
                    one.after(login, nobody_asked)
        return len(passed) == len(inner)

    def told(self, request: Question, verdict: Verdict, seconds: float) -> None:
        """Log what a mail service was told, and hand it to the attempts log.

        Args:
            request: What it asked.
            verdict: What it was told.
            seconds: How long that took.
        """
        attempt = _attempt(request, verdict, seconds)
        log_at_once(attempt)
        self.attempted(attempt)

    def noted(self, request: Question, verdict: Verdict, seconds: float) -> None:
        """Do the same for what `quick` answered; waits for nothing.

        Args:
            request: What it asked.
            verdict: What it was told.
            seconds: How long that took.
        """
        self._note(_attempt(request, verdict, seconds))

    def _note(self, attempt: Attempt) -> None:
        self.lines(attempt)
        self.attempted(attempt)

    def _verdict(
        self, request: LoginRequest, deadline: Deadline, begun: float
    ) -> Verdict:
        refusal = refuse(request.name, request.password)
        if refusal is not None:
            return Rejected(refusal)
        if not deadline.left():
            return Unavailable(Cause.TIMEOUT)
        found = self._meant(request, deadline)
        if isinstance(found, Unavailable):
            return found
        refused = _refused(found)
        account = found.account if refused is None else None
        login = Login(request, deadline, account, found.domains, begun)
        return self._staged(login, refused)

    def _staged(self, login: Login, refused: Rejected | None) -> Verdict:
        """Let the stages see a login on its way in, and its verdict on the way out."""
        passed: list[Stage] = []
        # Stands where somebody raises, a bug: no stage may be left waiting for it.
        verdict: Verdict = Unavailable(Cause.INTERNAL)
        try:
            verdict = self._inwards(login, passed) or refused or self._ask(login)
        finally:
            for stage in reversed(passed):
                verdict = stage.after(login, verdict)
        return verdict

    def _inwards(self, login: Login, passed: list[Stage]) -> Verdict | None:
        """Ask the stages until one answers; note those that let the login pass."""
        for stage in self.stages:
            verdict = stage.before(login)
            if verdict is not None:
                return verdict
            passed.append(stage)
        return None

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
        resolver = self.known or self.resolver
        return resolver.resolve(request.name, request.local_ip, request.remote_ip)

    def _ask(self, login: Login) -> Verdict:
        account = login.account
        if account is None:
            return Rejected(Reason.UNKNOWN)
        deadline = self._without_reserve(login.deadline, account)
        methods = self.methods(account)
        if account.origin is Origin.LOCAL:
            return first_to_know(methods, account, login.password, deadline)
        place = self._place_of(account)
        placed = [
            method if method.method == LOCAL else _Placed(method, place)
            for method in methods
        ]
        return first_to_know(placed, account, login.password, deadline)

    def _place_of(self, account: Account) -> Places:
        """Return the places to wait for the directories of an account's domain."""
        place = self._places.get(account.domain)
        if place is None:
            made = Places(AT_ONCE)
            place = self._places.setdefault(account.domain, made)
        return place

    def _without_reserve(self, deadline: Deadline, account: Account) -> Deadline:
        reserve = self.reserves.get(account.domain, 0.0)
        if not reserve or account.origin is Origin.LOCAL:
            return deadline
        left = deadline.left()
        return Deadline.after(left - min(reserve, left / 2))


class _Placed:
    """A method that asks a directory, while there is a place to wait for it."""

    def __init__(self, asked: Authenticator, place: Places) -> None:
        self.method = asked.method
        self._asked = asked
        self._place = place

    def authenticate(
        self, account: Account, password: Secret, deadline: Deadline
    ) -> Verdict:
        """Check a password; see `Authenticator.authenticate`."""
        if not self._place.take(deadline.within(_MOMENT)):
            detail = f"{AT_ONCE} logins of {account.domain} wait for its directory"
            return Unavailable(Cause.OVERLOADED, account.canonical, detail=detail)
        try:
            return self._asked.authenticate(account, password, deadline)
        finally:
            self._place.give_back()

    def check(self) -> list[Finding]:
        """Return what the method says."""
        return self._asked.check()


def _attempt(request: Question, verdict: Verdict, seconds: float) -> Attempt:
    return _made_attempt(
        verdict,
        request.name[:LONGEST_NAME],
        request.service,
        request.hook,
        request.remote_ip,
        request.local_ip,
        seconds * 1000,
        1,
    )


_made_attempt = remaker(Attempt)
_made_login = remaker(Login)


def _refused(found: Resolution) -> Rejected | None:
    """Return why a name lets nobody in whatever the password, or None."""
    if found.account is None:
        return Rejected(found.reason or Reason.UNKNOWN)
    barred = barred_by(found.account)
    return Rejected(barred, user=found.account.canonical) if barred else None
