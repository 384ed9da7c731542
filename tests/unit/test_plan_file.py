"""Plan files: what a person saw is applied, and nothing else."""

from __future__ import annotations

import json
import stat
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from dirbridge.errors import ConfigError, UnsafePlan
from dirbridge.model.account import Account, AccountState, AccountValues, Origin
from dirbridge.model.entry import Cursor, EntryKind, ReadKind
from dirbridge.model.names import Address, DirectoryId, DomainName
from dirbridge.model.plan import Change, Op, Plan
from dirbridge.sync import plan_file
from dirbridge.sync.changes import difference, limit_conflict, taken_away
from tests import schema

DOMAIN = DomainName("company.com")
NOW = datetime(2026, 11, 22, tzinfo=UTC)


def account(name: str, address: str = "", number: int = 0) -> Account:
    values = AccountValues(
        directory_id=DirectoryId(f"id-{name}"),
        login_names=(name,),
        primary_address=Address(f"{address or name}@{DOMAIN}"),
    )
    return Account(
        number=number,
        domain=DOMAIN,
        mailbox=name,
        origin=Origin.MAPPED,
        state_since=NOW,
        values=values,
    )


def creation(name: str, address: str = "") -> Change:
    change = difference(None, account(name, address), NOW)
    assert change is not None
    return change


def readdressed(name: str, new: str) -> Change:
    old = account(name, number=7)
    values = replace(old.values, primary_address=Address(f"{new}@{DOMAIN}"))
    change = difference(old, replace(old, values=values), NOW)
    assert change is not None
    return change


def deactivation(name: str) -> Change:
    old = account(name, number=9)
    new = replace(old, state=AccountState.DEACTIVATED)
    return taken_away(Op.DEACTIVATE, old, new, "It vanished.")


def plan(*changes: Change) -> Plan:
    return Plan(
        domain=DOMAIN,
        server="dc1:636",
        kind=ReadKind.FULL,
        complete=True,
        made_at=NOW,
        base="dc=x",
        changes=changes,
        cursor=Cursor("scope", b"x"),
        remembered={3: b"new"},
    )


def written(folder: Path, *changes: Change) -> plan_file.PlanFile:
    path = folder / "plan.json"
    plan_file.write(path, plan(*changes), "rules")
    return plan_file.load(path)


def names(found: Sequence[plan_file.Json]) -> list[str]:
    return [one["name"] for one in found]


def test_a_file_says_all_of_its_plan_to_its_owner_alone(tmp_path: Path) -> None:
    strange = creation("zoë\u2028")
    changes = (deactivation("bob"), creation("anna"), strange)
    stopped = UnsafePlan("share", {"away": 1, "accounts": 10}, "0123456789ab")
    path = tmp_path / "plan.json"

    name = plan_file.write(path, plan(*changes), "rules", stopped)

    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [path]
    whole = json.loads(path.read_text())
    assert schema.faults(whole, schema.load("plan-file.json")) == []
    assert whole["changes"] == [
        json.loads(json.dumps(plan_file.as_json(c))) for c in changes
    ]
    file = plan_file.load(path)
    assert (file.id, file.base, file.rules) == (name, "dc=x", "rules")
    assert file.tripped[0]["approval"] == "0123456789ab"
    assert list(file.changes()) == whole["changes"]


def test_a_file_that_was_formatted_anew_is_the_same_file(tmp_path: Path) -> None:
    file = written(tmp_path, creation("anna"), creation("bob"))
    before = list(file.changes())
    for indent in (None, 4):
        file.path.write_text(
            json.dumps(json.loads(file.path.read_text()), indent=indent)
        )
        assert plan_file.load(file.path) == file
        assert list(file.changes()) == before


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"format": 2}',
        '{"format": 1, "source": {}, "limits": {}}',
        "\xff",
        '{"format": 1, "id": "x"',
    ],
)
def test_what_is_no_plan_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "plan.json"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(ConfigError) as error:
        plan_file.load(path)
    assert error.value.problems[0].code == "plan-file"


@pytest.mark.parametrize("cut", [2, 4, 100])
def test_a_file_that_was_cut_short_is_refused(tmp_path: Path, cut: int) -> None:
    file = written(tmp_path, creation("anna"), creation("bob"))
    file.path.write_text(file.path.read_text()[:-cut])
    with pytest.raises(ConfigError):
        list(plan_file.load(file.path).changes())


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as error:
        plan_file.write(tmp_path / "no" / "plan.json", plan(), "rules")
    assert error.value.problems[0].code == "plan-unwritten"


def test_all_that_was_seen_is_applied_and_the_cursor_with_it(tmp_path: Path) -> None:
    changes = (deactivation("bob"), creation("anna"))
    choice = plan_file.choose(plan(*changes), written(tmp_path, *changes))
    assert tuple(choice.plan.changes) == changes
    assert choice.plan.cursor is not None
    assert choice.plan.remembered
    assert (choice.missing, choice.held_back, choice.waiting) == ((), (), 0)


def test_what_was_not_seen_waits_and_the_cursor_with_it(tmp_path: Path) -> None:
    file = written(tmp_path, creation("anna"))
    choice = plan_file.choose(plan(creation("anna"), creation("bob")), file)
    assert [c.name for c in choice.plan.changes] == [f"anna@{DOMAIN}"]
    assert len(choice.plan.changes) == 1
    assert (choice.plan.cursor, dict(choice.plan.remembered)) == (None, {})
    assert (choice.missing, choice.waiting) == ((), 1)


