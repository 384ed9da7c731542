"""TLS with the server verified: by authority and name, or by one certificate's pin."""

from __future__ import annotations

import hashlib
import socket
import ssl
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

from dirbridge.errors import Unsupported
from dirbridge.ldap.access import Access
from dirbridge.model.deadline import Deadline

# X509_V_FLAG_NO_CHECK_TIME of OpenSSL's x509_vfy.h: a pin stands for the end as well.
_NO_CHECK_TIME = 0x200000

# RFC 5246 section 6.2.1 and 7.4.
_RECORD_HEAD, _HANDSHAKE, _CERTIFICATE = 5, 22, 11
_PIECE = 16 * 1024

_pinned: dict[tuple[str, tuple[str, ...]], bytes] = {}
"""Certificates (DER) that servers have shown and that their pins allow, by host."""

# SSL_OP_LEGACY_SERVER_CONNECT of OpenSSL's ssl.h; Python names it from 3.12 on.
_OP_LEGACY_SERVER_CONNECT = 0x4


class WrongPin(ssl.SSLCertVerificationError):
    """The server showed another certificate than the pinned one.

    Attributes:
        der: The one that it showed.
        code: The code of the `Unreachable` that it becomes.
    """

    code = "certificate-pin"

    def __init__(self, der: bytes) -> None:
        self.der = der
        super().__init__(1, f"the certificate's pin is {pin_of(der)}")


def pin_of(der: bytes) -> str:
    """Return how a certificate is written in `certificate_pin`."""
    return f"sha256:{hashlib.sha256(der).hexdigest()}"


def is_first_seen(host: str, access: Access) -> bool:
    """Whether a server has to show its pinned certificate before we show ours.

    Only OpenSSL itself can compare certificates before our own goes out, and it needs
    the whole one for that. So the first connection to a server shows none.
    """
    return bool(access.pins and access.cert_file) and _key(host, access) not in _pinned


def looking(access: Access) -> Access:
    """Return how to see a server's certificate without showing ours."""
    return replace(access, looks=True, cert_file=None, key_file=None)


def _key(host: str, access: Access) -> tuple[str, tuple[str, ...]]:
    return host, access.pins


def handshake(
    sock: socket.socket, host: str, access: Access, seconds: float
) -> ssl.SSLSocket:
    """Make a connection TLS, with the server verified.

    Args:
        sock: The connection.
        host: The name that the certificate must have.
        access: How to verify it, and the certificate that we show ourselves.
        seconds: Time for all of it.

    Raises:
        OSError: It did not work; the connection is closed then.
        Unsupported: A file that the settings name cannot be used.
    """
    trusted = _pinned.get(_key(host, access)) if access.cert_file else None
    # Its errors are the settings', not the server's.
    context = _context(access, trusted)
    # CPython holds the whole handshake to this time-out, not each read of it.
    sock.settimeout(seconds)
    if access.looks:
        der = _look(sock, host, context, Deadline.after(seconds))
    secured = context.wrap_socket(
        sock, server_hostname=host, do_handshake_on_connect=False
    )
    try:
        if not access.looks:
            secured.do_handshake()
            der = secured.getpeercert(binary_form=True) or b""
        if access.pins:
            _compare_pin(der, access.pins)
            _pinned[_key(host, access)] = der
    except OSError:
        # It may have another one of the pinned certificates by now.
        _pinned.pop(_key(host, access), None)
        secured.close()
        raise
    return secured


def _compare_pin(der: bytes, pins: tuple[str, ...]) -> None:
    if pin_of(der) not in pins:
        raise WrongPin(der)


def _look(
    sock: socket.socket, host: str, context: ssl.SSLContext, deadline: Deadline
) -> bytes:
    """Return the certificate that a server shows, and go no further than that.

    In TLS 1.2 a server that demands our certificate ends a handshake without it, but
    its own was told before, in clear (RFC 5246 section 7.4.2).
    """
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    ours = context.wrap_bio(incoming, outgoing, server_hostname=host)
    came = b""
    while True:
        try:
            ours.do_handshake()
        except ssl.SSLWantReadError:
            pass
        else:
            return ours.getpeercert(binary_form=True) or b""
        if der := _told_in_clear(came):
            return der
        sock.settimeout(_left(deadline))
        sock.sendall(outgoing.read())
        data = sock.recv(_PIECE)
        if not data:
            raise ConnectionResetError("the server closed the connection")
        incoming.write(data)
        came += data


