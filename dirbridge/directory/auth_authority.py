"""authAuthority of Open Directory: how a user proves who they are.

`value = [version] ";" tag ";" data`, split at the first two semicolons only, as
the data may hold more (facts: open-directory 3). The attribute has many values
without order: choose by tag, never by position, and never fall through from an
unknown tag to success.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeVar

from dirbridge.directory import realm
from dirbridge.directory.errors import Undecodable, as_text
from dirbridge.model.names import RealmName
from dirbridge.model.quick import remaker

D = TypeVar("D")

_VERSION = re.compile(r"(?:\d+(?:\.\d+){0,2})?\Z", re.ASCII)
_TAG = re.compile(r"[A-Za-z][A-Za-z0-9_-]*\Z")
_DISABLED_WITHIN = ";disableduser"
_DISABLED_OCTETS = _DISABLED_WITHIN.encode()
_FAMILIES = frozenset({"ipv4", "ipv6", "dns"})

KERBEROS = "kerberosv5"
PASSWORD_SERVER = "applepasswordserver"  # noqa: S105 - a tag, not a password
DISABLED = "disableduser"
BASIC = "basic"
SHADOW_HASH = "shadowhash"
CACHED_USER = "localcacheduser"

TAGS = (
    "ApplePasswordServer",
    "Kerberosv5",
    "Kerberosv5Cert",
    "basic",
    "ShadowHash",
    "LocalCachedUser",
    "LocalWindowsHash",
    "DisabledUser",
)
"""Every tag that Apple documents; a value with another one lets nobody in."""


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


_value = remaker(AuthAuthority)


@dataclass(frozen=True, slots=True)
class KerberosData:
    """What a `Kerberosv5` value says; its text is the value's data.

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

    def __str__(self) -> str:
        return f"{self.slot};{self.principal};{self.realm};{self.public_key}"


@dataclass(frozen=True, slots=True)
class PasswordServerData:
    """What an `ApplePasswordServer` value says; its text is the value's data.

    Attributes:
        slot: The user's slot, opaque; send it exactly as stored.
        public_key: `bits exponent modulus comment`; empty in the oldest form.
        family: `ipv4`, `ipv6` or `dns`.
        address: The server, without the family.
    """

    slot: str
    public_key: str
    family: str
    address: str

    @property
    def verifiable(self) -> bool:
        """Whether it has the key by which the server is known; else do not use it."""
        return bool(self.public_key)

    def __str__(self) -> str:
        family = "" if self.family == "ipv4" else f"{self.family}/"
        key = f",{self.public_key}" if self.public_key else ""
        return f"{self.slot}{key}:{family}{self.address}"


@dataclass(frozen=True, slots=True)
class CachedUserData:
    """What a `LocalCachedUser` value says: whose copy a Mac keeps."""

    node: str
    record: str
    guid: str

    def __str__(self) -> str:
        return ":".join((self.node, self.record, self.guid))


@dataclass(frozen=True, slots=True)
class Ways:
    """How a user may prove who they are, by all values together.

    Attributes:
        disabled: Whether the user is disabled; then there is no way at all.
        kerberos: The Kerberos principal.
        password_server: The Password Server, where its key is told.
        basic: Whether an old crypt password can be checked by an LDAP bind: the
            tag `basic`, or no value at all.
        unusable: Tags of values that are of no use over a network, in order.
    """

    disabled: bool = False
    kerberos: KerberosData | None = None
    password_server: PasswordServerData | None = None
    basic: bool = False
    unusable: tuple[str, ...] = ()


def decode(raw: bytes | str) -> AuthAuthority:
    """Read one value.

    Raises:
        Undecodable: It has no tag, or a version that is none.
    """
    parts = as_text(raw).split(";", 2)
    if len(parts) != 3:  # noqa: PLR2004 - version, tag, data
        raise Undecodable('is not an authAuthority: it has no "version;tag;data"')
    version, tag, data = parts
    if not _is_well_formed(version, tag):
        raise Undecodable("is not an authAuthority: its version or tag is malformed")
    return _value(version, tag, data)


def decode_kerberos(value: AuthAuthority) -> KerberosData:
    """Read the data of a `Kerberosv5` value: `[slot];[principal];realm;[key]`.

    Raises:
        Undecodable: It has another tag, no realm, or a Mac's local realm (`LKDC:`),
            which only that Mac itself can answer for.
    """
    fields = value.data.split(";", 3)
    if value.kind != KERBEROS or len(fields) < 3:  # noqa: PLR2004
        raise Undecodable("is not a Kerberosv5 value with slot, principal and realm")
    slot, principal, name, *key = fields
    named = principal.rpartition("@")[2] if "@" in principal else ""
    nobody = principal.startswith("@") or principal.endswith("@")
    if not (name or named) or nobody:
        raise Undecodable("names no Kerberos realm, or nobody in it")
    if realm.is_local(name) or (named and realm.is_local(named)):
        raise Undecodable("names a Mac's local Kerberos realm (LKDC)")
    return KerberosData(slot, principal, RealmName(name or named), *key)


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
    if comma and not key:
        raise Undecodable("is an ApplePasswordServer value without its key")
    if family not in _FAMILIES:
        raise Undecodable("names an address of an unknown family")
    return PasswordServerData(slot, key, family, address)


