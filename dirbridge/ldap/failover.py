"""Which server of an ordered list is asked, in a bridge that runs for months.

The first usable server serves. One that failed rests for a cool-down, then one
single caller tries it again, so that the bridge goes back to its primary by
itself and a frozen primary costs one caller its time-out, not all. While every
server rests, one caller at a time asks them all and the others fail at once, so that
a dead directory does not hold the logins of the others. Only
`Unreachable`, and what one server of several may lack (`Unsupported`), moves on to the
next server: a refused password is an answer, and one that was sent and not answered
(`Unanswered`) may have been counted.
A server that fails again soon after its return rests longer each time, so that one
that flaps does not cost every other call its time. The servers may change while the
bridge runs (`Servers`); what is known of those that stay is kept.
ldap3's ServerPool does none of this: measured with 2.9.1, a first server that accepts
and stays silent was the end, the second one was not tried.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Protocol, TypeVar

from tenacity import RetryCallState, Retrying, wait_exponential

from dirbridge.errors import DirectoryError, Unreachable, Unsupported
from dirbridge.ldap.transport import Endpoint, Unanswered
from dirbridge.model.deadline import Deadline

R = TypeVar("R")

COOL_DOWN = 30.0
"""Seconds for which a failed server is left alone."""

LONGEST_REST = 300.0
"""Most seconds for which one that flaps is left alone."""

STEADY = 60.0
"""Seconds for which a server must have served again, and as long as it rested, before
its next failure counts as a new one."""

HURRY = 1.5
"""Most seconds for a connection, or a sign of life on a kept one, while another server
is left to ask: a frozen server accepts connections as well. The last one has all the
time that the settings give."""

ALL_DOWN_PAUSE = 3.0
"""Most seconds between two tries while every server is down; shorter where the last
one failed faster than that, as with refused connections."""

FAIR_TIME = 0.5
"""Seconds; a server that had less is not taken for dead because it was late."""

MOST_ASKED = 6
"""Most servers that one call asks: DNS may name hundreds."""

WAITING = "waiting"
"""Code of an `Unreachable` that is not the server's doing: the caller waited for
another thread of this process."""

BEHIND = "behind"
"""Code of an `Unreachable` of a replica that has not got everything yet: it can tell
no changes, but it serves logins."""

_SERVES = frozenset({WAITING, BEHIND, "kdc-unreachable", "range"})
"""Codes of an `Unreachable` that takes no server down: also a KDC that is away, while
the LDAP server answers, and one entry whose values did not come together."""

_LACKS_ALWAYS = frozenset({"no-starttls"})
"""Codes of an `Unsupported` of one server, whoever comes to it."""

_LACKS = _LACKS_ALWAYS | {
    "spn-unknown",
    "server-not-proven",
    "not-sealed",
    "no-rootdse",
}
"""Codes of an `Unsupported` of one server that the next one may not have: a replica
that was set up otherwise, a name that is not registered. Those of the service account
are noted only once another server has served it: where all say so it is the set-up, and
people's logins, who come otherwise, still find all of them."""

_NOT_ASKED = frozenset({"ca-file", "cert-file"})
"""Codes of our own files; nobody has answered."""

LOOK_UP_SECONDS = 5.0
"""Most seconds to look for the servers of a directory that were not named."""


@dataclass(frozen=True, slots=True)
class ServerState:
    """What is known of one server.

    Attributes:
        server: `host:port`.
        up: Whether the last call got an answer, None before the first one.
        since: Since when it is so (UTC).
        error: Code and words of the last failure, "" while it is up.
        certificate_days: Whole days until its certificate ends, negative when it is
            over; None where it was not seen.
        clock_offset: Seconds by which its clock is ahead of ours, None where it does
            not tell the time.
        round_trip: Seconds that the last small question took, None before it.
    """

    server: str
    up: bool | None = None
    since: datetime | None = None
    error: str = ""
    certificate_days: int | None = None
    clock_offset: float | None = None
    round_trip: float | None = None


class Servers(Protocol):
    """Where the list of servers comes from, if not from the configuration."""

    @property
    def foreign(self) -> tuple[str, ...]:
        """Hosts that were named to us and are not taken."""
        ...

    def current(
        self, deadline: Deadline, *, whole: bool = False
    ) -> tuple[Endpoint, ...]:
        """Return the servers in order, none where nobody could be found.

        Args:
            deadline: How long the first call may look for them.
            whole: Whether to look first even where some are known already.
        """
        ...

    def renew(self) -> None:
        """Look for others soon, without waiting for it: all of them are down."""
        ...


