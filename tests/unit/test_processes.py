"""Several processes and the one that watches over them: real forks of tiny ones."""

from __future__ import annotations

import errno
import os
import re
import select
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from dirbridge.cli import processes

PROGRAM = """
    import os, signal, sys
    from dirbridge.cli.processes import Ended, Family

    def say(*words):
        os.write(1, " ".join(map(str, words)).encode() + b"\\n")

    def end(number, frame):
        sys.exit(0)

    # As if started by somebody who looks after nobody.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    what = sys.argv[1]
    family = Family(
        3,
        ready=lambda: say("ready"),
        ending=lambda: say("ending"),
        first_pause=float(sys.argv[2]),
    )
    part = family.run()
    if isinstance(part, Ended):
        say("ended", part.code, part.told)
        sys.exit(part.code)
    signal.signal(signal.SIGTERM, end)
    blocked = len(signal.pthread_sigmask(signal.SIG_BLOCK, []))
    say("begun", part.number, part.again, os.getpid(), blocked)
    match what, part.number, part.again:
        case "first fails", 0, _:
            sys.exit(5)
        case "second fails", 1, _:
            sys.exit(3)
        case "first is killed", 0, _:
            os.kill(os.getpid(), signal.SIGKILL)
        case "fails again", 1, True:
            sys.exit(7)
        case "ends badly", 2, _:
            signal.signal(signal.SIGTERM, lambda *_: sys.exit(6))
        case "is slow", 2, _:
            signal.pause()
    part.ready()
    while True:
        signal.pause()
"""


class Family:
    """The tiny program; what it says, line by line."""

    def __init__(self, what: str, pause: float) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(PROGRAM), what, str(pause)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
        )

    def line(self) -> list[str]:
        """The next line's words; none at the end, when all processes are gone."""
        assert self.process.stdout is not None
        found = b""
        while not found.endswith(b"\n"):
            assert select.select([self.process.stdout], [], [], 20)[0], (
                "it says nothing"
            )
            octet = self.process.stdout.read(1)
            if not octet:
                break
            found += octet
        return found.decode().split()

    def until(self, word: str) -> list[list[str]]:
        """All lines up to one that begins with a word."""
        lines = [self.line()]
        while lines[-1][0] != word:
            lines.append(self.line())
        return lines

    def pids(self) -> dict[str, int]:
        """The processes that begin until all are ready, by their numbers."""
        return {
            words[1]: int(words[3])
            for words in self.until("ready")
            if words[0] == "begun"
        }

    def rest(self) -> list[list[str]]:
        """All lines until everybody has ended."""
        lines = []
        while line := self.line():
            lines.append(line)
        return lines

    @property
    def log(self) -> str:
        """What it has written for people; to be read after the end."""
        assert self.process.stderr is not None
        return self.process.stderr.read().decode()


@contextmanager
def family(what: str = "", pause: float = 0.01) -> Iterator[Family]:
    started = Family(what, pause)
    try:
        yield started
    finally:
        started.process.kill()
        started.process.communicate()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_all_begin_and_all_end(number: signal.Signals) -> None:
    with family() as one:
        lines = one.until("ready")
        assert lines[0][:3] == ["begun", "0", "False"]
        assert sorted(line[1] for line in lines[:-1]) == ["0", "1", "2"]
        # No process begins with the signals blocked that the first one waits for.
        assert {line[4] for line in lines[:-1]} == {"0"}
        one.process.send_signal(number)
        assert one.rest() == [["ending"], ["ended", "0", "False"]]
        assert one.process.wait(20) == 0
        assert one.log == ""


def test_one_that_is_killed_is_replaced() -> None:
    with family() as one:
        pids = one.pids()
        for number in ("0", "2"):
            os.kill(pids[number], signal.SIGKILL)
            begun, found, again, pid, blocked = one.line()
            assert (begun, found, again, blocked) == ("begun", number, "True", "0")
            assert int(pid) not in pids.values()
        one.process.terminate()
        # That all are ready is told once.
        assert one.rest() == [["ending"], ["ended", "0", "False"]]
        assert "was killed by signal 9; another one takes its place" in one.log


def test_one_that_ends_at_once_is_replaced_ever_more_slowly() -> None:
    with family("fails again", pause=0.1) as one:
        os.kill(one.pids()["1"], signal.SIGKILL)
        for _ in range(3):
            assert one.line()[:3] == ["begun", "1", "True"]
        one.process.terminate()
        one.rest()
        pauses = re.findall(r"its place in ([\d.]+) s", one.log)
        assert pauses[:3] == ["0.1", "0.2", "0.4"]


def test_nobody_answers_when_the_first_one_was_killed() -> None:
    with family() as one:
        one.until("ready")
        one.process.kill()
        # Its end is that of the last one who could say something.
        assert one.rest() == []


def test_nobody_begins_where_the_first_one_cannot() -> None:
    with family("first fails") as one:
        begun, ending, ended = one.rest()
        assert begun[:2] == ["begun", "0"]
        assert (ending, ended) == (["ending"], ["ended", "5", "True"])
        assert one.process.wait(20) == 5
        assert one.log == ""


@pytest.mark.parametrize(
    ("what", "code"), [("second fails", "3"), ("first is killed", "1")]
)
def test_all_end_where_one_cannot_begin(what: str, code: str) -> None:
    with family(what) as one:
        lines = one.rest()
        assert ["ready"] not in lines
        assert lines[-1] == ["ended", code, "False"]
        assert one.process.wait(20) == int(code)
        assert "before all were ready, so all end" in one.log


def test_a_process_that_cannot_be_forked_is_told(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fork() -> int:
        raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    told: list[str] = []
    monkeypatch.setattr(os, "fork", fork)
    family = processes.Family(
        2, ready=lambda: told.append("ready"), ending=lambda: told.append("ending")
    )
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [])
    try:
        assert family.run() == processes.Ended(processes.FAILED, told=False)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    assert told == ["ending"]
    assert "process 0 cannot begin (Resource temporarily unavailable)" in caplog.text


def test_an_end_before_all_are_ready_is_no_failure() -> None:
    with family("is slow") as one:
        while one.line()[:2] != ["begun", "2"]:
            pass
        one.process.terminate()
        assert one.rest()[-1] == ["ended", "0", "False"]
        assert one.process.wait(20) == 0


def test_one_that_ends_badly_tells_so() -> None:
    with family("ends badly") as one:
        one.until("ready")
        one.process.terminate()
        assert one.rest() == [["ending"], ["ended", "6", "False"]]
        assert one.process.wait(20) == 6
