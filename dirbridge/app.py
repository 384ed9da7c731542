"""The composition root: the only place that builds objects from configuration."""

from __future__ import annotations

import atexit
import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import cached_property, partial
from pathlib import Path
from socket import gethostname

from dirbridge import __version__
from dirbridge.authenticators.acceptor import Acceptor, tickets_finding
from dirbridge.authenticators.base import Authenticator
from dirbridge.authenticators.kdc_proofs import by_bind
from dirbridge.authenticators.kdc_relay import KdcRelay
from dirbridge.authenticators.kerberos import KerberosAuthenticator
from dirbridge.authenticators.kerberos import Realm as KerberosRealm
from dirbridge.authenticators.ldap_bind import ldap_bind
from dirbridge.authenticators.live import Look, Standing, live_look
from dirbridge.authenticators.local import LocalAuthenticator
from dirbridge.authenticators.missing import MissingMethod
from dirbridge.authenticators.nt_domain import nt_domain
from dirbridge.authenticators.password_server import password_server
from dirbridge.config import krb5_conf, loading
from dirbridge.config.inspection import inspect
from dirbridge.config.krb5_conf import Realm
from dirbridge.config.loading import Configuration
from dirbridge.config.secrets import Secrets, secret_path
from dirbridge.config.settings import (
    BoundIpMatch,
    DirectorySettings,
    DirectoryType,
    DomainSettings,
    LoginSettings,
    Method,
    Security,
    Settings,
    Take,
)
from dirbridge.connectors.active_directory import active_directory
from dirbridge.connectors.active_directory_checks import nt_domain_at
from dirbridge.connectors.examination import empty_findings, foreign_findings
from dirbridge.connectors.ldap_directory import LdapDirectory
from dirbridge.connectors.lockout import lockout_at
from dirbridge.connectors.nt_domain import NtDomainName
from dirbridge.connectors.open_directory import open_directory
from dirbridge.connectors.open_directory_records import password_servers_at
from dirbridge.directory.lockout import Lockout
from dirbridge.errors import ConfigError, DirectoryError, Problem, StoreError
from dirbridge.explain.guarding import Guarding
from dirbridge.explain.service import Directory, Explainer
from dirbridge.ldap.discovery import discovered_kdcs
from dirbridge.ldap.failover import Failover, ServerState
from dirbridge.ldap.refusals import Refusals
from dirbridge.login.app_passwords import AppPasswords
from dirbridge.login.cache import PositiveCache
from dirbridge.login.cache_names import KnownNames
from dirbridge.login.choices import Choices
from dirbridge.login.domains import MailDomain, Resolver
from dirbridge.login.errands import Errands
from dirbridge.login.guard import Guard
from dirbridge.login.guard_addresses import UsualAddresses
from dirbridge.login.guard_budget import Budget, Budgets, Ledger, budget_of
from dirbridge.login.guard_looks import Looks
from dirbridge.login.limits import AddressLimit, AddressLimits
from dirbridge.login.offline import Downs, Offline
from dirbridge.login.pacing import Pacing
from dirbridge.login.service import LoginService, Refresh
from dirbridge.login.stage import Stage
from dirbridge.login.tickets import Place, TicketJudge, Tickets, no_tickets
from dirbridge.mapping.profile import Profile, load_profile
from dirbridge.mapping.rules import Context, Mapper
from dirbridge.model.account import Account
from dirbridge.model.credentials import Credentials
from dirbridge.model.deadline import Deadline
from dirbridge.model.finding import Finding, Outcome
from dirbridge.model.login import Attempt, Cause, IPNetwork, Reason
from dirbridge.model.names import DomainName, RealmName, fold
from dirbridge.model.secret import Secret
from dirbridge.model.sentences import problems_of
from dirbridge.notices.base import Channel
from dirbridge.notices.board import Noticeboard
from dirbridge.notices.mail import Mail
from dirbridge.notices.webhook import Webhook
from dirbridge.protocols import sasl
from dirbridge.scheduler.housekeeping import Housekeeping, Retention
from dirbridge.scheduler.service import Scheduled
from dirbridge.store.base import Store, StoreReader
from dirbridge.store.opening import (
    Owner,
    Upgrade,
    open_store,
    owner_of,
    store_is_there,
    upgrade_store,
)
from dirbridge.store.pulse import Pulse
from dirbridge.store.saving import Restored, Saved, restore_store, save_store
from dirbridge.sync.job import SyncJob
from dirbridge.sync.limits import Limits
from dirbridge.sync.planner import Policy
from dirbridge.sync.protection import idle_names

