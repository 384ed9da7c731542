"""One private krb5.conf from the domains and `realms/`.

libkrb5 reads KRB5_CONFIG once and for the whole process (facts: ad-semantics 14),
so there is one file with all realms, written before gssapi is first used. The
system's own /etc/krb5.conf is neither read nor changed.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

from dirbridge.config.connection_rules import is_principal
from dirbridge.config.loading import Configuration
from dirbridge.config.settings import (
    Bind,
    DirectorySettings,
    DirectoryType,
    DomainSettings,
    Method,
    RealmSettings,
    Security,
    Settings,
)
from dirbridge.config.types import HostPort, SecretReference, parse_realm
from dirbridge.directory import dn
from dirbridge.errors import ConfigError, Problem
from dirbridge.model.names import DomainName, RealmName

KDC_PORT = 88
FILE = "krb5.conf"
VARIABLE = "KRB5_CONFIG"

# Why each: names come from the configuration alone, never from DNS, which an
# attacker may answer (KDCs that nobody named are looked for by the relay, which takes
# none of other names); TCP from the first byte, as large tickets need it anyway;
# and no replay cache, which would write into the system's temporary folder.
_LIBDEFAULTS = (
    ("dns_lookup_kdc", "false"),
    ("dns_lookup_realm", "false"),
    ("rdns", "false"),
    ("dns_canonicalize_hostname", "false"),
    ("udp_preference_limit", "1"),
    ("default_rcache_name", "none:"),
)
_HEAD = (
    "# Written by dirbridge from dirbridge.toml and realms/. Changes here are lost.\n"
)


@dataclass(frozen=True, slots=True)
class Realm:
    """A Kerberos realm in use.

    Attributes:
        name: The realm.
        kdcs: Its KDCs in the order in which they are tried, each with its port.
        domain_realm: DNS names that belong to it, with a dot in front where all
            names below are meant.
        domains: The mail domains whose people log in by it.
        keytab: The keytab by which its tickets are verified.
        service: The service principal in the keytab, without the realm.
    """

    name: RealmName
    kdcs: tuple[HostPort, ...]
    domain_realm: tuple[str, ...]
    domains: tuple[DomainName, ...]
    keytab: SecretReference | None = None
    service: str | None = None


def realms_in_use(configuration: Configuration) -> tuple[Realm, ...]:
    """Return the realms that domains use; the primary domain's comes first.

    Those of service accounts alone, in which nobody logs in, come last.
    """
    settings = configuration.settings
    users: dict[RealmName, list[DomainName]] = {}
    for name in sorted(settings.domains, key=lambda each: each != settings.primary):
        for realm in _realms_of(name, settings.domains[name]):
            users.setdefault(realm, []).append(name)
    for directory in _all_directories(settings):
        account = realm_of_account(directory)
        if account is not None:
            users.setdefault(account, [])
    return tuple(
        _merged(name, domains, configuration) for name, domains in users.items()
    )


def needs_tickets(settings: Settings) -> bool:
    """Whether any service account gets tickets from a KDC."""
    return any(map(realm_of_account, _all_directories(settings)))


def realm_of_account(directory: DirectorySettings) -> RealmName | None:
    """Return the realm in which a service account gets its tickets, or None."""
    sealed = directory.security is Security.SEALED
    by_password = sealed and directory.bind is Bind.SIMPLE
    if not (by_password or directory.bind is Bind.KERBEROS):
        return None
    if not is_principal(directory.username):
        return None
    return parse_realm(directory.username.rpartition("@")[2])


def realm_of_directory(
    name: DomainName, domain: DomainSettings, directory: DirectorySettings
) -> RealmName | None:
    """Return the realm in which the people of one directory log in, or None.

    Where `kerberos_realm` is left out it comes from the directory: Active
    Directory's own DNS name, or the name of the Open Directory server. Where it is
    there, it is that of the domain's first directory, and of further ones that would
    have the same; others are other forests, with realms of their own.
    """
    if not _by_kerberos(domain):
        return None
    configured = domain.login.kerberos_realm
    own = _realm_of_directory(name, directory)
    if configured is None:
        return own
    first = domain.directory[0]
    same = own is not None and own == _realm_of_directory(name, first)
    return configured if directory is first or same else own


def realm_of(name: DomainName, domain: DomainSettings) -> RealmName | None:
    """Return the first realm in which a domain's people log in, or None."""
    if not _by_kerberos(domain):
        return None
    if domain.login.kerberos_realm is not None:
        return domain.login.kerberos_realm
    found = (_realm_of_directory(name, each) for each in domain.directory)
    return next((realm for realm in found if realm is not None), None)


