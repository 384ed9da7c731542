"""What must hold within a directory's table, and between it and the logins.

How a server is reached (`security`), how it is verified, and how the service account
proves itself (`bind`) do not go together in every way. Each rule is a row of a table.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from ipaddress import ip_address

from dirbridge.config.broken import Broken
from dirbridge.config.problems import Location
from dirbridge.config.settings import (
    Bind,
    DirectorySettings,
    DomainSettings,
    Method,
    Security,
    Settings,
)
from dirbridge.config.types import HostPort, parse_realm

TLS = (Security.LDAPS, Security.STARTTLS)

_NT_NAME = re.compile(r"[^\\@]+\\[^\\@]+")


def connections(settings: Settings) -> Iterator[Broken]:
    """Yield every rule that does not hold."""
    for name, domain in settings.domains.items():
        for number, directory in enumerate(domain.directory):
            keys: Location = ("domains", name, "directory", number)
            yield from _missing(directory, keys)
            yield from _contrary(directory, keys)
            yield from _addresses(directory, keys)
        yield from _logins(domain, ("domains", name))


def is_nt_name(username: str) -> bool:
    r"""Whether a name is `DOMAIN\user`: such an account binds by NTLM when sealed."""
    return _NT_NAME.fullmatch(username) is not None


def is_principal(username: str) -> bool:
    """Whether a name is `user@realm`: such an account binds by Kerberos when sealed."""
    user, at, realm = username.rpartition("@")
    try:
        parse_realm(realm)
    except ValueError:
        return False
    return bool(at and user) and "\\" not in user and "=" not in user


@dataclass(frozen=True, slots=True)
class _Needed:
    """A key that must be there.

    Attributes:
        key: The key.
        asked: Whether this directory needs it.
        reason: What needs it.
        mend: What to write.
    """

    key: str
    asked: Callable[[DirectorySettings], bool]
    reason: str
    mend: str


def _binds(bind: Bind) -> Callable[[DirectorySettings], bool]:
    return lambda directory: directory.bind is bind


_NEEDED = (
    _Needed(
        "username",
        lambda d: d.bind is not Bind.EXTERNAL,
        'only bind = "external" goes without it',
        "Write the account that may read the directory.",
    ),
    _Needed(
        "password",
        _binds(Bind.SIMPLE),
        'bind = "simple" needs it',
        'Write password = { file = "/etc/dirbridge/secrets/NAME" }.',
    ),
    _Needed(
        "keytab",
        _binds(Bind.KERBEROS),
        'bind = "kerberos" needs it',
        'Write keytab = { file = "/etc/dirbridge/secrets/NAME.keytab" }.',
    ),
    _Needed(
        "cert_file",
        lambda d: d.bind is Bind.EXTERNAL or d.key_file is not None,
        'bind = "external" needs it, and so does key_file',
        'Write cert_file = "/etc/dirbridge/client.pem", the certificate.',
    ),
    _Needed(
        "key_file",
        lambda d: d.bind is Bind.EXTERNAL or d.cert_file is not None,
        'bind = "external" needs it, and so does cert_file',
        'Write key_file = "/etc/dirbridge/client.key", the key of cert_file.',
    ),
)


def _missing(directory: DirectorySettings, keys: Location) -> Iterator[Broken]:
    for one in _NEEDED:
        if one.asked(directory) and not getattr(directory, one.key):
            yield Broken(
                "missing-key",
                (*keys, one.key),
                f'The key "{one.key}" is missing; {one.reason}.',
                one.mend,
                ((*keys, one.key),),
            )


@dataclass(frozen=True, slots=True)
class _Contrary:
    """Two keys that do not go together.

    Attributes:
        key: The key that is told as the place.
        holds: Whether this directory has both.
        text: What is wrong.
        mend: What to do.
    """

    key: str
    holds: Callable[[DirectorySettings], bool]
    text: str
    mend: str


def _unprotected(directory: DirectorySettings) -> bool:
    return directory.security not in TLS


def _sealed_by_password(directory: DirectorySettings) -> bool:
    return directory.security is Security.SEALED and directory.bind is Bind.SIMPLE


_CONTRARY = (
    _Contrary(
        "allow_cleartext_passwords",
        lambda d: d.allow_cleartext_passwords and d.security is Security.SEALED,
        'With security = "sealed" no password is ever sent in clear text.',
        "Take allow_cleartext_passwords out.",
    ),
    _Contrary(
        "certificate_pin",
        lambda d: bool(d.certificate_pin) and _unprotected(d),
        "A pin is of no use without TLS, as no certificate is shown.",
        'Write security = "ldaps" or "starttls", or take the pin out.',
    ),
    _Contrary(
        "certificate_pin",
        lambda d: bool(d.certificate_pin) and d.ca_file is not None,
        "A pin stands for the authority, so ca_file would not be looked at.",
        "Keep one of certificate_pin and ca_file.",
    ),
    _Contrary(
        "tls_legacy",
        lambda d: d.tls_legacy and _unprotected(d),
        "tls_legacy is of no use without TLS.",
        'Write security = "ldaps" or "starttls", or take tls_legacy out.',
    ),
    _Contrary(
        "cert_file",
        lambda d: d.cert_file is not None and d.security is Security.SEALED,
        "A client certificate is of no use without TLS.",
        'Write security = "ldaps" or "starttls", or take the certificate out.',
    ),
    _Contrary(
        "bind",
        lambda d: d.bind is Bind.EXTERNAL and _unprotected(d),
        'bind = "external" needs TLS: the certificate is shown there.',
        'Write security = "ldaps" or "starttls".',
    ),
    _Contrary(
        "bind",
        lambda d: d.bind is Bind.KERBEROS and d.security is Security.NONE,
        'bind = "kerberos" with security = "none" would leave everything that is '
        "read in clear text.",
        'Write security = "sealed", which needs no certificate.',
    ),
    _Contrary(
        "password",
        lambda d: d.password is not None and d.bind is not Bind.SIMPLE,
        "The password is not looked at: the account binds in another way.",
        'Take it out, or write bind = "simple".',
    ),
    _Contrary(
        "keytab",
        lambda d: d.keytab is not None and d.bind is not Bind.KERBEROS,
        "The keytab is not looked at: the account binds in another way. (The keytab "
        "of logins stands in the realm's file.)",
        'Take it out, or write bind = "kerberos".',
    ),
    _Contrary(
        "username",
        lambda d: (
            d.bind is Bind.KERBEROS
            and bool(d.username)
            and not is_principal(d.username)
        ),
        "The username is no Kerberos principal.",
        'Write it like "dirbridge@CORP.COMPANY.COM".',
    ),
    _Contrary(
        "username",
        lambda d: (
            _sealed_by_password(d)
            and bool(d.username)
            and not (is_principal(d.username) or is_nt_name(d.username))
        ),
        "A sealed connection needs a Kerberos principal or an NT name.",
        'Write "dirbridge@CORP.COMPANY.COM" (Kerberos) or "CORP\\\\dirbridge" (NTLM).',
    ),
)


def _contrary(directory: DirectorySettings, keys: Location) -> Iterator[Broken]:
    for one in _CONTRARY:
        if one.holds(directory):
            yield Broken("contrary-keys", (*keys, one.key), one.text, one.mend)


def _addresses(directory: DirectorySettings, keys: Location) -> Iterator[Broken]:
    """Refuse addresses where the server is known by `ldap/NAME`, its principal."""
    by_name = directory.security is Security.SEALED or directory.bind is Bind.KERBEROS
    if not by_name:
        return
    for server in directory.servers:
        if _is_address(server):
            key = "server" if server == directory.server else "backup_server"
            text = f"{server} is an address; Kerberos knows servers by name only."
            mend = 'Write the server\'s own DNS name, such as "dc1.corp.company.com".'
            yield Broken("server-address", (*keys, key), text, mend)


def _is_address(server: HostPort) -> bool:
    try:
        ip_address(server.host)
    except ValueError:
        return False
    return True


def _logins(domain: DomainSettings, keys: Location) -> Iterator[Broken]:
    """Refuse logins that would send people's passwords where none may go.

    Where only some directories are sealed, the method is for the others: it sends a
    sealed one no password (`Access.takes_passwords`).
    """
    methods = domain.login.methods or ()
    sealed = {each.security is Security.SEALED for each in domain.directory}
    if sealed == {True} and Method.LDAP_BIND in methods:
        yield Broken(
            "contrary-keys",
            (*keys, "login", "methods"),
            '"ldap-bind" sends people\'s passwords in clear text where security = '
            '"sealed": it seals what is read, but only after the bind.',
            'Write methods = ["kerberos"], or security = "ldaps".',
        )
