"""A sync never takes anybody away on doubt."""

from __future__ import annotations

import contextlib
import signal
import sqlite3

import pytest

from testbed import cast, ldif
from testbed.bed import Bed
from testbed.process import wait_until
from testbed.scale import load
from testbed.slapd import Od1
from tests.system.bridge import OD, Done, Site

NOBODY = "(uid=nobody-at-all)"
SEVERAL = ("anna", "carla", "siobhan", "maximilian", "fiona")


TELLING = {"runs", "approvals", "offers", "notices", "sqlite_sequence"}
"""Tables for people, in which a run that stops or fails leaves a word."""


def lasting(site: Site) -> dict[str, list[tuple]]:
    """What the store holds, but for what it tells of runs."""
    with contextlib.closing(sqlite3.connect(site.database)) as store:
        named = store.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        return {
            table: store.execute(f"SELECT * FROM {table}").fetchall()
            for (table,) in named.fetchall()
            if table not in TELLING
        }


def nobody_was_taken_away(site: Site, before: dict[str, list[tuple]]) -> None:
    assert lasting(site) == before


def test_a_source_that_is_suddenly_empty_stops_the_run(site: Site) -> None:
    before = lasting(site)
    site.directory(OD)["filter"] = NOBODY

    done = site.sync(OD)

    assert done.code == 3
    problem = done.problem("source-empty")
    (run,) = done.data["runs"]
    assert run["stopped"] == "source-empty"
    assert not run["written"]
    assert f"--approve {run['approval']}" in problem["next"]
    assert "Nothing was written" in problem["text"]
    nobody_was_taken_away(site, before)
    # A dry run exits as the real run would.
    assert site.sync(OD, "--dry-run").code == 3


def test_an_approval_lets_exactly_that_pass(site: Site, changeable_od: Od1) -> None:
    before = lasting(site)
    for uid in SEVERAL:
        changeable_od.delete(cast.od(uid).dn)
    stopped = site.sync(OD)
    approval = stopped.data["runs"][0]["approval"]
    assert stopped.code == 3
    assert f"--approve {approval}" in stopped.problem("share")["next"]

    mistyped = site.sync(OD, "--approve", "0123456789ab")
    assert mistyped.code == 3
    assert "No stopped run" in mistyped.problem("approval-passed-over")["text"]
    changeable_od.delete(cast.od("oscar").dn)
    # Now other people than those that were approved.
    grown = site.sync(OD, "--approve", approval)
    assert grown.code == 3
    assert grown.data["runs"][0]["approval"] != approval
    nobody_was_taken_away(site, before)

    done = site.sync(OD, "--approve", grown.data["runs"][0]["approval"])

    assert done.code == 0, done.out
    away = {
        name.partition("@")[0]
        for name, account in site.accounts(OD).items()
        if account["state"] == "deactivated"
    }
    assert away == {*SEVERAL, "oscar"}


def test_a_vanished_container_stops_the_run(site: Site, changeable_od: Od1) -> None:
    before = lasting(site)
    site.config["domains"][OD]["limits"] = {"share": 1.0, "container_share": 0.2}
    for uid in SEVERAL:
        changeable_od.delete(cast.od(uid).dn)

    done = site.sync(OD)

    assert done.code == 3
    assert cast.OD_USERS in done.problem("container-share")["text"]
    nobody_was_taken_away(site, before)


def test_a_size_limit_of_the_server_takes_nobody_away(site: Site, od1: Od1) -> None:
    """slapd gives the first ten people and then result 4."""
    before = lasting(site)
    conf = od1.conf
    _restart_with(
        od1, conf.read_text().replace("size.prtotal=unlimited", "size.prtotal=10")
    )
    done = site.sync(OD)
    _restart_with(od1, None)

    assert done.code == 4
    (problem,) = done.problems
    assert problem["code"] == "incomplete"
    assert "sizeLimitExceeded" in problem["text"] or "result 4" in problem["text"]
    assert "Nothing was changed" in problem["next"]
    nobody_was_taken_away(site, before)


def test_entries_that_cannot_be_told_apart_take_nobody_away(
    site: Site, changeable_od: Od1
) -> None:
    """Two entries with one identity: nobody can say whose account it is."""
    before = lasting(site)
    pairs = [("apple-generateduid", cast.od("anna").guid)]
    changeable_od.modify(ldif.modify(cast.od("carla").dn, pairs))

    done = site.sync(OD)

    assert done.code == 4
    assert "have the same id" in done.problem("incomplete")["text"]
    nobody_was_taken_away(site, before)


