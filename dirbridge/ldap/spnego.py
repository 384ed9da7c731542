"""The GSS-SPNEGO bind (RFC 4178, MS-ADTS 5.1.1.1.3): its legs, whoever steps.

Kerberos (`gss`) and NTLM (`ntlm`) stand behind one interface. Which of them is used is
settled before anything is sent and never changed on the way: a second try by the other
one would count a wrong password twice.
"""

from __future__ import annotations

from typing import Protocol

from dirbridge.errors import Unreachable, Unsupported
from dirbridge.ldap.sealed import Seal
from dirbridge.ldap.transport import Transport, Unanswered
from dirbridge.protocols.ldap_messages import Result

MECHANISM = "GSS-SPNEGO"

GOES_ON, SUCCESS = 14, 0
"""saslBindInProgress and success (RFC 4511 appendix A)."""

MAX_LEGS = 8
"""Kerberos needs one leg, NTLM two; a server that wants more is none."""


class ExchangeFailed(Exception):
    """The server's token is not what a server with the right key would send."""


class NotSealed(ExchangeFailed):
    """The server would not protect what follows as it was asked to."""


class Initiator(Seal, Protocol):
    """Our side of an exchange, and the seal on what follows."""

    @property
    def counted(self) -> bool:
        """Whether what it sends next is a try that the server may count."""
        ...

    @property
    def complete(self) -> bool:
        """Whether nothing more is to be exchanged."""
        ...

    @property
    def proven(self) -> bool:
        """Whether the server proved itself and agreed to all that was asked for."""
        ...

    def step(self, token: bytes | None) -> bytes | None:
        """Take the server's token, None at first, and return ours, None for none.

        Raises:
            ExchangeFailed: It cannot come from the server that is meant.
        """
        ...


def negotiate(transport: Transport, initiator: Initiator) -> Result:
    """Bind by an exchange, and return the result, whatever its code.

    Success is returned only where the server proved itself and the protection is the
    one that was asked for; the connection cannot be used where it is not.

    Raises:
        Unanswered: A leg that may have been counted is out and no answer came.
        Unreachable: No answer, or nonsense.
        Unsupported: The server did not prove itself, or does not seal.
    """
    token = _stepped(transport, initiator, None)
    for _ in range(MAX_LEGS):
        result = _leg(transport, initiator, token)
        if result.code not in (GOES_ON, SUCCESS):
            return result
        given = result.server_credentials
        if given and not initiator.complete:
            token = _stepped(transport, initiator, given)
        elif result.code == GOES_ON:
            break
        if result.code == SUCCESS:
            if not initiator.proven:
                raise _unsupported(transport, "server-not-proven", "")
            return result
    transport.failure = transport.failure or "protocol"
    raise transport.error("bind", detail="the exchange has no end")


def _leg(transport: Transport, initiator: Initiator, token: bytes | None) -> Result:
    try:
        return transport.sasl_bind(MECHANISM, token)
    except Unreachable as error:
        if initiator.counted:
            raise Unanswered.of(error) from error
        raise


def _stepped(
    transport: Transport, initiator: Initiator, token: bytes | None
) -> bytes | None:
    try:
        return initiator.step(token)
    except NotSealed as error:
        raise _unsupported(transport, "not-sealed", str(error)) from error
    except ExchangeFailed as error:
        raise _unsupported(transport, "server-not-proven", str(error)) from error


def _unsupported(transport: Transport, code: str, detail: str) -> Unsupported:
    transport.failure = transport.failure or code
    return Unsupported(
        domain=transport.domain,
        server=str(transport.endpoint),
        operation="bind",
        code=code,
        detail=detail,
    )
