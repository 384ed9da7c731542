"""The calls into libkrb5 for tickets that clients bring.

Imported only when the first one comes: libkrb5 reads KRB5_CONFIG when its first context
is made, and must not be loaded before a fork. SPNEGO is MIT's own, told to let Kerberos
through only: NTLM inside would be a password's hash that we cannot check.
"""

from __future__ import annotations

from pathlib import Path

import gssapi
import gssapi.raw
from gssapi.raw.misc import GSSError

from dirbridge.authenticators.gss import sid_of
from dirbridge.ldap.gss import Context, GssFailure
from dirbridge.model.names import RealmName
from dirbridge.protocols import sasl
from dirbridge.protocols.sasl_gssapi import NotAccepted

_KERBEROS = gssapi.MechType.kerberos
_SPNEGO = gssapi.OID.from_int_seq("1.3.6.1.5.5.2")  # RFC 4178 appendix A

_NTLM = b"NTLMSSP\0"
"""How its messages begin (MS-NLMP 2.2.1), in a SPNEGO token or bare."""


class Accepting:
    """A context with the keys of one realm; see `sasl_gssapi.Context`."""

    def __init__(self, realm: RealmName, keytab: Path, *, spnego: bool) -> None:
        """Read the keys.

        Raises:
            NotAccepted: They cannot be read, which is a fault of ours.
        """
        self._realm = realm
        try:
            credentials = _keys(keytab, _SPNEGO if spnego else _KERBEROS)
            if spnego:
                gssapi.raw.set_neg_mechs(credentials, [_KERBEROS])
            self._context = Context(creds=credentials, usage="accept")
        except GSSError as error:
            detail = f"keytab of {realm}: {GssFailure(error)}"
            raise NotAccepted(detail, ours=True) from error

    @property
    def complete(self) -> bool:
        """Whether nothing more is to be exchanged."""
        return bool(self._context.complete)

    def step(self, token: bytes) -> bytes:
        """Take the client's token and return ours."""
        try:
            answer: bytes | None = self._context.step(token)
        except GSSError as error:
            if _NTLM in token:
                raise NotAccepted("the client offered NTLM, no ticket") from error
            raise self._refused(error) from error
        return answer or b""

    def wrap(self, data: bytes) -> bytes:
        """Protect the integrity of some octets."""
        try:
            wrapped = self._context.wrap(data, encrypt=False)
        except GSSError as error:
            raise self._refused(error) from error
        return wrapped.message

    def unwrap(self, token: bytes) -> bytes:
        """Return what the client wrapped."""
        try:
            unwrapped = self._context.unwrap(token)
        except GSSError as error:
            raise self._refused(error) from error
        return unwrapped.message

    def client(self) -> sasl.Proven:
        """Return whom the ticket is for, if its realm may say so."""
        try:
            name = self._context.initiator_name
            client, service = str(name), str(self._context.target_name)
            mechanism = self._context.mech
        except GSSError as error:
            raise self._refused(error) from error
        except UnicodeDecodeError as error:
            raise NotAccepted("a name that is no UTF-8") from error
        if not self.complete or name is None or mechanism != _KERBEROS:
            raise NotAccepted("it is no ticket of Kerberos")
        if {_realm_of(client), _realm_of(service)} != {self._realm}:
            raise NotAccepted(f"{client} is not of the realm {self._realm}")
        return sasl.Proven(client, sid=sid_of(name))

    def _refused(self, error: GSSError) -> NotAccepted:
        return NotAccepted(f"{self._realm}: {GssFailure(error)}")


def _realm_of(principal: str) -> str:
    return principal.rpartition("@")[2]


def _keys(keytab: Path, mechanism: gssapi.OID) -> gssapi.Credentials:
    store: dict[bytes | str, bytes | str] = {
        "keytab": f"FILE:{keytab}",
        "rcache": "none:",
    }
    return gssapi.Credentials(usage="accept", store=store, mechs=[mechanism])
