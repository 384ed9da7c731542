"""The calls into libkrb5, with its errors as one of ours.

Imported only when the first password is checked: libkrb5 reads KRB5_CONFIG when
its first context is made, and must not be loaded before a fork.
"""

from __future__ import annotations

from pathlib import Path

import gssapi
import gssapi.raw
from gssapi.raw.misc import GSSError

from dirbridge.model.names import fold
from dirbridge.model.secret import Secret

_TABLE = 0x96C73A00
"""Base of the krb5 error table; the codes of RFC 4120 section 7.5.9 come first."""

_TABLE_SIZE = 0x100
_KERBEROS = gssapi.MechType.kerberos
_PRINCIPAL = gssapi.NameType.kerberos_principal


class GssFailure(Exception):
    """libkrb5 said no.

    Attributes:
        code: The number within the krb5 error table, -1 for another table's.
        words: Its own words; they may name the principal, never the password.
    """

    def __init__(self, error: GSSError) -> None:
        code = (error.min_code & 0xFFFFFFFF) - _TABLE
        self.code = code if 0 <= code < _TABLE_SIZE else -1
        said = list(error.get_all_statuses(error.min_code, False))
        self.words = f"{said[0] if said else 'GSSAPI'} ({self.code})"
        super().__init__(self.words)


class NotVerified(Exception):
    """The KDC did not prove itself."""


class _Context(gssapi.SecurityContext):
    """A security context whose steps raise their errors at once.

    Without this, a step over a wrong keytab returns a token as if all were well
    (facts: ad-semantics 0.5).
    """

    __DEFER_STEP_ERRORS__ = False


def acquire(principal: str, password: Secret) -> gssapi.Credentials:
    """Get a person's tickets by password; they live in memory.

    Args:
        principal: As `krb5_parse_name` reads it, with its realm.
        password: The password, without a NUL.

    Raises:
        GssFailure: The KDC or the library refused.
    """
    try:
        acquired = gssapi.raw.acquire_cred_with_password(
            gssapi.Name(principal, _PRINCIPAL),
            password.reveal().encode("utf-8", "surrogatepass"),
            usage="initiate",
            mechs=[_KERBEROS],
        )
    except GSSError as error:
        raise GssFailure(error) from error
    return gssapi.Credentials(acquired.creds)


def verify(
    credentials: gssapi.Credentials, principal: str, service: str, keytab: Path
) -> None:
    """Let the KDC prove itself by a ticket that our keytab opens.

    Args:
        credentials: What `acquire` gave.
        principal: Whom they are for.
        service: Our own principal, with its realm.
        keytab: The file with its keys.

    Raises:
        GssFailure: A step failed.
        NotVerified: The ticket is not what it should be.
    """
    try:
        initiator = _Context(
            name=gssapi.Name(service, _PRINCIPAL),
            creds=credentials,
            usage="initiate",
            mech=_KERBEROS,
        )
        acceptor = _Context(creds=_keys(keytab), usage="accept")
        acceptor.step(initiator.step())
        expected = str(gssapi.Name(principal, _PRINCIPAL).canonicalize(_KERBEROS))
        if not acceptor.complete:
            raise NotVerified("the ticket was not accepted")
        if fold(str(acceptor.initiator_name)) != fold(expected):
            raise NotVerified("the ticket is for somebody else")
    except GSSError as error:
        raise GssFailure(error) from error


def _keys(keytab: Path) -> gssapi.Credentials:
    store: dict[bytes | str, bytes | str] = {
        "keytab": f"FILE:{keytab}",
        # We made the token ourselves; a replay cache would be a file in /tmp.
        "rcache": "none:",
    }
    return gssapi.Credentials(usage="accept", store=store, mechs=[_KERBEROS])
