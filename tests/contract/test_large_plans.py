"""Plans that are written in several batches, on every store."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import cast

import psycopg
import pytest

from dirbridge.errors import StoreError
from dirbridge.model.account import Account
from dirbridge.model.entry import EntryKind
from dirbridge.model.names import DirectoryId
from dirbridge.model.plan import Change, Changes, Op
from dirbridge.model.recipient import By, Reference
from dirbridge.store.base import Store
from dirbridge.store.opening import open_store
from dirbridge.store.postgresql_copy import BATCH
from testbed.process import wait_until
from tests import stores
from tests.contract.test_store import COMPANY, a_run, change, person, plan, put, values

MANY = BATCH // 2
"""Accounts with four rows each: two batches; the rest of a plan is behind them."""

MEMBERS = tuple(
    Reference(By.DN, f"uid=p{number},cn=users,dc=example") for number in range(3)
)


@pytest.fixture(params=stores.KINDS)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    with stores.empty(request, tmp_path, "large_plans") as store:
        yield store


def people(first: int, count: int) -> list[Account]:
    return [
        person(f"p{number}", primary_address=f"p{number}@company.com")
        for number in range(first, first + count)
    ]


def group() -> Account:
    made = person("", primary_address="all@company.com", members=MEMBERS)
    return values(made, kind=EntryKind.GROUP, login_names=())


def numbered(store: Store) -> dict[DirectoryId, int]:
    return {one.values.directory_id: one.number for one in store.accounts()}


def test_everybody_is_there_and_in_the_order_of_the_plan(store: Store) -> None:
    everybody = [*people(0, MANY), group(), *people(MANY, 2)]
    run = put(store, Op.CREATE, *everybody)
    found = list(store.accounts(COMPANY))
    assert [replace(one, number=0) for one in found] == everybody
    assert len({one.number for one in found}) == len(everybody)
    assert len(store.audit(run.number)) == len(everybody)


def test_others_are_changed_between_batches_of_new_ones(store: Store) -> None:
    old = people(0, 3)
    put(store, Op.CREATE, *old)
    there = numbered(store)
    renamed = [
        values(
            replace(one, number=there[one.values.directory_id]),
            login_names=(f"new-{one.mailbox}",),
        )
        for one in old
    ]
    new = people(3, MANY)
    creations = [change(Op.CREATE, one) for one in new]
    updates = [change(Op.UPDATE, one) for one in renamed]
    half = MANY // 2 + 5
    changes = (*updates[:1], *creations[:half], *updates[1:], *creations[half:])
    store.apply(plan(*changes), a_run())
    found = {one.values.directory_id: one for one in store.accounts()}
    assert len(found) == MANY + 3
    for one in renamed:
        assert found[one.values.directory_id] == one
    assert max(there.values()) < min(
        found[one.values.directory_id].number for one in new
    )


def test_an_address_that_is_met_again_much_later_undoes_everything(
    store: Store,
) -> None:
    everybody = people(0, MANY)
    twin = person("twin", primary_address="P0@company.com")
    with pytest.raises(StoreError) as caught:
        put(store, Op.CREATE, *everybody, twin)
    assert caught.value.code == "refused"
    assert "company.com" not in str(caught.value)
    assert_empty(store)
    put(store, Op.CREATE, *everybody)
    assert len(numbered(store)) == MANY


def test_one_that_is_met_again_in_a_batch_before_undoes_everything(
    store: Store,
) -> None:
    twin = person("twin", primary_address="p1@company.com")
    with pytest.raises(StoreError) as caught:
        put(store, Op.CREATE, *people(0, 9), twin, *people(9, MANY))
    assert caught.value.code == "refused"
    assert_empty(store)
    put(store, Op.CREATE, *people(0, 2))
    assert len(numbered(store)) == 2


def test_what_cannot_be_stored_undoes_what_is_underway(store: Store) -> None:
    bad = person("bad", title="a\0b")
    with pytest.raises(StoreError) as caught:
        put(store, Op.CREATE, *people(0, MANY), bad, *people(MANY, 5))
    assert caught.value.code == "refused"
    assert_empty(store)
    put(store, Op.CREATE, *people(0, 2))
    assert len(numbered(store)) == 2


def assert_empty(store: Store) -> None:
    assert store.counts() == {}
    assert store.last_runs(COMPANY) == ()


@dataclass
class Interrupted:
    """New people; behind the first batch something happens, then there is a Ctrl-C."""

    happens: Callable[[], object]
    walks: int = 0

    def __len__(self) -> int:
        return MANY

    def __iter__(self) -> Iterator[Change]:
        self.walks += 1
        for number, one in enumerate(people(0, MANY)):
            # The first walk counts, the second one writes.
            if number == MANY // 2 and self.walks > 1:
                self.happens()
                raise KeyboardInterrupt
            yield change(Op.CREATE, one)


def interrupt(store: Store, happens: Callable[[], object]) -> Interrupted:
    """Apply a plan that ends by a Ctrl-C while a batch is being sent."""
    changes = Interrupted(happens)
    with pytest.raises(KeyboardInterrupt):
        store.apply(replace(plan(), changes=cast("Changes", changes)), a_run())
    assert not [t for t in threading.enumerate() if t.name.startswith("copy")]
    return changes


WAITING = (
    "SELECT pid FROM pg_stat_activity WHERE datname = current_database()"
    " AND query LIKE 'COPY%' AND wait_event_type = 'Lock'"
)
LONG = 20
"""Seconds after which a test gives in that would wait without end."""


@dataclass
class Locked:
    """A database in which a COPY has to wait for somebody."""

    url: str = field(repr=False)
    other: psycopg.Connection
    admin: psycopg.Connection

    def waiting(self) -> int:
        """The process of the server that waits for the lock, once it does."""
        found: list[tuple[int]] = []

        def look() -> bool:
            found.extend(self.admin.execute(WAITING).fetchall())
            return bool(found)

        wait_until(look, "nobody waits for the lock")
        return found[0][0]


@pytest.fixture
def locked(full_url: str) -> Iterator[Locked]:
    with (
        open_store(*stores.parted(full_url)),
        psycopg.connect(full_url) as other,
        psycopg.connect(full_url, autocommit=True) as admin,
    ):
        other.execute(f"SET idle_in_transaction_session_timeout = '{LONG}s'")
        other.execute("LOCK TABLE addresses IN SHARE MODE")
        yield Locked(full_url, other, admin)


def test_nobody_waits_for_a_lock_who_has_pressed_ctrl_c(locked: Locked) -> None:
    with open_store(*stores.parted(locked.url)) as store:
        interrupt(store, lambda: bool(locked.waiting()))
        locked.other.execute("SELECT 'it is held all this time'")
        assert_empty(store)
        locked.other.rollback()
        put(store, Op.CREATE, *people(0, 2))
        assert len(numbered(store)) == 2


def test_nobody_waits_for_a_frozen_server_who_has_pressed_ctrl_c(
    locked: Locked,
) -> None:
    thaws: list[threading.Timer] = []

    def freeze() -> None:
        pid = locked.waiting()
        thaws.append(threading.Timer(LONG, os.kill, (pid, signal.SIGCONT)))
        thaws[0].start()
        os.kill(pid, signal.SIGSTOP)

    with open_store(*stores.parted(locked.url)) as store:
        changes = interrupt(store, freeze)
        (thaw,) = thaws
        assert thaw.is_alive()  # it is frozen all this time
        assert changes.walks == 2  # nobody tries again
        thaw.cancel()
        thaw.function(*thaw.args)
        locked.other.rollback()
        assert_empty(store)
        put(store, Op.CREATE, *people(0, 2))
        assert len(numbered(store)) == 2
