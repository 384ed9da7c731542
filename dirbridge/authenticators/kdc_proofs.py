"""How a KDC proves that it is the directory's, after it has taken a password.

Whoever answers as the KDC may have made the password up together with the person at
the keyboard. What only the directory's KDC has are the keys of services: that of our
own one, where there is a keytab, or that of the directory server, which opens the
person's ticket and proves to us that it could (mutual authentication).
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from dirbridge.authenticators.keytab import read_keytab
from dirbridge.authenticators.outages import cause_of
from dirbridge.authenticators.own_entry import (
    Doubt,
    Identify,
    identify_active_directory,
    open_directory_identity,
)
from dirbridge.authenticators.principals import Asked, Ticket
from dirbridge.config.settings import DirectorySettings, DirectoryType, Security
from dirbridge.directory import bind_codes
from dirbridge.directory.kerberos_codes import CAUSES
from dirbridge.errors import DirectoryError
from dirbridge.ldap.failover import Failover
from dirbridge.ldap.proofs import channel_binding_of, sealed_by
from dirbridge.ldap.session import BUSY, SUCCESS, UNAVAILABLE
from dirbridge.ldap.spnego import negotiate
from dirbridge.ldap.transport import Access, Endpoint, Transport, open_transport
from dirbridge.model.account import Account
from dirbridge.model.deadline import Deadline
from dirbridge.model.login import Cause, Reason
from dirbridge.model.names import DomainName
from dirbridge.protocols.ldap_messages import Result

if TYPE_CHECKING:
    import gssapi

    from dirbridge.authenticators.gss import GssFailure

EACH_SERVER = 3.0
"""Most seconds for one server while another is left to ask."""

_INSIDE_TLS = (Security.LDAPS, Security.STARTTLS)
_AWAY = {BUSY: "busy", UNAVAILABLE: "unavailable"}
_NOT_PROVEN = frozenset({"server-not-proven", "not-sealed"})

# What a server says of a ticket that the directory's KDC has just given out only if it
# cannot open it.
_OF_STRANGERS = {Reason.WRONG_PASSWORD, Reason.UNKNOWN}


class KdcProof(Protocol):
    """One way in which a KDC proves itself."""

    def prove(
        self,
        credentials: gssapi.Credentials,
        asked: Asked,
        account: Account,
        deadline: Deadline,
    ) -> Ticket | Doubt:
        """Let the KDC prove itself by a ticket for whoever it has just let in.

        Args:
            credentials: The person's tickets.
            asked: Whom the KDC was asked for.
            account: Who it should be.
            deadline: When the answer must be there.

        Returns:
            Whom the ticket is for, or why the login counts for nothing.
        """
        ...


class Believed:
    """No proof at all: `verify_kdc = false`."""

    def prove(
        self,
        credentials: gssapi.Credentials,
        asked: Asked,
        account: Account,
        deadline: Deadline,
    ) -> Ticket | Doubt:
        """Take the KDC's word; see `KdcProof.prove`."""
        del account, deadline
        return Ticket(str(credentials.name) if asked.enterprise else asked.text)


@dataclass(frozen=True, slots=True)
class _Named:
    """A keytab's service, of the file as it was."""

    stamp: tuple[int, int, int]
    service: str


class ByKeytab:
    """A ticket for our own service, opened with our own keytab in this process."""

    def __init__(self, realm: str, keytab: Path, service: str | None) -> None:
        """Take the keytab; it is read when it is needed, and again when it changes.

        Args:
            realm: The realm.
            keytab: The file.
            service: Our name in it; None takes its first of this realm.
        """
        self._realm = realm
        self._keytab = keytab
        self._service = service
        self._lock = threading.Lock()
        self._named: _Named | None = None

    def prove(
        self,
        credentials: gssapi.Credentials,
        asked: Asked,
        account: Account,
        deadline: Deadline,
    ) -> Ticket | Doubt:
        """Open a ticket for ourselves; see `KdcProof.prove`."""
        from dirbridge.authenticators import gss  # noqa: PLC0415 - see its first lines

        del account, deadline
        try:
            service = f"{self._own_name()}@{self._realm}"
            return gss.verify(credentials, asked, service, self._keytab)
        except gss.GssFailure as error:
            return _unproven(error)
        except gss.NotVerified as error:
            return Doubt(Cause.KDC_NOT_VERIFIED, str(error))
        except (OSError, ValueError) as error:
            return Doubt(Cause.CONFIGURATION, f"keytab: {error}")

    def _own_name(self) -> str:
        if self._service:
            return self._service
        seen = self._keytab.stat()
        stamp = (seen.st_mtime_ns, seen.st_size, seen.st_ino)
        with self._lock:
            if self._named is None or self._named.stamp != stamp:
                self._named = _Named(stamp, self._first())
            return self._named.service

    def _first(self) -> str:
        for key in read_keytab(self._keytab):
            if key.realm == self._realm:
                return key.service
        raise ValueError(f"it has no key of {self._realm}")


