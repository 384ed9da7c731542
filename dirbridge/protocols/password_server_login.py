"""One login at a Password Server, client side: who it is, then the password.

Theory. After the beginning of `password_server_session`:

    ... its key is the one of authAuthority, or the end; it proves it, or the end
    -> USER slot AUTH mechanism -> AUTH2 response -> its word; with DIGEST-MD5 also
    its proof

Nothing that depends on the password is sent before the server has proved its key.
After AUTH2 a try may have been counted, so `Send.counts` tells whoever drives this
that there is no other server to ask from then on. Within one login only one response
is ever sent; another mechanism is tried only where the first one was refused before
that.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum

from dirbridge.errors import RemoteProtocolError
from dirbridge.protocols import cram_md5, digest_md5, rsa_validate
from dirbridge.protocols import password_server as wire
from dirbridge.protocols.password_server import Family, Refusal, Reply, Word
from dirbridge.protocols.password_server_session import (
    Ask,
    Connection,
    Talk,
    TurnedAway,
    answer,
)
from dirbridge.protocols.rsa_validate import PublicKey

DIGEST_MD5, CRAM_MD5 = "DIGEST-MD5", "CRAM-MD5"

_PROVING = frozenset({DIGEST_MD5})
"""Mechanisms by which the server's word is proven. Of another one the word must come
encrypted: in clear, whoever sits in between makes a yes of a no."""

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


class Doubt(Enum):
    """Why a server is not believed."""

    KEY = "its public key is not the one of authAuthority"
    VALIDATION = "it did not prove that it has the key of authAuthority"
    PROOF = "it did not prove that it knows the user's secret"


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
class NotProven:
    """The server is not the one that it should be, whatever it said."""

    doubt: Doubt


@dataclass(frozen=True, slots=True)
class NoMechanism:
    """The server offers none of the admitted mechanisms.

    Attributes:
        offered: Those that it does offer.
        clear: Whether an admitted one is among them, but not for a session that is not
            encrypted.
    """

    offered: tuple[str, ...]
    clear: bool = False


Outcome = Right | Refused | TurnedAway | NotProven | NoMechanism


class LoginConnection(Connection[Outcome]):
    """One connection for one login."""

    def __init__(self, question: Question) -> None:
        self._question = question
        super().__init__(question.nonce)

    def _conversation(self) -> Talk[Outcome]:
        key = self._question.key
        shown = yield from self._greeted()
        if isinstance(shown, TurnedAway):
            return shown
        if rsa_validate.decode_key(shown.key) != key:
            return NotProven(Doubt.KEY)
        if not (yield from self._validated(key)):
            return NotProven(Doubt.VALIDATION)
        admitted = set(self._question.mechanisms) & set(shown.mechanisms)
        possible = admitted if self.sealed else admitted & _PROVING
        outcome: Outcome = NoMechanism(shown.mechanisms, clear=bool(admitted))
        for mechanism in self._question.mechanisms:
            if mechanism in possible:
                outcome = yield from self._login(mechanism)
                if not _wants_another(outcome):
                    break
        return outcome

    def _login(self, mechanism: str) -> Talk[Outcome]:
        asked = self._question
        reply = yield from _begin(asked.slot, mechanism)
        if not reply.good:
            return Refused(wire.decode_refusal(reply))
        if not reply.data:
            # This is how a server tells that the account is disabled.
            said = reply.word.value.decode()
            return Refused(Refusal(Family.POLICY, _DISABLED, said))
        challenge = wire.decode_hex(reply.data)
        return (yield from _MECHANISMS[mechanism](asked, challenge))


def _begin(slot: str, mechanism: str) -> Talk[Reply]:
    """Name user and mechanism, in two commands where the server knows it so only."""
    reply = yield from answer(Ask(wire.user(slot, mechanism)))
    bare = not reply.good and wire.decode_refusal(reply).bare
    if bare or reply == Reply(Word.OK):
        return (yield from answer(Ask(wire.auth(mechanism))))
    if reply.word is Word.OK:
        raise RemoteProtocolError("a challenge behind the wrong word")
    return reply


def _digest(asked: Question, challenge: bytes) -> Talk[Outcome]:
    response = digest_md5.respond(
        digest_md5.decode_challenge(challenge),
        asked.slot,
        asked.password,
        f"rcmd/{asked.host}",
        asked.cnonce,
    )
    reply = yield from answer(_response(response.text))
    if not reply.good:
        return Refused(wire.decode_refusal(reply), counted=True)
    _demand_ok(reply)
    proof = wire.decode_hex(reply.data)
    proven = digest_md5.proves(proof, response)
    return Right() if proven else NotProven(Doubt.PROOF)


def _cram(asked: Question, challenge: bytes) -> Talk[Outcome]:
    response = cram_md5.respond(challenge, asked.slot, asked.password)
    reply = yield from answer(_response(response))
    if not reply.good:
        return Refused(wire.decode_refusal(reply), counted=True)
    _demand_ok(reply)
    return Right()


_MECHANISMS: Mapping[str, Callable[[Question, bytes], Talk[Outcome]]] = {
    DIGEST_MD5: _digest,
    CRAM_MD5: _cram,
}


def _response(data: bytes) -> Ask:
    command = wire.auth2(data)
    if len(command) > wire.LONGEST_LINE - 2:
        # Cut off there it would look like a wrong password.
        raise RemoteProtocolError("a challenge that makes the response too long")
    return Ask(command, counts=True)


def _demand_ok(reply: Reply) -> None:
    if reply.word is not Word.OK:
        raise RemoteProtocolError("another challenge where the verdict is due")


def _wants_another(outcome: Outcome) -> bool:
    match outcome:
        case Refused(refusal=refusal, counted=False):
            return (refusal.family, refusal.number) in _ANOTHER
        case _:
            return False
