"""The calls into MIT Kerberos (GSSAPI), with its errors as ours.

Imported only when the first ticket is asked for: libkrb5 reads KRB5_CONFIG when its
first context is made, and must not be loaded before a fork.

MIT's SPNEGO hides libkrb5's codes behind numbers of its own. So everything that goes
over the network is done with the Kerberos mechanism, whose codes tell the KDC's
verdicts; SPNEGO then finds its ticket in the same cache. All caches are in memory.
pyspnego is not used for Kerberos, as it needs a second compiled package for that
(`krb5`, for which there is no ready one on Linux).
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import gssapi
import gssapi.raw
from gssapi.raw.misc import GSSError

from dirbridge.ldap.sealed import SealBroken
from dirbridge.ldap.spnego import ExchangeFailed
from dirbridge.model.secret import Secret

_TABLE = 0x96C73A00
"""Base of the krb5 error table; the codes of RFC 4120 section 7.5.9 come first."""

_TABLE_SIZE = 0x100
_KERBEROS = gssapi.MechType.kerberos
_SPNEGO = gssapi.OID.from_int_seq("1.3.6.1.5.5.2")  # RFC 4178 appendix A
_PRINCIPAL = gssapi.NameType.kerberos_principal
_ENTERPRISE = gssapi.OID.from_int_seq("1.2.840.113554.1.2.2.6")  # of gssapi_krb5.h
_HOST_SERVICE = gssapi.NameType.hostbased_service

# GSS_KRB5_CRED_NO_CI_FLAGS_X of MIT's gssapi_ext.h. Without it MIT asks for integrity
# and confidentiality always, and Samba 4.17 refuses both inside TLS.
_NO_LAYERS = gssapi.OID.from_int_seq("1.2.752.43.13.29")

_Flag = gssapi.RequirementFlag
_MUTUAL = _Flag.mutual_authentication
_SEALED = (
    _MUTUAL
    | _Flag.integrity
    | _Flag.confidentiality
    | _Flag.replay_detection
    | _Flag.out_of_sequence_detection
)
_NO_ADDRESS = 0  # GSS_C_AF_UNSPEC, as Windows fills it in


Store = dict[bytes | str, bytes | str]
"""Where credentials come from, as `gss_acquire_cred_from` takes it."""


class GssFailure(Exception):
    """libkrb5 said no.

    Attributes:
        code: The number within the krb5 error table, -1 for another table's.
        words: Its own words; they may name the principal, never the password.
    """

    def __init__(self, error: GSSError) -> None:
        code = (error.min_code & 0xFFFFFFFF) - _TABLE
        self.code = code if 0 <= code < _TABLE_SIZE else -1
        self.words = _words(error, self.code)
        super().__init__(self.words)


def _words(error: GSSError, code: int) -> str:
    """Return libkrb5's words, or GSSAPI's own where no mechanism has said anything."""
    if error.min_code == 0:
        said = list(error.get_all_statuses(error.maj_code, True))
        return said[0] if said else "GSSAPI"
    said = list(error.get_all_statuses(error.min_code, False))
    return f"{said[0] if said else 'GSSAPI'} ({code})"


class Context(gssapi.SecurityContext):
    """A security context whose steps raise their errors at once.

    Without this, a step over a wrong keytab returns a token as if all were well
    (measured with python-gssapi 1.12; `.complete` alone raises).
    """


# Not within the class: python-gssapi's metaclass overwrites it there.
Context.__DEFER_STEP_ERRORS__ = False  # type: ignore[attr-defined]


def acquire(
    principal: str, password: Secret, *, enterprise: bool = False
) -> gssapi.Credentials:
    """Get somebody's tickets by password; they live in memory.

    Args:
        principal: As `krb5_parse_name` reads it, with its realm.
        password: The password, without a NUL.
        enterprise: Whether it is an enterprise name, `name@suffix@REALM`.

    Raises:
        GssFailure: The KDC or the library refused.
    """
    try:
        acquired = gssapi.raw.acquire_cred_with_password(
            gssapi.Name(principal, _ENTERPRISE if enterprise else _PRINCIPAL),
            password.reveal().encode("utf-8", "surrogatepass"),
            usage="initiate",
            mechs=[_KERBEROS],
        )
    except GSSError as error:
        raise GssFailure(error) from error
    return gssapi.Credentials(acquired.creds)


class Kerberos:
    """Our side of a GSS-SPNEGO exchange that can be Kerberos only.

    See `spnego.Initiator`.
    """

    def __init__(
        self,
        credentials: gssapi.Credentials,
        host: str,
        *,
        seal: bool,
        binding: bytes | None,
    ) -> None:
        """Make the first token, from tickets that the credentials' cache has.

        Args:
            credentials: For SPNEGO.
            host: The server's DNS name.
            seal: Whether what follows the bind is to be sealed; inside TLS never.
            binding: The TLS channel binding, None outside of TLS.

        Raises:
            GssFailure: The library refused.
        """
        self._flags: int = _SEALED if seal else _MUTUAL
        try:
            if not seal:
                gssapi.raw.set_cred_option(_NO_LAYERS, credentials)
            self._context = Context(
                name=_service(host),
                creds=credentials,
                usage="initiate",
                mech=_SPNEGO,
                flags=self._flags,
                channel_bindings=_bindings(binding),
            )
            self._first: bytes | None = self._context.step()
        except GSSError as error:
            raise GssFailure(error) from error

    counted = False

    @property
    def complete(self) -> bool:
        """Whether nothing more is to be exchanged."""
        return bool(self._context.complete)

    @property
    def proven(self) -> bool:
        """Whether the server proved itself and agreed to all that was asked for."""
        if not self.complete or self._context.mech != _KERBEROS:
            return False
        return int(self._context.actual_flags) & self._flags == self._flags

    def step(self, token: bytes | None) -> bytes | None:
        """Take the server's token, None at first, and return ours."""
        if token is None:
            return self._first
        try:
            answer: bytes | None = self._context.step(token)
        except GSSError as error:
            raise ExchangeFailed(str(GssFailure(error))) from error
        return answer

    def wrap(self, data: bytes) -> bytes:
        """Seal; see `sealed.Seal`."""
        try:
            wrapped = self._context.wrap(data, encrypt=True)
        except GSSError as error:
            raise SealBroken(str(GssFailure(error))) from error
        if not wrapped.encrypted:
            raise SealBroken("the mechanism does not encrypt")
        return wrapped.message

    def unwrap(self, token: bytes) -> bytes:
        """Unseal; see `sealed.Seal`."""
        try:
            unwrapped = self._context.unwrap(token)
        except GSSError as error:
            raise SealBroken(str(GssFailure(error))) from error
        if not unwrapped.encrypted:
            raise SealBroken("a message came signed but not encrypted")
        return unwrapped.message


