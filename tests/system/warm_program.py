"""The command line, loaded once and forked for each command.

To load it takes a second of a processor, and the system tests run hundreds of
commands. A fork is a process of its own with its own arguments, environment, folder,
descriptors, user and exit code. What runs under another program (another clock) or is
killed on its way is started in the ordinary way, and so is the demo's every command.

Three generations: the warm one waits for orders and stays as it was loaded; for each
order it forks one that waits for the command's end, and that forks the command.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

from dirbridge import assembly
from dirbridge.cli import main

ROOT = Path(__file__).resolve().parents[2]
LARGEST_ORDER = 200_000
_PROGRAM = (sys.executable, "-m", "tests.system.warm_program")

Files = tuple[IO[bytes], IO[bytes], IO[bytes]]
"""What a command has as its input, its output and for its errors."""


class Command:
    """A command that was ordered; as much of `subprocess.Popen` as is asked for."""

    def __init__(self, answers: int) -> None:
        self._answers = os.fdopen(answers)
        self.pid = int(self._line())
        self.returncode: int | None = None

    def poll(self) -> int | None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        if self.returncode is None:
            if not select.select([self._answers], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired("dirbridge", timeout or 0)
            self.returncode = int(self._line())
            self._answers.close()
        return self.returncode

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def _line(self) -> str:
        line = self._answers.readline()
        assert line, "the warm program has died: its own words are above"
        return line


class WarmProgram:
    """The process that is forked, seen from the tests."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "tests.system.warm_program",
                    str(theirs.fileno()),
                ],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                cwd=ROOT,
            )
        self._orders = ours
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, LARGEST_ORDER)

    def start(
        self,
        words: Sequence[str],
        files: Files,
        env: Mapping[str, str],
        cwd: Path,
    ) -> Command:
        """Start a command."""
        order = json.dumps([list(words), dict(env), str(cwd)]).encode()
        answers, theirs = os.pipe()
        try:
            descriptors = [*(file.fileno() for file in files), theirs]
            socket.send_fds(self._orders, [order], descriptors)
        finally:
            os.close(theirs)
        return Command(answers)

    def end(self) -> None:
        self._orders.close()
        self._process.wait(timeout=30)


_running: list[WarmProgram] = []


def warm_program() -> WarmProgram:
    """The one of this test run; loaded when it is first asked for."""
    if not _running:
        _running.append(WarmProgram())
    return _running[0]


def end_warm_program() -> None:
    """End it where it was loaded."""
    while _running:
        _running.pop().end()


def _serve(orders: socket.socket) -> None:
    for name in main.COMMANDS:
        importlib.import_module(f"dirbridge.cli.{name}")
    importlib.import_module("dirbridge.app")
    for name in assembly.__all__:
        importlib.import_module(f"dirbridge.assembly.{name}")
    gc.collect()
    gc.freeze()
    assert threading.active_count() == 1
    while True:
        with contextlib.suppress(ChildProcessError):  # who waited for a command's end
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        order, descriptors, _, _ = socket.recv_fds(orders, LARGEST_ORDER, 4)
        if not order:
            return
        if os.fork() == 0:
            orders.close()
            _wait_for(order, descriptors)
        for descriptor in descriptors:
            os.close(descriptor)


def _wait_for(order: bytes, descriptors: list[int]) -> None:
    """Fork the command, tell its id and how it ended; the command goes on alone."""
    *files, answers = descriptors
    if (pid := os.fork()) == 0:
        os.close(answers)
        _become(files, *json.loads(order))
    for descriptor in files:
        os.close(descriptor)
    os.write(answers, b"%d\n" % pid)
    _, status = os.waitpid(pid, 0)
    os.write(answers, b"%d\n" % os.waitstatus_to_exitcode(status))
    os._exit(0)


def _become(files: list[int], words: list[str], env: dict[str, str], cwd: str) -> None:
    for number, descriptor in enumerate(files):
        os.dup2(descriptor, number)
        os.close(descriptor)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    sys.argv = ["dirbridge", *words]
    main.run()


if __name__ == "__main__":
    with socket.socket(fileno=int(sys.argv[1])) as channel:
        _serve(channel)
