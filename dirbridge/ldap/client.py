"""One directory's servers, reached as its service account."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeVar

from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_random

from dirbridge.config.settings import DirectorySettings, Security
from dirbridge.directory import generalized_time
from dirbridge.directory.errors import Undecodable, as_text
from dirbridge.errors import Unreachable, Unsupported
from dirbridge.ldap.certificate import certificate_of
from dirbridge.ldap.discovery import Discovered, discovered
from dirbridge.ldap.failover import MOST_ASKED, Failover, ServerState
from dirbridge.ldap.kept import Kept
from dirbridge.ldap.proofs import proof_of
from dirbridge.ldap.refusals import Refusals
from dirbridge.ldap.service_account import ServiceAccount
from dirbridge.ldap.session import Query, Session, open_session
from dirbridge.ldap.transport import Access, Endpoint, Unanswered
from dirbridge.model.deadline import Deadline
from dirbridge.model.secret import Secret

R = TypeVar("R")

ANY = "(objectClass=*)"

TRIES = 2
"""How often short work is tried over the whole list: a server that restarts, or a
network that blinks, is back at the second time."""

SHORTEST_WAIT, LONGEST_WAIT = 0.1, 0.4
"""Seconds between them, by chance, so that many callers do not come back together."""

EACH_SERVER = 3.0
"""Most seconds of a login for one server while another is left to ask."""

KEPT = 8
"""Most sessions that are kept for each server: a live look takes one."""

_TRANSIENT = frozenset(
    {"refused", "closed", "timeout", "busy", "unavailable", "no-route", "all-down"}
)

_ROOT_ATTRIBUTES = (
    "namingContexts",
    "defaultNamingContext",
    "configurationNamingContext",
    "currentTime",
    "dnsHostName",
    "vendorName",
    "vendorVersion",
    "supportedControl",
)


@dataclass(frozen=True, slots=True)
class RootDse:
    """What a server says of itself (RFC 4512 section 5.1).

    Attributes:
        server: `host:port`.
        attributes: Texts by lower-case name; what is not UTF-8 is left out.
    """

    server: str
    attributes: Mapping[str, tuple[str, ...]]

    def all(self, name: str) -> tuple[str, ...]:
        """Return an attribute's values."""
        return self.attributes.get(name.lower(), ())

    def one(self, name: str) -> str:
        """Return an attribute's first value, "" where there is none."""
        return next(iter(self.all(name)), "")


