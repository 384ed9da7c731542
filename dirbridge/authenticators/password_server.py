"""Passwords checked at an Open Directory's Password Server.

Theory. The account's entry is read live: it says whether the account may log in, and
in authAuthority its slot, the key by which the right server is known, and where that
was once. So what is asked is about the entry with the account's own id, whatever its
name is by now, and a server that cannot prove that key never sees anything that
depends on the password.

One password is tried once. Another server is asked where one cannot be reached, is
not the right one, or says nothing of this user, but never after one may have counted
the try. Replicas lag: what one says of an account's state before it had the password
is asked of the master too, whose word stands (facts: open-directory 4.6, 4.8).

This was built from the published source of Apple's client, and not tried against
Apple's own server, which was never published.
"""

from __future__ import annotations

import secrets
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import assert_never

from dirbridge.authenticators.answers import Answers
from dirbridge.authenticators.live import Look
from dirbridge.authenticators.outages import cause_of
from dirbridge.authenticators.password_server_check import examine
from dirbridge.authenticators.password_server_exchange import converse, new_nonce
from dirbridge.authenticators.password_server_list import Records, ServerList
from dirbridge.config.settings import (
    DirectorySettings,
    LoginSettings,
    Method,
    Security,
)
from dirbridge.directory import auth_authority, password_server_codes
from dirbridge.directory.auth_authority import PasswordServerData
from dirbridge.errors import (
    DirectoryError,
    LocalProtocolError,
    RemoteProtocolError,
    Unreachable,
    Unsupported,
)
from dirbridge.ldap.failover import Failover
from dirbridge.ldap.transport import Endpoint, Unanswered
from dirbridge.model.account import Account
from dirbridge.model.deadline import Deadline
from dirbridge.model.entry import Entry
from dirbridge.model.finding import Finding
from dirbridge.model.login import Cause, Reason, Rejected, Unavailable, Verdict
from dirbridge.model.names import DomainName
from dirbridge.model.secret import Secret
from dirbridge.protocols import password_server as wire
from dirbridge.protocols import rsa_validate
from dirbridge.protocols.password_server import Family
from dirbridge.protocols.password_server_login import (
    CRAM_MD5,
    DIGEST_MD5,
    Doubt,
    LoginConnection,
    NoMechanism,
    NotProven,
    Outcome,
    Question,
    Refused,
    Right,
)
from dirbridge.protocols.password_server_session import TurnedAway
from dirbridge.protocols.rsa_validate import PublicKey

EACH_SERVER = 3.0
"""Most seconds for one server while another is left to ask."""

_LISTS = 16
"""Lists of servers of which it is remembered who was down."""

NEVER = frozenset({"********", "<1-empty-insecure-1>"})
"""What Apple stores where there is no password, and what its client sends for an empty
one: neither is anybody's password (facts: open-directory 4.5, 8)."""


@dataclass(frozen=True, slots=True)
class _Asked:
    """One account at its servers, with the one try that there is."""

    data: PasswordServerData
    key: PublicKey
    password: Secret
    masters: tuple[Endpoint, ...]
    deadline: Deadline
    doubts: list[str] = field(default_factory=list)


