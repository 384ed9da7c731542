"""Commands with --json, run in this process; what they answer fits its schema."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from dirbridge.cli.main import exit_code
from tests import schema


def configured(folder: Path, text: str) -> Path:
    """Write a configuration whose `{folder}` is that one, and the secret beside it."""
    file = folder / "dirbridge.toml"
    file.write_text(text.format(folder=folder))
    (folder / "secret").write_text("sesame\n")
    return file


class Pipe(io.StringIO):
    """Standard input that is no terminal, with its octets."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.buffer = io.BytesIO(text.encode())


@dataclass(frozen=True, slots=True)
class CommandLine:
    """Runs a command over one configuration: its exit code, and its answer."""

    config: Path
    capsys: pytest.CaptureFixture[str]
    monkeypatch: pytest.MonkeyPatch

    def __call__(self, *words: str, stdin: str = "") -> tuple[int, dict[str, Any]]:
        self.monkeypatch.setattr("sys.stdin", Pipe(stdin))
        code = exit_code([*words, "--json", "--config", str(self.config)])
        answer = json.loads(self.capsys.readouterr().out.splitlines()[-1])
        assert schema.faults(answer, schema.load("envelope.json")) == []
        if answer["data"]:
            own = schema.load(f"{answer['command'].replace(' ', '-')}.json")
            assert schema.faults(answer["data"], own) == []
        return code, answer
