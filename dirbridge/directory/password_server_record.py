"""Which Password Servers an Open Directory has: passwordserver_<HEX> in cn=config.

The list is the property list of apple-password-server-list, the same text that a
Password Server returns to LISTREPLICAS (ReplicaFile of Apple's DSPasswordServerPlugin).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from ipaddress import ip_address

from dirbridge.directory import plists
from dirbridge.directory.errors import Undecodable, as_text

MOST_ADDRESSES = 32
"""Addresses of one server (ReplicaFile of Apple's DSPasswordServerPlugin)."""

MOST_TIERS = 4
"""The master, its replicas, since 10.6 replicas of those; and some to be safe."""

RECORD = "passwordserver"
_ID = re.compile(r"[0-9A-Fa-f]{32}\Z")
_HOST = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_-]*(?:\.[A-Za-z0-9_-]+)*)?\Z")
_PORTS = range(1, 65536)
_AWAY = frozenset({"permissiondenied", "notfound"})


@dataclass(frozen=True, slots=True)
class Address:
    """Where a server listens.

    Attributes:
        host: DNS name or address, IPv6 without brackets.
        port: Its port where one is written.
    """

    host: str
    port: int | None = None


@dataclass(frozen=True, slots=True)
class PasswordServer:
    """One server of the list.

    Attributes:
        addresses: All that can be read of `IP`, in order.
        dns: Its name, or "".
        name: `Replica1` and the like; "" for the master.
        status: ReplicaStatus as written, or "".
        policy: ReplicaPolicy as written, or "".
        tier: 0 the master, 1 its replicas, 2 replicas of a relay.
    """

    addresses: tuple[Address, ...] = ()
    dns: str = ""
    name: str = ""
    status: str = ""
    policy: str = ""
    tier: int = 0

    @property
    def away(self) -> bool:
        """Whether the master itself could not reach it lately: ask it last."""
        return self.status.lower() in _AWAY

    def is_at(self, host: str) -> bool:
        """Whether a DNS name or address is this server's."""
        wanted = host.strip().rstrip(".").lower()
        own = (self.dns, *(each.host for each in self.addresses))
        return bool(wanted) and wanted in {each.rstrip(".").lower() for each in own}


@dataclass(frozen=True, slots=True)
class PasswordServerRecord:
    """What a directory says of its Password Servers.

    Attributes:
        id: 32 hex digits in capitals, see `identity`; "" where it is not told.
        primary: The master, None where it is not told.
        replicas: The others, each before the replicas of its own.
        decommissioned: Names and addresses that are out of service; no server that
            has one of them is in `replicas`.
    """

    id: str
    primary: PasswordServer | None = None
    replicas: tuple[PasswordServer, ...] = ()
    decommissioned: frozenset[str] = frozenset()

    @property
    def servers(self) -> tuple[PasswordServer, ...]:
        """All of them, the master first."""
        return ((self.primary,) if self.primary else ()) + self.replicas

    def in_order(self, ldap_host: str = "") -> tuple[PasswordServer, ...]:
        """Return the servers in the order in which to ask them.

        The one that is the LDAP server in use comes first, then the master, then
        the replicas; who was away lately comes last. Apple's client does much the same.

        Args:
            ldap_host: DNS name or address of the LDAP server in use.
        """

        def rank(server: PasswordServer) -> tuple[bool, bool]:
            return server.away, not server.is_at(ldap_host)

        return tuple(sorted(self.servers, key=rank))

    def belongs_to(self, public_key: str) -> bool:
        """Whether a user's public-key text is that of these servers."""
        return bool(self.id) and self.id == identity(public_key)


def identity(public_key: str) -> str:
    """Return the id of the servers that have a public key.

    It is the MD5 of the whole text with its comment, without the address that
    follows it in authAuthority (Apple's DSPasswordServerPlugin).

    Args:
        public_key: `bits exponent modulus comment`.
    """
    # A name of the key, made by Apple; what proves the server is the key itself.
    octets = public_key.encode("utf-8", "surrogatepass")
    return hashlib.md5(octets, usedforsecurity=False).hexdigest().upper()


