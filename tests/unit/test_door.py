"""Taking what connects to a listening socket."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dirbridge.hooks import door
from dirbridge.hooks.door import AT_ONCE, Door


@pytest.fixture
def listener(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(str(tmp_path / "s"))
        one.listen(8)
        yield one


def connect(to: socket.socket) -> socket.socket:
    one = socket.socket(socket.AF_UNIX)
    one.connect(to.getsockname())
    return one


async def until(done: Callable[[], bool]) -> None:
    for _ in range(1000):
        if done():
            return
        await asyncio.sleep(0.005)
    pytest.fail("it did not happen within five seconds")


def test_all_that_connect_are_taken_until_it_closes(listener: socket.socket) -> None:
    taken: list[socket.socket] = []

    async def main() -> None:
        one = Door(listener, taken.append, "hook")
        clients = [connect(listener) for _ in range(3)]
        await until(lambda: len(taken) == 3)
        one.close()
        one.close()
        for each in (*clients, *taken):
            each.close()

    asyncio.run(main())
    assert listener.fileno() == -1


class Full:
    """A listening socket of a process that has no descriptor left."""

    def __init__(self, listener: socket.socket, error: int = errno.EMFILE) -> None:
        self.listener, self.full = listener, True
        self.error, self.refused = error, 0
        self.family, self.type, self.proto = listener.family, listener.type, 0
        self.close, self.fileno = listener.close, listener.fileno
        self.setblocking = listener.setblocking

    def _accept(self) -> tuple[int, object]:
        if self.full:
            self.refused += 1
            raise OSError(self.error, os.strerror(self.error))
        taken, address = self.listener.accept()
        return taken.detach(), address


def test_who_finds_no_room_waits_for_it(
    listener: socket.socket,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(door, "PAUSE", 0.1)
    taken: list[socket.socket] = []
    full = Full(listener)

    async def main() -> None:
        one = Door(full, taken.append, "saslauthd:/x")
        client = connect(listener)
        await until(lambda: bool(caplog.records))
        full.full = False
        await until(lambda: bool(taken))
        one.close()
        client.close()
        taken[0].close()

    asyncio.run(main())
    assert "Too many open files" in caplog.text
    assert "LimitNOFILE" in caplog.text


def test_who_is_gone_before_he_is_taken_stops_nobody(
    listener: socket.socket, caplog: pytest.LogCaptureFixture
) -> None:
    taken: list[socket.socket] = []
    broken = Full(listener, errno.EHOSTUNREACH)

    async def main() -> None:
        one = Door(broken, taken.append, "hook")
        broken.full = False
        client = connect(listener)
        await until(lambda: bool(taken))
        broken.full = True
        second = connect(listener)
        await until(lambda: broken.refused >= AT_ONCE)
        broken.full = False
        await until(lambda: len(taken) == 2)
        one.close()
        for each in (client, second, *taken):
            each.close()

    asyncio.run(main())
    assert caplog.messages == []


def test_it_may_close_while_it_waits_for_room(listener: socket.socket) -> None:
    async def main() -> None:
        one = Door(Full(listener), lambda _: None, "hook")
        client = connect(listener)
        await asyncio.sleep(0.05)
        one.close()
        client.close()
        await asyncio.sleep(0.01)

    asyncio.run(main())
    assert listener.fileno() == -1