class ByBind:
    """A bind to a directory server with the person's ticket (GSS-SPNEGO).

    Only a server that has the key of its own service can open the ticket and answer
    it. The bind is sealed; where the directory is reached by TLS, it is inside TLS,
    tied to its certificate (RFC 5929) and without a seal, which not every server
    admits (facts: ad-semantics 11). Bound as the person, the entry tells who it is.
    """

    def __init__(self, access: Access, failover: Failover, identify: Identify) -> None:
        """Take the way to the servers.

        Args:
            access: How they are reached.
            failover: Who of them is asked.
            identify: Compares whoever is bound with an account.
        """
        self._seal = access.security not in _INSIDE_TLS
        self._access = (
            replace(access, security=Security.SEALED) if self._seal else access
        )
        self._failover = failover
        self._identify = identify

    @property
    def known_server(self) -> bool:
        """Whether the server is known by its certificate, whatever the KDC says."""
        return not self._seal

    @property
    def way(self) -> str:
        """How it is done, for people."""
        how = "sealed" if self._seal else "inside TLS"
        return f"binds to the directory with people's own tickets ({how})"

    def offered(self, deadline: Deadline) -> bool:
        """Ask a server whether it takes such binds.

        Raises:
            DirectoryError: No server could be asked.
        """

        def ask(server: Endpoint, limit: Deadline) -> bool:
            transport = open_transport(server, self._access, limit)
            try:
                found = transport.read_entry("", (_MECHANISMS,))
            finally:
                transport.close()
            entry = found.entry or {}
            return b"GSS-SPNEGO" in entry.get(_MECHANISMS.lower(), ())

        return self._failover.run(ask, deadline, each=EACH_SERVER)

    def prove(
        self,
        credentials: gssapi.Credentials,
        asked: Asked,
        account: Account,
        deadline: Deadline,
    ) -> Ticket | Doubt:
        """Bind to the first usable server; see `KdcProof.prove`."""

        def ask(server: Endpoint, limit: Deadline) -> Ticket | Doubt:
            transport = open_transport(server, self._access, limit)
            try:
                return self._bound(transport, credentials, asked, account)
            finally:
                transport.close()

        try:
            return self._failover.run(ask, deadline, each=EACH_SERVER)
        except DirectoryError as error:
            unproven = error.code in _NOT_PROVEN
            cause = Cause.KDC_NOT_VERIFIED if unproven else cause_of(error)
            words = f"{error.server}: {error.code} {error.detail}".strip()
            return Doubt(cause, words)

    def _bound(
        self,
        transport: Transport,
        credentials: gssapi.Credentials,
        asked: Asked,
        account: Account,
    ) -> Ticket | Doubt:
        from dirbridge.authenticators import gss  # noqa: PLC0415 - see its first lines
        from dirbridge.ldap.gss import with_tickets  # noqa: PLC0415 - likewise

        try:
            initiator = with_tickets(
                credentials,
                transport.endpoint.host,
                seal=self._seal,
                binding=None if self._seal else channel_binding_of(transport),
            )
        except gss.GssFailure as error:
            return _unproven(error)
        bind: Callable[..., Result] = sealed_by if self._seal else negotiate
        result = bind(transport, initiator)
        if result.code != SUCCESS:
            return _refused(transport, result)
        doubt = self._identify(transport, account)
        return doubt or Ticket(asked.text, own=True)


def by_bind(
    domain: DomainName, settings: DirectorySettings, failover: Failover
) -> ByBind | None:
    """Build the proof by bind from a directory's settings.

    Args:
        domain: The mail domain.
        settings: The directory's table.
        failover: The connector's, so that both know which server is down.

    Returns:
        None for plain LDAP servers, whose realm is somebody else's.
    """
    if settings.type is DirectoryType.LDAP:
        return None
    active = settings.type is DirectoryType.ACTIVE_DIRECTORY
    identify = identify_active_directory if active else open_directory_identity()
    return ByBind(Access.of(domain, settings), failover, identify)


_MECHANISMS = "supportedSASLMechanisms"


def _refused(transport: Transport, result: Result) -> Doubt:
    """Say what a server means that does not take the ticket.

    Raises:
        Unreachable: Another server may take it.
    """
    said = f"result {result.code} {result.text}".strip()
    if result.code in _AWAY:
        raise transport.error("bind", _AWAY[result.code], said)
    if result.code != bind_codes.INVALID_CREDENTIALS:
        return Doubt(Cause.CONFIGURATION, f"no bind by ticket: {said}")
    judged = (
        bind_codes.decode_active_directory(result.text)
        if bind_codes.win32_error(result.text) is not None
        else Reason.WRONG_PASSWORD
    )
    if judged in _OF_STRANGERS:
        return Doubt(
            Cause.KDC_NOT_VERIFIED, f"the directory refuses the ticket: {said}"
        )
    return Doubt(judged, said)


# While the KDC is being verified, only these say that it is merely away.
_WHILE_VERIFYING = {
    code: cause
    for code, cause in CAUSES.items()
    if cause in (Cause.UNREACHABLE, Cause.BUSY, Cause.CLOCK)
}


def _unproven(error: GssFailure) -> Doubt:
    cause = _WHILE_VERIFYING.get(error.code, Cause.KDC_NOT_VERIFIED)
    return Doubt(cause, error.words)
