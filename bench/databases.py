"""Databases that rows write to: a SQLite file, or a PostgreSQL cluster of their own."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Protocol

import psycopg

from testbed import namespace
from testbed.bed import Bed
from testbed.postgresql import DATABASE, PASSWORD_KEY, Postgresql

NAME = "bench"


class Database(Protocol):
    """Where a bridge stores its accounts.

    Attributes:
        url: As `store.url` of the configuration.
        settings: The lines below `[store]`.
    """

    url: str
    settings: str

    def empty(self) -> None:
        """Make it as if dirbridge had never run; nobody may be connected."""
        ...

    def query(self, sql: str, *values: str) -> list[tuple[Any, ...]]:
        """Ask it past dirbridge; values stand for `?`."""
        ...


class SqliteFile:
    """A file in a folder."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "dirbridge.db"
        self.url = f"sqlite:///{self.path}"
        self.settings = f'url = "{self.url}"'

    def empty(self) -> None:
        """Delete the file and what lies beside it."""
        for path in self.path.parent.glob(f"{self.path.name}*"):
            path.unlink()

    def query(self, sql: str, *values: str) -> list[tuple[Any, ...]]:
        """Ask over a connection that cannot write."""
        with closing(sqlite3.connect(f"file:{self.path}?mode=ro", uri=True)) as db:
            return db.execute(sql, values).fetchall()


class PostgresqlDatabase:
    """A database of a running cluster."""

    def __init__(self, cluster: Postgresql, folder: Path) -> None:
        self._cluster = cluster
        self.password = cluster.password(PASSWORD_KEY)
        secret = folder / "database-secret"
        secret.touch(mode=0o600)
        secret.write_text(self.password)
        place = f"{DATABASE}@{cluster.host}:{cluster.port}/{NAME}"
        self.url = f"postgresql+psycopg://{place}"
        self.settings = f'url = "{self.url}"\npassword = {{ file = "{secret}" }}'
        self.empty()

    def empty(self) -> None:
        """Drop the database and make it again."""
        self._cluster.drop_database(NAME)
        self._cluster.create_database(NAME)

    def connect(self) -> psycopg.Connection[tuple[Any, ...]]:
        """Return a connection of our own."""
        return psycopg.connect(self._cluster.url_of(NAME))

    def query(self, sql: str, *values: str) -> list[tuple[Any, ...]]:
        """Ask over a connection of our own."""
        with self.connect() as db:
            return db.execute(sql.replace("?", "%s"), values).fetchall()


@contextmanager
def postgresql(folder: Path) -> Iterator[PostgresqlDatabase]:
    """Give an empty database of a cluster that runs for as long.

    It is the test bed's, which does not wait for the disk (`fsync=off`): neither
    dirbridge nor its reference does.
    """
    namespace.enter()
    bed = Bed(folder / "cluster")
    try:
        bed.start("postgresql")
        yield PostgresqlDatabase(bed.postgresql, folder)
    finally:
        bed.stop()
