"""After how many wrong passwords Active Directory locks an account.

MS-ADA1 2.389 lockoutThreshold and 2.386 lockOutObservationWindow, of the domain or of a
password settings object: the count of wrong passwords begins anew when the last one is
longer ago than the window.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from dirbridge.directory.errors import Undecodable

_NEVER = -(2**63)


@dataclass(frozen=True, slots=True)
class Lockout:
    """When an account is locked.

    Attributes:
        threshold: The wrong password that locks it; 0 where none does.
        window: How long after a wrong password the directory forgets it.
    """

    threshold: int
    window: timedelta


def decode(threshold: bytes, window: bytes) -> Lockout:
    """Decode the two attributes.

    Args:
        threshold: A count.
        window: A span of time, negative, in units of 100 ns.

    Raises:
        Undecodable: They are no numbers, or make no sense.
    """
    try:
        count, span = int(threshold), int(window)
    except ValueError as error:
        raise Undecodable("is no number") from error
    if count < 0 or span > 0:
        raise Undecodable("is no lock-out policy")
    if span == _NEVER:
        return Lockout(count, timedelta.max)
    return Lockout(count, timedelta(microseconds=-span // 10))
