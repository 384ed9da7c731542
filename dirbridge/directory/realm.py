"""Kerberos realms as Open Directory writes them down in many places.

Every Mac runs a realm of its own, `LKDC:SHA1.` and 40 hex digits, which only that
Mac can answer for; such a name is never taken, wherever it stands.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from dirbridge.directory.errors import Undecodable
from dirbridge.model.names import RealmName

_LOCAL = ("LKDC:", "WELLKNOWN:")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*\Z")


def is_local(name: str) -> bool:
    """Tell whether a realm is a Mac's own or one of Kerberos' well-known ones."""
    return name.strip().upper().startswith(_LOCAL)


def decode(name: str) -> RealmName:
    """Read a realm's name and make it upper case.

    Raises:
        Undecodable: It is none, or a Mac's local one.
    """
    text = name.strip()
    if is_local(text):
        raise Undecodable("is a Mac's local Kerberos realm (LKDC)")
    if not _NAME.match(text):
        raise Undecodable("is not a Kerberos realm")
    return RealmName(text.upper())


def or_none(value: object) -> RealmName | None:
    """Read a realm's name where it is one that may be used."""
    try:
        return decode(value) if isinstance(value, str) else None
    except Undecodable:
        return None


def first_of(*candidates: RealmName | None, principals: Iterable[str] = ()) -> str:
    """Return the realm of a directory by all that names it.

    Args:
        candidates: What was found, the one that counts most first: what the
            settings say, cn=KerberosKDC, cn=KerberosClient.
        principals: `name@REALM` of people, the last resort; used only where all of
            them agree.

    Returns:
        The realm, "" where nothing names one.
    """
    named = next((each for each in candidates if each), None)
    if named:
        return named
    theirs = {or_none(each.rpartition("@")[2]) for each in principals if "@" in each}
    realms = theirs - {None}
    return str(realms.pop()) if len(realms) == 1 else ""
