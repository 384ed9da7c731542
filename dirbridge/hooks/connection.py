"""What the connections of all hooks have in common."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVarTuple, cast

from dirbridge.config.settings import HookSettings
from dirbridge.hooks.desk import Desk
from dirbridge.hooks.shield import followed
from dirbridge.protocols import sasl

WORKERS = 4
"""Steps of exchanges that one hook works on at the same time."""

Ts = TypeVarTuple("Ts")

_TICK = 0.01
"""Seconds by which a timer may come early."""


class Hook:
    """One configured hook while it is served.

    Attributes:
        settings: Its table of the configuration.
        name: Type and place, for requests and log lines.
        desk: Where its questions go.
        mechanisms: What SASL exchanges may be opened.
        workers: Do the steps of exchanges that would hold up the event loop.
        connections: Those that are open.
        empty: Set while none is.
    """

    def __init__(
        self,
        settings: HookSettings,
        desk: Desk,
        mechanisms: sasl.Mechanisms = sasl.MECHANISMS,
    ) -> None:
        self.settings = settings
        self.mechanisms = mechanisms
        # Steps wait for nobody but the processor, and it starts no thread before one.
        self.workers = ThreadPoolExecutor(WORKERS, thread_name_prefix="sasl")
        self.name = f"{settings.type}:{settings.socket or settings.listen}"
        self.desk = desk
        self.connections: set[Connection] = set()
        self.empty = asyncio.Event()
        self.empty.set()
        self._loop = asyncio.get_running_loop()
        self._silent: dict[Connection, float] = {}
        self._look: asyncio.TimerHandle | None = None

    def add(self, connection: Connection) -> None:
        """Count a connection in."""
        self.connections.add(connection)
        self.empty.clear()

    def remove(self, connection: Connection) -> None:
        """Count a connection out."""
        self.connections.discard(connection)
        if not self.connections:
            self.empty.set()

    def expect(self, connection: Connection) -> None:
        """Let a connection go that is not heard of until the deadline.

        One timer serves all of them: a login has only some millionths of a second.
        """
        self._silent[connection] = self._loop.time()
        if self._look is None:
            self._look = self._loop.call_later(self.desk.deadline, self._let_go)

    def heard(self, connection: Connection) -> None:
        """Note that a connection has said what it was expected to."""
        self._silent.pop(connection, None)

    def _let_go(self) -> None:
        """Close what was silent for too long; the others came later."""
        self._look = None
        deadline, now = self.desk.deadline, self._loop.time()
        for connection, since in tuple(self._silent.items()):
            left = since + deadline - now
            if left > _TICK:
                self._look = self._loop.call_later(left, self._let_go)
                return
            del self._silent[connection]
            connection.transport.close()


class Connection(ABC, asyncio.Protocol):
    """One connection of a mail server."""

    transport: asyncio.Transport

    def __init__(self, hook: Hook) -> None:
        self.hook = hook

    @abstractmethod
    def opened(self) -> None:
        """Do what comes before the client's first byte."""

    @abstractmethod
    def received(self, data: bytes) -> None:
        """Take the client's bytes, none of them at its end.

        Raises:
            RemoteProtocolError: The client broke the protocol.
        """

    @abstractmethod
    def finish(self) -> None:
        """Take no more requests; close when those in flight are answered."""

    @abstractmethod
    def closed(self) -> None:
        """Let go of everything; the connection is no more."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin; asyncio calls it."""
        self.transport = cast("asyncio.Transport", transport)
        self.hook.add(self)
        self._guard(self.opened)

    def data_received(self, data: bytes) -> None:
        """Take bytes; asyncio calls it."""
        self._guard(self.received, data)

    def eof_received(self) -> bool | None:
        """Take the end of what the client says; asyncio calls it.

        Returns:
            Whether the connection stays open for a reply.
        """
        self._guard(self.received, b"")
        return False

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        """End; asyncio calls it."""
        self.hook.remove(self)
        self._guard(self.closed)

    def pause_writing(self) -> None:
        """Listen no more to a client that does not read; asyncio calls it."""
        self.transport.pause_reading()

    def resume_writing(self) -> None:
        """Listen again; asyncio calls it."""
        self.transport.resume_reading()

    def _guard(self, call: Callable[[*Ts], None], *arguments: *Ts) -> None:
        if not followed(self.hook.name, call, *arguments):
            self.transport.close()
