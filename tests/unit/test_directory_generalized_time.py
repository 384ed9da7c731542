"""GeneralizedTime."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dirbridge.directory import generalized_time
from dirbridge.directory.errors import Undecodable

CASES = [
    (b"20240229120000.0Z", datetime(2024, 2, 29, 12, tzinfo=UTC)),  # Active Directory
    (b"20240229120000Z", datetime(2024, 2, 29, 12, tzinfo=UTC)),  # OpenLDAP
    (b"199412161032Z", datetime(1994, 12, 16, 10, 32, tzinfo=UTC)),  # RFC 4517
    (b"199412160532-0500", datetime(1994, 12, 16, 10, 32, tzinfo=UTC)),  # RFC 4517
    (b"2024010112.5Z", datetime(2024, 1, 1, 12, 30, tzinfo=UTC)),
    (b"20240101120000,25+01", datetime(2024, 1, 1, 11, 0, 0, 250000, tzinfo=UTC)),
    (b"20161231235960Z", datetime(2016, 12, 31, 23, 59, 59, tzinfo=UTC)),
    (b"16010101000000.0Z", datetime(1601, 1, 1, tzinfo=UTC)),
]


@pytest.mark.parametrize(("raw", "expected"), CASES)
def test_decode(raw: bytes, expected: datetime) -> None:
    assert generalized_time.decode(raw) == expected


@pytest.mark.parametrize(
    "raw",
    [b"", b"yesterday", b"20240230120000Z", b"20240229120000", b"20240229250000Z",
     b"00000101000000Z", b"99991231235959-2359", b"\xff", b"20240229120000+9999"],
)  # fmt: skip
def test_no_time(raw: bytes) -> None:
    with pytest.raises(Undecodable):
        generalized_time.decode(raw)


@given(st.datetimes(timezones=st.just(UTC)))
def test_round_trip(time: datetime) -> None:
    read = generalized_time.decode(generalized_time.encode(time))
    assert timedelta() <= time - read < timedelta(seconds=1)


@given(st.binary(max_size=30) | st.text("0123456789.Z+-", max_size=24).map(str.encode))
def test_garbage_gives_only_undecodable(raw: bytes) -> None:
    with contextlib.suppress(Undecodable):
        generalized_time.decode(raw)
