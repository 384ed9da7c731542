"""Takes what connects to a listening socket.

asyncio's servers make a transport of each connection, which costs as much as all the
rest of a login that is told from memory. Where one request and one reply is all there
is, the bare socket will do.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
from collections.abc import Callable

AT_ONCE = 64
"""Connections taken before others on the event loop have their turn."""

PAUSE = 1.0
"""Seconds until the next try where the system has no room for a connection."""

_OF_ONE = frozenset(
    {
        *(errno.EINTR, errno.ECONNABORTED, errno.EPROTO, errno.ENOPROTOOPT),
        *(errno.ENETDOWN, errno.ENETUNREACH, errno.EHOSTDOWN, errno.EHOSTUNREACH),
        *(errno.ENONET, errno.EOPNOTSUPP, errno.EPERM),
    }
)
"""What ended one connection before it was taken (accept(2), "Error handling")."""

log = logging.getLogger(__name__)


class Door:
    """Takes connections and hands their sockets over, until it is closed."""

    def __init__(
        self, listener: socket.socket, take: Callable[[socket.socket], None], name: str
    ) -> None:
        """Open it; to be called on the running event loop.

        Args:
            listener: Listens already.
            take: Gets each connection's socket and closes it in the end; must neither
                wait nor raise.
            name: Whose it is, for the log.
        """
        listener.setblocking(False)
        self._listener = listener
        # `accept` names family and type at each connection, which costs as much as to
        # take it; this is the half of it that takes.
        self._next: Callable[[], tuple[int, object]] = listener._accept  # type: ignore[attr-defined]  # noqa: SLF001
        self._kind = int(listener.family), int(listener.type), listener.proto
        self._take = take
        self._name = name
        self._loop = asyncio.get_running_loop()
        self._rest: asyncio.TimerHandle | None = None
        self._open()

    def close(self) -> None:
        """Take nobody any more, and close the listening socket."""
        if self._rest is not None:
            self._rest.cancel()
        elif self._listener.fileno() >= 0:
            self._loop.remove_reader(self._listener.fileno())
        self._rest = None
        self._listener.close()

    def _open(self) -> None:
        self._rest = None
        self._loop.add_reader(self._listener.fileno(), self._take_some)

    def _take_some(self) -> None:
        for _ in range(AT_ONCE):
            try:
                number, _ = self._next()
            except BlockingIOError:
                # Another process was faster, or nobody is left.
                return
            except OSError as error:
                if error.errno in _OF_ONE:
                    continue
                self._pause(error)
                return
            self._take(socket.socket(*self._kind, fileno=number))

    def _pause(self, error: OSError) -> None:
        """Wait until there may be room: the one that is turned down stays in line."""
        log.error(
            "%s: a connection cannot be taken (%s), trying again in %.0f s; raise "
            "LimitNOFILE of the service if this goes on",
            self._name,
            error.strerror,
            PAUSE,
        )
        self._loop.remove_reader(self._listener.fileno())
        self._rest = self._loop.call_later(PAUSE, self._open)
