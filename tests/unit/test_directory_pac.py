"""The SID in a ticket's PAC."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dirbridge.directory import pac, sid
from dirbridge.directory.errors import Undecodable
from tests.tickets import SAMBA, SID


def test_the_sid_is_the_accounts_own() -> None:
    assert sid.decode(pac.user_sid(SAMBA)) == SID


def test_nobody_of_the_own_domain() -> None:
    """Who has no RID stands in ExtraSids (MS-PAC 2.5, UserId)."""
    at = SAMBA.index(struct.pack("<II", 1103, 513))
    with pytest.raises(Undecodable):
        pac.user_sid(SAMBA[:at] + bytes(4) + SAMBA[at + 4 :])


def test_what_is_cut_off_is_undecodable() -> None:
    end = SAMBA.index(bytes.fromhex("0104000000000005")) + 24
    for size in range(end):
        with pytest.raises(Undecodable):
            pac.user_sid(SAMBA[:size])


@given(st.binary(max_size=400), st.integers(0, 250))
def test_garbage_is_undecodable_or_a_sid(data: bytes, at: int) -> None:
    for raw in (data, SAMBA[:at] + data, SAMBA[:at] + data + SAMBA[at + len(data) :]):
        try:
            assert sid.decode(pac.user_sid(raw)).startswith("S-1-")
        except Undecodable:
            continue