@dataclass(slots=True)
class _Health:
    state: ServerState
    rests_until: float = 0.0
    failure: Unreachable | Unsupported | None = None
    relapses: int = 0
    rested: float = 0.0
    returned_at: float = float("-inf")


class Failover:
    """Runs calls on the first usable server of a list; used by many threads."""

    def __init__(
        self,
        domain: str,
        servers: Sequence[Endpoint] | Servers,
        *,
        cool_down: float = COOL_DOWN,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._domain = domain
        self._source: Servers = (
            _Named(tuple(dict.fromkeys(servers)))
            if isinstance(servers, Sequence)
            else servers
        )
        self._cool_down = cool_down
        self._clock = clock
        self._now = now
        self._lock = threading.Lock()
        self._probing = False
        self._probe_at = 0.0
        self._servers: tuple[Endpoint, ...] = ()
        self._health: dict[Endpoint, _Health] = {}
        if isinstance(self._source, _Named):
            self._adopt(self._source.servers)

    @property
    def servers(self) -> tuple[Endpoint, ...]:
        """The servers in order; they are looked for where none is known yet."""
        return self._find(Deadline.after(LOOK_UP_SECONDS), whole=True)

    @property
    def foreign(self) -> tuple[str, ...]:
        """Hosts that DNS names and that are not taken; looked for as `servers` are."""
        self._find(Deadline.after(LOOK_UP_SECONDS), whole=True)
        return self._source.foreign

    def lists(self, server: Endpoint) -> bool:
        """Whether a server is in the list by now."""
        return server in self._servers

    def states(self) -> tuple[ServerState, ...]:
        """Return what is known of each server, in order."""
        with self._lock:
            return tuple(health.state for health in self._health.values())

    def ready(self) -> Endpoint | None:
        """Return the first server, if it answered the last call; waits for nothing."""
        servers = self._servers
        with self._lock:
            health = self._health.get(servers[0]) if servers else None
            return servers[0] if health is not None and health.state.up else None

    def share(self, deadline: Deadline, each: float) -> Deadline:
        """Return the time that `run` gives to the first server."""
        return _share(deadline, min(len(self._servers), MOST_ASKED), each)

    def _find(self, deadline: Deadline, *, whole: bool) -> tuple[Endpoint, ...]:
        found = self._source.current(deadline, whole=whole)
        if found and found != self._servers:
            with self._lock:
                self._adopt(found)
        return self._servers

    def _adopt(self, servers: tuple[Endpoint, ...]) -> None:
        known, self._servers = self._health, servers
        self._health = {
            server: known.get(server) or _Health(ServerState(str(server)))
            for server in servers
        }

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
            Unsupported: All servers that were tried lack the same kind of thing; the
                first one's words.
        """
        self._find(deadline, whole=False)
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
        failures: list[Unreachable | Unsupported] = []
        lacking: list[tuple[Endpoint, Unsupported]] = []
        for tried, server in enumerate(candidates):
            if deadline.left() <= 0:
                break
            limit = _share(deadline, len(candidates) - tried, each)
            fair = limit.left() >= FAIR_TIME
            self._claim(server)
            try:
                result = call(server, limit)
            except Unreachable as error:
                if fair or error.code != "timeout":
                    self.note_failure(server, error)
                if isinstance(error, Unanswered):
                    raise
                failures.append(error)
            except DirectoryError as error:
                if not isinstance(error, Unsupported) or error.code not in _LACKS:
                    self._answered(server, error)
                    raise
                lacking.append((server, error))
                failures.append(error)
                if error.code in _LACKS_ALWAYS:
                    self.note_failure(server, error)
            else:
                for other, lack in lacking:
                    self.note_failure(other, lack)
                self._worked(server)
                return result
        self._source.renew()
        raise self._none_left(failures)

    def _answered(self, server: Endpoint, error: DirectoryError) -> None:
        """Take a server for up: its no is an answer."""
        if error.code not in _NOT_ASKED:
            self._worked(server)

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
            candidates = sorted(self._health, key=resting.__getitem__)[:MOST_ASKED]
            if not (candidates and all(resting.values())):
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
            health = self._health.get(server)
            if health is not None and health.state.up is False:
                health.rests_until = self._clock() + self._cool_down

    def note_failure(self, server: Endpoint, error: Unreachable | Unsupported) -> None:
        """Take a server for down; for failures outside of `run`, in mid-read.

        One that serves all the same is not: a replica that is behind, a wait for
        another thread, an outage of the KDC.
        """
        with self._lock:
            health = self._health.get(server)
            if health is None or error.code in _SERVES:
                self._spare(health)
                return
            now = self._clock()
            if health.state.up:
                steady = now - health.returned_at >= max(STEADY, health.rested)
                health.relapses = 0 if steady else health.relapses + 1
            health.rested = _rest(health.relapses, self._cool_down)
            health.rests_until = now + health.rested
            health.failure = error
            health.state = self._changed(health.state, up=False, error=_words(error))

    def _spare(self, health: _Health | None) -> None:
        """Give back the claim on a server that was down: it did answer."""
        if health is not None and health.state.up is False:
            health.rests_until = 0.0

    def note_seen(
        self,
        server: Endpoint,
        *,
        certificate_days: int | None = None,
        clock_offset: float | None = None,
        round_trip: float | None = None,
    ) -> None:
        """Note what was seen beside an answer; None leaves what is known."""
        seen = {
            "certificate_days": certificate_days,
            "clock_offset": clock_offset,
            "round_trip": round_trip,
        }
        with self._lock:
            health = self._health.get(server)
            if health is not None:
                known = {name: v for name, v in seen.items() if v is not None}
                health.state = replace(health.state, **known)  # type: ignore[arg-type]

    def _worked(self, server: Endpoint) -> None:
        with self._lock:
            health = self._health.get(server)
            if health is None:
                return
            if health.state.up is False:
                health.returned_at = self._clock()
            health.rests_until = 0.0
            health.failure = None
            health.state = self._changed(health.state, up=True)

    def _changed(self, state: ServerState, *, up: bool, error: str = "") -> ServerState:
        since = state.since if state.up is up else self._now()
        return replace(state, up=up, since=since, error=error)

    def _none_left(
        self, failures: Sequence[Unreachable | Unsupported]
    ) -> Unreachable | Unsupported:
        lack_it = all(isinstance(error, Unsupported) for error in failures)
        if len(failures) == 1 or (failures and lack_it):
            return failures[0]
        codes = {error.code for error in failures}
        servers = ", ".join(map(str, self._servers))
        code = "all-down" if codes else "timeout" if servers else "no-servers"
        return Unreachable(
            domain=self._domain,
            server=servers or f"of {self._domain}",
            operation=failures[0].operation if failures else "connect",
            code=codes.pop() if len(codes) == 1 else code,
            detail="; ".join(f"{e.server}: {_words(e)}" for e in failures),
        )


@dataclass(frozen=True, slots=True)
class _Named:
    """The servers that the configuration names."""

    servers: tuple[Endpoint, ...]
    foreign: tuple[str, ...] = ()

    def current(
        self, _deadline: Deadline, *, whole: bool = False
    ) -> tuple[Endpoint, ...]:
        del whole  # all are known
        return self.servers

    def renew(self) -> None:
        pass


def _rest(relapses: int, cool_down: float) -> float:
    """Return how long a server rests: twice as long with each relapse."""
    state = RetryCallState(Retrying(), None, (), {})
    state.attempt_number = relapses + 1
    longest = max(cool_down, LONGEST_REST)
    return wait_exponential(multiplier=cool_down, min=cool_down, max=longest)(state)


def _again(error: Unreachable | Unsupported) -> Unreachable | Unsupported:
    """Return a known failure for another caller; an error is raised only once."""
    kind = Unsupported if isinstance(error, Unsupported) else Unreachable
    return kind(
        domain=error.domain,
        server=error.server,
        operation=error.operation,
        code=error.code,
        detail=error.detail,
    )


def _words(error: DirectoryError) -> str:
    return f"{error.code} {error.detail}".strip()


def _share(deadline: Deadline, left: int, each: float) -> Deadline:
    """Return the time for one server: an equal part of what is left, at most `each`."""
    if left == 1:
        return deadline
    return Deadline.after(min(each, deadline.left() / left), hurry=HURRY)
