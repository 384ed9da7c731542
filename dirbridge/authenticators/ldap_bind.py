"""Passwords checked by an LDAP simple bind, over verified TLS or not at all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial

from dirbridge.authenticators.answers import Answers
from dirbridge.authenticators.bind_underway import BindUnderway, Steps, Wait
from dirbridge.authenticators.outages import cause_of
from dirbridge.authenticators.own_entry import (
    Doubt,
    Identify,
    identify_active_directory,
    identify_by_dn,
    open_directory_identity,
)
from dirbridge.authenticators.proven import LookedAt, Proven
from dirbridge.config.settings import (
    DirectorySettings,
    DirectoryType,
    Method,
    Security,
)
from dirbridge.directory import bind_codes
from dirbridge.errors import DirectoryError, Unreachable
from dirbridge.ldap.failover import FAIR_TIME, Failover
from dirbridge.ldap.kept import REPLACED, Kept
from dirbridge.ldap.session import BUSY, NO_SUCH_OBJECT, UNAVAILABLE
from dirbridge.ldap.transport import (
    Access,
    Endpoint,
    Transport,
    Unanswered,
    open_transport,
)
from dirbridge.model.account import Account
from dirbridge.model.deadline import Deadline
from dirbridge.model.finding import Finding, Outcome
from dirbridge.model.login import Cause, Reason, Verdict
from dirbridge.model.names import DomainName
from dirbridge.model.secret import Secret
from dirbridge.protocols.ldap_messages import Result

KEPT = 8
"""Connections that are kept for each server."""

EACH_SERVER = 3.0
"""Most seconds for one server while another is left to ask."""

Judge = Callable[[Result], Reason | Cause]
"""Says what a bind's result means that is not success."""

# The text that Apple stores where there is no password; on other servers it is a
# password like any other and would let everybody in (facts: open-directory 8).
_APPLE_MARKER = "********"


Prove = Callable[[Transport, str, Secret, Deadline], Result]
"""Shows a server that somebody knows a password, and returns the bind's result.

Takes the name and the password, and until when to wait once the password, or what is
made of it, is out; what comes before that ends when the transport's time does. Raises
`Unanswered` where it is out and no answer came.
"""


def bind_simply(
    transport: Transport, name: str, password: Secret, deadline: Deadline
) -> Result:
    """Bind by the password itself; see `Prove`."""
    transport.allow(deadline)
    return transport.simple_bind(name, password.reveal())


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """How people are bound in one kind of directory, and what it answers.

    Attributes:
        method: The method's name in the configuration.
        name_of: The name that an account binds with, "" where it has none.
        judge: What a refusal means.
        identify: Whether who was let in is the account's person.
        prove: How the password is shown.
        in_clear: Whether it crosses the connection as it is.
        keep: How many connections are kept for each server.
        never: Passwords that are none.
    """

    method: Method = Method.LDAP_BIND
    name_of: Callable[[Account], str]
    judge: Judge
    identify: Identify
    prove: Prove = bind_simply
    in_clear: bool = True
    keep: int = KEPT
    never: frozenset[str] = field(default=frozenset(), repr=False)


