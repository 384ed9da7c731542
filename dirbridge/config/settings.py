"""All settings of `dirbridge.toml`, with their defaults.

Unknown keys are refused. `loading` turns what pydantic finds into problems that
name file, table, key and the mend; rules between tables stand there as well.
"""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictInt

from dirbridge.config.notice_types import MailAddress, WebhookUrl
from dirbridge.config.types import (
    IP,
    AccountName,
    DirectoryName,
    DnsSuffix,
    DnText,
    DomainText,
    Duration,
    DurationOrNone,
    FilterText,
    HomeTemplate,
    HostPort,
    LocalPath,
    Mode,
    Network,
    NtDomain,
    OneOrMany,
    Patience,
    Pin,
    RealmText,
    SecretReference,
    ServicePrincipal,
    Size,
    StoreUrl,
)
from dirbridge.model.names import DomainName


class Table(BaseModel):
    """A table of the configuration: frozen, unknown keys refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class DirectoryType(StrEnum):
    """The kinds of directories."""

    ACTIVE_DIRECTORY = "active-directory"
    OPEN_DIRECTORY_KERBEROS = "open-directory-kerberos"
    OPEN_DIRECTORY_PASSWORD_SERVER = "open-directory-password-server"  # noqa: S105
    LDAP = "ldap"


class Security(StrEnum):
    """How the connection to a directory server is protected."""

    LDAPS = "ldaps"
    STARTTLS = "starttls"
    SEALED = "sealed"
    NONE = "none"


class Bind(StrEnum):
    """How the service account proves itself."""

    SIMPLE = "simple"
    KERBEROS = "kerberos"
    EXTERNAL = "external"


class Discover(StrEnum):
    """Where servers are looked for that are not named."""

    DNS = "dns"


class Method(StrEnum):
    """The login methods."""

    KERBEROS = "kerberos"
    LDAP_BIND = "ldap-bind"
    NT_DOMAIN = "nt-domain"
    PASSWORD_SERVER = "password-server"  # noqa: S105
    LOCAL = "local"


DIRECTORY_METHODS = frozenset(Method) - {Method.LOCAL}
"""The methods that ask a directory."""


class Take(StrEnum):
    """Which entries of a directory belong to a domain."""

    ALL = "all"
    BY_ADDRESS = "by-address"


class BoundIpMatch(StrEnum):
    """Which address of a connection is compared with `bound_ip`."""

    LOCAL_THEN_REMOTE = "local-then-remote"
    LOCAL = "local"
    REMOTE = "remote"


class HookType(StrEnum):
    """The protocols of the hooks."""

    DOVECOT_AUTH = "dovecot-auth"
    SASLAUTHD = "saslauthd"


class TemporaryFailure(StrEnum):
    """How an outage is told where the protocol has no word for it."""

    CLOSE = "close"
    FAIL = "fail"


class StoreSettings(Table):
    """Where the local user database stands."""

    url: StoreUrl = "sqlite:////var/lib/dirbridge/dirbridge.db"
    password: SecretReference | None = None


class ServeSettings(Table):
    """The running bridge."""

    run_dir: LocalPath = Path("/run/dirbridge")
    deadline: Duration = timedelta(seconds=9)
    processes: StrictInt = Field(default=1, ge=1, le=64)


class HookSettings(Table):
    """One socket on which a mail service asks."""

    type: HookType
    socket: LocalPath | None = None
    listen: HostPort | None = None
    owner: str | None = None
    group: str | None = None
    mode: Mode = 0o660
    temp_failure: TemporaryFailure = TemporaryFailure.CLOSE
    local_ip: IP | None = None


class DirectorySettings(Table):
    """One directory of a domain.

    Its `name` is what accounts belong to, see `model.account.Account.source`.
    """

    type: DirectoryType
    name: DirectoryName = "directory"
    server: HostPort | None = None
    backup_server: OneOrMany[HostPort] = ()
    discover: Discover | None = None
    security: Security = Security.LDAPS
    allow_cleartext_passwords: StrictBool = False
    ca_file: LocalPath | None = None
    certificate_pin: OneOrMany[Pin] = ()
    tls_legacy: StrictBool = False
    bind: Bind = Bind.SIMPLE
    cert_file: LocalPath | None = None
    key_file: LocalPath | None = None
    username: str = ""
    password: SecretReference | None = None
    keytab: SecretReference | None = None
    directory_domain: DomainText | None = None
    suffix: DnText | None = None
    base: DnText | None = None
    filter: FilterText | None = None
    require_group: DnText | None = None
    take: Take = Take.ALL
    mapping: str | None = None
    connect_timeout: Patience = timedelta(seconds=3)
    read_timeout: Patience = timedelta(seconds=15)

    @property
    def servers(self) -> tuple[HostPort, ...]:
        """The servers in the order in which they are tried."""
        return (*([self.server] if self.server else []), *self.backup_server)

    @property
    def profile(self) -> str:
        """The name of the mapping profile."""
        return self.mapping or _PROFILES[self.type]


_PROFILES = {
    DirectoryType.ACTIVE_DIRECTORY: "active-directory",
    DirectoryType.OPEN_DIRECTORY_KERBEROS: "open-directory",
    DirectoryType.OPEN_DIRECTORY_PASSWORD_SERVER: "open-directory",
    DirectoryType.LDAP: "openldap",
}


class LoginSettings(Table):
    """How a domain's people log in."""

    methods: tuple[Method, ...] | None = None
    kerberos_realm: RealmText | None = None
    kerberos_file: LocalPath | None = None
    verify_kdc: StrictBool = True
    nt_domain: NtDomain | None = None
    ntlm: StrictBool | None = None
    sso: StrictBool = False
    password_server_port: StrictInt = Field(default=3659, ge=1, le=65535)
    password_server_cram: StrictBool = False
    offline_logins: Duration | None = None
    cache: DurationOrNone = timedelta(seconds=60)
    require_app_password_from: OneOrMany[Network] = ()
    wrong_tries: StrictInt | None = None
    wrong_window: Duration | None = None


