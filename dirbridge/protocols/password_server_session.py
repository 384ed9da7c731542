"""A session with a Password Server, client side, until it has proved its key.

Theory. A conversation is a generator that is given answers and gives commands. Here
is the beginning that all have in common:

    greeting -> LIST RSAPUBLIC (two answers) -> RSAVALIDATE: it has the private key

The server itself asks for none of that, but without it any host can answer `+OK`
(facts: open-directory 4.2).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Generator
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Generic, TypeVar

from dirbridge.errors import LocalProtocolError, RemoteProtocolError
from dirbridge.protocols import cast5_cbc, rsa_validate
from dirbridge.protocols import password_server as wire
from dirbridge.protocols.cast5_cbc import Cast5
from dirbridge.protocols.password_server import Refusal, Reply
from dirbridge.protocols.rsa_validate import Proof, PublicKey

OutcomeT = TypeVar("OutcomeT")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Send:
    """Send these octets.

    Attributes:
        data: The octets.
        counts: Whether the server may count a wrong password from now on.
    """

    data: bytes = field(repr=False)
    counts: bool = False


class Need(Enum):
    """What `next_event` gives where there is no event yet."""

    DATA = auto()
    PERHAPS = auto()
    """More may come or not: after a moment of silence call `nothing_came`."""


@dataclass(frozen=True, slots=True)
class Shown:
    """What a server shows to everybody.

    Attributes:
        mechanisms: The SASL mechanisms that it offers.
        key: Its public-key text.
        version: What it says it is, "" where that is no Password Server.
    """

    mechanisms: tuple[str, ...]
    key: bytes
    version: str = ""


@dataclass(frozen=True, slots=True)
class TurnedAway:
    """The server said no before there was a word of the user."""

    refusal: Refusal


@dataclass(frozen=True, slots=True)
class Ask:
    """What a conversation wants: a command sent, or none, and an answer.

    Attributes:
        command: The command without its line end.
        counts: As for `Send`.
        perhaps: Whether there may be no answer, which is then given as None.
    """

    command: bytes | None = field(default=None, repr=False)
    counts: bool = False
    perhaps: bool = False


Talk = Generator[Ask, Reply | None, R]


def answer(ask: Ask) -> Talk[Reply]:
    """Ask, and return the answer that has to come."""
    reply = yield ask
    if reply is None:
        raise LocalProtocolError("an answer is due")
    return reply


class Connection(ABC, Generic[OutcomeT]):
    """One connection, for one conversation; see `password_server` for its lines."""

    def __init__(self, nonce: bytes) -> None:
        """Begin.

        Args:
            nonce: A random number of 256 bits in decimal digits, for this one only.
        """
        self._nonce = nonce
        self._lines = wire.Lines()
        self._talk = self._conversation()
        self._events: list[Send | OutcomeT] = []
        self._perhaps = self._closed = self._ended = False
        self._key_comes_late = False
        self._give(None)

    @property
    def sealed(self) -> bool:
        """Whether the session is encrypted by now."""
        return self._lines.sealed

    def receive_data(self, data: bytes) -> None:
        """Take octets that the server sent; empty ones mean that it closed."""
        self._closed |= not data
        self._lines.receive_data(data)

    def next_event(self) -> Send | OutcomeT | Need:
        """Give the next event; after an outcome there is none.

        Raises:
            RemoteProtocolError: The server broke the protocol, or closed; the
                connection is of no further use.
            LocalProtocolError: What is to be asked cannot be sent.
        """
        if not self._events and not self._ended:
            try:
                self._read()
            except (RemoteProtocolError, LocalProtocolError):
                self._ended = True
                raise
        if self._events:
            return self._events.pop(0)
        return Need.PERHAPS if self._perhaps else Need.DATA

    def nothing_came(self) -> None:
        """Go on without what might have come.

        Raises:
            LocalProtocolError: Something has to come.
        """
        if not self._perhaps:
            raise LocalProtocolError("an answer is due")
        self._give(None)

    def quit(self) -> bytes:
        """Return the octets that end the session."""
        return self._lines.end(b"QUIT")

    @abstractmethod
    def _conversation(self) -> Talk[OutcomeT]: ...

    def _read(self) -> None:
        """Take answers until there is an event or no whole line is left."""
        while not self._events:
            line = self._lines.take()
            if line is None:
                break
            self._give(wire.decode_reply(line))
        if self._closed and not self._events:
            raise RemoteProtocolError("the server closed the connection")

    def _give(self, reply: Reply | None) -> None:
        """Go on to the next command or the outcome."""
        try:
            ask = self._talk.send(reply)
        except StopIteration as end:
            self._ended, self._perhaps = True, False
            self._events.append(end.value)
            return
        self._perhaps = ask.perhaps
        if ask.command is None:
            return
        if self._lines.waiting and not self._key_comes_late:
            raise RemoteProtocolError("an answer before its question")
        self._events.append(Send(self._lines.end(ask.command), ask.counts))

    def _greeted(self) -> Talk[Shown | TurnedAway]:
        """Read the greeting, then what the server offers and its key."""
        greeting = yield from answer(Ask())
        if not greeting.good:
            return TurnedAway(wire.decode_refusal(greeting))
        listed = yield from answer(Ask(b"LIST RSAPUBLIC"))
        if not listed.good:
            return TurnedAway(wire.decode_refusal(listed))
        mechanisms = wire.decode_mechanisms(listed.data)
        key = yield from self._public_key()
        if not key.good:
            return TurnedAway(wire.decode_refusal(key))
        return Shown(mechanisms, key.data, wire.decode_version(greeting.data))

    def _public_key(self) -> Talk[Reply]:
        """Read the second line of LIST; very old servers want to be asked for it."""
        reply = yield Ask(perhaps=True)
        if reply is not None:
            return reply
        self._key_comes_late = True
        return (yield from answer(Ask(b"RSAPUBLIC")))

    def _validated(self, key: PublicKey) -> Talk[bool]:
        """Let the server prove a key, and encrypt the session where it can do so."""
        data = rsa_validate.question(key, self._nonce, seal=cast5_cbc.is_there())
        reply = yield from answer(Ask(b"RSAVALIDATE " + data))
        if self._key_comes_late and b" " in reply.data:
            # What LIST had still to say; the answer has no blank.
            reply = yield from answer(Ask())
        self._key_comes_late = False
        if not reply.good:
            return False
        proof = rsa_validate.judge(reply.data, self._nonce)
        if proof is Proof.SEALED:
            self._lines.seal(Cast5(self._nonce))
        return proof is not Proof.NONE


@dataclass(frozen=True, slots=True)
class Examined:
    """What was seen of a server that nobody logged in to.

    Attributes:
        shown: What it shows to everybody.
        proven: Whether it has the private key of the key that it shows.
        sealed: Whether it encrypts the session.
    """

    shown: Shown
    proven: bool
    sealed: bool


class Examination(Connection[Examined | TurnedAway]):
    """Looks at a server, without a user."""

    def _conversation(self) -> Talk[Examined | TurnedAway]:
        shown = yield from self._greeted()
        if isinstance(shown, TurnedAway):
            return shown
        key = rsa_validate.decode_key(shown.key)
        proven = yield from self._validated(key)
        return Examined(shown, proven, self.sealed)
