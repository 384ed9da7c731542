"""Whether an unknown login name may ask for a run of its domain, and who waits for it.

Somebody hired at nine may log in at nine: their name is unknown, so the domain is
synced before they are told. Most unknown names are nobody's, and some come in floods:
so a domain is asked once in a while only, few logins wait for the answer, and nobody
asks again while it is known that the directory does not answer.

The processes of one bridge rest together after a run that looked the name up. That
nothing could be looked up, each finds out by itself: it is to tell its logins why.
"""

from __future__ import annotations

from dirbridge.model.login import Cause
from dirbridge.scheduler.rests import Rest

REST = 10.0
"""Least seconds between two runs that unknown names ask for."""

SHARE = 0.1
"""The share of the time that such runs may take, where they take long."""

WAITERS = 8
"""How many logins wait for such a run at the same time."""


class Asking:
    """What unknown names asked of one domain; the times are of any one clock.

    Attributes:
        owed: The directories whose run has still to begin or to end.
        causes: Why nothing could be looked up in the last runs, by directory.
        waiters: How many logins wait.
        late: Whether one of them gave up waiting; the others need not begin.
    """

    def __init__(self, rest: Rest | None = None) -> None:
        """Take the rest that all processes of a bridge have in common."""
        self._rest = rest or Rest()
        self.owed: set[str] = set()
        self.causes: dict[str, Cause] = {}
        self.waiters = 0
        self.late = False
        self._begun = 0.0
        self._rest_until = float("-inf")

    def begin(self, now: float, sources: frozenset[str]) -> bool:
        """Begin to ask these directories; False where it is too soon to ask again."""
        rest_until = max(self._rest_until, self._rest.until)
        if self.owed or now < rest_until or not sources:
            return False
        self.owed = set(sources)
        self.causes, self.late, self._begun = {}, False, now
        return True

    def end(self, now: float, source: str, cause: Cause | None) -> None:
        """Note that the run of a directory has ended, and how."""
        if source not in self.owed:
            return
        self.owed.discard(source)
        if cause is not None:
            self.causes[source] = cause
        took = now - self._begun
        self._rest_until = now + max(REST, took * (1 / SHARE - 1))
        if not self.owed and not self.causes:
            self._rest.begin(self._rest_until)

    def went_well(self, source: str) -> None:
        """Note that a run that nobody asked for has read a directory."""
        self.causes.pop(source, None)

    @property
    def may_wait(self) -> bool:
        """Whether one more login may wait for the answer."""
        return bool(self.owed) and not self.late and self.waiters < WAITERS

    def answer(self) -> Cause | None:
        """Return what is known by now: why nothing can be said, or None."""
        if self.owed and self.late:
            return Cause.TIMEOUT
        return next(iter(self.causes.values()), None)
