"""What a server's certificate says, for `check` and `status`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime

from cryptography import x509

from dirbridge.errors import Unreachable, Unsupported
from dirbridge.ldap.tls import WrongPin, looking, pin_of
from dirbridge.ldap.transport import Access, Endpoint, Transport, open_transport
from dirbridge.model.deadline import Deadline

_DAY = 86400
_NOBODYS_PIN = f"sha256:{'0' * 64}"


@dataclass(frozen=True, slots=True)
class Certificate:
    """The readable part of a certificate.

    Attributes:
        names: DNS names and addresses that it is for.
        expires_at: End of its validity (UTC).
        days_left: Whole days until then, negative when it is over.
    """

    names: tuple[str, ...]
    expires_at: datetime
    days_left: int


def certificate_of(
    transport: Transport, now: datetime | None = None
) -> Certificate | None:
    """Return a connected server's certificate.

    Args:
        transport: The connection.
        now: The time to count from, default is the clock's.

    Returns:
        The certificate; None without TLS or where it cannot be read.
    """
    der = transport.peer_certificate()
    return read_certificate(der, now or datetime.now(UTC)) if der else None


def shown_pin(server: Endpoint, access: Access) -> str | None:
    """Return the pin of the certificate that a server shows; it is not trusted.

    The connection ends when the certificate was seen, with nothing sent, our own
    certificate neither.
    """
    seen = looking(replace(access, pins=(_NOBODYS_PIN,), ca_file=None))
    deadline = Deadline.after(access.connect_seconds)
    try:
        open_transport(server, seen, deadline).close()
    except (Unreachable, Unsupported) as error:
        cause = error.__cause__
        return pin_of(cause.der) if isinstance(cause, WrongPin) else None
    return None


def read_certificate(der: bytes, now: datetime) -> Certificate | None:
    """Read a certificate (DER); None where it is not readable.

    Samba's self-made certificates have a serial number that is not positive, which
    the parser refuses (seen with Samba 4.17).
    """
    try:
        certificate = x509.load_der_x509_certificate(der)
        expires_at = certificate.not_valid_after_utc
        names = _names(certificate)
    except (ValueError, x509.DuplicateExtension):
        return None
    days = int((expires_at - now).total_seconds() // _DAY)
    return Certificate(names, expires_at, days)


def _names(certificate: x509.Certificate) -> tuple[str, ...]:
    try:
        found = certificate.extensions.get_extension_for_class(
            x509.SubjectAlternativeName
        ).value
    except x509.ExtensionNotFound:
        return ()
    dns = found.get_values_for_type(x509.DNSName)
    return (*dns, *(str(ip) for ip in found.get_values_for_type(x509.IPAddress)))