class LdapBind:
    """A method that binds as the person, `ldap-bind` above all.

    See `authenticators.base`.
    """

    def __init__(self, access: Access, failover: Failover, way: Way) -> None:
        self.method: str = way.method.value
        """The method's name in the configuration."""
        self._access = access
        self._failover = failover
        self._way = way
        self._kept: Kept[Transport] = Kept(
            self._open,
            prove=Transport.prove_alive,
            listed=failover.lists,
            limit=way.keep,
        )
        self._proven = Proven()
        self._looked_at = LookedAt()

    def authenticate(
        self, account: Account, password: Secret, deadline: Deadline
    ) -> Verdict:
        """Check a password; see `Authenticator.authenticate`."""
        answer = Answers(account.canonical, self.method)
        refused = _refused_at_once(password.reveal(), self._way.never)
        if refused is not None:
            return answer.rejected(refused)
        name = self._way.name_of(account)
        if not name:
            return answer.unavailable(
                Cause.CONFIGURATION, "the account has no name to bind with"
            )
        if not self._may_send:
            return answer.unavailable(
                Cause.CONFIGURATION, f"security is {self._access.security}"
            )
        bind = partial(self._bind, name, password, deadline)
        try:
            return self._ask(answer, account, bind, deadline)
        except DirectoryError as error:
            answer = replace(answer, server=error.server)
            return self._outage(answer, error)

    def start(
        self,
        account: Account,
        password: Secret,
        deadline: Deadline,
        followed: Callable[[Verdict], Verdict] = lambda verdict: verdict,
    ) -> BindUnderway | None:
        """Prepare a bind on a connection that is warm; see `Startable.start`.

        Args:
            account: As of `Startable.start`, like the next two.
            password: What the person typed.
            deadline: When the answer must be there.
            followed: Takes a verdict that is no acceptance further; may wait.
        """
        name, way = self._way.name_of(account), self._way
        refused = _refused_at_once(password.reveal(), way.never)
        if refused or not name or not self._may_send or way.prove is not bind_simply:
            return None
        # One that had less is not taken for dead because it was late.
        enough = deadline.left() >= FAIR_TIME
        server = self._failover.ready() if enough else None
        transport = None if server is None else self._kept.take_fresh(server)
        if server is None or transport is None:
            return None
        if not transport.waits_for_nobody:
            self._kept.give_back(server, transport)
            return None
        return BindUnderway(
            transport,
            self._steps(transport, account, name, password, deadline),
            ended=partial(self._kept.give_back, server, transport),
            failed=partial(self._failed, server, account, password, deadline),
            followed=followed,
        )

    def check(self) -> list[Finding]:
        """Say whether binds can be sent; the servers are the connector's to try."""
        where = ", ".join(str(server) for server in self._failover.servers)
        if self._may_send:
            text = f"Passwords are checked by LDAP binds ({self._access.security})."
            return [Finding(where, self.method, Outcome.OK, text)]
        return [
            Finding(
                where,
                self.method,
                Outcome.FAILED,
                f"Passwords are not sent with security = {self._access.security}.",
                'Write security = "ldaps" or "starttls".',
                "cleartext-password",
            )
        ]

    def close(self) -> None:
        """Close kept connections."""
        self._kept.close()

    @property
    def _may_send(self) -> bool:
        return self._access.takes_passwords or not self._way.in_clear

    def _open(self, server: Endpoint, deadline: Deadline) -> Transport:
        transport = open_transport(server, self._access, deadline)
        if self._access.security is Security.NONE:
            # A handshake shows that the server is alive; the kernel also accepts
            # connections to a frozen one.
            transport.prove_alive(deadline)
        return transport

    def _ask(
        self,
        answer: Answers,
        account: Account,
        bind: Callable[[Transport, Deadline], Result],
        deadline: Deadline,
    ) -> Verdict:
        def work(transport: Transport, limit: Deadline) -> Verdict:
            result = bind(transport, limit)
            judged = replace(answer, server=str(transport.endpoint))
            if result.code != 0:
                return self._refused(judged, result)
            return self._accepted(judged, transport, account, deadline)

        def ask(server: Endpoint, limit: Deadline) -> Verdict:
            return self._kept.run(server, limit, work)

        return self._failover.run(ask, deadline, each=EACH_SERVER)

    def _steps(
        self,
        transport: Transport,
        account: Account,
        name: str,
        password: Secret,
        deadline: Deadline,
    ) -> Steps:
        """Do what `_bind` and `_accepted` do, and stop where they would wait.

        But who bound so a moment ago is not looked at again.
        """
        digest = self._proven.digest(name, password)
        proven = self._proven.knows(digest)
        out = self._failover.share(deadline, EACH_SERVER) if proven else deadline
        transport.allow(out)
        asked = transport.ask_bind(name, password.reveal())
        try:
            # The answer is not there before its question has gone all the way.
            yield (wait := Wait("bind", out))
            while (result := transport.result_of(asked)) is None:
                yield wait
        except Unreachable as error:
            raise error if proven else Unanswered.of(error) from error
        self._learn(transport, digest, result)
        server = str(transport.endpoint)
        answer = Answers(account.canonical, self.method, server)
        if result.code != 0:
            return self._refused(answer, result)
        person = account.values.directory_id
        if self._looked_at.has(digest, person):
            return answer.accepted()
        limit, now = Deadline.after(deadline.within(EACH_SERVER)), self._looked_at.now()
        transport.allow(limit)
        reads = transport.ask_entries(*self._way.identify.wanted(transport, account))
        yield (wait := Wait("read", limit))
        while (readings := transport.entries_of(reads)) is None:
            yield wait
        doubt = self._way.identify.judge(transport, account, readings)
        if doubt is None:
            self._looked_at.note(digest, person, now)
        return _doubted(answer, doubt)

    def _failed(
        self,
        server: Endpoint,
        account: Account,
        password: Secret,
        deadline: Deadline,
        error: DirectoryError,
    ) -> Verdict:
        """Go on after steps that came to no end, as `Kept` and `Failover` do."""
        if isinstance(error, Unreachable):
            sent = isinstance(error, Unanswered)
            if sent or error.code not in REPLACED:
                self._failover.note_failure(server, error)
            if not sent:
                return self.authenticate(account, password, deadline)
        return self._outage(
            Answers(account.canonical, self.method, error.server), error
        )

    def _outage(self, answer: Answers, error: DirectoryError) -> Verdict:
        detail = f"{error.code} {error.detail}"
        sent = isinstance(error, Unanswered)
        return answer.unavailable(cause_of(error), detail, sent=sent)

    def _bind(
        self,
        name: str,
        password: Secret,
        deadline: Deadline,
        transport: Transport,
        limit: Deadline,
    ) -> Result:
        """Bind; once the password is out, its server gets all the time there is.

        A wrong password must count once. Only one that was right before may go on
        to the next server when this one froze with it.
        """
        digest = self._proven.digest(name, password)
        proven = self._proven.knows(digest)
        transport.allow(limit)
        out = limit if proven else deadline
        try:
            result = self._way.prove(transport, name, password, out)
        except Unanswered as error:
            if not proven:
                raise
            raise transport.error("bind", error.code, error.detail) from error
        self._learn(transport, digest, result)
        return result

    def _learn(self, transport: Transport, digest: bytes, result: Result) -> None:
        """Remember what a password is, if the server is not away.

        Raises:
            Unreachable: It is.
        """
        away = self._away(result)
        if away:
            raise transport.error("bind", away, result.text)
        if result.code == 0:
            self._proven.add(digest)
        else:
            self._proven.forget(digest)

    def _away(self, result: Result) -> str:
        """Return the code of an outage that another server may not have, else ""."""
        if result.code in _AWAY:
            return _AWAY[result.code]
        nobody = result.code != 0 and self._way.judge(result) is Cause.UNREACHABLE
        return "no-logon-server" if nobody else ""

    def _accepted(
        self,
        answer: Answers,
        transport: Transport,
        account: Account,
        deadline: Deadline,
    ) -> Verdict:
        transport.allow(Deadline.after(deadline.within(EACH_SERVER)))
        return _doubted(answer, self._way.identify(transport, account))

    def _refused(self, answer: Answers, result: Result) -> Verdict:
        detail = f"result {result.code} {result.text}".strip()
        return _told(answer, self._way.judge(result), detail)