_A_MOMENT = 2.0
"""Most seconds of a login to ask for a directory's lock-out policy."""

_SMTP = 25
"""SMTP's port."""

_APPLE = frozenset(
    {
        DirectoryType.OPEN_DIRECTORY_KERBEROS,
        DirectoryType.OPEN_DIRECTORY_PASSWORD_SERVER,
    }
)
"""Directories that have Password Servers."""


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

    @cached_property
    def realms(self) -> tuple[Realm, ...]:
        """The Kerberos realms that the domains use."""
        return krb5_conf.realms_in_use(self.configuration)

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

    @contextmanager
    def open_store(self, *, as_owner: bool = True) -> Iterator[Store]:
        """Open the local user database, and close it in the end.

        Args:
            as_owner: Whether a command that root runs becomes the store's owner
                first, so that it meets what the bridge itself would meet.
        """
        if as_owner:
            self._become_owner()
        store = open_store(self.settings.store.url, self._store_password())
        try:
            yield store
        finally:
            store.close()

    def _become_owner(self) -> None:
        """Let root become the store's owner; anybody else stays who they are."""
        owner = owner_of(self.settings.store.url)
        if owner is not None and os.geteuid() == 0 and owner.uid != 0:
            _give_folder(self.settings.serve.run_dir, owner)
            os.setgroups([])
            os.setgid(owner.gid)
            os.setuid(owner.uid)

    def upgrade_store(self, backup: Path | None = None) -> Upgrade:
        """Bring the local user database to the newest schema.

        Args:
            backup: The folder for the copy, see `store.opening.upgrade_store`.
        """
        self._become_owner()
        url = self.settings.store.url
        return upgrade_store(url, self._store_password(), backup)

    def save_store(self, target: Path | None = None) -> Saved:
        """Save the local user database; see `store.saving.save_store`.

        Root stays root, who may write wherever the copy shall go.
        """
        return save_store(self.settings.store.url, self._store_password(), target)

    def restore_store(self, source: Path) -> Restored:
        """Replace the local user database; see `store.saving.restore_store`."""
        return restore_store(self.settings.store.url, source, self._store_password())

    def _store_password(self) -> Secret | None:
        reference = self.settings.store.password
        return (
            None
            if reference is None
            else self._secrets.get(reference, "store.password")
        )

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
        wanted = self._nt_names.items()
        told = [known() for (domain, _), known in wanted if domain == name]
        return (*((configured,) if configured else ()), *told)

    @cached_property
    def _nt_names(self) -> dict[tuple[DomainName, str], Callable[[], str]]:
        """The name of each Active Directory's NT domain, asked for when it is wanted.

        A configured one is that of the domain's first Active Directory.
        """
        found: dict[tuple[DomainName, str], Callable[[], str]] = {}
        for name, domain in self.settings.domains.items():
            configured = domain.login.nt_domain
            pairs = zip(domain.directory, self._connectors[name], strict=True)
            for settings, connector in pairs:
                if settings.type is DirectoryType.ACTIVE_DIRECTORY:
                    known = _nt_name(configured, name, settings, connector)
                    found[name, settings.name] = known
                    configured = None
        return found

    def resolver(self, store: StoreReader) -> Resolver:
        """Return what finds out who is meant by a name."""
        return Resolver(self.mail_domains, store)

    @cached_property
    def directories(self) -> dict[DomainName, tuple[Directory, ...]]:
        """Each domain's directories, with mapping and rules."""
        return {
            name: tuple(
                self._directory(name, domain, settings, connector)
                for settings, connector in zip(
                    domain.directory, self._connectors[name], strict=True
                )
            )
            for name, domain in self.settings.domains.items()
        }

    def _directory(
        self,
        name: DomainName,
        domain: DomainSettings,
        settings: DirectorySettings,
        connector: LdapDirectory,
    ) -> Directory:
        own = frozenset({name, *domain.aliases})
        context = Context(
            domain=name,
            served=self._served,
            own=own if settings.take is Take.BY_ADDRESS else None,
            directory_domain=settings.directory_domain or name,
            nt_domain=_nt_domain(name, domain) or "",
        )
        policy = Policy(
            domain=name,
            source=connector.source,
            user_limit=domain.user_limit,
            quarantine=timedelta(days=domain.quarantine_days),
            keep_old_address=domain.sync.keep_old_address,
            require_group=settings.require_group,
            addresses=own,
            protected=frozenset(domain.protected),
        )
        mapper = Mapper(self.profiles[settings.profile], context)
        return Directory(
            connector=connector,
            mapping=mapper,
            provenance=mapper.provenance,
            policy=policy,
        )

    @cached_property
    def _served(self) -> frozenset[DomainName]:
        return frozenset(
            one
            for name, domain in self.settings.domains.items()
            for one in (name, *domain.aliases)
        )

    @cached_property
    def _connectors(self) -> dict[DomainName, tuple[LdapDirectory, ...]]:
        if krb5_conf.needs_tickets(self.settings):
            _ = self._krb5_conf
        return {
            name: tuple(
                self._connector(name, domain, settings) for settings in domain.directory
            )
            for name, domain in self.settings.domains.items()
        }

    def _connector(
        self,
        name: DomainName,
        domain: DomainSettings,
        settings: DirectorySettings,
    ) -> LdapDirectory:
        profile, source = self.profiles[settings.profile], settings.name
        password = partial(self._bind_password, name, settings)
        if settings.type is DirectoryType.ACTIVE_DIRECTORY:
            return active_directory(
                name,
                settings,
                profile,
                password,
                source=source,
                login=_login_at(name, domain, settings),
                refusals=self._refusals,
            )
        return open_directory(
            name,
            settings,
            profile,
            password,
            source=source,
            login=_login_at(name, domain, settings),
            refusals=self._refusals,
        )

    @cached_property
    def _refusals(self) -> Refusals:
        return Refusals()

    @cached_property
    def _secrets(self) -> Secrets:
        return Secrets()

    def _bind_password(self, name: DomainName, settings: DirectorySettings) -> Secret:
        if settings.password is None:
            return Secret("")
        where = f'domains."{name}".directory: password'
        return self._secrets.get(settings.password, where)

    def jobs(self, store: Store, domain: str | None = None) -> tuple[SyncJob, ...]:
        """Return the sync jobs of one domain, or of all.

        Raises:
            ConfigError: The domain is not served here.
        """
        wanted = self.settings.domains if domain is None else (self.domain(domain),)
        return tuple(
            SyncJob(
                policy=directory.policy,
                limits=self.limits(name),
                connector=directory.connector,
                mapping=directory.mapping,
                store=store,
                scope=self._scope(settings),
                rules=self._rules(name, settings),
                full_every=self.settings.domains[name].sync.full_every,
            )
            for name in wanted
            for directory, settings in zip(
                self.directories[name],
                self.settings.domains[name].directory,
                strict=True,
            )
        )

    def limits(self, name: DomainName) -> Limits:
        """Return what one run of a domain may take away."""
        return Limits(**self.settings.domains[name].limits.model_dump())

    def _scope(self, settings: DirectorySettings) -> str:
        """Fingerprint what decides which entries are read; see `SyncJob.scope`."""
        profile = self.profiles[settings.profile]
        text = f"{settings.filter} {profile.fingerprint}"
        return hashlib.blake2b(text.encode(), digest_size=12).hexdigest()

    def _rules(self, name: DomainName, settings: DirectorySettings) -> str:
        """Fingerprint what decides what becomes of an entry; see `SyncJob.rules`."""
        domain = self.settings.domains[name]
        parts = (
            __version__,
            self.profiles[settings.profile].fingerprint,
            settings.directory_domain,
            settings.require_group,
            settings.take,
            _nt_domain(name, domain),
            domain.user_limit,
            domain.quarantine_days,
            domain.sync.keep_old_address,
            sorted(domain.protected),
            sorted(self._served),
            # The union stays the same where an alias goes from one domain to another.
            sorted((name, *domain.aliases)),
        )
        return hashlib.blake2b(repr(parts).encode(), digest_size=12).hexdigest()

    def schedule(self, store: Store) -> tuple[Scheduled, ...]:
        """Return all jobs with their intervals, for `serve`."""
        return tuple(
            Scheduled(job, sync.interval, push=sync.push)
            for job in self.jobs(store)
            for sync in (self.settings.domains[job.policy.domain].sync,)
        )

    def noticeboard(self, store: Store) -> Noticeboard:
        """Return what keeps notices and tells people."""
        served = {
            (one.policy.domain, one.policy.source)
            for each in self.directories.values()
            for one in each
        }
        failures = self.settings.notices.failures
        return Noticeboard(store, self._channels, failures=failures, served=served)

    @cached_property
    def _channels(self) -> tuple[Channel, ...]:
        """The ways to people that the configuration names."""
        settings = self.settings.notices
        found: list[Channel] = []
        if settings.webhook is not None:
            token = self._webhook_token
            found.append(Webhook(settings.webhook, token, settings.ca_file))
        if settings.mail_to:
            sender = settings.mail_from or f"dirbridge@{self.settings.primary}"
            host, port = settings.smtp.host, settings.smtp.port or _SMTP
            mail = Mail(host, port, sender, settings.mail_to, settings.ca_file)
            found.append(mail)
        return tuple(found)

    def _webhook_token(self) -> Secret:
        reference = self.settings.notices.webhook_token
        if reference is None:
            return Secret("")
        return self._secrets.get(reference, "notices: webhook_token")

    def housekeeping(self, store: Store) -> Housekeeping:
        """Return what forgets what is old, for `serve`."""
        kept = self.settings.retention
        return Housekeeping(store, Retention(kept.attempts, kept.changes))

    @cached_property
    def _krb5_conf(self) -> Path | None:
        """The private krb5.conf, written and named in KRB5_CONFIG; None without realms.

        It must be there before libkrb5 is used, for logins or by a service account.
        It names relays of this process, so each process has a file of its own.
        """
        if not self.realms:
            return None
        text = krb5_conf.render(
            _relayed(realm, self._kdcs_by_dns.get(realm.name)) for realm in self.realms
        )
        name = f"krb5-{os.getpid()}.conf"
        path = krb5_conf.install(text, self.settings.serve.run_dir, name)
        atexit.register(path.unlink, missing_ok=True)
        return path

    @cached_property
    def _kdcs_by_dns(self) -> dict[RealmName, Failover]:
        """The KDCs of each realm for which the configuration names none."""
        return {
            realm.name: Failover(realm.name, discovered_kdcs(realm.name))
            for realm in self.realms
            if not realm.kdcs
        }

    @cached_property
    def methods(self) -> dict[tuple[DomainName, str], tuple[Authenticator, ...]]:
        """Each directory's authenticators in the order in which they are asked.

        KRB5_CONFIG is set first; see `_krb5_conf`.
        """
        _ = self._krb5_conf
        return {
            (name, connector.source): tuple(
                self._made(method, name, settings, connector)
                for method in self._method_names(name, domain, settings)
            )
            for name, domain in self.settings.domains.items()
            for settings, connector in zip(
                domain.directory, self._connectors[name], strict=True
            )
        }

    def methods_of(self, account: Account) -> tuple[Authenticator, ...]:
        """Return the authenticators of an account's domain, in order."""
        return self.methods.get((account.domain, account.source), ())

    def method_of(self, account: Account, name: str) -> Authenticator:
        """Return what checks an account's password by one method.

        Its domain need not have it; where the directory has none such, it says so.
        """
        return self._method_named(account.domain, account.source, name)

    def _method_named(self, where: DomainName, source: str, name: str) -> Authenticator:
        _ = self._krb5_conf
        made = self._authenticators.get((where, source, name))
        if made is not None:
            return made
        pairs = zip(
            self.settings.domains[where].directory, self._connectors[where], strict=True
        )
        for settings, connector in pairs:
            if connector.source == source and name in set(Method):
                return self._made(Method(name), where, settings, connector)
        return MissingMethod(name)

    @cached_property
    def _authenticators(self) -> dict[tuple[DomainName, str, str], Authenticator]:
        """What was made so far, by domain, directory and method."""
        return {}

    def _made(
        self,
        method: Method,
        name: DomainName,
        settings: DirectorySettings,
        connector: LdapDirectory,
    ) -> Authenticator:
        key = (name, connector.source, str(method))
        new = self._authenticators.get(key)
        if new is None:
            new = self._authenticator(method, name, settings, connector)
        return self._authenticators.setdefault(key, new)

    def choices(self, credentials: Callable[[Account], Credentials]) -> Choices:
        """Return what gives an account's authenticators.

        Args:
            credentials: The store's way to what an account's logins may use.
        """
        return Choices(
            credentials,
            self.methods_of,
            self.method_of,
            LocalAuthenticator(lambda account: credentials(account).verifier),
        )

    def _app_passwords(
        self, credentials: Callable[[Account], Credentials]
    ) -> AppPasswords:
        return AppPasswords(credentials, self._app_passwords_from)

    @cached_property
    def _app_passwords_from(self) -> dict[DomainName, tuple[IPNetwork, ...]]:
        """From where nothing else is taken, by domain."""
        domains = self.settings.domains.items()
        return {name: one.login.require_app_password_from for name, one in domains}

    def _method_names(
        self, name: DomainName, domain: DomainSettings, directory: DirectorySettings
    ) -> tuple[Method, ...]:
        """Return the configured methods, else what the directory suggests."""
        if domain.login.methods is not None:
            return domain.login.methods
        if directory.type is DirectoryType.OPEN_DIRECTORY_PASSWORD_SERVER:
            return (Method.PASSWORD_SERVER,)
        realm = self._realm_of(name, directory)
        if realm is not None and realm.keytab is not None:
            return (Method.KERBEROS,)
        # People's passwords never cross a connection that is sealed after its bind.
        sealed = directory.security is Security.SEALED
        return (Method.KERBEROS if sealed else Method.LDAP_BIND,)

    def _realm_of(self, name: DomainName, directory: DirectorySettings) -> Realm | None:
        """Return the realm of one of a domain's directories, None where it has none."""
        domain = self.settings.domains[name]
        wanted = krb5_conf.realm_of_directory(name, domain, directory)
        return next((realm for realm in self.realms if realm.name == wanted), None)

    @cached_property
    def _looks(self) -> dict[tuple[DomainName, str], Look]:
        """What reads an entry of each directory live."""
        return {
            (name, connector.source): live_look(connector, computer=gethostname())
            for name, connectors in self._connectors.items()
            for connector in connectors
        }

    def look(self, account: Account, deadline: Deadline) -> Standing | Reason | Cause:
        """Read an account's entry now; see `authenticators.live.Look`."""
        look = self._looks.get((account.domain, account.source))
        return Cause.CONFIGURATION if look is None else look(account, deadline)

    def _authenticator(
        self,
        method: Method,
        name: DomainName,
        directory: DirectorySettings,
        connector: LdapDirectory,
    ) -> Authenticator:
        if method is Method.LOCAL:
            # The store's own takes its place; see `Choices`.
            return LocalAuthenticator(lambda _account: None)
        if method is Method.LDAP_BIND:
            return ldap_bind(name, directory, connector.failover)
        known = self._nt_names.get((name, directory.name))
        if method is Method.NT_DOMAIN and known is not None:
            login = self.settings.domains[name].login
            return nt_domain(name, directory, login, known, connector.failover)
        if method is Method.PASSWORD_SERVER and directory.type in _APPLE:
            login = self.settings.domains[name].login
            records = partial(connector.ask, password_servers_at)
            return password_server(
                name, directory, login, self.look, records, connector.failover
            )
        realm = self._realm_of(name, directory)
        if method is Method.KERBEROS and realm is not None:
            return KerberosAuthenticator(
                KerberosRealm(
                    name=realm.name,
                    keytab=_keytab(realm),
                    service=realm.service,
                    verify=self.settings.domains[name].login.verify_kdc,
                    kind=directory.type,
                ),
                look=self.look,
                by_bind=by_bind(name, directory, connector.failover),
            )
        return MissingMethod(method)

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
        resolver = self.resolver(store)
        known = (
            None if pulse is None else KnownNames(resolver, store.credentials, pulse)
        )
        credentials = store.credentials if known is None else known.credentials
        # Outermost first; the `instant` ones wait for nobody.
        instant: tuple[Stage, ...] = (
            Pacing(),
            self._address_limits(),
            self._app_passwords(credentials),
            self._positive_cache(credentials),
        )
        choices = self.choices(credentials)
        return LoginService(
            resolver=resolver,
            known=known,
            stages=(*instant, *self._guards(store, choices)),
            instant=len(instant),
            methods=choices,
            tickets=self._tickets(resolver, choices, refresh),
            limit=self.settings.serve.deadline,
            attempted=attempted,
            refresh=refresh,
        )

    def _address_limits(self) -> AddressLimits:
        guard = self.settings.guard
        limit = AddressLimit(
            guard.accounts_per_address, guard.address_window, guard.trusted_networks
        )
        return AddressLimits(limit)

    def _guards(self, store: Store, choices: Choices) -> tuple[Stage, ...]:
        """Return the stages that stand right before the directory."""
        errands = Errands("login-errands")
        usual = UsualAddresses(store, errands)
        ledger = Ledger(store, self._budgets, usual)
        return (
            Guard(
                Looks(self.look),
                ledger,
                usual,
                asks=lambda account: choices.by_directory(account) is True,
            ),
            Offline(self._offline_logins, store, Downs(self.look), errands),
        )

    @cached_property
    def _offline_logins(self) -> dict[DomainName, timedelta]:
        return {
            name: domain.login.offline_logins
            for name, domain in self.settings.domains.items()
            if domain.login.offline_logins is not None
        }

    @cached_property
    def _budgets(self) -> Budgets:
        """How many wrong passwords may reach each account's directory."""
        return Budgets(self._budget_by_directory, lambda a: self._budget(a, None))

    def _budget_by_directory(
        self, account: Account, deadline: Deadline
    ) -> Budget | None:
        """Return the budget below what the directory allows; None if it cannot tell."""
        which = (account.domain, account.source)
        connector = self._active_directories.get(which)
        if connector is None:
            return self._budget(account, None)
        question = lockout_at(account.values.directory_id)
        try:
            found = connector.ask(question, Deadline.after(deadline.within(_A_MOMENT)))
        except (ConfigError, DirectoryError):
            return None
        return self._budget(account, found)

    def _budget(self, account: Account, lockout: Lockout | None) -> Budget:
        login = self.settings.domains[account.domain].login
        return budget_of(lockout, login.wrong_tries, login.wrong_window)

    @cached_property
    def _active_directories(self) -> dict[tuple[DomainName, str], LdapDirectory]:
        return {
            (name, settings.name): connector
            for name, domain in self.settings.domains.items()
            for settings, connector in zip(
                domain.directory, self._connectors[name], strict=True
            )
            if settings.type is DirectoryType.ACTIVE_DIRECTORY
        }

    @cached_property
    def mechanisms(self) -> sasl.Mechanisms:
        """The SASL mechanisms that hooks offer, those of tickets where they are set up.

        KRB5_CONFIG is set first; see `_krb5_conf`.
        """
        _ = self._krb5_conf
        keytabs = {
            realm.name: path
            for realm in self.realms
            if self._sso_places.get(realm.name) and (path := _keytab(realm))
        }
        return {**sasl.MECHANISMS, **Acceptor(keytabs).mechanisms}

    @cached_property
    def _sso_places(self) -> dict[RealmName, tuple[Place, ...]]:
        """The directories whose people come by ticket, by their realm."""
        found: dict[RealmName, tuple[Place, ...]] = {}
        for name, domain in self.settings.domains.items():
            for settings in domain.directory if domain.login.sso else ():
                realm = self._realm_of(name, settings)
                if realm is not None:
                    own = found.get(realm.name, ())
                    found[realm.name] = (*own, (name, settings.name))
        return found

    def _tickets(
        self, resolver: Resolver, choices: Choices, refresh: Refresh
    ) -> Tickets:
        if not self._sso_places:
            return no_tickets
        plain = [
            (name, settings.name)
            for name, domain in self.settings.domains.items()
            for settings in domain.directory
            if settings.type is DirectoryType.LDAP
        ]
        return TicketJudge(
            self._sso_places,
            resolver,
            self.look,
            choices.by_directory,
            refresh,
            stale_locks=plain,
        )

    def _positive_cache(
        self, credentials: Callable[[Account], Credentials]
    ) -> PositiveCache:
        """Return the stage that remembers what a directory accepted."""
        domains = self.settings.domains
        lifetimes = {n: one.login.cache.total_seconds() for n, one in domains.items()}
        # pwdLastSet and lockoutTime are among what is read of an entry.
        told = {
            (name, directory.name)
            for name, one in domains.items()
            for directory in one.directory
            if directory.type is DirectoryType.ACTIVE_DIRECTORY
        }
        return PositiveCache(lifetimes, credentials, told=told)

    def explainer(self, store: StoreReader) -> Explainer:
        """Return what explains logins."""
        methods = self.choices(store.credentials)
        return Explainer(
            self.resolver(store),
            self.directories,
            methods,
            self._app_passwords_from,
            Guarding(self._budgets, self._offline_logins),
        )

    def servers(self) -> tuple[ServerReport, ...]:
        """Return what this process knows of each directory server by now."""
        return tuple(
            ServerReport(name, connector.source, state)
            for name, connectors in self._connectors.items()
            for connector in connectors
            for state in connector.states()
        )

    def findings(self) -> list[Finding]:
        """Try everything: files, each directory's servers, each login method.

        Root becomes the store's owner first, so that it meets what the bridge meets.
        """
        self._become_owner()
        found = [_finding(problem) for problem in inspect(self.configuration)]
        for name in self.settings.domains:
            for directory in self.directories[name]:
                found += _tried(directory.connector.check)
            for connector in self._connectors[name]:
                found += empty_findings(name, connector.failover)
                found += foreign_findings(connector.failover)
        found += _tried(self._check_methods)
        found += _tried(self._check_tickets)
        found += _tried(self._check_switched)
        found += _tried(self._check_protected)
        found += [channel.check() for channel in self._channels]
        for kdcs in self._kdcs_by_dns.values():
            found += foreign_findings(kdcs)
        return list(dict.fromkeys(found))

    def _check_protected(self) -> list[Finding]:
        """Look whether accounts have the names in `protected`; makes no store."""
        named = {n: d.protected for n, d in self.settings.domains.items()}
        if not any(named.values()) or not store_is_there(self.settings.store.url):
            return []
        with self.open_store(as_owner=False) as store, store.view() as view:
            return [
                finding
                for name, protected in named.items()
                for finding in idle_names(view, name, protected)
            ]

    def _check_switched(self) -> list[Finding]:
        """Try the methods that accounts have of their own choice; makes no store."""
        if not store_is_there(self.settings.store.url):
            return []
        with self.open_store(as_owner=False) as store:
            switched = store.switched()
        return [
            replace(finding, text=f"{finding.text} Accounts with it: {count}.")
            for (domain, source, method), count in switched.items()
            if domain in self.settings.domains
            for finding in self._method_named(domain, source, method).check()
            if finding.code == "method-missing"
        ]

    def _check_tickets(self) -> list[Finding]:
        found: list[Finding] = []
        for name, domain in self.settings.domains.items():
            for settings in domain.directory if domain.login.sso else ():
                realm = self._realm_of(name, settings)
                keytab = None if realm is None else _keytab(realm)
                known = None if realm is None else realm.name
                found.append(tickets_finding(name, known, keytab, settings.type))
        return found

    def _check_methods(self) -> list[Finding]:
        return [
            finding
            for methods in self.methods.values()
            for method in methods
            for finding in _tried(method.check)
        ]