@pytest.mark.parametrize(
    "changed",
    [
        {"filter": "(uid=anna)"},
        {"filter": "(mail=*@example.orgg)"},
        {"base": "cn=groups,dc=od,dc=example,dc=com"},
    ],
    ids=["another filter", "a typo", "another base"],
)
def test_other_settings_take_nobody_away(site: Site, changed: dict[str, str]) -> None:
    before = lasting(site)
    site.directory(OD).update(changed)
    site.config["domains"][OD]["limits"] = {"share": 1.0, "container_share": 1.0}

    done = site.sync(OD)

    assert done.code == 3
    assert done.data["runs"][0]["stopped"] in {"scope-changed", "source-empty"}
    nobody_was_taken_away(site, before)


@pytest.mark.parametrize(
    "rights",
    [
        'access to dn.regex="^uid=[c-z]" by * none',
        'access to dn.subtree="cn=users,dc=od,dc=example,dc=com" attrs=uid by * none',
    ],
    ids=["to entries", "to their names"],
)
def test_a_service_account_that_lost_rights_takes_nobody_away(
    site: Site, changeable_od: Od1, rights: str
) -> None:
    before = lasting(site)
    everybody = "access to * by * read\n"
    text = changeable_od.conf.read_text()
    _restart_with(changeable_od, text.replace(everybody, f"{rights}\n{everybody}", 1))
    done = site.sync(OD, "--full")
    _restart_with(changeable_od, None)

    assert done.code in {3, 4}
    nobody_was_taken_away(site, before)


@pytest.mark.parametrize("way", ["stopped", "frozen", "cut off"])
def test_a_server_that_dies_in_mid_read_takes_nobody_away(
    bed: Bed, od1: Od1, site: Site, way: str
) -> None:
    """The master dies after the first pages, and comes back half empty."""
    scale = load(bed.directory, 20_000)
    scale.start()
    try:
        _dies_in_mid_read(bed, scale, site, way)
    finally:
        scale.heal()
        scale.stop()


def _dies_in_mid_read(bed: Bed, scale: Od1, site: Site, way: str) -> None:
    directory = site.directory(OD)
    directory["server"] = "scale.example.com"
    directory["suffix"] = cast.OD_BASE
    directory["read_timeout"] = "3s"
    del directory["backup_server"]
    before = lasting(site)
    run = site.start("sync", OD, "--json")
    assert run.stdout is not None
    line = run.stdout.readline()  # the first thousand entries
    assert b'"read"' in line
    {"stopped": scale.stop, "frozen": scale.freeze, "cut off": scale.cut_off}[way]()
    rest, err = run.communicate(timeout=60)
    done = Done(run.returncode, (line + rest).decode(), err.decode())

    assert done.code == 4, done.out
    assert done.codes == ["incomplete"]
    nobody_was_taken_away(site, before)


def test_no_server_at_all_is_told_and_harms_nothing(
    site: Site, everything: None, bed: Bed
) -> None:
    bed.od1.stop()
    bed.od2.stop()
    before = site.accounts(OD)

    done = site.sync()

    assert done.code == 4
    problem = done.problem("refused")
    assert "od.example.com" in problem["where"]
    # The other domain was synced all the same.
    assert [run["domain"] for run in done.data["runs"]] == ["example.com"]
    assert site.accounts(OD) == before


def test_an_interrupted_sync_ends_with_130(bed: Bed, od1: Od1, od_site: Site) -> None:
    bed.od1.freeze()
    run = od_site.start("sync")
    wait_until(lambda: any(od_site.folder.glob("*.turn")), "the sync does not begin")
    run.send_signal(signal.SIGINT)
    bed.od1.thaw()
    run.communicate(timeout=20)
    assert run.returncode == 130


def test_a_store_that_cannot_be_written_ends_with_5(site: Site) -> None:
    site.config["store"]["url"] = f"sqlite:///{site.folder}/nowhere/dirbridge.db"
    done = site.sync(OD)
    assert done.code == 5
    assert done.codes == ["store-no-folder"]


def _restart_with(server: Od1, text: str | None) -> None:
    """Restart slapd with another configuration, or with its own again."""
    if text is None:
        del server.write_conf
        server.restart()
        return
    server.conf.write_text(text)
    server.write_conf = lambda: None
    server.restart()
