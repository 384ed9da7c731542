"""`dirbridge sync` from cron beside a running `serve`: neither disturbs the other."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import time

from testbed import cast, ldif
from testbed.slapd import Od1
from tests.system.bridge import OD, Site


def test_cron_beside_serve(od_site: Site, changeable_od: Od1) -> None:
    assert od_site.sync().code == 1  # two people with one address are among the cast
    od_site.config["domains"][OD]["sync"] = {"interval": "1s"}
    carla = cast.od("carla").dn
    with od_site.serving() as serve:
        for number in range(3):
            changeable_od.modify(ldif.modify(carla, [("title", f"No {number}")]))
            running = [od_site.start("sync", "--json", "--full") for _ in range(3)]
            ended = [one.communicate(timeout=60) for one in running]
            assert [one.returncode for one in running] == [0, 0, 0], ended
            assert od_site.account(f"carla@{OD}")["title"] == f"No {number}"
        _wait_for_runs(od_site, 3)
        results = {run["result"] for run in serve.syncs}
        assert results <= {"applied", "unchanged"}
        assert "WARN" not in serve.log.upper()
    applied = [run for run in _runs(od_site) if run["changes"].get("update")]
    assert len(applied) == 3


def _runs(site: Site) -> list[dict[str, dict[str, int]]]:
    with contextlib.closing(sqlite3.connect(site.database)) as database:
        rows = database.execute("SELECT changes FROM runs").fetchall()
    return [{"changes": json.loads(row)} for (row,) in rows]


def _wait_for_runs(site: Site, more: int) -> None:
    """Wait until `serve` has gone on with its interval."""
    before, deadline = len(_runs(site)), time.monotonic() + 30
    while len(_runs(site)) < before + more:
        assert time.monotonic() < deadline
        time.sleep(0.2)
