"""Active Directory's lock-out policy, decoded."""

from __future__ import annotations

from datetime import timedelta

import pytest

from dirbridge.directory.errors import Undecodable
from dirbridge.directory.lockout import Lockout, decode


@pytest.mark.parametrize(
    ("threshold", "window", "expected"),
    [
        (b"10", b"-18000000000", Lockout(10, timedelta(minutes=30))),
        (b"0", b"0", Lockout(0, timedelta(0))),
        (b"5", b"-9223372036854775808", Lockout(5, timedelta.max)),
    ],
)
def test_policies(threshold: bytes, window: bytes, expected: Lockout) -> None:
    assert decode(threshold, window) == expected


@pytest.mark.parametrize(
    ("threshold", "window"),
    [(b"", b"0"), (b"5", b""), (b"x", b"-1"), (b"-1", b"-1"), (b"5", b"1")],
)
def test_nonsense(threshold: bytes, window: bytes) -> None:
    with pytest.raises(Undecodable):
        decode(threshold, window)
