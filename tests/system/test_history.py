"""What was done to one account, and what a person decides about it."""

from __future__ import annotations

from pathlib import Path

import pytest

from testbed import cast, ldif
from testbed.slapd import Od1
from tests.system.bridge import OD, Done, Site

RICK = cast.od("anna")
NEW_GUID = "0DDBA11A-0000-4000-8000-00000000D00D"


def recreated(site: Site, server: Od1) -> Done:
    """Delete Anna's entry, and enter somebody with the same name."""
    server.delete(RICK.dn)
    site.sync(OD)
    server.create(RICK, "another secret")
    pairs = [("apple-generateduid", NEW_GUID)]
    server.modify(ldif.modify(RICK.dn, pairs))
    done = site.sync(OD)
    assert "recreated" in done.codes, done.out
    return done


def test_a_history_tells_runs_servers_and_values(
    site: Site, changeable_od: Od1
) -> None:
    changeable_od.modify(ldif.modify(cast.od("fiona").dn, [("sn", "New")]))
    run = site.sync(OD).data["runs"][0]

    done = site.run("accounts", "history", f"fiona@{OD}")

    newest, *_, first = done.data["changes"]
    assert (newest["run"], newest["op"]) == (run["run"], "update")
    assert newest["server"] == run["server"]
    assert newest["after"] == {"surname": "New"}
    assert newest["before"]["surname"] != "New"
    assert first["op"] == "create"
    by_id = site.run("accounts", "history", done.data["directory_id"])
    assert by_id.data == done.data
    assert site.run("accounts", "history", "nobody").code == 1


def test_the_same_person_is_adopted(site: Site, changeable_od: Od1) -> None:
    old = site.account(f"anna@{OD}")
    conflict = recreated(site, changeable_od).problem("recreated")
    assert f"accounts adopt anna@{OD}" in conflict["next"]

    dry = site.run("accounts", "adopt", f"anna@{OD}", NEW_GUID.lower(), "--dry-run")
    assert dry.code == 0, dry.out
    done = site.run("accounts", "adopt", f"anna@{OD}", NEW_GUID.lower())
    assert done.code == 0, done.out
    synced = site.sync(OD)

    assert "recreated" not in synced.codes
    new = site.account(f"anna@{OD}")
    assert new["directory_id"] != old["directory_id"]
    assert (new["mailbox"], new["state"]) == (old["mailbox"], "active")
    assert site.login(f"anna@{OD}", "another secret").code == 0
    ops = [
        change["op"]
        for change in site.run("accounts", "history", f"anna@{OD}").data["changes"]
        if change["op"] != "conflict"
    ]
    assert ops == ["reactivate", "update", "deactivate", "create"]


def test_another_person_gets_another_mailbox(site: Site, changeable_od: Od1) -> None:
    conflict = recreated(site, changeable_od).problem("recreated")
    assert f"accounts keep-apart anna@{OD}" in conflict["next"]

    assert site.run("accounts", "keep-apart", f"anna@{OD}").code == 0
    done = site.sync(OD)
    # Mail to the old mailbox is nobody else's; the newcomer needs another address.
    assert "recreated" not in done.codes, done.out
    assert f'"anna@{OD}"' in done.problem("kept-apart")["text"]

    old, new = site.account(f"anna@{OD}"), site.account(f"anna-2@{OD}")
    assert (old["mailbox"], old["state"]) == ("anna", "deactivated")
    assert "login_names" not in old
    assert new["state"] == "active"
    assert site.login(f"anna@{OD}", "another secret").code == 0


