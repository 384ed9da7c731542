"""What login names can mean: the mail domains, their other names, NT domains."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial

from dirbridge.assembly.directories import Directories, Wired, proposed_nt_domain
from dirbridge.config.settings import (
    BoundIpMatch,
    DirectoryType,
    DomainSettings,
    Settings,
)
from dirbridge.connectors.active_directory_checks import nt_domain_at
from dirbridge.connectors.nt_domain import NtDomainName
from dirbridge.login.domains import MailDomain, Resolver
from dirbridge.model.names import DomainName
from dirbridge.store.base import StoreReader


@dataclass(frozen=True)
class Names:
    """The names of all domains.

    Attributes:
        settings: The settings of `dirbridge.toml`.
        directories: Are asked for the names of their NT domains.
    """

    settings: Settings
    directories: Directories

    def resolver(self, store: StoreReader) -> Resolver:
        """Return what finds out who is meant by a name."""
        return Resolver(self.mail_domains, store)

    @cached_property
    def mail_domains(self) -> tuple[MailDomain, ...]:
        """What name resolution knows of each domain."""
        return tuple(
            _mail_domain(
                name,
                domain,
                primary=name == self.settings.primary,
                nt_names=partial(self._nt_names_of, name),
            )
            for name, domain in self.settings.domains.items()
        )

    def _nt_names_of(self, name: DomainName) -> tuple[str, ...]:
        """Return the NT domains of a mail domain; may ask the directories."""
        configured = self.settings.domains[name].login.nt_domain
        wanted = self.nt_names.items()
        told = [known() for (domain, _), known in wanted if domain == name]
        return (*((configured,) if configured else ()), *told)

    @cached_property
    def nt_names(self) -> dict[tuple[DomainName, str], Callable[[], str]]:
        """The name of each Active Directory's NT domain, asked for when it is wanted.

        A configured one is that of the domain's first Active Directory.
        """
        found: dict[tuple[DomainName, str], Callable[[], str]] = {}
        for name, domain in self.settings.domains.items():
            configured = domain.login.nt_domain
            for one in self.directories.of(name):
                if one.settings.type is DirectoryType.ACTIVE_DIRECTORY:
                    found[one.key] = _nt_name(configured, one)
                    configured = None
        return found


def _mail_domain(
    name: DomainName,
    domain: DomainSettings,
    *,
    primary: bool,
    nt_names: Callable[[], tuple[str, ...]],
) -> MailDomain:
    match = domain.bound_ip_match
    return MailDomain(
        name=name,
        primary=primary,
        aliases=domain.aliases,
        directory_domains=tuple(
            one.directory_domain for one in domain.directory if one.directory_domain
        ),
        nt_names=nt_names,
        bound_ip=tuple(domain.bound_ip),
        match_local=match is not BoundIpMatch.REMOTE,
        match_remote=match is not BoundIpMatch.LOCAL,
    )


def _nt_name(configured: str | None, one: Wired) -> Callable[[], str]:
    """Return what gives an NT domain's name: configured, else the directory's word."""
    if configured:
        return lambda: configured
    guess = proposed_nt_domain(one.settings.directory_domain or one.name)
    return NtDomainName(partial(one.connector.ask, nt_domain_at), guess)