class PasswordServerLogin:
    """The method `password-server`; see `authenticators.base`."""

    def __init__(
        self,
        domain: DomainName,
        look: Look,
        servers: ServerList,
        directory: Callable[[], str],
        *,
        protected: bool = True,
        cram: bool = False,
    ) -> None:
        """Prepare it; nobody is asked yet.

        Args:
            domain: The mail domain.
            look: Reads an account's entry.
            servers: Knows the Password Servers.
            directory: The LDAP server in use, for verdicts by the entry alone.
            protected: Whether keys and slots are read by TLS or sealed.
            cram: Whether CRAM-MD5 is admitted, by which the server proves nothing.
        """
        self._domain = domain
        self._look = look
        self._servers = servers
        self._directory = directory
        self._protected = protected
        self._mechanisms = (DIGEST_MD5, *([CRAM_MD5] if cram else []))
        self._lock = threading.Lock()
        self._failovers: OrderedDict[tuple[Endpoint, ...], Failover] = OrderedDict()

    @property
    def method(self) -> str:
        """The method's name in the configuration."""
        return Method.PASSWORD_SERVER.value

    def authenticate(
        self, account: Account, password: Secret, deadline: Deadline
    ) -> Verdict:
        """Check a password; see `Authenticator.authenticate`."""
        answer = Answers(account.canonical, self.method)
        refused = _refused_at_once(password.reveal())
        if refused is not None:
            return answer.rejected(refused)
        seen = self._look(account, deadline)
        answer = replace(answer, server=self._directory())
        if isinstance(seen, Reason):
            return answer.rejected(seen)
        if isinstance(seen, Cause):
            return answer.unavailable(seen)
        if seen.reasons:
            return answer.rejected(seen.reasons[0], "the directory says so")
        data = _password_server_of(answer, seen.entry)
        if not isinstance(data, PasswordServerData):
            return data
        return self._ask(answer, data, password, deadline)

    def check(self) -> list[Finding]:
        """Try every server that the directory names."""
        return examine(
            self._domain,
            self._servers,
            protected=self._protected,
            cram=CRAM_MD5 in self._mechanisms,
        )

    def _ask(
        self,
        answer: Answers,
        data: PasswordServerData,
        password: Secret,
        deadline: Deadline,
    ) -> Verdict:
        try:
            key = rsa_validate.decode_key(data.public_key.encode())
            wire.user(data.slot, DIGEST_MD5)
        except (RemoteProtocolError, LocalProtocolError) as error:
            return answer.unavailable(Cause.CONFIGURATION, f"authAuthority: {error}")
        servers = self._servers.of(data, deadline)
        asked = _Asked(data, key, password, servers.masters, deadline)
        try:
            return self._failover(servers.order).run(
                lambda server, limit: self._verdict(answer, asked, server, limit),
                deadline,
                each=EACH_SERVER,
            )
        except DirectoryError as error:
            cause = Cause.SERVER_NOT_VERIFIED if asked.doubts else cause_of(error)
            answer = replace(answer, server=error.server)
            detail = f"{error.code} {error.detail}".strip()
            sent = isinstance(error, Unanswered)
            return answer.unavailable(cause, detail, sent=sent)

    def _failover(self, servers: tuple[Endpoint, ...]) -> Failover:
        """Return what remembers which of these servers are down."""
        with self._lock:
            known = self._failovers.pop(servers, None)
            self._failovers[servers] = known or Failover(self._domain, servers)
            while len(self._failovers) > _LISTS:
                self._failovers.popitem(last=False)
            return self._failovers[servers]

    def _verdict(
        self, answer: Answers, asked: _Asked, server: Endpoint, limit: Deadline
    ) -> Verdict:
        """Ask one server, and its master too where that one may know better."""
        outcome = self._converse(asked, server, limit)
        if server in asked.masters or not _may_lag(outcome):
            return _judged(replace(answer, server=str(server)), outcome)
        for master in asked.masters:
            second = Deadline.after(asked.deadline.within(EACH_SERVER))
            try:
                heard = self._converse(asked, master, second)
            except Unanswered:
                raise  # it may have counted the try
            except DirectoryError:
                continue
            return _judged(replace(answer, server=str(master)), heard)
        return _judged(replace(answer, server=str(server)), outcome)

    def _converse(self, asked: _Asked, server: Endpoint, limit: Deadline) -> Outcome:
        """Ask one server.

        Raises:
            Unanswered: It may have counted the try and gave no answer.
            Unreachable: Another server may know.
            Unsupported: It is not the right server.
        """
        question = Question(
            slot=asked.data.slot,
            password=asked.password.reveal(),
            key=asked.key,
            host=server.host,
            nonce=new_nonce(),
            cnonce=secrets.token_urlsafe(24),
            mechanisms=self._mechanisms,
        )
        connection = LoginConnection(question)
        outcome = converse(connection, self._domain, server, limit, asked.deadline)
        elsewhere = partial(
            Unreachable, domain=self._domain, server=str(server), operation="login"
        )
        match outcome:
            case NotProven(doubt=Doubt.KEY | Doubt.VALIDATION as doubt):
                asked.doubts.append(str(server))
                raise Unsupported(
                    domain=self._domain,
                    server=str(server),
                    operation="login",
                    code="server-not-proven",
                    detail=doubt.value,
                )
            case TurnedAway(refusal=refusal):
                raise elsewhere(code="busy", detail=refusal.said)
            case Refused(refusal=refusal, counted=False) if _meaning(outcome) in _AWAY:
                raise elsewhere(code="busy", detail=refusal.said)
            case _:
                return outcome