class Client:
    """Runs work on the first usable server, bound as the service account."""

    def __init__(
        self, access: Access, failover: Failover, account: ServiceAccount
    ) -> None:
        self.access = access
        self.failover = failover
        self.account = account
        self._kept: Kept[Session] = Kept(self.open, listed=failover.lists, limit=KEPT)

    @classmethod
    def of(
        cls,
        domain: str,
        settings: DirectorySettings,
        password: Callable[[], Secret],
        refusals: Refusals | None = None,
    ) -> Client:
        """Build it from a directory's settings.

        Args:
            domain: The mail domain.
            settings: The directory's table.
            password: Gives the service account's password; asked at each bind.
            refusals: What the process knows of its service accounts.
        """
        servers = _servers(domain, settings)
        directory = settings.directory_domain or _name_of(domain, servers)
        record = (refusals or Refusals()).record(directory, settings.username)
        return cls(
            Access.of(domain, settings),
            Failover(domain, servers),
            ServiceAccount(
                settings.username or str(settings.cert_file),
                proof_of(domain, settings, password),
                record=record,
            ),
        )

    def states(self) -> tuple[ServerState, ...]:
        """Return what is known of each server."""
        return self.failover.states()

    def open(self, server: Endpoint, deadline: Deadline) -> Session:
        """Connect to one server and bind; the caller closes the session.

        Raises:
            Unreachable, BindRefused, Unsupported: See `DirectoryError`.
        """
        session = open_session(server, self.access, deadline)
        try:
            certificate = certificate_of(session.transport)
            if certificate is not None:
                days = certificate.days_left
                self.failover.note_seen(server, certificate_days=days)
            self.authenticate(session, deadline)
        except BaseException:
            session.close()
            raise
        return session

    def authenticate(self, session: Session, deadline: Deadline) -> None:
        """Bind an open session as the service account.

        Raises:
            Unreachable, BindRefused, Unsupported: See `DirectoryError`.
        """
        if self.account.in_clear and not self.access.takes_passwords:
            raise Unsupported(
                domain=self.access.domain,
                server=session.server,
                operation="bind",
                code="cleartext-password",
            )
        if self.access.security in (Security.NONE, Security.SEALED):
            # As for logins: the kernel also accepts connections to a frozen server,
            # and a password that it took may be given to no other one.
            session.transport.prove_alive(deadline)
        self.account.bind(session, deadline)

    def read_root(self, session: Session, deadline: Deadline) -> RootDse:
        """Read what a server says of itself, and note how fast, and its clock.

        Raises:
            Unreachable: No answer.
            Unsupported: The server hides its rootDSE.
        """
        begun = time.monotonic()
        root = read_root(session, deadline)
        took = time.monotonic() - begun
        ahead = clock_offset(root, datetime.now(UTC))
        server = session.transport.endpoint
        self.failover.note_seen(server, round_trip=took, clock_offset=ahead)
        return root

    def run(
        self, work: Callable[[Session, Deadline], R], deadline: Deadline | None = None
    ) -> R:
        """Run short work on a kept or new session, on the first usable server.

        Where nobody can be reached, the whole list is asked a second time.

        Args:
            work: What to do.
            deadline: When it must be done, for logins; None for the time that the
                settings give.

        Raises:
            Unreachable, BindRefused, Unsupported: See `DirectoryError`.
        """
        each = self.access.connect_seconds + self.access.read_seconds
        if deadline is not None:
            each = min(each, EACH_SERVER)
        whole = deadline or self._whole(each)
        retrying = Retrying(
            stop=stop_after_attempt(TRIES),
            wait=wait_random(SHORTEST_WAIT, LONGEST_WAIT),
            retry=retry_if_exception(
                lambda error: _passes(error) and whole.left() > LONGEST_WAIT
            ),
            reraise=True,
        )
        return retrying(
            lambda: self.failover.run(
                lambda server, deadline: self._kept.run(server, deadline, work),
                whole,
                each=each,
            )
        )

    def begin(
        self, work: Callable[[Session, Deadline], R]
    ) -> tuple[Endpoint, Session, R]:
        """Begin long work on a session of its own, which stays open.

        Returns:
            The server, the session that the caller closes, and what `work` gave.

        Raises:
            Unreachable, BindRefused, Unsupported: See `DirectoryError`.
        """
        each = self.access.connect_seconds + 2 * self.access.read_seconds

        def start(server: Endpoint, deadline: Deadline) -> tuple[Endpoint, Session, R]:
            session = self.open(server, deadline)
            try:
                return server, session, work(session, deadline)
            except BaseException:
                session.close()
                raise

        return self.failover.run(start, self._whole(each), each=each)

    def close(self) -> None:
        """Close what is kept."""
        self._kept.close()

    def _whole(self, each: float) -> Deadline:
        """Return the time for a whole list of servers."""
        return Deadline.after(each * min(len(self.failover.servers) or 1, MOST_ASKED))


def read_root(session: Session, deadline: Deadline) -> RootDse:
    """Read what a server says of itself.

    Raises:
        Unreachable: No answer.
        Unsupported: The server hides its rootDSE.
    """
    query = Query(base="", filter=ANY, scope="BASE", attributes=_ROOT_ATTRIBUTES)
    answer = session.search(query, deadline)
    if not answer.good or not answer.entries:
        raise Unsupported(
            domain=session.transport.domain,
            server=session.server,
            operation="connect",
            code="no-rootdse",
            detail=answer.why(),
        )
    root = RootDse(
        session.server,
        {name: _texts(raw) for name, raw in answer.entries[0].attributes.items()},
    )
    session.learn(root.all("supportedControl"))
    return root


def clock_offset(root: RootDse, now: datetime) -> float | None:
    """Return by how many whole seconds a server's clock is ahead, None if unknown.

    Active Directory tells its time in whole seconds, cut off (MS-ADTS 3.1.1.3.2.4).
    """
    try:
        theirs = generalized_time.decode(root.one("currentTime"))
    except Undecodable:
        return None
    return float(round((theirs - now).total_seconds() + 0.5))


def _passes(error: BaseException) -> bool:
    """Whether a failure may be over in a moment; no password may have been counted."""
    return (
        isinstance(error, Unreachable)
        and not isinstance(error, Unanswered)
        and error.code in _TRANSIENT
    )


def _servers(
    domain: str, settings: DirectorySettings
) -> Discovered | tuple[Endpoint, ...]:
    if settings.discover is not None:
        return discovered(domain, settings)
    return tuple(Endpoint.of(one, settings.security) for one in settings.servers)


def _name_of(domain: str, servers: Discovered | tuple[Endpoint, ...]) -> str:
    """Return what makes a service account's name unique."""
    if isinstance(servers, Discovered):
        return domain
    return " ".join(sorted(map(str, servers)))


def _texts(values: tuple[bytes, ...]) -> tuple[str, ...]:
    found = []
    for value in values:
        try:
            found.append(as_text(value))
        except Undecodable:
            continue
    return tuple(found)
