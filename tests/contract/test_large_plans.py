"""Plans that are written in several batches, on every store."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from dirbridge.errors import StoreError
from dirbridge.model.account import Account
from dirbridge.model.entry import EntryKind
from dirbridge.model.names import DirectoryId
from dirbridge.model.plan import Op
from dirbridge.model.recipient import By, Reference
from dirbridge.store.base import Store
from dirbridge.store.postgresql_copy import BATCH
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
