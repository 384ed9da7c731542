"""The smaller records below cn=config of an Open Directory."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import urlsplit

from dirbridge.directory import plists
from dirbridge.directory.errors import Undecodable, as_text

_RECORD_MAPS = ("Record Type Map", "Record Types")
_LDAP = frozenset({"ldap", "ldaps"})


@dataclass(frozen=True, slots=True)
class SecurityPolicy:
    """The record cn=macosxodpolicy: what the directory asks of its clients.

    Attributes:
        directory_binding: Whether clients may bind as a computer.
        binding_required: Whether they must.
        no_cleartext: Whether passwords must not be sent in clear text.
        packet_signing: Whether packets must be signed.
        packet_encryption: Whether packets must be encrypted.
        man_in_the_middle: Whether clients must see to it that nobody stands
            between.
    """

    directory_binding: bool = False
    binding_required: bool = False
    no_cleartext: bool = False
    packet_signing: bool = False
    packet_encryption: bool = False
    man_in_the_middle: bool = False


def decode_policy(raw: bytes | str) -> SecurityPolicy:
    """Read apple-xmlplist of cn=macosxodpolicy; what is not said is not asked.

    Raises:
        Undecodable: It is no property list.
    """
    plist = plists.decode(raw)
    level = plists.dict_of(plist, "Configured Security Level")
    return SecurityPolicy(
        plists.flag_of(plist, "Directory Binding") is True,
        plists.flag_of(level, "Binding Required") is True,
        plists.flag_of(level, "No ClearText Authentications") is True,
        plists.flag_of(level, "Packet Signing") is True,
        plists.flag_of(level, "Packet Encryption") is True,
        plists.flag_of(level, "Man In The Middle") is True,
    )


def is_client_mapping(raw: bytes | str) -> bool:
    """Tell whether the description of ou=macosxodconfig makes it an Open Directory.

    Look-alikes publish the record too; it counts only with a record map that is not
    empty (CLDAPv3PluginNewServerSetup of Apple's DirectoryService).
    """
    try:
        plist = plists.decode(raw)
    except Undecodable:
        return False
    return any(isinstance(plist.get(k), list | dict) and plist[k] for k in _RECORD_MAPS)


def decode_replicas(values: Iterable[bytes]) -> tuple[str, ...]:
    """Read apple-ldap-replica: the hosts of LDAP URLs in lower case, each once.

    Values that are none are passed over; only the host counts, as it does to a Mac.
    """
    hosts = (_host(value) for value in values)
    return tuple(dict.fromkeys(host for host in hosts if host))


def _host(value: bytes) -> str:
    try:
        parts = urlsplit(as_text(value).strip())
        return (parts.hostname or "").rstrip(".") if parts.scheme in _LDAP else ""
    except ValueError:
        return ""


def decode_mechanisms(values: Iterable[bytes]) -> tuple[str, ...]:
    """Read apple-enabled-auth-mech: names in capitals; broken ones are left out."""
    names = (value.decode("ascii", "replace").strip().upper() for value in values)
    return tuple(dict.fromkeys(name for name in names if name and "\ufffd" not in name))
