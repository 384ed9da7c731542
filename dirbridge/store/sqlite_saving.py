"""Saving a SQLite database while it is in use, and putting a copy in its place."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

from dirbridge.errors import StoreError
from dirbridge.store.base import RESTORED
from dirbridge.store.schema import VERSION_TABLE
from dirbridge.store.sqlite_files import connect, locked, make_file
from dirbridge.store.sqlite_turns import held, turn_files

_CANNOT_BE_READ = frozenset({sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT})


def stamp() -> str:
    """Return the time, as it stands in the names of copies."""
    return datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")


def save(path: Path, target: Path, where: str) -> None:
    """Copy the database with SQLite's backup call, which waits for writers.

    Raises:
        StoreError: `backup`; there is no copy.
    """
    try:
        make_file(target)
    except OSError as error:
        raise _not_saved(target, where, error) from error
    try:
        with closing(connect(path)) as ours, closing(connect(target)) as copy:
            ours.backup(copy)
            # Else it would need files beside it as soon as anybody reads it.
            copy.execute("PRAGMA journal_mode = DELETE").fetchone()
    except (OSError, sqlite3.Error) as error:
        target.unlink(missing_ok=True)
        raise _not_saved(target, where, error) from error


def _not_saved(target: Path, where: str, error: Exception) -> StoreError:
    words = getattr(error, "strerror", None) or str(error)
    return StoreError("backup", where, f"no copy at {target}: {words}")


def restore(path: Path, source: Path, newest: int, where: str) -> Path | None:
    """Put a checked copy in the place of the database, which is kept beside it.

    Args:
        path: The database.
        source: What to restore.
        newest: The newest schema that will do.
        where: The database for people.

    Returns:
        Where the former database is kept; None where there was none.

    Raises:
        StoreError: `no-backup`, `newer-schema`, `in-use`, `full`; nothing was changed.
    """
    incoming = path.with_name(f"{path.name}.restoring")
    with locked(path.parent, where):
        try:
            _take_in(source, incoming, path)
            with closing(connect(incoming)) as copy:
                _check(copy, source, newest, where)
                _mark(copy)
            with _alone(path, where):
                return _replace(path, incoming)
        except sqlite3.DatabaseError as error:
            if error.sqlite_errorcode & 0xFF in _CANNOT_BE_READ:
                raise StoreError("no-backup", where, f"{source}: {error}") from error
            raise
        except OSError as error:
            words = f"{error.filename or source}: {error.strerror}"
            raise StoreError("no-backup", where, words) from error
        finally:
            for suffix in ("", "-journal", "-wal", "-shm"):
                incoming.with_name(incoming.name + suffix).unlink(missing_ok=True)


def _take_in(source: Path, incoming: Path, path: Path) -> None:
    """Copy what is to be restored beside the database, readable by its owner alone."""
    incoming.unlink(missing_ok=True)
    with source.open("rb"):
        make_file(incoming, path)
    # A file that nobody writes needs no -wal beside it, which we could not make.
    alone = "" if source.with_name(f"{source.name}-wal").exists() else "&immutable=1"
    place = f"file:{quote(str(source))}?mode=ro{alone}"
    with (
        closing(sqlite3.connect(place, uri=True)) as saved,
        closing(connect(incoming)) as copy,
    ):
        saved.backup(copy)
        copy.execute("PRAGMA journal_mode = DELETE").fetchone()


def _check(copy: sqlite3.Connection, source: Path, newest: int, where: str) -> None:
    whole = copy.execute("PRAGMA integrity_check(1)").fetchone() == ("ok",)
    if not whole or copy.execute("PRAGMA foreign_key_check").fetchone():
        raise StoreError("no-backup", where, f"{source} is damaged")
    try:
        row = copy.execute(f"SELECT version_num FROM {VERSION_TABLE}").fetchone()  # noqa: S608
    except sqlite3.OperationalError:
        row = None
    if row is None or not str(row[0]).isdigit():
        raise StoreError("no-backup", where, f"{source} holds something else")
    if int(row[0]) > newest:
        words = f"{source} has schema {int(row[0])}, this release knows {newest}"
        raise StoreError("newer-schema", where, words)


def _mark(copy: sqlite3.Connection) -> None:
    """Let the next run read everything, and forget approvals: they are used once."""
    copy.execute(
        "UPDATE cursors SET kind = ?, value = ?", (RESTORED.kind, RESTORED.value)
    )
    with suppress(sqlite3.OperationalError):  # the first schema had none
        copy.execute("DELETE FROM offers")


@contextmanager
def _alone(path: Path, where: str) -> Iterator[None]:
    """Hold the database, which nobody else may have open, and every turn.

    A sync has its turn while it reads its directory, also where it has no connection.

    Raises:
        StoreError: `in-use`.
    """
    if not path.exists():
        yield
        return
    with _turns(path, where), closing(connect(path)) as ours:
        try:
            ours.execute("PRAGMA busy_timeout = 1000")
            # Out of WAL mode leads only a way for one alone.
            ours.execute("PRAGMA journal_mode = DELETE").fetchone()
            ours.execute("BEGIN EXCLUSIVE")
        except sqlite3.DatabaseError as error:
            if error.sqlite_errorcode & 0xFF not in _CANNOT_BE_READ:
                raise StoreError("in-use", where) from error
            # That is what it is restored for; nobody can have it open.
        yield


@contextmanager
def _turns(path: Path, where: str) -> Iterator[None]:
    with ExitStack() as stack:
        try:
            for file in turn_files(path):
                stack.enter_context(held(file, where, make_file))
        except StoreError as error:
            if error.code != "turn-taken":
                raise
            raise StoreError("in-use", where, error.detail) from error
        yield


def _replace(path: Path, incoming: Path) -> Path | None:
    kept = None
    if path.exists():
        kept = path.with_name(f"{path.name}.{stamp()}.bak")
        os.link(path, kept)
    for suffix in ("-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    incoming.replace(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
    return kept
