"""The outermost frame: usage errors, exit codes, and nothing that escapes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from dirbridge import __version__
from dirbridge.cli.main import exit_code
from dirbridge.config.settings import DirectoryType, Method
from dirbridge.model.account import Role
from tests import schema


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code(["--version"]) == 0
    assert capsys.readouterr().out == f"dirbridge, version {__version__}\n"


@pytest.mark.parametrize(
    "arguments",
    [
        ["dmeo"],
        ["sync", "--frobnicate"],
        ["accounts", "show"],
        ["explain", "anna", "--to-ip", "nonsense"],
        ["accounts", "frob"],
    ],
)
def test_wrong_usage_is_2_in_words_and_in_json(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_code(arguments) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert "Usage:" in said.err
    assert "next: Run `dirbridge" in said.err
    assert exit_code([*arguments, "--json"]) == 2
    said = capsys.readouterr()
    answer = json.loads(said.out)
    assert schema.faults(answer, schema.load("envelope.json")) == []
    assert not answer["ok"]
    (problem,) = answer["problems"]
    assert problem["code"] == "usage"
    assert problem["next"].endswith(".")
    assert said.err == ""


@pytest.mark.parametrize(
    ("command", "words", "values"),
    [
        ("accounts switch", ["anna", "--method", "nothing"], Method),
        ("accounts role", ["anna", "king"], Role),
        ("init", ["--type", "nothing"], DirectoryType),
    ],
)
def test_a_value_that_there_is_not_is_told_with_those_that_there_are(
    command: str,
    words: list[str],
    values: type[Method | Role | DirectoryType],
    capsys: pytest.CaptureFixture[str],
) -> None:
    arguments = [*command.split(), *words]
    assert exit_code(arguments) == 2
    *_, text, then = capsys.readouterr().err.splitlines()
    assert all(f"'{one.value}'" in text for one in values)
    assert exit_code([*arguments, "--json"]) == 2
    (problem,) = json.loads(capsys.readouterr().out)["problems"]
    assert then.strip() == f"next: {problem['next']}"
    assert problem["next"].startswith("Write one of them")
    assert f"`dirbridge {command} --help`" in problem["next"]


def test_no_configuration_anywhere_is_2(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DIRBRIDGE_CONFIG", raising=False)
    assert exit_code(["status", "--json"]) == 2
    (problem,) = json.loads(capsys.readouterr().out)["problems"]
    assert problem["code"] == "missing-file"
    assert "dirbridge init" in problem["next"]


def test_the_configuration_may_be_named_by_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DIRBRIDGE_CONFIG", str(tmp_path / "mine.toml"))
    assert exit_code(["status", "--json"]) == 2
    (problem,) = json.loads(capsys.readouterr().out)["problems"]
    assert problem["where"] == str(tmp_path / "mine.toml")


def test_a_reader_that_leaves_is_no_failure() -> None:
    run = subprocess.Popen(
        [sys.executable, "-m", "dirbridge", "mappings", "list"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert run.stdout is not None
    run.stdout.close()
    _, err = run.communicate(timeout=60)
    assert "Traceback" not in err.decode()
