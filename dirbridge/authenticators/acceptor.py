"""Tickets that clients bring, opened with our keytabs; nobody is asked.

Each realm's keytab is tried by itself, and a ticket counts only for a principal of the
realm whose key opened it: a KDC may say what it likes of people of another realm, which
may be another company's. What a ticket proves is a name; `login.tickets` judges whose.

No replay cache is kept, as it would be a file that each login waits for: what was
recorded can be played again within five minutes only by who can read the mail server's
TLS, and that one would see passwords as well.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from dirbridge.authenticators import kerberos_findings
from dirbridge.authenticators.keytab import read_keytab
from dirbridge.config.settings import DirectoryType
from dirbridge.model.finding import Finding, Outcome
from dirbridge.model.names import RealmName
from dirbridge.protocols import sasl, sasl_gssapi
from dirbridge.protocols.sasl_gssapi import NotAccepted

if TYPE_CHECKING:
    from dirbridge.authenticators.acceptor_gss import Accepting

_SSO = "single-sign-on"
"""What `check` calls it."""


class Acceptor:
    """Makes the machines that take tickets.

    KRB5_CONFIG must be set before the first one is used: libkrb5 reads it then.
    """

    def __init__(self, keytabs: Mapping[RealmName, Path]) -> None:
        """Take the keytab of each realm whose people may come by ticket."""
        self._keytabs = tuple(keytabs.items())

    @property
    def mechanisms(self) -> sasl.Mechanisms:
        """The mechanisms that can be offered; none without a keytab."""
        if not self._keytabs:
            return {}
        return {name: partial(self._machine, name) for name in sasl_gssapi.MECHANISMS}

    def _machine(self, name: str) -> sasl.Machine:
        return sasl_gssapi.MECHANISMS[name](_Context(self._keytabs, name))


def tickets_finding(
    where: str, realm: RealmName | None, keytab: Path | None, kind: DirectoryType
) -> Finding:
    """Say whether people of a directory can come by ticket.

    Args:
        where: The domain.
        realm: Their realm, None where none is known.
        keytab: Its keytab, None where none is named.
        kind: The directory's type, for the command that makes a keytab.
    """
    if realm is None:
        text = "sso = true, but nobody knows the directory's Kerberos realm."
        mend = "Write kerberos_realm into the login table, or take sso out."
        return Finding(where, _SSO, Outcome.FAILED, text, mend, "no-realm")
    found = kerberos_findings.keytab(realm, keytab, None, kind, verify=True)
    if keytab is None or found.outcome is not Outcome.OK:
        return replace(found, what=_SSO)
    keys = (key.service for key in read_keytab(keytab) if key.realm == realm)
    services = ", ".join(dict.fromkeys(keys))
    text = f"Tickets of {realm} for {services} are taken (GSSAPI, GSS-SPNEGO)."
    return Finding(where, _SSO, Outcome.OK, text)


class _Context:
    """The accepting side of a context; see `sasl_gssapi.Context`.

    Which realm's key a ticket needs shows only when it is opened, so all that the
    client has said is said again to the next keytab where one does not fit.
    """

    def __init__(self, keytabs: tuple[tuple[RealmName, Path], ...], name: str) -> None:
        self._left = list(keytabs)
        self._spnego = name == "GSS-SPNEGO"
        self._tokens: list[bytes] = []
        self._why: list[NotAccepted] = []
        self._accepting: Accepting | None = None

    @property
    def complete(self) -> bool:
        """Whether nothing more is to be exchanged."""
        return self._accepting is not None and self._accepting.complete

    def step(self, token: bytes) -> bytes:
        """Take the client's token and return ours."""
        self._tokens.append(token)
        if self._accepting is not None:
            try:
                return self._accepting.step(token)
            except NotAccepted as error:
                self._why.append(error)
        return self._anew()

    def wrap(self, data: bytes) -> bytes:
        """Protect the integrity of some octets."""
        return self._established().wrap(data)

    def unwrap(self, token: bytes) -> bytes:
        """Return what the client wrapped."""
        return self._established().unwrap(token)

    def client(self) -> sasl.Proven:
        """Return whom the ticket is for."""
        return self._established().client()

    def _established(self) -> Accepting:
        if self._accepting is None:
            raise NotAccepted("there is no context yet")
        return self._accepting

    def _anew(self) -> bytes:
        """Say all again to the next keytab that takes it."""
        # Imported here as libkrb5 must not be loaded before it is needed.
        from dirbridge.authenticators.acceptor_gss import (  # noqa: PLC0415
            Accepting,
        )

        while self._left:
            realm, keytab = self._left.pop(0)
            try:
                accepting = Accepting(realm, keytab, spnego=self._spnego)
                answers = [accepting.step(token) for token in self._tokens]
            except NotAccepted as error:
                self._why.append(error)
            else:
                self._accepting = accepting
                return answers[-1]
        self._accepting = None
        raise self._refusal()

    def _refusal(self) -> NotAccepted:
        """Return why no keytab fits.

        One that cannot be read might have, so then it is our fault.
        """
        told = dict.fromkeys(str(error) for error in self._why)
        ours = any(error.ours for error in self._why)
        return NotAccepted("; ".join(told) or "no keytab is left to try", ours=ours)
