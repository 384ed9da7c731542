r"""Passwords checked by a bind as `DOMAIN\user`, at the NT domain's controllers.

On a connection that is to be sealed the bind is NTLM, which shows nobody the password;
inside TLS it is a simple bind. NTLM inside TLS, tied to the connection by its channel
binding, is there for domains that refuse simple binds, and only where it is asked for:
Windows is giving NTLM up, and it needs a leg more for the same verdict.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from dirbridge.authenticators.ldap_bind import (
    LdapBind,
    Way,
    bind_simply,
    judge_active_directory,
)
from dirbridge.authenticators.own_entry import identify_active_directory
from dirbridge.config.settings import (
    DirectorySettings,
    LoginSettings,
    Method,
    Security,
)
from dirbridge.ldap.failover import Failover
from dirbridge.ldap.proofs import NtlmPassword, channel_binding_of
from dirbridge.ldap.spnego import negotiate
from dirbridge.ldap.transport import Access, Endpoint, Transport
from dirbridge.model.account import Account
from dirbridge.model.deadline import Deadline
from dirbridge.model.finding import Finding, Outcome
from dirbridge.model.names import DomainName
from dirbridge.model.secret import Secret
from dirbridge.protocols.ldap_messages import Result

NameOf = Callable[[], str]
"""Gives the NT domain's name, "" where nobody knows it."""


class NtDomain(LdapBind):
    """The method `nt-domain`; see `authenticators.base`."""

    def __init__(
        self, access: Access, failover: Failover, way: Way, nt_domain: NameOf
    ) -> None:
        super().__init__(access, failover, way)
        self._nt_domain = nt_domain

    def check(self) -> list[Finding]:
        """Say whether binds can be sent, by which name and how."""
        findings = super().check()
        name = self._nt_domain()
        if findings[0].outcome is not Outcome.OK or not name:
            return findings if name else [*findings, _nameless(findings[0].where)]
        how = "simple binds" if self._way.in_clear else "NTLM"
        text = f"Passwords are checked as {name}\\name by {how}."
        return [replace(findings[0], text=text)]


def nt_domain(
    domain: DomainName,
    settings: DirectorySettings,
    login: LoginSettings,
    name: NameOf,
    failover: Failover | None = None,
) -> NtDomain:
    """Build the authenticator from a directory's settings.

    Args:
        domain: The mail domain.
        settings: The directory's table, of an Active Directory.
        login: The domain's login table.
        name: The NT domain's name.
        failover: The connector's, so that both know which server is down.
    """
    access = Access.of(domain, settings)
    endpoints = [Endpoint.of(server, settings.security) for server in settings.servers]
    way = _way(settings.security, login.ntlm, name)
    return NtDomain(access, failover or Failover(domain, endpoints), way, name)


def _way(security: Security, ntlm: bool | None, name: NameOf) -> Way:
    """Return how people are bound: `ntlm` left out means only where nothing else is."""

    def name_of(account: Account) -> str:
        nt_domain, names = name(), account.values.login_names
        return f"{nt_domain}\\{names[0]}" if nt_domain and names else ""

    way = Way(
        method=Method.NT_DOMAIN,
        name_of=name_of,
        judge=judge_active_directory,
        identify=identify_active_directory,
        prove=bind_simply,
    )
    # In clear a server proves itself by the seal alone.
    sealed = security in (Security.SEALED, Security.NONE)
    only = security is Security.SEALED
    if ntlm is False or (ntlm is None and not only):
        return way
    # Who is bound by SASL stays so: a connection serves one login.
    prove = _bind_sealed if sealed else _bind_in_tls
    return replace(way, prove=prove, in_clear=False, keep=0)


def _bind_sealed(
    transport: Transport, name: str, password: Secret, deadline: Deadline
) -> Result:
    """Bind by NTLM, and seal what follows; see `ldap_bind.Prove`."""
    proof = NtlmPassword(name, lambda: password)
    return proof.give(transport, password, deadline)


def _bind_in_tls(
    transport: Transport, name: str, password: Secret, deadline: Deadline
) -> Result:
    """Bind by NTLM, tied to the TLS connection; see `ldap_bind.Prove`."""
    from dirbridge.ldap.ntlm import Ntlm  # noqa: PLC0415 - see its first lines

    initiator = Ntlm(
        name,
        password,
        transport.endpoint.host,
        seal=False,
        binding=channel_binding_of(transport),
        counting=lambda: transport.allow(deadline),
    )
    return negotiate(transport, initiator)


def _nameless(server: str) -> Finding:
    text = "Nobody knows the NT domain's name."
    mend = 'Write nt_domain = "CORP" into the domain\'s login table.'
    return Finding(server, "nt-domain", Outcome.FAILED, text, mend, "no-nt-domain")
