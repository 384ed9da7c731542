"""What every store remembers beside accounts: runs, offers, notices, digests."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from dirbridge.errors import StoreError
from dirbridge.model.account import Account, AccountState, AccountValues
from dirbridge.model.entry import EntryKind
from dirbridge.model.login import Attempt, Cause, Unavailable
from dirbridge.model.names import Address, DirectoryId
from dirbridge.model.plan import Approval, Change, Op
from dirbridge.model.recipient import By, Reference
from dirbridge.store.base import NameKind, Notice, Run, RunResult, Store
from dirbridge.store.sql import SqlStore
from tests.contract.test_store import (
    BRANCH,
    COMPANY,
    a_run,
    change,
    made,
    person,
    plan,
    put,
    stored,
    values,
)
from tests.stores import KINDS, empty

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)
OFFER = Approval(
    id="1f3a-9c",
    domain=COMPANY,
    source="directory",
    covers=frozenset(
        {(Op.DEACTIVATE, DirectoryId("id-ä")), (Op.REMOVE, DirectoryId('"2'))}
    ),
    offered_at=NOW,
    until=NOW + DAY,
)


@pytest.fixture(params=KINDS)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    with empty(request, tmp_path, "store_memories") as store:
        yield store


def stopped(**fields: object) -> Run:
    return replace(a_run(), result=RunResult.STOPPED, **fields)


def group(name: str, **fields: object) -> Account:
    """A group, which has no mailbox."""
    plain = values(person("", login_names=()), kind=EntryKind.GROUP, name=name)
    return values(plain, **fields)


def test_groups_and_contacts_come_back_whole(store: Store) -> None:
    members = (
        Reference(By.DN, "CN=Müller\\, Anna,DC=x"),
        Reference(By.ID, "6F96"),
        Reference(By.NAME, "anna"),
    )
    sales = group(
        "sales", members=members, number="513", primary_address="sales@company.com"
    )
    sales = replace(sales, digest=b"\0\xff" * 8)
    contact = values(
        person("", login_names=()),
        kind=EntryKind.CONTACT,
        forward=Address("x@elsewhere.example"),
        aliases=(Address("x@company.com"),),
    )
    anna = person(
        "anna", primary_group="513", forward_dn="CN=b,DC=x", forward_keep=True
    )
    all_three = (sales, contact, anna)
    for one, found in zip(all_three, made(store, *all_three), strict=True):
        assert found == replace(one, number=found.number)
    fewer = values(stored(store, sales), members=members[1:])
    put(store, Op.UPDATE, fewer)
    assert stored(store, sales) == fewer


@pytest.mark.parametrize("kind", NameKind)
def test_nobody_logs_in_as_a_group(store: Store, kind: NameKind) -> None:
    made(
        store,
        group("sales", primary_address="sales@company.com", aliases=("s@company.com",)),
    )
    for name in ("sales", "sales@company.com", "s@company.com", ""):
        assert store.named(COMPANY, kind, name) == ()


def test_a_groups_address_is_nobody_elses(store: Store) -> None:
    made(store, group("sales", primary_address="sales@company.com"))
    with pytest.raises(StoreError) as caught:
        made(store, person("anna", aliases=("Sales@company.com",)))
    assert caught.value.code == "refused"


def test_two_directories_may_have_a_group_with_one_id(store: Store) -> None:
    one = group("sales")
    other = replace(one, source="directory-2")
    put(store, Op.CREATE, one, other)
    assert [account.source for account in store.accounts()] == [
        one.source,
        "directory-2",
    ]


def test_digests_are_refreshed_without_an_audit_row(store: Store) -> None:
    people = made(store, *(person(f"p{number}") for number in range(120)))
    version = store.version()
    wanted = {one.number: bytes([index]) * 16 for index, one in enumerate(people)}
    quiet = replace(a_run(), result=RunResult.UNCHANGED)
    run = store.apply(plan(remembered=wanted), quiet)
    found = {one.number: one.digest for one in store.accounts()}
    assert found == wanted
    assert store.audit(run.number) == ()
    assert store.version() == version
    again = {people[0].number: b""}
    store.apply(plan(remembered=again), quiet)
    assert next(store.accounts()).digest == b""


def test_refuses_a_digest_of_nobody(store: Store) -> None:
    (anna,) = made(store, person("anna"))
    with pytest.raises(StoreError) as caught:
        store.apply(plan(remembered={anna.number: b"x", 4711: b"y"}), a_run())
    assert caught.value.code == "refused"
    assert list(store.accounts()) == [anna]


def test_a_stopped_run_is_remembered_with_its_offer(store: Store) -> None:
    applied = store.apply(plan(), a_run())
    run = store.remember(stopped(why="too many", known=("limit",)), OFFER)
    assert run.number > applied.number
    assert store.run(run.number) == run
    assert store.run(run.number + 1) is None
    assert store.last_runs(COMPANY, 5) == (run, applied)
    assert store.version() == applied.number
    assert store.approval(OFFER.id) == OFFER
    assert store.approval("1f3a") is None
    assert store.approval("\0") is None


def test_a_domain_that_never_synced_can_fail(store: Store) -> None:
    run = store.remember(replace(a_run(BRANCH), result=RunResult.FAILED))
    assert store.last_runs(BRANCH) == (run,)
    assert store.version() == 0


def test_only_the_newest_run_that_had_some_keeps_what_is_known(store: Store) -> None:
    many = tuple(f"unmapped {n}" for n in range(9))
    here = [
        stopped(known=many),
        replace(a_run(), known=(*many, "new"), result=RunResult.UNCHANGED),
        # By hand, and by who knows nothing.
        replace(a_run(), server="admin"),
    ]
    other = store.remember(stopped(source="other", known=many))
    first = store.remember(here[0])
    second = store.apply(plan(), here[1])
    third = store.apply(plan(), here[2])
    assert store.run(first.number) == replace(first, known=())
    assert [store.run(run.number) for run in (other, second, third)] == [
        other,
        second,
        third,
    ]


def test_an_approval_is_used_once_and_offered_anew(store: Store) -> None:
    store.remember(stopped(), OFFER)
    run = store.apply(plan(approved=OFFER), a_run())
    used = replace(OFFER, used_by=run.number)
    assert store.approval(OFFER.id) == used
    with pytest.raises(StoreError) as caught:
        store.apply(plan(change(Op.CREATE, person("x")), approved=OFFER), a_run())
    assert caught.value.code == "outrun"
    assert (list(store.accounts()), store.approval(OFFER.id)) == ([], used)
    anew = replace(OFFER, offered_at=NOW + DAY, until=NOW + 2 * DAY)
    store.remember(stopped(), anew)
    assert store.approval(OFFER.id) == anew
    store.apply(plan(approved=anew), a_run())


def test_an_approval_that_no_run_offered_is_marked_too(store: Store) -> None:
    run = store.apply(plan(approved=OFFER), a_run())
    assert store.approval(OFFER.id) == replace(OFFER, used_by=run.number)


def test_a_plan_that_fails_uses_no_approval_up(store: Store) -> None:
    store.remember(stopped(), OFFER)
    bad = change(Op.UPDATE, replace(person("x"), number=4711))
    with pytest.raises(StoreError):
        store.apply(plan(bad, approved=OFFER), a_run())
    assert store.approval(OFFER.id) == OFFER


def test_history_tells_of_one_account_newest_first(store: Store) -> None:
    anna, berta = made(store, person("anna"), person("berta"))
    put(store, Op.UPDATE, values(anna, title="1"), values(berta, title="1"))
    put(store, Op.MOVE, values(anna, title="2"))
    ident = anna.values.directory_id
    assert [row.op for row in store.history(ident)] == ["move", "update", "create"]
    assert [row.op for row in store.history(ident, 1)] == ["move"]
    assert {row.account for row in store.history(ident)} == {ident}
    assert store.history(DirectoryId("nobody")) == ()
    assert store.history(DirectoryId("\0")) == ()


def test_keeps_notices_until_they_are_forgotten(store: Store) -> None:
    first = Notice(
        key="company.com stopped",
        domain="company.com",
        code="sync-stopped",
        text="too many",
        next="Look.",
        since=NOW + DAY,
    )
    second = replace(first, key="ä", domain="", since=NOW)
    for notice in (first, second):
        store.notice(notice)
    assert store.notices() == (second, first)
    told = replace(first, told_at=NOW + 2 * DAY, over_at=NOW + 3 * DAY)
    store.notice(told)
    assert store.notices() == (second, told)
    for key in (second.key, second.key, "nobody"):
        store.forget_notice(key)
    assert store.notices() == (told,)


def test_forgets_what_is_old(store: Store) -> None:
    def run_at(days: int, result: RunResult, *changes: Change) -> Run:
        at = NOW + days * DAY
        moved = replace(a_run(), started_at=at, finished_at=at, result=result)
        return store.apply(plan(*changes), moved)

    applied, unchanged = RunResult.APPLIED, RunResult.UNCHANGED
    created = run_at(0, applied, change(Op.CREATE, person("anna")))
    quiet = run_at(1, unchanged)
    (anna,) = store.accounts()
    later = run_at(5, applied, change(Op.UPDATE, values(anna, title="x")))
    store.remember(stopped(), OFFER)
    attempt = Attempt(Unavailable(Cause.BUSY), "anna", "", "")
    for days in range(4):
        store.record([attempt], NOW + days * DAY)

    assert store.prune(None, None) == (0, 0)
    assert store.prune(NOW + 2 * DAY, None) == (2, 0)
    assert len(store.attempts("anna", 9)) == 2
    assert store.prune(None, NOW + 3 * DAY) == (0, 1)
    assert store.audit(created.number) == ()
    assert (store.run(created.number), store.run(quiet.number)) == (None, None)
    assert store.run(later.number) == later
    assert [row.op for row in store.history(anna.values.directory_id)] == ["update"]
    assert store.approval(OFFER.id) is None

    assert store.prune(NOW + 9 * DAY, NOW + 9 * DAY) == (2, 1)
    # What tells the store's version stays, and the newest run of the directory.
    assert store.version() == later.number
    assert store.last_runs(COMPANY, 1) != ()
    assert list(store.accounts()) == [values(anna, title="x")]


def test_forgets_a_large_run_in_small_transactions(store: Store) -> None:
    conflict = change(Op.CONFLICT, person("anna"))
    store.apply(plan(*[conflict] * 12_000), a_run())
    told: list[int] = []
    if isinstance(store, SqlStore):

        @event.listens_for(store._database.writes.engine, "after_cursor_execute")
        def _(_connection: object, cursor: Any, statement: str, *_: object) -> None:
            if statement.startswith("DELETE FROM changes"):
                told.append(cursor.rowcount)

    assert store.prune(None, datetime.now(UTC)) == (0, 12_000)
    assert told in ([], [10_000, 2000])


def test_portions_are_no_limits(store: Store) -> None:
    count = 4500
    people = [
        person(f"p{n}", primary_address=f"p{n}@company.com") for n in range(count)
    ]
    run = store.apply(plan(*(change(Op.CREATE, one) for one in people)), a_run())
    assert [row.name for row in store.audit(run.number)] == [
        f"p{n}@company.com" for n in range(count)
    ]
    there = list(store.accounts())
    # Each takes the address of the one before, the first that of the last, and the
    # first is changed once more at the end.
    turned = [
        values(one, primary_address=there[index - 1].values.primary_address)
        for index, one in enumerate(there)
    ]
    last = values(turned[0], title="last")
    put(store, Op.UPDATE, *turned, last)
    assert list(store.accounts()) == [last, *turned[1:]]
    with store.view() as view:
        assert view.live(COMPANY) == {("directory", EntryKind.ACCOUNT): count}


def test_values_need_not_all_be_there(store: Store) -> None:
    bare = replace(
        person("x", login_names=()), values=AccountValues(directory_id=DirectoryId("x"))
    )
    (found,) = made(store, bare)
    assert found == replace(bare, number=found.number)
    assert found.state is AccountState.ACTIVE
