"""Turns: one run of a domain at a time, on every store, however its holder ends."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest

from dirbridge.errors import StoreError
from dirbridge.model.names import DomainName
from dirbridge.model.plan import Op
from dirbridge.model.secret import Secret
from dirbridge.model.sentences import problems_of
from dirbridge.store.base import Notice, Store, Turn
from dirbridge.store.memory import MemoryStore
from testbed.process import wait_until
from tests.contract.test_store import BRANCH, COMPANY, a_run, change, person, plan
from tests.stores import parted, two

WRITER = """
import os
import signal
import sys
from datetime import UTC, datetime
from dirbridge.errors import StoreError
from dirbridge.model.secret import Secret
from dirbridge.store.base import Notice
from dirbridge.store.opening import open_store
from tests.contract.test_store import COMPANY, a_run
WRITES = {
    "notice": lambda: store.notice(Notice("k", COMPANY, "c", "t", "n", NOW)),
    "remember": lambda: store.remember(a_run()),
}
NOW = datetime.now(UTC)
with open_store(sys.argv[1], Secret(os.environ["STORE_PASSWORD"])) as store:
    store.notice(Notice("k", COMPANY, "c", "t", "n", NOW))
    engine = store._database.writes.engine
    from sqlalchemy import event
    @event.listens_for(engine, "after_cursor_execute")
    def frozen(connection, cursor, statement, *_):
        if "notices" in statement or "runs" in statement:
            event.remove(engine, "after_cursor_execute", frozen)
            print("mine", flush=True)
            os.kill(os.getpid(), signal.SIGSTOP)
    try:
        WRITES[sys.argv[2]]()
    except StoreError as error:
        print(error.code, flush=True)
    else:
        print("written", flush=True)
"""

HOLDER = """
import os
import sys
from dirbridge.model.secret import Secret
from dirbridge.errors import StoreError
from dirbridge.store.opening import open_store
from tests.contract.test_store import COMPANY, Op, a_run, change, person, plan
password = os.environ.get("STORE_PASSWORD")
with open_store(sys.argv[1], Secret(password) if password else None) as store:
    with store.turn(COMPANY) as turn:
        print("mine", flush=True)
        sys.stdin.readline()
        try:
            turn.apply(plan(change(Op.CREATE, person("late"))), a_run())
        except StoreError as error:
            print(error.code, flush=True)
"""


def code(store: Store, domain: DomainName = COMPANY) -> str:
    """What somebody hears who wants a turn: the error's code, "" where it is given."""
    try:
        with store.turn(domain):
            return ""
    except StoreError as error:
        return error.code


class TurnContract:
    """What every store's turns must do."""

    @pytest.fixture
    def stores(self) -> tuple[Store, Store]:
        """Two openings of one store."""
        raise NotImplementedError

    def test_only_one_has_the_turn_of_a_domain(
        self, stores: tuple[Store, Store]
    ) -> None:
        one, other = stores
        with one.turn(COMPANY) as turn:
            turn.check()
            with pytest.raises(StoreError) as caught, other.turn(COMPANY):
                pass
            assert caught.value.code == "turn-taken"
            assert "other sync" in problems_of(caught.value)[0].text
            assert code(one) == "turn-taken"
            assert code(other, BRANCH) == ""
            turn.check()
        assert code(other) == ""
        assert code(one) == ""

    def test_two_threads_do_not_share_a_turn(self, stores: tuple[Store, Store]) -> None:
        heard: list[str] = []
        with stores[0].turn(COMPANY):
            thread = threading.Thread(target=lambda: heard.append(code(stores[0])))
            thread.start()
            thread.join()
        assert heard == ["turn-taken"]

    def test_a_turn_ends_with_an_error_in_it(self, stores: tuple[Store, Store]) -> None:
        with pytest.raises(KeyError), stores[0].turn(COMPANY):
            raise KeyError
        assert code(stores[1]) == ""

    def test_a_turn_applies_several_plans(self, stores: tuple[Store, Store]) -> None:
        one, other = stores
        with one.turn(COMPANY) as turn:
            first = turn.apply(plan(change(Op.CREATE, person("a"))), a_run())
            second = turn.apply(plan(change(Op.CREATE, person("b"))), a_run())
        assert second.number > first.number
        assert [a.mailbox for a in other.accounts()] == ["a", "b"]
        assert [run.number for run in other.last_runs(COMPANY, 5)] == [
            second.number,
            first.number,
        ]

    def test_a_refused_plan_leaves_the_turn_usable(
        self, stores: tuple[Store, Store]
    ) -> None:
        one, other = stores
        with one.turn(COMPANY) as turn:
            twice = [person(n, primary_address="x@company.com") for n in "ab"]
            with pytest.raises(StoreError) as caught:
                turn.apply(plan(*(change(Op.CREATE, a) for a in twice)), a_run())
            assert caught.value.code == "refused"
            assert list(other.accounts()) == []
            turn.check()
            turn.apply(plan(change(Op.CREATE, person("c"))), a_run())
        assert [a.mailbox for a in other.accounts()] == ["c"]

    def test_a_plan_that_was_outrun_is_refused(
        self, stores: tuple[Store, Store]
    ) -> None:
        one, other = stores
        with one.turn(COMPANY) as turn:
            other.apply(plan(change(Op.CREATE, person("a"))), a_run())
            with pytest.raises(StoreError) as caught:
                turn.apply(plan(change(Op.CREATE, person("b")), based_on=0), a_run())
        assert caught.value.code == "outrun"


