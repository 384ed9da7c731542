"""The LDAP ping: ask a domain controller in which site a client is (MS-ADTS 6.3.3).

A search of the rootDSE's attribute `Netlogon` in one UDP datagram; what comes back
is NETLOGON_SAM_LOGON_RESPONSE_EX (section 6.3.1.9): fixed fields, then names that
are packed as in DNS (RFC 1035 section 4.1.4). Nothing here does I/O.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from dirbridge.errors import LocalProtocolError, RemoteProtocolError
from dirbridge.protocols import ldap_messages

PORT = 389
MAX_DATAGRAM = 65_535

_ATTRIBUTE = "Netlogon"
_DOMAIN = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]{0,252}[A-Za-z0-9_])?\Z")

# NETLOGON_NT_VERSION_5 | NETLOGON_NT_VERSION_5EX (section 6.3.1.1), little-endian.
_VERSION = r"\06\00\00\00"

# LOGON_SAM_LOGON_RESPONSE_EX, LOGON_SAM_PAUSE_RESPONSE_EX, LOGON_SAM_USER_UNKNOWN_EX
# (section 6.3.1.3): all three have the same fields.
_ANSWERS = frozenset({23, 24, 25})

_NAMES_AT = 2 + 2 + 4 + 16
"""Operation code, padding, flags, and the domain's GUID come first."""

_NAMES = (
    "forest",
    "domain",
    "host",
    "netbios_domain",
    "netbios_host",
    "user",
    "server_site",
    "client_site",
)
_POINTER, _LABEL = 0xC0, 0x3F
_MAX_NAME = 255
"""Octets of a name with its dots (RFC 1035 section 2.3.4)."""


@dataclass(frozen=True, slots=True)
class Pong:
    """What a domain controller says of itself and of us.

    Attributes:
        forest: DNS name of the forest.
        domain: DNS name of the domain.
        host: DNS name of the server.
        netbios_domain: NT name of the domain.
        server_site: The site of the server.
        client_site: The site that our address is in; "" where none has it.
    """

    forest: str
    domain: str
    host: str
    netbios_domain: str
    server_site: str
    client_site: str


def ping_request(message_id: int, domain: str) -> bytes:
    """Write the datagram.

    Args:
        message_id: Comes back in the answer.
        domain: DNS name of the domain.

    Raises:
        LocalProtocolError: It is no DNS name.
    """
    if not _DOMAIN.match(domain):
        raise LocalProtocolError("a ping needs the name of a domain")
    text = f"(&(DnsDomain={domain})(NtVer={_VERSION}))"
    return ldap_messages.search_request(message_id, "", "BASE", text, (_ATTRIBUTE,))


def parse_pong(datagram: bytes, message_id: int) -> Pong:
    """Read the datagram that answers a ping.

    Raises:
        RemoteProtocolError: It is something else, or the server has no such domain.
    """
    size = ldap_messages.message_size(datagram, MAX_DATAGRAM)
    if size is None or size > len(datagram):
        raise RemoteProtocolError("a datagram without a whole message")
    message = datagram[:size]
    if ldap_messages.kind_of(message) != (message_id, ldap_messages.SEARCH_ENTRY):
        raise RemoteProtocolError("no answer to this ping")
    values = ldap_messages.parse_entry(message).get(_ATTRIBUTE.lower(), ())
    if len(values) != 1:
        raise RemoteProtocolError("an answer without its value")
    return parse_response(values[0])


def parse_response(value: bytes) -> Pong:
    """Read NETLOGON_SAM_LOGON_RESPONSE_EX up to the client's site.

    Raises:
        RemoteProtocolError: It is something else.
    """
    if len(value) < _NAMES_AT or int.from_bytes(value[:2], "little") not in _ANSWERS:
        raise RemoteProtocolError("no answer with sites")
    names, at = {}, _NAMES_AT
    for name in _NAMES:
        names[name], at = _name(value, at)
    return Pong(
        forest=names["forest"],
        domain=names["domain"],
        host=names["host"],
        netbios_domain=names["netbios_domain"],
        server_site=names["server_site"],
        client_site=names["client_site"],
    )


def _name(value: bytes, at: int) -> tuple[str, int]:
    """Return the name that begins at `at`, and where the next one begins.

    A pointer may only lead back, so that no name can go round in a circle.
    """
    labels: list[bytes] = []
    after, earliest, size = -1, at, 0
    while True:
        length = _octet(value, at)
        if length & _POINTER == _POINTER:
            after = at + 2 if after < 0 else after
            at = (length & _LABEL) << 8 | _octet(value, at + 1)
            if at >= earliest:
                raise RemoteProtocolError("a name that leads forward")
            earliest = at
            continue
        if length > _LABEL:
            raise RemoteProtocolError("a label of an unknown kind")
        if length == 0:
            break
        labels.append(value[at + 1 : at + 1 + length])
        size, at = size + 1 + length, at + 1 + length
        if size > _MAX_NAME or at > len(value):
            raise RemoteProtocolError("a name without an end")
    return _text(b".".join(labels)), at + 1 if after < 0 else after


def _octet(value: bytes, at: int) -> int:
    if at >= len(value):
        raise RemoteProtocolError("a name without an end")
    return value[at]


def _text(name: bytes) -> str:
    try:
        return name.decode("utf-8")
    except UnicodeDecodeError as error:
        raise RemoteProtocolError("a name that is no text") from error
