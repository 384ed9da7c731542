"""Taking a run back: what later runs did stays, or is told as a clash."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from dirbridge.errors import UnsafePlan
from dirbridge.model.account import (
    Account,
    AccountState,
    AccountValues,
    KeptAddress,
    Origin,
)
from dirbridge.model.entry import EntryKind, ReadKind
from dirbridge.model.fields import show
from dirbridge.model.names import Address, DirectoryId, DomainName
from dirbridge.model.plan import Change, Op, Plan
from dirbridge.model.recipient import By, Reference
from dirbridge.store.base import Run, RunResult
from dirbridge.store.memory import MemoryStore
from dirbridge.sync.acting import Deed, Done, carry_out
from dirbridge.sync.by_hand import Ground, Wish, changed
from dirbridge.sync.limits import Limits
from dirbridge.sync.undo import touched, undo_plan

DOMAIN = DomainName("company.com")
NOW = datetime(2026, 11, 22, tzinfo=UTC)


def account(name: str, number: int = 0, **values: Any) -> Account:
    filled: dict[str, Any] = {
        "directory_id": DirectoryId(f"id-{name}"),
        "dn": f"uid={name},dc=x",
        "login_names": (name,),
        "primary_address": Address(f"{name}@{DOMAIN}"),
        **values,
    }
    return Account(
        number=number,
        domain=DOMAIN,
        mailbox=name,
        origin=Origin.MAPPED,
        state_since=NOW,
        values=AccountValues(**filled),
        digest=b"octets",
    )


class History:
    """A store whose runs a test writes by saying what accounts become."""

    def __init__(self) -> None:
        self.store = MemoryStore()

    def run(self, *changes: Change) -> int:
        plan = Plan(
            domain=DOMAIN,
            server="dc1:636",
            kind=ReadKind.FULL,
            complete=True,
            made_at=NOW,
            changes=changes,
        )
        run = Run(
            number=0,
            domain=DOMAIN,
            source="directory",
            server="dc1:636",
            kind="full",
            started_at=NOW,
            finished_at=NOW,
            result=RunResult.APPLIED,
        )
        return self.store.apply(plan, run).number

    def create(self, *accounts: Account) -> int:
        return self.run(
            *(
                Change(
                    op=Op.CREATE,
                    account=one.values.directory_id,
                    name=one.canonical,
                    after=show(one),
                    result=one,
                )
                for one in accounts
            )
        )

    def change(self, name: str, make: Callable[[Account], Account]) -> int:
        old = self.of(name)
        change = changed(Wish(old, make(old), "It changed."))
        assert change is not None
        return self.run(change)

    def values(self, name: str, **values: Any) -> int:
        return self.change(
            name, lambda old: replace(old, values=replace(old.values, **values))
        )

    def of(self, name: str) -> Account:
        (found,) = (a for a in self.store.accounts() if a.mailbox == name)
        return found

    def undo(
        self,
        number: int,
        *,
        limits: Limits | None = None,
        user_limit: int | None = None,
        approved: str | None = None,
    ) -> Done:
        rows = self.store.audit(number)

        def plan(ground: Ground) -> Plan:
            stored = ground.view.by_id(DOMAIN, "directory", touched(rows))
            return undo_plan(ground, number, rows, stored)

        deed = Deed(DOMAIN, "directory", plan, user_limit, limits)
        return carry_out(self.store, deed, approved=approved)


def ops(done: Done) -> list[tuple[Op, str]]:
    return [(change.op, change.name.partition("@")[0]) for change in done.plan.changes]


def comparable(one: Account) -> Account:
    return replace(one, digest=b"", state_since=NOW)


def test_what_a_run_changed_goes_back() -> None:
    history = History()
    history.create(account("anna"), account("bob"))
    before = history.of("anna")
    run = history.values("anna", title="Head", login_names=("anna", "a"), quota=5)

    done = history.undo(run)

    assert ops(done) == [(Op.RENAME, "anna")]
    assert comparable(history.of("anna")) == comparable(before)
    # It is mapped again, though its entry is the same.
    assert history.of("anna").digest == b""
    assert history.of("bob").digest == b"octets"
    assert done.run is not None
    (row,) = history.store.audit(done.run.number)
    assert (row.server, row.why) == ("admin", f"Run {run} was undone by an admin.")


def test_an_undo_can_be_undone() -> None:
    history = History()
    created = history.create(account("anna"))
    renamed = history.values("anna", upn="a@x", department="Sales")
    after = history.of("anna")
    undone = history.undo(renamed).run
    assert undone is not None
    history.undo(undone.number)
    assert comparable(history.of("anna")) == comparable(after)
    assert history.undo(created).run is None


def test_whom_a_run_created_is_removed_and_comes_back() -> None:
    history = History()
    run = history.create(account("anna"))

    done = history.undo(run)

    assert ops(done) == [(Op.REMOVE, "anna")]
    assert history.of("anna").state is AccountState.REMOVED
    assert done.run is not None
    again = history.undo(done.run.number)
    assert ops(again) == [(Op.REACTIVATE, "anna")]
    assert history.of("anna").state is AccountState.ACTIVE
    assert history.of("anna").state_reason is None


def test_whom_a_run_deactivated_is_active_again() -> None:
    history = History()
    history.create(account("anna"))
    run = history.change(
        "anna",
        lambda old: replace(
            old, state=AccountState.DEACTIVATED, state_reason="It vanished."
        ),
    )
    assert ops(history.undo(run)) == [(Op.REACTIVATE, "anna")]
    assert history.of("anna").state is AccountState.ACTIVE
    assert history.of("anna").state_reason is None


def test_a_state_and_its_reason_go_back_together_or_not_at_all() -> None:
    history = History()
    history.create(account("anna"))
    run = history.change(
        "anna",
        lambda old: replace(
            old, state=AccountState.DISABLED, state_reason="It is locked."
        ),
    )
    history.change("anna", lambda old: replace(old, state_reason="It has expired."))

    done = history.undo(run)

    stays = history.of("anna")
    assert stays.state is AccountState.DISABLED
    assert stays.state_reason == "It has expired."
    (clash,) = done.plan.of(Op.CONFLICT)
    assert clash.after["field"] == "state_reason"


def test_what_a_later_run_changed_stays_and_is_told() -> None:
    history = History()
    history.create(account("anna", title="Clerk", phone="1"))
    run = history.values("anna", title="Head", phone="2")
    history.values("anna", title="Chief")

    done = history.undo(run)

    values = history.of("anna").values
    assert (values.title, values.phone) == ("Chief", "1")
    (clash,) = done.plan.of(Op.CONFLICT)
    assert dict(clash.after) == {
        "conflict": "undo-clash",
        "field": "title",
        "left": "Head",
        "now": "Chief",
    }


def test_a_later_run_that_changed_it_back_is_no_clash() -> None:
    history = History()
    history.create(account("anna", title="Clerk"))
    run = history.values("anna", title="Head")
    history.values("anna", title="Clerk")
    done = history.undo(run)
    assert (tuple(done.plan.changes), done.run) == ((), None)


def test_who_was_changed_after_the_creation_stays() -> None:
    history = History()
    run = history.create(account("anna"), account("bob"))
    history.values("anna", title="Head")
    done = history.undo(run)
    assert ops(done) == [(Op.REMOVE, "bob"), (Op.CONFLICT, "anna")]
    assert history.of("anna").state is AccountState.ACTIVE


def test_two_who_swapped_their_addresses_swap_back() -> None:
    history = History()
    history.create(account("anna"), account("bob"))
    swapped = []
    for name, other in (("anna", "bob"), ("bob", "anna")):
        old = history.of(name)
        address = Address(f"{other}x@{DOMAIN}")
        values = replace(old.values, primary_address=address)
        swapped.append(changed(Wish(old, replace(old, values=values), "It changed.")))
    run = history.run(*(one for one in swapped if one is not None))
    done = history.undo(run)
    assert len(done.plan.changes) == 2
    assert history.of("anna").values.primary_address == f"anna@{DOMAIN}"


def test_an_address_that_somebody_else_has_by_now_does_not_come_back() -> None:
    history = History()
    history.create(account("anna", aliases=(Address(f"info@{DOMAIN}"),)))
    run = history.values("anna", aliases=(), title="Head")
    history.create(account("bob", aliases=(Address(f"INFO@{DOMAIN}"),)))

    done = history.undo(run)

    assert ops(done) == [(Op.CONFLICT, "anna")]
    (conflict,) = done.plan.changes
    assert conflict.after["other"] == f"bob@{DOMAIN}"
    assert done.run is None
    assert history.of("anna").values.title == "Head"


def test_an_old_address_is_kept_again() -> None:
    history = History()
    history.create(account("anna"))
    old = KeptAddress(Address(f"old@{DOMAIN}"), NOW + timedelta(days=9))
    with_it = history.change("anna", lambda one: replace(one, kept=(old,)))
    without = history.change("anna", lambda one: replace(one, kept=()))
    history.undo(without)
    (kept,) = history.of("anna").kept
    assert kept.address == old.address
    assert kept.until > datetime.now(UTC) + timedelta(days=300)
    history.undo(with_it)
    assert history.of("anna").kept == ()


def test_an_old_address_that_is_anothers_by_now_stays_there() -> None:
    history = History()
    history.create(account("anna"), account("carl"))
    old = KeptAddress(Address(f"old@{DOMAIN}"), datetime.now(UTC) + timedelta(days=9))
    history.change("anna", lambda one: replace(one, kept=(old,)))
    run = history.change(
        "anna",
        lambda one: replace(
            one, kept=(), values=replace(one.values, title="Head", aliases=())
        ),
    )
    history.values("carl", aliases=(Address(f"OLD@{DOMAIN}"),))

    done = history.undo(run)

    assert ops(done) == [(Op.UPDATE, "anna")]
    assert history.of("anna").values.title is None
    assert history.of("anna").kept == ()


def test_an_old_address_goes_back_to_whom_the_same_run_took_it_from() -> None:
    """Bob got it in the very run that is undone, and gives it back."""
    history = History()
    history.create(account("anna"), account("bob"))
    address = Address(f"old@{DOMAIN}")
    old = KeptAddress(address, datetime.now(UTC) + timedelta(days=9))
    history.change("anna", lambda one: replace(one, kept=(old,)))
    anna, bob = history.of("anna"), history.of("bob")
    wishes = (
        Wish(anna, replace(anna, kept=()), "It changed."),
        Wish(bob, replace(bob, values=replace(bob.values, aliases=(address,))), "It."),
    )
    changes = [change for wish in wishes if (change := changed(wish)) is not None]
    history.undo(history.run(*changes))
    assert [one.address for one in history.of("anna").kept] == [address]
    assert history.of("bob").values.aliases == ()


def test_an_adoption_stays_when_the_old_entry_is_back_with_an_account() -> None:
    history = History()
    entry = DirectoryId("id-new")
    gone = replace(account("anna"), state=AccountState.DEACTIVATED)
    history.create(gone, account("bob"))
    run = history.values("anna", directory_id=entry)
    back = account("old", directory_id=gone.values.directory_id)
    history.create(back)

    done = history.undo(run)

    assert done.run is None
    (conflict,) = done.plan.changes
    assert dict(conflict.after) == {
        "conflict": "entry-taken",
        "directory_id": "id-anna",
        "other": f"old@{DOMAIN}",
    }
    assert "Leave both so" in conflict.why
    assert history.of("anna").values.directory_id == entry


def test_an_entrys_account_counts_though_it_is_removed() -> None:
    history = History()
    history.create(replace(account("anna"), state=AccountState.DEACTIVATED))
    run = history.values("anna", directory_id=DirectoryId("id-new"))
    removed = account("old", directory_id=DirectoryId("id-anna"))
    history.create(replace(removed, state=AccountState.REMOVED))
    assert ops(history.undo(run)) == [(Op.CONFLICT, "anna")]


def test_the_limits_hold_and_an_approval_lifts_them() -> None:
    history = History()
    run = history.create(*(account(f"p{n}") for n in range(20)))
    limits = Limits(share=0.1)

    stopped = history.undo(run, limits=limits).stopped

    assert isinstance(stopped, UnsafePlan)
    assert history.of("p1").state is AccountState.ACTIVE
    assert history.store.last_runs(DOMAIN)[0].result is RunResult.STOPPED
    done = history.undo(run, limits=limits, approved=stopped.approval)
    assert done.run is not None
    assert history.of("p1").state is AccountState.REMOVED


def test_the_user_limit_holds_for_who_comes_back() -> None:
    history = History()
    history.create(account("anna"))
    run = history.change("anna", lambda a: replace(a, state=AccountState.DEACTIVATED))
    history.create(account("bob"))
    done = history.undo(run, user_limit=1)
    assert [c.after["conflict"] for c in done.plan.changes] == ["user-limit"]
    assert history.undo(run, user_limit=2).run is not None


def test_members_that_came_and_went_do_so_again() -> None:
    def group(*members: str) -> Account:
        values = AccountValues(
            directory_id=DirectoryId("id-g"),
            kind=EntryKind.GROUP,
            members=tuple(Reference(By.DN, one) for one in members),
        )
        return replace(account("g"), mailbox="", values=values)

    history = History()
    history.create(group("a", "b", "later"))
    change = Change(
        op=Op.UPDATE,
        account=DirectoryId("id-g"),
        name="g",
        before={"members": ("dn:gone",)},
        after={"members": ("dn:b",)},
        result=replace(group("a", "b", "later"), number=1),
    )
    history.undo(history.run(change))
    (stored,) = history.store.accounts()
    assert [one.value for one in stored.values.members] == ["a", "later", "gone"]


def test_an_account_of_another_entry_by_now_is_told() -> None:
    history = History()
    run = history.create(account("anna"))
    history.values("anna", directory_id=DirectoryId("id-new"))
    done = history.undo(run)
    assert [c.after["conflict"] for c in done.plan.changes] == ["undo-gone"]


TEXT = st.none() | st.text("abc", min_size=1, max_size=3)
NAMES = st.lists(st.sampled_from("abcd"), max_size=3, unique=True).map(tuple)
ACCOUNTS = st.builds(
    lambda state, reason, kept, **values: replace(
        account("anna", **values), state=state, state_reason=reason, kept=kept
    ),
    state=st.sampled_from(AccountState),
    reason=TEXT,
    kept=st.lists(
        st.sampled_from("xyz").map(lambda x: KeptAddress(Address(x), NOW)),
        max_size=2,
        unique=True,
    ).map(tuple),
    login_names=NAMES,
    aliases=NAMES,
    upn=TEXT,
    principal=TEXT,
    display_name=TEXT,
    primary_address=TEXT,
    forward=TEXT,
    quota=st.none() | st.integers(0, 5),
    title=TEXT,
    expires_at=st.none() | st.just(NOW),
    dn=st.sampled_from(["uid=a", "uid=b"]),
)


@given(ACCOUNTS, ACCOUNTS)
def test_every_field_of_an_audit_row_goes_back(old: Account, new: Account) -> None:
    history = History()
    history.create(old)
    if changed(Wish(replace(old, number=1), replace(new, number=1), "")) is None:
        return
    run = history.change("anna", lambda _: replace(new, number=1))
    history.undo(run)
    back = history.of("anna")
    assert show(back) == show(old)
