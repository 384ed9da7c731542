"""Steps: an OU is renamed, a limit stops the sync, a person approves; and the undo."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from demo.command import Answer
from demo.stage import AD, Stage
from demo.step import Scene
from demo.syncing import CONFLICT, DELETED
from testbed import cast, ldif

STOPPED = 3
"""What `sync` exits with where a person must approve."""

OU, ELSEWHERE = cast.AD_SALES, f"OU=Vertrieb,{cast.AD_BASE}"
LOST = tuple(f"{name}@{AD}" for name in ("anna", "o'brien"))
"""Who stands in that OU, since an earlier step moved somebody else away."""

STAFF = sum(
    one.ou.endswith(cast.AD_STAFF) and one.sam != DELETED.sam for one in cast.AD_PEOPLE
)


def renamed_ou(stage: Stage, scene: Scene) -> str:
    """Rename an OU so that it leaves what is synced; stop; approve."""
    config = _only_staff(stage)
    scene.run(lambda: stage.dirbridge("sync", config=config))
    scene.screen.note(f"a second database holds only those below {cast.AD_STAFF}")
    scene.check(f"{STAFF} accounts are there", _count(stage, config), STAFF)
    with scene.screen.busy("somebody renames OU=Sales, and puts it elsewhere"):
        stage.bed.dc1.modify(ldif.move(OU, "OU=Vertrieb", cast.AD_BASE))
    stopped = scene.run(lambda: stage.dirbridge("sync", config=config))
    (run,) = stopped.data["runs"]
    for problem in stopped.problems:
        # Conflicts that are known stand below it; they were shown before.
        if problem["code"] == run["stopped"]:
            scene.screen.note(f"{problem['text']} {problem['next']}")
    gone = {one["name"] for one in run["changes"] if one["op"] == "deactivate"}
    scene.check(f"the plan would take away {len(LOST)} people", gone, set(LOST))
    scene.check(f"a limit stops it, exit code {STOPPED}", stopped.code, STOPPED)
    scene.check("nothing is written", _states(stage, config), {"active"})
    approval: str = run["approval"]
    done = scene.run(
        lambda: stage.dirbridge("sync", AD, "--approve", approval, config=config)
    )
    scene.check("a person approves just this, exit code 0", done.code, 0)
    states = _states(stage, config)
    scene.check("they are deactivated, not removed", states, {"deactivated"})
    stage.seen["approved"] = done
    return f"stopped by the limit {run['stopped']}; approved once, by a person"


def undo(stage: Stage, scene: Scene) -> str:
    """Put the OU back, and undo the run that was approved too fast."""
    config = stage.folder / "staff.toml"
    (run,) = stage.seen["approved"].data["runs"]
    number = str(run["run"])
    with scene.screen.busy("it was a mistake: the OU gets its name and place back"):
        stage.bed.dc1.modify(ldif.move(ELSEWHERE, "OU=Sales", cast.AD_STAFF))
    done = scene.run(lambda: stage.dirbridge("sync", "undo", number, config=config))
    scene.check("the undo ends with exit code 0", done.code, 0)
    scene.check("both are active again", _states(stage, config), {"active"})
    last = scene.run(lambda: stage.dirbridge("sync", config=config))
    left = [one["name"] for one in _changes(last) if one["op"] != CONFLICT]
    scene.check("the next sync has nothing to do", (left, last.code), ([], 0))
    told = scene.run(
        lambda: stage.dirbridge("accounts", "history", LOST[0], config=config)
    )
    ops = [one["op"] for one in told.data["changes"]]
    scene.screen.note(f"the history of {LOST[0]}, newest first: {', '.join(ops)}")
    states = [op for op in ops if op.endswith("activate")]
    scene.check("the history tells it", states, ["reactivate", "deactivate"])
    return f"run {number} undone: {len(LOST)} people are active again"


def _only_staff(stage: Stage) -> Path:
    """Write a configuration that reads one OU, into a database of its own."""
    text = stage.config.read_text().replace("/dirbridge.db", "/staff.db")
    server = f'server = "{stage.bed.dc1.host}"\n'
    text = text.replace(server, f'{server}base = "{cast.AD_STAFF}"\n')
    head, _, _ = text.partition('[domains."example.org"]')
    path = stage.folder / "staff.toml"
    path.write_text(head)
    return path


def _count(stage: Stage, config: Path) -> int:
    return len(_accounts(stage, config))


def _states(stage: Stage, config: Path) -> set[str]:
    """The states of those whom the rename would take away."""
    listed = _accounts(stage, config)
    return {one["state"] for one in listed if one["account"] in LOST}


def _accounts(stage: Stage, config: Path) -> list[dict[str, Any]]:
    answer = stage.dirbridge("accounts", "list", config=config)
    accounts: list[dict[str, Any]] = answer.data["accounts"]
    return accounts


def _changes(answer: Answer) -> list[dict[str, Any]]:
    return [one for run in answer.data["runs"] for one in run["changes"]]
