"""One connection of a saslauthd client, whose answer takes its time."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from dirbridge.config.settings import HookSettings, HookType
from dirbridge.hooks import connection
from dirbridge.hooks.connection import Hook
from dirbridge.hooks.saslauthd import take_saslauthd
from dirbridge.model.deadline import Deadline
from dirbridge.model.login import Accepted, LoginRequest, Verdict

OK = Accepted("anna@example.com", "memory", "memory")
REQUEST = b"\0\4anna\0\6secret\0\4smtp\0\0"


class Open:
    """A question that nobody has answered yet."""

    withdrawn = False

    def withdraw(self) -> None:
        self.withdrawn = True


class Desk:
    """Leaves every question open, and keeps how to tell."""

    deadline = 5.0

    def __init__(self) -> None:
        self.asked: list[LoginRequest] = []
        self.tell: Callable[[Verdict], None]
        self.question = Open()
        self.known: dict[bytes, Verdict] = {}

    def time_to_work(self) -> Deadline:
        return Deadline.after(5)

    def again(self, hook: str, octets: bytes) -> Verdict | None:
        assert hook == "saslauthd:/x"
        return self.known.get(octets)

    def ask(
        self, request: LoginRequest, tell: Callable[[Verdict], None], octets: bytes
    ) -> Open:
        self.asked.append(request)
        self.octets = octets
        self.tell = tell
        return self.question


class Talk:
    """A client's end, and the hook that serves the other one."""

    def __init__(self) -> None:
        settings = HookSettings(type=HookType.SASLAUTHD, socket=Path("/x"))
        self.desk = Desk()
        self.hook = Hook(settings, self.desk)
        self.client, self.served = socket.socketpair()
        self.client.setblocking(False)

    def begin(self) -> None:
        take_saslauthd(self.hook, self.served)

    async def until(self, done: Callable[[], bool]) -> None:
        for _ in range(500):
            if done():
                return
            await asyncio.sleep(0.01)
        pytest.fail("it did not happen within five seconds")


def run(talk: Callable[[Talk], Awaitable[None]]) -> None:
    async def main() -> None:
        one = Talk()
        await talk(one)
        assert one.hook.connections == set()
        assert len(one.hook.silent) == len(one.hook.asking) == 0
        assert one.served.fileno() == -1
        one.client.close()

    asyncio.run(main())


async def whole(talk: Talk) -> None:
    talk.client.send(REQUEST)
    talk.begin()
    assert talk.desk.asked[0].name == "anna"
    assert talk.desk.octets == REQUEST
    talk.desk.tell(OK)
    assert talk.client.recv(9) == b"\0\2OK"
    assert talk.client.recv(9) == b""


async def came_before(talk: Talk) -> None:
    talk.client.send(REQUEST)
    talk.desk.known[REQUEST] = OK
    talk.begin()
    assert talk.client.recv(9) == b"\0\2OK"
    assert talk.client.recv(9) == b""
    assert not talk.desk.asked


async def in_pieces(talk: Talk) -> None:
    talk.begin()
    for at in range(len(REQUEST)):
        assert not talk.desk.asked
        assert len(talk.hook.silent) == 1
        talk.client.send(REQUEST[at : at + 1])
        await asyncio.sleep(0.002)
    await talk.until(lambda: bool(talk.desk.asked))
    # Only what came in one piece may be known again.
    assert talk.desk.octets == b""
    assert len(talk.hook.silent) == 0
    talk.desk.tell(OK)
    assert talk.client.recv(9) == b"\0\2OK"


async def leaves_at_once(talk: Talk) -> None:
    talk.begin()
    talk.client.close()
    await talk.until(lambda: talk.served.fileno() < 0)
    assert not talk.desk.asked


async def leaves_before_its_answer(talk: Talk) -> None:
    talk.client.send(REQUEST)
    talk.begin()
    talk.client.close()
    await talk.until(lambda: talk.desk.question.withdrawn)
    talk.desk.tell(OK)


async def half_closes(talk: Talk) -> None:
    talk.client.send(REQUEST)
    talk.begin()
    talk.client.send(b"what belongs to nothing")
    talk.client.shutdown(socket.SHUT_WR)
    await asyncio.sleep(0.1)
    assert not talk.desk.question.withdrawn
    talk.desk.tell(OK)
    assert talk.client.recv(9) == b"\0\2OK"


async def breaks_the_protocol(talk: Talk) -> None:
    talk.client.send(b"\xff\xffanna")
    talk.begin()
    assert not talk.desk.asked


async def ends_within_a_request(talk: Talk) -> None:
    talk.client.send(REQUEST[:5])
    talk.begin()
    talk.client.shutdown(socket.SHUT_WR)
    await talk.until(lambda: talk.served.fileno() < 0)
    assert not talk.desk.asked


async def is_told_to_finish(talk: Talk) -> None:
    talk.begin()
    for one in tuple(talk.hook.connections):
        one.finish()


async def finishes_its_answer(talk: Talk) -> None:
    talk.client.send(REQUEST)
    talk.begin()
    for one in tuple(talk.hook.connections):
        one.finish()
    assert talk.served.fileno() >= 0
    talk.desk.tell(OK)
    assert talk.client.recv(9) == b"\0\2OK"


@pytest.mark.parametrize(
    "talk",
    [
        whole,
        came_before,
        in_pieces,
        leaves_at_once,
        leaves_before_its_answer,
        half_closes,
        breaks_the_protocol,
        ends_within_a_request,
        is_told_to_finish,
        finishes_its_answer,
    ],
)
def test_a_client_that(
    talk: Callable[[Talk], Awaitable[None]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "AT_EASE", 0.02)
    run(talk)
