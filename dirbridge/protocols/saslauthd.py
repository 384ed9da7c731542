"""The protocol of saslauthd's socket, server side.

Theory. One connection carries one request and one reply:

    request  login password service realm   each a counted string
    reply    one counted string             "OK" or "NO", further text ignored

A counted string is its length as two bytes, big-endian, and that many bytes
(cyrus-sasl 2.1.28, saslauthd/ipc_unix.c and lib/checkpw.c). There is no word for
an outage: libsasl takes everything that is not "OK" for a wrong password, and
only a connection closed without a reply for a temporary failure (facts:
mail-hooks section 3). So closing is an answer too, and it needs no event.

States:    REQUEST --(fourth string)--> REPLY --send--> DONE

Bytes after the fourth string belong to nothing; they are dropped, as the real
saslauthd does. The real one refuses strings of more than 256 bytes; here the
limit is `max_string`, since libsasl itself sends up to 8 KiB.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, auto

from dirbridge.errors import LocalProtocolError, RemoteProtocolError
from dirbridge.model.quick import remaker

MAX_STRING = 8192
"""Longest string of a request, in bytes; a request has four."""


@dataclass(frozen=True, slots=True)
class Request:
    """A client asks whether a password is right.

    Attributes:
        login: The name; libsasl cuts it at the last `@`.
        password: The password; may be empty.
        service: `smtp`, `imap`, ...
        realm: What stood behind the last `@`, or the client's default.
    """

    login: bytes
    password: bytes = field(repr=False)
    service: bytes
    realm: bytes


@dataclass(frozen=True, slots=True)
class Closed:
    """The client has said all it will say."""


@dataclass(frozen=True, slots=True)
class Ok:
    """The password is right."""


@dataclass(frozen=True, slots=True)
class No:
    """The login failed."""


class Need(Enum):
    """What `next_event` gives where there is no event yet."""

    DATA = auto()


Event = Request | Closed
Reply = Ok | No


class _State(Enum):
    REQUEST = auto()
    REPLY = auto()
    DONE = auto()
    ERROR = auto()


_REPLIES: dict[type[Reply], bytes] = {Ok: b"\x00\x02OK", No: b"\x00\x02NO"}
_STRINGS = 4
_HEADER = 2

MAX_REQUEST = _STRINGS * (_HEADER + MAX_STRING)
"""Octets of the longest request."""


_made = remaker(Request)


def whole_request(data: bytes) -> Request | None:
    """Read a request that came in one piece, as nearly all do; None: it did not.

    What is None, or is more than a request may be, is for a `ServerConnection` to read.
    """
    strings, end, whole = [], 0, len(data)
    for _ in range(_STRINGS):
        begin = end + _HEADER
        size = int.from_bytes(data[end:begin])
        end = begin + size
        if end > whole or size > MAX_STRING:
            return None
        strings.append(data[begin:end])
    request: Request = _made(*strings)
    return request


def octets_of(reply: Reply) -> bytes:
    """Write a reply."""
    return _REPLIES[type(reply)]


class ServerConnection:
    """One connection of a client to a saslauthd socket."""

    def __init__(self, *, max_string: int = MAX_STRING) -> None:
        self._max_string = max_string
        self._state = _State.REQUEST
        self._buffer = bytearray()
        self._strings: list[bytes] = []
        self._closed = False

    def receive_data(self, data: bytes) -> None:
        """Take bytes that the client sent; empty bytes mean that it closed.

        Raises:
            LocalProtocolError: There were empty bytes before.
        """
        if self._closed:
            raise LocalProtocolError("data after the end of the connection")
        self._closed = not data
        if self._state is _State.REQUEST:
            self._buffer += data

    def next_event(self) -> Event | Need:
        """Give the next event.

        Raises:
            RemoteProtocolError: The client broke the protocol; the connection
                is of no further use.
        """
        if self._state is _State.ERROR:
            raise RemoteProtocolError("the request was broken before")
        if self._state is _State.REQUEST and self._read_strings():
            self._state = _State.REPLY
            return Request(*self._strings)
        return self._at_end() if self._closed else Need.DATA

    def send(self, reply: Reply) -> bytes:
        """Give the bytes of a reply.

        Raises:
            LocalProtocolError: There is no request, or it has its reply.
        """
        if self._state is not _State.REPLY:
            raise LocalProtocolError("a reply without a request")
        self._state = _State.DONE
        return octets_of(reply)

    def _read_strings(self) -> bool:
        """Take whole strings off the buffer; say whether all are there."""
        buffer, at = bytes(self._buffer), 0
        while len(self._strings) < _STRINGS and at + _HEADER <= len(buffer):
            size = buffer[at] << 8 | buffer[at + 1]
            if size > self._max_string:
                raise self._broken(f"a string of more than {self._max_string} bytes")
            end = at + _HEADER + size
            if end > len(buffer):
                break
            self._strings.append(buffer[at + _HEADER : end])
            at = end
        complete = len(self._strings) == _STRINGS
        del self._buffer[: len(buffer) if complete else at]
        return complete

    def _at_end(self) -> Closed:
        if self._state is _State.REQUEST and (self._buffer or self._strings):
            raise self._broken("the connection ended inside a request")
        return Closed()

    def _broken(self, why: str) -> RemoteProtocolError:
        self._state = _State.ERROR
        self._buffer.clear()
        self._strings.clear()
        return RemoteProtocolError(why)