def _relayed(realm: Realm, by_dns: Failover | None = None) -> Realm:
    """Put a relay before the realm's KDCs; it lives as long as this process.

    libkrb5 by itself waits too long for a KDC that is frozen, and would ask any host
    that DNS names.
    """
    relay = KdcRelay(realm.name, realm.kdcs, failover=by_dns)
    return replace(realm, kdcs=(relay.start(),))


def _give_folder(path: Path, owner: Owner) -> None:
    """Make a folder in /run while we still may; systemd does it for `serve` only."""
    with suppress(OSError):  # who then writes there tells what is wrong
        path.mkdir(parents=True)
        os.chown(path, owner.uid, owner.gid)


def _tried(check: Callable[[], list[Finding]]) -> list[Finding]:
    """Run a check; a secret or a store that cannot be read is a finding as well."""
    try:
        return check()
    except (ConfigError, StoreError) as error:
        return [_finding(problem) for problem in problems_of(error)]


def _finding(problem: Problem) -> Finding:
    return Finding(
        problem.where,
        "file",
        Outcome.FAILED,
        problem.text,
        problem.next,
        problem.code,
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


def _nt_name(
    configured: str | None,
    name: DomainName,
    settings: DirectorySettings,
    connector: LdapDirectory,
) -> Callable[[], str]:
    """Return what gives an NT domain's name: configured, else the directory's word."""
    if configured:
        return lambda: configured
    guess = _first_label(settings.directory_domain or name)
    return NtDomainName(partial(connector.ask, nt_domain_at), guess)


def _nt_domain(name: DomainName, domain: DomainSettings) -> str | None:
    """Return the NT domain: configured, else the directory name's first label.

    For mappings, which must not change with what a server says. Logins go by the
    directory's word; see `App._nt_names`.
    """
    if domain.login.nt_domain:
        return domain.login.nt_domain
    for one in domain.directory:
        if one.type is DirectoryType.ACTIVE_DIRECTORY:
            return _first_label(one.directory_domain or name)
    return None


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


def _first_label(dns_name: str) -> str:
    """Return what Windows proposes for an NT domain: `COMPANY` for company.com."""
    return dns_name.partition(".")[0].upper()


def _keytab(realm: Realm) -> Path | None:
    if realm.keytab is None:
        return None
    return secret_path(realm.keytab, f"realms: {realm.name}: keytab")
