"""DNs with the ids before them: `<GUID=...>;<SID=...>;CN=...`.

That is how Active Directory writes DNs where the extended DN control asks for it,
and in DirSync answers (MS-ADTS 3.1.1.3.4.1.5). Both forms are read: hex octets, and
the text forms of GUID and SID.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from dirbridge.directory import guid, sid
from dirbridge.directory.errors import Undecodable, as_text
from dirbridge.model.names import DirectoryId

_PART = re.compile(r"<([A-Za-z_][A-Za-z0-9_-]{0,31})=([^<>;]*)>(?:;|\Z)")
_HEX = re.compile(r"(?:[0-9A-Fa-f]{2})+\Z")
_MOST_PARTS = 16


@dataclass(frozen=True, slots=True)
class ExtendedDn:
    """One DN and what stood before it.

    Attributes:
        dn: The DN itself; "" where only ids were given.
        id: The entry's objectGUID, or None.
        sid: The entry's SID as text, or None.
    """

    dn: str
    id: DirectoryId | None = None
    sid: str | None = None


def decode(raw: bytes | str) -> ExtendedDn:
    """Read a DN with or without ids before it; parts of other names are passed over.

    Raises:
        Undecodable: A part is broken.
    """
    text = as_text(raw)
    parts: dict[str, str] = {}
    at = 0
    while match := _PART.match(text, at):
        if len(parts) == _MOST_PARTS or match[1].upper() in parts:
            raise Undecodable("is not an extended DN: a part stands there twice")
        parts[match[1].upper()] = match[2]
        at = match.end()
    if text.startswith("<", at):
        raise Undecodable("is not an extended DN: a part in <> is broken")
    return ExtendedDn(text[at:], _guid(parts), _sid(parts))


def _guid(parts: Mapping[str, str]) -> DirectoryId | None:
    value = parts.get("GUID")
    if value is None:
        return None
    if _HEX.match(value):
        return guid.decode_object_guid(bytes.fromhex(value))
    return guid.decode_entry_uuid(value.encode("utf-8", "surrogatepass"))


def _sid(parts: Mapping[str, str]) -> str | None:
    value = parts.get("SID")
    if value is None:
        return None
    if _HEX.match(value):
        return sid.decode(bytes.fromhex(value))
    return sid.decode(sid.encode(value))
