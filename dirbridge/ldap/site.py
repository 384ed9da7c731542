"""Ask a domain controller in which site of Active Directory we are, over UDP."""

from __future__ import annotations

import contextlib
import secrets
import socket
from typing import Protocol

from dirbridge.errors import ProtocolError
from dirbridge.ldap.transport import resolve
from dirbridge.model.deadline import Deadline
from dirbridge.protocols import netlogon_ping


class _Host(Protocol):
    @property
    def host(self) -> str: ...


def ask_site(
    server: _Host, domain: str, seconds: float, *, port: int = netlogon_ping.PORT
) -> str | None:
    """Return our site, "" where our address is in none (MS-ADTS 6.3.3).

    Nothing secret goes out, and what comes back only sorts servers that DNS names:
    who forges it can make us ask another one first.

    Args:
        server: The domain controller.
        domain: Its domain.
        seconds: Time for the answer, with the look-up of its name.
        port: The UDP port.

    Returns:
        The site; None where no answer came.
    """
    limit = Deadline.after(seconds)
    with contextlib.suppress(OSError, ProtocolError):
        family, address = resolve(server.host, limit.left())[0]
        with socket.socket(family, socket.SOCK_DGRAM) as sock:
            sock.connect((address, port))
            number = 1 + secrets.randbelow(2**31 - 1)
            sock.send(netlogon_ping.ping_request(number, domain))
            sock.settimeout(max(limit.left(), 0.01))
            datagram = sock.recv(netlogon_ping.MAX_DATAGRAM)
            return netlogon_ping.parse_pong(datagram, number).client_site
    return None
