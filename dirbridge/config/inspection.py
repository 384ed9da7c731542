"""Look at the files that the configuration names: certificates, secrets, keytabs.

Loading needs none of them, so that a configuration can be written and read before
they are there; `check` and `serve` ask for all problems here.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from dirbridge.config import secrets
from dirbridge.config.krb5_conf import Realm, realm_of, realms_in_use
from dirbridge.config.loading import Configuration
from dirbridge.config.problems import place
from dirbridge.config.settings import DirectorySettings, NoticesSettings
from dirbridge.config.types import SecretReference
from dirbridge.directory import mit_kerberos
from dirbridge.directory import realm as realms
from dirbridge.directory.errors import Undecodable
from dirbridge.errors import ConfigError, Problem
from dirbridge.model.names import RealmName

_KEYTAB = b"\x05"
"""First octet of every keytab (MIT krb5, keytab file format)."""

_OWN_FILES = {
    "cert_file": "Put our certificate there, in PEM form.",
    "key_file": "Put the certificate's key there, in PEM form.",
}


def inspect(
    configuration: Configuration, environment: Mapping[str, str] = os.environ
) -> tuple[Problem, ...]:
    """Return what is wrong with the files that the configuration names.

    Args:
        configuration: The configuration.
        environment: The environment variables, for secrets that stand there.
    """
    return tuple(_problems(configuration, environment))


def inspect_keytab(
    reference: SecretReference,
    where: str,
    environment: Mapping[str, str] = os.environ,
) -> tuple[Problem, ...]:
    """Return what is wrong with a keytab: missing, no keytab, or open to others."""
    try:
        path = secrets.secret_path(reference, where, environment)
    except ConfigError as error:
        return error.problems
    unreadable = _unreadable(path, where, "Make the keytab, as `dirbridge check` says.")
    if unreadable:
        return unreadable
    with path.open("rb") as file:
        if file.read(1) != _KEYTAB:
            text = f"The file {path} is not a keytab."
            mend = "Make the keytab anew, as `dirbridge check` says."
            return (Problem("bad-keytab", where, text, mend),)
    return secrets.open_to_others(path, where)


def inspect_kerberos_file(
    path: Path, realm: RealmName | None, where: str
) -> tuple[Problem, ...]:
    """Return what is wrong with the file that the realm must match.

    Macs have it as /Library/Preferences/edu.mit.Kerberos, others as /etc/krb5.conf.

    Args:
        path: The file.
        realm: The realm of this configuration, None where it has none.
        where: The key that names the file.
    """
    mend = "Name a copy of the master's edu.mit.Kerberos, or this machine's krb5.conf."
    unreadable = _unreadable(path, where, mend)
    if unreadable:
        return unreadable
    try:
        theirs = mit_kerberos.decode(path.read_bytes()).default_realm
    except Undecodable as error:
        text = f"The file {path} {error}."
        return (Problem("bad-kerberos-file", where, text, mend),)
    except OSError as error:
        text = f"The file {path} cannot be read: {error.strerror}."
        return (Problem("unreadable-file", where, text, mend),)
    wrong = _realm_mismatch(str(path), realm, theirs)
    return (Problem("realm-mismatch", where, *wrong),) if wrong else ()


def _realm_mismatch(
    path: str, ours: RealmName | None, theirs: str
) -> tuple[str, str] | None:
    """Return what is wrong and the mend, None where both realms are the same."""
    if not theirs:
        return (
            f"{path} has no default_realm.",
            "Add default_realm to its [libdefaults], or take kerberos_file out.",
        )
    if realms.is_local(theirs):
        return (
            f"The default_realm of {path} is {theirs}, a Mac's own realm.",
            "Write the directory's realm there, or name the file of the master.",
        )
    if ours == theirs:
        return None
    said = f"The settings say {ours or 'no realm'}, {path} says {theirs}"
    if realms.or_none(theirs) == ours:
        return (
            f"{said}; a realm is written in capitals.",
            f"Write default_realm = {ours} there.",
        )
    return (
        f"{said} (default_realm).",
        f'Write kerberos_realm = "{theirs}", or mend the file.',
    )


def _problems(
    configuration: Configuration, environment: Mapping[str, str]
) -> Iterator[Problem]:
    file, settings = configuration.path.name, configuration.settings
    if settings.store.password is not None:
        where = place(file, ("store", "password"))
        yield from secrets.inspect(settings.store.password, where, environment)
    for name, domain in settings.domains.items():
        many = len(domain.directory) > 1
        for number, directory in enumerate(domain.directory):
            keys = ("domains", name, "directory", *((number,) if many else ()))
            yield from _directory(directory, file, keys, environment)
        if domain.login.kerberos_file is not None:
            where = place(file, ("domains", name, "login", "kerberos_file"))
            ours = realm_of(name, domain) or domain.login.kerberos_realm
            yield from inspect_kerberos_file(domain.login.kerberos_file, ours, where)
    yield from _notices(settings.notices, file, environment)
    for realm in realms_in_use(configuration):
        yield from _realm(realm, environment)


def _directory(
    directory: DirectorySettings,
    file: str,
    keys: tuple[int | str, ...],
    environment: Mapping[str, str],
) -> Iterator[Problem]:
    if directory.password is not None:
        where = place(file, (*keys, "password"))
        yield from secrets.inspect(directory.password, where, environment)
    if directory.keytab is not None:
        yield from inspect_keytab(
            directory.keytab, place(file, (*keys, "keytab")), environment
        )
    for key, mend in _OWN_FILES.items():
        path = getattr(directory, key)
        if path is not None:
            yield from _unreadable(path, place(file, (*keys, key)), mend)
    if directory.key_file is not None and directory.key_file.exists():
        yield from secrets.open_to_others(
            directory.key_file, place(file, (*keys, "key_file"))
        )
    if directory.ca_file is not None:
        mend = "Put the CA's certificate there, in PEM form."
        where = place(file, (*keys, "ca_file"))
        yield from _unreadable(directory.ca_file, where, mend)


def _notices(
    notices: NoticesSettings, file: str, environment: Mapping[str, str]
) -> Iterator[Problem]:
    if notices.webhook_token is not None:
        where = place(file, ("notices", "webhook_token"))
        yield from secrets.inspect(notices.webhook_token, where, environment)
    if notices.ca_file is not None:
        mend = "Put the CA's certificate there, in PEM form."
        yield from _unreadable(
            notices.ca_file, place(file, ("notices", "ca_file")), mend
        )


def _realm(realm: Realm, environment: Mapping[str, str]) -> Iterator[Problem]:
    if realm.keytab is not None:
        where = place(f"realms: {realm.name}", ("keytab",))
        yield from inspect_keytab(realm.keytab, where, environment)


def _unreadable(path: Path, where: str, mend: str) -> tuple[Problem, ...]:
    try:
        with path.open("rb"):
            return ()
    except FileNotFoundError:
        text = f"The file {path} is not there."
        return (Problem("missing-file", where, text, mend),)
    except OSError as error:
        text = f"The file {path} cannot be read: {error.strerror}."
        mend = "Let the user that runs dirbridge read it."
        return (Problem("unreadable-file", where, text, mend),)