class MailboxSettings(Table):
    """Where mailboxes lie."""

    home: HomeTemplate | None = None
    uid: StrictInt | None = Field(default=None, ge=1)
    gid: StrictInt | None = Field(default=None, ge=1)
    quota: Size | None = None


class LimitSettings(Table):
    """What one run may take away before a person must approve."""

    share: float = Field(default=0.1, ge=0, le=1)
    container_share: float = Field(default=0.3, ge=0, le=1)
    absolute: StrictInt = Field(default=50, ge=0)
    from_accounts: StrictInt = Field(default=10, ge=0)


class SyncSettings(Table):
    """How a domain is synced."""

    interval: Duration = timedelta(minutes=5)
    full_every: Duration = timedelta(hours=24)
    push: StrictBool = False
    keep_old_address: Duration = timedelta(days=365)


class DomainSettings(Table):
    """One mail domain."""

    primary: StrictBool = False
    description: str = ""
    aliases: tuple[DomainText, ...] = ()
    user_limit: StrictInt | None = Field(default=None, ge=0)
    bound_ip: OneOrMany[IP] = ()
    bound_ip_match: BoundIpMatch = BoundIpMatch.LOCAL_THEN_REMOTE
    quarantine_days: StrictInt = Field(default=30, ge=0)
    protected: OneOrMany[AccountName] = ()
    deliver_disabled: StrictBool = True
    directory: OneOrMany[DirectorySettings] = ()
    login: LoginSettings = LoginSettings()
    mailbox: MailboxSettings = MailboxSettings()
    limits: LimitSettings = LimitSettings()
    sync: SyncSettings = SyncSettings()


class RetentionSettings(Table):
    """How long the store remembers."""

    attempts: Duration = timedelta(days=30)
    changes: Duration = timedelta(days=400)


class GuardSettings(Table):
    """When a client address has failed too often."""

    accounts_per_address: StrictInt = 20
    address_window: Duration = timedelta(minutes=15)
    trusted_networks: OneOrMany[Network] = (
        IPv4Network("127.0.0.0/8"),
        IPv6Network("::1/128"),
    )


class NoticesSettings(Table):
    """Whom a running bridge tells what needs a person, and how."""

    webhook: WebhookUrl | None = None
    webhook_token: SecretReference | None = None
    mail_to: OneOrMany[MailAddress] = ()
    mail_from: MailAddress | None = None
    smtp: HostPort = HostPort("127.0.0.1", 25)
    ca_file: LocalPath | None = None
    failures: StrictInt = Field(default=3, ge=1)


class RealmSettings(Table):
    """One file of `realms/`: a Kerberos realm."""

    name: RealmText
    kdcs: OneOrMany[HostPort] = ()
    domain_realm: OneOrMany[DnsSuffix] = ()
    keytab: SecretReference | None = None
    service: ServicePrincipal | None = None


class Settings(Table):
    """The whole of `dirbridge.toml`."""

    store: StoreSettings = StoreSettings()
    serve: ServeSettings = ServeSettings()
    hooks: tuple[HookSettings, ...] = ()
    domains: dict[DomainText, DomainSettings]
    guard: GuardSettings = GuardSettings()
    retention: RetentionSettings = RetentionSettings()
    notices: NoticesSettings = NoticesSettings()

    @property
    def primary(self) -> DomainName:
        """The primary domain; one alone is primary by itself.

        Loading makes sure that of several exactly one is.
        """
        marked = (name for name, domain in self.domains.items() if domain.primary)
        return next(marked, next(iter(self.domains)))