class TestMemoryTurns(TurnContract):
    @pytest.fixture
    def stores(self) -> tuple[Store, Store]:
        store = MemoryStore()
        return store, store


class ProcessTurnContract(TurnContract):
    """What turns must do whose holders may be other processes."""

    @pytest.fixture
    def holder(self) -> Iterator[subprocess.Popen[str]]:
        """Another process that has the turn, and writes after it heard a line."""
        raise NotImplementedError

    def test_a_killed_holder_has_no_turn(
        self, stores: tuple[Store, Store], holder: subprocess.Popen[str]
    ) -> None:
        assert code(stores[0]) == "turn-taken"
        holder.send_signal(signal.SIGKILL)
        holder.wait()
        wait_until(lambda: code(stores[0]) == "", "the turn of the dead goes on")
        assert list(stores[0].accounts()) == []

    def test_a_holder_in_another_process_writes(
        self, stores: tuple[Store, Store], holder: subprocess.Popen[str]
    ) -> None:
        holder.communicate("go\n")
        assert [a.mailbox for a in stores[0].accounts()] == ["late"]
        assert code(stores[0]) == ""


@contextmanager
def process(
    url: str,
    password: Secret | None = None,
    *,
    script: str = HOLDER,
    words: Sequence[str] = (),
) -> Iterator[subprocess.Popen[str]]:
    secret = password.reveal() if password else ""
    with subprocess.Popen(
        [sys.executable, "-c", script, url, *words],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={"PYTHONPATH": str(Path(__file__).parents[2]), "STORE_PASSWORD": secret},
    ) as running:
        try:
            assert running.stdout is not None
            assert running.stdout.readline() == "mine\n"
            yield running
        finally:
            running.kill()


def assert_lost(turn: Turn) -> None:
    for act in (
        turn.check,
        lambda: turn.apply(plan(change(Op.CREATE, person("a"))), a_run()),
    ):
        with pytest.raises(StoreError) as caught:
            act()
        assert caught.value.code == "turn-lost"
        assert problems_of(caught.value)[0].next.startswith("Run it again")


class TestSqliteTurns(ProcessTurnContract):
    @pytest.fixture
    def file(self, tmp_path: Path) -> Path:
        return tmp_path / "dirbridge.db"

    @pytest.fixture
    def stores(self, file: Path) -> Iterator[tuple[Store, Store]]:
        with two(f"sqlite:///{file}") as both:
            yield both

    @pytest.fixture
    def holder(
        self, stores: tuple[Store, Store], file: Path
    ) -> Iterator[subprocess.Popen[str]]:
        with process(f"sqlite:///{file}") as running:
            yield running

    def test_the_file_is_private_and_says_who_has_it(
        self, stores: tuple[Store, Store], file: Path, holder: subprocess.Popen[str]
    ) -> None:
        (lock,) = file.parent.glob("*.turn")
        assert lock.stat().st_mode & 0o777 == 0o600
        with pytest.raises(StoreError) as caught, stores[0].turn(COMPANY):
            pass
        assert caught.value.detail == f"by process {holder.pid}"

    def test_a_deleted_file_is_a_lost_turn(
        self, stores: tuple[Store, Store], file: Path
    ) -> None:
        one, other = stores
        with one.turn(COMPANY) as turn:
            for lock in file.parent.glob("*.turn"):
                lock.unlink()
            assert code(other) == ""
            assert_lost(turn)
        assert list(one.accounts()) == []

    @pytest.mark.parametrize("name", ["../../x", "ä" * 200, ".", "a/b"])
    def test_no_name_leads_out_of_the_folder(
        self, stores: tuple[Store, Store], file: Path, name: str
    ) -> None:
        domain = DomainName(name)
        with stores[0].turn(domain):
            assert code(stores[1], domain) == "turn-taken"
            assert len(list(file.parent.glob("dirbridge.db.*.turn"))) == 1

    def test_a_link_in_its_place_is_not_followed(
        self, stores: tuple[Store, Store], file: Path, tmp_path: Path
    ) -> None:
        letter = tmp_path / "letter"
        letter.write_text("Dear Anna")
        with stores[0].turn(COMPANY):
            pass
        (lock,) = file.parent.glob("*.turn")
        lock.unlink()
        lock.symlink_to(letter)
        assert code(stores[0]) == "read-only"
        assert letter.read_text() == "Dear Anna"