def with_password(
    principal: str, password: Secret, host: str, *, seal: bool, binding: bytes | None
) -> Kerberos:
    """Get tickets by password and begin an exchange; asks the KDC.

    Raises:
        GssFailure: The KDC or the library refused.
    """
    acquired = acquire(principal, password)
    return with_tickets(acquired, host, seal=seal, binding=binding)


def with_tickets(
    acquired: gssapi.Credentials, host: str, *, seal: bool, binding: bytes | None
) -> Kerberos:
    """Begin an exchange with tickets that somebody has; asks the KDC for one more.

    Raises:
        GssFailure: The KDC or the library refused.
    """
    with _caches.borrowed() as cache:
        try:
            gssapi.raw.store_cred_into(
                {"ccache": cache},
                acquired,
                usage="initiate",
                mech=_KERBEROS,
                overwrite=True,
            )
        except GSSError as error:
            raise GssFailure(error) from error
        return _begin({"ccache": cache}, host, seal=seal, binding=binding)


def with_keytab(
    principal: str, keytab: Path, host: str, *, seal: bool, binding: bytes | None
) -> Kerberos:
    """Get tickets by keytab and begin an exchange; asks the KDC where it has to.

    Tickets are used as long as they last, for this principal and these keys.

    Raises:
        GssFailure: The KDC or the library refused.
        OSError: The keytab cannot be read.
    """
    cache = _caches.of(principal, keytab.read_bytes())
    store: Store = {"ccache": cache, "client_keytab": f"FILE:{keytab}"}
    return _begin(store, host, seal=seal, binding=binding, principal=principal)


def forget(principal: str, keys: bytes) -> None:
    """Use tickets of a keytab no more: a server refused one."""
    _caches.forget(principal, keys)


def _begin(
    store: Store,
    host: str,
    *,
    seal: bool,
    binding: bytes | None,
    principal: str | None = None,
) -> Kerberos:
    """Get the server's ticket into the cache; then SPNEGO needs no network."""
    try:
        credentials = _credentials(store, _KERBEROS, principal)
        Context(
            name=_service(host), creds=credentials, usage="initiate", mech=_KERBEROS
        ).step()
        for_spnego = _credentials({"ccache": store["ccache"]}, _SPNEGO, None)
    except GSSError as error:
        raise GssFailure(error) from error
    return Kerberos(for_spnego, host, seal=seal, binding=binding)


def _credentials(
    store: Store, mech: gssapi.OID, principal: str | None
) -> gssapi.Credentials:
    name = gssapi.Name(principal, _PRINCIPAL) if principal else None
    return gssapi.Credentials(name=name, usage="initiate", mechs=[mech], store=store)


def _service(host: str) -> gssapi.Name:
    """Return the server's name; its realm comes from krb5.conf or from the KDC."""
    return gssapi.Name(f"ldap@{host}", _HOST_SERVICE)


def _bindings(data: bytes | None) -> gssapi.raw.ChannelBindings | None:
    if data is None:
        return None
    return gssapi.raw.ChannelBindings(
        initiator_address_type=_NO_ADDRESS,
        acceptor_address_type=_NO_ADDRESS,
        application_data=data,
    )


class _Caches:
    """Names of ticket caches in memory.

    GSSAPI cannot delete one, so their number is kept small: those for passwords are
    used over and over, one exchange at a time; a keytab has one of its own.
    """

    def __init__(self) -> None:
        self._key = os.urandom(32)
        self._lock = threading.Lock()
        self._free: list[str] = []
        self._made = count()
        self._of_keytabs: dict[bytes, str] = {}

    @contextmanager
    def borrowed(self) -> Iterator[str]:
        """Lend a cache that nobody else uses meanwhile."""
        with self._lock:
            name = self._free.pop() if self._free else self._new()
        try:
            yield name
        finally:
            with self._lock:
                self._free.append(name)

    def of(self, principal: str, keys: bytes) -> str:
        """Return the cache of a principal with these keys."""
        with self._lock:
            return self._of_keytabs.setdefault(
                self._digest(principal, keys), self._new()
            )

    def forget(self, principal: str, keys: bytes) -> None:
        """Give a principal with these keys a new cache next time."""
        with self._lock:
            self._of_keytabs.pop(self._digest(principal, keys), None)

    def _new(self) -> str:
        return f"MEMORY:dirbridge-{os.getpid()}-{next(self._made)}"

    def _digest(self, principal: str, keys: bytes) -> bytes:
        text = principal.encode("utf-8", "surrogatepass") + b"\0" + keys
        return hashlib.blake2b(text, key=self._key, digest_size=32).digest()


_caches = _Caches()
