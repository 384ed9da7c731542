"""Small value decoders: SID, FILETIME, account control bits, addresses."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dirbridge.directory import account_control, address, filetime, sid
from dirbridge.directory.account_control import AccountControl
from dirbridge.directory.errors import Undecodable

# S-1-5-21-1-2-3-513: revision, count, authority big-endian, parts little-endian.
SID = bytes.fromhex("0105000000000005150000000100000002000000030000000102" + "0000")


class TestSid:
    def test_decode(self) -> None:
        assert sid.decode(SID) == "S-1-5-21-1-2-3-513"

    def test_parts_for_a_primary_group(self) -> None:
        assert sid.rid("S-1-5-21-1-2-3-513") == 513
        assert sid.with_rid("S-1-5-21-1-2-3", 513) == "S-1-5-21-1-2-3-513"

    @pytest.mark.parametrize("raw", [b"", SID[:-1], SID + b"\0", b"\2" + SID[1:]])
    def test_no_sid(self, raw: bytes) -> None:
        with pytest.raises(Undecodable):
            sid.decode(raw)

    @pytest.mark.parametrize(
        "text", ["", "S-1", "S-2-5", "S-1-x", "S-1-5-4294967296", "S-1-²", "S-1-5-"]
    )
    def test_no_sid_text(self, text: str) -> None:
        with pytest.raises(Undecodable):
            sid.encode(text)

    def test_no_rid(self) -> None:
        with pytest.raises(Undecodable):
            sid.rid("S-1-5")

    @given(st.integers(0, 2**48 - 1), st.lists(st.integers(0, 2**32 - 1), max_size=15))
    def test_round_trip(self, authority: int, parts: list[int]) -> None:
        text = "-".join(str(part) for part in ("S", 1, authority, *parts))
        assert sid.decode(sid.encode(text)) == text

    @given(st.binary(max_size=80))
    def test_garbage(self, raw: bytes) -> None:
        with contextlib.suppress(Undecodable):
            assert sid.encode(sid.decode(raw)) == raw

    @given(st.text(max_size=30) | st.text("S1-0²", max_size=30))
    def test_garbage_text(self, text: str) -> None:
        with contextlib.suppress(Undecodable):
            sid.encode(text)


class TestFiletime:
    def test_decode(self) -> None:
        expected = datetime(2024, 2, 29, 12, tzinfo=UTC)
        assert filetime.decode(b"133536816000000000") == expected
        assert filetime.encode(expected) == "133536816000000000"

    @pytest.mark.parametrize(
        "raw", [b"0", b"9223372036854775807", b"9223372036854775806"]
    )
    def test_never(self, raw: bytes) -> None:
        assert filetime.decode(raw) is None

    def test_encode_never(self) -> None:
        assert filetime.encode(None) == "9223372036854775807"

    @pytest.mark.parametrize("raw", [b"", b"-1", b"x", b"1e5", b"9" * 19, b"\xff"])
    def test_no_filetime(self, raw: bytes) -> None:
        with pytest.raises(Undecodable):
            filetime.decode(raw)

    @given(st.datetimes(datetime(1601, 1, 2), timezones=st.just(UTC)))  # noqa: DTZ001
    def test_round_trip(self, time: datetime) -> None:
        assert filetime.decode(filetime.encode(time)) == time

    @given(st.binary(max_size=30) | st.integers().map(lambda n: str(n).encode()))
    def test_garbage(self, raw: bytes) -> None:
        with contextlib.suppress(Undecodable):
            filetime.decode(raw)

    def test_precision_is_a_microsecond(self) -> None:
        read = filetime.decode(b"133536816000000009")
        assert read is not None
        assert read - datetime(2024, 2, 29, 12, tzinfo=UTC) == timedelta()


class TestAccountControl:
    def test_bits_not_numbers(self) -> None:
        assert AccountControl.DISABLED in account_control.decode(b"514")
        assert AccountControl.DISABLED in account_control.decode(b"66050")
        assert AccountControl.DISABLED not in account_control.decode(b"512")

    def test_computed(self) -> None:
        assert AccountControl.LOCKED_OUT in account_control.decode(b"16")
        assert AccountControl.PASSWORD_EXPIRED in account_control.decode(b"8388608")

    def test_negative_is_two_s_complement(self) -> None:
        assert AccountControl.NORMAL in account_control.decode(b"-2147483136")

    @pytest.mark.parametrize("raw", [b"", b"x", b"4294967296", b"5.0", b"\xff"])
    def test_no_bits(self, raw: bytes) -> None:
        with pytest.raises(Undecodable):
            account_control.decode(raw)

    @given(st.binary(max_size=20) | st.integers().map(lambda n: str(n).encode()))
    def test_garbage(self, raw: bytes) -> None:
        with contextlib.suppress(Undecodable):
            account_control.decode(raw)


class TestAddress:
    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("anna@example.com", "anna@example.com"),
            (" Anna.M@EXAMPLE.com. ", "Anna.M@example.com"),
            ("o'brien+list@example.com", "o'brien+list@example.com"),
            ("jürgen@example.com", "jürgen@example.com"),
            ("anna@müller.de", "anna@xn--mller-kva.de"),
        ],
    )
    def test_decode(self, text: str, expected: str) -> None:
        assert address.decode(text) == expected

    @pytest.mark.parametrize(
        "text",
        ["", "anna", "@example.com", "anna@", "a b@example.com", "a@b@example.com",
         '"a"@example.com', "a\0@example.com", "anna@exa mple.com", "a@-x.com",
         "a@x..com", "x" * 65 + "@example.com", "a@" + "x" * 64 + ".com",
         "a@" + "\u2024" * 3, "a@" + "x." * 130 + "com", "Anna <anna@example.com>"],
    )  # fmt: skip
    def test_no_address(self, text: str) -> None:
        with pytest.raises(Undecodable):
            address.decode(text)

    @given(st.text(max_size=60) | st.text("ab@.ü-ß\u2024", max_size=20))
    def test_garbage(self, text: str) -> None:
        with contextlib.suppress(Undecodable):
            read = address.decode(text)
            assert address.decode(read) == read
