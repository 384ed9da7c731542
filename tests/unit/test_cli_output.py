"""How commands speak: values come from directories and must not steer a terminal."""

from __future__ import annotations

import json

import pytest

from dirbridge.cli.output import Output
from dirbridge.errors import Problem

EVIL = "Eve\x1b]0;title\x07 [bold]x[/bold] \x9b31m \udcff"
TAME = "Eve\\x1b]0;title\\x07 [bold]x[/bold] \\x9b31m \\udcff"


def test_text_cannot_steer_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    out = Output("test")
    out.say(EVIL)
    out.table("", ("name", "all"), [(EVIL, (EVIL, 1)), (None, "one\ttwo\nthree")])
    out.problem(Problem("code", EVIL, f"{EVIL}.", "Mend it."))
    out.finish()
    said = capsys.readouterr()
    lines = said.out.splitlines()
    assert lines[0] == TAME
    assert lines[1:] == ["name\tall", f"{TAME}\t{TAME}, 1", "\tone two three"]
    assert said.err.splitlines() == [
        f"problem {TAME}: {TAME}.",
        "        next: Mend it.",
    ]


def test_on_a_terminal_long_lines_hang_between_words(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "30")
    long, whole = f"ok   step {'word ' * 8}".strip(), f"     {'x' * 40}"
    for terminal, expected in (
        (False, [long, whole]),
        (True, ["ok   step word word word word", "     word word word word", whole]),
    ):
        monkeypatch.setattr("sys.stdout.isatty", lambda told=terminal: told)
        for line in (long, whole):
            Output("test").say(line, hang=5)
        assert capsys.readouterr().out.splitlines() == expected


def test_people_keep_their_names(capsys: pytest.CaptureFixture[str]) -> None:
    name = "Zoë ☀️ 👩‍🚀 O'Brien, “quoted” سلام"
    Output("test").say(name)
    assert capsys.readouterr().out == f"{name}\n"


def test_json_is_utf_8_whatever_a_value_holds(
    capsysbinary: pytest.CaptureFixture[bytes],
) -> None:
    Output("test", json=True).finish({"name": EVIL})
    line = capsysbinary.readouterr().out
    assert json.loads(line.decode("utf-8"))["data"]["name"] == EVIL


def test_with_json_nothing_else_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    out = Output("test", json=True)
    out.say("words")
    out.table("", ("a",), [("b",)])
    out.event("ready")
    out.problem(Problem("code", "where", "Text.", "Next."))
    out.finish()
    said = capsys.readouterr()
    event, result = (json.loads(line) for line in said.out.splitlines())
    assert event == {"event": "ready"}
    assert not result["ok"]
    assert said.err == ""
