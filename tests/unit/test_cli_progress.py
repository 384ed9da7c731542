"""How far a run is: events, lines, or nothing."""

from __future__ import annotations

import json
from itertools import count

import pytest

from dirbridge.cli import progress
from dirbridge.cli.output import Output, Streamed
from tests import schema


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second passes each time that somebody looks."""
    seconds = count()
    monkeypatch.setattr(progress, "monotonic", lambda: float(next(seconds)))


def a_run(told: progress.Told) -> None:
    for number in range(1, 101):
        told("read", number, None)
    told("plan", 100, 100)
    told("apply", 0, 40)
    told("apply", 40, 40)


def test_json_gets_events(clock: None, capsys: pytest.CaptureFixture[str]) -> None:
    with progress.shown(Output("sync", json=True), "company.com") as told:
        a_run(told)
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    form = schema.load("event.json")
    assert [fault for one in events for fault in schema.faults(one, form)] == []
    phases = dict.fromkeys(event["phase"] for event in events)
    assert list(phases) == ["read", "plan", "apply"]
    assert (events[-1]["done"], events[-1]["total"]) == (40, 40)


def test_a_pipe_gets_a_line_every_few_seconds_when_asked(
    clock: None, capsys: pytest.CaptureFixture[str]
) -> None:
    with progress.shown(Output("sync"), "company.com", lines=True) as told:
        a_run(told)
    said = capsys.readouterr()
    lines = said.err.splitlines()
    assert said.out == ""
    assert lines[0] == "company.com: reading: 1"
    assert 10 < len(lines) < 40
    assert lines[-1].startswith("company.com: writing: 40/40")
    assert any("/s" in line for line in lines)


def test_a_pipe_that_did_not_ask_gets_nothing(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with progress.shown(Output("sync"), "company.com") as told:
        a_run(told)
    said = capsys.readouterr()
    assert (said.out, said.err) == ("", "")


def test_long_arrays_are_written_item_by_item(
    capsys: pytest.CaptureFixture[str],
) -> None:
    items = [{"name": "Zoë\udcff", "n": number} for number in range(3)]
    data = {"some": Streamed(items), "none": Streamed([]), "last": 1}
    Output("sync", json=True).finish(data)
    (line,) = capsys.readouterr().out.splitlines()
    said = json.loads(line)["data"]
    assert [one["n"] for one in said["some"]] == [0, 1, 2]
    assert (said["none"], said["last"]) == ([], 1)
