"""A plan that is saved, looked at, and applied later."""

from __future__ import annotations

import json
import stat
from pathlib import Path

from testbed import cast, ldif
from testbed.slapd import Od1
from tests import schema
from tests.system.bridge import AD, OD, Json, Site


def saved(site: Site, *words: str) -> Path:
    path = site.folder / "plan.json"
    done = site.sync(OD, "--dry-run", "--out", str(path), *words)
    assert done.data["runs"][0]["written"] is False, done.out
    assert done.data["saved"] == [str(path)]
    return path


def content(path: Path) -> Json:
    found = json.loads(path.read_text())
    assert schema.faults(found, schema.load("plan-file.json")) == []
    return found


def retitled(server: Od1, uid: str, surname: str) -> None:
    server.modify(ldif.modify(cast.od(uid).dn, [("sn", surname)]))


def test_a_first_import_is_saved_looked_at_and_applied(od_site: Site) -> None:
    path = saved(od_site)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    plan = content(path)
    assert (plan["domain"], plan["source"]["kind"]) == (OD, "full")

    looked = od_site.sync("--apply", str(path), "--dry-run")
    assert looked.code == od_site.sync("--dry-run").code
    assert looked.data["runs"][0]["changes"] == plan["changes"]
    assert od_site.accounts(OD) == {}

    done = od_site.sync("--apply", str(path))

    (run,) = done.data["runs"]
    assert run["written"]
    file = done.data["plan_file"]
    assert (file["left_out"], file["not_in_file"]) == ([], 0)
    assert file["id"] == plan["id"]
    created = {c["account"] for c in plan["changes"] if c["op"] == "create"}
    listed = od_site.run("accounts", "list", OD, "--all").data["accounts"]
    assert {a["directory_id"] for a in listed} == created
    again = od_site.sync("--full")
    assert {c["op"] for c in again.changes(OD).values()} == {"conflict"}


def test_only_what_was_seen_and_is_still_so_is_applied(
    site: Site, changeable_od: Od1
) -> None:
    retitled(changeable_od, "anna", "Seen")
    retitled(changeable_od, "carla", "Seen")
    path = saved(site)
    # Since then Carla changed again, and Fiona for the first time.
    retitled(changeable_od, "carla", "Later")
    retitled(changeable_od, "fiona", "Later")

    done = site.sync("--apply", str(path))

    assert done.code == 1
    problem = done.problem("plan-left-out")
    assert problem["where"] == f"carla@{OD}"
    assert set(done.changes(OD, "update")) == {f"anna@{OD}"}
    assert done.data["plan_file"]["not_in_file"] == 2
    accounts = site.accounts(OD)
    assert accounts[f"anna@{OD}"]["surname"] == "Seen"
    assert accounts[f"carla@{OD}"]["surname"] != "Later"
    # The next sync brings what was left out, though it reads only what changed.
    rest = site.sync(OD)
    assert rest.code == 0
    assert set(rest.changes(OD, "update")) == {f"carla@{OD}", f"fiona@{OD}"}


def test_another_filter_or_mapping_refuses_the_file(site: Site, od1: Od1) -> None:
    path = saved(site)
    site.directory(OD)["filter"] = "(uid=anna)"
    before = site.dump()

    done = site.sync("--apply", str(path))

    assert done.code == 2
    assert done.problem("plan-moved")["where"] == str(path)
    assert site.dump() == before


def test_the_limits_hold_for_a_plan_in_a_file(site: Site, changeable_od: Od1) -> None:
    for uid in ("anna", "carla", "siobhan", "maximilian", "fiona"):
        changeable_od.delete(cast.od(uid).dn)
    path = saved(site)
    # A container is told by its name, beside the limit of the whole domain.
    share, inside = content(path)["limits"]["tripped"]
    assert (share["where"], inside["where"]) == ("", cast.OD_USERS)

    assert site.sync("--apply", str(path)).code == 3
    done = site.sync("--apply", str(path), "--approve", share["approval"])

    assert done.code == 0, done.out
    assert site.accounts(OD)[f"anna@{OD}"]["state"] == "deactivated"


def test_several_domains_need_a_folder(site: Site, od1: Od1) -> None:
    refused = site.sync("--dry-run", "--out", str(site.folder / "plan.json"))
    assert refused.code == 2
    refused.problem("several-plans")
    folder = site.folder / "plans"
    folder.mkdir()

    done = site.sync("--dry-run", "--out", str(folder))

    assert done.code == 0, done.out
    names = {f"{AD}-directory.json", f"{OD}-directory.json"}
    assert {path.name for path in folder.iterdir()} == names
    elsewhere = site.sync(AD, "--apply", str(folder / f"{OD}-directory.json"))
    assert elsewhere.code == 2
    elsewhere.problem("plan-elsewhere")


def test_what_is_no_plan_is_refused(site: Site) -> None:
    path = site.folder / "plan.json"
    path.write_text("{}")
    assert site.sync("--apply", str(path)).problem("plan-file")["where"] == str(path)
    assert site.sync("--out", str(path)).codes == ["usage"]