def test_what_moved_since_is_left_out_and_told(tmp_path: Path) -> None:
    file = written(tmp_path, creation("anna"), deactivation("bob"), creation("carl"))
    # Anna has another address by now, and Bob is back.
    choice = plan_file.choose(plan(creation("anna", "a.new"), creation("carl")), file)
    assert [c.name for c in choice.plan.changes] == [f"carl@{DOMAIN}"]
    assert names(choice.missing) == [f"anna@{DOMAIN}", f"bob@{DOMAIN}"]
    assert choice.waiting == 1


def test_lines_that_a_person_took_out_are_not_applied(tmp_path: Path) -> None:
    changes = (creation("anna"), creation("bob"))
    file = written(tmp_path, *changes)
    lines = file.path.read_text().splitlines()
    file.path.write_text("\n".join(one for one in lines if '"bob@' not in one))
    choice = plan_file.choose(plan(*changes), plan_file.load(file.path))
    assert [c.name for c in choice.plan.changes] == [f"anna@{DOMAIN}"]
    assert choice.missing == ()


def test_who_needs_an_address_that_does_not_become_free_is_held_back(
    tmp_path: Path,
) -> None:
    seen = (readdressed("anna", "a.new"), creation("carl", "anna"))
    file = written(tmp_path, *seen)
    moved = readdressed("anna", "a.newer")
    choice = plan_file.choose(plan(moved, seen[1]), file)
    assert tuple(choice.plan.changes) == ()
    assert names(choice.missing) == [f"anna@{DOMAIN}"]
    assert names(choice.held_back) == [f"carl@{DOMAIN}"]


def test_who_needs_a_place_that_does_not_become_free_is_held_back(
    tmp_path: Path,
) -> None:
    file = written(tmp_path, creation("anna"), creation("carl"))
    new = plan(deactivation("bob"), creation("anna"), creation("carl"))
    assert len(plan_file.choose(new, file, room=2).plan.changes) == 2
    choice = plan_file.choose(new, file, room=1)
    assert [c.name for c in choice.plan.changes] == [f"anna@{DOMAIN}"]
    assert names(choice.held_back) == [f"carl@{DOMAIN}"]


def test_the_oldest_entries_get_the_places_that_are_left(tmp_path: Path) -> None:
    def aged(name: str, days: int) -> Change:
        old = account(name)
        made = NOW - timedelta(days)
        values = replace(old.values, created_at=made)
        change = difference(None, replace(old, values=values), NOW)
        assert change is not None
        return change

    changes = (aged("anna", 1), aged("bob", 3), aged("carl", 2))
    file = written(tmp_path, *changes)
    choice = plan_file.choose(plan(*changes), file, room=2)
    assert [c.name for c in choice.plan.changes] == [f"bob@{DOMAIN}", f"carl@{DOMAIN}"]
    assert names(choice.held_back) == [f"anna@{DOMAIN}"]


def test_a_group_that_becomes_an_account_takes_a_place(tmp_path: Path) -> None:
    new = account("anna", number=3)
    values = AccountValues(
        directory_id=new.values.directory_id,
        kind=EntryKind.GROUP,
        name="anna",
        primary_address=Address(f"staff@{DOMAIN}"),
    )
    change = difference(replace(new, mailbox="", values=values), new, NOW)
    assert change is not None
    assert change.places == 1
    heir = creation("zoe", "staff")  # she gets what the group gives up
    file = written(tmp_path, change, heir)
    assert len(plan_file.choose(plan(change, heir), file, room=2).plan.changes) == 2
    choice = plan_file.choose(plan(change, heir), file, room=1)
    assert [c.name for c in choice.plan.changes] == [f"anna@{DOMAIN}"]
    none = plan_file.choose(plan(change, heir), file, room=0)
    assert names(none.held_back) == [f"anna@{DOMAIN}", f"zoe@{DOMAIN}"]


def test_conflicts_are_told_anew(tmp_path: Path) -> None:
    old, new = (limit_conflict(account(name), 5) for name in ("anna", "bob"))
    choice = plan_file.choose(plan(new), written(tmp_path, old))
    assert tuple(choice.plan.changes) == (new,)
    assert choice.missing == ()
    assert choice.plan.cursor is not None


def test_other_rules_or_another_base_refuse_all(tmp_path: Path) -> None:
    file = written(tmp_path, creation("anna"))
    plan_file.check_rules(file, "rules")
    plan_file.check_rules(file, "rules", "dc=x")
    for rules, base in (("others", None), ("rules", "dc=y")):
        with pytest.raises(ConfigError) as error:
            plan_file.check_rules(file, rules, base)
        assert error.value.problems[0].code == "plan-moved"


def test_groups_take_no_place(tmp_path: Path) -> None:
    values = AccountValues(
        directory_id=DirectoryId("g"), kind=EntryKind.GROUP, name="g"
    )
    group = replace(account("g"), mailbox="", values=values)
    change = difference(None, group, NOW)
    assert change is not None
    file = written(tmp_path, change)
    assert len(plan_file.choose(plan(change), file, room=0).plan.changes) == 1
