"""The demo: it shows what really happened, says when that is wrong, and cleans up."""

from __future__ import annotations

import io
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from rich.console import Console

from demo import command
from demo.command import CommandError
from demo.screen import Screen
from demo.stage import AD, OD, Stage
from demo.step import Scene, Step, play
from demo.story import STEPS
from testbed.process import members

ROOT = Path(__file__).resolve().parents[2]
FOLDER = re.compile(r"/tmp/dirbridge-demo\.\w+")
LAST_LINE = "To end it:"

servers = [
    pytest.mark.needs_samba,
    pytest.mark.needs_slapd,
    pytest.mark.needs_kdc,
    pytest.mark.needs_saslauthd,
    pytest.mark.slow,
]


@dataclass
class Run:
    """A demo on its way."""

    process: subprocess.Popen[str]
    said: str = ""

    def read_until(self, text: str, seconds: float) -> None:
        """Read its output until a line holds a text."""
        assert self.process.stdout is not None
        deadline = time.monotonic() + seconds
        for line in self.process.stdout:
            self.said += line
            if text in line:
                return
            assert time.monotonic() < deadline, self.said
        raise AssertionError(f"it ended without {text!r}:\n{self.said}")

    @property
    def folder(self) -> Path:
        found = FOLDER.search(self.said)
        assert found is not None, self.said
        return Path(found[0])

    def end(self, number: signal.Signals = signal.SIGINT) -> int:
        """End it as Ctrl-C does; gives the exit code."""
        self.process.send_signal(number)
        return self.process.wait(timeout=60)


