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
        url = make_url(server.create_database(name))
        plain = f"postgresql://{url.username}@{url.host}:{url.port}/{url.database}"
        try:
            with open_store(plain, Secret(str(url.password))) as store:
                yield store
        finally:
            server.drop_database(name)
