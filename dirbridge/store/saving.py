"""Saving and restoring the whole local user database."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import func, select

from dirbridge.model.secret import Secret
from dirbridge.store.database import Database
from dirbridge.store.opening import opened, schema_of
from dirbridge.store.schema import SCHEMA, AccountRow


@dataclass(frozen=True, slots=True)
class Saved:
    """A copy of the database.

    Attributes:
        file: Where it is; readable by its owner alone.
        size: In octets.
        schema: The schema's number.
    """

    file: Path
    size: int
    schema: int


@dataclass(frozen=True, slots=True)
class Restored:
    """What the database is after it was restored.

    Attributes:
        schema: The schema's number.
        newest: Whether this is the one that this release needs.
        accounts: How many accounts it has.
        kept: Where the former database is, None where it is not kept.
    """

    schema: int
    newest: bool
    accounts: int
    kept: Path | None


def save_store(
    url: str, password: Secret | None = None, target: Path | None = None
) -> Saved:
    """Save the database in a file, while it is in use.

    Args:
        url: As for `store.opening.open_store`.
        password: As for `store.opening.open_store`.
        target: A new file; None for a name with the time, beside a SQLite file, or in
            the current folder.

    Raises:
        StoreError: There is no copy.
    """
    with opened(url, password) as database:
        try:
            schema, _ = _look(database)
            file = database.save(target)
        finally:
            database.reads.dispose()
    return Saved(file, file.stat().st_size, schema)


def restore_store(url: str, source: Path, password: Secret | None = None) -> Restored:
    """Put a copy in the place of the database, which nobody may be using.

    The next run of each directory reads everything then, and what it would take away
    needs approval: whoever was hired since the copy was made is missing in it, and
    whoever was removed is back.

    Args:
        url: As for `store.opening.open_store`.
        source: What `save_store` made, of this schema or an older one.
        password: As for `store.opening.open_store`.

    Raises:
        StoreError: Nothing was changed.
    """
    with opened(url, password) as database:
        try:
            kept = database.restore(source, SCHEMA)
            schema, accounts = _look(database)
        finally:
            database.reads.dispose()
    return Restored(schema, schema == SCHEMA, accounts, kept)


def _look(database: Database) -> tuple[int, int]:
    with database.reads.begin() as connection:
        schema = schema_of(connection, database.where)
        counted = select(func.count()).select_from(AccountRow)
        return schema, connection.execute(counted).scalar_one() if schema else 0
