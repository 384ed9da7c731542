"""Plans that get through, or nothing of them: a real PostgreSQL that fails halfway."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import psycopg
import pytest
from sqlalchemy import make_url

from dirbridge.errors import StoreError
from dirbridge.model.plan import Op, Plan
from dirbridge.model.secret import Secret
from dirbridge.store import retrying
from dirbridge.store.base import Run, Store
from dirbridge.store.opening import open_store
from testbed.postgresql import Postgresql
from testbed.process import wait_until
from tests.contract.test_store import COMPANY, a_run, change, person, plan

Apply = Callable[[Plan, Run], Run]

TABLES = ("runs", "accounts", "names", "addresses", "changes")

FAIL_AT = """
    CREATE SEQUENCE steps;
    CREATE SEQUENCE steps_to_fail;
    CREATE FUNCTION fail_there() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF nextval('steps') = (SELECT last_value FROM steps_to_fail) THEN
            {failure}
        END IF;
        RETURN NULL;
    END $$;
"""
"""Sequences count on when a transaction is undone, so it fails just once."""

CUT = "PERFORM pg_terminate_backend(pg_backend_pid()); PERFORM pg_sleep(1);"
SERIALIZATION = "RAISE 'not now' USING ERRCODE = '40001';"


def persons(number: int) -> Plan:
    return plan(
        *(
            change(Op.CREATE, person(f"p{i}", primary_address=f"p{i}@company.com"))
            for i in range(number)
        )
    )


@pytest.fixture
def full_url(full_url: str, postgresql: Postgresql) -> Iterator[str]:
    yield full_url
    postgresql.start()


@pytest.fixture
def store(full_url: str) -> Iterator[Store]:
    with opened(full_url) as store:
        yield store


@contextlib.contextmanager
def opened(full_url: str, port: int | None = None) -> Iterator[Store]:
    url = make_url(full_url)
    at = "127.0.0.1" if port else url.host
    plain = f"postgresql://{url.username}@{at}:{port or url.port}/{url.database}"
    with open_store(plain, Secret(str(url.password))) as store:
        yield store


@pytest.fixture
def admin(store: Store, full_url: str) -> Iterator[psycopg.Connection]:
    """A second session, which is there after the store made its tables."""
    with psycopg.connect(full_url, autocommit=True) as connection:
        yield connection


def fail_at_each_statement(admin: psycopg.Connection, failure: str) -> None:
    """Let the step fail that `steps_to_fail` names; a COMMIT is one, too."""
    admin.execute(FAIL_AT.format(failure=failure))
    for table in TABLES:
        admin.execute(
            f"CREATE TRIGGER fail AFTER INSERT OR UPDATE OR DELETE ON {table}"
            " FOR EACH STATEMENT EXECUTE FUNCTION fail_there()"
        )
    admin.execute(
        "CREATE CONSTRAINT TRIGGER fail_in_commit AFTER INSERT ON runs DEFERRABLE"
        " INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION fail_there()"
    )


def step(admin: psycopg.Connection, number: int) -> None:
    """Begin to count anew, and fail at that step; 0 never fails."""
    admin.execute("SELECT setval('steps', 1, false)")
    admin.execute("SELECT setval('steps_to_fail', %s)", (number or 10**9,))


def steps(admin: psycopg.Connection) -> int:
    row = admin.execute("SELECT last_value FROM steps").fetchone()
    assert row is not None
    return int(row[0])


def assert_nothing(store: Store) -> None:
    assert list(store.accounts()) == []
    assert store.last_runs(COMPANY, 9) == ()


def assert_once(store: Store, run: Run, number: int) -> None:
    """The run is there once, and nothing else."""
    assert len(list(store.accounts())) == number
    assert [one.number for one in store.last_runs(COMPANY, 9)] == [run.number]
    assert len(store.audit(run.number)) == number


def forget(admin: psycopg.Connection) -> None:
    admin.execute("TRUNCATE runs, accounts, domains CASCADE")


def test_a_plan_cut_at_each_statement_is_written_once(
    store: Store, admin: psycopg.Connection
) -> None:
    fail_at_each_statement(admin, CUT)
    step(admin, 0)
    store.apply(persons(3), a_run())
    last = steps(admin)
    assert last >= len(TABLES)
    for number in range(1, last + 1):
        forget(admin)
        step(admin, number)
        run = store.apply(persons(3), a_run())
        assert steps(admin) > last, "it did not fail on the way"
        assert_once(store, run, 3)


def test_a_turn_cut_at_each_statement_is_lost_and_nothing_is_written(
    store: Store, admin: psycopg.Connection
) -> None:
    fail_at_each_statement(admin, CUT)
    step(admin, 0)
    with store.turn(COMPANY) as turn:
        turn.apply(persons(3), a_run())
    for number in range(1, steps(admin) + 1):
        forget(admin)
        step(admin, number)
        with store.turn(COMPANY) as turn:
            with pytest.raises(StoreError) as caught:
                turn.apply(persons(3), a_run())
            assert caught.value.code == "turn-lost"
            with pytest.raises(StoreError) as caught:
                turn.check()
            assert caught.value.code == "turn-lost"
        assert_nothing(store)
        with store.turn(COMPANY) as turn:
            assert_once(store, turn.apply(persons(3), a_run()), 3)


@pytest.mark.parametrize("in_turn", [False, True])
def test_a_serialization_failure_at_each_statement_is_tried_again(
    store: Store, admin: psycopg.Connection, in_turn: bool
) -> None:
    fail_at_each_statement(admin, SERIALIZATION)
    step(admin, 0)
    store.apply(persons(3), a_run())
    for number in range(1, steps(admin) + 1):
        forget(admin)
        step(admin, number)
        with applier(store, in_turn=in_turn) as apply:
            assert_once(store, apply(persons(3), a_run()), 3)


@contextlib.contextmanager
def applier(store: Store, *, in_turn: bool) -> Iterator[Apply]:
    if not in_turn:
        yield store.apply
        return
    with store.turn(COMPANY) as turn:
        yield turn.apply


@pytest.mark.parametrize("in_turn", [False, True])
def test_a_deadlock_is_tried_again(
    store: Store, admin: psycopg.Connection, in_turn: bool
) -> None:
    deadlocks = "SELECT sum(deadlocks) FROM pg_stat_database"
    before = admin.execute(deadlocks).fetchone()
    # The one who looks for the deadlock is the one who is undone.
    admin.execute("SET deadlock_timeout = '1h'")
    with applier(store, in_turn=in_turn) as apply, ThreadPoolExecutor(1) as pool:
        with admin.transaction():
            admin.execute("LOCK TABLE changes IN EXCLUSIVE MODE")
            waiting = pool.submit(apply, persons(3), a_run())
            wait_until(lambda: is_waiting(admin, "changes"), "nobody waits")
            admin.execute("LOCK TABLE accounts IN EXCLUSIVE MODE")
            assert not waiting.done()
        assert_once(store, waiting.result(), 3)
    deadlocks = (
        "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
    )
    wait_until(lambda: admin.execute(deadlocks).fetchone() != before, "it was none")


def is_waiting(admin: psycopg.Connection, table: str) -> bool:
    waits = "SELECT 1 FROM pg_locks WHERE relation = %s::regclass AND NOT granted"
    return admin.execute(waits, (table,)).fetchone() is not None


@pytest.fixture
def halfway(store: Store, full_url: str) -> Iterator[Callable[[Apply], Future[Run]]]:
    """Begins to apply a plan, and leaves it in the middle."""
    with ThreadPoolExecutor(1) as pool:
        blocker = psycopg.connect(full_url)

        def begin(apply: Apply) -> Future[Run]:
            blocker.execute("LOCK TABLE changes IN EXCLUSIVE MODE")
            going = pool.submit(apply, persons(3), a_run())
            wait_until(lambda: is_waiting(blocker, "changes"), "nobody waits")
            return going

        yield begin
        blocker.close()


def test_a_bridge_starts_while_another_one_writes(
    store: Store, full_url: str, halfway: Callable[[Apply], Future[Run]]
) -> None:
    going = halfway(store.apply)
    with opened(full_url) as another:
        assert_nothing(another)
    assert not going.done()


def restarted(postgresql: Postgresql) -> None:
    postgresql.restart()


def crashed(postgresql: Postgresql) -> None:
    postgresql.crash()
    postgresql.start()


@pytest.mark.parametrize("fall", [restarted, crashed])
def test_a_plan_survives_a_restart_of_the_database(
    store: Store,
    postgresql: Postgresql,
    halfway: Callable[[Apply], Future[Run]],
    fall: Callable[[Postgresql], None],
) -> None:
    going = halfway(store.apply)
    fall(postgresql)
    assert_once(store, going.result(), 3)


@pytest.mark.parametrize("fall", [restarted, crashed])
def test_a_turn_does_not_and_the_next_one_does(
    store: Store,
    postgresql: Postgresql,
    halfway: Callable[[Apply], Future[Run]],
    fall: Callable[[Postgresql], None],
) -> None:
    with store.turn(COMPANY) as turn:
        going = halfway(turn.apply)
        fall(postgresql)
        with pytest.raises(StoreError) as caught:
            going.result()
    assert caught.value.code == "turn-lost"
    assert_nothing(store)
    with store.turn(COMPANY) as turn:
        assert_once(store, turn.apply(persons(3), a_run()), 3)


def test_a_database_that_is_not_there_is_told_at_once(
    store: Store, postgresql: Postgresql
) -> None:
    postgresql.stop()
    with pytest.raises(StoreError) as caught:
        store.apply(persons(1), a_run())
    assert caught.value.code == "unreachable"
    with pytest.raises(StoreError) as caught, store.turn(COMPANY):
        pass
    assert caught.value.code == "unreachable"


class Deaf:
    """Stands before PostgreSQL, and keeps the answer to a COMMIT to itself."""

    def __init__(self, address: str, port: int) -> None:
        self._there = (address, port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.heard = threading.Event()
        self.armed = False
        self.refuses = False
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                ours, _ = self._listener.accept()
                if self.refuses:
                    ours.close()
                    continue
                theirs = socket.create_connection(self._there)
                for ends in ((ours, theirs), (theirs, ours)):
                    threading.Thread(
                        target=self._pass, args=(*ends, ends[0] is ours), daemon=True
                    ).start()

    def _pass(self, one: socket.socket, other: socket.socket, asks: bool) -> None:
        with one, other, contextlib.suppress(OSError):
            while octets := one.recv(65536):
                if asks and self.armed and b"COMMIT\0" in octets:
                    self.armed = False
                    # Hung up on one side only, so that the server does hear it; its
                    # answer comes to the thread of the other way.
                    one.shutdown(socket.SHUT_RDWR)
                    other.sendall(octets)
                    self.heard.wait(30)
                    return
                try:
                    other.sendall(octets)
                except OSError:
                    self.heard.set()  # an answer, and nobody to give it to
                    raise
            other.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        self._listener.close()


@pytest.fixture
def deaf(postgresql: Postgresql) -> Iterator[Deaf]:
    proxy = Deaf(postgresql.address, postgresql.port)
    yield proxy
    proxy.close()


@pytest.mark.parametrize("in_turn", [False, True])
def test_a_run_whose_commit_was_heard_is_told_as_done(
    full_url: str, deaf: Deaf, in_turn: bool
) -> None:
    with opened(full_url, deaf.port) as store:
        with applier(store, in_turn=in_turn) as apply:
            deaf.armed = True
            run = apply(persons(3), a_run())
        assert deaf.heard.wait(30)
        assert_once(store, run, 3)


def test_a_run_of_which_nobody_can_tell_is_told_so(
    full_url: str, deaf: Deaf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retrying, "PATIENCE", 0.5)
    with opened(full_url, deaf.port) as store:
        deaf.armed = True
        deaf.refuses = True
        with pytest.raises(StoreError) as caught:
            store.apply(persons(3), a_run())
        assert caught.value.code == "undecided"
