"""Let every rejection take the same time, whatever it was rejected for.

Theory. A wrong password costs a question to a directory, an unknown name costs none, or
a whole sync: who has a stopwatch could learn which names there are. So each rejection
waits until a time has passed that nearly all rejections of its domains need, whoever
was asked. It is learned from the newest ones, each kind for itself: the wait is as long
as the slowest kind usually takes. So both a name that nobody has and a password that
the directory refuses are told at the same moment.

What takes longer than `LONGEST` is not waited for, and beyond `WAITERS` at once nobody
waits, so that a flood of wrong logins cannot hold the threads of the right ones.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable

from dirbridge.login.stage import Login
from dirbridge.model.login import Rejected, Verdict
from dirbridge.model.names import DomainName

LONGEST = 1.0
"""Most seconds that a rejection takes because of this."""

FIRST = 0.1
"""Seconds that one takes while nothing is known yet."""

WAITERS = 24
"""How many logins wait at the same time; each holds a thread."""

LEARNED = 50
"""How many of the newest rejections of each kind are looked at."""

FRESH = 900.0
"""Seconds for which they count."""

_USUAL = 0.9
"""The share of them that is over by the time that the others wait for."""

_FEW = 5
"""So many rejections of a kind must be known."""

_RESERVE = 0.8
"""The share of the time up to the deadline that may be waited for."""

_UNASKED = frozenset({"", "guard", "limits", "app-password"})
"""The methods of verdicts for which no directory was asked."""

Kind = tuple[DomainName, str]
"""A domain, and the method that rejected; "" where nobody was asked."""


class Pacing:
    """Keep rejections from telling by their time what they are; see `login.stage`."""

    def __init__(
        self,
        *,
        waiters: int = WAITERS,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Take how many may wait at once, a clock of seconds, and how to wait."""
        self._places = threading.BoundedSemaphore(waiters)
        self._clock = clock
        self._sleep = sleep
        self._lock = threading.Lock()
        self._took: dict[Kind, deque[tuple[float, float]]] = {}

    def before(self, login: Login) -> Verdict | None:
        """Let every login pass."""
        del login
        return None

    def after(self, login: Login, verdict: Verdict) -> Verdict:
        """Wait with a rejection until nearly all would be there."""
        match verdict:
            case Rejected():
                self._pace(login, verdict)
            case _:
                pass
        return verdict

    def _pace(self, login: Login, verdict: Rejected) -> None:
        took = self._clock() - login.begun
        self._learn(login.domains, verdict.method, took)
        usual = min(LONGEST, self.usual(login.domains))
        wait = min(usual - took, login.deadline.left() * _RESERVE)
        if wait > 0 and self._places.acquire(blocking=False):
            try:
                self._sleep(wait)
            finally:
                self._places.release()

    def usual(self, domains: Iterable[DomainName]) -> float:
        """Return how many seconds nearly all rejections in some domains take."""
        since, wanted = self._clock() - FRESH, frozenset(domains)
        known: dict[str, float] = {}
        with self._lock:
            for (domain, method), newest in self._took.items():
                took = sorted(took for at, took in newest if at > since)
                # The very first ones find nothing warm, and are usual for nobody.
                if domain in wanted and len(took) >= _FEW:
                    usual = took[int(len(took) * _USUAL)]
                    known[method] = max(usual, known.get(method, 0.0))
        asked = known.keys() - _UNASKED
        return max(known.values() if asked else (FIRST, *known.values()))

    def _learn(self, domains: Iterable[DomainName], method: str, took: float) -> None:
        now = self._clock()
        with self._lock:
            for domain in domains:
                newest = self._took.setdefault((domain, method), deque(maxlen=LEARNED))
                newest.append((now, took))
