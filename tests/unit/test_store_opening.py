"""Opening, refusing, upgrading and breaking a store, on SQLite files."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from dirbridge.errors import StoreError
from dirbridge.model.names import Address, DomainName
from dirbridge.model.plan import Op, Plan
from dirbridge.model.secret import Secret
from dirbridge.model.sentences import problems_of
from dirbridge.store.base import NameKind, Store
from dirbridge.store.opening import (
    Owner,
    _check_fits,
    open_store,
    owner_of,
    upgrade_store,
)
from dirbridge.store.schema import SCHEMA
from tests.contract import test_store as stores

COMPANY = DomainName("company.com")
NOW = datetime(2026, 3, 1, tzinfo=UTC)
RUN = stores.a_run()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "dirbridge.db"


def url(file: Path) -> str:
    return f"sqlite:///{file}"


def people(count: int, *, text: str = "") -> Plan:
    made = (
        stores.person(f"p{i}", primary_address=Address(f"p{i}@company.com"), title=text)
        for i in range(count)
    )
    return stores.plan(*(stores.change(Op.CREATE, one) for one in made))


def refusal(place: str, password: Secret | None = None) -> StoreError:
    with pytest.raises(StoreError) as caught:
        open_store(place, password).close()
    return caught.value


def set_schema(file: Path, number: str) -> None:
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute("UPDATE schema_version SET version_num = ?", (number,))


@pytest.fixture
def _open_umask() -> Iterator[None]:
    old = os.umask(0)
    yield
    os.umask(old)


@pytest.mark.usefixtures("_open_umask")
def test_only_the_owner_can_read_any_of_its_files(file: Path) -> None:
    with open_store(url(file)) as store:
        store.apply(people(1), RUN)
        files = sorted(file.parent.glob(f"{file.name}*"))
        assert [path.name for path in files] == [
            "dirbridge.db",
            "dirbridge.db-shm",
            "dirbridge.db-wal",
        ]
        assert {path.stat().st_mode & 0o777 for path in files} == {0o600}


def test_a_second_opening_finds_what_the_first_left(file: Path) -> None:
    with open_store(url(file)) as store:
        store.apply(people(3), RUN)
    with open_store(url(file)) as store:
        assert len(list(store.accounts())) == 3


@pytest.mark.parametrize("name", ["a b%20c?x=1#y.db", "ä'\";.db"])
def test_any_file_name_will_do(tmp_path: Path, name: str) -> None:
    from sqlalchemy import URL  # noqa: PLC0415

    place = URL.create("sqlite", database=str(tmp_path / name))
    with open_store(place.render_as_string()) as store:
        store.apply(people(1), RUN)
    assert (tmp_path / name).exists()


def test_two_first_openings_at_once(file: Path) -> None:
    failed: list[BaseException] = []

    def first() -> None:
        try:
            open_store(url(file)).close()
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=first) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []


def test_a_store_opens_while_somebody_writes(file: Path) -> None:
    with open_store(url(file)) as store:
        store.apply(people(1), RUN)
    with closing(sqlite3.connect(file, isolation_level=None)) as writer:
        writer.execute("BEGIN IMMEDIATE")
        with open_store(url(file)) as store:
            assert len(list(store.accounts())) == 1


def test_a_missing_folder_is_named_with_the_mend(tmp_path: Path) -> None:
    error = refusal(url(tmp_path / "not" / "there.db"))
    assert error.code == "no-folder"
    assert error.detail == f"install -d -m 0750 {tmp_path}/not"


def test_a_folder_in_place_of_the_file(tmp_path: Path) -> None:
    assert refusal(url(tmp_path)).code in {"unreachable", "broken"}


def test_a_file_that_is_no_database(file: Path) -> None:
    file.write_text("This is a letter.\n" * 100)
    error = refusal(url(file))
    assert error.code == "broken"
    assert "not a database" in error.detail
    assert file.read_text().startswith("This is a letter.")


def test_a_database_of_something_else(file: Path) -> None:
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("CREATE TABLE accounts (x)")
    assert refusal(url(file)).code == "broken"


@pytest.mark.parametrize(
    "place",
    [
        "sqlite://",
        "sqlite:///:memory:",
        "mysql://x/y",
        "nonsense",
        "postgresql://me:geheim@host/db",
        "postgresql+psycopg://me:geheim@host/db",
        "://me:geheim@host",
    ],
)
def test_urls_that_will_not_do(place: str) -> None:
    error = refusal(place)
    assert error.code == "url"
    assert "geheim" not in f"{error} {error.__cause__} {error.__context__}"


def test_a_postgresql_that_is_not_there_hides_its_password() -> None:
    error = refusal("postgresql://me@127.0.0.1:9/db", Secret("geheim"))
    assert error.code == "unreachable"
    assert "127.0.0.1" in error.detail
    assert "geheim" not in str(error)


def test_an_older_schema_is_refused_and_the_upgrade_named() -> None:
    with pytest.raises(StoreError) as caught:
        _check_fits(SCHEMA - 1, "sqlite:////x.db")
    assert caught.value.code == "older-schema"
    assert "dirbridge store upgrade" in problems_of(caught.value)[0].next


def test_the_next_schema_answers_logins_and_takes_no_sync(file: Path) -> None:
    with open_store(url(file)) as store:
        store.apply(people(1), RUN)
    set_schema(file, f"{SCHEMA + 1:04}")
    with open_store(url(file)) as store:
        (found,) = store.named(COMPANY, NameKind.LOGIN, "P0")
        store.set_verifier(found, "$argon2id$")
        with pytest.raises(StoreError) as caught:
            store.apply(people(1), RUN)
    assert caught.value.code == "newer-schema"


@pytest.mark.parametrize("number", [f"{SCHEMA + 2:04}", "9999"])
def test_newer_schemas_are_refused(file: Path, number: str) -> None:
    open_store(url(file)).close()
    set_schema(file, number)
    assert refusal(url(file)).code == "newer-schema"
    with pytest.raises(StoreError) as caught:
        upgrade_store(url(file))
    assert caught.value.code == "newer-schema"


@pytest.mark.parametrize("number", ["3f2a", "0000", ""])
def test_a_schema_that_is_no_number_is_refused(file: Path, number: str) -> None:
    open_store(url(file)).close()
    set_schema(file, number)
    assert refusal(url(file)).code == "broken"


def test_nothing_to_upgrade_makes_no_backup(file: Path) -> None:
    for _ in range(2):
        done = upgrade_store(url(file))
        assert (done.before, done.after, done.backup) == (SCHEMA, SCHEMA, "")
    assert [path.name for path in file.parent.iterdir()] == [file.name]


def test_a_backup_is_whole_and_private(file: Path) -> None:
    with open_store(url(file)) as store:
        store.apply(people(5), RUN)
        # From the same process, while the store is in use.
        from sqlalchemy import make_url  # noqa: PLC0415

        from dirbridge.store.sqlite import SqliteDatabase  # noqa: PLC0415

        words = SqliteDatabase(make_url(url(file))).backup(None)
    (copy,) = file.parent.glob("*.bak")
    assert str(copy) in words
    assert copy.stat().st_mode & 0o777 == 0o600
    with open_store(url(copy)) as store:
        assert len(list(store.accounts())) == 5


def test_a_full_disk_writes_nothing(file: Path) -> None:
    with open_store(url(file)) as store:
        store.apply(people(1), RUN)
        limit_pages(store, 120)
        with pytest.raises(StoreError) as caught:
            store.apply(_after(people(300, text="x" * 4000)), RUN)
        assert caught.value.code == "full"
        assert "xxx" not in str(caught.value)
        assert len(list(store.accounts())) == 1
        assert len(store.last_runs(COMPANY, 9)) == 1


def limit_pages(store: Store, pages: int) -> None:
    """Let the database file grow no further; the limit is the connection's."""
    engine = store._database.writes  # type: ignore[attr-defined]
    with engine.connect() as connection:
        connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")


