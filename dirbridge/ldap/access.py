"""Which server is meant, and how the servers of one directory are reached."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from dirbridge.config.settings import DirectorySettings, Security
from dirbridge.config.types import HostPort

LDAP_PORT, LDAPS_PORT = 389, 636


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One server of a list, with its port filled in; its host in lower case."""

    host: str
    port: int

    def __post_init__(self) -> None:
        """Fold the host: `DC1` and `dc1` are one server (RFC 4343)."""
        object.__setattr__(self, "host", self.host.lower())

    @classmethod
    def of(cls, server: HostPort, security: Security) -> Endpoint:
        """Return the server with the standard port of this security if it has none."""
        standard = LDAPS_PORT if security is Security.LDAPS else LDAP_PORT
        return cls(server.host, server.port or standard)

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """How the servers of one directory are reached.

    Attributes:
        domain: The mail domain, for errors.
        security: LDAPS, StartTLS, sealed or none.
        ca_file: Certificate authorities to trust; None for the system's.
        pins: `sha256:` and the fingerprint of each certificate to accept instead.
        legacy: Whether TLS 1.0 and small keys are accepted.
        cert_file: Our own certificate, None where we show none.
        key_file: Its key.
        looks: Whether only the server's certificate is looked at: what comes of it
            can carry nothing.
        cleartext: Whether passwords may be sent without TLS.
        connect_seconds: Time for name look-up, TCP and TLS together.
        read_seconds: Time for each answer.
    """

    domain: str
    security: Security
    ca_file: Path | None = None
    pins: tuple[str, ...] = ()
    legacy: bool = False
    cert_file: Path | None = None
    key_file: Path | None = None
    looks: bool = False
    cleartext: bool = False
    connect_seconds: float = 3.0
    read_seconds: float = 15.0

    @classmethod
    def of(cls, domain: str, settings: DirectorySettings) -> Access:
        """Return what a directory's settings say."""
        return cls(
            domain=domain,
            security=settings.security,
            ca_file=settings.ca_file,
            pins=settings.certificate_pin,
            legacy=settings.tls_legacy,
            cert_file=settings.cert_file,
            key_file=settings.key_file,
            cleartext=settings.allow_cleartext_passwords,
            connect_seconds=settings.connect_timeout.total_seconds(),
            read_seconds=settings.read_timeout.total_seconds(),
        )

    @property
    def takes_passwords(self) -> bool:
        """Whether a password may be sent: TLS, verified, or cleartext admitted.

        Never where the connection is sealed: the seal begins after a bind.
        """
        if self.security is Security.SEALED:
            return False
        return self.cleartext or self.security in (Security.LDAPS, Security.STARTTLS)
