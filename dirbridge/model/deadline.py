"""A point in time by which an answer must be there."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Deadline:
    """A deadline on the monotonic clock.

    Attributes:
        at: Seconds of `time.monotonic()`.
        hurry: Most seconds for a first sign of life, where somebody else could be
            asked instead.
    """

    at: float
    hurry: float = math.inf

    @classmethod
    def after(cls, seconds: float, *, hurry: float = math.inf) -> Deadline:
        """Return the deadline that many seconds from now."""
        return cls(time.monotonic() + seconds, hurry)

    def left(self) -> float:
        """Return the seconds left, never below zero."""
        return max(0.0, self.at - time.monotonic())

    def within(self, seconds: float) -> float:
        """Return the smaller of `seconds` and what is left."""
        return min(seconds, self.left())

    def soon(self, seconds: float) -> Deadline:
        """Return the deadline for a first sign of life, at most `seconds` from now."""
        return Deadline.after(min(self.within(seconds), self.hurry))
