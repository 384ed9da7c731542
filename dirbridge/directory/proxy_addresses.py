"""proxyAddresses and targetAddress: addresses with a prefix that says their kind.

`SMTP:` in capitals marks the primary address, `smtp:` an alias, everything else
(`X500:`, `sip:`, `EUM:`) is no mail of ours. LDAP compares the values without
regard to case, so only what was fetched tells them apart (measured on Samba 4.17).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from dirbridge.directory import address
from dirbridge.directory.errors import Undecodable, as_text
from dirbridge.model.names import Address, fold

_PREFIX = re.compile(r"([A-Za-z][A-Za-z0-9-]{0,31}):(.*)\Z", re.DOTALL)
PRIMARY = "SMTP"


@dataclass(frozen=True, slots=True)
class ProxyAddress:
    """One value.

    Attributes:
        kind: The prefix as written, without the colon.
        text: What stands behind it.
    """

    kind: str
    text: str

    @property
    def is_mail(self) -> bool:
        """Whether it is an SMTP address."""
        return self.kind.upper() == PRIMARY

    @property
    def is_primary(self) -> bool:
        """Whether it is marked as the primary address."""
        return self.kind == PRIMARY


@dataclass(frozen=True, slots=True)
class ProxyAddresses:
    """All values of one recipient.

    Attributes:
        primary: The primary address, or None where none is marked.
        aliases: Further addresses, each once, without the primary one.
        others: Values of other kinds, as written.
        surplus: Addresses that are marked as primary beside the first one. There
            must be exactly one; they are aliases as well.
        broken: Values that are none, as written.
    """

    primary: Address | None = None
    aliases: tuple[Address, ...] = ()
    others: tuple[str, ...] = ()
    surplus: tuple[Address, ...] = ()
    broken: tuple[str, ...] = ()


def decode(raw: bytes | str) -> ProxyAddress:
    """Read one value.

    Raises:
        Undecodable: It has no prefix, or nothing behind it.
    """
    match = _PREFIX.match(as_text(raw).strip())
    if match is None or not match[2].strip():
        raise Undecodable("is not an address with its kind before it, like smtp:a@b.c")
    return ProxyAddress(match[1], match[2].strip())


def decode_all(values: Iterable[bytes]) -> ProxyAddresses:
    """Sort all values of proxyAddresses; a broken one harms no other."""
    marked: dict[str, Address] = {}
    aliases: dict[str, Address] = {}
    others: list[str] = []
    broken: list[str] = []
    for raw in values:
        try:
            value = decode(raw)
            if not value.is_mail:
                others.append(f"{value.kind}:{value.text}")
                continue
            read = address.decode(value.text)
        except Undecodable:
            broken.append(raw.decode("utf-8", "replace"))
            continue
        (marked if value.is_primary else aliases).setdefault(fold(read), read)
    primary, *surplus = marked.values() or (None,)
    return ProxyAddresses(
        primary,
        tuple(
            one
            for key, one in (marked | aliases | marked).items()
            if primary is None or key != fold(primary)
        ),
        tuple(others),
        tuple(one for one in surplus if one is not None),
        tuple(broken),
    )


def decode_target(raw: bytes | str) -> Address | None:
    """Read targetAddress: where the mail of a contact or mail user really goes.

    The prefix may be in small letters or left out, as tools write all three.

    Returns:
        The address, or None where the target is no mail (`X500:`, `FAX:`).

    Raises:
        Undecodable: It is no address.
    """
    text = as_text(raw).strip()
    try:
        value = decode(text)
    except Undecodable:
        return address.decode(text)
    return address.decode(value.text) if value.is_mail else None
