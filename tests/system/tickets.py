"""A client that comes with a Kerberos ticket, by SASL GSSAPI or GSS-SPNEGO."""

from __future__ import annotations

import base64
import smtplib
from collections.abc import Callable

import gssapi
import gssapi.raw

from testbed.postfix import split

KERBEROS = gssapi.MechType.kerberos
MECHANISMS = {
    "GSSAPI": KERBEROS,
    "GSS-SPNEGO": gssapi.OID.from_int_seq("1.3.6.1.5.5.2"),
}
PRINCIPAL = gssapi.NameType.kerberos_principal
NO_LAYER = b"\x01\x00\x00\x00"

Ask = Callable[[bytes | None], bytes | None]
"""Sends a response, None to begin; gives the challenge, None at the end."""


class Ticket:
    """Somebody's ticket for the mail server, and the exchange by it.

    KRB5_CONFIG must name the bed's file. The first token is made at once, so that the
    KDC is needed no more.
    """

    def __init__(
        self,
        principal: str,
        password: str,
        mechanism: str = "GSSAPI",
        *,
        service: str = "smtp/mail.example.com",
        identity: bytes = b"",
    ) -> None:
        realm = principal.rpartition("@")[2]
        oid = MECHANISMS[mechanism]
        acquired = gssapi.raw.acquire_cred_with_password(
            gssapi.Name(principal, PRINCIPAL),
            password.encode(),
            usage="initiate",
            mechs=[oid],
        )
        self.mechanism = mechanism
        self._identity = identity
        self._context = gssapi.SecurityContext(
            name=gssapi.Name(f"{service}@{realm}", PRINCIPAL),
            creds=gssapi.Credentials(acquired.creds),
            usage="initiate",
            mech=oid,
            flags=gssapi.RequirementFlag.mutual_authentication,
        )
        self.first: bytes = self._context.step()
        self._begun = False

    def respond(self, challenge: bytes) -> bytes:
        """The response to a challenge."""
        if not self._begun:
            self._begun = True
            return self.first
        if not self._context.complete:
            return self._context.step(challenge) or b""
        offered = self._context.unwrap(challenge).message
        assert offered == NO_LAYER
        return self._context.wrap(NO_LAYER + self._identity, False).message

    def use(self, ask: Ask) -> None:
        """Go through the exchange to its end."""
        challenge = ask(None)
        while challenge is not None:
            challenge = ask(self.respond(challenge))


def smtp_ticket(address: str, ticket: Ticket) -> int:
    """Log in once through a real mail server, and give its reply code."""
    with smtplib.SMTP(
        *split(address), local_hostname="client.example.com", timeout=30
    ) as client:
        client.ehlo()
        assert ticket.mechanism in client.esmtp_features["auth"].split()
        codes: list[int] = []

        def ask(response: bytes | None) -> bytes | None:
            words = f"AUTH {ticket.mechanism}"
            if response is not None:
                words = base64.b64encode(response).decode()
            code, text = client.docmd(words)
            codes.append(code)
            return base64.b64decode(text) if code == 334 else None

        ticket.use(ask)
        return codes[-1]
