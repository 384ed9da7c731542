"""Runs are listed, shown, and taken back."""

from __future__ import annotations

from testbed import cast, ldif
from testbed.slapd import Od1
from tests.system.bridge import OD, Done, Site

LEAVING = ("anna", "carla")


def number(done: Done) -> str:
    return str(done.data["runs"][0]["run"])


def test_a_run_is_taken_back_and_the_undo_too(site: Site, changeable_od: Od1) -> None:
    site.config["domains"][OD]["limits"] = {"share": 0.5, "container_share": 0.5}
    before = site.accounts(OD)
    for uid in LEAVING:
        changeable_od.delete(cast.od(uid).dn)
    sn = ldif.modify(cast.od("fiona").dn, [("sn", "New")])
    changeable_od.modify(sn)
    run = site.sync(OD)
    assert run.code == 0, run.out

    dry = site.run("sync", "undo", number(run), "--dry-run")
    done = site.run("sync", "undo", number(run))

    assert dry.code == done.code == 0, done.out
    assert dry.changes(OD) == done.changes(OD)
    ops = {name: change["op"] for name, change in done.changes(OD).items()}
    assert ops == {
        **{f"{uid}@{OD}": "reactivate" for uid in LEAVING},
        f"fiona@{OD}": "update",
    }
    after = site.accounts(OD)
    for name, account in after.items():
        assert account | {"since": ""} == before[name] | {"since": ""}

    again = site.run("sync", "undo", number(done))
    assert again.code == 0
    assert site.account(f"anna@{OD}")["state"] == "deactivated"
    assert site.account(f"fiona@{OD}")["surname"] == "New"


def test_what_was_not_mended_comes_again_with_the_next_sync(
    site: Site, changeable_od: Od1
) -> None:
    changeable_od.delete(cast.od("anna").dn)
    site.run("sync", "undo", number(site.sync(OD)))
    assert site.account(f"anna@{OD}")["state"] == "active"

    done = site.sync(OD)

    assert set(done.changes(OD, "deactivate")) == {f"anna@{OD}"}


def test_what_later_runs_changed_stays_and_is_told(
    site: Site, changeable_od: Od1
) -> None:
    fiona = cast.od("fiona").dn
    pairs = [("sn", "First"), ("givenName", "First")]
    for name, value in pairs:
        changeable_od.modify(ldif.modify(fiona, [(name, value)]))
    first = site.sync(OD)
    changeable_od.modify(ldif.modify(fiona, [("sn", "Second")]))
    site.sync(OD)

    done = site.run("sync", "undo", number(first))

    assert done.code == 1
    assert '"surname"' in done.problem("undo-clash")["text"]
    account = site.account(f"fiona@{OD}")
    assert account["surname"] == "Second"
    assert account["given_name"] != "First"


def test_an_undo_that_takes_many_away_needs_approval(od_site: Site) -> None:
    first = od_site.sync()
    stopped = od_site.run("sync", "undo", number(first))
    assert stopped.code == 3
    approval = stopped.data["runs"][0]["approval"]
    assert f"--approve {approval}" in stopped.problem("share")["next"]

    done = od_site.run("sync", "undo", number(first), "--approve", approval)

    assert done.code == 0, done.out
    assert {a["state"] for a in od_site.accounts(OD).values()} == {"removed"}
    # Used up: the same again would need another one.
    assert od_site.sync("--full").code in (0, 1)
    assert "active" in {a["state"] for a in od_site.accounts(OD).values()}


def test_runs_are_listed_and_shown(site: Site, changeable_od: Od1) -> None:
    changeable_od.modify(ldif.modify(cast.od("fiona").dn, [("sn", "New")]))
    done = site.sync(OD)
    undone = site.run("sync", "undo", number(done))
    assert undone.code == 0, undone.out

    newest, before, *_ = site.run("sync", "runs", OD).data["runs"]

    assert (newest["server"], newest["changes"]) == ("admin", {"update": 1})
    assert (str(before["run"]), before["result"]) == (number(done), "applied")
    shown = site.run("sync", "show", number(done)).data
    assert shown["run"] == before
    (row,) = shown["changes"]
    assert (row["name"], row["after"]) == (f"fiona@{OD}", {"surname": "New"})
    text = site.run("sync", "show", number(done), json=False)
    assert "surname: " in text.out
    assert " -> New" in text.out
    listed = site.run("sync", "runs", "--limit", "1", json=False).out.splitlines()
    assert len(listed) == 3  # a heading, and the newest of each domain


def test_runs_that_are_not_there_are_told(site: Site) -> None:
    for word in ("show", "undo"):
        assert site.run("sync", word, "999999").code == 1
        site.run("sync", word, "999999").problem("no-run")
    unchanged = number(site.sync(OD))
    site.run("sync", "undo", unchanged).problem("nothing-to-undo")
