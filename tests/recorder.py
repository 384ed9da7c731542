"""A TCP proxy that keeps what crosses it, and can change, swallow or hold it."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable

Pass = Callable[[bytes, int], bytes]
"""Gets what came and how many pieces came before; gives what goes on."""


def unchanged(data: bytes, _before: int) -> bytes:
    return data


class Recorder:
    """Listens beside a server, on its address or another, until closed.

    Attributes:
        port: Where it listens.
        asked: All that clients sent, one piece for each receive.
        answered: All that the server sent.
    """

    def __init__(
        self,
        address: str,
        port: int,
        *,
        listen: str = "",
        there: Pass = unchanged,
        back: Pass = unchanged,
    ) -> None:
        self.asked: list[bytes] = []
        self.answered: list[bytes] = []
        self.there = there
        self.back = back
        self._target = (address, port)
        self._listener = socket.create_server((listen or address, 0))
        self.port: int = self._listener.getsockname()[1]
        self._streams: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def everything(self) -> bytes:
        return b"".join(self.asked) + b"|" + b"".join(self.answered)

    def __enter__(self) -> Recorder:
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for stream in self._streams:
            with contextlib.suppress(OSError):
                stream.shutdown(socket.SHUT_RDWR)
            stream.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.create_connection(self._target)
            for stream in (client, server):
                stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._streams += [client, server]
            self._begin(client, server, self.asked, self.there)
            self._begin(server, client, self.answered, self.back)

    def _begin(
        self, source: socket.socket, sink: socket.socket, kept: list[bytes], by: Pass
    ) -> None:
        def pump() -> None:
            with contextlib.suppress(OSError):
                before = 0
                while data := source.recv(65536):
                    kept.append(data)
                    sink.sendall(by(data, before))
                    before += 1
                sink.shutdown(socket.SHUT_WR)

        threading.Thread(target=pump, daemon=True).start()
