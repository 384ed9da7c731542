"""One login at a Password Server, client side: who it is, then the password.

Theory. The conversation is a generator that is given answers and gives commands:

    greeting -> LIST RSAPUBLIC -> its key is the one of authAuthority, or the end
    -> RSAVALIDATE: it has the private key, or the end -> USER slot AUTH mechanism
    -> AUTH2 response -> its word; with DIGEST-MD5 also its proof

Nothing that depends on the password is sent before the server has proved its key: the
server itself does not ask for that, but without it any host can answer `+OK` (facts:
open-directory 4.2). After AUTH2 a try may have been counted, so `Send.counts` tells
whoever drives this that there is no other server to ask from then on. Within one
login only one response is ever sent; another mechanism is tried only where the first
one was refused before that.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, field
from enum import Enum, auto

from dirbridge.errors import LocalProtocolError, RemoteProtocolError
from dirbridge.protocols import cast5_cbc, cram_md5, digest_md5, rsa_validate
from dirbridge.protocols import password_server as wire
from dirbridge.protocols.cast5_cbc import Cast5
from dirbridge.protocols.password_server import Family, Refusal, Reply, Word
from dirbridge.protocols.rsa_validate import Proof, PublicKey

DIGEST_MD5, CRAM_MD5 = "DIGEST-MD5", "CRAM-MD5"

_ANOTHER = frozenset(
    {(Family.POLICY, -13)} | {(Family.SASL, n) for n in (-4, -15, -16, -17, -20, -26)}
)
"""Refusals of a mechanism: too weak, switched off, or no secret is kept for it."""

_DISABLED = -2


@dataclass(frozen=True, slots=True)
class Question:
    """What is to be asked.

    Attributes:
        slot: The user's slot, as authAuthority has it.
        password: What was typed.
        key: The key that the server must have.
        host: How the server was reached, for DIGEST-MD5.
        nonce: A random number of 256 bits in decimal digits, for this login only.
        cnonce: Random text for this login only.
        mechanisms: Those that are admitted, best first.
    """

    slot: str
    password: str = field(repr=False)
    key: PublicKey
    host: str
    nonce: bytes = field(repr=False)
    cnonce: str = field(repr=False)
    mechanisms: tuple[str, ...] = (DIGEST_MD5,)


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


class Doubt(Enum):
    """Why a server is not believed."""

    KEY = "its public key is not the one of authAuthority"
    VALIDATION = "it did not prove that it has the key of authAuthority"
    SECRET = "it did not prove that it knows the password's secret"  # noqa: S105 - words


@dataclass(frozen=True, slots=True)
class Right:
    """The password is right."""


@dataclass(frozen=True, slots=True)
class Refused:
    """The server said no.

    Attributes:
        refusal: Its words.
        counted: Whether that was after the response to its challenge.
    """

    refusal: Refusal
    counted: bool = False


@dataclass(frozen=True, slots=True)
class TurnedAway:
    """The server said no before there was a word of the user."""

    refusal: Refusal


@dataclass(frozen=True, slots=True)
class NotProven:
    """The server is not the one that it should be, whatever it said."""

    doubt: Doubt


@dataclass(frozen=True, slots=True)
class NoMechanism:
    """The server offers none of the admitted mechanisms."""

    offered: tuple[str, ...]


Outcome = Right | Refused | TurnedAway | NotProven | NoMechanism
Event = Send | Outcome


@dataclass(frozen=True, slots=True)
class _Ask:
    """What the conversation wants: a command sent, or None, and an answer."""

    command: bytes | None = field(default=None, repr=False)
    counts: bool = False
    perhaps: bool = False


_Talk = Generator[_Ask, Reply | None, Outcome]
_Step = Generator[_Ask, Reply | None, Reply]


class LoginConnection:
    """One connection for one login; see `wire` for its lines.

    Attributes:
        version: What the server says it is, "" before its greeting.
        sealed: Whether the session is encrypted.
    """

    def __init__(self, question: Question) -> None:
        self._question = question
        self._lines = wire.Lines()
        self._talk = self._conversation()
        self._events: list[Event] = []
        self._perhaps = self._closed = self._ended = False
        self._key_comes_late = False
        self.version = ""
        self._give(None)

    @property
    def sealed(self) -> bool:
        """Whether the session is encrypted by now."""
        return self._lines.sealed

    def receive_data(self, data: bytes) -> None:
        """Take octets that the server sent; empty ones mean that it closed."""
        self._closed |= not data
        self._lines.receive_data(data)

    def next_event(self) -> Event | Need:
        """Give the next event; after an outcome there is none.

        Raises:
            RemoteProtocolError: The server broke the protocol, or closed; the
                connection is of no further use.
            LocalProtocolError: The slot cannot be sent.
        """
        if self._events:
            return self._events.pop(0)
        if self._ended:
            return Need.DATA
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

    def _conversation(self) -> _Talk:
        greeting = yield from _answer(_Ask())
        if not greeting.good:
            return TurnedAway(wire.decode_refusal(greeting))
        self.version = wire.decode_version(greeting.data)
        listed = yield from _answer(_Ask(b"LIST RSAPUBLIC"))
        if not listed.good:
            return TurnedAway(wire.decode_refusal(listed))
        offered = wire.decode_mechanisms(listed.data)
        shown = yield from self._public_key()
        if not shown.good:
            return TurnedAway(wire.decode_refusal(shown))
        if rsa_validate.decode_key(shown.data) != self._question.key:
            return NotProven(Doubt.KEY)
        if not (yield from self._validated()):
            return NotProven(Doubt.VALIDATION)
        usable = [each for each in self._question.mechanisms if each in offered]
        outcome: Outcome = NoMechanism(offered)
        for mechanism in usable:
            outcome = yield from self._login(mechanism)
            if not _wants_another(outcome):
                break
        return outcome

    def _public_key(self) -> _Step:
        """Read the second line of LIST; very old servers want to be asked for it."""
        reply = yield _Ask(perhaps=True)
        if reply is not None:
            return reply
        self._key_comes_late = True
        return (yield from _answer(_Ask(b"RSAPUBLIC")))

    def _validated(self) -> Generator[_Ask, Reply | None, bool]:
        nonce = self._question.nonce
        data = rsa_validate.question(
            self._question.key, nonce, seal=cast5_cbc.is_there()
        )
        reply = yield from _answer(_Ask(b"RSAVALIDATE " + data))
        if self._key_comes_late and b" " in reply.data:
            # What LIST had still to say; the answer has no blank.
            reply = yield from _answer(_Ask())
        self._key_comes_late = False
        if not reply.good:
            return False
        proof = rsa_validate.judge(reply.data, nonce)
        if proof is Proof.SEALED:
            self._lines.seal(Cast5(nonce))
        return proof is not Proof.NONE

    def _login(self, mechanism: str) -> _Talk:
        asked = self._question
        reply = yield from _answer(_Ask(wire.user(asked.slot, mechanism)))
        legacy = reply.good and reply == Reply(Word.OK)
        if legacy or (not reply.good and wire.decode_refusal(reply).bare):
            # Servers before 10.4 take the mechanism in a command of its own.
            reply = yield from _answer(_Ask(wire.auth(mechanism)))
            legacy = True
        if not reply.good:
            return Refused(wire.decode_refusal(reply))
        if reply.word is Word.OK and not legacy:
            raise RemoteProtocolError("a challenge behind the wrong word")
        if not reply.data:
            # This is how a server tells that the account is disabled.
            return Refused(Refusal(Family.POLICY, _DISABLED, reply.word.value.decode()))
        challenge = wire.decode_hex(reply.data)
        return (yield from _MECHANISMS[mechanism](asked, challenge))


def _answer(ask: _Ask) -> _Step:
    reply = yield ask
    if reply is None:
        raise LocalProtocolError("an answer is due")
    return reply


def _digest(asked: Question, challenge: bytes) -> _Talk:
    response = digest_md5.respond(
        digest_md5.decode_challenge(challenge),
        asked.slot,
        asked.password,
        f"rcmd/{asked.host}",
        asked.cnonce,
    )
    reply = yield from _answer(_response(response.text))
    if not reply.good:
        return Refused(wire.decode_refusal(reply), counted=True)
    _demand_ok(reply)
    proof = wire.decode_hex(reply.data)
    proven = digest_md5.proves(proof, response)
    return Right() if proven else NotProven(Doubt.SECRET)


def _cram(asked: Question, challenge: bytes) -> _Talk:
    response = cram_md5.respond(challenge, asked.slot, asked.password)
    reply = yield from _answer(_response(response))
    if not reply.good:
        return Refused(wire.decode_refusal(reply), counted=True)
    _demand_ok(reply)
    return Right()


_MECHANISMS = {DIGEST_MD5: _digest, CRAM_MD5: _cram}


def _response(data: bytes) -> _Ask:
    command = wire.auth2(data)
    if len(command) > wire.LONGEST_LINE - 2:
        # Cut off there it would look like a wrong password.
        raise RemoteProtocolError("a challenge that makes the response too long")
    return _Ask(command, counts=True)


def _demand_ok(reply: Reply) -> None:
    if reply.word is not Word.OK:
        raise RemoteProtocolError("another challenge where the verdict is due")


def _wants_another(outcome: Outcome) -> bool:
    match outcome:
        case Refused(refusal=refusal, counted=False):
            return (refusal.family, refusal.number) in _ANOTHER
        case _:
            return False
