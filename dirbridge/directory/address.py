"""Mail addresses as directories hold them."""

from __future__ import annotations

import re
from functools import lru_cache

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
    local, domain = parts
    name = _ascii(domain)
    if (
        not _LOCAL.match(local)
        or len(local.encode("utf-8", "replace")) > _LONGEST_LOCAL
    ):
        raise Undecodable("is not a mail address: the part before @ is not allowed")
    if not _is_domain(name):
        raise Undecodable("is not a mail address: the part after @ is no domain")
    return Address(f"{local}@{name}")


@lru_cache(maxsize=4096)  # very many addresses are in a few domains
def _is_domain(name: str) -> bool:
    labels = name.split(".")
    return len(name) <= _LONGEST_DOMAIN and all(map(_LABEL.match, labels))


@lru_cache(maxsize=4096)
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
