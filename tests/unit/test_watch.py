"""Waiting for one word on each of some sockets."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable

import pytest

from dirbridge.hooks.watch import Watch


class Ends:
    """Two ends of a connection, and who was told that something came."""

    def __init__(self) -> None:
        self.here, self.there = socket.socketpair()
        self.told: list[str] = []
        self.watch: Watch[str] = Watch(self.told.append)

    def wait(self, who: str) -> None:
        self.watch.add(self.here.fileno(), who)

    async def pause(self) -> None:
        for _ in range(5):
            await asyncio.sleep(0.005)


def run(act: Callable[[Ends], Awaitable[None]]) -> list[str]:
    ends = None

    async def main() -> list[str]:
        nonlocal ends
        ends = Ends()
        await act(ends)
        await ends.pause()
        ends.watch.close()
        ends.watch.close()
        return ends.told

    try:
        return asyncio.run(main())
    finally:
        ends.here.close()
        ends.there.close()


async def one_word(ends: Ends) -> None:
    ends.wait("anna")
    await ends.pause()
    assert ends.told == []
    ends.there.send(b"x")


async def two_words(ends: Ends) -> None:
    await one_word(ends)
    await ends.pause()
    ends.there.send(b"y")


async def once_more(ends: Ends) -> None:
    await one_word(ends)
    await ends.pause()
    assert len(ends.watch) == 0
    ends.wait("anna")


async def the_end(ends: Ends) -> None:
    ends.wait("anna")
    ends.there.close()


async def let_go(ends: Ends) -> None:
    ends.wait("anna")
    ends.watch.remove(ends.here.fileno())
    ends.watch.remove(ends.here.fileno())
    ends.there.send(b"x")


async def let_go_and_again(ends: Ends) -> None:
    await let_go(ends)
    await ends.pause()
    ends.wait("berta")


async def closed_and_another_of_its_number(ends: Ends) -> None:
    number = ends.here.fileno()
    ends.wait("anna")
    ends.watch.remove(number)
    ends.here.close()
    ends.there.close()
    ends.here, ends.there = socket.socketpair()
    if ends.here.fileno() != number:
        ends.here, ends.there = ends.there, ends.here
    assert ends.here.fileno() == number
    ends.wait("berta")
    ends.there.send(b"x")


@pytest.mark.parametrize(
    ("act", "told"),
    [
        (one_word, ["anna"]),
        (two_words, ["anna"]),
        (once_more, ["anna", "anna"]),
        (the_end, ["anna"]),
        (let_go, []),
        (let_go_and_again, ["berta"]),
        (closed_and_another_of_its_number, ["berta"]),
    ],
)
def test_who_is_told_of(
    act: Callable[[Ends], Awaitable[None]], told: list[str]
) -> None:
    assert run(act) == told
