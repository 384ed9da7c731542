"""Controls, compared with ldap3's own and with what servers really sent."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ldap3.protocol.controls import build_control
from ldap3.protocol.microsoft import dir_sync_control
from ldap3.protocol.rfc2696 import paged_search_control
from ldap3.utils.asn1 import encode as encode_as_ldap3

from dirbridge.errors import RemoteProtocolError
from dirbridge.protocols import ber, ldap_controls
from dirbridge.protocols.ldap_controls import (
    DOMAIN_SCOPE,
    NOTIFICATION,
    SHOW_DELETED,
    Control,
    DirSyncAnswer,
    SyncChange,
    SyncDone,
    SyncInfo,
    SyncPhase,
    SyncState,
)

UUID = bytes(range(16))

PARSERS: list[Callable[[bytes], object]] = [
    ldap_controls.parse,
    ldap_controls.parse_paged,
    ldap_controls.parse_dirsync,
    ldap_controls.parse_sync_state,
    ldap_controls.parse_sync_done,
    ldap_controls.parse_sync_info,
]

VALUES = [
    bytes.fromhex("30050201000400"),
    bytes.fromhex("300b02010102010004034d5344"),
    bytes.fromhex("30150a0101041000112233445566778899aabbccddeeff"),
    bytes.fromhex("30080403726964010100"),
    bytes.fromhex("8003726964"),
    bytes.fromhex("a10804037269640101ff"),
    bytes.fromhex("a31d04037269640101ff3112") + bytes.fromhex("0410") + UUID + b"!",
]


def of_ldap3(control: Control) -> bytes:
    return bytes(
        encode_as_ldap3(
            build_control(control.oid, control.critical, control.value, False)
        )
    )


@pytest.mark.parametrize("size", [1, 127, 128, 1000, 65535])
@pytest.mark.parametrize("cookie", [b"", b"\x01\x02", bytes(300)])
def test_paging_is_what_ldap3_asks_for(size: int, cookie: bytes) -> None:
    theirs = bytes(encode_as_ldap3(paged_search_control(False, size, cookie)))
    value = ldap_controls.paged(size, cookie).value
    assert value is not None
    assert value in theirs
    assert ldap_controls.parse_paged(value) == cookie


@pytest.mark.parametrize("cookie", [b"", b"MSDS" + bytes(104)])
@pytest.mark.parametrize("flags", [0, 1, 0x801])
def test_dirsync_is_what_ldap3_asks_for(flags: int, cookie: bytes) -> None:
    theirs = bytes(
        encode_as_ldap3(
            dir_sync_control(
                True,
                object_security=bool(flags & 1),
                ancestors_first=bool(flags & 0x800),
                public_data_only=False,
                incremental_values=False,
                max_length=2**20,
                cookie=cookie,
            )
        )
    )
    value = ldap_controls.dirsync(flags, 2**20, cookie).value
    assert value is not None
    assert value in theirs


def test_dirsync_flags_are_signed() -> None:
    value = ldap_controls.dirsync(0x80000001, 0, b"").value
    assert value == bytes.fromhex("300b0204800000010201000400")


def test_dirsync_answers_are_read() -> None:
    value = ber.sequence(ber.integer(1), ber.integer(0), ber.octets(b"MSDS"))
    assert ldap_controls.parse_dirsync(value) == DirSyncAnswer(True, b"MSDS")


def test_sync_requests_are_as_rfc_4533_says() -> None:
    assert ldap_controls.sync_request(1, None).value == bytes.fromhex("30030a0101")
    value = ldap_controls.sync_request(3, b"rid=1").value
    assert value == bytes.fromhex("300a0a01030405") + b"rid=1"


def test_sync_states_are_read() -> None:
    body = ber.enumerated(3) + ber.octets(UUID)
    assert ldap_controls.parse_sync_state(ber.sequence(body)) == SyncState(
        SyncChange.DELETE, UUID
    )
    with_cookie = ber.sequence(body, ber.octets(b"rid=1"))
    assert ldap_controls.parse_sync_state(with_cookie).cookie == b"rid=1"


def test_sync_ends_are_read_with_their_default() -> None:
    assert ldap_controls.parse_sync_done(b"\x30\x00") == SyncDone(None, False)
    value = ber.sequence(ber.octets(b"rid=1"), ber.boolean(True))
    assert ldap_controls.parse_sync_done(value) == SyncDone(b"rid=1", True)


def test_sync_infos_are_read_with_their_defaults() -> None:
    read = ldap_controls.parse_sync_info
    assert read(b"\x80\x03abc") == SyncInfo(SyncPhase.NEW_COOKIE, b"abc")
    assert read(b"\xa1\x00") == SyncInfo(SyncPhase.REFRESH_DELETE)
    assert read(b"\xa2\x03\x01\x01\x00") == SyncInfo(
        SyncPhase.REFRESH_PRESENT, done=False
    )
    some = ber.tlv(0xA3, ber.tlv(ber.SET, ber.octets(UUID) * 2))
    assert read(some) == SyncInfo(SyncPhase.ID_SET, uuids=(UUID, UUID))
    gone = ber.tlv(0xA3, ber.octets(b"c"), ber.boolean(True), ber.tlv(ber.SET))
    assert read(gone) == SyncInfo(SyncPhase.ID_SET, b"c", refresh_deletes=True)


def test_plain_controls_are_what_ldap3_writes() -> None:
    for control in (DOMAIN_SCOPE, SHOW_DELETED, NOTIFICATION):
        assert ldap_controls.encode([control])[4:] in of_ldap3(control)
    assert ldap_controls.encode([]) == b""


def test_written_controls_are_read_back() -> None:
    controls = [DOMAIN_SCOPE, SHOW_DELETED, ldap_controls.paged(7, b"c")]
    found = ldap_controls.parse(ldap_controls.encode(controls))
    assert found == {c.oid: c.value or b"" for c in controls}


@pytest.mark.fuzz
@given(st.binary(max_size=40))
def test_garbage_gives_only_the_remote_error(data: bytes) -> None:
    for parse in PARSERS:
        try:
            parse(data)
        except RemoteProtocolError:
            continue


@pytest.mark.fuzz
@given(st.sampled_from(VALUES), st.binary(min_size=1, max_size=3), st.integers(0, 24))
def test_damage_gives_only_the_remote_error(
    value: bytes, noise: bytes, at: int
) -> None:
    damaged = value[:at] + noise + value[at + len(noise) :]
    for parse in PARSERS:
        try:
            parse(damaged)
        except RemoteProtocolError:
            continue