def _after(plan: Plan) -> Plan:
    """The plan without its first person, who is there already."""
    return replace(plan, changes=plan.changes[1:])


# Root becomes nobody once all is imported: nobody may not read a tree below /root.
READ_ONLY = """
import os
import sys
from dirbridge.errors import StoreError
from dirbridge.store.opening import open_store
if os.getuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
try:
    open_store(sys.argv[1]).close()
except StoreError as error:
    print(error.code, error.detail)
"""


@pytest.mark.parametrize("there", [True, False], ids=["with-file", "empty"])
def test_a_folder_that_is_not_ours(there: bool) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        file = folder / "dirbridge.db"
        if there:
            open_store(url(file)).close()
            file.chmod(0o666)
        folder.chmod(0o555)
        done = subprocess.run(
            [sys.executable, "-c", READ_ONLY, url(file)],
            capture_output=True,
            text=True,
            check=True,
        )
        folder.chmod(0o755)
    assert done.stdout.startswith("read-only")
    assert f"run dirbridge as the owner of {folder}" in done.stdout


def test_a_folder_that_we_may_not_even_look_into() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name, "closed", "store")
        folder.mkdir(parents=True)
        Path(name).chmod(0o755)
        folder.parent.chmod(0o000)
        done = subprocess.run(
            [sys.executable, "-c", READ_ONLY, url(folder / "dirbridge.db")],
            capture_output=True,
            text=True,
            check=True,
        )
        folder.parent.chmod(0o755)
    assert done.stdout.startswith("read-only")


def test_the_owner_is_the_files_or_else_the_folders(file: Path) -> None:
    ours = Owner(os.getuid(), file.parent.stat().st_gid)
    assert owner_of(url(file)) == ours
    open_store(url(file)).close()
    assert owner_of(url(file)) == Owner(os.getuid(), file.stat().st_gid)
    assert owner_of(url(file / "a" / "b.db")) is None
    assert owner_of("postgresql://me@host/db") is None


def test_a_file_that_vanishes_is_not_made_anew(file: Path) -> None:
    with open_store(url(file)) as store:
        store.apply(people(1), RUN)
        store._database.reads.dispose()
        file.unlink()
        with pytest.raises(StoreError) as caught:
            list(store.accounts())
    assert caught.value.code == "unreachable"
    assert not file.exists()


WRITER = """
import sys
sys.path.insert(0, sys.argv[2])
from test_store_opening import RUN, people
from dirbridge.store.opening import open_store
store = open_store(sys.argv[1])
plan = people(3000)
print("ready", flush=True)
store.apply(plan, RUN)
print("done", flush=True)
"""


@pytest.mark.slow
def test_a_killed_apply_leaves_all_or_nothing(file: Path) -> None:
    open_store(url(file)).close()
    here = str(Path(__file__).parent)
    for delay in (0.05, 0.2, 0.5):
        with subprocess.Popen(
            [sys.executable, "-c", WRITER, url(file), here], stdout=subprocess.PIPE
        ) as writer:
            assert writer.stdout is not None
            assert writer.stdout.readline() == b"ready\n"
            time.sleep(delay)
            writer.send_signal(signal.SIGKILL)
        with open_store(url(file)) as store:
            accounts = len(list(store.accounts()))
            runs = store.last_runs(COMPANY, 9)
            assert (accounts, len(runs)) in {(0, 0), (3000, 1)}
            if accounts:
                break
    with open_store(url(file)) as store:
        if not list(store.accounts()):
            store.apply(people(3000), RUN)
        assert len(list(store.accounts())) == 3000
