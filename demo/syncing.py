"""Steps: the servers, the check, and the syncs."""

from __future__ import annotations

import time
from collections import Counter
from typing import Any

from demo.command import Answer
from demo.stage import AD, OD, SERVERS, Stage
from demo.step import Scene
from testbed import cast

CONFLICT = "conflict"
RENAMED, DELETED = cast.ad("rename.me"), cast.ad("delete.me")
NEW_NAME = "rena.berg"

# What the cast holds and the mapping profiles let in; svc-mail owns the keytab.
EXPECTED_READ = {
    AD: len(cast.AD_PEOPLE) + len(cast.CROWD) + 1,
    OD: sum(
        not one.uid.startswith(("_", "vpn_", "diradmin")) for one in cast.OD_PEOPLE
    ),
}
# Two pairs in the cast share an address.
EXPECTED_CONFLICTS = {
    f"{name}@{domain}"
    for domain, names in (
        (AD, ("info.one", "info.two")),
        (OD, ("team.one", "team.two")),
    )
    for name in names
}
SHOWN = ("anna", "o'brien", "jürgen", "zoe vdb", "emoji", "siobhan", "maximilian")


def start_servers(stage: Stage, scene: Scene) -> str:
    """Start the two directories."""
    started = time.monotonic()
    for name in SERVERS:
        begin = time.monotonic()
        with scene.screen.busy(f"{name} starts; the very first time takes longer"):
            stage.bed.start(name)
        server = stage.bed.servers[name]
        seconds = f"up after {time.monotonic() - begin:.1f} s"
        scene.row(server.running, server.host, TITLES[name], seconds)
    stage.write_configuration()
    return f"{len(SERVERS)} servers up after {time.monotonic() - started:.0f} s"


TITLES = {
    "dc1": "Samba AD, DC 1",
    "dc2": "Samba AD, DC 2",
    "od1": "Open Directory master",
    "od2": "Open Directory replica",
    "kdc": "MIT KDC",
}


def check(stage: Stage, scene: Scene) -> str:
    """Run `check`: every server is tried."""
    answer = scene.run(lambda: stage.dirbridge("check"))
    places: dict[str, list[dict[str, str]]] = {}
    for finding in answer.data["findings"]:
        places.setdefault(finding["where"], []).append(finding)
    for where, findings in places.items():
        bad = [one for one in findings if one["outcome"] != "ok"]
        tried = ", ".join(one["what"] for one in findings if one not in bad)
        why = " ".join(f"{one['what']}: {one['text']} {one['next']}" for one in bad)
        name = where.removeprefix(f"{stage.folder}/")
        good = len(findings) - len(bad)
        scene.row(not bad, name, f"{good} of {len(findings)} right", tried, why)
    scene.check("the exit code is 0", answer.code, 0)
    total = len(answer.data["findings"])
    return f"{total} things tried at {len(places)} places"


def dry_run(stage: Stage, scene: Scene) -> str:
    """Show the plan; nothing is written."""
    answer = scene.run(lambda: stage.dirbridge("sync", "--dry-run"))
    stage.seen["dry-run"] = answer
    for run in answer.data["runs"]:
        _first_run(scene, run)
    _show_people(scene, answer)
    _conflicts(scene, answer)
    scene.check("exit code 1: there are new conflicts for a person", answer.code, 1)
    listed = scene.run(lambda: stage.dirbridge("accounts", "list"))
    scene.check("nothing was written", len(listed.data["accounts"]), 0)
    created = sum(_counts(run)["create"] for run in answer.data["runs"])
    there = len(listed.data["accounts"])
    what = "accounts, groups and contacts"
    return f"{created} {what} would be created; {there} accounts are there"


def first_sync(stage: Stage, scene: Scene) -> str:
    """Apply; it must be the plan that was shown."""
    answer = scene.run(lambda: stage.dirbridge("sync"))
    for run in answer.data["runs"]:
        _run_row(scene, run, good=run["written"] and not run["stopped"])
    planned, applied = _plan(stage.seen["dry-run"]), _plan(answer)
    same = "what was applied is the plan that was shown"
    scene.check(f"{same}, {len(applied)} changes", applied == planned)
    listed = scene.run(lambda: stage.dirbridge("accounts", "list"))
    accounts = Counter(one["domain"] for one in listed.data["accounts"])
    told = ", ".join(f"{number} in {domain}" for domain, number in accounts.items())
    scene.check(f"the user database has {told}", dict(accounts), EXPECTED_READ)
    return told


