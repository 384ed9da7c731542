"""Look at the files that the configuration names: certificates, secrets, keytabs.

Loading needs none of them, so that a configuration can be written and read before
they are there; `check` and `serve` ask for all problems here.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from dirbridge.config import secrets
from dirbridge.config.krb5_conf import Realm, realms_in_use
from dirbridge.config.loading import Configuration
from dirbridge.config.problems import place
from dirbridge.config.settings import DirectorySettings
from dirbridge.config.types import SecretReference
from dirbridge.errors import ConfigError, Problem

_KEYTAB = b"\x05"
"""First octet of every keytab (MIT krb5, keytab file format)."""


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
    if directory.ca_file is not None:
        mend = "Put the CA's certificate there, in PEM form."
        where = place(file, (*keys, "ca_file"))
        yield from _unreadable(directory.ca_file, where, mend)


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