def _by_kerberos(domain: DomainSettings) -> bool:
    """Whether a domain has realms at all; one that is named is there to switch to."""
    login = domain.login
    named = login.sso or login.kerberos_realm is not None
    return named or login.methods is None or Method.KERBEROS in login.methods


def _realms_of(name: DomainName, domain: DomainSettings) -> tuple[RealmName, ...]:
    """Return the realms of all directories of a domain, each once."""
    found = [realm_of_directory(name, domain, each) for each in domain.directory]
    if not domain.directory:
        found = [realm_of(name, domain)]
    return tuple(dict.fromkeys(realm for realm in found if realm is not None))


def render(realms: Iterable[Realm]) -> str:
    """Return the text of a krb5.conf; the first realm is the default one."""
    in_use = tuple(realms)
    return _HEAD + "".join(f"{line}\n" for line in _lines(in_use))


def install(text: str, run_dir: Path, name: str = FILE) -> Path:
    """Write the krb5.conf and make this process use it.

    Call it before gssapi is first used: libkrb5 reads the variable once.

    Args:
        text: What `render` returned.
        run_dir: The folder to write to; made where it is missing.
        name: The file in it.

    Returns:
        The file.

    Raises:
        ConfigError: The folder cannot be written to.
    """
    path = run_dir / name
    try:
        run_dir.mkdir(parents=True, exist_ok=True)
        _replace(path, text)
    except OSError as error:
        problem = Problem(
            "run-dir",
            "serve: run_dir",
            f"{path} cannot be written: {error.strerror}.",
            "Let the user that runs dirbridge write there, or name another run_dir.",
        )
        raise ConfigError((problem,)) from None
    os.environ[VARIABLE] = str(path)
    return path


def _replace(path: Path, text: str) -> None:
    """Write a file in one step: a reader sees the old one or the new one."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="ascii") as file:
            file.write(text)
            os.fchmod(file.fileno(), 0o644)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _lines(realms: tuple[Realm, ...]) -> Iterator[str]:
    yield "[libdefaults]"
    for realm in realms[:1]:
        yield f"    default_realm = {realm.name}"
    for key, value in _LIBDEFAULTS:
        yield f"    {key} = {value}"
    yield from ("", "[realms]")
    for realm in realms:
        yield f"    {realm.name} = {{"
        for kdc in realm.kdcs:
            yield f"        kdc = {kdc}"
        yield "    }"
    yield from ("", "[domain_realm]")
    for realm in realms:
        for name in realm.domain_realm:
            yield f"    {name} = {realm.name}"


def _merged(
    name: RealmName, domains: list[DomainName], configuration: Configuration
) -> Realm:
    """Join what the realm's file says with what its domains say."""
    file = configuration.realms.get(name) or RealmSettings(name=name)
    tables = configuration.settings.domains
    directories = [
        directory
        for each in domains
        for directory in tables[each].directory
        if realm_of_directory(each, tables[each], directory) == name
    ]
    directories += [
        directory
        for directory in _all_directories(configuration.settings)
        if realm_of_account(directory) == name
    ]
    servers = (
        HostPort(server.host)
        for directory in directories
        for server in directory.servers
    )
    kdcs = (HostPort(k.host, k.port or KDC_PORT) for k in file.kdcs or tuple(servers))
    dns_name = name.lower()
    return Realm(
        name=name,
        kdcs=tuple(dict.fromkeys(kdcs)),
        domain_realm=file.domain_realm or (f".{dns_name}", dns_name),
        domains=tuple(domains),
        keytab=file.keytab,
        service=file.service,
    )


def _all_directories(settings: Settings) -> Iterator[DirectorySettings]:
    for domain in settings.domains.values():
        yield from domain.directory


def _realm_of_directory(
    name: DomainName, directory: DirectorySettings
) -> RealmName | None:
    match directory.type:
        case DirectoryType.ACTIVE_DIRECTORY:
            return parse_realm(directory.directory_domain or name)
        case DirectoryType.OPEN_DIRECTORY_KERBEROS:
            return _realm_of_server(directory)
        case DirectoryType.OPEN_DIRECTORY_PASSWORD_SERVER | DirectoryType.LDAP:
            return None


def _realm_of_server(directory: DirectorySettings) -> RealmName | None:
    """Return the server's name in capitals, as Apple's set-up names the realm."""
    if directory.server is not None:
        try:
            ip_address(directory.server.host)
        except ValueError:
            return parse_realm(directory.server.host)
    suffix = dn.dns_name(directory.suffix) if directory.suffix else ""
    return parse_realm(suffix) if suffix else None
