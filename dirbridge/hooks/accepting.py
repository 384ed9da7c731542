"""Takes the connections of clients that make a new one for each login.

Theory. A transport of an event loop costs more than a whole login that is answered from
memory: its descriptor is put under watch and taken out again, and each of its steps is
a turn of the loop. So here a connection is accepted, read, answered and closed in one
go where all of that can be done at once, as it nearly always can. One that has to wait
for its reply is put under watch when the wait has become long: until then, only its
client's going away could be missed.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
from collections.abc import Callable

from dirbridge.hooks.connection import Connection

AT_A_TIME = 16
"""Connections that are taken before the event loop has its turn."""

PATIENCE = 0.1
"""Seconds for which a client that waits for its reply is not watched."""

PAUSE = 1.0
"""Seconds until the next try, where the system has no room for a connection."""

_SIZE = 16 * 1024
_TICK = 0.005
"""Seconds by which a timer may come early."""

_NO_ROOM = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)

log = logging.getLogger(__name__)


class Accepting:
    """Takes the connections of one listening socket, on the event loop."""

    def __init__(
        self, listening: socket.socket, name: str, make: Callable[[], Connection]
    ) -> None:
        """Begin; to be called on the running event loop.

        Args:
            listening: The socket; whoever gives it closes it, after `close`.
            name: The hook's, for the log.
            make: Makes what a connection is for.
        """
        self.loop = asyncio.get_running_loop()
        self._listening = listening
        self._name = name
        self._make = make
        self._unwatched: dict[Stream, float] = {}
        self._look: asyncio.TimerHandle | None = None
        self._again: asyncio.TimerHandle | None = None
        listening.setblocking(False)
        self.loop.add_reader(listening.fileno(), self._take)

    def close(self) -> None:
        """Take no more of them; those that are open stay so."""
        self.loop.remove_reader(self._listening.fileno())
        if self._again is not None:
            self._again.cancel()

    def watch_later(self, stream: Stream) -> None:
        """Watch a connection if it is still there after a while."""
        self._unwatched[stream] = self.loop.time()
        if self._look is None:
            self._look = self.loop.call_later(PATIENCE, self._watch)

    def forget(self, stream: Stream) -> None:
        """Note that a connection is closed."""
        self._unwatched.pop(stream, None)

    def _take(self) -> None:
        for _ in range(AT_A_TIME):
            try:
                taken, _ = self._listening.accept()
            except (BlockingIOError, InterruptedError):
                return
            except ConnectionAbortedError:
                continue
            except OSError as error:
                self._rest(error)
                return
            Stream(taken, self, self._make()).begin()

    def _rest(self, error: OSError) -> None:
        """Let a while pass before the next try: the socket would be ready at once."""
        if error.errno not in _NO_ROOM:
            raise error
        log.error(
            "%s: no connection can be taken (%s), the next try is in a second; "
            "raise the limit of open files or memory of this service",
            self._name,
            error.strerror,
        )
        number = self._listening.fileno()
        self.loop.remove_reader(number)
        self._again = self.loop.call_later(
            PAUSE, self.loop.add_reader, number, self._take
        )

    def _watch(self) -> None:
        """Watch those that have waited for long; the others came later."""
        self._look = None
        now = self.loop.time()
        for stream, since in tuple(self._unwatched.items()):
            left = since + PATIENCE - now
            if left > _TICK:
                self._look = self.loop.call_later(left, self._watch)
                return
            del self._unwatched[stream]
            stream.watch()


class Stream(asyncio.Transport):
    """One connection, as far as a `Connection` needs a transport."""

    def __init__(
        self, taken: socket.socket, accepting: Accepting, connection: Connection
    ) -> None:
        super().__init__()
        self._socket = taken
        self._accepting = accepting
        self._connection: Connection | None = connection
        self._is_watched = False

    def begin(self) -> None:
        """Let the connection begin, with what the client has said already."""
        connection = self._connection
        if connection is not None:
            connection.connection_made(self)
            self._read()

    def watch(self) -> None:
        """Read as soon as there is something to read."""
        if not (self._is_watched or self.is_closing()):
            self._accepting.loop.add_reader(self._socket.fileno(), self._read)
            self._is_watched = True

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send what is small; a client that has no room for it gets nothing."""
        try:
            self._socket.send(data, socket.MSG_DONTWAIT)
        except OSError:
            self.close()

    def is_closing(self) -> bool:
        """Whether it is closed."""
        return self._connection is None

    def close(self) -> None:
        """Close it at once; closing twice is harmless."""
        connection, self._connection = self._connection, None
        if connection is None:
            return
        self._unwatch()
        self._accepting.forget(self)
        self._socket.close()
        connection.connection_lost(None)

    def _unwatch(self) -> None:
        if self._is_watched:
            self._accepting.loop.remove_reader(self._socket.fileno())
            self._is_watched = False

    def _read(self) -> None:
        connection = self._connection
        if connection is None:
            return
        try:
            data = self._socket.recv(_SIZE, socket.MSG_DONTWAIT)
        except (BlockingIOError, InterruptedError):
            self.watch()
            return
        except OSError:
            self.close()
            return
        if data:
            connection.data_received(data)
            self._wait(connection)
        elif connection.eof_received():
            # What it says from now on is its end, again and again.
            self._unwatch()
        else:
            self.close()

    def _wait(self, connection: Connection) -> None:
        """Wait for more, soon or later, where the connection is still open."""
        if self.is_closing() or self._is_watched:
            return
        if connection.expects_more:
            self.watch()
        else:
            self._accepting.watch_later(self)