def changes(stage: Stage, scene: Scene) -> str:
    """Rename and delete in the directory, then sync."""
    with scene.screen.busy("the directory is changed"):
        stage.bed.dc1.rename(
            RENAMED,
            sam=NEW_NAME,
            cn="Rena Berg",
            ou=cast.AD_RESEARCH,
            upn=f"{NEW_NAME}@{AD}",
            mail=f"{NEW_NAME}@{AD}",
            display="Rena Berg",
        )
        stage.bed.dc1.delete(DELETED.dn)
    answer = scene.run(lambda: stage.dirbridge("sync"))
    seen = [one for one in _changes(answer) if one["op"] != CONFLICT]
    for one in seen:
        scene.screen.note(f"{one['op']} {one['name']}: {one['why']}")
    expected = {
        ("rename", f"{RENAMED.sam}@{AD}"),
        ("deactivate", f"{DELETED.sam}@{AD}"),
        # It names whom it has by their DN, which is another one now.
        ("update", f"sales@{AD}"),
    }
    found = {(one["op"], one["name"]) for one in seen}
    same = "these two people, the group that names one of them, and nobody else"
    scene.check(same, (found, len(seen)), (expected, len(expected)))
    scene.check("exit code 0: nothing new for a person", answer.code, 0)
    kept = _renamed_account(stage, scene)
    state = _deleted_account(stage, scene)
    return f"the rename kept the mailbox {kept}; who vanished is {state}"


def _renamed_account(stage: Stage, scene: Scene) -> str:
    answer = scene.run(lambda: stage.dirbridge("accounts", "show", NEW_NAME))
    account = answer.data["account"]
    scene.screen.table(
        ("field", "now"),
        [(key, _text(account[key])) for key in _RENAME_FIELDS],
    )
    scene.check("the mailbox is the old one", account["mailbox"], RENAMED.sam)
    old = f"{RENAMED.sam}@{AD}"
    scene.check("the old address still works", old in account["kept_addresses"])
    mailbox: str = account["account"]
    return mailbox


_RENAME_FIELDS = ("mailbox", "login_names", "primary_address", "kept_addresses", "dn")


def _deleted_account(stage: Stage, scene: Scene) -> str:
    answer = scene.run(lambda: stage.dirbridge("accounts", "show", DELETED.sam))
    state: str = answer.data["account"]["state"]
    scene.check(f"{DELETED.sam} is kept, {state}", state, "deactivated")
    return state


def third_sync(stage: Stage, scene: Scene) -> str:
    """Sync once more: nothing changed."""
    answer = scene.run(lambda: stage.dirbridge("sync"))
    seen = [one for one in _changes(answer) if one["op"] != CONFLICT]
    scene.check("nothing is changed", seen, [])
    for run in answer.data["runs"]:
        _run_row(scene, run, good=not run["stopped"])
    scene.check("the exit code is 0", answer.code, 0)
    read = sum(run["read"] for run in answer.data["runs"])
    kinds = {run["kind"] for run in answer.data["runs"]}
    scene.check("only what changed was asked for", kinds, {"delta"})
    return f"{read} entries read, {len(seen)} changed"


def _first_run(scene: Scene, run: dict[str, Any]) -> None:
    expected = EXPECTED_READ[run["domain"]]
    created = [one for one in run["changes"] if one["op"] == "create"]
    people = sum("login_names" in one["after"] for one in created)
    good = run["read"] == len(created) and people == expected and not run["written"]
    why = "" if good else f"expected {expected} people among all, nothing written"
    _run_row(scene, run, good=good, why=why)


def _run_row(scene: Scene, run: dict[str, Any], *, good: bool, why: str = "") -> None:
    counts = ", ".join(f"{number} {op}" for op, number in _counts(run).most_common())
    unchanged = f"{run['unchanged']} unchanged" if run["unchanged"] else ""
    server = run["server"].rpartition(":")[0]
    told = ", ".join(filter(None, (unchanged, counts, f"from {server}")))
    scene.row(good, run["domain"], f"{run['read']} entries read", told, why)


def _show_people(scene: Scene, answer: Answer) -> None:
    """Show a few of those with hard names."""
    rows = [
        (one["op"], one["name"], *map(_text, _name_and_address(one)))
        for one in _changes(answer)
        if one["op"] == "create" and one["name"].partition("@")[0] in SHOWN
    ]
    scene.screen.table(("change", "account", "name", "address"), rows)


def _name_and_address(change: dict[str, Any]) -> tuple[object, object]:
    after = change["after"]
    return after.get("display_name"), after.get("primary_address")


def _conflicts(scene: Scene, answer: Answer) -> None:
    for one in answer.problems:
        scene.screen.warn(f"{one['where']}: {one['text']}")
    conflicts = {one["where"] for one in answer.problems}
    text = f"{len(conflicts)} conflicts are reported and block nothing else"
    scene.check(text, conflicts, EXPECTED_CONFLICTS)


def _changes(answer: Answer) -> list[dict[str, Any]]:
    return [one for run in answer.data["runs"] for one in run["changes"]]


def _plan(answer: Answer) -> list[tuple[str, str, str]]:
    return [(one["op"], one["account"], one["name"]) for one in _changes(answer)]


def _counts(run: dict[str, Any]) -> Counter[str]:
    return Counter(one["op"] for one in run["changes"])


def _text(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return "" if value is None else str(value)
