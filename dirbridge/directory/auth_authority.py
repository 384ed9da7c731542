"""authAuthority of Open Directory: how a user proves who they are.

`value = [version] ";" tag ";" data`, split at the first two semicolons only, as
the data may hold more (facts: open-directory 3). The attribute has many values
without order: choose by tag, never by position, and never fall through from an
unknown tag to success.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from dirbridge.directory.errors import Undecodable, as_text
from dirbridge.model.names import RealmName

_VERSION = re.compile(r"(?:\d+(?:\.\d+){0,2})?\Z", re.ASCII)
_TAG = re.compile(r"[A-Za-z][A-Za-z0-9_-]*\Z")
_LOCAL_REALMS = ("LKDC:", "WELLKNOWN:")

KERBEROS = "kerberosv5"
PASSWORD_SERVER = "applepasswordserver"  # noqa: S105 - a tag, not a password
DISABLED = "disableduser"


@dataclass(frozen=True, slots=True)
class AuthAuthority:
    """One value.

    Attributes:
        version: As written, mostly empty.
        tag: As written; compare `kind`.
        data: All that follows the second semicolon.
    """

    version: str
    tag: str
    data: str

    @property
    def kind(self) -> str:
        """The tag in lower case, as tags compare without case."""
        return self.tag.lower()

    def __str__(self) -> str:
        return f"{self.version};{self.tag};{self.data}"


@dataclass(frozen=True, slots=True)
class KerberosData:
    """What a `Kerberosv5` value says.

    Attributes:
        slot: The Password Server slot, or empty.
        principal: `name@REALM`, or empty where it is `uid@realm`.
        realm: The realm as written.
        public_key: The Password Server's key and address, or empty.
    """

    slot: str
    principal: str
    realm: RealmName
    public_key: str = ""


@dataclass(frozen=True, slots=True)
class PasswordServerData:
    """What an `ApplePasswordServer` value says.

    Attributes:
        slot: The user's slot, opaque; send it exactly as stored.
        public_key: `bits exponent modulus comment`; empty in the oldest form,
            which cannot be verified.
        family: `ipv4`, `ipv6` or `dns`.
        address: The server, without the family.
    """

    slot: str
    public_key: str
    family: str
    address: str


def decode(raw: bytes | str) -> AuthAuthority:
    """Read one value.

    Raises:
        Undecodable: It has no tag, or a version that is none.
    """
    parts = as_text(raw).split(";", 2)
    if len(parts) != 3:  # noqa: PLR2004 - version, tag, data
        raise Undecodable('is not an authAuthority: it has no "version;tag;data"')
    version, tag, data = parts
    if not _VERSION.match(version) or not _TAG.match(tag):
        raise Undecodable("is not an authAuthority: its version or tag is malformed")
    return AuthAuthority(version, tag, data)


def decode_kerberos(value: AuthAuthority) -> KerberosData:
    """Read the data of a `Kerberosv5` value: `[slot];[principal];realm;[key]`.

    Raises:
        Undecodable: It has another tag, no realm, or a Mac's local realm (`LKDC:`),
            which only that Mac itself can answer for.
    """
    fields = value.data.split(";", 3)
    if value.kind != KERBEROS or len(fields) < 3:  # noqa: PLR2004
        raise Undecodable("is not a Kerberosv5 value with slot, principal and realm")
    slot, principal, realm, *key = fields
    named = principal.rpartition("@")[2] if "@" in principal else ""
    if (not realm and not named) or principal.startswith("@"):
        raise Undecodable("names no Kerberos realm, or nobody in it")
    if any(each.upper().startswith(_LOCAL_REALMS) for each in (realm, named)):
        raise Undecodable("names a Mac's local Kerberos realm (LKDC)")
    return KerberosData(slot, principal, RealmName(realm or named), *key)


def decode_password_server(value: AuthAuthority) -> PasswordServerData:
    """Read the data of an `ApplePasswordServer` value: `slot,key:address`.

    The slot ends at the first comma, the key at the first colon after it, as
    Apple's own client does it; so an IPv6 address follows as `ipv6/...`.

    Raises:
        Undecodable: It has another tag, or slot or address are missing.
    """
    head, comma, rest = value.data.partition(",")
    slot, key, place = (head, *rest.partition(":")[::2]) if comma else _oldest(head)
    family, slash, address = place.partition("/")
    if not slash:
        family, address = "ipv4", place
    if value.kind != PASSWORD_SERVER or not slot or not address:
        raise Undecodable("is not an ApplePasswordServer value with slot and address")
    if family not in {"ipv4", "ipv6", "dns"}:
        raise Undecodable("names an address of an unknown family")
    return PasswordServerData(slot, key, family, address)


def is_disabled(values: Iterable[bytes | str]) -> bool:
    """Tell whether any value has the tag `DisabledUser`.

    Broken values are passed over here: they let nobody in either.
    """
    return any(_kind_or_none(raw) == DISABLED for raw in values)


def _oldest(data: str) -> tuple[str, str, str]:
    """Split the form without key: `0x3e5d...:17.221.41.95`."""
    slot, _, place = data.partition(":")
    return slot, "", place


def _kind_or_none(raw: bytes | str) -> str | None:
    try:
        return decode(raw).kind
    except Undecodable:
        return None
