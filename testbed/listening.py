"""Servers of the tests' own that serve in threads of this process."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable
from typing import Self


class Listening:
    """Takes connections until it is stopped, and serves each in a thread of its own.

    Attributes:
        address: Where it listens.
        port: Its port.
        connections: How many it took.
    """

    def __init__(
        self,
        talk: Callable[[socket.socket], None],
        address: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        """Begin to listen.

        Args:
            talk: Serves a connection, which ends with it, or with an `OSError`.
            address: Where to listen.
            port: Its port; a free one for 0.
        """
        self.connections = 0
        self._talk_on = talk
        self._open: set[socket.socket] = set()
        self._listener = socket.create_server((address, port), backlog=200)
        self.address: str
        self.port: int
        self.address, self.port = self._listener.getsockname()[:2]
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End it: connections are refused from now on, open ones are closed."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(2)
        self.hang_up()

    def hang_up(self) -> None:
        """Close all connections, as a restarting server does."""
        for end in list(self._open):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.stop()

    def _accept(self) -> None:
        while True:
            try:
                stream, _ = self._listener.accept()
            except OSError:
                return
            # Whoever wraps the stream in TLS takes it away; this one stays.
            end = stream.dup()
            self._open.add(end)
            self.connections += 1
            serve = threading.Thread(target=self._serve, args=(stream, end))
            serve.daemon = True
            serve.start()

    def _serve(self, stream: socket.socket, end: socket.socket) -> None:
        with end, stream:
            with contextlib.suppress(OSError):
                self._talk_on(stream)
            self._open.discard(end)
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
