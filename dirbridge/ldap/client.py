"""One directory's servers, reached as its service account."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from dirbridge.config.settings import DirectorySettings, Security
from dirbridge.directory.errors import Undecodable, as_text
from dirbridge.errors import Unsupported
from dirbridge.ldap.failover import Failover, ServerState
from dirbridge.ldap.kept import Kept
from dirbridge.ldap.refusals import Refusals
from dirbridge.ldap.service_account import ServiceAccount
from dirbridge.ldap.session import Query, Session, open_session
from dirbridge.ldap.transport import Access, Endpoint
from dirbridge.model.deadline import Deadline
from dirbridge.model.secret import Secret

R = TypeVar("R")

ANY = "(objectClass=*)"

_ROOT_ATTRIBUTES = (
    "namingContexts",
    "defaultNamingContext",
    "configurationNamingContext",
    "currentTime",
    "dnsHostName",
    "vendorName",
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
        self._kept: Kept[Session] = Kept(self.open, limit=2)

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
        endpoints = [Endpoint.of(s, settings.security) for s in settings.servers]
        directory = settings.directory_domain or " ".join(sorted(map(str, endpoints)))
        record = (refusals or Refusals()).record(directory, settings.username)
        return cls(
            Access.of(domain, settings),
            Failover(domain, endpoints),
            ServiceAccount(
                settings.username, password, bind=settings.bind, record=record
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
        if not self.access.takes_passwords:
            raise Unsupported(
                domain=self.access.domain,
                server=session.server,
                operation="bind",
                code="cleartext-password",
            )
        if self.access.security is Security.NONE:
            # As for logins: the kernel also accepts connections to a frozen server,
            # and a password that it took may be given to no other one.
            session.transport.prove_alive(deadline)
        self.account.bind(session, deadline)

    def run(self, work: Callable[[Session, Deadline], R]) -> R:
        """Run short work on a kept or new session, on the first usable server.

        Raises:
            Unreachable, BindRefused, Unsupported: See `DirectoryError`.
        """
        each = self.access.connect_seconds + self.access.read_seconds
        return self.failover.run(
            lambda server, deadline: self._kept.run(server, deadline, work),
            Deadline.after(each * len(self.failover.servers)),
            each=each,
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

        whole = Deadline.after(each * len(self.failover.servers))
        return self.failover.run(start, whole, each=each)

    def close(self) -> None:
        """Close what is kept."""
        self._kept.close()


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


def _texts(values: tuple[bytes, ...]) -> tuple[str, ...]:
    found = []
    for value in values:
        try:
            found.append(as_text(value))
        except Undecodable:
            continue
    return tuple(found)
