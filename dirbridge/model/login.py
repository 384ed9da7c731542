"""Login requests and the three verdicts."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

from dirbridge.model.deadline import Deadline
from dirbridge.model.secret import Secret

IPAddress = IPv4Address | IPv6Address
IPNetwork = IPv4Network | IPv6Network


class Reason(StrEnum):
    """Why a login is rejected. The outside learns none of them."""

    UNKNOWN = "unknown"
    AMBIGUOUS = "ambiguous"
    BAD_NAME = "bad-name"
    EMPTY_PASSWORD = "empty-password"  # noqa: S105 - a reason, not a password
    BAD_PASSWORD = "bad-password"  # noqa: S105
    WRONG_PASSWORD = "wrong-password"  # noqa: S105
    DISABLED = "disabled"
    DEACTIVATED = "deactivated"
    REMOVED = "removed"
    EXPIRED = "expired"
    LOCKED = "locked"
    REVOKED = "revoked"
    MUST_CHANGE = "must-change"
    PASSWORD_EXPIRED = "password-expired"  # noqa: S105
    LOGON_HOURS = "logon-hours"
    WORKSTATION = "workstation"
    NO_PASSWORD = "no-password"  # noqa: S105
    SMARTCARD = "smartcard"
    APP_PASSWORD = "app-password"  # noqa: S105
    BAD_TICKET = "bad-ticket"
    OTHER_IDENTITY = "other-identity"
    GUARDED = "guarded"
    ADDRESS_GUARDED = "address-guarded"


class Cause(StrEnum):
    """Why nobody can say whether a login is right: never a wrong password."""

    UNREACHABLE = "unreachable"
    TIMEOUT = "timeout"
    BUSY = "busy"
    CONFIGURATION = "configuration"
    OWN_ENTRY = "own-entry"
    CLOCK = "clock"
    KDC_NOT_VERIFIED = "kdc-not-verified"
    SERVER_NOT_VERIFIED = "server-not-verified"
    STORE = "store"
    OVERLOADED = "overloaded"
    INTERNAL = "internal"


AWAY = frozenset({Cause.UNREACHABLE, Cause.TIMEOUT, Cause.BUSY})
"""Causes of which none is a fault of the set-up, or our own: nobody answers."""


@dataclass(frozen=True, slots=True)
class LoginRequest:
    """One login as a hook hands it in.

    Attributes:
        name: What the person typed, decoded, not yet trimmed.
        password: What the person typed.
        service: The mail service: `smtp`, `imap`, ...
        hook: The hook's type and place, for the log.
        local_ip: The address that the client connected to, where known.
        remote_ip: The client's address, where known.
        secured: Whether the mail service says that the client came by TLS.
        deadline: When the mail service must have its answer, where it says so.
    """

    name: str
    password: Secret
    service: str = ""
    hook: str = ""
    local_ip: IPAddress | None = None
    remote_ip: IPAddress | None = None
    secured: bool = False
    deadline: Deadline | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class TicketRequest:
    """A login by a Kerberos ticket, as a hook's SASL exchange has ended.

    The ticket is right, but it outlives a disabling by hours: what it proves is the
    principal only, so the account's state is judged as for a password. Where no ticket
    was accepted, `doubt` says so, and nobody is let in.

    Attributes:
        principal: Whom the ticket is for, `name@REALM`; "" where there is none.
        sid: The SID of the ticket's account, where the ticket has it.
        doubt: Why no ticket was accepted, or None.
        detail: The same in libkrb5's words.
        identity: Whom the client wants to act for, "" for itself (RFC 4752).
        mechanism: The SASL mechanism, `GSSAPI` or `GSS-SPNEGO`.
        service: As for `LoginRequest`, like all that follow.
        hook: The hook's type and place.
        local_ip: The address that the client connected to, where known.
        remote_ip: The client's address, where known.
        secured: Whether the client came by TLS.
        deadline: When the mail service must have its answer.
    """

    principal: str
    identity: str = ""
    mechanism: str = "GSSAPI"
    sid: bytes | None = None
    doubt: Reason | Cause | None = None
    detail: str = ""
    service: str = ""
    hook: str = ""
    local_ip: IPAddress | None = None
    remote_ip: IPAddress | None = None
    secured: bool = False
    deadline: Deadline | None = field(default=None, compare=False)

    @property
    def name(self) -> str:
        """Who it is, as the log and a refusal show it."""
        return self.principal


Question = LoginRequest | TicketRequest
"""What a hook may ask."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """The login is right.

    Attributes:
        user: `mailbox@domain`, the one name that the mail service shall use.
        method: The method that said so.
        server: The server that said so, `local` for a local account.
    """

    user: str
    method: str
    server: str


@dataclass(frozen=True, slots=True)
class Rejected:
    """The login is wrong; somebody who may know said so.

    Attributes:
        reason: Why, for log and explain only.
        user: `mailbox@domain` where the account was found.
        method: The method that said so, "" before one was asked.
        server: The server that said so.
        detail: Its own words, without secrets.
    """

    reason: Reason
    user: str = ""
    method: str = ""
    server: str = ""
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Unavailable:
    """Nobody could be asked, so nobody knows.

    Attributes:
        cause: What is missing.
        user: `mailbox@domain` where the account was found.
        method: The method that was tried last.
        server: The server that was tried last.
        detail: Its own words, without secrets.
        sent: Whether a server may have judged the password, and counted it as a wrong
            one, without that its answer reached us.
        against: What a directory said against the account that was asked as well.
    """

    cause: Cause
    user: str = ""
    method: str = ""
    server: str = ""
    detail: str = ""
    sent: bool = False
    against: Reason | None = None


Verdict = Accepted | Rejected | Unavailable


@dataclass(frozen=True, slots=True)
class Attempt:
    """One login for the attempts log; it holds no password.

    Attributes:
        verdict: What was answered.
        request_name: What was typed, shortened.
        service: The mail service.
        hook: The hook.
        remote_ip: Client address or None.
        local_ip: Address connected to or None.
        milliseconds: How long the answer took.
        times: How many it stands for, that were alike and came at once; the slowest
            of them gives the time.
    """

    verdict: Verdict
    request_name: str
    service: str
    hook: str
    remote_ip: IPAddress | None = field(default=None)
    local_ip: IPAddress | None = field(default=None)
    milliseconds: float = 0.0
    times: int = 1
