"""Our side of a GSS-SPNEGO exchange by NTLMv2, through pyspnego (MS-NLMP).

Imported only when it is used, as pyspnego loads libkrb5 where it finds it.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

import spnego
from spnego import ContextReq, NegotiateOptions
from spnego.exceptions import SpnegoError

from dirbridge.ldap.sealed import SealBroken
from dirbridge.ldap.spnego import ExchangeFailed, NotSealed
from dirbridge.model.secret import Secret

_SEALED = (
    ContextReq.integrity
    | ContextReq.confidentiality
    | ContextReq.sequence_detect
    | ContextReq.replay_detect
)
_LAYERS = ContextReq.integrity | ContextReq.confidentiality

# What pyspnego raises over tokens that are none: it unpacks them unchecked.
_NONSENSE = (SpnegoError, ValueError, struct.error, LookupError, TypeError)


@dataclass
class _Password(spnego.Password):
    """A password that is good for NTLM only: Kerberos is never tried beside it."""

    @property
    def supported_protocols(self) -> list[str]:
        """The protocols that it may be used for."""
        return ["ntlm"]


class Ntlm:
    """NTLM within SPNEGO; see `spnego.Initiator`.

    NTLM knows no mutual authentication. But the key of the seal is made of the
    password, so only a server that knows it can seal an answer. Nothing before that
    shows it: the checksum over the mechanisms (MS-SPNG 3.1.5.1) is verified where it
    comes, but it may be left out.
    """

    def __init__(self, username: str, password: Secret, host: str) -> None:
        r"""Prepare an exchange.

        Args:
            username: `DOMAIN\user`.
            password: Its password.
            host: The server's DNS name.
        """
        self._context = spnego.client(
            _Password(username, password.reveal()),
            hostname=host,
            service="ldap",
            context_req=_SEALED,
            protocol="negotiate",
            # pyspnego's own SPNEGO, whatever else is installed.
            options=NegotiateOptions.use_negotiate,
        )
        self._legs = 0

    @property
    def counted(self) -> bool:
        """Whether the next token answers the server's challenge."""
        return self._legs > 1

    @property
    def complete(self) -> bool:
        """Whether nothing more is to be exchanged."""
        return self._context.complete

    @property
    def proven(self) -> bool:
        """Whether the exchange ended well; what it seals next is the proof."""
        return self.complete and self._seals()

    def step(self, token: bytes | None) -> bytes | None:
        """Take the server's token, None at first, and return ours.

        Raises:
            NotSealed: The server would not seal; our answer is not sent then.
            ExchangeFailed: The token is no answer of the server that is meant.
        """
        try:
            answer = self._context.step(token)
        except _NONSENSE as error:
            raise ExchangeFailed(_words(error)) from error
        self._legs += 1
        if self._legs > 1 and not self._seals():
            raise NotSealed("its challenge offers no integrity and confidentiality")
        return answer

    def wrap(self, data: bytes) -> bytes:
        """Seal; see `sealed.Seal`."""
        try:
            wrapped = self._context.wrap(data, encrypt=True)
        except _NONSENSE as error:
            raise SealBroken(_words(error)) from error
        if not wrapped.encrypted:
            raise SealBroken("the mechanism does not encrypt")
        return wrapped.data

    def unwrap(self, token: bytes) -> bytes:
        """Unseal; see `sealed.Seal`."""
        try:
            unwrapped = self._context.unwrap(token)
        except _NONSENSE as error:
            raise SealBroken(_words(error)) from error
        if not unwrapped.encrypted:
            raise SealBroken("a message came signed but not encrypted")
        return unwrapped.data

    def _seals(self) -> bool:
        return self._context.context_attr & _LAYERS == _LAYERS


def _words(error: Exception) -> str:
    """Return what is wrong, without a token's contents."""
    return getattr(error, "message", "") or type(error).__name__
