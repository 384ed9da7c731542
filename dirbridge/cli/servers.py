"""What `serve` knows of directory servers and of its schedule, told to `status`.

`serve` keeps both in memory and writes them to the file `run_dir/servers.json`: when a
server comes or goes, when a run begins or ends, and else every half minute. There is
no secret in it.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import tempfile
import threading
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from dirbridge.app import ServerReport
from dirbridge.cli.output import Json
from dirbridge.scheduler.service import JobState

FILE = "servers.json"

EVERY_SECONDS = 30.0
"""Most seconds between two writes."""

LOOK_SECONDS = 1.0
"""How soon a change is written."""

STALE = timedelta(seconds=3 * EVERY_SECONDS)
"""A file that is older was left behind by a `serve` that was killed."""

_MODE = 0o640
_MOST_OCTETS = 4_000_000

_log = logging.getLogger("dirbridge.serve")


class ServersFile:
    """Writes the file as long as `serve` runs; a context manager."""

    def __init__(
        self,
        run_dir: Path,
        reports: Callable[[], Sequence[ServerReport]],
        schedule: Callable[[], Sequence[JobState]] = tuple,
        *,
        every: float = EVERY_SECONDS,
        look: float = LOOK_SECONDS,
    ) -> None:
        self._path = run_dir / FILE
        self._reports = reports
        self._schedule = schedule
        self._every = every
        self._look = look
        self._stop = threading.Event()
        self._told = False
        self._thread = threading.Thread(
            target=self._run, name="servers-file", daemon=True
        )

    def __enter__(self) -> ServersFile:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        with contextlib.suppress(OSError):
            self._path.unlink()

    def _run(self) -> None:
        written: Json | None = None
        waited = 0.0
        while not self._stop.is_set():
            facts = self._facts()
            if waited >= self._every or _changed(written, facts):
                self._write(facts)
                written, waited = facts, 0.0
            self._stop.wait(self._look)
            waited += self._look

    def _facts(self) -> Json:
        return {
            "servers": [_as_json(report) for report in self._reports()],
            "schedule": [_job_json(state) for state in self._schedule()],
        }

    def _write(self, facts: Json) -> None:
        at = datetime.now(UTC).isoformat(timespec="seconds")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            _replace(self._path, json.dumps({"at": at, **facts}))
        except OSError as error:
            if not self._told:
                _log.warning("%s cannot be written: %s", self._path, error.strerror)
            self._told = True


@dataclass(frozen=True, slots=True)
class Known:
    """What the file says.

    Attributes:
        servers: One object for each server; none where there is no file.
        at: When it was written, None where there is none.
        fresh: Whether the `serve` that wrote it still runs.
        schedule: One object for each directory that it syncs.
    """

    servers: tuple[Json, ...] = ()
    at: datetime | None = None
    fresh: bool = False
    schedule: tuple[Json, ...] = ()


def read_servers(run_dir: Path, now: datetime | None = None) -> Known:
    """Read the file; what cannot be read says nothing."""
    try:
        with (run_dir / FILE).open("rb") as file:
            told = json.loads(file.read(_MOST_OCTETS))
        at = datetime.fromisoformat(told["at"])
        servers = tuple(dict(one) for one in told["servers"])
        schedule = tuple(dict(one) for one in told["schedule"])
        fresh = (now or datetime.now(UTC)) - at <= STALE
    except (OSError, ValueError, LookupError, TypeError):
        return Known()
    return Known(servers, at, fresh, schedule)


def _as_json(report: ServerReport) -> Json:
    state = asdict(report.state)
    since = report.state.since
    state["since"] = since and since.isoformat(timespec="seconds")
    took = report.state.round_trip
    state["round_trip"] = None if took is None else round(took, 4)
    return {"domain": report.domain, "directory": report.directory, **state}


def _job_json(state: JobState) -> Json:
    return {
        name: value.isoformat(timespec="seconds")
        if isinstance(value, datetime)
        else value
        for name, value in asdict(state).items()
    }


def _changed(before: Json | None, now: Json) -> bool:
    """Whether a server came or went, or a run began or ended.

    The time that answers take always changes, and by what is left to the next run.
    """
    return before is None or _cores(before) != _cores(now)


def _cores(facts: Json) -> list[Json]:
    return [
        *map(_core, facts["servers"]),
        *map(_job_core, facts["schedule"]),
    ]


def _job_core(one: Json) -> Json:
    return {name: one[name] for name in ("running_since", "ended_at", "failures")}


def _core(one: Json) -> Json:
    return {name: one[name] for name in ("domain", "server", "up", "error")}


def _replace(path: Path, text: str) -> None:
    """Write a file in one step: a reader sees the old one or the new one."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            os.fchmod(file.fileno(), _MODE)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
