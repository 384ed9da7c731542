"""Backups and what becomes of a store that was restored, on SQLite and PostgreSQL."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import make_url

from dirbridge.errors import StoreError
from dirbridge.model.entry import Cursor
from dirbridge.model.names import DirectoryId
from dirbridge.model.plan import Approval, Op
from dirbridge.model.secret import Secret
from dirbridge.model.sentences import problems_of
from dirbridge.store.base import NameKind, RunResult, Store
from dirbridge.store.opening import open_store
from dirbridge.store.saving import Restored, Saved, restore_store, save_store
from dirbridge.store.schema import SCHEMA
from dirbridge.store.sql import SqlStore
from dirbridge.store.sqlite_files import make_file
from dirbridge.store.sqlite_turns import held, turn_file
from dirbridge.sync import bookmark
from testbed.postgresql import Postgresql
from tests.contract.test_store import ANNA, COMPANY, a_run, change, person, plan
from tests.stores import parted

NUMBERS = count(1)


@dataclass(frozen=True)
class Place:
    """A database that need not be there yet."""

    url: str
    password: Secret | None = None

    def open(self) -> SqlStore:
        return open_store(self.url, self.password)

    def save(self, target: Path | None = None) -> Saved:
        return save_store(self.url, self.password, target)

    def restore(self, source: Path) -> Restored:
        return restore_store(self.url, source, self.password)


def fill(store: Store) -> None:
    """Somebody with everything, a cursor, and an approval on offer."""
    new = change(Op.CREATE, ANNA)
    store.apply(plan(new, cursor=Cursor("scope", b"here")), a_run())
    now = datetime.now(UTC)
    covers = frozenset({(Op.DEACTIVATE, DirectoryId("x"))})
    until = now + timedelta(hours=24)
    offer = Approval("abc", COMPANY, "directory", covers, now, until)
    store.remember(replace(a_run(), result=RunResult.STOPPED), offer)


class SavingContract:
    """What saving and restoring must do on every database."""

    @pytest.fixture
    def place(self) -> Place:
        raise NotImplementedError

    @pytest.fixture
    def other(self) -> Place:
        """Another database, which is not there yet, or empty."""
        raise NotImplementedError

    @pytest.fixture
    def copy(self, place: Place, tmp_path: Path) -> Path:
        """A backup, made while the store was open."""
        with place.open() as store:
            fill(store)
            return place.save(tmp_path / "copy").file

    def test_a_copy_is_private_and_whole(
        self, place: Place, tmp_path: Path, other: Place
    ) -> None:
        with place.open() as store:
            fill(store)
            saved = place.save(tmp_path / "copy")
            before = list(store.accounts())
        assert saved.file.stat().st_mode & 0o777 == 0o600
        assert (saved.size, saved.schema) == (saved.file.stat().st_size, SCHEMA)
        done = other.restore(saved.file)
        assert (done.schema, done.newest, done.accounts) == (SCHEMA, True, 1)
        with other.open() as restored:
            assert list(restored.accounts()) == before
            assert restored.audit(1)[0].account == ANNA.values.directory_id
            assert restored.named(COMPANY, NameKind.LOGIN, "anna")

    def test_the_next_run_knows_that_it_was_restored(
        self, place: Place, copy: Path
    ) -> None:
        place.restore(copy)
        with place.open() as store:
            kept = store.cursor(COMPANY, "directory")
            assert kept == bookmark.RESTORED
            opened = bookmark.opened(kept)
            assert opened is not None
            assert (opened.cursor, opened.full_at) == (None, None)
            assert store.approval("abc") is None

    def test_what_came_after_the_copy_is_gone_and_numbers_go_on(
        self, place: Place, copy: Path
    ) -> None:
        with place.open() as store:
            store.apply(plan(change(Op.CREATE, person("late"))), a_run())
        place.restore(copy)
        with place.open() as store:
            (anna,) = store.accounts()
            run = store.apply(plan(change(Op.CREATE, person("new"))), a_run())
            assert run.number > 1
            assert [a.mailbox for a in store.accounts()] == ["anna.müller", "new"]
            assert anna.mailbox == "anna.müller"

    def test_no_file_is_overwritten(self, place: Place, tmp_path: Path) -> None:
        letter = tmp_path / "letter"
        letter.write_text("Dear Anna")
        place.open().close()
        with pytest.raises(StoreError) as caught:
            place.save(letter)
        assert caught.value.code == "backup"
        assert letter.read_text() == "Dear Anna"

    @pytest.mark.parametrize("content", [b"", b"Dear Anna", b"PGDMP" + bytes(99)])
    def test_what_is_no_backup_changes_nothing(
        self, place: Place, tmp_path: Path, content: bytes
    ) -> None:
        with place.open() as store:
            fill(store)
        letter = tmp_path / "letter"
        letter.write_bytes(content)
        self.assert_refused(place, letter, "no-backup")
        self.assert_refused(place, tmp_path / "nothing", "no-backup")

    def test_half_of_a_copy_changes_nothing(self, place: Place, copy: Path) -> None:
        octets = copy.read_bytes()
        copy.write_bytes(octets[: len(octets) // 2])
        self.assert_refused(place, copy, "no-backup")

    def test_a_newer_schema_changes_nothing(self, place: Place, tmp_path: Path) -> None:
        with place.open() as store:
            fill(store)
            set_schema(store, f"{SCHEMA + 1:04}")
        newer = place.save(tmp_path / "newer").file
        with place.open() as store:
            set_schema(store, f"{SCHEMA:04}")
        self.assert_refused(place, newer, "newer-schema")

    def test_an_older_schema_is_restored_and_the_upgrade_is_next(
        self, place: Place, tmp_path: Path
    ) -> None:
        with place.open() as store:
            fill(store)
            set_schema(store, f"{SCHEMA - 1:04}")
        older = place.save(tmp_path / "older")
        assert older.schema == SCHEMA - 1
        done = place.restore(older.file)
        assert (done.schema, done.newest) == (SCHEMA - 1, False)

    def assert_refused(self, place: Place, source: Path, code: str) -> None:
        with pytest.raises(StoreError) as caught:
            place.restore(source)
        assert caught.value.code == code
        assert problems_of(caught.value)[0].next
        with place.open() as store:
            assert [a.mailbox for a in store.accounts()] == ["anna.müller"]
            assert store.cursor(COMPANY, "directory") == Cursor("scope", b"here")

    def test_nothing_is_restored_while_a_bridge_runs(
        self, place: Place, copy: Path
    ) -> None:
        with running(place):
            self.assert_refused(place, copy, "in-use")
        place.restore(copy)


def set_schema(store: SqlStore, number: str) -> None:
    with store._database.writes.begin() as connection:
        connection.exec_driver_sql(
            f"UPDATE schema_version SET version_num = '{number}'"
        )


BRIDGE = """
import os
import sys
from dirbridge.model.secret import Secret
from dirbridge.store.opening import open_store
password = os.environ.get("STORE_PASSWORD")
with open_store(sys.argv[1], Secret(password) if password else None) as store:
    list(store.accounts())
    print("open", flush=True)
    sys.stdin.readline()
