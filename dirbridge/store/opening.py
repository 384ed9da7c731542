"""Opening the store: made where there is none, refused where it does not fit.

Schemas are numbered; the number is the Alembic revision. This release runs on
schema N (`SCHEMA`) and, for logins and look-ups, on N+1, so that a fleet can be
upgraded machine by machine; it refuses all others.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import URL, Connection, inspect, make_url, select
from sqlalchemy.exc import ArgumentError

from dirbridge.errors import StoreError
from dirbridge.model.secret import Secret
from dirbridge.store.database import Database, wrapped
from dirbridge.store.schema import SCHEMA, VERSION_TABLE, Base, version
from dirbridge.store.sql import SqlStore
from dirbridge.store.sqlite import SqliteDatabase


@dataclass(frozen=True, slots=True)
class Owner:
    """Who owns the store's file, as numbers."""

    uid: int
    gid: int


@dataclass(frozen=True, slots=True)
class Upgrade:
    """What `upgrade_store` did.

    Attributes:
        before: The schema's number before, 0 for an empty database.
        after: The schema's number now.
        backup: One sentence on the copy; "" where nothing was to be done.
    """

    before: int
    after: int
    backup: str = ""


def open_store(url: str, password: Secret | None = None) -> SqlStore:
    """Open the local user database; make it where there is none.

    Args:
        url: `sqlite:////path/to/file.db` or `postgresql+psycopg://user@host/name`.
        password: PostgreSQL's password, which must not stand in the url.

    Raises:
        StoreError: `url`, `no-folder`, `read-only`, `unreachable`, `broken`, or the
            schema does not fit:
            `older-schema` (call `upgrade_store`) or `newer-schema`.
    """
    with opened(url, password) as database:
        schema = _schema_or_made(database)
        _check_fits(schema, database.where)
        return SqlStore(database, schema=schema)


def upgrade_store(
    url: str, password: Secret | None = None, folder: Path | None = None
) -> Upgrade:
    """Bring the store to the newest schema; save it first where that changes it.

    Args:
        url: As for `open_store`.
        password: As for `open_store`.
        folder: Where to put the copy; None for beside the file (SQLite) or for
            none (PostgreSQL).

    Raises:
        StoreError: Nothing was changed.
    """
    with opened(url, password) as database:
        try:
            before = _schema_or_made(database)
            if before > SCHEMA:
                raise _newer(database.where)
            if before == SCHEMA:
                return Upgrade(before, SCHEMA)
            saved = database.backup(folder)
            _migrate(database)
            return Upgrade(before, SCHEMA, saved)
        finally:
            database.reads.dispose()


def owner_of(url: str) -> Owner | None:
    """Return who owns the store, so that a command run as root can become them.

    For a file that does not exist yet it is the owner of its folder.

    Returns:
        The owner, or None where no file or folder tells it (PostgreSQL).
    """
    parsed = _parsed(url)
    if parsed.get_backend_name() != "sqlite" or not parsed.database:
        return None
    path = Path(parsed.database).absolute()
    for place in (path, path.parent):
        try:
            status = place.stat()
        except OSError:
            continue
        return Owner(status.st_uid, status.st_gid)
    return None


def store_is_there(url: str) -> bool:
    """Whether there is a store; only of a file it is known before it is opened."""
    parsed = _parsed(url)
    if parsed.get_backend_name() != "sqlite" or not parsed.database:
        return True
    return Path(parsed.database).exists()


def _parsed(url: str) -> URL:
    try:
        parsed = make_url(url)
    except ArgumentError:
        # The text itself may hold a password, so it is not repeated.
        words = "is not a database url; write sqlite:////path/to/file.db"
        raise StoreError("url", "store.url", words) from None
    if parsed.password:
        words = "holds a password; put it in a file and name that in store.password"
        raise StoreError("url", "store.url", words)
    return parsed


@contextmanager
def opened(url: str, password: Secret | None) -> Iterator[Database]:
    """Give the database, whatever is in it; an error closes its connections.

    Raises:
        StoreError: Also in place of every error of SQL in the block.
    """
    database = _database(_parsed(url), password)
    with wrapped(database):
        try:
            yield database
        except BaseException:
            database.reads.dispose()
            raise


def _database(url: URL, password: Secret | None) -> Database:
    if url.get_backend_name() == "sqlite":
        return SqliteDatabase(url)
    if url.get_backend_name() != "postgresql":
        words = f"{url.get_backend_name()} is not supported; use sqlite or postgresql"
        raise StoreError("url", "store.url", words)
    try:
        # Only here: psycopg is an extra.
        from dirbridge.store.postgresql import PostgresqlDatabase  # noqa: PLC0415
    except ImportError as error:
        words = "needs psycopg; install dirbridge[postgresql]"
        raise StoreError("url", "store.url", words) from error
    return PostgresqlDatabase(url.set(drivername="postgresql+psycopg"), password)


def _schema_or_made(database: Database) -> int:
    """Return the schema's number; make the tables in an empty database."""
    with database.first():
        # Most times there is nothing to make, and no reason to wait for a plan that
        # somebody is writing.
        with database.reads.begin() as connection:
            if schema := schema_of(connection, database.where):
                return schema
        with database.writes.begin() as connection:
            database.queue(connection)
            schema = schema_of(connection, database.where)
            if schema == 0:
                create(connection)
            return schema or SCHEMA


def create(connection: Connection) -> None:
    """Make all tables of the newest schema in an empty database."""
    Base.metadata.create_all(connection)
    version.create(connection)
    connection.execute(version.insert(), {"version_num": f"{SCHEMA:04}"})


def schema_of(connection: Connection, where: str) -> int:
    """Return the schema's number, 0 for a database without any of our tables."""
    tables = set(inspect(connection).get_table_names())
    if VERSION_TABLE not in tables:
        if taken := tables & set(Base.metadata.tables):
            words = f"holds tables of something else ({min(taken)}); use an empty one"
            raise StoreError("broken", where, words)
        return 0
    found = connection.execute(select(version.c.version_num)).scalar()
    if found is None or not found.isdigit() or int(found) == 0:
        words = f"its {VERSION_TABLE} names no schema; restore a backup"
        raise StoreError("broken", where, words)
    return int(found)


def _check_fits(schema: int, where: str) -> None:
    if schema < SCHEMA:
        words = f"schema {schema}, this release needs {SCHEMA}"
        raise StoreError("older-schema", where, words)
    if schema > SCHEMA + 1:
        raise _newer(where)


def _newer(where: str) -> StoreError:
    words = f"beyond schema {SCHEMA + 1}, the last that this release can read"
    return StoreError("newer-schema", where, words)


def _migrate(database: Database) -> None:
    # Only here: Alembic is needed for nothing else, and costs start-up time.
    from dirbridge.store.migrations import upgrade  # noqa: PLC0415

    with database.migrating() as connection:
        database.queue(connection)
        upgrade(connection)