def _doubted(answer: Answers, doubt: Doubt | None) -> Verdict:
    if doubt is None:
        return answer.accepted()
    return _told(answer, doubt.verdict, doubt.detail)


def _told(answer: Answers, judged: Reason | Cause, detail: str) -> Verdict:
    if isinstance(judged, Reason):
        return answer.rejected(judged, detail)
    return answer.unavailable(judged, detail)


_AWAY = {BUSY: "busy", UNAVAILABLE: "unavailable"}


def ldap_bind(
    domain: DomainName, settings: DirectorySettings, failover: Failover | None = None
) -> LdapBind:
    """Build the authenticator from a directory's settings.

    Args:
        domain: The mail domain.
        settings: The directory's table.
        failover: The connector's, so that both know which server is down.
    """
    access = Access.of(domain, settings)
    endpoints = [Endpoint.of(server, settings.security) for server in settings.servers]
    way = _way_of(settings.type, settings.directory_domain or domain)
    return LdapBind(access, failover or Failover(domain, endpoints), way)


def _way_of(kind: DirectoryType, dns_name: str) -> Way:
    if kind is DirectoryType.ACTIVE_DIRECTORY:
        return Way(
            name_of=partial(_login_at, dns_name),
            judge=judge_active_directory,
            identify=identify_active_directory,
        )
    plain = kind is DirectoryType.LDAP
    return Way(
        name_of=_dn,
        judge=_judge_open_directory,
        identify=identify_by_dn if plain else open_directory_identity(),
        never=frozenset({_APPLE_MARKER}),
    )


def _login_at(dns_name: str, account: Account) -> str:
    """Return sAMAccountName@DNS name: it works whatever the UPN is (facts: AD 7)."""
    names = account.values.login_names
    return f"{names[0]}@{dns_name}" if names else ""


def _dn(account: Account) -> str:
    return account.values.dn


def _refused_at_once(password: str, never: frozenset[str]) -> Reason | None:
    if not password:
        return Reason.EMPTY_PASSWORD
    if "\0" in password:
        return Reason.BAD_PASSWORD
    return Reason.WRONG_PASSWORD if password in never else None


def judge_active_directory(result: Result) -> Reason | Cause:
    """Say what a refusal of an Active Directory means; see `Judge`."""
    if result.code != bind_codes.INVALID_CREDENTIALS:
        return Cause.CONFIGURATION
    return bind_codes.decode_active_directory(result.text)


def _judge_open_directory(result: Result) -> Reason | Cause:
    if result.code == NO_SUCH_OBJECT:
        return Reason.UNKNOWN
    reason = bind_codes.decode_open_directory(result.code, result.text)
    return Cause.CONFIGURATION if reason is None else reason
