"""What a run may take away before a person must approve."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from dirbridge.errors import UnsafePlan
from dirbridge.model.account import Account, AccountState, AccountValues
from dirbridge.model.entry import EntryKind, Finished, ReadKind
from dirbridge.model.mapping import Mapped, Unmapped
from dirbridge.model.names import Address, DirectoryId, DomainName
from dirbridge.model.plan import Op, Plan
from dirbridge.model.sentences import of_approval, problems_of
from dirbridge.store.view import AccountsView
from dirbridge.sync.limits import LAPSES, Limits, check, offer, tripped
from dirbridge.sync.planner import Policy, make_plan
from dirbridge.sync.read import read_of
from tests.plans import applied

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
POLICY = Policy(DomainName("company.com"))
LIMITS = Limits()


def values(name: str, kind: EntryKind = EntryKind.ACCOUNT) -> AccountValues:
    return AccountValues(
        directory_id=DirectoryId(f"id-{name}"),
        kind=kind,
        dn=f"CN={name},OU={name[0]},DC=corp",
        login_names=(name,) if kind is EntryKind.ACCOUNT else (),
    )


def crowd(
    letter: str, number: int, kind: EntryKind = EntryKind.ACCOUNT
) -> list[AccountValues]:
    return [values(f"{letter}{index:03}", kind) for index in range(number)]


def plan_of(
    stored: list[Account],
    there: list[AccountValues],
    now: datetime = NOW,
    unmapped: tuple[str, ...] = (),
    digest: bytes = b"octets",
) -> Plan:
    finished = Finished(ReadKind.FULL, complete=True, server="dc1:636", base="DC=corp")
    missing = tuple(Unmapped(DirectoryId(f"id-{n}"), n, "state", "x") for n in unmapped)
    mapped = tuple(Mapped(one, digest) for one in there)
    read = read_of(finished, mapped, missing)
    return make_plan(POLICY, AccountsView(stored), read, now)


def stored_after(there: list[AccountValues]) -> list[Account]:
    return applied([], plan_of([], there))


def stopped_by(plan: Plan, limits: Limits = LIMITS) -> list[str]:
    return [one.limit for one in tripped(plan, limits)]


def test_each_kind_is_counted_by_itself() -> None:
    groups = crowd("g", 20, EntryKind.GROUP)
    stored = stored_after([*crowd("u", 980), *groups])
    plan = plan_of(stored, [*crowd("u", 980), *groups[3:]])
    [over] = tripped(plan, replace(LIMITS, container_share=1.0))
    assert (over.limit, over.counts) == ("share", {"away": 3, "accounts": 20})
    assert stopped_by(plan_of(stored, [*crowd("u", 950), *groups])) == []


def test_an_approval_holds_for_any_part_of_what_it_covers() -> None:
    stored = stored_after(crowd("u", 100))
    approval = offer(plan_of(stored, crowd("u", 60)), NOW)
    check(plan_of(stored, crowd("u", 60)), LIMITS, approval, NOW)
    check(plan_of(stored, crowd("u", 80)), LIMITS, approval, NOW)
    with pytest.raises(UnsafePlan) as caught:
        check(plan_of(stored, crowd("u", 59)), LIMITS, approval, NOW)
    assert caught.value.approval not in {"", approval.id}


def test_every_limit_is_told_with_its_container() -> None:
    stored = stored_after([*crowd("u", 20), *crowd("s", 20)])
    plan = plan_of(stored, [*crowd("u", 20), *crowd("s", 10)])
    with pytest.raises(UnsafePlan) as caught:
        check(plan, LIMITS, None, NOW)
    first, second = caught.value.above
    assert (first.limit, first.where) == ("share", "")
    assert second.limit == caught.value.above[1].limit == "container-share"
    (problem,) = problems_of(caught.value)
    assert f"in {second.where}." in problem.text
    assert "10 of 40" in problem.text


def test_who_goes_within_the_limits_needs_no_approval_beside_it() -> None:
    stored = stored_after([*crowd("u", 900), *crowd("s", 20)])
    approval = offer(plan_of(stored, [*crowd("u", 900), *crowd("s", 10)]), NOW)
    later = plan_of(stored, [*crowd("u", 899), *crowd("s", 10)])
    assert stopped_by(later) == ["container-share"]
    check(later, LIMITS, approval, NOW)


@pytest.mark.parametrize(
    ("fields", "after"),
    [
        ({"used_by": 7}, timedelta()),
        ({}, LAPSES + timedelta(seconds=1)),
        ({"source": "branch"}, timedelta()),
        ({"domain": DomainName("other.org")}, timedelta()),
    ],
)
def test_an_approval_is_used_once_lapses_and_is_of_one_directory(
    fields: dict[str, object], after: timedelta
) -> None:
    plan = plan_of(stored_after(crowd("u", 100)), crowd("u", 60))
    approval = replace(offer(plan, NOW), **fields)
    with pytest.raises(UnsafePlan):
        check(plan, LIMITS, approval, NOW + after)


def test_the_same_set_has_the_same_name_and_every_other_another() -> None:
    stored = stored_after(crowd("u", 100))
    plan = plan_of(stored, crowd("u", 60))
    assert offer(plan, NOW).id == offer(plan, NOW + timedelta(hours=1)).id
    others = (
        plan_of(stored, crowd("u", 61)),
        replace(plan, source="branch"),
        replace(plan, domain=DomainName("other.org")),
    )
    assert len({offer(each, NOW).id for each in (plan, *others)}) == 4


def test_an_empty_source_can_be_approved() -> None:
    plan = plan_of(stored_after(crowd("u", 3)), [])
    with pytest.raises(UnsafePlan) as caught:
        check(plan, LIMITS, None, NOW)
    assert caught.value.limit == "source-empty"
    [problem] = problems_of(caught.value)
    assert f"--approve {offer(plan, NOW).id}" in problem.next
    check(plan, LIMITS, offer(plan, NOW), NOW)


def test_the_end_of_an_approved_mass_deactivation_stops_no_run() -> None:
    stored = stored_after(crowd("u", 100))
    stored = applied(stored, plan_of(stored, crowd("u", 20)))
    later = plan_of(stored, crowd("u", 20), NOW + timedelta(days=30))
    assert later.counts() == {Op.REMOVE: 80}
    assert stopped_by(later) == []
    assert stopped_by(replace(later, scope_changed=True)) == []


def test_who_comes_back_never_counts() -> None:
    stored = stored_after(crowd("u", 100))
    stored = applied(stored, plan_of(stored, crowd("u", 20)))
    back = plan_of(stored, crowd("u", 100))
    assert back.counts() == {Op.REACTIVATE: 80}
    assert stopped_by(replace(back, scope_changed=True)) == []


def test_many_entries_that_cannot_be_mapped_any_more_stop_the_run() -> None:
    stored = stored_after(crowd("u", 100))
    names = tuple(one.login_names[0] for one in crowd("u", 100))
    plan = plan_of(stored, crowd("u", 100)[11:], unmapped=names[:11])
    assert plan.counts() == {}
    with pytest.raises(UnsafePlan) as caught:
        check(plan, LIMITS, None, NOW)
    assert caught.value.limit == "rights"
    assert caught.value.counts == {"away": 11, "accounts": 100}
    check(plan, LIMITS, offer(plan, NOW), NOW)
    assert stopped_by(plan_of(stored, crowd("u", 100)[10:], unmapped=names[:10])) == []


def test_entries_that_cannot_be_mapped_are_told_once_and_keep_their_accounts() -> None:
    stored = stored_after(crowd("u", 100))
    names = tuple(one.login_names[0] for one in crowd("u", 100))
    plan = plan_of(stored, crowd("u", 100)[11:], unmapped=names[:11])
    stored = applied(stored, plan)
    assert {a.state for a in stored} == {AccountState.ACTIVE}
    again = plan_of(stored, crowd("u", 100)[11:], unmapped=names[:11])
    assert stopped_by(again) == []


def test_a_changed_scope_counts_whoever_goes_and_nobody_else() -> None:
    stored = stored_after(crowd("u", 100))
    stays = replace(plan_of(stored, crowd("u", 100)), scope_changed=True)
    assert stopped_by(stays) == []
    goes = replace(plan_of(stored, crowd("u", 99)), scope_changed=True)
    assert stopped_by(goes) == ["scope-changed"]


def with_mail(primary: str | None, aliases: tuple[str, ...]) -> list[AccountValues]:
    """A hundred people with addresses made of their names."""
    return [
        replace(
            one,
            primary_address=Address(primary.format(one.login_names[0]))
            if primary
            else None,
            aliases=tuple(
                Address(alias.format(one.login_names[0])) for alias in aliases
            ),
        )
        for one in crowd("u", 100)
    ]


MAIL, ALIAS = "mail.{}@company.com", "alias.{}@company.com"
FILLED_IN = "{}@company.com"


@pytest.mark.parametrize(
    ("before", "after", "limits"),
    [
        ((MAIL, (ALIAS,)), (None, ()), ["rights"]),
        ((MAIL, (ALIAS,)), (FILLED_IN, ()), ["rights"]),
        ((MAIL, (ALIAS,)), (MAIL, ()), ["rights"]),
        ((MAIL, ()), (None, ()), ["rights"]),
        ((MAIL, ()), (FILLED_IN, ()), ["rights"]),
        ((FILLED_IN, (ALIAS,)), (FILLED_IN, ()), ["rights"]),
        ((FILLED_IN, ()), (None, ()), ["rights"]),
        ((MAIL, ()), ("new.{}@company.com", ()), []),
        ((MAIL, ()), (FILLED_IN, (MAIL,)), []),
        ((MAIL, (ALIAS,)), (ALIAS, ()), []),
        ((MAIL, (ALIAS,)), (MAIL, ("new.{}@company.com",)), []),
        ((FILLED_IN, ()), (MAIL, (ALIAS,)), []),
    ],
)
def test_many_entries_that_show_no_addresses_any_more_stop_the_run(
    before: tuple[str | None, tuple[str, ...]],
    after: tuple[str | None, tuple[str, ...]],
    limits: list[str],
) -> None:
    old, new = with_mail(*before), with_mail(*after)
    stored = stored_after(old)
    few = plan_of(stored, [*new[:10], *old[10:]])
    assert stopped_by(few) == []
    many = plan_of(stored, [*new[:11], *old[11:]])
    assert stopped_by(many) == limits
    if limits:
        [over] = tripped(many, LIMITS)
        assert over.counts == {"away": 11, "accounts": 100}
    check(many, LIMITS, offer(many, NOW), NOW)
    assert stopped_by(plan_of(applied(stored, many), [*new[:11], *old[11:]])) == []


def test_addresses_that_a_delta_takes_away_count_as_well() -> None:
    old, new = with_mail(MAIL, (ALIAS,)), with_mail(None, ())
    finished = Finished(ReadKind.DELTA, complete=True, server="dc1:636", base="")
    read = read_of(finished, tuple(Mapped(one, b"new") for one in new[:11]))
    plan = make_plan(POLICY, AccountsView(stored_after(old)), read, NOW)
    assert stopped_by(plan) == ["rights"]


def test_a_name_that_another_one_has_is_no_loss_of_addresses() -> None:
    old = with_mail(MAIL, ())
    stored = stored_after(old)
    taken = old[50].primary_address
    twins = [replace(one, primary_address=taken) for one in old[:20]]
    plan = plan_of(stored, [*twins, *old[20:]])
    assert len(plan.of(Op.CONFLICT)) == 20
    assert stopped_by(plan) == []


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"used_by": 7}, "Run 7 has used it"),
        ({"until": NOW - timedelta(hours=1)}, "It lapsed at 2"),
        ({}, "covers less"),
    ],
)
def test_an_approval_that_is_passed_over_says_why(
    fields: dict[str, object], said: str
) -> None:
    plan = plan_of(stored_after(crowd("u", 100)), crowd("u", 60))
    known = replace(offer(plan, NOW), **fields)
    assert said in of_approval(known.id, known, NOW).text
    assert "No stopped run" in of_approval("abc", None, NOW).text
