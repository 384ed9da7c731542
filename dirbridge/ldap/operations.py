"""Rare operations through ldap3, on our own connection.

ldap3 is asked for what its catalogue of extended operations has and nobody waits
for. Entries and binds go by our own codec: it is faster, takes any octets that a
server may send, and leaves passwords as they are (no SASLprep).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dirbridge.ldap.transport import Transport
from dirbridge.model.deadline import Deadline

if TYPE_CHECKING:
    import ldap3

WHO_AM_I = "1.3.6.1.4.1.4203.1.11.3"
"""RFC 4532; slapd knows it, Samba does not."""


def who_am_i(transport: Transport, deadline: Deadline) -> str | None:
    """Ask whom the server takes us for (RFC 4532).

    Args:
        transport: A bound connection on which nothing is awaited.
        deadline: When the answer must be there.

    Returns:
        An authorisation identity such as `dn:uid=anna,...`, "" for anonymous; None
        where the server does not say or sends nonsense.

    Raises:
        Unreachable: No answer came.
    """
    # Importing ldap3 takes as long as all the rest of dirbridge.
    from ldap3.core.exceptions import LDAPException  # noqa: PLC0415
    from pyasn1.error import PyAsn1Error  # noqa: PLC0415

    # Its decoder was not made for servers that send nonsense.
    nonsense = (LDAPException, PyAsn1Error, OSError, ValueError, LookupError, TypeError)
    transport.allow(deadline)
    try:
        connection = _ldap3_on(transport)
        said = connection.extend.standard.who_am_i()
    except (*nonsense, AttributeError, RecursionError) as error:
        if transport.failure:
            raise transport.error("bind", detail=str(error)) from error
        return None
    known = isinstance(said, str) and connection.result["result"] == 0
    return str(said) if known else None


def _ldap3_on(transport: Transport) -> ldap3.Connection:
    """Give ldap3 our socket; it never opens one, so its own time-outs are unused."""
    import ldap3  # noqa: PLC0415

    endpoint = transport.endpoint
    server = ldap3.Server(endpoint.host, endpoint.port, get_info=ldap3.NONE)
    connection = ldap3.Connection(
        server, client_strategy=ldap3.SYNC, raise_exceptions=False
    )
    connection.socket = transport
    connection.closed = False
    connection.bound = True
    connection.listening = True
    connection.strategy._outstanding = {}  # noqa: SLF001 - what its own open() does
    return connection
