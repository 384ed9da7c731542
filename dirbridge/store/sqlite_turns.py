"""Turns on SQLite: a locked file for each domain, beside the database.

The kernel lets the lock go when its process ends, however it ends. The database file
itself is not locked: closing it would drop SQLite's own locks.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from glob import escape
from pathlib import Path
from urllib.parse import quote

from sqlalchemy import Connection

from dirbridge.errors import StoreError
from dirbridge.model.names import DomainName

_LONGEST = 100
"""Characters of a domain in the file's name; two that share them only take turns."""

_HOLDER = 100
"""Bytes of a file that say who holds it."""


@dataclass(frozen=True, slots=True)
class FileHold:
    """A locked file; see `store.turns.Hold`.

    Attributes:
        path: The file.
        descriptor: Of the open file; the lock ends when it is closed.
        where: The database for people.
        begins: Begins a transaction for writing.
    """

    path: Path
    descriptor: int
    where: str
    begins: Callable[[], AbstractContextManager[Connection]]

    def check(self) -> None:
        """Make sure that the file is still the one that others would lock."""
        if not _is_the_one(self.descriptor, self.path):
            words = f"{self.path} was deleted while it was in use"
            raise StoreError("turn-lost", self.where, words)

    def begin(self) -> AbstractContextManager[Connection]:
        """Begin a transaction: the process that writes is the one that holds."""
        return self.begins()


def turn_file(database: Path, domain: DomainName) -> Path:
    """Return the file that is locked for a domain's turn."""
    return database.with_name(
        f"{database.name}.{quote(domain, safe='')[:_LONGEST]}.turn"
    )


def turn_files(database: Path) -> list[Path]:
    """Return the files of all domains that had a turn yet."""
    pattern = f"{escape(database.name)}.*.turn"
    return sorted(database.parent.glob(pattern))


@contextmanager
def held(path: Path, where: str, make: Callable[[Path], None]) -> Iterator[int]:
    """Lock a file until the block ends, or fail at once.

    Args:
        path: The file.
        where: The database for people.
        make: Makes an empty file, with the right owner and mode.

    Yields:
        The descriptor of the locked file.

    Raises:
        StoreError: `turn-taken`; `read-only` where the file cannot be opened.
    """
    try:
        descriptor = _opened(path, make)
    except OSError as error:
        words = f"{path}: {error.strerror}"
        raise StoreError("read-only", where, words) from error
    try:
        _lock(descriptor, path, where)
        yield descriptor
    finally:
        os.close(descriptor)


def _opened(path: Path, make: Callable[[Path], None]) -> int:
    with suppress(FileExistsError):
        make(path)
    return os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)


def _lock(descriptor: int, path: Path, where: str) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.pread(descriptor, _HOLDER, 0).decode("ascii", "replace")
        raise StoreError("turn-taken", where, f"by {holder}".strip()) from None
    if not _is_the_one(descriptor, path):
        raise StoreError("turn-taken", where, f"{path} was deleted just now")
    own = f"process {os.getpid()}".encode()
    if os.pread(descriptor, _HOLDER, 0) != own:  # writing it takes its time
        os.truncate(descriptor, 0)
        os.pwrite(descriptor, own, 0)


def _is_the_one(descriptor: int, path: Path) -> bool:
    """Whether the path still names the file that we have locked."""
    try:
        there = path.stat()
    except FileNotFoundError:
        return False
    ours = os.fstat(descriptor)
    return (ours.st_dev, ours.st_ino) == (there.st_dev, there.st_ino)
