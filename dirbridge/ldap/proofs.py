"""How a service account proves itself: by password, keytab or client certificate.

Each way is used alone. None falls back on another: a wrong password would count twice.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from dirbridge.config.connection_rules import is_nt_name
from dirbridge.config.secrets import secret_path
from dirbridge.config.settings import Bind, DirectorySettings, Security
from dirbridge.directory import bind_codes, kerberos_codes
from dirbridge.errors import DirectoryError, Unreachable, Unsupported
from dirbridge.ldap.bounded import Bounded, Full, Overdue
from dirbridge.ldap.channel_binding import NoBinding, tls_server_end_point
from dirbridge.ldap.spnego import SUCCESS, Initiator, negotiate
from dirbridge.ldap.transport import Transport, Unanswered
from dirbridge.model.deadline import Deadline
from dirbridge.model.login import Cause, Reason
from dirbridge.model.secret import Secret
from dirbridge.protocols.ldap_messages import Result

if TYPE_CHECKING:
    from dirbridge.ldap.gss import GssFailure, Kerberos

EXTERNAL = "EXTERNAL"
"""RFC 4422 appendix A."""

_NO_ATTRIBUTES = ("1.1",)  # RFC 4511 section 4.5.1.8

_kdc_calls = Bounded("service-tickets", limit=16)


class KdcVerdict(Exception):
    """The KDC answered, and it is a no.

    Attributes:
        reason: What it says of the account; None where the clocks differ.
        words: Its own words.
    """

    def __init__(self, reason: Reason | None, words: str) -> None:
        self.reason = reason
        self.words = words
        super().__init__(words)


class KdcSilent(Unanswered):
    """The KDC did not answer in time; libkrb5 asks on, and nobody can stop it.

    Attributes:
        pending: The call, for who wants to know how it ended: it may raise a
            `KdcVerdict`.
    """

    pending: Future[object]


class Proof(Protocol):
    """One way to prove who we are.

    Attributes:
        in_clear: Whether a password crosses the connection as it is.
        server_judges: Whether the server knows if the secret is right. With Kerberos
            only the KDC does: what the server refuses is a ticket.
        refused: The code where the server refuses the proof itself.
        too_weak: The code where it refuses this way of proving (result 8).
    """

    in_clear: bool
    server_judges: bool
    refused: str
    too_weak: str

    def secret(self) -> Secret:
        """Return what the account is known by; never tried again once refused.

        Raises:
            ConfigError: It cannot be read.
        """
        ...

    def give(self, transport: Transport, secret: Secret, deadline: Deadline) -> Result:
        """Bind and return the result, whatever its code.

        Raises:
            KdcVerdict: The KDC refused the account.
            Unanswered: The proof is out and no answer came; `KdcSilent` from the KDC.
            Unreachable, Unsupported: See `DirectoryError`.
        """
        ...


def proof_of(
    domain: str, settings: DirectorySettings, password: Callable[[], Secret]
) -> Proof:
    """Return the one way that a directory's settings mean."""
    sealed = settings.security is Security.SEALED
    match settings.bind:
        case Bind.EXTERNAL:
            return ClientCertificate(settings.cert_file)
        case Bind.KERBEROS:
            return Keytab(domain, settings, seal=sealed)
        case Bind.SIMPLE if not sealed:
            return SimplePassword(settings.username, password)
        case _ if is_nt_name(settings.username):
            return NtlmPassword(settings.username, password)
        case _:
            return KerberosPassword(settings.username, password)


class SimplePassword:
    """A simple bind: the password itself, inside TLS."""

    in_clear = True
    server_judges = True
    refused = "credentials"
    too_weak = "strong-auth"

    def __init__(self, username: str, password: Callable[[], Secret]) -> None:
        self._username = username
        self.secret = password

    def give(
        self,
        transport: Transport,
        secret: Secret,
        deadline: Deadline,  # noqa: ARG002 - the transport keeps it
    ) -> Result:
        """Bind; see `Proof.give`."""
        return transport.simple_bind(self._username, secret.reveal())


class NtlmPassword:
    """NTLM by password, and a seal on what follows."""

    in_clear = False
    server_judges = True
    refused = "credentials"
    too_weak = "not-sealed"

    def __init__(self, username: str, password: Callable[[], Secret]) -> None:
        self._username = username
        self.secret = password

    def give(self, transport: Transport, secret: Secret, deadline: Deadline) -> Result:
        """Bind and seal; see `Proof.give`.

        What a server may count is waited for until the deadline.
        """
        from dirbridge.ldap.ntlm import Ntlm  # noqa: PLC0415 - see its first lines

        initiator = Ntlm(
            self._username,
            secret,
            transport.endpoint.host,
            counting=lambda: transport.allow(deadline),
        )
        result = sealed_by(transport, initiator)
        if result.code == SUCCESS:
            _let_it_seal(transport)
        return result


