"""A bind that nobody waits for: an event loop goes on with it when something comes.

Whoever holds a thread for each bind pays more for the threads than for the binds. So
a bind on a kept connection is written once, as steps that stop where they would wait:
an event loop takes the next step when the server has answered, and a thread takes
those that are left where it does not answer at once, or where something is wrong.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Generator
from dataclasses import dataclass

from dirbridge.authenticators.base import Next
from dirbridge.errors import DirectoryError, Unreachable
from dirbridge.ldap.transport import Transport
from dirbridge.model.deadline import Deadline
from dirbridge.model.login import Accepted, Verdict


@dataclass(frozen=True, slots=True)
class Wait:
    """What steps wait for.

    Attributes:
        operation: What the server has been asked for, for errors.
        until: When it must have answered.
    """

    operation: str
    until: Deadline


Steps = Generator[Wait, None, Verdict]


class BindUnderway:
    """A check of a password by steps; see `authenticators.base.Underway`."""

    def __init__(
        self,
        transport: Transport,
        steps: Steps,
        *,
        ended: Callable[[], None],
        failed: Callable[[DirectoryError], Verdict],
        followed: Callable[[Verdict], Verdict],
    ) -> None:
        """Begin with the first step to take.

        Args:
            transport: The connection; nothing else is under way on it.
            steps: All of them; raise `DirectoryError`.
            ended: Takes the connection back.
            failed: Gives the verdict where the steps came to no end; may wait.
            followed: Takes a verdict that is no acceptance further; may wait.
        """
        self._transport = transport
        self._steps = steps
        self._ended = ended
        self._failed = failed
        self._followed = followed
        self._wait: Wait | None = None
        self._verdict: Verdict | None = None
        self._error: DirectoryError | None = None

    def fileno(self) -> int:
        """Return the number of the socket; see `Underway`."""
        return self._transport.fileno()

    def go_on(self) -> Accepted | Next:
        """Take the steps that need no wait; see `Underway`."""
        self._take(None)
        verdict = self._verdict
        if isinstance(verdict, Accepted):
            return verdict
        over = verdict is not None or self._error is not None
        return Next.FINISH if over else Next.WAIT

    def finish(self) -> Verdict:
        """Take all steps that are left; see `Underway`."""
        while self._verdict is None:
            if self._error is not None:
                self._transport.close()
                return self._followed(self._failed(self._error))
            if inspect.getgeneratorstate(self._steps) == inspect.GEN_CLOSED:
                # A step met a bug; nobody knows where the exchange stands.
                self._transport.close()
                raise RuntimeError("the steps ended without a verdict")
            self._stay()
        return self._followed(self._verdict)

    def drop(self) -> None:
        """Give the connection back unused; see `Underway`."""
        self._steps.close()
        self._ended()

    def _stay(self) -> None:
        """Wait for what the steps wait for, and go on."""
        wait = self._wait
        late: Unreachable | None = None
        if wait is not None:
            self._transport.allow(wait.until)
            try:
                self._transport.await_more(wait.operation)
            except Unreachable as error:
                late = error
        self._take(late)

    def _take(self, late: Unreachable | None) -> None:
        """Take the next step, or let the present one know that nothing will come."""
        try:
            self._wait = self._steps.throw(late) if late else next(self._steps)
        except StopIteration as end:
            self._verdict = end.value
            self._ended()
        except DirectoryError as error:
            self._error = error
