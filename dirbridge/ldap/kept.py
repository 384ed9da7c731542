"""Connections that are kept between calls; one call at a time on each.

A new LDAPS connection costs some twenty binds on a kept one (facts: performance 5).
What was kept may be dead by the time it is used: the server closed it, restarted,
or froze. A closed one is replaced within the same call; one that is silent means a
frozen server, and the caller's failover goes on with the next.
"""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

from dirbridge.errors import Unreachable
from dirbridge.ldap.transport import Endpoint, Unanswered
from dirbridge.model.deadline import Deadline

KEEP_SECONDS = 120.0
"""Firewalls forget idle connections without a word; ours end before that."""

PRUNE_SECONDS = 1.0
"""How often those are looked for that nobody will use again."""

FRESH_SECONDS = 1.0
"""A server that answered so lately needs not prove that it is alive."""

REPLACED = frozenset({"closed", "unavailable", "protocol"})
"""Codes of a kept connection's end that say nothing of its server yet."""


class Keepable(Protocol):
    """What can be kept."""

    def idle(self) -> bool:
        """Whether it may be used again."""
        ...

    def close(self) -> None:
        """Close it."""
        ...


C = TypeVar("C", bound=Keepable)
R = TypeVar("R")


class Kept(Generic[C]):
    """A small store of open connections for each server."""

    def __init__(
        self,
        connect: Callable[[Endpoint, Deadline], C],
        *,
        prove: Callable[[C, Deadline], None] | None = None,
        listed: Callable[[Endpoint], bool] = lambda _server: True,
        limit: int = 8,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Keep nothing yet.

        Args:
            connect: Opens a connection.
            prove: Shows that a kept one is alive, where the work itself must not
                be sent to a dead server; asked of those that rested for a while.
            listed: Whether a server is still asked; connections to others are closed.
            limit: Most connections to keep for each server.
            clock: Seconds.
        """
        self._connect = connect
        self._prove = prove
        self._listed = listed
        self._limit = limit
        self._clock = clock
        self._lock = threading.Lock()
        self._kept: dict[Endpoint, list[tuple[float, C]]] = defaultdict(list)
        self._prune_at = float("-inf")

    def run(
        self, server: Endpoint, deadline: Deadline, work: Callable[[C, Deadline], R]
    ) -> R:
        """Do some work on a kept connection, else on a new one.

        Args:
            server: The server.
            deadline: When it must be done.
            work: May be called a second time, on a new connection, where the kept
                one turned out to be closed; never where a password was sent
                and not answered.

        Raises:
            Unreachable: The server cannot be used.
        """
        taken = self._take(server)
        if taken is not None:
            rested, connection = taken
            prove = self._prove if rested >= FRESH_SECONDS else None
            try:
                return self._work(server, connection, deadline, work, prove)
            except Unreachable as error:
                if error.code not in REPLACED or isinstance(error, Unanswered):
                    raise
        return self._work(server, self._connect(server, deadline), deadline, work)

    def take_fresh(self, server: Endpoint) -> C | None:
        """Take a connection that was in use a moment ago; None where there is none.

        It needs not prove that it is alive. Whoever takes it gives it back, or
        closes it.
        """
        now = self._clock()
        with self._lock:
            kept = self._kept.get(server)
            if not kept or now - kept[-1][0] >= FRESH_SECONDS:
                return None
            _, connection = kept.pop()
        if connection.idle():
            return connection
        connection.close()
        return None

    def give_back(self, server: Endpoint, connection: C) -> None:
        """Keep a connection on which nothing is under way."""
        self._give_back(server, connection)

    def close(self) -> None:
        """Close all that is kept."""
        with self._lock:
            kept, self._kept = self._kept, defaultdict(list)
        for connections in kept.values():
            for _, connection in connections:
                connection.close()

    def _work(
        self,
        server: Endpoint,
        connection: C,
        deadline: Deadline,
        work: Callable[[C, Deadline], R],
        prove: Callable[[C, Deadline], None] | None = None,
    ) -> R:
        try:
            if prove is not None:
                prove(connection, deadline)
            result = work(connection, deadline)
        except BaseException:
            # Somewhere in the middle of an exchange: nobody can go on from here.
            connection.close()
            raise
        self._give_back(server, connection)
        return result

    def _take(self, server: Endpoint) -> tuple[float, C] | None:
        """Take the one that was used last, with the seconds since then.

        Those that are too old or have ended are closed.
        """
        now = self._clock()
        while True:
            with self._lock:
                if not self._kept[server]:
                    return None
                used, connection = self._kept[server].pop()
            if now - used <= KEEP_SECONDS and connection.idle():
                return now - used, connection
            connection.close()

    def _give_back(self, server: Endpoint, connection: C) -> None:
        now = self._clock()
        with self._lock:
            ended = [] if len(self._kept[server]) < self._limit else [connection]
            if not ended:
                self._kept[server].append((now, connection))
            if now >= self._prune_at:
                ended += self._prune(now)
                self._prune_at = now + PRUNE_SECONDS
        for one in ended:
            one.close()

    def _prune(self, now: float) -> list[C]:
        """Take out what nobody will use again: too old, or of a server that is gone."""
        ended: list[C] = []
        for server, kept in list(self._kept.items()):
            listed = self._listed(server)
            good = [one for one in kept if listed and now - one[0] <= KEEP_SECONDS]
            ended += [one[1] for one in kept if one not in good]
            if good:
                self._kept[server] = good
            else:
                del self._kept[server]
        return ended
