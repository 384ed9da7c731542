"""Step: DC 1 is frozen in the middle of a read."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from demo.command import Answer
from demo.stage import AD, Stage
from demo.step import Scene
from demo.syncing import CONFLICT
from testbed import cast, ldif
from testbed.ldap_proxy import LdapProxy, Limits
from testbed.samba import Dc1

INCOMPLETE = 4
"""What `sync` exits with where a directory could not be read to its end."""

PAGE, FROZEN_AT = 200, 4
"""Entries of a page, and the page that DC 1 is asked for when it freezes."""

PROMOTED, TITLE = cast.ad("bob"), "Head of everything"


def frozen_read(stage: Stage, scene: Scene) -> str:
    """Freeze DC 1 in mid-read, sync again from DC 2, and thaw it."""
    with scene.screen.busy("somebody gets a new title, and the two DCs agree on it"):
        stage.bed.dc1.modify(ldif.modify(PROMOTED.dn, [("title", TITLE)]))
        stage.bed.wait_replicated()
    before = _accounts(stage, scene)
    try:
        told = _incomplete(stage, scene)
        after = _accounts(stage, scene)
        scene.check(f"none of {len(before)} accounts was touched", after == before)
        other = _from_dc_2(stage, scene)
    finally:
        stage.bed.dc1.thaw()
    _back(stage, scene)
    return f"{told}, nothing written; then all {other} from DC 2"


def _incomplete(stage: Stage, scene: Scene) -> str:
    """Sync while DC 1 freezes: it is asked for a few pages, and falls silent."""
    with _freezing(stage) as wire:
        answer = scene.run(lambda: stage.dirbridge("sync", AD, "--full", config=wire))
    for problem in answer.problems:
        scene.screen.note(problem["text"])
    scene.check("DC 1 was frozen in the middle of it", stage.bed.dc1.frozen)
    incomplete = [one["code"] for one in answer.problems] == ["incomplete"]
    scene.check("the read is told to be incomplete", incomplete)
    scene.check(f"the exit code is {INCOMPLETE}", answer.code, INCOMPLETE)
    scene.check("there is no plan at all", answer.data["runs"], [])
    return "incomplete" if incomplete else "not as expected"


@contextmanager
def _freezing(stage: Stage) -> Iterator[Path]:
    """Give a configuration whose way to DC 1 freezes it at a page.

    What lies in between only counts the pages: it is DC 1 that falls silent.
    """
    dc1, over = stage.bed.dc1, threading.Event()
    with LdapProxy.before(dc1, limits=Limits(page=PAGE)) as proxy:
        freezer = threading.Thread(target=_freeze_at, args=(proxy, dc1, over))
        freezer.start()
        try:
            yield stage.write_other_configuration(
                "wire.toml", server=str(proxy), read_timeout="3s"
            )
        finally:
            over.set()
            freezer.join()


def _freeze_at(proxy: LdapProxy, dc1: Dc1, over: threading.Event) -> None:
    while not over.is_set():
        if proxy.counts.pages >= FROZEN_AT:
            dc1.freeze()
            return
        time.sleep(0.002)


def _from_dc_2(stage: Stage, scene: Scene) -> int:
    """Sync while DC 1 is frozen: DC 2 has everything, also what changed before."""
    run = _run(scene.run(lambda: stage.dirbridge("sync", AD, "--full")))
    _shown(stage, scene, run, "dc2")
    seen = [(one["op"], one["name"]) for one in run["changes"] if _is_work(one)]
    wanted = [("update", f"{PROMOTED.sam}@{AD}")]
    scene.check("what had changed before comes now, and only that", seen, wanted)
    read: int = run["read"]
    return read


def _back(stage: Stage, scene: Scene) -> None:
    """Sync with DC 1 thawed: it is asked again, and nothing is left to do."""
    answer = scene.run(lambda: stage.dirbridge("sync", AD, "--full"))
    run = _run(answer)
    _shown(stage, scene, run, "dc1")
    seen = [one["name"] for one in run["changes"] if _is_work(one)]
    scene.check("nothing is left to do", (seen, answer.code), ([], 0))


def _shown(stage: Stage, scene: Scene, run: dict[str, Any], server: str) -> None:
    host = run["server"].rpartition(":")[0]
    first = stage.seen["dry-run"].data["runs"]
    # One of them was deleted by an earlier step.
    (expected,) = (one["read"] - 1 for one in first if one["domain"] == AD)
    good = host.startswith(f"{server}.") and run["read"] == expected
    why = "" if good else f"expected {expected} entries from {server}"
    told = f"{run['unchanged']} unchanged, from {host}"
    scene.row(good, AD, f"{run['read']} entries read", told, why)


def _accounts(stage: Stage, scene: Scene) -> list[dict[str, Any]]:
    answer = scene.run(lambda: stage.dirbridge("accounts", "list", AD))
    accounts: list[dict[str, Any]] = answer.data["accounts"]
    return accounts


def _run(answer: Answer) -> dict[str, Any]:
    (run,) = answer.data["runs"]
    found: dict[str, Any] = run
    return found


def _is_work(change: dict[str, Any]) -> bool:
    return bool(change["op"] != CONFLICT)
