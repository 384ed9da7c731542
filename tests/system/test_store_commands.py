"""`store backup` and `store restore` by the real command, and the sync after them."""

from __future__ import annotations

from testbed import cast
from testbed.slapd import Od1
from tests.system.bridge import OD, Site

GONE = cast.od("carla")


def test_after_a_restore_the_next_sync_needs_approval_for_what_it_takes_away(
    site: Site, changeable_od: Od1
) -> None:
    site.config["domains"][OD]["limits"] = {"absolute": 50, "share": 1.0}
    copy = site.folder / "copy.db"
    saved = site.run("store", "backup", str(copy)).data
    assert saved["octets"] == copy.stat().st_size

    changeable_od.delete(GONE.dn)
    asked = site.run("store", "restore", str(copy))
    assert asked.code == 2
    restored = site.run("store", "restore", str(copy), "--yes").data
    assert restored["accounts"] > 0
    assert restored["kept"]
    assert not restored["upgrade"]

    stopped = site.sync(OD)
    assert stopped.code == 3
    assert "restored" in stopped.problem("scope-changed")["text"]
    (run,) = stopped.data["runs"]
    done = site.sync(OD, "--approve", run["approval"])
    assert done.code == 0
    assert len(done.changes(OD, "deactivate")) == 1
    assert site.sync(OD).code == 0


def test_a_backup_does_not_overwrite_and_a_restore_waits_for_no_bridge(
    site: Site,
) -> None:
    copy = site.folder / "copy.db"
    assert site.run("store", "backup", str(copy)).code == 0
    again = site.run("store", "backup", str(copy))
    assert (again.code, again.codes) == (5, ["store-backup"])
    with site.serving("--no-sync"):
        busy = site.run("store", "restore", str(copy), "--yes")
        assert (busy.code, busy.codes) == (5, ["store-in-use"])
    assert site.run("store", "restore", str(copy), "--yes").code == 0
