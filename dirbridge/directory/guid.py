"""Stable ids of entries: objectGUID, apple-generateduid, entryUUID, nsUniqueId."""

from __future__ import annotations

import re
from collections.abc import Callable
from struct import Struct
from typing import NamedTuple
from uuid import UUID

from dirbridge.directory.errors import Undecodable, as_text
from dirbridge.model.names import DirectoryId

_OCTETS = 16
_LITTLE_ENDIAN = Struct("<IHH")
_FOUR_GROUPS = re.compile(r"[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{8}){3}\Z")
_TEXT = re.compile(r"[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}\Z")


def decode_object_guid(raw: bytes) -> DirectoryId:
    """Read Active Directory's objectGUID, 16 octets.

    The first three fields are little-endian (facts: ad-semantics 3). Clients that
    know the schema may hand out `{guid}` text instead, so read raw values.

    Raises:
        Undecodable: It is not 16 octets.
    """
    if len(raw) != _OCTETS:
        raise Undecodable(f"is not a GUID: {len(raw)} octets instead of 16")
    # As `str(UUID(bytes_le=raw))`, in a third of the time: every entry has one.
    low, middle, high = _LITTLE_ENDIAN.unpack_from(raw)
    rest = raw[_LITTLE_ENDIAN.size :].hex()
    return DirectoryId(f"{low:08x}-{middle:04x}-{high:04x}-{rest[:4]}-{rest[4:]}")


def encode_object_guid(directory_id: DirectoryId) -> bytes:
    """Return the 16 octets to search objectGUID for.

    Raises:
        Undecodable: The id is no UUID, such as that of a local account.
    """
    return UUID(_uuid_text(directory_id)).bytes_le


def decode_generated_uid(raw: bytes) -> DirectoryId:
    """Read apple-generateduid, a UUID in upper case.

    A value in lower case is kept as it stands: the attribute matches case-exact,
    so only the written form finds the entry again (facts: open-directory 8).

    Raises:
        Undecodable: It is no UUID.
    """
    return DirectoryId(_uuid_text(as_text(raw).strip()))


def decode_entry_uuid(raw: bytes) -> DirectoryId:
    """Read entryUUID (RFC 4530) and make it lower case.

    Raises:
        Undecodable: It is no UUID.
    """
    return DirectoryId(_uuid_text(as_text(raw).strip()).lower())


def decode_ns_unique_id(raw: bytes) -> DirectoryId:
    """Read nsUniqueId, which a 389 Directory Server gives each entry, in lower case.

    It is a UUID too, but written as four groups of eight hex digits.

    Raises:
        Undecodable: It is not that.
    """
    return DirectoryId(_four_groups(as_text(raw).strip().lower()))


def _four_groups(text: str) -> str:
    if not _FOUR_GROUPS.match(text):
        raise Undecodable("is not a nsUniqueId, four groups of eight hex digits")
    return text


def _uuid_text(text: str) -> str:
    if not _TEXT.match(text):
        raise Undecodable("is not a UUID, 32 hex digits with hyphens")
    return text


def _as_written(directory_id: DirectoryId) -> bytes:
    return _uuid_text(directory_id).encode()


class _Kind(NamedTuple):
    decode: Callable[[bytes], DirectoryId]
    encode: Callable[[DirectoryId], bytes]


_KINDS = {
    "objectguid": _Kind(decode_object_guid, encode_object_guid),
    "apple-generateduid": _Kind(decode_generated_uid, _as_written),
    "entryuuid": _Kind(decode_entry_uuid, _as_written),
    "nsuniqueid": _Kind(decode_ns_unique_id, lambda each: _four_groups(each).encode()),
}

ID_ATTRIBUTES = ("objectGUID", "apple-generateduid", "entryUUID", "nsUniqueId")
"""The attributes that may be a profile's `id`."""


def decode_id(attribute: str, raw: bytes) -> DirectoryId:
    """Read the value of one of `ID_ATTRIBUTES`, named without regard to case.

    Raises:
        Undecodable: The value is not what the attribute holds.
        KeyError: The attribute is no identity.
    """
    return _KINDS[attribute.lower()].decode(raw)


def encode_id(attribute: str, directory_id: DirectoryId) -> bytes:
    """Return the octets to search that attribute for; see `filter.equals`.

    Raises:
        Undecodable: The id is not of that attribute's form.
        KeyError: The attribute is no identity.
    """
    return _KINDS[attribute.lower()].encode(directory_id)
