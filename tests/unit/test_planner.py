"""The planner: pure, so plain values and hypothesis are enough."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dirbridge.errors import UnsafePlan
from dirbridge.model.account import Account, AccountState, AccountValues, Origin
from dirbridge.model.entry import EntryKind, Finished, ReadKind
from dirbridge.model.mapping import Mapped, Unmapped
from dirbridge.model.names import Address, DirectoryId, DomainName, fold
from dirbridge.model.plan import Op, Plan
from dirbridge.store.view import AccountsView
from dirbridge.sync import planner
from dirbridge.sync.claims import held_addresses, held_names
from dirbridge.sync.limits import Limits, check, offer
from dirbridge.sync.mailboxes import mailbox_name
from dirbridge.sync.planner import Policy
from dirbridge.sync.read import Read, read_of
from tests.plans import applied

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
DOMAIN = DomainName("company.com")
POLICY = Policy(DOMAIN)


def person(name: str, **fields: object) -> AccountValues:
    values = {
        "directory_id": DirectoryId(f"id-{name}"),
        "dn": f"CN={name},OU=Staff,DC=corp",
        "login_names": (name,),
        "primary_address": Address(f"{name}@company.com"),
    }
    return AccountValues(**{**values, **fields})  # type: ignore[arg-type]


def reading(
    *values: AccountValues,
    complete: bool = True,
    kind: ReadKind = ReadKind.FULL,
    gone: tuple[str, ...] = (),
    unmapped: tuple[str, ...] = (),
) -> Read:
    return read_of(
        Finished(kind, complete, "dc1:636", "DC=corp"),
        tuple(Mapped(one) for one in values),
        tuple(
            Unmapped(DirectoryId(f"id-{n}"), n, "login_names", "x") for n in unmapped
        ),
        frozenset(DirectoryId(f"id-{name}") for name in gone),
    )


def make_plan(
    policy: Policy, stored: Iterable[Account], read: Read, now: datetime
) -> Plan:
    return planner.make_plan(policy, AccountsView(stored), read, now)


def stored_after(*values: AccountValues, now: datetime = NOW) -> list[Account]:
    return applied([], make_plan(POLICY, [], reading(*values), now))


def ops(plan: Plan) -> list[tuple[str, str]]:
    return [(str(change.op), change.name.split("@")[0]) for change in plan.changes]


def test_new_entries_are_created_with_a_mailbox_of_their_login_name() -> None:
    [anna] = stored_after(person("Anna"))
    assert (anna.mailbox, anna.canonical) == ("anna", "anna@company.com")


def test_the_second_plan_is_empty() -> None:
    stored = stored_after(person("anna"), person("bob"))
    plan = make_plan(POLICY, stored, reading(person("bob"), person("anna")), NOW)
    assert (plan.changes, plan.unchanged) == ((), 2)


def test_a_rename_of_everything_keeps_the_mailbox_and_the_old_address() -> None:
    stored = stored_after(person("anna", upn="anna@company.com"))
    married = person(
        "anna",
        login_names=("anna.berg",),
        upn="anna.berg@company.com",
        primary_address=Address("anna.berg@company.com"),
        dn="CN=anna berg,OU=Sales,DC=corp",
    )
    plan = make_plan(POLICY, stored, reading(married), NOW)
    assert ops(plan) == [("rename", "anna")]
    result = plan.changes[0].result
    assert result is not None
    assert result.mailbox == "anna"
    assert [kept.address for kept in result.kept] == ["anna@company.com"]
    assert result.kept[0].until == NOW + POLICY.keep_old_address
    again = make_plan(POLICY, applied(stored, plan), reading(married), NOW)
    assert again.changes == ()


def test_a_move_alone_is_a_move() -> None:
    stored = stored_after(person("anna"))
    moved = person("anna", dn="CN=anna,OU=Sales,DC=corp")
    assert ops(make_plan(POLICY, stored, reading(moved), NOW)) == [("move", "anna")]


def test_who_vanishes_is_deactivated_then_removed_and_may_come_back() -> None:
    stored = stored_after(person("anna"), person("bob"))
    plan = make_plan(POLICY, stored, reading(person("bob")), NOW)
    assert ops(plan) == [("deactivate", "anna")]
    stored = applied(stored, plan)
    soon = NOW + timedelta(days=29)
    assert make_plan(POLICY, stored, reading(person("bob")), soon).changes == ()
    back = make_plan(POLICY, stored, reading(person("anna"), person("bob")), soon)
    assert ops(back) == [("reactivate", "anna")]
    late = NOW + timedelta(days=30)
    removal = make_plan(POLICY, stored, reading(person("bob")), late)
    assert ops(removal) == [("remove", "anna")]
    stored = applied(stored, removal)
    again = make_plan(POLICY, stored, reading(person("anna"), person("bob")), late)
    assert ops(again) == [("reactivate", "anna")]


def test_an_unmappable_entry_is_there_so_nobody_vanished() -> None:
    stored = stored_after(person("anna"), person("bob"))
    read = reading(person("bob"), unmapped=("anna",))
    assert make_plan(POLICY, stored, read, NOW).changes == ()


@pytest.mark.parametrize(
    "read", [reading(complete=False), reading(kind=ReadKind.DELTA)]
)
def test_only_a_complete_full_read_shows_who_vanished(read: Read) -> None:
    stored = stored_after(person("anna"))
    assert make_plan(POLICY, stored, read, NOW + timedelta(days=99)).changes == ()


def test_a_delta_deactivates_whom_it_names_gone() -> None:
    stored = stored_after(person("anna"), person("bob"))
    read = reading(kind=ReadKind.DELTA, gone=("anna",))
    assert ops(make_plan(POLICY, stored, read, NOW)) == [("deactivate", "anna")]


def test_local_accounts_are_untouched_and_never_overwritten() -> None:
    local = Account(
        number=1,
        domain=DOMAIN,
        mailbox="anna",
        origin=Origin.LOCAL,
        state_since=NOW,
        values=person("anna", directory_id=DirectoryId("local:1")),
    )
    plan = make_plan(POLICY, [local], reading(person("anna"), person("bob")), NOW)
    assert ops(plan) == [("create", "bob"), ("conflict", "anna")]
    assert plan.of(Op.CONFLICT)[0].after["conflict"] == "local-account"
    assert ops(make_plan(POLICY, [local], reading(), NOW)) == []


def test_a_recreated_person_is_a_conflict_not_a_take_over() -> None:
    stored = stored_after(person("anna"), person("bob"))
    twin = person("anna", directory_id=DirectoryId("id-other"))
    plan = make_plan(POLICY, stored, reading(twin, person("bob")), NOW)
    assert ops(plan)[0] == ("deactivate", "anna")
    conflicts = {str(change.after["conflict"]) for change in plan.of(Op.CONFLICT)}
    assert conflicts == {"recreated"}
    assert plan.of(Op.CREATE) == ()


def test_an_address_of_two_newcomers_goes_to_neither_and_both_stand() -> None:
    info = Address("info@company.com")
    read = reading(person("anna", aliases=(info,)), person("bob", aliases=(info,)))
    plan = make_plan(POLICY, [], read, NOW)
    stored = applied([], plan)
    assert [account.values.aliases for account in stored] == [(), ()]
    assert len(plan.of(Op.CONFLICT)) == 2
    assert make_plan(POLICY, stored, read, NOW).of(Op.CREATE, Op.UPDATE) == ()


def test_who_has_an_address_keeps_it() -> None:
    info = Address("info@company.com")
    stored = stored_after(person("anna", aliases=(info,)))
    read = reading(person("anna", aliases=(info,)), person("bob", aliases=(info,)))
    plan = make_plan(POLICY, stored, read, NOW)
    assert ops(plan) == [("create", "bob"), ("conflict", "bob")]
    assert plan.changes[0].result is not None
    assert plan.changes[0].result.values.aliases == ()


def test_an_address_may_be_handed_on_in_one_run() -> None:
    info = Address("info@company.com")
    stored = stored_after(person("anna", aliases=(info,)), person("bob"))
    read = reading(person("anna"), person("bob", aliases=(info,)))
    plan = make_plan(POLICY, stored, read, NOW)
    assert ops(plan) == [("update", "anna"), ("update", "bob")]
    assert plan.of(Op.CONFLICT) == ()


def test_a_removed_accounts_addresses_stay_reserved_for_180_days() -> None:
    stored = stored_after(person("anna"), person("zoe"))
    for moment in (NOW, NOW + timedelta(days=30)):
        plan = make_plan(POLICY, stored, reading(person("zoe")), moment)
        stored = applied(stored, plan)
    newcomer = person("ann", primary_address=Address("anna@company.com"))
    read = reading(newcomer, person("zoe"))
    soon = make_plan(POLICY, stored, read, NOW + timedelta(days=209))
    assert soon.of(Op.CONFLICT)[0].after["conflict"] == "reserved"
    later = make_plan(POLICY, stored, read, NOW + timedelta(days=211))
    assert later.of(Op.CONFLICT) == ()


def test_a_mailbox_name_that_is_taken_gets_a_number_and_is_told() -> None:
    stored = stored_after(person("anna"))
    renamed = person("anna", login_names=("anna.berg",))
    twin = person("new", login_names=("anna",))
    plan = make_plan(POLICY, stored, reading(renamed, twin), NOW)
    created = plan.of(Op.CREATE)[0]
    assert created.name == "anna-2@company.com"
    assert '"anna" is taken' in created.why


def test_the_user_limit_is_hard_and_the_oldest_entries_come_first() -> None:
    policy = replace(POLICY, user_limit=2)
    people = [
        person(name, created_at=NOW - timedelta(days=days))
        for name, days in (("young", 1), ("old", 9), ("middle", 5))
    ]
    plan = make_plan(policy, [], reading(*people), NOW)
    assert ops(plan) == [
        ("create", "middle"),
        ("create", "old"),
        ("conflict", "young"),
    ]


def test_a_state_change_is_an_update_with_its_time() -> None:
    stored = stored_after(person("anna"))
    disabled = person("anna", state=AccountState.DISABLED, state_reason="off")
    later = NOW + timedelta(hours=1)
    plan = make_plan(POLICY, stored, reading(disabled), later)
    assert ops(plan) == [("update", "anna")]
    assert plan.changes[0].after == {"state": "disabled", "state_reason": "off"}
    assert plan.changes[0].result is not None
    assert plan.changes[0].result.state_since == later


def test_a_withheld_rename_keeps_its_old_names_from_others() -> None:
    stored = stored_after(person("anna"), person("bob"))
    wants_bob = person("anna", login_names=("bob",))
    wants_anna = person("new", login_names=("anna",), primary_address=None)
    read = reading(wants_bob, person("bob"), wants_anna)
    plan = make_plan(POLICY, stored, read, NOW)
    assert {op for op, _ in ops(plan)} == {"conflict"}


@pytest.mark.parametrize(
    ("login", "mailbox"),
    [
        ("Zoe Vdb", "zoe.vdb"),
        ("../../etc/passwd", "etc.passwd"),
        ("o'brien", "o'brien"),
        ("Jürgen", "jürgen"),
        ("..", "account"),
        ("a/b\0c", "a.b.c"),
    ],
)
def test_mailbox_names_are_safe_in_a_path(login: str, mailbox: str) -> None:
    assert mailbox_name(person("x", login_names=(login,))) == mailbox


def crowd(number: int) -> list[AccountValues]:
    return [person(f"u{index:03}") for index in range(number)]


@pytest.mark.parametrize(
    ("there", "left", "limit"),
    [
        (100, 100, None),
        (100, 90, None),
        (100, 89, "share"),
        (9, 1, None),
        (9, 0, "source-empty"),
        (1000, 949, "absolute"),
    ],
)
def test_limits(there: int, left: int, limit: str | None) -> None:
    stored = stored_after(*crowd(there))
    plan = make_plan(POLICY, stored, reading(*crowd(left)), NOW)
    if limit is None:
        check(plan, Limits(), None, NOW)
        return
    with pytest.raises(UnsafePlan) as caught:
        check(plan, Limits(), None, NOW)
    assert caught.value.limit == limit
    approval = offer(plan, NOW)
    assert caught.value.approval == approval.id
    check(plan, Limits(), approval, NOW)


def test_a_changed_scope_takes_nobody_away_unasked() -> None:
    stored = stored_after(*crowd(9))
    plan = make_plan(POLICY, stored, reading(*crowd(8)), NOW)
    check(plan, Limits(), None, NOW)
    plan = replace(plan, scope_changed=True)
    with pytest.raises(UnsafePlan) as caught:
        check(plan, Limits(), None, NOW)
    assert caught.value.limit == "scope-changed"
    check(plan, Limits(), offer(plan, NOW), NOW)


def test_the_share_of_one_container_is_limited() -> None:
    inside = [person(f"s{i}", dn=f"CN=s{i},OU=Sales,DC=corp") for i in range(10)]
    stored = stored_after(*crowd(90), *inside)
    plan = make_plan(POLICY, stored, reading(*crowd(90), *inside[4:]), NOW)
    with pytest.raises(UnsafePlan) as caught:
        check(plan, Limits(), None, NOW)
    assert caught.value.limit == "container-share"
    assert caught.value.counts == {"away": 4, "accounts": 10}


NAMES = st.sampled_from(
    ["anna", "ANNA", "bob", "Jürgen", "ju\u0308rgen", "zoë", "ß", "ss"]
)
PEOPLE = st.lists(
    st.builds(
        lambda key, login, local, alias, disabled: person(
            str(key),
            login_names=(login,),
            upn=f"{alias}@group.example",
            primary_address=Address(f"{local}@company.com"),
            aliases=(Address(f"{alias}@company.com"),),
            state=AccountState.DISABLED if disabled else AccountState.ACTIVE,
        ),
        st.integers(0, 6),
        NAMES,
        NAMES,
        NAMES,
        st.booleans(),
    ),
    max_size=7,
    unique_by=lambda values: values.directory_id,
)


HISTORIES = st.lists(
    st.tuples(PEOPLE, st.booleans(), st.sampled_from([0, 1, 31, 181, 400])),
    min_size=1,
    max_size=7,
)


@given(histories=HISTORIES, limit=st.sampled_from([None, 2, 4]))
def test_apply_then_plan_again_takes_nothing_and_changes_nothing(
    histories: list[tuple[list[AccountValues], bool, int]], limit: int | None
) -> None:
    policy = replace(POLICY, user_limit=limit)
    stored: list[Account] = []
    now = NOW
    for people, complete, days in histories:
        now += timedelta(days=days)
        read = reading(*people, complete=complete)
        plan = make_plan(policy, stored, read, now)
        backwards = replace(read, mapped=read.mapped[::-1])
        assert make_plan(policy, stored, backwards, now) == plan
        if not complete:
            assert plan.of(Op.DEACTIVATE, Op.REMOVE) == ()
        mailboxes = {account.number: account.mailbox for account in stored}
        stored = applied(stored, plan)
        again = make_plan(policy, stored, read, now)
        assert {change.op for change in again.changes} <= {Op.CONFLICT}
        assert mailboxes.items() <= {a.number: a.mailbox for a in stored}.items()
        _assert_nothing_is_held_twice(stored, now)


def _assert_nothing_is_held_twice(stored: list[Account], now: datetime) -> None:
    held = [claim for a in stored for claim in held_addresses(a, now) | held_names(a)]
    assert len(held) == len(set(held))
    mailboxes = [fold(account.mailbox) for account in stored]
    assert len(mailboxes) == len(set(mailboxes))


def test_a_renamed_persons_mailbox_name_is_nobody_elses_address() -> None:
    stored = stored_after(person("anna"), person("bob"))
    berg = person(
        "anna", login_names=("berg",), primary_address=Address("berg@company.com")
    )
    stored = applied(
        stored, make_plan(POLICY, stored, reading(berg, person("bob")), NOW)
    )
    later = NOW + timedelta(days=400)
    twin = person("new", login_names=("anna",), aliases=(Address("anna@company.com"),))
    bob = person("bob", aliases=(Address("anna@company.com"),))
    plan = make_plan(POLICY, stored, reading(berg, bob, twin), later)
    [created] = plan.of(Op.CREATE)
    assert created.name == "anna-2@company.com"
    assert {c.after["other"] for c in plan.of(Op.CONFLICT)} == {"anna@company.com"}
    assert "bob" not in {c.name for c in plan.of(Op.UPDATE, Op.RENAME)}


def test_who_comes_back_after_the_reservation_takes_nothing_back() -> None:
    info = Address("info@company.com")
    stored = stored_after(person("anna", aliases=(info,)), person("bob"))
    for days in (0, 30):
        read = reading(person("bob"))
        plan = make_plan(POLICY, stored, read, NOW + timedelta(days=days))
        stored = applied(stored, plan)
    late = NOW + timedelta(days=300)
    bob = person("bob", aliases=(info,))
    stored = applied(stored, make_plan(POLICY, stored, reading(bob), late))
    read = reading(person("anna", aliases=(info,)), bob)
    plan = make_plan(POLICY, stored, read, late)
    assert ops(plan) == [("reactivate", "anna"), ("conflict", "anna")]
    _assert_nothing_is_held_twice(applied(stored, plan), late)


def _removed_long_ago(*there: AccountValues) -> tuple[list[Account], datetime]:
    """Anna was old@, then new@, and left; bob and who else is there stayed."""
    old, new = Address("old@company.com"), Address("new@company.com")
    stored = stored_after(person("anna", primary_address=old), *there)
    renamed = reading(person("anna", primary_address=new), *there)
    stored = applied(stored, make_plan(POLICY, stored, renamed, NOW))
    for days in (0, 30):
        plan = make_plan(POLICY, stored, reading(*there), NOW + timedelta(days=days))
        stored = applied(stored, plan)
    return stored, NOW + timedelta(days=220)


@pytest.mark.parametrize("given", ["old@company.com", "new@company.com"])
@pytest.mark.parametrize("back", ["new@company.com", "other@company.com"])
def test_old_addresses_of_who_comes_back_late_may_be_anothers(
    given: str, back: str
) -> None:
    stored, late = _removed_long_ago(person("bob"))
    bob = person("bob", aliases=(Address(given),))
    stored = applied(stored, make_plan(POLICY, stored, reading(bob), late))
    returned = person("anna", primary_address=Address(back))
    stored = applied(stored, make_plan(POLICY, stored, reading(returned, bob), late))
    _assert_nothing_is_held_twice(stored, late)
    anna = next(account for account in stored if account.mailbox == "anna")
    assert anna.state is AccountState.ACTIVE
    assert anna.kept == ()


def test_an_address_that_several_want_is_not_that_of_who_comes_back_late() -> None:
    stored, late = _removed_long_ago(person("bob"))
    new = Address("new@company.com")
    read = reading(person("anna", primary_address=new), person("bob", aliases=(new,)))
    plan = make_plan(POLICY, stored, read, late)
    codes = [conflict.after["conflict"] for conflict in plan.of(Op.CONFLICT)]
    assert codes == ["name-claimed-twice"] * 2
    stored = applied(stored, plan)
    given = {(a.values.primary_address, a.values.aliases) for a in stored}
    assert given == {(None, ()), (Address("bob@company.com"), ())}


def test_a_late_returner_falls_back_to_no_address_of_anothers() -> None:
    carl = person("carl")
    stored, late = _removed_long_ago(person("bob"), carl)
    bob = person("bob", aliases=(Address("new@company.com"),))
    stored = applied(stored, make_plan(POLICY, stored, reading(bob, carl), late))
    taken = person("anna", primary_address=Address("carl@company.com"))
    plan = make_plan(POLICY, stored, reading(taken, bob, carl), late)
    stored = applied(stored, plan)
    _assert_nothing_is_held_twice(stored, late)


def test_a_leaver_with_a_refused_name_is_disabled_all_the_same() -> None:
    stored = stored_after(person("anna"), person("bob"))
    leaver = person(
        "bob",
        login_names=("anna",),
        state=AccountState.DISABLED,
        dn="CN=bob,OU=Leavers,DC=corp",
    )
    plan = make_plan(POLICY, stored, reading(person("anna"), leaver), NOW)
    assert ops(plan) == [("update", "bob"), ("conflict", "bob")]
    assert plan.changes[0].after["state"] == "disabled"
    assert "login_names" not in plan.changes[0].after


def test_an_address_that_is_only_kept_gives_way_to_the_directory() -> None:
    stored = stored_after(
        person("anna", primary_address=Address("info@company.com")), person("bob")
    )
    anna = person("anna", primary_address=Address("anna@company.com"))
    bob = person("bob", primary_address=Address("info@company.com"))
    plan = make_plan(POLICY, stored, reading(anna, bob), NOW)
    assert plan.of(Op.CONFLICT) == ()
    by_name = {a.mailbox: a for a in applied(stored, plan)}
    assert by_name["bob"].values.primary_address == "info@company.com"
    assert by_name["anna"].kept == ()


def test_a_refused_primary_address_leaves_the_old_one() -> None:
    stored = stored_after(person("anna"), person("bob"))
    bob = person("bob", primary_address=Address("anna@company.com"))
    plan = make_plan(POLICY, stored, reading(person("anna"), bob), NOW)
    assert ops(plan) == [("conflict", "bob")]


def test_the_order_of_several_login_names_is_no_change() -> None:
    stored = stored_after(person("anna", login_names=("anna", "b", "c")))
    turned = person("anna", login_names=("anna", "c", "b"))
    assert make_plan(POLICY, stored, reading(turned), NOW).changes == ()


def test_a_protected_account_is_left_alone_and_told() -> None:
    policy = replace(POLICY, protected=frozenset({"ceo@company.com"}))
    stored = stored_after(person("ceo"), person("bob"))
    renamed = person("ceo", login_names=("boss",))
    for read in (reading(renamed, person("bob")), reading(person("bob"))):
        plan = make_plan(policy, stored, read, NOW)
        [conflict] = plan.changes
        assert (conflict.op, conflict.after) == (Op.CONFLICT, {"conflict": "protected"})
        assert "take it out of `protected`" in conflict.why
    late = NOW + timedelta(days=99)
    ceo = next(account for account in stored if account.mailbox == "ceo")
    gone = [replace(ceo, state=AccountState.DEACTIVATED)]
    assert make_plan(policy, gone, reading(), late).changes == ()


def test_a_group_is_not_protected_by_its_short_name() -> None:
    policy = replace(POLICY, protected=frozenset({"bob"}))
    group = AccountValues(
        directory_id=DirectoryId("id-group"), kind=EntryKind.GROUP, name="bob"
    )
    assert not policy.protects(stored_after(group)[0])
    assert policy.protects(stored_after(person("bob"))[0])
    mail = replace(group, primary_address=Address("team@company.com"))
    by_address = replace(POLICY, protected=frozenset({"team@company.com"}))
    assert by_address.protects(stored_after(mail)[0])


def test_a_recreated_persons_conflict_offers_both_answers() -> None:
    stored = stored_after(person("anna"))
    twin = person("anna", directory_id=DirectoryId("id-other"))
    plan = make_plan(POLICY, stored, reading(twin), NOW)
    conflict = plan.of(Op.CONFLICT)[0]
    assert conflict.account == "id-other"
    assert "`dirbridge accounts adopt anna@company.com id-other`" in conflict.why
    assert "`dirbridge accounts keep-apart anna@company.com`" in conflict.why


@pytest.mark.parametrize("kind", [EntryKind.GROUP, EntryKind.CONTACT])
@pytest.mark.parametrize("primary", ["sales@company.com", None])
def test_a_group_that_was_made_anew_is_recreated_and_not_kept_apart(
    kind: EntryKind, primary: str | None
) -> None:
    address = Address("sales@company.com")
    old = AccountValues(
        directory_id=DirectoryId("id-old"),
        kind=kind,
        name="sales",
        primary_address=address if primary else None,
        aliases=() if primary else (address,),
    )
    stored = stored_after(old, person("anna"))
    new = replace(old, directory_id=DirectoryId("id-new"))
    plan = make_plan(POLICY, stored, reading(new, person("anna")), NOW)
    (conflict,) = plan.of(Op.CONFLICT)
    assert conflict.after["conflict"] == "recreated"
    assert "`dirbridge accounts keep-apart sales@company.com`" in conflict.why
    assert f"this {kind} gets it" in conflict.why
    assert "adopt" not in conflict.why


def test_who_lost_something_is_mapped_again_until_nothing_is_in_the_way() -> None:
    info = Address("info@company.com")
    both = (person("anna", aliases=(info,)), person("bob", aliases=(info,)))
    stored = stored_after(both[0])
    stored = [replace(account, digest=b"octets") for account in stored]
    read = replace(reading(*both), mapped=tuple(Mapped(one, b"octets") for one in both))
    plan = make_plan(POLICY, stored, read, NOW)
    [created] = plan.of(Op.CREATE)
    assert created.result is not None
    assert (created.result.digest, plan.remembered) == (b"", {})
    stored = applied(stored, plan)
    free = reading(person("anna"), both[1])
    free = replace(free, mapped=tuple(Mapped(m.values, b"new") for m in free.mapped))
    plan = make_plan(POLICY, stored, free, NOW)
    assert ops(plan) == [("update", "anna"), ("update", "bob")]
    assert {a.digest for a in applied(stored, plan)} == {b"new"}


def test_octets_that_change_nothing_are_remembered_without_a_change() -> None:
    stored = stored_after(person("anna"))
    read = replace(reading(), mapped=(Mapped(person("anna"), b"octets"),))
    read = replace(read, seen=frozenset({DirectoryId("id-anna")}))
    plan = make_plan(POLICY, stored, read, NOW)
    assert (plan.changes, plan.remembered) == ((), {1: b"octets"})


def test_who_vanishes_is_mapped_again_when_the_entry_is_back() -> None:
    stored = [replace(a, digest=b"octets") for a in stored_after(person("anna"))]
    plan = make_plan(POLICY, stored, reading(person("bob")), NOW)
    [gone] = plan.of(Op.DEACTIVATE)
    assert gone.result is not None
    assert gone.result.digest == b""


def test_a_group_takes_an_address_from_nobody_and_has_no_mailbox() -> None:
    stored = stored_after(person("sales"))
    group = person("team", kind=EntryKind.GROUP, login_names=())
    rival = replace(
        group,
        directory_id=DirectoryId("id-rival"),
        primary_address=Address("sales@company.com"),
    )
    plan = make_plan(POLICY, stored, reading(person("sales"), group, rival), NOW)
    created = {change.account: change.result for change in plan.of(Op.CREATE)}
    assert {account.mailbox for account in created.values() if account} == {""}
    assert created[DirectoryId("id-team")].values.primary_address == "team@company.com"
    [conflict] = plan.of(Op.CONFLICT)
    assert conflict.after["other"] == "sales@company.com"
    limited = replace(POLICY, user_limit=1)
    assert make_plan(limited, [], reading(person("anna"), group), NOW).counts() == {
        Op.CREATE: 2
    }


def test_an_entry_that_became_a_group_leaves_its_mailbox_alone() -> None:
    stored = stored_after(person("anna"))
    group = person("anna", kind=EntryKind.GROUP, login_names=())
    [conflict] = make_plan(POLICY, stored, reading(group), NOW).changes
    assert conflict.after["conflict"] == "kind-changed"


def test_time_alone_changes_nobody() -> None:
    stored = stored_after(person("anna"))
    berg = person("anna", primary_address=Address("berg@company.com"))
    stored = applied(stored, make_plan(POLICY, stored, reading(berg), NOW))
    years = NOW + timedelta(days=800)
    assert make_plan(POLICY, stored, reading(berg), years).changes == ()


def test_a_delta_asks_the_store_only_for_those_whom_it_touches() -> None:
    class Counting(AccountsView):
        asked: ClassVar[list[str]] = []

        def remembered(self, domain, source):
            self.asked.append("remembered")
            return super().remembered(domain, source)

        def mapped(self, domain, source):
            self.asked.append("mapped")
            return super().mapped(domain, source)

        def live(self, domain):
            self.asked.append("live")
            return super().live(domain)

        def containers(self, domain, source):
            self.asked.append("containers")
            return super().containers(domain, source)

        def by_id(self, domain, source, ids):
            self.asked.append(f"by_id {len(ids)}")
            return super().by_id(domain, source, ids)

    stored = stored_after(*crowd(50))
    moved = [replace(one, dn=f"CN={one.dn},OU=x") for one in crowd(10)]
    read = reading(*moved, kind=ReadKind.DELTA)
    plan = planner.make_plan(POLICY, Counting(stored), read, NOW)
    assert plan.counts() == {Op.MOVE: 10}
    assert Counting.asked == ["by_id 10"]
