"""Live looks at accounts, each believed for a moment."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable

from dirbridge.authenticators.live import Look, Standing
from dirbridge.model.account import Account
from dirbridge.model.deadline import Deadline
from dirbridge.model.login import Cause, Reason

BELIEVED = 2.0
"""Seconds for which a look is believed: a phone that tries ten times a second costs
the directory one read in that time."""

LONGEST = 2.0
"""Most seconds for a look."""

ROOM = 1000
"""How many looks are kept."""


class Looks:
    """Look at accounts, at most once in a moment each; safe from any thread."""

    def __init__(self, look: Look, clock: Callable[[], float] = time.monotonic) -> None:
        """Take what looks, and a clock of seconds."""
        self._look = look
        self._clock = clock
        self._lock = threading.Lock()
        self._kept: OrderedDict[int, tuple[float, Standing]] = OrderedDict()

    def __call__(
        self, account: Account, deadline: Deadline
    ) -> Standing | Reason | Cause:
        """Return what the directory says of an account; see `authenticators.live`."""
        at, standing = self._kept.get(account.number, (0.0, None))
        if standing is not None and self._clock() - at < BELIEVED:
            return standing
        begun = self._clock()
        found = self._look(account, Deadline.after(deadline.within(LONGEST)))
        if isinstance(found, Standing):
            self._keep(account.number, begun, found)
        return found

    def _keep(self, number: int, begun: float, standing: Standing) -> None:
        with self._lock:
            self._kept[number] = (begun, standing)
            self._kept.move_to_end(number)
            while len(self._kept) > ROOM:
                self._kept.popitem(last=False)
