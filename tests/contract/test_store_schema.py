"""Migrations and `schema.py` say the same, and every older schema upgrades.

For each revision but the newest, `tests/data/store/NNNN.sql` fills the tables of
that schema with plain SQL that both databases take; its people have the login
names `anna` and `berta`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, inspect, make_url

from dirbridge.errors import StoreError
from dirbridge.model.account import AccountState
from dirbridge.model.entry import EntryKind
from dirbridge.model.plan import Op
from dirbridge.model.secret import Secret
from dirbridge.store.base import NameKind, Store
from dirbridge.store.database import Database
from dirbridge.store.migrations import revisions, upgrade
from dirbridge.store.opening import create, open_store, upgrade_store
from dirbridge.store.postgresql import PostgresqlDatabase
from dirbridge.store.schema import SCHEMA, VERSION_TABLE, Base
from dirbridge.store.sqlite import SqliteDatabase
from testbed.postgresql import Postgresql
from tests.contract.test_store import COMPANY, a_run, change, person, plan, values
from tests.stores import parted

FIXTURES = Path(__file__).parent.parent / "data" / "store"
SERVER = pytest.param("postgresql", marks=pytest.mark.needs_postgresql)


class Place:
    """An empty database, and how to reach it."""

    def __init__(self, url: str, password: Secret | None = None) -> None:
        self.url = url
        self.password = password

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        database = self._open()
        try:
            with database.migrating() as connection:
                yield connection
        finally:
            database.reads.dispose()

    def backup(self, folder: Path | None) -> str:
        database = self._open()
        try:
            return database.backup(folder)
        finally:
            database.reads.dispose()

    def _open(self) -> Database:
        url = make_url(self.url)
        if self.password is not None:
            psycopg = url.set(drivername="postgresql+psycopg")
            return PostgresqlDatabase(psycopg, self.password)
        database = SqliteDatabase(url)
        with database.first():
            return database


@pytest.fixture(params=["sqlite", SERVER])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    if request.param == "sqlite":
        yield Place(f"sqlite:///{tmp_path}/dirbridge.db")
        return
    server: Postgresql = request.getfixturevalue("postgresql")
    yield Place(*parted(server.create_database("store_schema")))
    server.drop_database("store_schema")


def differences(connection: Connection) -> list[object]:
    options = {"version_table": VERSION_TABLE, "compare_server_default": True}
    context = MigrationContext.configure(connection, opts=options)
    return list(compare_metadata(context, Base.metadata))


def shape(connection: Connection) -> dict[str, object]:
    """All that the database itself says of its tables."""
    told = inspect(connection)
    return {
        name: (
            [{**c, "type": str(c["type"])} for c in told.get_columns(name)],
            told.get_pk_constraint(name),
            sorted(told.get_foreign_keys(name), key=str),
            sorted(told.get_unique_constraints(name), key=str),
            sorted(map(words, told.get_indexes(name))),
        )
        for name in told.get_table_names()
    }


def words(index: Mapping[str, Any]) -> str:
    where = {k: str(v) for k, v in index.get("dialect_options", {}).items()}
    return str({**index, "dialect_options": where})


def without_name_of_key(shape: dict[str, object]) -> dict[str, object]:
    """Without our own table: its primary key has Alembic's name for it."""
    return {name: told for name, told in shape.items() if name != VERSION_TABLE}


def test_revisions_are_numbered_up_to_the_newest_schema() -> None:
    assert revisions() == tuple(f"{n:04}" for n in range(1, SCHEMA + 1))


def test_every_older_revision_has_people_to_upgrade() -> None:
    kept = sorted(path.stem for path in FIXTURES.glob("*.sql"))
    assert kept == list(revisions()[:-1])


def test_upgrading_an_empty_database_equals_creating_one(place: Place) -> None:
    with place.writing() as connection:
        upgrade(connection)
        assert differences(connection) == []
        upgraded = without_name_of_key(shape(connection))
    with place.writing() as connection:
        Base.metadata.drop_all(connection)
        connection.exec_driver_sql(f"DROP TABLE {VERSION_TABLE}")
    with place.writing() as connection:
        create(connection)
        assert differences(connection) == []
        assert without_name_of_key(shape(connection)) == upgraded
    upgrade_store(place.url, place.password)
    open_store(place.url, place.password).close()


def test_a_store_that_the_migrations_made_opens(place: Place) -> None:
    with place.writing() as connection:
        upgrade(connection)
    with open_store(place.url, place.password) as store:
        assert list(store.accounts()) == []


