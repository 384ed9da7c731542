"""The directories of all domains: connectors, mappings, rules of a sync."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property, partial

from dirbridge.assembly.realms import Realms
from dirbridge.config import krb5_conf
from dirbridge.config.secrets import Secrets
from dirbridge.config.settings import (
    DirectorySettings,
    DirectoryType,
    DomainSettings,
    LoginSettings,
    Settings,
    Take,
)
from dirbridge.connectors.active_directory import active_directory
from dirbridge.connectors.ldap_directory import LdapDirectory
from dirbridge.connectors.open_directory import open_directory
from dirbridge.explain.directory import Directory
from dirbridge.ldap.refusals import Refusals
from dirbridge.ldap.refusals_shared import SharedRefusals
from dirbridge.mapping.profile import Profile
from dirbridge.mapping.rules import Context, Mapper
from dirbridge.model.names import DomainName
from dirbridge.model.secret import Secret
from dirbridge.sync.planner import Policy


@dataclass(frozen=True, slots=True)
class Wired:
    """A configured directory and the connector that was made for it.

    Attributes:
        name: The mail domain.
        domain: Its settings.
        settings: The directory's.
        connector: The way to the directory.
    """

    name: DomainName
    domain: DomainSettings
    settings: DirectorySettings
    connector: LdapDirectory

    @property
    def key(self) -> tuple[DomainName, str]:
        """The domain, and the directory's name in it: an account's source."""
        return self.name, self.settings.name


@dataclass(frozen=True)
class Directories:
    """The directories of one configuration; each part is built when it is needed.

    Attributes:
        settings: The settings of `dirbridge.toml`.
        profiles: The mapping profiles that they name.
        realms: The Kerberos realms, for service accounts with tickets.
        secrets: Reads the service accounts' passwords.
    """

    settings: Settings
    profiles: Mapping[str, Profile]
    realms: Realms
    secrets: Secrets

    @cached_property
    def wired(self) -> tuple[Wired, ...]:
        """All directories in the configuration's order.

        KRB5_CONFIG is set first if a service account needs it; see `Realms.krb5_conf`.
        """
        if krb5_conf.needs_tickets(self.settings):
            _ = self.realms.krb5_conf
        return tuple(
            Wired(name, domain, settings, self._connector(name, domain, settings))
            for name, domain in self.settings.domains.items()
            for settings in domain.directory
        )

    def of(self, name: DomainName) -> tuple[Wired, ...]:
        """Return the directories of one domain, in order."""
        return tuple(one for one in self.wired if one.name == name)

    @cached_property
    def active(self) -> dict[tuple[DomainName, str], LdapDirectory]:
        """The Active Directories among them."""
        return {
            one.key: one.connector
            for one in self.wired
            if one.settings.type is DirectoryType.ACTIVE_DIRECTORY
        }

    @cached_property
    def by_domain(self) -> dict[DomainName, tuple[Directory, ...]]:
        """Each domain's directories, with mapping and rules."""
        return {
            name: tuple(self._directory(one) for one in self.of(name))
            for name in self.settings.domains
        }

    @cached_property
    def served(self) -> frozenset[DomainName]:
        """All mail domains, aliases included."""
        return frozenset(
            one
            for name, domain in self.settings.domains.items()
            for one in (name, *domain.aliases)
        )

    def _directory(self, wired: Wired) -> Directory:
        name, domain, settings = wired.name, wired.domain, wired.settings
        own = frozenset({name, *domain.aliases})
        context = Context(
            domain=name,
            served=self.served,
            own=own if settings.take is Take.BY_ADDRESS else None,
            directory_domain=settings.directory_domain or name,
            nt_domain=nt_domain_of(name, domain) or "",
        )
        policy = Policy(
            domain=name,
            source=wired.connector.source,
            user_limit=domain.user_limit,
            quarantine=timedelta(days=domain.quarantine_days),
            keep_old_address=domain.sync.keep_old_address,
            require_group=settings.require_group,
            addresses=own,
            protected=frozenset(domain.protected),
        )
        mapper = Mapper(self.profiles[settings.profile], context)
        return Directory(
            connector=wired.connector,
            mapping=mapper,
            provenance=mapper.provenance,
            policy=policy,
        )

    def _connector(
        self,
        name: DomainName,
        domain: DomainSettings,
        settings: DirectorySettings,
    ) -> LdapDirectory:
        active = settings.type is DirectoryType.ACTIVE_DIRECTORY
        make = active_directory if active else open_directory
        return make(
            name,
            settings,
            self.profiles[settings.profile],
            partial(self._bind_password, name, settings),
            source=settings.name,
            login=_login_at(name, domain, settings),
            refusals=self.refusals,
        )

    @cached_property
    def refusals(self) -> Refusals:
        """What is known of service accounts; to be made before processes are forked."""
        several = self.settings.serve.processes > 1
        return Refusals(SharedRefusals() if several else None)

    def _bind_password(self, name: DomainName, settings: DirectorySettings) -> Secret:
        if settings.password is None:
            return Secret("")
        where = f'domains."{name}".directory: password'
        return self.secrets.get(settings.password, where)


def nt_domain_of(name: DomainName, domain: DomainSettings) -> str | None:
    """Return the NT domain: configured, else the directory name's first label.

    For mappings, which must not change with what a server says. Logins go by the
    directory's word; see `Names.nt_names`.
    """
    if domain.login.nt_domain:
        return domain.login.nt_domain
    for one in domain.directory:
        if one.type is DirectoryType.ACTIVE_DIRECTORY:
            return proposed_nt_domain(one.directory_domain or name)
    return None


def proposed_nt_domain(dns_name: str) -> str:
    """Return what Windows proposes for an NT domain: `COMPANY` for company.com."""
    return dns_name.partition(".")[0].upper()


def _login_at(
    name: DomainName, domain: DomainSettings, directory: DirectorySettings
) -> LoginSettings:
    """Return the login settings as they hold for one directory, for `check`.

    `kerberos_realm` is that of the first one; others are compared with their own.
    """
    if directory is domain.directory[0]:
        return domain.login
    realm = krb5_conf.realm_of_directory(name, domain, directory)
    return domain.login.model_copy(update={"kerberos_realm": realm})
