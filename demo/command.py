"""Run the real command line and read what it answers with `--json`."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PROGRAM = Path(sys.executable).with_name("dirbridge")
TIMEOUT = 120


class CommandError(Exception):
    """A command did not answer as every command promises to."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What one command answered.

    Attributes:
        command: The command as a person would type it.
        code: Its exit code.
        data: `data` of its last object.
        problems: `problems` of its last object.
        seconds: How long it took, from its start to its end.
    """

    command: str
    code: int
    data: dict[str, Any]
    problems: tuple[dict[str, str], ...]
    seconds: float


def run(
    *arguments: str,
    env: Mapping[str, str],
    stdin: str = "",
    timeout: float = TIMEOUT,
) -> Answer:
    """Run `dirbridge ARGUMENTS --json` to its end.

    Args:
        arguments: The command and its arguments.
        env: The environment; DIRBRIDGE_CONFIG in it names the configuration.
        stdin: What is typed, such as a password.
        timeout: Seconds.

    Raises:
        CommandError: It hung, or its last line is not the promised object.
    """
    command = " ".join(("dirbridge", *arguments))
    started = time.monotonic()
    try:
        done = subprocess.run(
            [PROGRAM, *arguments, "--json"],
            input=stdin,
            env=dict(env),
            timeout=timeout,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise CommandError(f"`{command}` hung for {timeout} s") from error
    seconds = time.monotonic() - started
    try:
        last = json.loads(done.stdout.splitlines()[-1])
        data, problems = last["data"], tuple(last["problems"])
    except (IndexError, KeyError, ValueError) as error:
        said = (done.stderr or done.stdout).strip()[-1500:]
        raise CommandError(
            f"`{command}` ended with {done.returncode} and no answer: {said}"
        ) from error
    return Answer(command, done.returncode, data, problems, seconds)
