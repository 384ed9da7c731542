"""Stable ids: objectGUID, apple-generateduid, entryUUID, nsUniqueId."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dirbridge.directory import guid
from dirbridge.directory.errors import Undecodable
from dirbridge.model.names import DirectoryId

# Measured on a real server: facts, ad-semantics 3.
RAW = bytes.fromhex("b543717299d1974a82b7fb7e562abb66")
TEXT = "727143b5-d199-4a97-82b7-fb7e562abb66"


def test_object_guid_is_mixed_endian() -> None:
    assert guid.decode_object_guid(RAW) == TEXT
    assert guid.encode_object_guid(DirectoryId(TEXT)) == RAW


def test_object_guid_with_a_backslash_octet() -> None:
    raw = b"\\" * 16
    assert guid.encode_object_guid(guid.decode_object_guid(raw)) == raw


@pytest.mark.parametrize("raw", [b"", b"\0" * 15, b"\0" * 17, b"{" + TEXT.encode()])
def test_object_guid_of_another_size(raw: bytes) -> None:
    with pytest.raises(Undecodable, match="octets instead of 16"):
        guid.decode_object_guid(raw)


def test_case_of_the_text_forms() -> None:
    assert guid.decode_id("entryUUID", TEXT.upper().encode()) == TEXT
    upper = TEXT.upper()
    assert guid.decode_id("apple-generateduid", upper.encode()) == upper
    assert guid.decode_id("Apple-GeneratedUID", TEXT.encode()) == TEXT


@pytest.mark.parametrize("raw", [b"", b"x" * 36, b"\xff" * 36, TEXT[:-1].encode()])
@pytest.mark.parametrize("attribute", ["entryUUID", "apple-generateduid"])
def test_no_uuid(attribute: str, raw: bytes) -> None:
    with pytest.raises(Undecodable):
        guid.decode_id(attribute, raw)


def test_ns_unique_id() -> None:
    text = "727143B5-d1994a97-82b7fb7e-562abb66"
    read = guid.decode_id("nsUniqueId", text.encode())
    assert read == text.lower()
    assert guid.encode_id("nsuniqueid", read) == text.lower().encode()
    for other in (TEXT, text[:-1], text + "0", text.replace("-", "")):
        with pytest.raises(Undecodable):
            guid.decode_id("nsUniqueId", other.encode())
    with pytest.raises(Undecodable):
        guid.encode_id("entryUUID", read)
    with pytest.raises(Undecodable):
        guid.encode_id("nsUniqueId", DirectoryId(TEXT))


def test_a_local_account_has_nothing_to_search() -> None:
    with pytest.raises(Undecodable):
        guid.encode_id("objectGUID", DirectoryId("local:" + TEXT))


@given(st.binary(min_size=16, max_size=16))
def test_object_guid_round_trip(raw: bytes) -> None:
    assert guid.encode_object_guid(guid.decode_object_guid(raw)) == raw


@given(st.sampled_from(guid.ID_ATTRIBUTES), st.binary(max_size=60))
def test_garbage_gives_only_undecodable(attribute: str, raw: bytes) -> None:
    with contextlib.suppress(Undecodable):
        guid.decode_id(attribute, raw)
