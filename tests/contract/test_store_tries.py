"""What every store counts for the guard: memory, SQLite, PostgreSQL."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest

from dirbridge.errors import StoreError
from dirbridge.model.account import Account
from dirbridge.model.login import (
    Accepted,
    Attempt,
    Cause,
    Reason,
    Rejected,
    Unavailable,
)
from dirbridge.store.base import Store
from dirbridge.store.opening import open_store
from dirbridge.store.tries_base import MOST_FAILING, Failing, Tries
from tests.contract.test_store import made, person
from tests.stores import KINDS, empty

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
DAY = timedelta(days=1)
PHONE, LAPTOP = ip_address("192.0.2.7"), ip_address("2001:db8::7")


@pytest.fixture(params=KINDS)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    with empty(request, tmp_path, "store_tries") as store:
        yield store


@pytest.fixture
def both(store: Store) -> tuple[Account, ...]:
    return made(store, person("anna"), person("bob"))


@pytest.fixture
def anna(both: tuple[Account, ...]) -> Account:
    return both[0]


@pytest.fixture
def bob(both: tuple[Account, ...]) -> Account:
    return both[1]


def counted(store: Store, account: Account, at: datetime, most: int = 3) -> bool:
    return store.count_try(account, at, since=at - 10 * MINUTE, most=most)


def test_nothing_is_counted_at_first(store: Store, anna: Account) -> None:
    assert store.tries(anna) is None
    assert store.came_from(anna, PHONE) is None


def test_tries_are_counted_up_to_the_most(
    store: Store, anna: Account, bob: Account
) -> None:
    assert [counted(store, anna, NOW) for _ in range(4)] == [True] * 3 + [False]
    assert counted(store, anna, NOW + MINUTE, most=4)
    assert store.tries(anna) == Tries(4, NOW + MINUTE, "?")
    assert store.tries(bob) is None
    assert store.tried(1) == {anna.number}
    assert counted(store, bob, NOW)
    assert store.tried(1) is None
    assert store.tried(2) == {anna.number, bob.number}


def test_tries_lapse_with_time_since_the_last_one(store: Store, anna: Account) -> None:
    for minutes in (0, 9, 18):
        assert counted(store, anna, NOW + minutes * MINUTE)
    assert not counted(store, anna, NOW + 27 * MINUTE)
    assert counted(store, anna, NOW + 29 * MINUTE)
    assert store.tries(anna) == Tries(1, NOW + 29 * MINUTE, "?")


def test_a_try_is_placed_at_its_server(store: Store, anna: Account) -> None:
    counted(store, anna, NOW)
    store.place_try(anna, NOW + MINUTE, "dc1")
    assert store.tries(anna) == Tries(1, NOW + MINUTE, "dc1")
    counted(store, anna, NOW + MINUTE)
    store.place_try(anna, NOW + MINUTE, "dc1")
    assert store.tries(anna) == Tries(2, NOW + MINUTE, "dc1")
    counted(store, anna, NOW + MINUTE)
    store.place_try(anna, NOW + MINUTE, "dc2")
    store.place_try(anna, NOW + MINUTE, "dc2")
    assert store.tries(anna) == Tries(3, NOW + MINUTE, "")


def test_a_try_is_given_back(store: Store, anna: Account) -> None:
    counted(store, anna, NOW)
    counted(store, anna, NOW + MINUTE)
    store.give_back_try(anna, NOW + MINUTE, NOW)
    assert store.tries(anna) == Tries(1, NOW, "?")
    store.give_back_try(anna, NOW, NOW)
    store.give_back_try(anna, NOW, NOW)
    assert store.tries(anna) is None


def test_a_wrong_try_meanwhile_stays_the_last_one(store: Store, anna: Account) -> None:
    counted(store, anna, NOW)
    counted(store, anna, NOW + MINUTE)
    store.place_try(anna, NOW + 2 * MINUTE, "dc1")
    store.give_back_try(anna, NOW + MINUTE, NOW)
    assert store.tries(anna) == Tries(1, NOW + 2 * MINUTE, "dc1")


def test_tries_are_forgotten(store: Store, anna: Account) -> None:
    counted(store, anna, NOW)
    store.forget_tries(anna)
    store.forget_tries(anna)
    assert store.tries(anna) is None


def test_two_at_once_never_count_beyond_the_most(store: Store, anna: Account) -> None:
    begin = threading.Barrier(8)

    def one(_: int) -> int:
        begin.wait(10)
        return sum(counted(store, anna, NOW, most=5) for _ in range(3))

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(one, range(8))) == 5
    tries = store.tries(anna)
    assert tries is not None
    assert tries.count == 5


def test_addresses_are_kept_and_forgotten(
    store: Store, anna: Account, bob: Account
) -> None:
    store.note_address(anna, PHONE, NOW)
    store.note_address(anna, LAPTOP, NOW)
    store.note_address(anna, PHONE, NOW + DAY)
    store.note_address(bob, LAPTOP, NOW + 2 * DAY)
    assert store.came_from(anna, PHONE) == NOW + DAY
    assert store.came_from(anna, LAPTOP) == NOW
    assert store.came_from(bob, PHONE) is None

    assert store.prune_addresses(NOW + DAY) == 1
    assert store.came_from(anna, LAPTOP) is None
    store.forget_addresses(anna)
    assert store.came_from(anna, PHONE) is None
    assert store.came_from(bob, LAPTOP) == NOW + 2 * DAY


def attempt(verdict: Rejected | Accepted | Unavailable, **fields: object) -> Attempt:
    told = {"request_name": "Anna", "service": "imap", "hook": "dovecot-auth"}
    return Attempt(verdict, **{**told, **fields})


def test_failures_say_who_caused_them(store: Store, anna: Account) -> None:
    wrong = Rejected(Reason.WRONG_PASSWORD, anna.canonical)
    by_phone = attempt(wrong, remote_ip=PHONE)
    store.record([by_phone] * 2, NOW - DAY)
    store.record([by_phone] * 3, NOW)
    store.record([attempt(wrong, remote_ip=PHONE, service="smtp")], NOW)
    store.record([by_phone, attempt(wrong)], NOW + MINUTE)
    store.record(
        [
            attempt(Accepted(anna.canonical, "ldap-bind", "dc1"), remote_ip=LAPTOP),
            attempt(Unavailable(Cause.TIMEOUT, anna.canonical), remote_ip=LAPTOP),
            attempt(Rejected(Reason.UNKNOWN), request_name="bob", remote_ip=LAPTOP),
        ],
        NOW,
    )
    assert store.failures(anna.canonical.upper(), NOW - MINUTE) == (
        Failing(str(PHONE), "imap", "dovecot-auth", 4, NOW + MINUTE),
        Failing("", "imap", "dovecot-auth", 1, NOW + MINUTE),
        Failing(str(PHONE), "smtp", "dovecot-auth", 1, NOW),
    )
    assert [one.count for one in store.failures("anna", NOW - 2 * DAY)] == [6, 1, 1]
    assert store.failures("an\0na", NOW) == ()
    many = [attempt(wrong, remote_ip=ip_address(n)) for n in range(1, 20)]
    store.record(many, NOW)
    assert len(store.failures("anna", NOW)) == MOST_FAILING


def test_a_login_does_not_wait_for_a_sync_that_holds_the_database(
    tmp_path: Path,
) -> None:
    url = f"sqlite:///{tmp_path}/dirbridge.db"
    with open_store(url) as writer, open_store(url) as store:
        (anna,) = made(writer, person("anna"))
        with writer._database.writes.begin() as connection:
            connection.exec_driver_sql("SELECT 1")
            begun = time.monotonic()
            with pytest.raises(StoreError) as raised:
                counted(store, anna, NOW)
            assert time.monotonic() - begun < 5
            assert raised.value.code == "locked"
            assert store.tries(anna) is None
        assert counted(store, anna, NOW)
