"""The TLS channel binding that a bind inside TLS carries (RFC 5929, RFC 5056).

It ties the Kerberos ticket to the server's certificate, so that nobody can take a
ticket that was given to them and use it on a TLS connection of their own. Active
Directory asks for `tls-server-end-point` where LdapEnforceChannelBinding says so
(MS-ADTS, SSL/TLS message security).
"""

from __future__ import annotations

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes

PREFIX = b"tls-server-end-point:"

_WEAK = (hashes.MD5, hashes.SHA1)


class NoBinding(ValueError):
    """The certificate has no channel binding of this type."""


def tls_server_end_point(der: bytes) -> bytes:
    """Return the channel binding of a server's certificate, with its type in front.

    RFC 5929 section 4.1: the certificate's hash, by the hash function of its own
    signature; SHA-256 where that is MD5 or SHA-1; undefined where the signature has no
    single hash function, such as Ed25519.

    Args:
        der: The certificate.

    Raises:
        NoBinding: It is undefined for this certificate, or unreadable.
    """
    try:
        certificate = x509.load_der_x509_certificate(der)
        algorithm = certificate.signature_hash_algorithm
    except (ValueError, UnsupportedAlgorithm, x509.InvalidVersion) as error:
        raise NoBinding(str(error)) from error
    if algorithm is None:
        name = certificate.signature_algorithm_oid.dotted_string
        raise NoBinding(f"its signature ({name}) has no hash function of its own")
    if isinstance(algorithm, _WEAK):
        algorithm = hashes.SHA256()
    digest = hashes.Hash(algorithm)
    digest.update(der)
    return PREFIX + digest.finalize()
