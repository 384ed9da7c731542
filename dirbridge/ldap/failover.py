"""Which server of an ordered list is asked, in a bridge that runs for months.

The first usable server serves. One that failed rests for a cool-down, then one
single caller tries it again, so that the bridge goes back to its primary by
itself and a frozen primary costs one caller its time-out, not all. While every
server rests, one caller at a time asks them all and the others fail at once, so that
a dead directory does not hold the logins of the others. Only
`Unreachable` moves on to the next server: a refused password is an answer, and one
that was sent and not answered (`Unanswered`) may have been counted.
ldap3's ServerPool does none of this (facts: ad-semantics 0.8 and 13).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TypeVar

from dirbridge.errors import Unreachable
from dirbridge.ldap.transport import Endpoint, Unanswered
from dirbridge.model.deadline import Deadline

R = TypeVar("R")

COOL_DOWN = 30.0
"""Seconds for which a failed server is left alone."""

ALL_DOWN_PAUSE = 3.0
"""Most seconds between two tries while every server is down; shorter where the last
one failed faster than that, as with refused connections."""

FAIR_TIME = 0.5
"""Seconds; a server that had less is not taken for dead because it was late."""

WAITING = "waiting"
"""Code of an `Unreachable` that is not the server's doing: the caller waited for
another thread of this process."""


@dataclass(frozen=True, slots=True)
class ServerState:
    """What is known of one server.

    Attributes:
        server: `host:port`.
        up: Whether the last call got an answer, None before the first one.
        since: Since when it is so (UTC).
        error: Code and words of the last failure, "" while it is up.
    """

    server: str
    up: bool | None = None
    since: datetime | None = None
    error: str = ""


@dataclass(slots=True)
class _Health:
    state: ServerState
    rests_until: float = 0.0
    failure: Unreachable | None = None


class Failover:
    """Runs calls on the first usable server of a list; used by many threads."""

    def __init__(
        self,
        domain: str,
        servers: Sequence[Endpoint],
        *,
        cool_down: float = COOL_DOWN,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._domain = domain
        self._servers = tuple(dict.fromkeys(servers))
        self._cool_down = cool_down
        self._clock = clock
        self._now = now
        self._lock = threading.Lock()
        self._probing = False
        self._probe_at = 0.0
        self._health = {s: _Health(ServerState(str(s))) for s in self._servers}

    @property
    def servers(self) -> tuple[Endpoint, ...]:
        """The servers in the order of the configuration."""
        return self._servers

    def states(self) -> tuple[ServerState, ...]:
        """Return what is known of each server, in the order of the configuration."""
        with self._lock:
            return tuple(self._health[server].state for server in self._servers)

    def run(
        self,
        call: Callable[[Endpoint, Deadline], R],
        deadline: Deadline,
        *,
        each: float = float("inf"),
    ) -> R:
        """Run `call` on the first server that can be used.

        Args:
            call: Gets the server and the time it may take there.
            deadline: When an answer must be there.
            each: Most seconds for one server while others are left to try.

        Raises:
            Unreachable: No server could be used, or the time ran out; it names the
                servers that were tried.
            Unanswered: A server took a password and did not answer.
        """
        candidates, probing = self._candidates()
        if not probing:
            return self._run(call, candidates, deadline, each)
        begun = self._clock()
        try:
            return self._run(call, candidates, deadline, each)
        finally:
            self._end_probe(begun)

    def _run(
        self,
        call: Callable[[Endpoint, Deadline], R],
        candidates: Sequence[Endpoint],
        deadline: Deadline,
        each: float,
    ) -> R:
        failures: list[Unreachable] = []
        for tried, server in enumerate(candidates):
            if deadline.left() <= 0:
                break
            limit = _share(deadline, len(candidates) - tried, each)
            fair = limit.left() >= FAIR_TIME
            self._claim(server)
            try:
                result = call(server, limit)
            except Unreachable as error:
                if error.code != WAITING and (fair or error.code != "timeout"):
                    self.note_failure(server, error)
                if isinstance(error, Unanswered):
                    raise
                failures.append(error)
            else:
                self._worked(server)
                return result
        raise self._none_left(failures)

    def _candidates(self) -> tuple[list[Endpoint], bool]:
        """Return whom to ask, and whether this caller probes, as all of them rest.

        Resting ones come last, so that a call fails only when everybody did. It is
        decided in one go: the probe of another caller may succeed at any time.

        Raises:
            Unreachable: All rest, and another caller asks them or did just now.
        """
        with self._lock:
            now = self._clock()
            resting = {s: h.rests_until > now for s, h in self._health.items()}
            candidates = sorted(self._servers, key=resting.__getitem__)
            if not all(resting.values()):
                return candidates, False
            if not self._probing and now >= self._probe_at:
                self._probing = True
                return candidates, True
            known = [h.failure for h in self._health.values() if h.failure]
        raise self._none_left([_again(error) for error in known])

    def _end_probe(self, begun: float) -> None:
        now = self._clock()
        with self._lock:
            self._probing = False
            self._probe_at = now + min(ALL_DOWN_PAUSE, now - begun)

    def _claim(self, server: Endpoint) -> None:
        """Let others pass by while we try a server that was down."""
        with self._lock:
            health = self._health[server]
            if health.state.up is False:
                health.rests_until = self._clock() + self._cool_down

    def note_failure(self, server: Endpoint, error: Unreachable) -> None:
        """Take a server for down; for failures outside of `run`, in mid-read."""
        with self._lock:
            health = self._health[server]
            health.rests_until = self._clock() + self._cool_down
            health.failure = error
            health.state = self._changed(health.state, up=False, error=_words(error))

    def _worked(self, server: Endpoint) -> None:
        with self._lock:
            health = self._health[server]
            health.rests_until = 0.0
            health.failure = None
            health.state = self._changed(health.state, up=True)

    def _changed(self, state: ServerState, *, up: bool, error: str = "") -> ServerState:
        since = state.since if state.up is up else self._now()
        return replace(state, up=up, since=since, error=error)

    def _none_left(self, failures: Sequence[Unreachable]) -> Unreachable:
        if len(failures) == 1:
            return failures[0]
        codes = {error.code for error in failures}
        return Unreachable(
            domain=self._domain,
            server=", ".join(str(server) for server in self._servers),
            operation=failures[0].operation if failures else "connect",
            code=codes.pop() if len(codes) == 1 else "all-down" if codes else "timeout",
            detail="; ".join(f"{e.server}: {_words(e)}" for e in failures),
        )


def _again(error: Unreachable) -> Unreachable:
    """Return a known failure for another caller; an error is raised only once."""
    return Unreachable(
        domain=error.domain,
        server=error.server,
        operation=error.operation,
        code=error.code,
        detail=error.detail,
    )


def _words(error: Unreachable) -> str:
    return f"{error.code} {error.detail}".strip()


def _share(deadline: Deadline, left: int, each: float) -> Deadline:
    """Return the time for one server: an equal part of what is left, at most `each`."""
    if left == 1:
        return deadline
    return Deadline.after(min(each, deadline.left() / left))
