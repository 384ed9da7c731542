"""What an Open Directory says of itself below cn=config (Apple's LDAPv3 plug-in).

Nothing here fails on a record that is broken: it is named, and the rest goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from dirbridge.connectors.ldap_directory import one_value
from dirbridge.directory import (
    dn,
    kerberos_client,
    open_directory_config,
    password_server_record,
    realm,
)
from dirbridge.directory import filter as ldap_filter
from dirbridge.directory.errors import Undecodable
from dirbridge.directory.kerberos_client import KerberosClient
from dirbridge.directory.open_directory_config import SecurityPolicy
from dirbridge.directory.password_server_record import PasswordServerRecord
from dirbridge.ldap.client import RootDse, read_root
from dirbridge.ldap.session import Query, Session
from dirbridge.model.deadline import Deadline
from dirbridge.model.names import RealmName

V = TypeVar("V")

_PRIVATE = "cn=authdata"
"""Holds password data and is never searched (odusers.c of Apple's slapd)."""

_MARKER = ldap_filter.all_of(
    ldap_filter.equals("objectClass", "organizationalUnit"),
    ldap_filter.equals("ou", "macosxodconfig"),
)
_NAMES = (
    "macosxodpolicy",
    "ldapreplicas",
    "passwordserver",
    "KerberosClient",
    "KerberosKDC",
    "dirserv",
)
_RECORDS = ldap_filter.any_of(
    *(ldap_filter.equals("cn", name) for name in _NAMES),
    ldap_filter.starts_with("cn", "passwordserver_"),
)
# The server makes a value up for apple-xmlplist where it is asked for first, so it
# must not be (odusers.c of Apple's slapd).
_ATTRIBUTES = (
    "cn",
    "apple-config-realname",
    "apple-enabled-auth-mech",
    "apple-ldap-replica",
    "apple-ldap-writable-replica",
    "apple-password-server-list",
    "apple-password-server-location",
    "apple-xmlplist",
)

Attributes = Mapping[str, tuple[bytes, ...]]


@dataclass(frozen=True, slots=True)
class ConfigRecords:
    """What was found; everything is empty where it was not.

    Attributes:
        recognised: Whether a client mapping makes it an Open Directory.
        policy: What it asks of its clients.
        replicas: Hosts of its LDAP servers, those that take changes first.
        password_servers: Its Password Servers; the record with an id in its name
            comes first, as clients look for that one first.
        kerberos: What a Mac writes into its krb5.conf.
        realm: The realm that the KDC's record names.
        mechanisms: For which password mechanisms secrets are kept, 10.7 and later.
        broken: Records that cannot be read, each with the reason.
    """

    recognised: bool = False
    policy: SecurityPolicy = field(default_factory=SecurityPolicy)
    replicas: tuple[str, ...] = ()
    password_servers: tuple[PasswordServerRecord, ...] = ()
    kerberos: KerberosClient | None = None
    realm: RealmName | None = None
    mechanisms: tuple[str, ...] = ()
    broken: tuple[tuple[str, str], ...] = ()

    def realm_of(self, configured: RealmName | None, principals: Iterable[str]) -> str:
        """Return the realm in the order in which the sources count."""
        client = self.kerberos.default_realm if self.kerberos else None
        return realm.first_of(configured, self.realm, client, principals=principals)


def contexts(root: RootDse) -> tuple[str, ...]:
    """Return the naming contexts that may be searched."""
    return tuple(each for each in root.all("namingContexts") if not _is_private(each))


def _is_private(context: str) -> bool:
    try:
        return dn.is_below(context, _PRIVATE)
    except Undecodable:
        return True


def read_records(session: Session, root: RootDse, deadline: Deadline) -> ConfigRecords:
    """Read the config records of a server.

    Args:
        session: A bound session.
        root: The server's rootDSE.
        deadline: When it must be done.

    Raises:
        Unreachable: No answer.
    """
    found: dict[str, Attributes] = {}
    recognised = False
    for context in contexts(root):
        marker = Query(base=context, filter=_MARKER, attributes=("description",))
        for entry in session.search(marker, deadline).entries:
            texts = entry.attributes.get("description", ())
            recognised |= any(map(open_directory_config.is_client_mapping, texts))
        records = Query(
            base=dn.child("cn", "config", context),
            filter=_RECORDS,
            scope="LEVEL",
            attributes=_ATTRIBUTES,
        )
        for entry in session.search(records, deadline).entries:
            found.setdefault(
                one_value(entry.attributes, "cn").lower(), entry.attributes
            )
    return decode_records(found, recognised=recognised)


def password_servers_at(
    session: Session, deadline: Deadline
) -> tuple[PasswordServerRecord, ...]:
    """Read which Password Servers a directory has.

    Raises:
        Unreachable: No answer.
        Unsupported: The server hides its rootDSE.
    """
    root = read_root(session, deadline)
    return read_records(session, root, deadline).password_servers


def decode_records(
    found: Mapping[str, Attributes], *, recognised: bool
) -> ConfigRecords:
    """Decode the records.

    Args:
        found: Attributes by the records' names in lower case.
        recognised: Whether there is a client mapping.
    """
    reading = _Reading(found)
    policy = reading.one(
        "macosxodpolicy", "apple-xmlplist", open_directory_config.decode_policy
    )
    replicas = (
        value
        for name in ("apple-ldap-writable-replica", "apple-ldap-replica")
        for value in reading.values("ldapreplicas", name)
    )
    return ConfigRecords(
        recognised,
        policy or SecurityPolicy(),
        open_directory_config.decode_replicas(replicas),
        reading.password_servers(),
        reading.one("kerberosclient", "apple-xmlplist", kerberos_client.decode),
        reading.one("kerberoskdc", "apple-config-realname", _realm),
        open_directory_config.decode_mechanisms(
            reading.values("dirserv", "apple-enabled-auth-mech")
        ),
        tuple(reading.broken),
    )


def _realm(raw: bytes) -> RealmName:
    return realm.decode(raw.decode("utf-8", "replace"))


class _Reading:
    """Decodes records one by one and remembers which cannot be."""

    def __init__(self, found: Mapping[str, Attributes]) -> None:
        self._found = found
        self.broken: list[tuple[str, str]] = []

    def values(self, record: str, attribute: str) -> tuple[bytes, ...]:
        """Return an attribute's values, none where there is no such record."""
        return self._found.get(record, {}).get(attribute, ())

    def one(
        self, record: str, attribute: str, decode: Callable[[bytes], V]
    ) -> V | None:
        """Decode an attribute's first value."""
        for value in self.values(record, attribute)[:1]:
            try:
                return decode(value)
            except Undecodable as error:
                self.broken.append((record, str(error)))
        return None

    def password_servers(self) -> tuple[PasswordServerRecord, ...]:
        """Decode all records of Password Servers, those with an id in front."""
        names = [name for name in self._found if name.startswith("passwordserver")]
        found = []
        for name in sorted(names, reverse=True):
            location = self.values(name, "apple-password-server-location")[:1]
            servers = self.values(name, "apple-password-server-list")[:1]
            try:
                record = password_server_record.decode(
                    servers[0] if servers else None,
                    location[0] if location else None,
                    name,
                )
            except Undecodable as error:
                self.broken.append((name, str(error)))
            else:
                found.append(record)
        return tuple(found)
