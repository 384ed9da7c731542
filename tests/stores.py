"""An empty store of each kind, for tests that every store must pass."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import make_url

from dirbridge.model.secret import Secret
from dirbridge.store.base import Store
from dirbridge.store.memory import MemoryStore
from dirbridge.store.opening import open_store
from testbed.postgresql import Postgresql

KINDS = [
    "memory",
    "sqlite",
    pytest.param("postgresql", marks=pytest.mark.needs_postgresql),
]


@contextmanager
def empty(request: pytest.FixtureRequest, folder: Path, name: str) -> Iterator[Store]:
    """Open an empty store of the kind that the fixture's parameter names.

    `name` is that of PostgreSQL's database, which is gone afterwards.
    """
    if request.param == "memory":
        with MemoryStore() as store:
            yield store
    elif request.param == "sqlite":
        with open_store(f"sqlite:///{folder}/dirbridge.db") as store:
            yield store
    else:
        server: Postgresql = request.getfixturevalue("postgresql")
        full_url = server.create_database(name)
        try:
            with open_store(*parted(full_url)) as store:
                yield store
        finally:
            server.drop_database(name)


def parted(full_url: str) -> tuple[str, Secret]:
    """A PostgreSQL url without its password, and the password."""
    url = make_url(full_url)
    plain = f"postgresql://{url.username}@{url.host}:{url.port}/{url.database}"
    return plain, Secret(str(url.password))


@contextmanager
def two(url: str, password: Secret | None = None) -> Iterator[tuple[Store, Store]]:
    """Open a database twice, as two bridges of a fleet do."""
    with open_store(url, password) as one, open_store(url, password) as other:
        yield one, other
