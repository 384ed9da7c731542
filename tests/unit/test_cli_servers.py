"""The file by which `serve` tells `status` of the directory servers."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from dirbridge.app import ServerReport
from dirbridge.cli.servers import FILE, STALE, Known, ServersFile, read_servers
from dirbridge.ldap.failover import ServerState
from dirbridge.model.names import DomainName
from dirbridge.scheduler.service import JobState

SINCE = datetime(2026, 11, 22, 12, tzinfo=UTC)
UP = ServerState("dc1.example.com:636", True, SINCE, "", 30, -2.0, 0.0123456)


def report(state: ServerState) -> ServerReport:
    return ServerReport(DomainName("example.com"), "directory", state)


def wait(check: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not check():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_a_change_is_written_and_read(tmp_path: Path) -> None:
    states = [UP]
    path = tmp_path / FILE
    with ServersFile(tmp_path, lambda: [report(s) for s in states], look=0.02):
        wait(path.exists)
        assert path.stat().st_mode & 0o777 == 0o640
        known = read_servers(tmp_path)
        assert known.fresh
        assert known.servers == (
            {
                "domain": "example.com",
                "directory": "directory",
                "server": "dc1.example.com:636",
                "up": True,
                "since": "2026-11-22T12:00:00+00:00",
                "error": "",
                "certificate_days": 30,
                "clock_offset": -2.0,
                "round_trip": 0.0123,
            },
        )
        states[0] = replace(UP, up=False, error="timeout")
        wait(lambda: read_servers(tmp_path).servers[0]["up"] is False)
        assert [one.name for one in tmp_path.iterdir()] == [FILE]
    assert read_servers(tmp_path) == Known()


def test_a_run_that_begins_is_written_at_once(tmp_path: Path) -> None:
    states = [JobState(DomainName("example.com"), "corp", SINCE, None, 0, "", None)]
    with ServersFile(tmp_path, lambda: [report(UP)], lambda: states, look=0.02):
        wait((tmp_path / FILE).exists)
        assert read_servers(tmp_path).schedule == (
            {
                "domain": "example.com",
                "directory": "corp",
                "next_at": "2026-11-22T12:00:00+00:00",
                "running_since": None,
                "failures": 0,
                "result": "",
                "ended_at": None,
            },
        )
        states[0] = replace(states[0], next_at=None, running_since=SINCE)
        wait(lambda: read_servers(tmp_path).schedule[0]["running_since"] is not None)


def test_it_is_written_again_after_a_while(tmp_path: Path) -> None:
    with ServersFile(tmp_path, lambda: [report(UP)], every=0.1, look=0.02):
        wait((tmp_path / FILE).exists)
        first = (tmp_path / FILE).stat().st_ino
        wait(lambda: (tmp_path / FILE).stat().st_ino != first)


def test_what_was_left_behind_is_stale(tmp_path: Path) -> None:
    at = datetime(2026, 11, 22, tzinfo=UTC)
    text = json.dumps({"at": at.isoformat(), "servers": [], "schedule": []})
    (tmp_path / FILE).write_text(text)
    assert read_servers(tmp_path, at + STALE).fresh
    late = read_servers(tmp_path, at + STALE + timedelta(seconds=1))
    assert (late.at, late.fresh) == (at, False)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"at": 1}', '{"at": "x"}', "\0"])
def test_what_is_no_such_file_says_nothing(tmp_path: Path, text: str) -> None:
    (tmp_path / FILE).write_text(text)
    assert read_servers(tmp_path) == Known()


def test_a_folder_that_cannot_be_written_stops_nobody(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("a file, no folder")
    with ServersFile(tmp_path / "run", lambda: [report(UP)], look=0.01):
        time.sleep(0.1)
    assert read_servers(tmp_path / "run") == Known()
