"""The log of `serve`, written by several processes at once."""

from __future__ import annotations

import logging
import os
import select

import pytest

from dirbridge.cli.log_lines import LogLines, write_lines

WRITERS = 4
ROUNDS = 40


def test_lines_of_several_processes_are_never_mixed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reader, writer = os.pipe()
    pids = [_writer(number, reader, writer) for number in range(WRITERS)]
    os.close(writer)
    with os.fdopen(reader) as pipe:
        lines = pipe.read().splitlines()
    assert [os.waitpid(pid, 0)[1] for pid in pids] == [0] * WRITERS
    assert len(lines) == WRITERS * ROUNDS * 12
    assert all(len(set(line)) == 1 for line in lines)


def _writer(number: int, reader: int, writer: int) -> int:
    pid = os.fork()
    if pid == 0:
        try:
            os.close(reader)
            os.dup2(writer, 2)
            letter = "abcd"[number]
            batch = "".join(letter * (90 * n) + "\n" for n in range(1, 13))
            for _ in range(ROUNDS):
                _write_to(2, batch)
        finally:
            os._exit(0)
    return pid


def _write_to(descriptor: int, batch: str) -> None:
    with (
        pytest.MonkeyPatch.context() as patch,
        os.fdopen(descriptor, "w", closefd=False) as file,
    ):
        patch.setattr("sys.stderr", file)
        write_lines(batch)


def test_a_line_that_is_too_long_is_cut(capfd: pytest.CaptureFixture[str]) -> None:
    write_lines("short\n" + "ü" * select.PIPE_BUF + "\nlast\n")
    short, cut, last = capfd.readouterr().err.splitlines()
    assert (short, last) == ("short", "last")
    assert set(cut) == {"ü", "…"}
    assert select.PIPE_BUF - 8 < len(cut.encode()) < select.PIPE_BUF


def test_a_log_that_nobody_can_write_ends_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    monkeypatch.setattr(logging, "raiseExceptions", False)
    with os.fdopen(writer, "w") as broken:
        monkeypatch.setattr("sys.stderr", broken)
        with pytest.raises(BrokenPipeError):
            write_lines("lost\n")
        LogLines().emit(logging.makeLogRecord({"msg": "lost"}))
