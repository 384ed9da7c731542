"""The server side of SASL GSSAPI (RFC 4752) and GSS-SPNEGO, as step machines.

Theory. Both carry the tokens of a GSSAPI context, the client's first. When the
context is complete,

- GSSAPI goes on: the server sends the protection that it offers, wrapped, and the
  client answers with its choice and with whom it wants to act for, wrapped too. Only
  "no layer" is offered, as TLS protects the connection;
- GSS-SPNEGO is at its end (RFC 4178, MS-ADTS 5.1.1.1.3: it has no layer of its own);
  the client acknowledges a last token of ours by an empty response.

    client                              server
    AUTH GSSAPI                         "" (the client speaks first)
    token (AP-REQ)                      token (AP-REP), where there is one
    ""                                  wrap(01 00 00 00)
    wrap(01 00 00 00 authzid)           -

The context itself is the caller's: it holds keys and does the cryptography.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from enum import Enum, auto
from typing import Protocol

from dirbridge.protocols.sasl import Challenge, Failed, Outcome, Proven, Refused

NO_LAYER = b"\x01\x00\x00\x00"
"""The bit for "no security layer", and no room for messages in one."""

MOST_TOKENS = 8
"""Most tokens of a client: Kerberos needs one, SPNEGO two or three."""

_HEAD = len(NO_LAYER)


class NotAccepted(Exception):
    """A token of the client is not what somebody with a ticket for us sends.

    Attributes:
        ours: Whether our set-up keeps us from knowing.
    """

    def __init__(self, detail: str, *, ours: bool = False) -> None:
        self.ours = ours
        super().__init__(detail)


class Context(Protocol):
    """The accepting side of a GSSAPI context; each call raises `NotAccepted`."""

    @property
    def complete(self) -> bool:
        """Whether nothing more is to be exchanged."""
        ...

    def step(self, token: bytes) -> bytes:
        """Take the client's token and return ours, b"" for none."""
        ...

    def wrap(self, data: bytes) -> bytes:
        """Protect the integrity of some octets."""
        ...

    def unwrap(self, token: bytes) -> bytes:
        """Return what the client wrapped."""
        ...

    def client(self) -> Proven:
        """Return whom the ticket is for, once the context is complete."""
        ...


class _Turn(Enum):
    """What the client's next response is."""

    START = auto()
    TOKEN = auto()
    NOTHING = auto()
    LAYER = auto()


class _Tokens(ABC):
    """What both mechanisms have in common: the tokens of the context."""

    works = True

    def __init__(self, context: Context) -> None:
        self._context = context
        self._turn = _Turn.START
        self._tokens = 0

    def step(self, response: bytes | None) -> Outcome:
        """Take the client's next response; see `sasl.Machine`."""
        if not response and self._turn is _Turn.START:
            self._turn = _Turn.TOKEN
            return Challenge(b"")
        try:
            return self._taken(response or b"")
        except NotAccepted as error:
            return Failed(str(error), ours=error.ours)

    def _taken(self, response: bytes) -> Outcome:
        if self._turn is _Turn.NOTHING:
            return Refused("malformed") if response else self._established()
        self._turn = _Turn.TOKEN
        self._tokens += 1
        if self._tokens > MOST_TOKENS:
            raise NotAccepted("the exchange has no end")
        answer = self._context.step(response)
        if self._context.complete:
            self._turn = _Turn.NOTHING
            return Challenge(answer) if answer else self._established()
        if not answer:
            raise NotAccepted("the exchange stands still")
        return Challenge(answer)

    @abstractmethod
    def _established(self) -> Outcome:
        """Go on when the context is complete and the client knows it."""


class Gssapi(_Tokens):
    """GSSAPI, which is Kerberos V5 by definition (RFC 4752 section 3)."""

    def _established(self) -> Outcome:
        self._turn = _Turn.LAYER
        return Challenge(self._context.wrap(NO_LAYER))

    def _taken(self, response: bytes) -> Outcome:
        if self._turn is not _Turn.LAYER:
            return super()._taken(response)
        choice = self._context.unwrap(response)
        # A single octet of flags, then the client's buffer, which means nothing here.
        if len(choice) < _HEAD or choice[0] != NO_LAYER[0]:
            return Refused("malformed")
        proven = self._context.client()
        return Proven(proven.principal, choice[_HEAD:], proven.sid)


class GssSpnego(_Tokens):
    """GSS-SPNEGO, of which the context lets Kerberos through only."""

    def _established(self) -> Outcome:
        return self._context.client()


MECHANISMS: dict[str, Callable[[Context], Gssapi | GssSpnego]] = {
    "GSSAPI": Gssapi,
    "GSS-SPNEGO": GssSpnego,
}
"""The machines by their mechanisms, in the order in which they are offered."""