_AWAY = frozenset({Cause.BUSY, Cause.UNREACHABLE})


def _meaning(refused: Refused) -> Reason | Cause:
    refusal = refused.refusal
    sasl = refusal.family is Family.SASL
    return password_server_codes.decode(
        refusal.number, sasl=sasl, counted=refused.counted
    )


def _may_lag(outcome: Outcome) -> bool:
    """Whether a replica may say so only because it is behind its master."""
    match outcome:
        case Refused(counted=False):
            return _meaning(outcome) in password_server_codes.LAGGING
        case _:
            return False


def _judged(answer: Answers, outcome: Outcome) -> Verdict:
    match outcome:
        case Right():
            return answer.accepted()
        case Refused(refusal=refusal, counted=counted):
            meaning = _meaning(outcome)
            if isinstance(meaning, Reason):
                return answer.rejected(meaning, refusal.said)
            return answer.unavailable(meaning, refusal.said, sent=counted)
        case NoMechanism(offered=offered, clear=clear):
            names = ", ".join(offered) or "nothing"
            why = ", and nothing is encrypted" if clear else ""
            return answer.unavailable(Cause.CONFIGURATION, f"it offers {names}{why}")
        case NotProven(doubt=doubt):
            # The one proof that is due after the password's own.
            sent = doubt is Doubt.PROOF
            return answer.unavailable(Cause.SERVER_NOT_VERIFIED, doubt.value, sent=sent)
        case TurnedAway(refusal=refusal):
            return answer.unavailable(Cause.BUSY, refusal.said)
        case _:
            assert_never(outcome)


def _refused_at_once(password: str) -> Reason | None:
    if not password:
        return Reason.EMPTY_PASSWORD
    if "\0" in password:
        return Reason.BAD_PASSWORD
    return Reason.WRONG_PASSWORD if password in NEVER else None


def _password_server_of(
    answer: Answers, entry: Entry
) -> PasswordServerData | Rejected | Unavailable:
    """Return where an entry's password is kept, or why nobody can be asked."""
    values = entry.values("authAuthority")
    ways = auth_authority.ways(values)
    if ways.disabled:
        return answer.rejected(Reason.DISABLED, "authAuthority says DisabledUser")
    if ways.password_server is not None:
        return ways.password_server
    lacking = Cause.CONFIGURATION
    if not values:
        return answer.unavailable(lacking, "authAuthority is missing, or hidden")
    if any(tag.lower() == auth_authority.PASSWORD_SERVER for tag in ways.unusable):
        return answer.unavailable(lacking, "authAuthority has no key of the server")
    return answer.rejected(Reason.UNKNOWN, "authAuthority names no Password Server")


def password_server(
    domain: DomainName,
    settings: DirectorySettings,
    login: LoginSettings,
    look: Look,
    records: Records,
    failover: Failover,
) -> PasswordServerLogin:
    """Build the authenticator from a directory's settings.

    Args:
        domain: The mail domain.
        settings: The directory's table, of an Open Directory.
        login: The domain's login table.
        look: Reads an account's entry.
        records: Reads what the directory says of its Password Servers.
        failover: The connector's, which knows the LDAP server in use.
    """
    servers = ServerList(
        records, partial(_host_in_use, failover), login.password_server_port
    )
    return PasswordServerLogin(
        domain,
        look,
        servers,
        partial(_in_use, failover),
        protected=settings.security is not Security.NONE,
        cram=login.password_server_cram,
    )


def _in_use(failover: Failover) -> str:
    """Return the LDAP server in use, "" before one was asked."""
    return next((state.server for state in failover.states() if state.up), "")


def _host_in_use(failover: Failover) -> str:
    return _in_use(failover).rpartition(":")[0].strip("[]")
