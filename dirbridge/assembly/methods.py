"""The login methods of each directory, and what each account chose among them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from socket import gethostname

from dirbridge.assembly.directories import Directories, Wired
from dirbridge.assembly.names import Names
from dirbridge.assembly.realms import Realms, keytab_of
from dirbridge.authenticators.base import Authenticator
from dirbridge.authenticators.kdc_proofs import by_bind
from dirbridge.authenticators.kerberos import KerberosAuthenticator
from dirbridge.authenticators.kerberos import Realm as KerberosRealm
from dirbridge.authenticators.ldap_bind import ldap_bind
from dirbridge.authenticators.live import Look, Standing, live_look
from dirbridge.authenticators.local import LocalAuthenticator
from dirbridge.authenticators.missing import MissingMethod
from dirbridge.authenticators.moved import FollowingBind
from dirbridge.authenticators.nt_domain import nt_domain
from dirbridge.authenticators.password_server import password_server
from dirbridge.config.settings import DirectoryType, Method, Security
from dirbridge.connectors.open_directory_records import password_servers_at
from dirbridge.login.choices import Choices
from dirbridge.model.account import Account
from dirbridge.model.credentials import Credentials
from dirbridge.model.deadline import Deadline
from dirbridge.model.login import Cause, Reason
from dirbridge.model.names import DomainName

_APPLE = frozenset(
    {
        DirectoryType.OPEN_DIRECTORY_KERBEROS,
        DirectoryType.OPEN_DIRECTORY_PASSWORD_SERVER,
    }
)
"""Directories that have Password Servers."""


@dataclass(frozen=True)
class Methods:
    """Makes authenticators, each once.

    Attributes:
        directories: The ways to the directories.
        realms: Their Kerberos realms.
        names: The names of their NT domains.
    """

    directories: Directories
    realms: Realms
    names: Names

    @cached_property
    def by_directory(self) -> dict[tuple[DomainName, str], tuple[Authenticator, ...]]:
        """Each directory's authenticators in the order in which they are asked.

        KRB5_CONFIG is set first; see `Realms.krb5_conf`.
        """
        _ = self.realms.krb5_conf
        return {
            one.key: tuple(self._made(method, one) for method in self._names_of(one))
            for one in self.directories.wired
        }

    def of(self, account: Account) -> tuple[Authenticator, ...]:
        """Return the authenticators of an account's domain, in order."""
        return self.by_directory.get((account.domain, account.source), ())

    def of_choice(self, account: Account, name: str) -> Authenticator:
        """Return what checks an account's password by one method; see `named`."""
        return self.named(account.domain, account.source, name)

    def named(self, domain: DomainName, source: str, name: str) -> Authenticator:
        """Return a directory's authenticator of one method.

        The domain need not have it; where the directory has none such, it says so.
        """
        _ = self.realms.krb5_conf
        made = self._ready.get((domain, source, name))
        if made is not None:
            return made
        for one in self.directories.of(domain):
            if one.settings.name == source and name in set(Method):
                return self._made(Method(name), one)
        return MissingMethod(name)

    def choices(self, credentials: Callable[[Account], Credentials]) -> Choices:
        """Return what gives an account's authenticators.

        Args:
            credentials: The store's way to what an account's logins may use.
        """
        return Choices(
            credentials,
            self.of,
            self.of_choice,
            LocalAuthenticator(lambda account: credentials(account).verifier),
        )

    def look(self, account: Account, deadline: Deadline) -> Standing | Reason | Cause:
        """Read an account's entry now; see `authenticators.live.Look`."""
        look = self._looks.get((account.domain, account.source))
        return Cause.CONFIGURATION if look is None else look(account, deadline)

    @cached_property
    def _looks(self) -> dict[tuple[DomainName, str], Look]:
        """What reads an entry of each directory live."""
        return {
            one.key: live_look(one.connector, computer=gethostname())
            for one in self.directories.wired
        }

    def _names_of(self, one: Wired) -> tuple[Method, ...]:
        """Return the configured methods, else what the directory suggests."""
        if one.domain.login.methods is not None:
            return one.domain.login.methods
        if one.settings.type is DirectoryType.OPEN_DIRECTORY_PASSWORD_SERVER:
            return (Method.PASSWORD_SERVER,)
        realm = self.realms.of(one.name, one.settings)
        if realm is not None and realm.keytab is not None:
            return (Method.KERBEROS,)
        # People's passwords never cross a connection that is sealed after its bind.
        sealed = one.settings.security is Security.SEALED
        return (Method.KERBEROS if sealed else Method.LDAP_BIND,)

    @cached_property
    def _ready(self) -> dict[tuple[DomainName, str, str], Authenticator]:
        """What was made so far, by domain, directory and method."""
        return {}

    def _made(self, method: Method, one: Wired) -> Authenticator:
        key = (*one.key, str(method))
        new = self._ready.get(key)
        if new is None:
            new = self._authenticator(method, one)
        return self._ready.setdefault(key, new)

    def _authenticator(self, method: Method, one: Wired) -> Authenticator:
        name, directory, login = one.name, one.settings, one.domain.login
        failover = one.connector.failover
        if method is Method.LOCAL:
            # The store's own takes its place; see `Choices`.
            return LocalAuthenticator(lambda _account: None)
        if method is Method.LDAP_BIND:
            bind = ldap_bind(name, directory, failover)
            by_name = directory.type is DirectoryType.ACTIVE_DIRECTORY
            return bind if by_name else FollowingBind(bind, self.look)
        known = self.names.nt_names.get(one.key)
        if method is Method.NT_DOMAIN and known is not None:
            return nt_domain(name, directory, login, known, failover)
        if method is Method.PASSWORD_SERVER and directory.type in _APPLE:
            records = partial(one.connector.ask, password_servers_at)
            return password_server(name, directory, login, self.look, records, failover)
        return self._kerberos(method, one) or MissingMethod(method)

    def _kerberos(self, method: Method, one: Wired) -> Authenticator | None:
        realm = self.realms.of(one.name, one.settings)
        if method is not Method.KERBEROS or realm is None:
            return None
        return KerberosAuthenticator(
            KerberosRealm(
                name=realm.name,
                keytab=keytab_of(realm),
                service=realm.service,
                verify=one.domain.login.verify_kdc,
                kind=one.settings.type,
            ),
            look=self.look,
            by_bind=by_bind(one.name, one.settings, one.connector.failover),
            proofs=self.realms.proofs[realm.name],
        )