class TestPostgresqlTurns(ProcessTurnContract):
    @pytest.fixture
    def stores(self, full_url: str) -> Iterator[tuple[Store, Store]]:
        with two(*parted(full_url)) as both:
            yield both

    @pytest.fixture
    def holder(
        self, stores: tuple[Store, Store], full_url: str
    ) -> Iterator[subprocess.Popen[str]]:
        with process(*parted(full_url)) as running:
            yield running

    def test_a_cut_session_is_a_lost_turn(
        self, stores: tuple[Store, Store], full_url: str
    ) -> None:
        one, other = stores
        with one.turn(COMPANY) as turn:
            cut(full_url)
            wait_until(lambda: code(other) == "", "the turn of the cut goes on")
            assert_lost(turn)
        assert list(one.accounts()) == []

    @pytest.mark.slow
    def test_a_frozen_holder_loses_its_turn_and_cannot_commit_any_more(
        self, stores: tuple[Store, Store], holder: subprocess.Popen[str]
    ) -> None:
        holder.send_signal(signal.SIGSTOP)
        try:
            wait_until(lambda: code(stores[0]) == "", "it is frozen and has it")
        finally:
            holder.send_signal(signal.SIGCONT)
        said, _ = holder.communicate("go\n")
        assert said == "turn-lost\n"
        assert list(stores[0].accounts()) == []

    @pytest.mark.slow
    @pytest.mark.parametrize(
        ("write", "end"),
        [
            ("notice", "unreachable"),
            # A run's row that was not written is written once it wakes up.
            ("remember", "written"),
        ],
    )
    def test_a_bridge_that_is_frozen_in_a_short_write_holds_up_nobody(
        self, stores: tuple[Store, Store], full_url: str, write: str, end: str
    ) -> None:
        one, other = stores
        with process(*parted(full_url), script=WRITER, words=[write]) as frozen:
            try:
                told = Notice("k", COMPANY, "c", "later", "n", datetime.now(UTC))
                waiting = threading.Thread(target=lambda: other.notice(told))
                waiting.start()
                waiting.join(25)
                assert not waiting.is_alive(), "it waits for the frozen one"
                with one.turn(COMPANY) as turn:
                    turn.apply(plan(change(Op.CREATE, person("a"))), a_run())
            finally:
                frozen.send_signal(signal.SIGCONT)
            said, _ = frozen.communicate()
        assert said == f"{end}\n"
        assert [one.text for one in other.notices()] == ["later"]

    def test_only_short_writes_are_hurried(
        self, stores: tuple[Store, Store], full_url: str
    ) -> None:
        database = stores[0]._database
        shown = "SELECT current_setting('idle_in_transaction_session_timeout')"
        for begin, limit in (
            (database.reads.begin, "0"),
            (database.writes.begin, "10s"),
            (database.migrating, "0"),
        ):
            with begin() as connection:
                assert connection.exec_driver_sql(shown).scalar() == limit

    def test_its_session_is_not_one_of_the_pool(
        self, stores: tuple[Store, Store], full_url: str
    ) -> None:
        with stores[0].turn(COMPANY), psycopg.connect(full_url) as admin:
            (held,) = admin.execute(TURNS).fetchall()
            (settings,) = admin.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE pid = %s", held
            ).fetchall()
            assert settings == (1,)
            list(stores[0].accounts())
            assert admin.execute(TURNS).fetchall() == [held]


TURNS = """
    SELECT pid FROM pg_locks JOIN pg_database ON oid = database
    WHERE locktype = 'advisory' AND datname = current_database()
"""


def cut(full_url: str) -> None:
    """End the sessions that have turns."""
    with psycopg.connect(full_url) as admin:
        ended = admin.execute(f"SELECT pg_terminate_backend(pid) FROM ({TURNS}) t")
        assert ended.fetchall() == [(True,)]