class KerberosPassword:
    """Kerberos by password, and a seal on what follows."""

    in_clear = False
    server_judges = False
    refused = "credentials"
    too_weak = "not-sealed"

    def __init__(self, username: str, password: Callable[[], Secret]) -> None:
        self._principal = principal_of(username)
        self.secret = password

    def give(self, transport: Transport, secret: Secret, deadline: Deadline) -> Result:
        """Bind and seal; see `Proof.give`."""
        from dirbridge.ldap import gss  # noqa: PLC0415 - see its first lines

        host = transport.endpoint.host
        begin = partial(
            gss.with_password, self._principal, secret, host, seal=True, binding=None
        )
        return sealed_by(transport, _from_kdc(transport, begin, deadline))


class Keytab:
    """Kerberos by keytab: sealed, or inside TLS with the channel binding.

    Attributes:
        ties: Whether the bind is tied to the TLS connection, where its certificate
            allows it.
    """

    in_clear = False
    server_judges = False
    refused = "keytab-refused"

    def __init__(self, domain: str, settings: DirectorySettings, *, seal: bool) -> None:
        self._principal = principal_of(settings.username)
        self._reference = settings.keytab
        self._where = f'domains."{domain}".directory: keytab'
        self._domain = domain
        self._seal = seal
        self.ties = not seal
        self.too_weak = "not-sealed" if seal else "sasl-in-tls"

    def secret(self) -> Secret:
        """Return a fingerprint of the keys; see `Proof.secret`."""
        return Secret(hashlib.blake2b(self._keys(), digest_size=32).hexdigest())

    def give(
        self,
        transport: Transport,
        secret: Secret,  # noqa: ARG002 - the file has it
        deadline: Deadline,
    ) -> Result:
        """Bind; see `Proof.give`. A ticket that is refused is fetched anew once."""
        result = self._bound(transport, deadline)
        if _is_of_ticket(result):
            return self._bound(transport, deadline)
        return result

    def _bound(self, transport: Transport, deadline: Deadline) -> Result:
        from dirbridge.ldap import gss  # noqa: PLC0415 - see its first lines

        begin = partial(
            gss.with_keytab,
            self._principal,
            self._path(),
            transport.endpoint.host,
            seal=self._seal,
            binding=None if self._seal else channel_binding_of(transport),
        )
        keys = self._keys()
        initiator = _from_kdc(transport, begin, deadline)
        if self._seal:
            result = sealed_by(transport, initiator)
        else:
            result = negotiate(transport, initiator)
        if result.code != SUCCESS:
            # A ticket for keys that the server has no more would be kept for hours.
            gss.forget(self._principal, keys)
        return result

    def _path(self) -> Path:
        if self._reference is None:  # the rules of the configuration see to it
            raise self._unreadable("there is no keytab")
        return secret_path(self._reference, self._where)

    def _keys(self) -> bytes:
        try:
            return self._path().read_bytes()
        except OSError as error:
            raise self._unreadable(str(error)) from error

    def _unreadable(self, detail: str) -> DirectoryError:
        return Unsupported(
            domain=self._domain,
            server=self._where,
            operation="bind",
            code="keytab-unreadable",
            detail=detail,
        )


class ClientCertificate:
    """SASL EXTERNAL: the certificate that the TLS handshake has shown."""

    in_clear = False
    server_judges = True
    refused = "client-certificate"
    too_weak = "strong-auth"

    def __init__(self, cert_file: Path | None) -> None:
        self._cert_file = cert_file

    def secret(self) -> Secret:
        """Return a fingerprint of the certificate; see `Proof.secret`."""
        # The handshake has read the file; should it be gone, the path will do.
        content = str(self._cert_file).encode("utf-8", "surrogatepass")
        with contextlib.suppress(OSError):
            content = self._cert_file.read_bytes() if self._cert_file else content
        return Secret(hashlib.blake2b(content, digest_size=32).hexdigest())

    def give(
        self,
        transport: Transport,
        secret: Secret,  # noqa: ARG002 - the handshake has shown it
        deadline: Deadline,  # noqa: ARG002 - the transport keeps it
    ) -> Result:
        """Bind; see `Proof.give`."""
        # Empty, not absent: as whom the certificate says (RFC 4422 appendix A.1).
        return transport.sasl_bind(EXTERNAL, b"")


