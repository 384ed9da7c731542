"""Names, and the one fold function by which all names are compared."""

from __future__ import annotations

import unicodedata
from typing import NewType

DirectoryId = NewType("DirectoryId", str)
"""An entry's stable id as text: objectGUID and entryUUID as lower-case UUID,
apple-generateduid as the directory writes it (upper case), `local:UUID` for an
account that no directory knows."""

DomainName = NewType("DomainName", str)
"""A mail domain: lower case, IDNs in their ASCII form."""

RealmName = NewType("RealmName", str)
"""A Kerberos realm: upper case."""

Address = NewType("Address", str)
"""A mail address, `localpart@domain`, with the domain in lower case."""


def fold(text: str) -> str:
    """Fold a name for comparison: trimmed, NFC, casefolded.

    Two names are equal exactly when their folds are. Casefolding can undo the
    normal form, so NFC is applied on both sides of it.

    Args:
        text: A login name, address, group or domain name.

    Returns:
        The text to compare or to look up; never to show.
    """
    if text.isascii():  # is its own normal form
        return text.strip().lower()
    composed = unicodedata.normalize("NFC", text.strip())
    return unicodedata.normalize("NFC", composed.casefold())


def split_address(text: str) -> tuple[str, str] | None:
    """Split `localpart@domain` at the last `@`.

    Args:
        text: What may be an address.

    Returns:
        Local part and domain as they stand, or None where one of them is missing.
    """
    local, at, domain = text.strip().rpartition("@")
    return (local, domain) if at and local and domain else None


def domain_of(address: Address) -> DomainName:
    """Return an address's domain."""
    return DomainName(address.rpartition("@")[2])