@pytest.mark.parametrize("answer", ["adopt", "keep-apart"])
def test_conflicts_are_settled_while_a_limit_stops_the_run(
    site: Site, changeable_od: Od1, answer: str
) -> None:
    site.config["domains"][OD]["limits"] = {"absolute": 0, "from_accounts": 0}
    changeable_od.delete(RICK.dn)
    changeable_od.create(RICK, "another secret")
    changeable_od.modify(ldif.modify(RICK.dn, [("apple-generateduid", NEW_GUID)]))
    stopped = site.sync(OD)
    assert stopped.code == 3, stopped.out
    assert f"accounts adopt anna@{OD} {NEW_GUID}" in stopped.out
    assert site.account(f"anna@{OD}")["state"] == "active"

    told = site.run("explain", f"anna@{OD}").out
    assert f"accounts {answer} anna@{OD}" in told
    assert "restored" not in told

    words = [answer, f"anna@{OD}", *([NEW_GUID] if answer == "adopt" else [])]
    assert site.run("accounts", *words).code == 0

    done = site.sync(OD)
    assert done.code in {0, 1}, done.out
    assert "recreated" not in done.codes
    assert site.login(f"anna@{OD}", "another secret").code == 0


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("adopt", f"carla@{OD}", NEW_GUID), "no-entry"),
        (("keep-apart", f"carla@{OD}"), "still-there"),
        (("restore", f"carla@{OD}"), "is-live"),
        (("restore", "nobody-at-all"), "unknown"),
    ],
)
def test_what_cannot_be_is_told(
    site: Site, od1: Od1, words: tuple[str, ...], code: str
) -> None:
    done = site.run("accounts", *words)
    assert done.code == 1
    done.problem(code)


def test_a_deactivated_account_gets_more_time(site: Site, changeable_od: Od1) -> None:
    changeable_od.delete(RICK.dn)
    site.sync(OD)
    before = site.account(f"anna@{OD}")

    done = site.run("accounts", "restore", f"anna@{OD}")

    assert done.code == 0, done.out
    after = site.account(f"anna@{OD}")
    assert after["state"] == "deactivated"
    assert after["since"] > before["since"]


def test_a_removed_account_comes_back(od_site: Site, changeable_od: Od1) -> None:
    od_site.config["domains"][OD]["quarantine_days"] = 0
    od_site.sync()
    changeable_od.delete(RICK.dn)
    od_site.sync()
    od_site.sync("--full")
    assert od_site.account(f"anna@{OD}")["state"] == "removed"

    assert od_site.run("accounts", "restore", f"anna@{OD}").code == 0

    assert od_site.account(f"anna@{OD}")["state"] == "deactivated"
    assert od_site.run("accounts", "list", OD).code == 0


def test_an_export_holds_everything_but_passwords(site: Site, od1: Od1) -> None:
    password = site.bed.password("carla", "od")
    site.login(f"carla@{OD}", password)

    done = site.run("accounts", "export", f"carla@{OD}")

    assert done.data["account"]["account"] == f"carla@{OD}"
    assert [c["op"] for c in done.data["changes"]] == ["create"]
    assert password not in done.out


def test_mappings_are_tried_on_one_entry_and_on_everybody(site: Site, od1: Od1) -> None:
    shipped = next(
        one["path"]
        for one in site.run("mappings", "list").data["mappings"]
        if one["name"] == "open-directory"
    )
    (entry,) = site.run("mappings", "try", f"carla@{OD}").data["entries"]
    fields = {one["field"]: one for one in entry["fields"]}
    assert fields["login_names"]["raw"] == ['"carla"']
    assert entry["unmapped"] is None

    profile = site.folder / "open-directory.toml"
    profile.write_text(_without("surname", Path(shipped).read_text(encoding="utf-8")))
    before = site.dump()

    done = site.run("mappings", "preview", OD, "--profile", str(profile))

    assert done.code == 0, done.out
    assert site.dump() == before
    assert done.changes(OD, "update")[f"carla@{OD}"]["after"] == {"surname": None}
    assert {c["op"] for c in done.changes(OD).values()} == {"update", "conflict"}
    (tried,) = site.run(
        "mappings", "try", f"carla@{OD}", "--profile", str(profile)
    ).data["entries"]
    assert {f["field"] for f in tried["fields"]} == set(fields) - {"surname"}


def _without(field: str, profile: str) -> str:
    """Take a field out of a profile."""
    parts = profile.split("[account.")
    return "[account.".join(part for part in parts if not part.startswith(field))
