"""A small LDAP server that answers what a test tells it, and counts.

Only for what no real server can be made to say: busy, unavailable, Open
Directory's result codes, a notice of disconnection, silence, garbage.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType

from dirbridge.errors import RemoteProtocolError
from dirbridge.protocols import ber
from dirbridge.protocols import ldap_messages as messages
from testbed.listening import Listening

BIND, UNBIND, SEARCH, EXTENDED = 0x60, 0x42, 0x63, 0x77
_ANSWERS = {BIND: 0x61, SEARCH: 0x65, EXTENDED: 0x78}

Answer = tuple[int, str] | bytes | None
"""A result code with its text; raw octets; or None for closing."""

Tell = Callable[[int, int], Answer]
"""Gets the operation's tag and how many of this kind came before."""


class Responder(Listening):
    """Serves on a loopback port until closed.

    Attributes:
        seen: The tags of the operations that came, in order.
        entry: What each search finds that is answered with success.
    """

    def __init__(
        self,
        tell: Tell = lambda _tag, _before: (0, ""),
        *,
        tls: ssl.SSLContext | None = None,
        address: str = "127.0.0.1",
        greeting: bytes | None = None,
        start_tls: bool = False,
        entry: Mapping[str, Sequence[bytes]] = MappingProxyType({}),
    ) -> None:
        self.entry = entry
        self.tell = tell
        self.seen: list[int] = []
        self._tls = tls
        self._greeting = greeting
        self._start_tls = start_tls
        super().__init__(self._talk, address)

    def _talk(self, stream: socket.socket) -> None:
        with contextlib.suppress(OSError, RemoteProtocolError):
            if self._greeting is not None:
                stream.sendall(self._greeting)
            if self._start_tls:
                number, tag = next(operations(stream))
                self._answer(stream, number, tag)
            if self._tls is not None:
                stream = self._tls.wrap_socket(stream, server_side=True)
            for number, tag in operations(stream):
                if tag == UNBIND:
                    break
                if not self._answer(stream, number, tag):
                    break
        with contextlib.suppress(OSError):
            stream.close()

    def _answer(self, stream: socket.socket, number: int, tag: int) -> bool:
        before = self.seen.count(tag)
        self.seen.append(tag)
        answer = self.tell(tag, before)
        if answer is None:
            return False
        if isinstance(answer, tuple):
            found = tag == SEARCH and answer[0] == 0 and self.entry
            before_it = entry(number, self.entry) if found else b""
            answer = before_it + result(number, _ANSWERS.get(tag, 0x78), *answer)
        stream.sendall(answer)
        return True


def operations(stream: socket.socket) -> Iterator[tuple[int, int]]:
    """Message id and tag of each operation that comes in."""
    data = b""
    while True:
        size = messages.message_size(data) if data else None
        if size is None or len(data) < size:
            more = stream.recv(65536)
            if not more:
                return
            data += more
            continue
        body, _ = ber.take(data[:size], 0x30)
        number, operation = ber.take(body, 0x02)
        yield int.from_bytes(number, "big"), operation[0]
        data = data[size:]


def entry(number: int, attributes: Mapping[str, Sequence[bytes]]) -> bytes:
    """An entry that a search found."""
    values = b"".join(
        ber.tlv(
            0x30,
            ber.tlv(0x04, name.encode())
            + ber.tlv(0x31, b"".join(ber.tlv(0x04, v) for v in found)),
        )
        for name, found in attributes.items()
    )
    body = ber.tlv(0x04, b"cn=somebody") + ber.tlv(0x30, values)
    return messages.message(number, ber.tlv(0x64, body))


def result(number: int, tag: int, code: int, text: str = "") -> bytes:
    """An LDAP result message."""
    body = (
        ber.tlv(0x0A, code.to_bytes(2, "big"))
        + ber.tlv(0x04, b"")
        + ber.tlv(0x04, text.encode())
    )
    return messages.message(number, ber.tlv(tag, body))
