"""The SID in a ticket's PAC."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dirbridge.directory import pac, sid
from dirbridge.directory.errors import Undecodable

# KERB_VALIDATION_INFO of a ticket of Samba 4.17.12's KDC, for a user with the RID 1103.
SAMBA = bytes.fromhex(
    "01100800ccccccccc80100000000000000000200a09f389bb57add01ffffffffffffff7f"
    "ffffffffffffff7f06b2e6bc687add0106b2e6bc687add0106b2add8a13de00108000800"
    "040002001600160008000200000000000c00020000000000100002000000000014000200"
    "0000000018000200020000004f04000001020000040000001c0002002000000000000000"
    "000000000000000000000000060008002000020008000a00240002002800020000000000"
    "000000001000000000000000000000000000000000000000000000000000000000000000"
    "010000002c00020000000000000000000000000004000000000000000400000061006e00"
    "6e0061000b000000000000000b00000041006e006e00610020004d00fc006c006c006500"
    "720000000000000000000000000000000000000000000000000000000000000000000000"
    "00000000000000000000000000000000040000000102000007000000390c000007000000"
    "3a0c0000070000003b0c0000070000000400000000000000030000004400430031000000"
    "05000000000000000400000043004f005200500004000000010400000000000515000000"
    "949e55b6ecde95163d8707ad010000003000020007000000010000000101000000000012"
    "01000000"
)
SID = "S-1-5-21-3059064468-378920684-2902951741-1103"


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
