"""When unknown names may ask for runs of a domain again, told to all processes."""

from __future__ import annotations

import math
import mmap
import struct

_TIME = struct.Struct("=d")


class Rest:
    """A time in memory that whoever is forked later has in common.

    Two who write at once leave one of two times, or for a moment a mixture: unknown
    names then ask a little sooner or later.
    """

    def __init__(self) -> None:
        """Begin with no rest."""
        self._time = mmap.mmap(-1, _TIME.size)
        self.begin(-math.inf)

    @property
    def until(self) -> float:
        """Until when nobody asks, on the scheduler's clock."""
        (until,) = _TIME.unpack_from(self._time)
        return float(until)

    def begin(self, until: float) -> None:
        """Let nobody ask for some time."""
        _TIME.pack_into(self._time, 0, until)