def choose(
    records: Iterable[PasswordServerRecord], public_key: str
) -> PasswordServerRecord | None:
    """Return the record of the servers that have a user's key, None where none has.

    A record that tells no id is the last resort: the key itself, which each server
    has to show, decides.

    Args:
        records: What the directory has, see `decode`.
        public_key: The key of the user's authAuthority.
    """
    known = tuple(records)
    own = (each for each in known if each.belongs_to(public_key))
    return next(own, next((each for each in known if not each.id), None))


def id_of_record(name: str) -> str:
    """Return the id in a record's name `passwordserver_<32 HEX>`, or ""."""
    head, _, tail = name.partition("_")
    return tail.upper() if head.lower() == RECORD and _ID.match(tail) else ""


def decode(
    server_list: bytes | str | None, location: bytes | str | None = None, name: str = ""
) -> PasswordServerRecord:
    """Read one record.

    Args:
        server_list: apple-password-server-list.
        location: apple-password-server-location, the master's address; used where
            the list does not tell it.
        name: The record's name.

    Raises:
        Undecodable: The list is no property list, or holds too much.
    """
    plist = plists.decode(server_list) if server_list is not None else {}
    stored = plists.text_of(plist, "ID") or ""
    known = stored.upper() if _ID.match(stored) else id_of_record(name)
    gone = frozenset(_decommissioned(plist))
    parent = plists.dict_of(plist, "Parent")
    primary = replace(_server(parent, 0), name="") if parent else None
    if (primary is None or not _reachable(primary)) and location is not None:
        place = parse_address(as_text(location))
        primary = PasswordServer((place,), "") if place else primary
    replicas = [
        each
        for each in _replicas(plist, 1)
        if _reachable(each) and not _is_gone(each, gone)
    ]
    return PasswordServerRecord(known, primary, tuple(replicas), gone)


def parse_address(text: str) -> Address | None:
    """Read `10.0.0.5`, `10.0.0.5:3659`, `ipv6/2001:db8::1`, `dns/od.company.com`.

    Returns:
        The address, None where it is none.
    """
    family, slash, rest = text.strip().partition("/")
    if slash and family.lower() not in {"ipv4", "ipv6", "dns"}:
        return None
    place = rest if slash else family
    if place.startswith("["):
        host, closed, port = place[1:].partition("]")
        return _address(host, port.removeprefix(":")) if closed else None
    if place.count(":") > 1:
        return _address(place, "")
    host, _, port = place.partition(":")
    return _address(host, port)


def _address(host: str, port: str) -> Address | None:
    if port and not (re.fullmatch(r"\d{1,5}", port, re.ASCII) and int(port) in _PORTS):
        return None
    try:
        ip_address(host)
    except ValueError:
        if not _HOST.match(host.rstrip(".")):
            return None
    return Address(host.rstrip("."), int(port) if port else None)


def _server(table: plists.Plist, tier: int) -> PasswordServer:
    found = map(parse_address, plists.texts_of(table, "IP")[:MOST_ADDRESSES])
    dns = parse_address(plists.text_of(table, "DNS") or "")
    return PasswordServer(
        tuple(each for each in found if each is not None),
        dns.host if dns else "",
        plists.text_of(table, "ReplicaName") or "",
        plists.text_of(table, "ReplicaStatus") or "",
        plists.text_of(table, "ReplicaPolicy") or "",
        tier,
    )


def _replicas(table: plists.Plist, tier: int) -> Iterator[PasswordServer]:
    tables = plists.list_of(table, "Replicas")
    if tables and tier > MOST_TIERS:
        raise Undecodable("lists replicas of replicas of replicas without end")
    for each in map(plists.as_dict, tables):
        yield _server(each, tier)
        yield from _replicas(each, tier + 1)


def _decommissioned(plist: plists.Plist) -> Iterator[str]:
    """Yield names and addresses; Apple's own lists hold dictionaries or texts."""
    for key in ("DecommissionedReplicas", "Decommission"):
        for each in plists.list_of(plist, key):
            if isinstance(each, str):
                yield each.strip().lower()
            else:
                yield from _marks(_server(plists.as_dict(each), 0))


def _marks(server: PasswordServer) -> Iterable[str]:
    own = (server.dns, server.name, *(each.host for each in server.addresses))
    return [each.lower() for each in own if each]


def _is_gone(server: PasswordServer, gone: frozenset[str]) -> bool:
    return not gone.isdisjoint(_marks(server))


def _reachable(server: PasswordServer) -> bool:
    return bool(server.addresses or server.dns)