def principal_of(username: str) -> str:
    """Return a service account's principal, its realm in capitals."""
    user, _, realm = username.rpartition("@")
    return f"{user}@{realm.upper()}"


def sealed_by(transport: Transport, initiator: Initiator) -> Result:
    """Bind by an exchange, and seal what follows; see `spnego.negotiate`."""
    result = negotiate(transport, initiator)
    if result.code == SUCCESS:
        transport.seal(initiator)
    return result


def _let_it_seal(transport: Transport) -> None:
    """Have the server seal something, which shows that it knows the password.

    Anybody can say that an NTLM exchange went well: the server's checksum over the
    mechanisms may be missing (RFC 4178 section 5), and without it nothing in the
    exchange needs the password. So the bind counts when an answer was unsealed.

    Raises:
        Unanswered: None was. Our answer to the challenge is out, so somebody may have
            tried it where it counts.
    """
    try:
        transport.read_entry("", _NO_ATTRIBUTES)
    except Unreachable as error:
        raise Unanswered.of(error) from error


def _is_of_ticket(result: Result) -> bool:
    """Whether a server with other keys than the ticket is for says this."""
    bad_bindings = bind_codes.win32_error(result.text) == bind_codes.BAD_BINDINGS
    return result.code == bind_codes.INVALID_CREDENTIALS and not bad_bindings


def channel_binding_of(transport: Transport) -> bytes | None:
    """Return the channel binding, None where the certificate has none.

    A server that wants one says so (`channel-binding`); `check` warns of the others.
    """
    try:
        return tls_server_end_point(transport.peer_certificate() or b"")
    except NoBinding:
        return None


def _from_kdc(
    transport: Transport, begin: Callable[[], Kerberos], deadline: Deadline
) -> Kerberos:
    """Get tickets within the deadline: libkrb5 knows none of its own."""
    seconds = deadline.left()
    if seconds <= 0:
        raise transport.error("bind", "timeout", "no time is left to ask the KDC")
    pending: Future[object] = Future()
    try:
        return _kdc_calls.call(partial(_ask, transport, begin, pending), seconds)
    except Overdue as error:
        # A wrong key may have been counted there meanwhile.
        silent = KdcSilent.of(
            transport.error("bind", "kdc-unreachable", "the KDC is silent")
        )
        silent.pending = pending
        raise silent from error
    except Full as error:
        why = "too many requests to the KDC wait already"
        raise transport.error("bind", "kdc-unreachable", why) from error


def _ask(
    transport: Transport, begin: Callable[[], Kerberos], pending: Future[object]
) -> Kerberos:
    """Ask the KDC, and tell how it ended to who may no longer wait for it."""
    from dirbridge.ldap.gss import GssFailure  # noqa: PLC0415 - see its first lines

    try:
        gained = begin()
    except GssFailure as error:
        judged = _judged(transport, error)
        pending.set_exception(judged)
        raise judged from error
    except BaseException as error:
        pending.set_exception(error)
        raise
    pending.set_result(gained)
    return gained


# What libkrb5 says of a keytab that has no key for the account.
_NO_KEY = {0xB5, 0xC3, 0xEB}
_UNSUPPORTED = {
    kerberos_codes.SERVER_UNKNOWN: "spn-unknown",
    kerberos_codes.REALM_UNKNOWN: "realm-unknown",
    kerberos_codes.WRONG_REALM: "realm-unknown",
}


def _judged(transport: Transport, error: GssFailure) -> Exception:
    """Say what libkrb5's no is: an outage, a verdict, or the set-up."""
    cause = kerberos_codes.CAUSES.get(error.code, Cause.CONFIGURATION)
    if error.code in kerberos_codes.REASONS:
        return KdcVerdict(kerberos_codes.REASONS[error.code], error.words)
    if error.code in _NO_KEY:
        return KdcVerdict(Reason.UNKNOWN, error.words)
    if cause is Cause.CLOCK:
        return KdcVerdict(None, error.words)
    if cause in (Cause.UNREACHABLE, Cause.BUSY):
        return transport.error("bind", "kdc-unreachable", error.words)
    return Unsupported(
        domain=transport.domain,
        server=str(transport.endpoint),
        operation="bind",
        code=_UNSUPPORTED.get(error.code, "kerberos"),
        detail=error.words,
    )
