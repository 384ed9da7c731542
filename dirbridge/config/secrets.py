"""Read secrets by reference, again whenever their file changes.

No secret ever stands in an error: only where it should have stood.
"""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from dirbridge.config.types import SecretReference
from dirbridge.errors import ConfigError, Problem
from dirbridge.model.secret import Secret

CREDENTIALS = "CREDENTIALS_DIRECTORY"
"""systemd's variable for the folder of a unit's credentials."""

_LONGEST = 64 * 1024
_OTHERS = stat.S_IRWXO
_GROUP_WRITE = stat.S_IWGRP


@dataclass(frozen=True, slots=True)
class _Stamp:
    """What tells that a file has changed."""

    inode: int
    size: int
    changed_ns: int


class Secrets:
    """Hold what was read, and read it again when its file changes.

    Used by several threads at once.
    """

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        self._environment = environment
        self._lock = threading.Lock()
        self._read: dict[Path, tuple[_Stamp, Secret]] = {}

    def get(self, reference: SecretReference, where: str) -> Secret:
        """Return the secret: the first line, without its line end.

        Args:
            reference: Where it stands.
            where: The key that names it, for the error.

        Raises:
            ConfigError: It is missing, unreadable, empty or not UTF-8.
        """
        if reference.env is not None:
            value = self._environment.get(reference.env, "")
            return _secret(value, f"The variable {reference.env}", where)
        path = secret_path(reference, where, self._environment)
        try:
            stamp = _stamp(path)
            with self._lock:
                known = self._read.get(path)
            if known is not None and known[0] == stamp:
                return known[1]
            secret = _secret(_first_line(path, where), f"The file {path}", where)
        except OSError as error:
            raise _unreadable(path, error, where) from None
        with self._lock:
            self._read[path] = (stamp, secret)
        return secret


def read_secret(
    reference: SecretReference,
    where: str,
    environment: Mapping[str, str] = os.environ,
) -> Secret:
    """Read a secret once; see `Secrets.get`."""
    return Secrets(environment).get(reference, where)


def secret_path(
    reference: SecretReference,
    where: str,
    environment: Mapping[str, str] = os.environ,
) -> Path:
    """Return the file of a reference, such as a keytab's.

    Raises:
        ConfigError: It is an environment variable, or a credential outside systemd.
    """
    if reference.file is not None:
        return reference.file
    folder = environment.get(CREDENTIALS)
    if reference.credential is None or not folder:
        problem = Problem(
            "missing-secret",
            where,
            f"{_capital(str(reference))} is not there: systemd gives no credentials.",
            "Start dirbridge by systemd with LoadCredential=, or write { file = ... }.",
        )
        raise ConfigError((problem,))
    return Path(folder) / Path(reference.credential).name


def inspect(
    reference: SecretReference,
    where: str,
    environment: Mapping[str, str] = os.environ,
) -> tuple[Problem, ...]:
    """Return what is wrong with a secret: missing, empty, or open to others.

    Args:
        reference: Where it stands.
        where: The key that names it.
        environment: The environment variables.
    """
    try:
        read_secret(reference, where, environment)
    except ConfigError as error:
        return error.problems
    return () if reference.file is None else open_to_others(reference.file, where)


def open_to_others(path: Path, where: str) -> tuple[Problem, ...]:
    """Return a problem where others may read a secret file or its group write it.

    Args:
        path: The file: a secret's, or a keytab.
        where: The key that names it.
    """
    try:
        mode = path.stat().st_mode
    except OSError as error:
        return _unreadable(path, error, where).problems
    if not mode & (_OTHERS | _GROUP_WRITE):
        return ()
    return (
        Problem(
            "open-secret",
            where,
            f"The file {path} is open to others (mode {stat.S_IMODE(mode):04o}).",
            f'Run "chmod 0600 {path}", or 0640 with a group of its own.',
        ),
    )


def _stamp(path: Path) -> _Stamp:
    status = path.stat()
    return _Stamp(status.st_ino, status.st_size, status.st_mtime_ns)


def _first_line(path: Path, where: str) -> str:
    with path.open("rb") as file:
        raw = file.read(_LONGEST)
    try:
        return raw.decode().partition("\n")[0].rstrip("\r")
    except UnicodeDecodeError:
        problem = Problem(
            "bad-secret",
            where,
            f"The file {path} is not UTF-8 text.",
            "Write the secret into its first line, as UTF-8.",
        )
        raise ConfigError((problem,)) from None


def _secret(text: str, what: str, where: str) -> Secret:
    if text and "\0" not in text:
        return Secret(text)
    problem = Problem(
        "missing-secret" if not text else "bad-secret",
        where,
        f"{what} {'holds a NUL' if text else 'is empty or not there'}.",
        "Put the secret there, in the first line and with nothing around it.",
    )
    raise ConfigError((problem,))


def _unreadable(path: Path, error: OSError, where: str) -> ConfigError:
    missing = isinstance(error, FileNotFoundError)
    problem = Problem(
        "missing-secret" if missing else "unreadable-secret",
        where,
        f"The file {path} cannot be read: {error.strerror}.",
        "Write the secret into it with mode 0600, owned by the user of dirbridge."
        if missing
        else "Let the user that runs dirbridge read it, and nobody else.",
    )
    return ConfigError((problem,))


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
