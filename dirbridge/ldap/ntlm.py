"""Our side of a GSS-SPNEGO exchange by NTLMv2, through pyspnego (MS-NLMP).

Imported only when it is used, as pyspnego loads libkrb5 where it finds it.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass

import spnego
from spnego import ContextReq, NegotiateOptions
from spnego.channel_bindings import GssChannelBindings
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
_BARE = ContextReq.none
_OWN_SPNEGO = NegotiateOptions.use_negotiate
_LAYERS = ContextReq.integrity | ContextReq.confidentiality

_KEY_EXCHANGE = 0x40000000 | 0x8000
"""NTLMSSP_NEGOTIATE_KEY_EXCH and _ALWAYS_SIGN (MS-NLMP 2.2.2.5)."""

# What pyspnego raises over tokens that are none: it unpacks them unchecked. A time
# beyond the year 9999 is an OverflowError.
_NONSENSE = (
    SpnegoError,
    ValueError,
    struct.error,
    LookupError,
    TypeError,
    ArithmeticError,
)


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

    def __init__(
        self,
        username: str,
        password: Secret,
        host: str,
        *,
        seal: bool = True,
        binding: bytes | None = None,
        counting: Callable[[], None] = lambda: None,
    ) -> None:
        r"""Prepare an exchange.

        Args:
            username: `DOMAIN\user`.
            password: Its password.
            host: The server's DNS name.
            seal: Whether what follows the bind is to be sealed; inside TLS never.
            binding: The TLS channel binding, None outside of TLS.
            counting: Called when the answer to the challenge is made, which is what a
                server may count as a try.
        """
        self._seal = seal
        self._context = spnego.client(
            _Password(username, password.reveal()),
            hostname=host,
            service="ldap",
            channel_bindings=_bindings(binding),
            context_req=_SEALED if seal else _BARE,
            # Without SPNEGO's checksum nothing needs a key. Both servers take it bare.
            protocol="negotiate" if seal else "ntlm",
            # pyspnego's own SPNEGO and NTLM, whatever else is installed.
            options=_OWN_SPNEGO if seal else NegotiateOptions.use_ntlm,
        )
        if not seal:
            _without_key_exchange(self._context)
        self._counting = counting
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
        """Whether the exchange ended well.

        What it seals next is the proof; inside TLS the certificate was it.
        """
        return self.complete and (self._seals() or not self._seal)

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
        if self._legs > 1 and self._seal and not self._seals():
            raise NotSealed("its challenge offers no integrity and confidentiality")
        if self.counted:
            self._counting()
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


def _bindings(data: bytes | None) -> GssChannelBindings | None:
    return None if data is None else GssChannelBindings(application_data=data)


def _without_key_exchange(context: spnego.ContextProxy) -> None:
    """Ask for no key: a server refuses layers inside TLS (MS-ADTS 5.1.1.1.2).

    pyspnego 0.12 always asks for one, and then sends a single octet for it, which
    Samba takes for a fault (`data 57`). It has no other way to say so.
    """
    context._context_req &= ~_KEY_EXCHANGE  # noqa: SLF001 - see above


def _words(error: Exception) -> str:
    """Return what is wrong, without a token's contents."""
    return getattr(error, "message", "") or type(error).__name__
