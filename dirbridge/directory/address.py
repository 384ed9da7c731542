"""Mail addresses as directories hold them."""

from __future__ import annotations

import re

from dirbridge.directory.errors import Undecodable
from dirbridge.model.names import Address, split_address

# RFC 5321 section 4.5.3.1.
_LONGEST_LOCAL = 64
_LONGEST_DOMAIN = 255

# RFC 5321 atoms and dots, and RFC 6531's letters beyond ASCII. Quoted local parts
# are legal but no mail server hands them out, and they break every log line.
_LOCAL = re.compile(r"[^\s\x00-\x20\x7f()<>\[\]:;@\\,\"]+\Z")
_LABEL = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)\Z")


def decode(text: str) -> Address:
    """Read an address; its domain becomes lower case and ASCII (IDNA).

    Raises:
        Undecodable: It is no address that mail can be sent to.
    """
    parts = split_address(text)
    if parts is None:
        raise Undecodable("is not a mail address: it needs a part on each side of @")
    local, domain = parts[0], _ascii(parts[1])
    if (
        not _LOCAL.match(local)
        or len(local.encode("utf-8", "replace")) > _LONGEST_LOCAL
    ):
        raise Undecodable("is not a mail address: the part before @ is not allowed")
    labels = domain.split(".")
    if len(domain) > _LONGEST_DOMAIN or not all(map(_LABEL.match, labels)):
        raise Undecodable("is not a mail address: the part after @ is no domain")
    return Address(f"{local}@{domain}")


def _ascii(domain: str) -> str:
    name = domain.rstrip(".").lower()
    if name.isascii():
        return name
    try:
        return name.encode("idna").decode("ascii").lower()
    except UnicodeError:
        raise Undecodable(
            "is not a mail address: the part after @ has no ASCII form"
        ) from None
