"""Whether a domain controller knows what another one knew, by its vector."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dirbridge.connectors.domain_controllers import (
    NAME,
    Dc,
    changed_at,
    vector_of,
)

# Sent by Samba's second DC: one entry, of the first DC, up to 6215.
SENT = bytes.fromhex(
    "02000000000000000100000000000000"
    "8003ad5efe31cf4eba19e8688d71acf4471800000000000000803ed5deb19d01"
)
FIRST = "8003ad5efe31cf4eba19e8688d71acf4"


def test_a_vector_of_a_server() -> None:
    assert vector_of(SENT) == {FIRST: 6215}
    older = struct.pack("<IIII16sQ", 1, 0, 1, 0, bytes.fromhex(FIRST), 6215)
    assert vector_of(older) == {FIRST: 6215}


@pytest.mark.fuzz
@given(st.binary(max_size=80), st.integers(0, len(SENT)))
def test_what_is_no_vector_is_empty(octets: bytes, keep: int) -> None:
    for each in vector_of(SENT[:keep] + octets).items():
        assert len(each[0]) == 32
    assert vector_of(SENT[:keep]) == ({} if keep < len(SENT) else {FIRST: 6215})


@pytest.mark.parametrize(
    ("vector", "covers"),
    [
        ({"a": 10, "c": 5}, True),
        ({"a": 12, "c": 9}, True),
        ({"a": 9, "c": 5}, False),
        # The other DC had something of a third one.
        ({"a": 10, "c": 4}, False),
        ({"a": 10}, False),
        ({}, False),
    ],
)
def test_a_dc_covers_what_another_one_had(vector: dict[str, int], covers: bool) -> None:
    # Of "b" the other one had only what "b" itself gave it.
    state = Dc("A", "a", 8, {"b": 3, "c": 5}).state() | {"seen": "10@1"}
    assert Dc("B", "b", 20, vector).covers(state) is covers
    assert not Dc("", "", 0).covers(state)
    assert not Dc("", "", 0).covers({})


# The second of two stamps is that of `name`; so Samba writes them.
STAMPS = struct.pack("<IIII", 1, 0, 2, 0) + b"".join(
    struct.pack("<IIQ16sQQ", attribute, 1, 0, bytes(16), theirs, ours)
    for attribute, theirs, ours in ((3, 1, 2), (NAME, 4106, 4107))
)


def test_when_an_entry_was_named() -> None:
    assert changed_at(STAMPS, NAME) == 4107
    assert changed_at(STAMPS, 42) is None


@pytest.mark.fuzz
@given(st.binary(max_size=120), st.integers(0, len(STAMPS) - 1))
def test_what_are_no_stamps_says_nothing(octets: bytes, keep: int) -> None:
    changed_at(STAMPS[:keep] + octets, NAME)
    assert changed_at(STAMPS[:keep], NAME) is None
