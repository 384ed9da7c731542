"""XML property lists that Open Directory keeps in attributes.

They come from a directory that anybody in it may have written to, so size is
limited, DTD entities are refused by plistlib, and unknown keys are passed over.
"""

from __future__ import annotations

import plistlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from xml.parsers.expat import ExpatError

from dirbridge.directory import address
from dirbridge.directory.errors import Undecodable, as_text
from dirbridge.model.names import Address, RealmName

MAX_SIZE = 256 * 1024
_DECLARATION = '<?xml version="1.0" encoding="UTF-8"?>'
_MEGABYTE = 2**20


class MailState(StrEnum):
    """kMailAccountState."""

    OFF = "off"
    ENABLED = "enabled"
    FORWARD = "forward"


@dataclass(frozen=True, slots=True)
class MailAttribute:
    """apple-user-mailattribute (facts: open-directory 2.4).

    Attributes:
        state: Whether mail is on; None where the key is absent.
        forward: kAutoForwardValue, only where the state is `forward`.
        quota: kUserDiskQuota in bytes; None where absent or 0 (no limit).
        host: kMailAccountLocation, the mail server's name.
    """

    state: MailState | None
    forward: Address | None = None
    quota: int | None = None
    host: str | None = None


@dataclass(frozen=True, slots=True)
class KerberosClient:
    """The record cn=KerberosClient: what a Mac writes into its krb5.conf.

    Attributes:
        default_realm: The directory's realm.
        kdcs: Each realm's KDCs as written, `host` or `host:port`.
        domain_realm: DNS names to realms, without the `.local` key.
    """

    default_realm: RealmName | None
    kdcs: Mapping[RealmName, tuple[str, ...]]
    domain_realm: Mapping[str, RealmName]


def decode(raw: bytes | str) -> dict[str, object]:
    """Read a property list whose top is a dictionary.

    Leading blanks and a missing XML declaration are mended first, as provisioning
    scripts write both (facts: open-directory 2.4).

    Raises:
        Undecodable: It is too large or no such list.
    """
    if len(raw) > MAX_SIZE:
        raise Undecodable(f"is a property list of more than {MAX_SIZE} octets")
    text = as_text(raw).strip().lstrip("\ufeff")
    if not text.startswith("<?xml"):
        text = _DECLARATION + text
    try:
        value = plistlib.loads(text.encode(), fmt=plistlib.FMT_XML)
    except _PARSER_ERRORS:
        raise Undecodable("is not a property list") from None
    if not isinstance(value, dict):
        raise Undecodable("is not a property list with a dictionary on top")
    return {key: each for key, each in value.items() if isinstance(key, str)}


# plistlib lets its parts' errors through; this is all that fuzzing has shown.
_PARSER_ERRORS = (
    plistlib.InvalidFileException,
    ExpatError,
    ValueError,
    OverflowError,
    TypeError,
    AttributeError,
    LookupError,
    RecursionError,
)


def decode_mail_attribute(raw: bytes | str) -> MailAttribute:
    """Read apple-user-mailattribute; an absent attribute is not "disabled".

    Raises:
        Undecodable: It is no property list, or a key holds what it must not.
    """
    plist = decode(raw)
    state = _mail_state(plist.get("kMailAccountState"))
    forward = None
    if state is MailState.FORWARD:
        forward = address.decode(_text(plist, "kAutoForwardValue") or "")
    return MailAttribute(
        state, forward, _quota(plist), _text(plist, "kMailAccountLocation")
    )


def decode_kerberos_client(raw: bytes | str) -> KerberosClient:
    """Read the `edu.mit.kerberos` part of cn=KerberosClient.

    A Mac's local realm (`LKDC:`) is left out wherever it stands.

    Raises:
        Undecodable: It is no property list.
    """
    top = _dict(decode(raw), "edu.mit.kerberos")
    default = _realm(_dict(top, "libdefaults").get("default_realm"))
    realms = _dict(top, "realms")
    kdcs = {
        realm: tuple(h.rstrip(".") for h in _list(_dict(realms, name), "KDC_List"))
        for name in realms
        if (realm := _realm(name)) is not None
    }
    domains = _dict(top, "domain_realm")
    domain_realm = {
        name.lower(): realm
        for name, value in domains.items()
        if (realm := _realm(value)) is not None and name.lower() not in _MAC_LOCAL
    }
    return KerberosClient(default, kdcs, domain_realm)


_MAC_LOCAL = {".local", "local"}


def _mail_state(value: object) -> MailState | None:
    if value is None:
        return None
    try:
        return MailState(str(value).strip().lower())
    except ValueError:
        raise Undecodable("has an unknown kMailAccountState") from None


def _quota(plist: Mapping[str, object]) -> int | None:
    text = str(plist.get("kUserDiskQuota", "")).strip()
    if text and not re.fullmatch(r"\d{1,9}", text, re.ASCII):
        raise Undecodable("has a kUserDiskQuota that is no number of megabytes")
    return int(text) * _MEGABYTE if text and int(text) else None


def _realm(value: object) -> RealmName | None:
    name = str(value).strip().upper() if isinstance(value, str) else ""
    local = name.startswith(("LKDC:", "WELLKNOWN:"))
    return None if not name or local else RealmName(name)


def _text(plist: Mapping[str, object], key: str) -> str | None:
    value = plist.get(key)
    return value.strip() or None if isinstance(value, str) else None


def _dict(plist: Mapping[str, object], key: str) -> Mapping[str, object]:
    value = plist.get(key)
    if not isinstance(value, dict):
        return {}
    return {name: each for name, each in value.items() if isinstance(name, str)}


def _list(plist: Mapping[str, object], key: str) -> tuple[str, ...]:
    value = plist.get(key)
    if not isinstance(value, list):
        return ()
    return tuple(each.strip() for each in value if isinstance(each, str))
