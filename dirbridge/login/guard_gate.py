"""One unproven password of an account at a time.

A phone opens ten connections at once. If each of them asked the directory with the
same old password, ten wrong tries were counted before the first one is known to be
wrong. So the first one asks; who comes with the same password meanwhile gets the same
verdict, and who comes with another one waits.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from dirbridge.login.guard_locks import AccountLocks
from dirbridge.model.deadline import Deadline
from dirbridge.model.login import Cause, Unavailable, Verdict

WAITERS = 8
"""How many logins of one account may wait with another password; they hold threads."""

SHARERS = 32
"""How many may wait for the verdict of the same one."""

GRACE = 1.0
"""Seconds after its deadline for which a login that never came back is waited for."""


@dataclass(slots=True)
class Flight:
    """A password on its way to the directory.

    Attributes:
        digest: What stands for it.
        until: When it is given up, on the gate's clock.
        verdict: What became of it, None on the way.
    """

    digest: bytes
    until: float
    verdict: Verdict | None = None


class Gate:
    """Let the passwords of each account through one by one; for many threads."""

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        locks: AccountLocks | None = None,
    ) -> None:
        """Take what is needed.

        Args:
            clock: The clock of the deadlines.
            locks: What whoever has passed the gate takes with a password that may be
                wrong; None where no other process asks.
        """
        self._clock = clock
        self.locks = locks
        self._changed = threading.Condition()
        self._flights: dict[int, Flight] = {}
        self._waiting: dict[int, list[bytes]] = {}

    def enter(
        self, number: int, digest: bytes, deadline: Deadline
    ) -> Flight | Verdict | None:
        """Wait for one's turn.

        Args:
            number: The account's number.
            digest: What stands for the password.
            deadline: How long to wait.

        Returns:
            The flight, which `leave` must end; or the verdict on the same password
            that was on its way, or `Unavailable` where it took too long; None at once
            where too many wait already.
        """
        with self._changed:
            if self._free(number):
                return self._begin(number, digest, deadline)
            waiting = self._waiting.setdefault(number, [])
            same = waiting.count(digest)
            if len(waiting) - same >= WAITERS or same >= SHARERS:
                return None
            waiting.append(digest)
            try:
                return self._wait(number, digest, deadline)
            finally:
                waiting.remove(digest)
                if not waiting:
                    self._waiting.pop(number, None)

    def enter_at_once(
        self, number: int, digest: bytes, deadline: Deadline
    ) -> Flight | None:
        """Begin a flight like `enter`, or give None where one would have to wait."""
        with self._changed:
            if not self._free(number):
                return None
            return self._begin(number, digest, deadline)

    def leave(self, number: int, flight: Flight, verdict: Verdict) -> None:
        """End a flight with its verdict."""
        with self._changed:
            flight.verdict = verdict
            if self._flights.get(number) is flight:
                del self._flights[number]
            if number in self._waiting:
                self._changed.notify_all()

    def _wait(self, number: int, digest: bytes, deadline: Deadline) -> Flight | Verdict:
        while not self._free(number):
            before = self._flights[number]
            left = min(deadline.left(), before.until - self._clock())
            self._changed.wait(max(left, 0.0))
            if before.verdict is not None and before.digest == digest:
                return before.verdict
            if not deadline.left():
                return crowded()
        return self._begin(number, digest, deadline)

    def _free(self, number: int) -> bool:
        """Whether nobody is on the way, or somebody who never came back."""
        flight = self._flights.get(number)
        return flight is None or flight.until <= self._clock()

    def _begin(self, number: int, digest: bytes, deadline: Deadline) -> Flight:
        flight = Flight(digest, self._clock() + deadline.left() + GRACE)
        self._flights[number] = flight
        return flight


def crowded() -> Unavailable:
    """Return what is told where other logins of an account took all the time."""
    return Unavailable(Cause.OVERLOADED, detail="other logins of this account wait")
