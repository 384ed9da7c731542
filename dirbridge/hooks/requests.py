"""Login requests made of what the codecs read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from ipaddress import IPv6Address, ip_address

from dirbridge.model.deadline import Deadline
from dirbridge.model.login import (
    Cause,
    IPAddress,
    LoginRequest,
    Reason,
    Rejected,
    TicketRequest,
)
from dirbridge.model.quick import remaker
from dirbridge.model.secret import Secret
from dirbridge.protocols import dovecot_auth, sasl, saslauthd

_made = remaker(LoginRequest)


def from_saslauthd(
    request: saslauthd.Request,
    *,
    hook: str,
    local_ip: IPAddress | None,
    deadline: Deadline | None = None,
) -> LoginRequest:
    """Make a login request of a saslauthd client's.

    Args:
        request: What the client sent.
        hook: The hook, for the log.
        local_ip: What the settings say, since the protocol carries no address.
        deadline: When the answer must be there, if that is known here.
    """
    return _made(
        rejoined(text(request.login), text(request.realm)),
        Secret(text(request.password)),
        text(request.service),
        hook,
        local_ip,
        None,
        False,
        deadline,
    )


def from_dovecot(
    auth: dovecot_auth.Auth, credentials: sasl.Credentials, *, hook: str
) -> LoginRequest:
    """Make a login request of a Dovecot auth client's exchange."""
    return LoginRequest(
        name=text(credentials.name),
        password=Secret(text(credentials.password)),
        service=auth.fields.get("service", ""),
        hook=hook,
        local_ip=_address(auth.fields, "lip"),
        remote_ip=_address(auth.fields, "rip"),
        secured=auth.secured,
    )


def from_ticket(
    auth: dovecot_auth.Auth, outcome: sasl.Proven | sasl.Failed, *, hook: str
) -> TicketRequest:
    """Make a login request of an exchange about a ticket."""
    request = TicketRequest(
        principal="",
        mechanism=auth.mechanism,
        service=auth.fields.get("service", ""),
        hook=hook,
        local_ip=_address(auth.fields, "lip"),
        remote_ip=_address(auth.fields, "rip"),
        secured=auth.secured,
    )
    match outcome:
        case sasl.Proven(principal, identity, sid):
            return replace(
                request, principal=principal, identity=text(identity), sid=sid
            )
        case sasl.Failed(detail, ours):
            doubt = Cause.CONFIGURATION if ours else Reason.BAD_TICKET
            return replace(request, doubt=doubt, detail=detail)


def from_refused(
    auth: dovecot_auth.Auth, refused: sasl.Refused, *, hook: str
) -> tuple[LoginRequest, Rejected]:
    """Make what is told of an exchange that the hook itself refuses.

    The request holds no password, as nobody is asked.
    """
    unknown = sasl.Credentials(refused.name, b"")
    reason = Reason.OTHER_IDENTITY
    if refused.why == "malformed":
        by_password = auth.mechanism in sasl.MECHANISMS
        reason = Reason.BAD_NAME if by_password else Reason.BAD_TICKET
    detail = f"{auth.mechanism}: {refused.why}"
    return from_dovecot(auth, unknown, hook=hook), Rejected(reason, detail=detail)


def text(data: bytes) -> str:
    """Decode what a person typed: UTF-8, else latin-1 (old mail programs)."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data.decode("latin-1")


def rejoined(login: str, realm: str) -> str:
    """Undo libsasl's cut at the last `@`; a name that is whole stays so."""
    at_realm = f"@{realm}"
    if not realm or login.casefold().endswith(at_realm.casefold()):
        return login
    return login + at_realm


def _address(fields: Mapping[str, str], key: str) -> IPAddress | None:
    try:
        address = ip_address(fields.get(key, ""))
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address