@contextmanager
def running(*arguments: str) -> Iterator[Run]:
    process = subprocess.Popen(
        [sys.executable, "-m", "demo", *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        yield Run(process)
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait(timeout=60)
        assert process.stdout is not None
        process.stdout.close()


def sessions_below(folder: Path) -> list[str]:
    """Processes that were started with a path of this folder."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if str(folder) in line:
            found.append(line)
    return found


def serving_from(folder: Path) -> list[Path]:
    """Processes whose configuration lies in this folder."""
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        with suppress(OSError):
            if f"DIRBRIDGE_CONFIG={folder}/".encode() in path.read_bytes():
                found.append(path.parent)
    return found


@pytest.fixture(scope="module")
def kept() -> Iterator[Run]:
    """One run with KEEP=1, all steps played, everything still up."""
    with running("KEEP=1") as run:
        # Some minutes; several times that where others keep the machine busy.
        run.read_until(LAST_LINE, 900)
        yield run


class TestTheWholeDemo:
    pytestmark = servers

    def test_every_outcome_is_as_expected(self, kept: Run) -> None:
        assert "✗" not in kept.said, kept.said
        assert re.search(r"✓ (\d+) of \1 outcomes were as expected", kept.said)

    def test_every_step_is_in_the_summary(self, kept: Run) -> None:
        summary = kept.said.partition("What you have just seen")[2]
        assert [step.name for step in STEPS if step.name not in summary] == []

    def test_in_a_pipe_it_is_plain_text(self, kept: Run) -> None:
        assert "\x1b" not in kept.said

    def test_no_password_is_shown(self, kept: Run) -> None:
        lines = (kept.folder / "passwords").read_text().splitlines()
        passwords = [line.partition("\t")[2] for line in lines]
        assert len(passwords) > 20
        assert [text for text in passwords if text in kept.said] == []
        assert (kept.folder / "passwords").stat().st_mode & 0o777 == 0o600

    def test_no_secret_of_the_bridges_is_shown(self, kept: Run) -> None:
        secrets = sorted((kept.folder / "secrets").iterdir())
        assert [path.name for path in secrets] == [AD, OD, "store"]
        shown = [path.name for path in secrets if path.read_text() in kept.said]
        assert shown == []
        assert {path.stat().st_mode & 0o777 for path in secrets} == {0o600}

    def test_what_the_stopped_sync_offers_is_approved(self, kept: Run) -> None:
        offered = re.search(r"again\s+with `--approve (\w+)`", kept.said)
        assert offered is not None
        assert f"$ dirbridge sync {AD} --approve {offered[1]} " in kept.said

    def test_the_run_that_was_approved_is_the_one_undone(self, kept: Run) -> None:
        config = {**os.environ, "DIRBRIDGE_CONFIG": str(kept.folder / "staff.toml")}
        undone = re.search(r"\$ dirbridge sync undo (\d+) ", kept.said)
        assert undone is not None
        told = command.run("sync", "show", undone[1], env=config)
        ops = [one["op"] for one in told.data["changes"]]
        assert ops == ["deactivate", "deactivate"]

    def test_the_two_bridges_have_ended(self, kept: Run) -> None:
        for name in ("bridge-1", "bridge-2"):
            assert (kept.folder / name / "serve.log").read_text()
            assert serving_from(kept.folder / name) == []

    def test_the_printed_commands_work_from_another_shell(self, kept: Run) -> None:
        printed = kept.said.partition("From any root shell")[2].splitlines()[1:]
        commands = [line.strip() for line in printed if line.startswith("  ")]
        assert commands[0] == f"cd {kept.folder}"
        codes = {command: shell(commands[0], command) for command in commands[1:]}
        rejected = {command for command in codes if "explain locked@" in command}
        # It tells of the servers that the last steps stopped.
        codes.pop("./dirbridge status")
        assert {command for command, code in codes.items() if code == 1} == rejected
        assert set(codes.values()) <= {0, 1}, codes
        shell(commands[0], "./thaw-dc1")

    def test_ending_it_leaves_nothing(self, kept: Run) -> None:
        assert sessions_below(kept.folder)
        assert kept.end() == 0
        assert not kept.folder.exists()
        assert sessions_below(kept.folder) == []


def shell(*lines: str) -> int:
    """Run lines in a shell that knows nothing of the demo."""
    done = subprocess.run(
        ["/bin/sh", "-ec", "\n".join(lines)],
        cwd="/",
        env={"PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin", "LANG": "C.UTF-8"},
        stdin=subprocess.DEVNULL,
        timeout=60,
        check=False,
    )
    return done.returncode


class TestAnInterruptedDemo:
    pytestmark = servers

    def test_ctrl_c_cleans_up(self) -> None:
        with running() as run:
            run.read_until("dc1.corp.example.com", 120)
            folder = run.folder
            assert folder.is_dir()
            assert run.end() == 130
            assert not folder.exists()
            assert sessions_below(folder) == []
            assert members(run.process.pid) == []


def test_an_unknown_argument_is_refused() -> None:
    with running("FAST=1") as run:
        assert run.process.wait(timeout=30) == 2


class TestPlay:
    """The steps' engine; nothing is started for it."""

    @pytest.fixture
    def console(self) -> Console:
        return Console(file=io.StringIO(), force_terminal=True, width=100)

    def played(self, stage: Stage, console: Console, *steps: Step) -> tuple[bool, str]:
        good = play(steps, stage, Screen(console))
        assert isinstance(console.file, io.StringIO)
        return good, console.file.getvalue()

    @pytest.fixture
    def stage(self, tmp_path: Path) -> Stage:
        return Stage(tmp_path)

    def test_as_expected(self, stage: Stage, console: Console) -> None:
        def fine(_stage: Stage, scene: Scene) -> str:
            scene.check("one is one", 1, 1)
            return "one"

        good, text = self.played(stage, console, Step("Fine", "one", fine))
        assert good
        assert "1 of 1 outcomes were as expected" in text

    def test_an_unexpected_outcome_is_red(self, stage: Stage, console: Console) -> None:
        def wrong(_stage: Stage, scene: Scene) -> str:
            scene.check("there is one", 2, 1)
            return "two"

        good, text = self.played(stage, console, Step("Wrong", "one", wrong))
        assert not good
        assert "\x1b[1;31mthere is one" in text
        assert re.search(r"expected 1\b.*seen +2\b", text, re.DOTALL)
        assert "✗ 0 of 1" in text

    def test_a_bad_row_is_unexpected(self, stage: Stage, console: Console) -> None:
        def wrong(_stage: Stage, scene: Scene) -> str:
            scene.row(True, "anna", "accepted")
            scene.row(False, "bob", "refused")
            return "both"

        good, text = self.played(stage, console, Step("Wrong", "both", wrong))
        assert not good
        assert "✗ 1 of 2" in text

    def test_a_step_that_breaks_does_not_end_it(
        self, stage: Stage, console: Console
    ) -> None:
        def breaks(_stage: Stage, _scene: Scene) -> str:
            raise CommandError("`dirbridge sync` hung for 120 s")

        def answers_otherwise(_stage: Stage, _scene: Scene) -> str:
            return {}["data"]

        def fine(_stage: Stage, scene: Scene) -> str:
            scene.check("the last step was played", True)
            return "all"

        steps = (
            Step("Breaks", "", breaks),
            Step("Other shape", "", answers_otherwise),
            Step("Fine", "", fine),
        )
        good, text = self.played(stage, console, *steps)
        assert not good
        assert "hung for 120 s" in text
        assert "the last step was played" in text
        assert "✗ 1 of 3" in text

    def test_a_command_that_fails_is_told_with_its_problems(
        self, stage: Stage, console: Console
    ) -> None:
        def sync(stage: Stage, scene: Scene) -> str:
            return str(scene.run(lambda: stage.dirbridge("sync", "--dry-run")))

        # There is no configuration yet.
        good, text = self.played(stage, console, Step("Sync", "", sync))
        assert not good
        assert "`dirbridge sync --dry-run` ended with 2" in text

    def test_a_step_that_compares_nothing_is_unexpected(
        self, stage: Stage, console: Console
    ) -> None:
        def idle(_stage: Stage, _scene: Scene) -> str:
            return "nothing"

        good, _ = self.played(stage, console, Step("Idle", "", idle))
        assert not good