def _told_in_clear(data: bytes) -> bytes:
    """Return the certificate in a TLS 1.2 server's records, b"" where there is none."""
    messages = b""
    while len(data) > _RECORD_HEAD and data[0] == _HANDSHAKE:
        end = _RECORD_HEAD + int.from_bytes(data[3:5], "big")
        messages, data = messages + data[_RECORD_HEAD:end], data[end:]
    while messages:
        size = int.from_bytes(messages[1:4], "big")
        body = messages[4 : 4 + size]
        if messages[0] == _CERTIFICATE and len(body) == size:
            return body[6 : 6 + int.from_bytes(body[3:6], "big")]
        messages = messages[4 + size :]
    return b""


def _left(deadline: Deadline) -> float:
    left = deadline.left()
    if left <= 0:
        raise TimeoutError("no answer in time")
    return left


def _context(access: Access, trusted: bytes | None) -> ssl.SSLContext:
    """Return the TLS rules, read anew when one of their files has changed."""
    shape = _Shape(
        ca_file=None if access.pins else access.ca_file,
        cert_file=access.cert_file,
        key_file=access.key_file,
        legacy=access.legacy,
        pinned=bool(access.pins),
        trusted=trusted,
    )
    try:
        return _rules(shape, shape.changed())
    except _OwnFileError as error:
        raise _unusable(access, access.cert_file, "cert-file", error) from error
    except OSError as error:
        raise _unusable(access, access.ca_file, "ca-file", error) from error


class _OwnFileError(OSError):
    """Our own certificate or its key cannot be used."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Shape:
    """What a set of TLS rules is made of."""

    ca_file: Path | None
    cert_file: Path | None
    key_file: Path | None
    legacy: bool
    pinned: bool
    trusted: bytes | None

    def changed(self) -> tuple[int, ...]:
        """Return when each file was changed last."""
        try:
            own = (_changed(self.cert_file), _changed(self.key_file))
        except OSError as error:
            raise _OwnFileError(str(error)) from error
        return (_changed(self.ca_file), *own)


def _changed(path: Path | None) -> int:
    return path.stat().st_mtime_ns if path else 0


@lru_cache(maxsize=32)
def _rules(shape: _Shape, _changed_at: tuple[int, ...]) -> ssl.SSLContext:
    """Certificate and host name are verified, always, or the pin is compared."""
    context = ssl.create_default_context(
        cafile=str(shape.ca_file) if shape.ca_file else None, cadata=shape.trusted
    )
    # The system's OpenSSL may have been told to be content with less.
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if shape.pinned:
        # The pin names the one certificate: authority and name say nothing more.
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if shape.trusted:
        _demand_exactly(context)
    if shape.legacy:
        context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
        context.set_ciphers("DEFAULT:@SECLEVEL=0")
        # Servers from before 2010 know no secure renegotiation (RFC 5746).
        context.options |= _OP_LEGACY_SERVER_CONNECT
    if shape.cert_file is not None:
        _show(context, shape.cert_file, shape.key_file)
    return context


def _demand_exactly(context: ssl.SSLContext) -> None:
    """Let OpenSSL itself end the handshake where the certificate is another one."""
    context.verify_mode = ssl.CERT_REQUIRED
    flags = int(context.verify_flags) & ~int(ssl.VERIFY_X509_STRICT)
    flags |= int(ssl.VERIFY_X509_PARTIAL_CHAIN) | _NO_CHECK_TIME
    context.verify_flags = ssl.VerifyFlags(flags)


def _show(context: ssl.SSLContext, cert_file: Path, key_file: Path | None) -> None:
    try:
        # Without a password OpenSSL would ask the terminal for an encrypted key's.
        context.load_cert_chain(cert_file, key_file, password="")
    except (OSError, ValueError) as error:
        raise _OwnFileError(str(error)) from error


def _unusable(
    access: Access, file: Path | None, code: str, error: OSError
) -> Unsupported:
    return Unsupported(
        domain=access.domain,
        server=str(file),
        operation="connect",
        code=code,
        detail=str(error),
    )
