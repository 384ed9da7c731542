"""A running bridge's sync jobs in an interpreter of their own, on command.

`python -m bench.sync_child CONFIG`: each line of standard input, `full` or `delta`,
is one run of the job on the sessions that are kept, as the scheduler makes them; a
line of JSON comes back. The first line that comes says that it is ready.
"""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

from dirbridge.app import App
from dirbridge.sync.job import SyncJob


def main(config: Path) -> None:
    """Run the job of a configuration's only domain as often as told."""
    app = App.load(config)
    with app.open_store() as store:
        (job,) = app.jobs(store)
        _tell({"ready": True})
        for line in sys.stdin:
            _tell(_run(job, full=line.strip() == "full"))


def _run(job: SyncJob, *, full: bool) -> dict[str, Any]:
    started = time.perf_counter()
    report = job.run(full=full)
    seconds = time.perf_counter() - started
    plan = report.plan
    return {
        "seconds": seconds,
        "kind": plan.kind,
        "read": plan.read,
        "unchanged": plan.unchanged,
        "changes": Counter(change.op for change in plan.changes),
        "written": report.run is not None and report.stopped is None,
    }


def _tell(found: dict[str, Any]) -> None:
    print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
