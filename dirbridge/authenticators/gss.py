"""The calls into libkrb5, with its errors as one of ours.

Imported only when the first password is checked: libkrb5 reads KRB5_CONFIG when
its first context is made, and must not be loaded before a fork.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import gssapi
import gssapi.raw
from gssapi.raw.misc import GSSError

from dirbridge.authenticators.principals import Asked, Ticket
from dirbridge.directory import pac
from dirbridge.directory.errors import Undecodable
from dirbridge.ldap.gss import Context, GssFailure, acquire
from dirbridge.model.names import fold

__all__ = ["GssFailure", "NotVerified", "acquire", "verify"]

_KERBEROS = gssapi.MechType.kerberos
_PRINCIPAL = gssapi.NameType.kerberos_principal


class NotVerified(Exception):
    """The KDC did not prove itself."""


def verify(
    credentials: gssapi.Credentials, asked: Asked, service: str, keytab: Path
) -> Ticket:
    """Let the KDC prove itself by a ticket that our keytab opens.

    Args:
        credentials: What `acquire` gave.
        asked: Whom they are for.
        service: Our own principal, with its realm.
        keytab: The file with its keys.

    Returns:
        Whom the ticket is for; of an enterprise name that is the caller's to compare.

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
        acceptor = Context(creds=_keys(service, keytab), usage="accept")
        acceptor.step(initiator.step())
        if not acceptor.complete:
            raise NotVerified("the ticket was not accepted")
        name = acceptor.initiator_name
        if not asked.enterprise and fold(str(name)) != fold(_canonical(asked.text)):
            raise NotVerified("the ticket is for somebody else")
        return Ticket(str(name), sid_of(name))
    except GSSError as error:
        raise GssFailure(error) from error


def _canonical(principal: str) -> str:
    return str(gssapi.Name(principal, _PRINCIPAL).canonicalize(_KERBEROS))


def sid_of(name: gssapi.Name) -> bytes | None:
    """Return the SID of the ticket's PAC, None where it has none that is signed."""
    with suppress(GSSError, Undecodable):
        found = gssapi.raw.get_name_attribute(name, pac.LOGON_INFO)
        if found.authenticated and found.values:
            return pac.user_sid(found.values[0])
    return None


def _keys(service: str, keytab: Path) -> gssapi.Credentials:
    """Return the one key that counts.

    The file may hold keys of other realms too, and whoever has one of those is not
    the KDC of this one: without the name, any key would do.
    """
    store: dict[bytes | str, bytes | str] = {
        "keytab": f"FILE:{keytab}",
        # We made the token ourselves; a replay cache would be a file in /tmp.
        "rcache": "none:",
    }
    name = gssapi.Name(service, _PRINCIPAL)
    return gssapi.Credentials(name=name, usage="accept", store=store, mechs=[_KERBEROS])
