"""The calls into libkrb5, with its errors as one of ours.

Imported only when the first password is checked: libkrb5 reads KRB5_CONFIG when
its first context is made, and must not be loaded before a fork.
"""

from __future__ import annotations

from pathlib import Path

import gssapi
from gssapi.raw.misc import GSSError

from dirbridge.ldap.gss import Context, GssFailure, acquire
from dirbridge.model.names import fold

__all__ = ["GssFailure", "NotVerified", "acquire", "verify"]

_KERBEROS = gssapi.MechType.kerberos
_PRINCIPAL = gssapi.NameType.kerberos_principal


class NotVerified(Exception):
    """The KDC did not prove itself."""


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
        initiator = Context(
            name=gssapi.Name(service, _PRINCIPAL),
            creds=credentials,
            usage="initiate",
            mech=_KERBEROS,
        )
        acceptor = Context(creds=_keys(keytab), usage="accept")
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
