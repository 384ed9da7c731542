"""The files of a SQLite database: who may read them, and how they are opened."""

from __future__ import annotations

import errno
import fcntl
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from dirbridge.errors import StoreError

BUSY_SECONDS = 30
"""How long a write waits for another one."""

_MODE = 0o600


@contextmanager
def locked(folder: Path, where: str) -> Iterator[None]:
    """Hold a lock on the folder, for which others wait."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise no_access(folder, where, error) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def connect(path: Path) -> sqlite3.Connection:
    """Open the file; it is never made here, where its mode would be the umask's."""
    connection = sqlite3.connect(
        f"file:{quote(str(path))}?mode=rw",
        uri=True,
        timeout=BUSY_SECONDS,
        check_same_thread=False,
        # The driver begins no transactions by itself; SQLAlchemy's hook does.
        isolation_level=None,
    )
    try:
        connection.execute("PRAGMA foreign_keys = ON")
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def make_file(path: Path, instead: Path | None = None) -> None:
    """Make an empty file; -wal and -shm take their mode from it.

    Args:
        path: The file.
        instead: A file whose place it will take, if that is there.

    Raises:
        FileExistsError: It is there already.
    """
    handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, _MODE)
    with os.fdopen(handle):
        if os.geteuid() == 0:
            # What root makes belongs to whose folder it lies in, as SQLite does
            # with its own -wal and -shm beside the file. The folder of a service
            # may be root's, though.
            there = instead if instead and instead.exists() else path.parent
            owner = there.stat()
            os.fchown(handle, owner.st_uid, owner.st_gid)


def check_access(path: Path, where: str) -> None:
    """Make sure that file and folder are there and can be written.

    Raises:
        StoreError: `no-folder` or `read-only`.
    """
    folder = path.parent
    try:
        if not folder.is_dir():
            raise StoreError("no-folder", where, f"install -d -m 0750 {folder}")
        # SQLite writes its -wal and -shm beside the file, so the folder counts too.
        for place in (folder, path):
            if place.exists() and not os.access(place, os.W_OK):
                raise PermissionError(errno.EACCES, f"{place} is not writable")
    except OSError as error:
        raise no_access(folder, where, error) from error


def no_access(folder: Path, where: str, error: OSError) -> StoreError:
    """Return the error of a folder or file that is somebody else's."""
    text = f"{error.strerror}; run dirbridge as the owner of {folder}"
    return StoreError("read-only", where, text)
