"""What a store tells of others' changes, on SQLite and PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from threading import Event, Thread

import psycopg
import pytest
from sqlalchemy import create_engine, event, make_url

from dirbridge.errors import StoreError
from dirbridge.model.login import Attempt, Reason, Rejected
from dirbridge.model.names import DomainName
from dirbridge.model.plan import Op
from dirbridge.store import pulse
from dirbridge.store.base import RunResult, Store
from dirbridge.store.feed import followed
from dirbridge.store.memory import MemoryStore
from dirbridge.store.postgresql_feed import listen
from testbed.postgresql import Postgresql
from testbed.process import wait_until
from tests.contract.test_store import BRANCH, COMPANY, a_run, change, person, plan
from tests.stores import parted, two


def add(store: Store, name: str, domain: DomainName = COMPANY) -> None:
    new = person(name, domain=domain, primary_address=f"{name}@x.example")
    store.apply(plan(change(Op.CREATE, new), domain=domain), a_run(domain))


class FeedContract:
    """What every store that others can write must tell."""

    @pytest.fixture
    def stores(self) -> tuple[Store, Store]:
        """Two openings of one store."""
        raise NotImplementedError

    @pytest.fixture
    def told(self, stores: tuple[Store, Store]) -> Iterator[list[DomainName]]:
        """What the second hears, from the time on when it certainly listens."""
        heard: list[DomainName] = []
        add(stores[0], "first")
        with followed(stores[1], heard.append):
            wait_until(lambda: heard == [COMPANY], "nothing is told in the beginning")
            heard.clear()
            yield heard

    def test_the_domain_of_each_change_is_told(
        self, stores: tuple[Store, Store], told: list[DomainName]
    ) -> None:
        add(stores[0], "berta", BRANCH)
        wait_until(lambda: told == [BRANCH], "it was not told")
        add(stores[0], "carla")
        wait_until(lambda: told == [BRANCH, COMPANY], "it was not told")

    def test_a_change_can_be_read_when_it_is_told(
        self, stores: tuple[Store, Store]
    ) -> None:
        counts: list[int] = []
        add(stores[0], "first")
        with followed(
            stores[1], lambda _domain: counts.append(len(list(stores[1].accounts())))
        ):
            wait_until(lambda: counts == [1], "nothing is told in the beginning")
            add(stores[0], "second")
            wait_until(lambda: counts == [1, 2], "it was not told")

    def test_what_changes_nothing_is_not_told(
        self, stores: tuple[Store, Store], told: list[DomainName]
    ) -> None:
        one = stores[0]
        one.apply(plan(), replace(a_run(), result=RunResult.UNCHANGED))
        twice = [person(n, primary_address="x@company.com") for n in "ab"]
        with pytest.raises(StoreError):
            one.apply(plan(*(change(Op.CREATE, a) for a in twice)), a_run())
        one.record([], a_run().started_at)
        # Words come in their order, so those before it have been left out.
        add(one, "berta", BRANCH)
        wait_until(lambda: bool(told), "it was not told")
        assert told == [BRANCH]

    def test_a_turn_tells_as_well(
        self, stores: tuple[Store, Store], told: list[DomainName]
    ) -> None:
        with stores[0].turn(COMPANY) as turn:
            turn.apply(plan(change(Op.CREATE, person("berta"))), a_run())
        wait_until(lambda: told == [COMPANY], "it was not told")

    def test_a_pulse_moves_with_each_run_of_others(
        self, stores: tuple[Store, Store]
    ) -> None:
        one = stores[0]
        add(one, "anna")
        (anna,) = one.accounts()
        noted = replace(plan(), remembered={anna.number: b"other octets"})
        runs: tuple[Callable[[], object], ...] = (
            lambda: add(one, "berta"),
            lambda: one.apply(noted, replace(a_run(), result=RunResult.UNCHANGED)),
            lambda: one.set_methods(anna, ("kerberos",)),
        )
        with stores[1].pulse() as pulse:
            wait_until(lambda: pulse.beat() is not None, "it is not heard")
            for run in runs:
                before = pulse.beat()
                run()
                wait_until(lambda old=before: pulse.beat() != old, "it does not move")

    def test_a_pulse_moves_before_an_own_write_returns(
        self, stores: tuple[Store, Store]
    ) -> None:
        with stores[0].pulse() as pulse:
            wait_until(lambda: pulse.beat() is not None, "it is not heard")
            for name in ("anna", "berta"):
                before = pulse.beat()
                add(stores[0], name)
                assert pulse.beat() != before

    def test_a_pulse_rests_while_logins_are_recorded(
        self, stores: tuple[Store, Store], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        # Else a file would not be looked at again within this test.
        monkeypatch.setattr(pulse, "_GOOD", 0.0)
        verdict = Rejected(Reason.UNKNOWN)
        attempt = Attempt(verdict, "who", "smtp", "saslauthd:x")
        with stores[1].pulse() as told:
            wait_until(lambda: told.beat() is not None, "it is not heard")
            before = told.beat()
            for store in stores:
                store.record([attempt], a_run().started_at)
            assert told.beat() == before

    def test_it_ends_when_it_is_told_to(self, stores: tuple[Store, Store]) -> None:
        stop = Event()
        thread = Thread(target=stores[1].changed, args=(lambda _one: None, stop))
        thread.start()
        stop.set()
        thread.join(30)
        assert not thread.is_alive()


def test_nobody_else_changes_what_is_in_memory() -> None:
    store, heard = MemoryStore(), list[DomainName]()
    with followed(store, heard.append):
        add(store, "anna")
    assert heard == []


class TestSqliteFeed(FeedContract):
    @pytest.fixture
    def file(self, tmp_path: Path) -> Path:
        return tmp_path / "dirbridge.db"

    @pytest.fixture
    def stores(self, file: Path) -> Iterator[tuple[Store, Store]]:
        with two(f"sqlite:///{file}") as both:
            yield both

    def test_a_file_that_is_away_for_a_time(
        self, file: Path, stores: tuple[Store, Store]
    ) -> None:
        stop, heard = Event(), list[DomainName]()
        add(stores[0], "anna")
        for store in stores:
            store.close()
        aside = file.rename(file.with_name("aside"))
        thread = Thread(target=stores[1].changed, args=(heard.append, stop))
        thread.start()
        aside.rename(file)
        wait_until(lambda: heard == [COMPANY], "it does not look again")
        stop.set()
        thread.join(30)

    def test_a_pulse_of_a_file_is_late_by_a_moment_at_most(
        self, stores: tuple[Store, Store]
    ) -> None:
        with stores[1].pulse() as pulse:
            before = pulse.beat()
            add(stores[0], "anna")
            wait_until(lambda: pulse.beat() != before, "it stays as it was")


class TestPostgresqlFeed(FeedContract):
    @pytest.fixture
    def stores(self, full_url: str) -> Iterator[tuple[Store, Store]]:
        with two(*parted(full_url)) as both:
            yield both

    def test_all_is_told_after_its_session_was_cut(
        self, stores: tuple[Store, Store], full_url: str, told: list[DomainName]
    ) -> None:
        with psycopg.connect(full_url, autocommit=True) as admin:
            admin.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        wait_until(lambda: told == [COMPANY], "it does not listen again")
        add(stores[0], "berta", BRANCH)
        wait_until(lambda: told == [COMPANY, BRANCH], "it was not told")

    def test_a_pulse_is_not_to_be_believed_while_its_session_is_cut(
        self, stores: tuple[Store, Store], full_url: str
    ) -> None:
        beats: list[int | None] = []
        with stores[1].pulse() as pulse:
            wait_until(lambda: pulse.beat() is not None, "it is not heard")
            before = pulse.beat()
            with psycopg.connect(full_url, autocommit=True) as admin:
                admin.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE datname = current_database() AND pid <> pg_backend_pid()"
                )
            wait_until(lambda: pulse.beat() is None, "it is believed")
            wait_until(lambda: pulse.beat() is not None, "it is not heard again")
            beats.append(pulse.beat())
        assert before not in beats
        assert pulse.beat() is None

    def test_a_server_that_refuses_to_tell_is_not_asked_without_end(
        self, full_url: str
    ) -> None:
        # It has no tables yet; a standby answers LISTEN alike.
        url = make_url(full_url).set(drivername="postgresql+psycopg")
        engine = create_engine(url, isolation_level="AUTOCOMMIT")
        done: list[str] = []
        event.listen(engine, "engine_connect", lambda _: done.append("connected"))

        class Stop(Event):
            def wait(self, timeout: float | None = None) -> bool:
                done.append("waited")
                if done.count("waited") == 3:
                    self.set()
                return super().wait(0)

        thread = Thread(target=listen, args=(engine, lambda _: None, Stop()))
        thread.start()
        thread.join(30)
        engine.dispose()
        assert done == ["connected", "waited"] * 3

    def test_it_listens_again_after_a_restart(
        self,
        stores: tuple[Store, Store],
        postgresql: Postgresql,
        told: list[DomainName],
    ) -> None:
        postgresql.stop()
        postgresql.start()
        wait_until(lambda: told == [COMPANY], "it does not listen again")
        add(stores[0], "berta")
        wait_until(lambda: told == [COMPANY, COMPANY], "it was not told")
