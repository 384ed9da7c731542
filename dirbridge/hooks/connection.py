"""What the connections of all hooks have in common."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol, TypeVarTuple, cast

from dirbridge.config.settings import HookSettings
from dirbridge.hooks.desk import Desk
from dirbridge.hooks.overdue import Overdue
from dirbridge.hooks.shield import followed
from dirbridge.protocols import sasl

WORKERS = 4
"""Steps of exchanges that one hook works on at the same time."""

Ts = TypeVarTuple("Ts")

AT_EASE = 0.1
"""Seconds after which it is worth a look whether a client still waits."""


class Served(Protocol):
    """A connection of a hook, of whatever kind."""

    def finish(self) -> None:
        """Take no more requests; close when those in flight are answered."""
        ...

    def let_go(self) -> None:
        """Close: it was silent for too long."""
        ...


class Asking(Served, Protocol):
    """One whose client is looked at only where an answer takes its time."""

    def see_whether_left(self) -> None:
        """Look from now on whether the client goes."""
        ...


class Hook:
    """One configured hook while it is served.

    Attributes:
        settings: Its table of the configuration.
        name: Type and place, for requests and log lines.
        desk: Where its questions go.
        mechanisms: What SASL exchanges may be opened.
        workers: Do the steps of exchanges that would hold up the event loop.
        loop: Runs all of them.
        connections: Those that are open.
        empty: Set while none is.
        silent: Those that have to say something before the deadline.
        asking: Those of which nobody looks yet whether the client has left.
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
        self.loop = asyncio.get_running_loop()
        self.connections: set[Served] = set()
        self.empty = asyncio.Event()
        self.empty.set()
        self.silent: Overdue[Served] = Overdue(desk.deadline, lambda one: one.let_go())
        self.asking: Overdue[Asking] = Overdue(
            AT_EASE, lambda one: one.see_whether_left()
        )

    def add(self, connection: Served) -> None:
        """Count a connection in."""
        self.connections.add(connection)
        self.empty.clear()

    def remove(self, connection: Served) -> None:
        """Count a connection out."""
        self.connections.discard(connection)
        if not self.connections:
            self.empty.set()


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

    def let_go(self) -> None:
        """Close: it was silent for too long."""
        self.transport.close()

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
