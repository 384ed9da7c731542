r"""The Dovecot auth client protocol 1.2, server side.

Theory. Lines end with LF, their fields are separated by TAB. The server speaks
first and says everything at once, because Exim writes nothing until it has read
DONE, while MECH must come before SPID, because Postfix and Exim take a SPID
without a MECH before it for the other (master) socket:

    S  VERSION 1 2 | MECH name flags ... | SPID pid | CUID n | COOKIE hex | DONE
    C  VERSION 1 n | CPID pid
    C  AUTH id mechanism service=... key=value flag ... [resp=base64]
    S  CONT id base64            C  CONT id base64
    S  OK id user=...        or  S  FAIL id [user=...] [code=...] [reason=...]
    C  CANCEL id                 takes a request back; no reply

Each AUTH opens an exchange under an id of the client's choice. Exchanges do not
know of each other: their replies may come in any order. Whose turn it is:

    turn of     client sends           server sends
    nobody      AUTH -> server         -
    server      CANCEL -> nobody       CONT -> client, OK or FAIL -> nobody
    client      CONT -> server         -
                CANCEL -> nobody

Postfix never takes a request back: where its client gives up in the middle, the
exchange stays open for good (seen with 3.7.11). So beyond `max_exchanges` the
oldest one that waits for its client is forgotten.

What only one person's mail program can have done (base64 that is none, a
response without a request) must not break the connection, on which other people
log in: it comes out as `Unanswerable`, and FAIL is the only reply to it. What
only a broken mail server can have done is a RemoteProtocolError.

There is no word for an outage that Postfix and Exim understand (they tell
every FAIL as a wrong password): closing the connection is the answer then.

Incoming text is TAB-escaped. Outgoing text would have to be, but Postfix and Exim
do not unescape: so control characters are refused in it altogether.

Sources: facts: mail-hooks section 1; Dovecot's auth-protocol.txt; Dovecot 2.3.19
src/auth/auth-client-connection.c; Postfix 3.7.11 xsasl_dovecot_server.c.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, StrEnum, auto

from dirbridge.errors import LocalProtocolError, RemoteProtocolError

MAX_LINE = 16384
"""Longest line of a client, in bytes, as in Dovecot."""

MAX_EXCHANGES = 1024
"""Most exchanges that may be open on one connection."""


class Why(StrEnum):
    """Why a line of the client can only be answered by a failure."""

    INVALID_BASE64 = "invalid-base64"
    UNKNOWN_ID = "unknown-id"


@dataclass(frozen=True, slots=True)
class Version:
    """The client names its protocol version."""

    major: int
    minor: int


@dataclass(frozen=True, slots=True)
class ClientPid:
    """The client names its process."""

    pid: int


@dataclass(frozen=True, slots=True)
class Auth:
    """The client opens an exchange.

    Attributes:
        id: The client's number for it.
        mechanism: SASL mechanism in capitals.
        fields: The `key=value` fields, such as `service`, `lip`, `rip`.
        flags: The bare words, such as `secured`, `nologin`.
        response: Initial response; None where there is none, empty for an
            empty one.
    """

    id: int
    mechanism: str
    fields: Mapping[str, str]
    flags: frozenset[str]
    response: bytes | None = field(repr=False, default=None)

    @property
    def secured(self) -> bool:
        """Whether the mail service says that its client came by TLS."""
        return "secured" in self.flags or "secured" in self.fields


@dataclass(frozen=True, slots=True)
class Continue:
    """The client answers a challenge."""

    id: int
    response: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Cancel:
    """The client takes a request back; the exchange is over or was never there.

    Also told for an exchange that was forgotten because too many are open.
    """

    id: int


@dataclass(frozen=True, slots=True)
class Unanswerable:
    """The client said something to which `Fail` is the only reply."""

    id: int
    why: Why


@dataclass(frozen=True, slots=True)
class Closed:
    """The client closed the connection; all exchanges are over."""


@dataclass(frozen=True, slots=True)
class Greeting:
    """What the server says first.

    Attributes:
        mechanisms: Names in the order in which they are offered.
        spid: Process id of the server.
        cuid: Number of the connection, unlike that of any other.
        cookie: 16 random bytes.
    """

    mechanisms: Sequence[str]
    spid: int
    cuid: int
    cookie: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Challenge:
    """The server wants to hear more."""

    id: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Ok:
    """The login is right.

    Attributes:
        id: The exchange.
        user: The name that the mail service shall use.
    """

    id: int
    user: str


@dataclass(frozen=True, slots=True)
class Fail:
    """The login failed.

    Attributes:
        id: The exchange.
        user: The name, "" to leave it out.
        code: `temp_fail` and the like, "" to leave it out.
        reason: Text for people outside, "" to leave it out.
    """

    id: int
    user: str = ""
    code: str = ""
    reason: str = ""


class Need(Enum):
    """What `next_event` gives where there is no event yet."""

    DATA = auto()


_Exchanged = Auth | Continue | Cancel | Unanswerable
Event = Version | ClientPid | _Exchanged | Closed
Reply = Challenge | Ok | Fail


class _Stage(Enum):
    START = auto()
    VERSIONED = auto()
    READY = auto()
    CLOSED = auto()
    ERROR = auto()


class _Turn(Enum):
    NOBODY = auto()
    SERVER = auto()
    CLIENT = auto()


class ServerConnection:
    """One connection of a mail server to a Dovecot auth socket."""

    def __init__(
        self, *, max_line: int = MAX_LINE, max_exchanges: int = MAX_EXCHANGES
    ) -> None:
        self._max_line = max_line
        self._max_exchanges = max_exchanges
        self._stage = _Stage.START
        self._greeted = False
        self._closed = False
        self._turns: dict[int, _Turn] = {}
        self._forgotten: deque[Cancel] = deque()
        self._buffer = bytearray()
        # Bytes that were searched for LF already: without it a line that comes
        # byte by byte would cost the square of its length.
        self._searched = 0

    def receive_data(self, data: bytes) -> None:
        """Take bytes that the client sent; empty bytes mean that it closed.

        Raises:
            LocalProtocolError: There were empty bytes before.
        """
        if self._closed:
            raise LocalProtocolError("data after the end of the connection")
        self._closed = not data
        self._buffer += data

    def next_event(self) -> Event | Need:
        """Give the next event.

        Raises:
            RemoteProtocolError: The client broke the protocol; the connection
                is of no further use.
        """
        if self._stage is _Stage.ERROR:
            raise RemoteProtocolError("a line was broken before")
        if self._forgotten:
            return self._forgotten.popleft()
        try:
            line = self._take_line()
            if line is not None:
                return self._read(line)
            return self._at_end() if self._closed else Need.DATA
        except RemoteProtocolError:
            self._stage = _Stage.ERROR
            self._buffer.clear()
            raise

    def send(self, event: Greeting | Reply) -> bytes:
        """Give the bytes of an event.

        Raises:
            LocalProtocolError: The event may not be sent now, or holds text that
                the protocol cannot carry.
        """
        if isinstance(event, Greeting):
            return self._greet(event)
        before = self._turns.get(event.id, _Turn.NOBODY)
        after = _SERVER_MOVES.get((before, type(event)))
        if after is None or not self._greeted:
            raise LocalProtocolError("a reply out of turn")
        line = _write(event)
        self._set_turn(event.id, after)
        return line

    def _greet(self, greeting: Greeting) -> bytes:
        if self._greeted:
            raise LocalProtocolError("a second greeting")
        self._greeted = True
        return _write_greeting(greeting)

    def _take_line(self) -> bytes | None:
        end = self._buffer.find(b"\n", self._searched)
        if max(end, 0 if end >= 0 else len(self._buffer)) > self._max_line:
            raise RemoteProtocolError(f"a line of more than {self._max_line} bytes")
        if end < 0:
            self._searched = len(self._buffer)
            return None
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 1]
        self._searched = 0
        return line

    def _at_end(self) -> Closed:
        if self._buffer:
            raise RemoteProtocolError("the connection ended inside a line")
        self._stage = _Stage.CLOSED
        self._turns.clear()
        return Closed()

    def _read(self, line: bytes) -> Event:
        word, *fields = line.split(b"\t")
        stage = _STAGES.get((self._stage, word))
        if stage is None:
            raise RemoteProtocolError("an unknown command, or one out of order")
        self._stage = stage
        event = _READERS[word](fields)
        if isinstance(event, Version | ClientPid):
            return event
        return self._take_turn(word, event)

    def _take_turn(self, word: bytes, event: _Exchanged) -> Event:
        before = self._turns.get(event.id, _Turn.NOBODY)
        after = _CLIENT_MOVES.get((before, word))
        if after is None:
            raise RemoteProtocolError("a command out of turn")
        self._set_turn(event.id, after)
        if len(self._turns) > self._max_exchanges:
            self._forget_oldest()
        if (before, word) == (_Turn.NOBODY, b"CONT"):
            return Unanswerable(event.id, Why.UNKNOWN_ID)
        return event

    def _forget_oldest(self) -> None:
        """Cancel the oldest exchange that waits for the client."""
        waiting = (n for n, turn in self._turns.items() if turn is _Turn.CLIENT)
        oldest = next(waiting, None)
        if oldest is None:
            raise RemoteProtocolError("too many open exchanges")
        del self._turns[oldest]
        self._forgotten.append(Cancel(oldest))

    def _set_turn(self, number: int, turn: _Turn) -> None:
        if turn is _Turn.NOBODY:
            self._turns.pop(number, None)
        else:
            self._turns[number] = turn


# The two tables of the theory above.

_STAGES = {
    (_Stage.START, b"VERSION"): _Stage.VERSIONED,
    (_Stage.VERSIONED, b"CPID"): _Stage.READY,
    (_Stage.READY, b"AUTH"): _Stage.READY,
    (_Stage.READY, b"CONT"): _Stage.READY,
    (_Stage.READY, b"CANCEL"): _Stage.READY,
}

_CLIENT_MOVES = {
    (_Turn.NOBODY, b"AUTH"): _Turn.SERVER,
    (_Turn.CLIENT, b"CONT"): _Turn.SERVER,
    # The id of nobody: the server owes a FAIL.
    (_Turn.NOBODY, b"CONT"): _Turn.SERVER,
    (_Turn.SERVER, b"CANCEL"): _Turn.NOBODY,
    (_Turn.CLIENT, b"CANCEL"): _Turn.NOBODY,
    # It crossed our reply on the way: nothing wrong.
    (_Turn.NOBODY, b"CANCEL"): _Turn.NOBODY,
}

_SERVER_MOVES: Mapping[tuple[_Turn, type[Reply]], _Turn] = {
    (_Turn.SERVER, Challenge): _Turn.CLIENT,
    (_Turn.SERVER, Ok): _Turn.NOBODY,
    (_Turn.SERVER, Fail): _Turn.NOBODY,
}


# Reading: fields of a line to an event.


def _read_version(fields: Sequence[bytes]) -> Version:
    if len(fields) != 2:  # noqa: PLR2004
        raise RemoteProtocolError("VERSION without its two numbers")
    version = Version(_number(fields[0]), _number(fields[1]))
    if version.major != 1:
        raise RemoteProtocolError("another major version than 1")
    return version


def _read_pid(fields: Sequence[bytes]) -> ClientPid:
    return ClientPid(_number(_field(fields, 0)))


def _read_auth(fields: Sequence[bytes]) -> _Exchanged:
    number, mechanism = _number(_field(fields, 0)), _text(_field(fields, 1))
    values: dict[str, str] = {}
    flags: set[str] = set()
    response: bytes | None = None
    for item in fields[2:]:
        # `resp=` holds base64, which may end in "=": only the first one counts.
        key, equals, value = item.partition(b"=")
        if key == b"resp":
            response = value
        elif equals:
            values[_text(key)] = _text(value)
        else:
            flags.add(_text(key))
    try:
        data = None if response is None else _decode(response)
    except binascii.Error:
        return Unanswerable(number, Why.INVALID_BASE64)
    return Auth(number, mechanism.upper(), values, frozenset(flags), data)


def _read_continue(fields: Sequence[bytes]) -> _Exchanged:
    number = _number(_field(fields, 0))
    try:
        return Continue(number, _decode(_field(fields, 1)))
    except binascii.Error:
        return Unanswerable(number, Why.INVALID_BASE64)


def _read_cancel(fields: Sequence[bytes]) -> _Exchanged:
    return Cancel(_number(_field(fields, 0)))


def _field(fields: Sequence[bytes], index: int) -> bytes:
    if index >= len(fields):
        raise RemoteProtocolError("a line without its fields")
    return fields[index]


def _number(text: bytes) -> int:
    if not re.fullmatch(rb"[0-9]{1,10}", text) or int(text) >= 2**32:
        raise RemoteProtocolError("a number that is none")
    return int(text)


def _decode(text: bytes) -> bytes:
    # RFC 4954: "=" stands for an empty initial response.
    return b"" if text == b"=" else base64.b64decode(text, validate=True)


# src/lib/strescape.c of Dovecot: what follows the escape byte stands for itself
# where it is none of these.
_ESCAPED = re.compile(rb"\x01(.)", re.DOTALL)
_UNESCAPES = {b"0": b"\0", b"1": b"\x01", b"t": b"\t", b"n": b"\n", b"r": b"\r"}


def _text(field: bytes) -> str:
    if b"\x01" in field:
        field = _ESCAPED.sub(lambda m: _UNESCAPES.get(m[1], m[1]), field)
    return field.decode("utf-8", "backslashreplace")


_READERS: Mapping[
    bytes, Callable[[Sequence[bytes]], Version | ClientPid | _Exchanged]
] = {
    b"VERSION": _read_version,
    b"CPID": _read_pid,
    b"AUTH": _read_auth,
    b"CONT": _read_continue,
    b"CANCEL": _read_cancel,
}


# Writing: an event to its lines.

_CLEAR = "plaintext"
_FLAGS = {"GSSAPI": "mutual-auth", "GSS-SPNEGO": "mutual-auth"}
"""What mechanisms are, by which mail servers choose those that they offer."""


def _write_greeting(greeting: Greeting) -> bytes:
    lines = [
        "VERSION\t1\t2",
        *(
            f"MECH\t{_plain(name)}\t{_FLAGS.get(name, _CLEAR)}"
            for name in greeting.mechanisms
        ),
        f"SPID\t{greeting.spid}",
        f"CUID\t{greeting.cuid}",
        f"COOKIE\t{greeting.cookie.hex()}",
        "DONE",
    ]
    return "".join(f"{line}\n" for line in lines).encode()


def _write(event: Reply) -> bytes:
    match event:
        case Challenge(number, data):
            return b"CONT\t%d\t%s\n" % (number, base64.b64encode(data))
        case Ok(number, user):
            if not user:
                # Postfix would tell it as a wrong password.
                raise LocalProtocolError("OK without a user")
            return f"OK\t{number}\tuser={_plain(user)}\n".encode()
        case Fail(number, user, code, reason):
            pairs = (("user", user), ("code", code), ("reason", reason))
            fields = "".join(
                f"\t{key}={_plain(value)}" for key, value in pairs if value
            )
            return f"FAIL\t{number}{fields}\n".encode()


def _plain(text: str) -> str:
    """Let text through that needs no escape and has a UTF-8 form."""
    if _CONTROL.search(text):
        raise LocalProtocolError("a control character in a reply")
    return text


_CONTROL = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")