"""


@contextmanager
def running(place: Place) -> Iterator[None]:
    """Have another process keep the store open, with nothing to do."""
    secret = place.password.reveal() if place.password else ""
    root = str(Path(__file__).parents[2])
    with subprocess.Popen(
        [sys.executable, "-c", BRIDGE, place.url],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": root, "STORE_PASSWORD": secret},
    ) as process:
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == b"open\n"
            yield
        finally:
            process.communicate(b"\n")


class TestSqliteSaving(SavingContract):
    @pytest.fixture
    def file(self, tmp_path: Path) -> Path:
        folder = tmp_path / "store"
        folder.mkdir()
        return folder / "dirbridge.db"

    @pytest.fixture
    def place(self, file: Path) -> Place:
        return Place(f"sqlite:///{file}")

    @pytest.fixture
    def other(self, file: Path) -> Place:
        return Place(f"sqlite:///{file.with_name('other.db')}")

    def test_a_copy_without_a_name_lies_beside_the_file(
        self, place: Place, file: Path
    ) -> None:
        place.open().close()
        saved = place.save()
        assert saved.file.parent == file.parent
        assert saved.file.name.startswith("dirbridge.db.")

    def test_a_copy_is_one_file_that_anything_can_read(
        self, copy: Path, tmp_path: Path
    ) -> None:
        tmp_path.chmod(0o555)
        try:
            with closing(sqlite3.connect(f"file:{copy}?mode=ro", uri=True)) as saved:
                assert saved.execute("PRAGMA journal_mode").fetchone() == ("delete",)
                assert saved.execute("SELECT count(*) FROM accounts").fetchone() == (1,)
        finally:
            tmp_path.chmod(0o755)

    def test_the_former_file_is_kept(self, place: Place, copy: Path) -> None:
        with place.open() as store:
            store.apply(plan(change(Op.CREATE, person("late"))), a_run())
        kept = place.restore(copy).kept
        assert kept is not None
        assert kept.stat().st_mode & 0o777 == 0o600
        with Place(f"sqlite:///{kept}").open() as store:
            assert len(list(store.accounts())) == 2

    def test_nothing_is_restored_while_a_sync_has_its_turn(
        self, place: Place, file: Path, copy: Path
    ) -> None:
        # It reads its directory, and has no connection just now.
        with held(turn_file(file, COMPANY), place.url, make_file):
            with pytest.raises(StoreError) as caught:
                place.restore(copy)
            problem = problems_of(caught.value)[0]
            assert caught.value.code == "in-use"
            assert f"by process {os.getpid()}" in problem.text
        place.restore(copy)

    def test_what_root_restores_belongs_to_whom_it_belonged(
        self, place: Place, file: Path, copy: Path
    ) -> None:
        os.chown(file.parent, 0, 54321)
        os.chown(file, 12345, 54321)
        kept = place.restore(copy).kept
        assert kept is not None
        for one in (file, kept):
            there = one.stat()
            assert (there.st_uid, there.st_gid) == (12345, 54321)
            assert there.st_mode & 0o777 == 0o600

    def test_a_broken_file_is_replaced(
        self, place: Place, file: Path, copy: Path
    ) -> None:
        file.write_bytes(b"This is a letter." * 1000)
        kept = place.restore(copy).kept
        assert kept is not None
        assert kept.read_bytes().startswith(b"This is a letter.")
        with place.open() as store:
            assert len(list(store.accounts())) == 1

    def test_nothing_else_is_left_in_the_folder(
        self, place: Place, file: Path, copy: Path
    ) -> None:
        place.restore(copy)
        assert len(list(file.parent.iterdir())) == 2
        copy.write_text("Dear Anna")
        with pytest.raises(StoreError):
            place.restore(copy)
        assert len(list(file.parent.iterdir())) == 2

    def test_somebody_elses_database_is_no_backup(
        self, place: Place, tmp_path: Path
    ) -> None:
        with place.open() as store:
            fill(store)
        foreign = tmp_path / "foreign.db"
        with closing(sqlite3.connect(foreign)) as connection:
            connection.execute("CREATE TABLE accounts (x)")
        self.assert_refused(place, foreign, "no-backup")


class TestPostgresqlSaving(SavingContract):
    @pytest.fixture
    def places(self, postgresql: Postgresql) -> Iterator[tuple[Place, Place]]:
        names = [f"saving_{next(NUMBERS)}" for _ in range(2)]
        one, other = (Place(*parted(postgresql.create_database(n))) for n in names)
        yield one, other
        for name in names:
            postgresql.drop_database(name)

    @pytest.fixture
    def place(self, places: tuple[Place, Place]) -> Place:
        return places[0]

    @pytest.fixture
    def other(self, places: tuple[Place, Place]) -> Place:
        return places[1]

    def test_without_the_programs_it_says_what_to_install(
        self, place: Place, copy: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        monkeypatch.setenv("PATH", str(tmp_path))
        for act in (lambda: place.save(tmp_path / "x"), lambda: place.restore(copy)):
            with pytest.raises(StoreError) as caught:
                act()
            assert caught.value.code == "no-program"
            assert "postgresql-client" in problems_of(caught.value)[0].next
        assert not (tmp_path / "x").exists()

    def test_a_copy_without_a_name_lies_in_the_current_folder(
        self, place: Place, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        place.open().close()
        monkeypatch.chdir(tmp_path)
        assert place.save().file.parent == tmp_path

    def test_a_restore_that_fails_at_its_end_changes_nothing(
        self, place: Place, copy: Path, postgresql: Postgresql
    ) -> None:
        # Something of somebody else's has the name of an index that comes last.
        full = postgresql.url_of(str(make_url(place.url).database))
        with psycopg.connect(full) as admin:
            admin.execute("CREATE TABLE theirs (key text)")
            admin.execute("ALTER INDEX uq_addresses_live RENAME TO ours")
            admin.execute("CREATE INDEX uq_addresses_live ON theirs (key)")
        self.assert_refused(place, copy, "no-backup")

    def test_no_word_shows_the_password(self, place: Place, tmp_path: Path) -> None:
        wrong = Place(place.url, Secret("geheim"))
        with pytest.raises(StoreError) as caught:
            wrong.save(tmp_path / "x")
        assert "geheim" not in str(caught.value)
