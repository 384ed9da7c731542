"""A stream on which every message is sealed, under the same `Transport`.

After a GSS-SPNEGO bind that negotiated confidentiality, all that is sent is wrapped
and all that comes is unwrapped (RFC 4422 section 3.7). Who sends and receives LDAP
messages above does not notice.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable
from typing import Protocol

from dirbridge.errors import RemoteProtocolError
from dirbridge.protocols.sasl_layer import Frames, frame

CHUNK = 64 * 1024
"""Most octets to receive or to wrap at once; what is sent larger is cut."""


class Seal(Protocol):
    """The two directions of an established security context."""

    def wrap(self, data: bytes) -> bytes:
        """Return a token that holds `data`, unreadable and unchangeable.

        Raises:
            SealBroken: It cannot be sealed, as where a ticket has come to its end.
        """
        ...

    def unwrap(self, token: bytes) -> bytes:
        """Return what a token of the peer holds.

        Raises:
            SealBroken: It was changed, repeated, left out before, or is not sealed.
        """
        ...


class SealBroken(ConnectionError):
    """What came is not what the peer sealed, or cannot be.

    Attributes:
        code: The code of the `Unreachable` that it becomes.
    """

    def __init__(self, text: str, code: str = "seal-broken") -> None:
        self.code = code
        super().__init__(text)


class SealedStream:
    """Seals what passes over a connected socket."""

    def __init__(self, sock: socket.socket, seal: Seal) -> None:
        self._socket = sock
        self._seal = seal
        self._frames = Frames()
        self._clear = b""

    def sendall(self, data: bytes) -> None:
        """Seal and send all of it; the socket's time-out holds for each piece.

        Raises:
            SealBroken: Nothing can be sealed any more; the stream is closed.
            OSError: It failed or was too late.
        """
        for at in range(0, len(data), CHUNK):
            token = self._whole(self._seal.wrap, data[at : at + CHUNK])
            self._socket.sendall(frame(token))

    def recv(self, size: int, left: Callable[[], float]) -> bytes:
        """Receive up to `size` octets, none where the peer closed between messages.

        Args:
            size: Most octets to return.
            left: Gives the seconds that are left for all of it, or raises.

        Raises:
            SealBroken: The stream cannot be trusted from here on; it is closed.
            OSError: It failed or was too late.
        """
        while not self._clear:
            token = self._next(left)
            if token is None:
                return b""
            self._clear = self._whole(self._seal.unwrap, token)
        data, self._clear = self._clear[:size], self._clear[size:]
        return data

    def pending(self) -> bool:
        """Whether something was received and not yet returned."""
        return bool(self._clear or self._frames)

    def _next(self, left: Callable[[], float]) -> bytes | None:
        try:
            while (missing := self._frames.missing()) > 0:
                self._socket.settimeout(left())
                data = self._socket.recv(max(missing, CHUNK))
                if not data and self._frames:
                    raise self._broken("the server closed in the middle of a message")
                if not data:
                    return None
                self._frames.receive_data(data)
        except RemoteProtocolError as error:
            raise self._broken(str(error), "protocol") from error
        return self._frames.take()

    def _whole(self, change: Callable[[bytes], bytes], data: bytes) -> bytes:
        try:
            return change(data)
        except SealBroken:
            self._close()
            raise

    def _broken(self, text: str, code: str = "closed") -> SealBroken:
        self._close()
        return SealBroken(text, code)

    def _close(self) -> None:
        """Let nobody read on behind a broken seal."""
        self._clear = b""
        self._frames = Frames()
        with contextlib.suppress(OSError):
            self._socket.close()
