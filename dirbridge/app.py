"""The composition root: the only place that builds objects from configuration."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from dirbridge import assembly
from dirbridge.config import loading
from dirbridge.config.loading import Configuration
from dirbridge.config.secrets import Secrets
from dirbridge.config.settings import Settings
from dirbridge.errors import ConfigError, Problem
from dirbridge.mapping.profile import Profile, load_profile
from dirbridge.model.names import DomainName, fold

if TYPE_CHECKING:
    from dirbridge.assembly.checks import Checks
    from dirbridge.assembly.database import Database
    from dirbridge.assembly.directories import Directories
    from dirbridge.assembly.guards import Guards, Shared
    from dirbridge.assembly.jobs import Jobs
    from dirbridge.assembly.logins import Logins
    from dirbridge.assembly.methods import Methods
    from dirbridge.assembly.names import Names
    from dirbridge.assembly.notices import Notices
    from dirbridge.assembly.realms import Realms
    from dirbridge.assembly.tickets import SingleSignOn
    from dirbridge.assembly.upkeep import Upkeep
    from dirbridge.authenticators.base import Authenticator
    from dirbridge.authenticators.live import Standing
    from dirbridge.config.krb5_conf import Realm
    from dirbridge.explain.directory import Directory
    from dirbridge.explain.service import Explainer
    from dirbridge.ldap.failover import ServerState
    from dirbridge.login.choices import Choices
    from dirbridge.login.domains import MailDomain, Resolver
    from dirbridge.login.service import LoginService, Refresh
    from dirbridge.model.account import Account
    from dirbridge.model.credentials import Credentials
    from dirbridge.model.deadline import Deadline
    from dirbridge.model.finding import Finding
    from dirbridge.model.login import Attempt, Cause, Reason
    from dirbridge.notices.board import Noticeboard
    from dirbridge.protocols import sasl
    from dirbridge.scheduler.housekeeping import Housekeeping
    from dirbridge.scheduler.service import Scheduled
    from dirbridge.store.base import Store, StoreReader
    from dirbridge.store.opening import Upgrade
    from dirbridge.store.pulse import Pulse
    from dirbridge.store.saving import Restored, Saved
    from dirbridge.sync.job import SyncJob
    from dirbridge.sync.limits import Limits


@dataclass(frozen=True, slots=True)
class ServerReport:
    """What is known of one server of one directory of a domain."""

    domain: DomainName
    directory: str
    state: ServerState


@dataclass(frozen=True)
class App:
    """The application of one configuration; each part is built when it is needed.

    Attributes:
        configuration: The loaded configuration.
        profiles: The mapping profiles that it names.
    """

    configuration: Configuration
    profiles: dict[str, Profile]

    @classmethod
    def load(cls, path: Path | None) -> App:
        """Load configuration and mapping profiles.

        Raises:
            ConfigError: Every problem of all files at once.
        """
        configuration = loading.load(path)
        return cls(configuration, _profiles(configuration))

    @property
    def settings(self) -> Settings:
        """The settings of `dirbridge.toml`."""
        return self.configuration.settings

    def domain(self, name: str) -> DomainName:
        """Return a mail domain by what somebody typed.

        Raises:
            ConfigError: It is not served here.
        """
        wanted = DomainName(fold(name))
        if wanted in self.settings.domains:
            return wanted
        served = ", ".join(self.settings.domains)
        text = f'"{name}" is no mail domain of this configuration.'
        then = f"Name one of: {served}."
        raise ConfigError((Problem("unknown-domain", name, text, then),))

    # The local user database.

    def open_store(self, *, as_owner: bool = True) -> AbstractContextManager[Store]:
        """Open the local user database, and close it in the end.

        Args:
            as_owner: Whether a command that root runs becomes the store's owner
                first, so that it meets what the bridge itself would meet.
        """
        return self._database.open(as_owner=as_owner)

    def upgrade_store(self, backup: Path | None = None) -> Upgrade:
        """Bring the local user database to the newest schema.

        Args:
            backup: The folder for the copy, see `store.opening.upgrade_store`.
        """
        return self._database.upgrade(backup)

    def save_store(self, target: Path | None = None) -> Saved:
        """Save the local user database; see `store.saving.save_store`.

        Root stays root, who may write wherever the copy shall go.
        """
        return self._database.save(target)

    def restore_store(self, source: Path) -> Restored:
        """Replace the local user database; see `store.saving.restore_store`."""
        return self._database.restore(source)

    # Directories and their syncs.

    @property
    def realms(self) -> tuple[Realm, ...]:
        """The Kerberos realms that the domains use."""
        return self._realms.in_use

    @property
    def directories(self) -> dict[DomainName, tuple[Directory, ...]]:
        """Each domain's directories, with mapping and rules."""
        return self._directories.by_domain

    def servers(self) -> tuple[ServerReport, ...]:
        """Return what this process knows of each directory server by now."""
        return tuple(
            ServerReport(one.name, one.connector.source, state)
            for one in self._directories.wired
            for state in one.connector.states()
        )

    def jobs(self, store: Store, domain: str | None = None) -> tuple[SyncJob, ...]:
        """Return the sync jobs of one domain, or of all.

        Raises:
            ConfigError: The domain is not served here.
        """
        wanted = self.settings.domains if domain is None else (self.domain(domain),)
        return self._jobs.of(wanted, store)

    def limits(self, name: DomainName) -> Limits:
        """Return what one run of a domain may take away."""
        return self._jobs.limits(name)

    # What `serve` does by itself.

    def schedule(self, store: Store) -> tuple[Scheduled, ...]:
        """Return all jobs with their intervals, for `serve`."""
        return self._upkeep.schedule(self.jobs(store))

    def noticeboard(self, store: Store) -> Noticeboard:
        """Return what keeps notices and tells people."""
        return self._notices.noticeboard(store)

    def housekeeping(self, store: Store) -> Housekeeping:
        """Return what forgets what is old, for `serve`."""
        return self._upkeep.housekeeping(store)

    # Logins.

    @property
    def mail_domains(self) -> tuple[MailDomain, ...]:
        """What name resolution knows of each domain."""
        return self._names.mail_domains

    def resolver(self, store: StoreReader) -> Resolver:
        """Return what finds out who is meant by a name."""
        return self._names.resolver(store)

    @property
    def methods(self) -> dict[tuple[DomainName, str], tuple[Authenticator, ...]]:
        """Each directory's authenticators in the order in which they are asked.

        KRB5_CONFIG is set first; see `Realms.krb5_conf`.
        """
        return self._methods.by_directory

    def methods_of(self, account: Account) -> tuple[Authenticator, ...]:
        """Return the authenticators of an account's domain, in order."""
        return self._methods.of(account)

    def method_of(self, account: Account, name: str) -> Authenticator:
        """Return what checks an account's password by one method.

        Its domain need not have it; where the directory has none such, it says so.
        """
        return self._methods.of_choice(account, name)

    def choices(self, credentials: Callable[[Account], Credentials]) -> Choices:
        """Return what gives an account's authenticators.

        Args:
            credentials: The store's way to what an account's logins may use.
        """
        return self._methods.choices(credentials)

    def look(self, account: Account, deadline: Deadline) -> Standing | Reason | Cause:
        """Read an account's entry now; see `authenticators.live.Look`."""
        return self._methods.look(account, deadline)

    @property
    def mechanisms(self) -> sasl.Mechanisms:
        """The SASL mechanisms that hooks offer, those of tickets where they are set up.

        KRB5_CONFIG is set first; see `Realms.krb5_conf`.
        """
        return self._tickets.mechanisms

    def login_service(
        self,
        store: Store,
        attempted: Callable[[Attempt], None] = lambda _one: None,
        refresh: Refresh = lambda _domains, _deadline: None,
        pulse: Pulse | None = None,
    ) -> LoginService:
        """Return what answers logins.

        Args:
            store: The local user database.
            attempted: Told each attempt; must not block.
            refresh: Brings domains up to date for a name that nobody has.
            pulse: The store's; without it nothing is kept in memory.
        """
        return self._logins.service(store, attempted, refresh, pulse)

    def share(self) -> None:
        """Make what all processes of a bridge have in common.

        To be called before they are forked. It begins no thread, and opens neither
        the database nor a way to a directory.
        """
        _ = self._shared, self._directories.refusals

    def explainer(self, store: StoreReader) -> Explainer:
        """Return what explains logins."""
        return self._logins.explainer(store)

    def findings(self) -> list[Finding]:
        """Try everything: files, each directory's servers, each login method.

        Root becomes the store's owner first, so that it meets what the bridge meets.
        """
        return self._checks.findings()

    # The parts; the first use of each imports what it is made of.

    @cached_property
    def _secrets(self) -> Secrets:
        return Secrets()

    @cached_property
    def _database(self) -> Database:
        return assembly.database.Database(self.settings, self._secrets)

    @cached_property
    def _realms(self) -> Realms:
        return assembly.realms.Realms(self.configuration)

    @cached_property
    def _directories(self) -> Directories:
        return assembly.directories.Directories(
            self.settings, self.profiles, self._realms, self._secrets
        )

    @cached_property
    def _jobs(self) -> Jobs:
        return assembly.jobs.Jobs(self.settings, self._directories)

    @cached_property
    def _upkeep(self) -> Upkeep:
        return assembly.upkeep.Upkeep(self.settings)

    @cached_property
    def _notices(self) -> Notices:
        return assembly.notices.Notices(self.settings, self._secrets)

    @cached_property
    def _names(self) -> Names:
        return assembly.names.Names(self.settings, self._directories)

    @cached_property
    def _methods(self) -> Methods:
        return assembly.methods.Methods(self._directories, self._realms, self._names)

    @cached_property
    def _guards(self) -> Guards:
        return assembly.guards.Guards(
            self.settings, self._directories, self._methods.look, self._shared
        )

    @cached_property
    def _shared(self) -> Shared:
        return assembly.guards.Shared.among(self.settings.serve.processes)

    @cached_property
    def _tickets(self) -> SingleSignOn:
        return assembly.tickets.SingleSignOn(self.settings, self._realms)

    @cached_property
    def _logins(self) -> Logins:
        return assembly.logins.Logins(
            self.settings,
            self._directories,
            self._names,
            self._methods,
            self._guards,
            self._tickets,
        )

    @cached_property
    def _checks(self) -> Checks:
        return assembly.checks.Checks(
            self.configuration,
            self._database,
            self._realms,
            self._directories,
            self._methods,
            self._tickets,
            self._notices,
        )


def _profiles(configuration: Configuration) -> dict[str, Profile]:
    """Load every mapping profile that a directory names."""
    names = {
        directory.profile
        for domain in configuration.settings.domains.values()
        for directory in domain.directory
    }
    found: dict[str, Profile] = {}
    problems: list[Problem] = []
    for name in sorted(names):
        try:
            found[name] = load_profile(name, configuration.beside)
        except ConfigError as error:
            problems.extend(error.problems)
    if problems:
        raise ConfigError(tuple(problems))
    return found
