"""The server side of SASL PLAIN (RFC 4616) and LOGIN, as small step machines.

Those of Kerberos tickets stand in `sasl_gssapi`.

A machine is fed one response of the client after the other and says what comes
next: another challenge, the credentials, or that the exchange is refused. It
decides nothing about the credentials: an empty password comes out as one.

LOGIN has no RFC; draft-murchison-sasl-login-00 describes it. An initial response
is the user name, as in Dovecot.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Challenge:
    """The client must say more.

    Attributes:
        data: What to send it, not yet in base64; may be empty.
    """

    data: bytes


@dataclass(frozen=True, slots=True)
class Credentials:
    """The client has said everything.

    Attributes:
        name: The name to log in (authcid).
        password: The password; may be empty or hold any byte.
    """

    name: bytes
    password: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Refused:
    """The exchange cannot succeed, whatever the password.

    Attributes:
        why: Stable word: `malformed` or `authzid`.
        name: Who logs in, where the client said so plainly; b"" else, since what is
            malformed may have the password anywhere.
    """

    why: str
    name: bytes = b""


@dataclass(frozen=True, slots=True)
class Proven:
    """The client has shown a ticket that our keys open.

    Attributes:
        principal: Whom the ticket is for, `name@REALM`.
        identity: Whom the client wants to act for (authzid), b"" for itself.
        sid: The SID of the ticket's account, where the ticket has it.
    """

    principal: str
    identity: bytes = b""
    sid: bytes | None = None


@dataclass(frozen=True, slots=True)
class Failed:
    """No ticket was accepted.

    Attributes:
        detail: Why, in libkrb5's words or ours.
        ours: Whether that is a fault of our set-up, so that nobody can say.
    """

    detail: str
    ours: bool = False


Outcome = Challenge | Credentials | Refused | Proven | Failed


class Machine(Protocol):
    """One exchange of one mechanism."""

    @property
    def works(self) -> bool:
        """Whether a step takes milliseconds, so that it must not hold up others."""
        ...

    def step(self, response: bytes | None) -> Outcome:
        """Take the client's next response.

        Args:
            response: Decoded; None where the client sent no initial response.
        """
        ...


class Plain:
    """PLAIN: authzid NUL authcid NUL password, in one response."""

    works = False

    def __init__(self) -> None:
        self._asked = False

    def step(self, response: bytes | None) -> Outcome:
        """Ask once where there is no initial response, or an empty one.

        Exim sends an empty initial response where its client sent none, and
        `AUTH PLAIN =` arrives as an empty one as well.
        """
        if not response and not self._asked:
            self._asked = True
            return Challenge(b"")
        return _read_plain(response or b"")


class Login:
    """LOGIN: the name and the password, each asked for."""

    works = False

    def __init__(self) -> None:
        self._asked = False
        self._name: bytes | None = None

    def step(self, response: bytes | None) -> Outcome:
        """Ask for the name, then for the password."""
        if not response and not self._asked:
            self._asked = True
            return Challenge(b"Username:")
        if self._name is None:
            self._name = response or b""
            self._asked = True
            return Challenge(b"Password:")
        return Credentials(self._name, response or b"")


Mechanisms = Mapping[str, Callable[[], Machine]]
"""Makes the machine of each mechanism, in the order in which they are offered."""

MECHANISMS: Mechanisms = {"PLAIN": Plain, "LOGIN": Login}
"""The mechanisms that need nothing but a password."""


def _read_plain(message: bytes) -> Outcome:
    # RFC 4616: message = [authzid] UTF8NUL authcid UTF8NUL passwd, where none
    # of the three holds a NUL.
    parts = message.split(b"\0")
    if len(parts) != 3 or not parts[1]:  # noqa: PLR2004
        return Refused("malformed")
    authzid, authcid, password = parts
    # To act as somebody else is a right that nobody has here.
    if authzid not in (b"", authcid):
        return Refused("authzid", authcid if password else b"")
    return Credentials(authcid, password)