def decode_cached_user(value: AuthAuthority) -> CachedUserData:
    """Read the data of a `LocalCachedUser` value: `node:record:GUID`.

    Raises:
        Undecodable: It has another tag, or a part is missing.
    """
    parts = value.data.split(":")
    if value.kind != CACHED_USER or len(parts) < 3 or not all(parts[-3:]):  # noqa: PLR2004
        raise Undecodable("is not a LocalCachedUser value with node, record and GUID")
    return CachedUserData(":".join(parts[:-2]), *parts[-2:])


def decode_hashes(value: AuthAuthority) -> tuple[str, ...]:
    """Read the data of a `ShadowHash` value: the kinds of hashes that are kept.

    Raises:
        Undecodable: It has another tag, or a list that does not end.
    """
    head, _, rest = value.data.partition(":")
    if value.kind != SHADOW_HASH:
        raise Undecodable("is not a ShadowHash value")
    if head.upper() != "HASHLIST":
        return (head,) if head else ()
    if not (rest.startswith("<") and rest.endswith(">")):
        raise Undecodable("is a ShadowHash value with a broken list")
    return tuple(name for name in rest[1:-1].split(",") if name)


def former(value: AuthAuthority) -> AuthAuthority:
    """Return what a `DisabledUser` value was before, for people who ask.

    It is the whole former value, in angle brackets or not; nothing stands for
    `basic`. It must never be used to let somebody in.

    Raises:
        Undecodable: It has another tag, or holds no value.
    """
    if value.kind != DISABLED:
        raise Undecodable("is not a DisabledUser value")
    inner = value.data
    if inner.startswith("<"):
        # Apple's own example leaves the closing bracket out.
        inner = inner[1:].removesuffix(">")
    return decode(inner) if inner else AuthAuthority("", BASIC, "")


def is_disabled(values: Iterable[bytes | str]) -> bool:
    """Tell whether any value has the tag `DisabledUser`.

    As Apple's own server does it, a text is searched for: a value that is broken
    otherwise still disables.
    """
    return any(map(says_disabled, values))


def ways(values: Iterable[bytes | str]) -> Ways:
    """Choose among a user's values by their tags.

    A disabled user has no way, whatever the other values say. A value that is
    broken, of another tag, or without the server's key is no way either; of two
    values with one tag the first that can be read counts.

    Args:
        values: All values of the user, in whatever order they came.
    """
    every = tuple(values)
    if is_disabled(every):
        return Ways(disabled=True)
    read = tuple(_readable(every))
    kerberos = next(_each(read, KERBEROS, decode_kerberos), None)
    server = next(
        (
            s
            for s in _each(read, PASSWORD_SERVER, decode_password_server)
            if s.verifiable
        ),
        None,
    )
    usable = {
        BASIC,
        *([KERBEROS] * bool(kerberos)),
        *([PASSWORD_SERVER] * bool(server)),
    }
    return Ways(
        kerberos=kerberos,
        password_server=server,
        basic=not every or any(each.kind == BASIC for each in read),
        unusable=tuple(each.tag for each in read if each.kind not in usable),
    )


def _readable(values: tuple[bytes | str, ...]) -> Iterator[AuthAuthority]:
    for raw in values:
        try:
            yield decode(raw)
        except Undecodable:
            continue


def _each(
    values: Iterable[AuthAuthority], kind: str, read: Callable[[AuthAuthority], D]
) -> Iterator[D]:
    for value in values:
        if value.kind == kind:
            with suppress(Undecodable):
                yield read(value)


def says_disabled(raw: bytes | str) -> bool:
    """Tell of one value what `is_disabled` tells of all."""
    if isinstance(raw, bytes):  # no octet of another letter is one of these
        return _DISABLED_OCTETS in raw.lower()
    return _DISABLED_WITHIN in raw.lower()


@lru_cache(maxsize=256)  # a directory has few different ones
def _is_well_formed(version: str, tag: str) -> bool:
    return _VERSION.match(version) is not None and _TAG.match(tag) is not None


def _oldest(data: str) -> tuple[str, str, str]:
    """Split the form without key: `0x3e5d...:17.221.41.95`."""
    slot, _, place = data.partition(":")
    return slot, "", place
