"""The record cn=KerberosClient: what a Mac writes into its krb5.conf."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from dirbridge.directory import plists, realm
from dirbridge.model.names import RealmName

_MAC_LOCAL = {".local", "local"}
"""Keys of domain_realm that mean a Mac's own network, never the directory's."""


@dataclass(frozen=True, slots=True)
class KerberosClient:
    """What the record says (as Apple's DirectoryService reads it).

    Attributes:
        default_realm: The directory's realm.
        kdcs: Each realm's KDCs as written, `host` or `host:port`.
        domain_realm: DNS names to realms, without the `.local` key.
        kadmins: Each realm's KADM_List, likewise.
        generation: generationID, which grows with each change; None where absent.
    """

    default_realm: RealmName | None
    kdcs: Mapping[RealmName, tuple[str, ...]]
    domain_realm: Mapping[str, RealmName]
    kadmins: Mapping[RealmName, tuple[str, ...]]
    generation: int | None = None


def decode(raw: bytes | str) -> KerberosClient:
    """Read the `edu.mit.kerberos` part of apple-xmlplist.

    A Mac's local realm (`LKDC:`) is left out wherever it stands.

    Raises:
        Undecodable: It is no property list.
    """
    whole = plists.decode(raw)
    top = plists.dict_of(whole, "edu.mit.kerberos")
    default = plists.dict_of(top, "libdefaults").get("default_realm")
    generation = whole.get("generationID", top.get("generationID"))
    return KerberosClient(
        realm.or_none(default),
        _hosts(top, "KDC_List"),
        _domain_realm(top),
        _hosts(top, "KADM_List"),
        generation if type(generation) is int else None,
    )


def _hosts(top: plists.Plist, key: str) -> Mapping[RealmName, tuple[str, ...]]:
    tables = plists.dict_of(top, "realms")
    return {
        name: tuple(
            host.rstrip(".") for host in plists.texts_of(plists.as_dict(table), key)
        )
        for written, table in tables.items()
        if (name := realm.or_none(written)) is not None
    }


def _domain_realm(top: plists.Plist) -> Mapping[str, RealmName]:
    return {
        name.lower(): found
        for name, value in plists.dict_of(top, "domain_realm").items()
        if (found := realm.or_none(value)) is not None
        and name.lower() not in _MAC_LOCAL
    }