def test_every_older_store_upgrades_with_its_people(place: Place) -> None:
    for revision in revisions()[:-1]:
        with place.writing() as connection:
            upgrade(connection, revision)
            for statement in (FIXTURES / f"{revision}.sql").read_text().split(";\n"):
                connection.exec_driver_sql(statement)
        done = upgrade_store(place.url, place.password)
        assert (done.before, done.after) == (int(revision), SCHEMA)
        with open_store(place.url, place.password) as store:
            names = {a.values.login_names[0] for a in store.accounts()}
            assert names == {"anna", "berta"}
            _goes_on(store)
        with place.writing() as connection:
            assert differences(connection) == []
            Base.metadata.drop_all(connection)
            connection.exec_driver_sql(f"DROP TABLE {VERSION_TABLE}")


def _goes_on(store: Store) -> None:
    """What was there is counted, found and changed as if it had been made anew."""
    (anna,) = store.named(COMPANY, NameKind.PRIMARY, "anna@company.com")
    with store.view() as view:
        assert view.live(COMPANY) == {
            ("directory", EntryKind.ACCOUNT): 1,
            ("local", EntryKind.ACCOUNT): 1,
        }
        place = (EntryKind.ACCOUNT, "OU=Staff,DC=corp,DC=company,DC=com")
        assert view.containers(COMPANY, "directory") == {place: 1}
        (told,) = view.remembered(COMPANY, "directory")
        assert (told.id, told.digest) == (anna.values.directory_id, b"")
    gone = replace(anna, state=AccountState.REMOVED)
    store.apply(plan(change(Op.REMOVE, gone), change(Op.CREATE, person("c"))), a_run())
    with store.view() as view:
        assert sum(view.live(COMPANY).values()) == 2
        assert view.containers(COMPANY, "directory") == {(EntryKind.ACCOUNT, ""): 1}


RELEASE_1 = {
    # What release 0.1.0 asks of a store for a login, in its words.
    "accounts": """
        SELECT number, domain, mailbox, origin, role, state, state_reason, state_since,
        source, directory_id, dn, principal, display_name, given_name, surname, forward,
        quota, title, department, phone, entry_state, entry_state_reason, expires_at,
        created_at FROM accounts
        WHERE number IN (SELECT account FROM addresses WHERE key = '{}'
        AND kind IN ('primary', 'alias', 'kept')) AND state != 'removed' ORDER BY number
    """,
    "names": """
        SELECT account, kind, name FROM names WHERE account BETWEEN 1 AND 99
        ORDER BY account, kind, position
    """,
    "attempt": """
        INSERT INTO attempts (at, verdict, reason, "user", user_key, request_name,
        name_key, method, server, detail, service, hook, milliseconds)
        VALUES ('2026-03-01 13:00:00.000000', 'accepted', '', 'a@b', 'a@b', 'a', 'a',
        'ldap-bind', 'dc1', '', 'imap', 'h', 1.5)
    """,
}


def test_the_release_before_still_answers_logins(place: Place) -> None:
    sales = person("", login_names=(), primary_address="sales@company.com")
    sales = values(sales, kind=EntryKind.GROUP)
    anna = person("anna", primary_address="anna@company.com")
    with open_store(place.url, place.password) as store:
        store.apply(plan(change(Op.CREATE, anna), change(Op.CREATE, sales)), a_run())
    with place.writing() as connection:
        asked = RELEASE_1["accounts"]
        found = connection.exec_driver_sql(asked.format("anna@company.com")).all()
        assert [row[2] for row in found] == ["anna"]
        # It would answer a group as a person without a mailbox.
        assert connection.exec_driver_sql(asked.format("sales@company.com")).all() == []
        (name,) = connection.exec_driver_sql(RELEASE_1["names"]).all()
        assert tuple(name)[1:] == ("login", "anna")
        connection.exec_driver_sql(RELEASE_1["attempt"])
    with open_store(place.url, place.password) as store:
        assert len(store.attempts("a")) == 1


def test_a_backup_stands_in_the_folder_and_is_private(
    place: Place, tmp_path: Path
) -> None:
    open_store(place.url, place.password).close()
    folder = tmp_path / "copies"
    folder.mkdir()
    words = place.backup(folder)
    (copy,) = folder.iterdir()
    assert str(copy) in words
    assert copy.stat().st_mode & 0o777 == 0o600
    assert copy.stat().st_size > 1000


def test_a_backup_that_fails_stops_the_upgrade(place: Place, tmp_path: Path) -> None:
    open_store(place.url, place.password).close()
    with pytest.raises(StoreError) as caught:
        place.backup(tmp_path / "not-there")
    assert caught.value.code == "backup"


def test_a_refused_password_is_told_without_it(postgresql: Postgresql) -> None:
    plain, _ = parted(postgresql.url)
    with pytest.raises(StoreError) as caught:
        open_store(plain, Secret("geheim"))
    assert caught.value.code == "unreachable"
    assert "password authentication failed" in caught.value.detail
    assert "geheim" not in str(caught.value)
