"""Connections that are accepted, read and answered in one go, and those that wait."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Awaitable, Callable

import pytest

from dirbridge.hooks import accepting
from dirbridge.hooks.accepting import PATIENCE, Accepting
from testbed.process import wait_until


class Spoken:
    """A connection that answers `?` at once, and `w` when it is told to."""

    def __init__(self) -> None:
        self.heard: list[bytes] = []
        self.lost = 0
        self.expects_more = True
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.heard.append(data)
        self.expects_more = not data.endswith((b"w", b"?"))
        if data.endswith(b"?"):
            self.answer()

    def answer(self) -> None:
        assert self.transport is not None
        self.transport.write(b"yes")
        self.transport.close()

    def eof_received(self) -> bool:
        self.heard.append(b"")
        return not self.expects_more

    def connection_lost(self, error: Exception | None) -> None:
        assert error is None
        self.lost += 1


class Place:
    """A listening socket and what became of its connections."""

    def __init__(self) -> None:
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.made: list[Spoken] = []

    def make(self) -> Spoken:
        self.made.append(Spoken())
        return self.made[-1]

    def connect(self) -> socket.socket:
        client = socket.create_connection(self.listening.getsockname(), 5)
        client.settimeout(5)
        return client


async def until(condition: Callable[[], bool]) -> None:
    await asyncio.to_thread(wait_until, condition, "it does not come to that")


def run(test: Callable[[Place, Accepting], Awaitable[None]]) -> None:
    place = Place()

    async def main() -> None:
        taking = Accepting(place.listening, "a hook", place.make)
        await test(place, taking)
        taking.close()

    with place.listening:
        asyncio.run(main())


def test_a_question_is_answered_and_the_connection_closed() -> None:
    async def test(place: Place, _taking: Accepting) -> None:
        with place.connect() as client:
            client.sendall(b"?")
            await until(lambda: bool(place.made) and place.made[0].lost == 1)
            assert client.recv(9) == b"yes"
            assert client.recv(9) == b""
        (made,) = place.made
        assert made.heard == [b"?"]

    run(test)


def test_more_clients_than_are_taken_at_a_time() -> None:
    async def test(place: Place, _taking: Accepting) -> None:
        clients = [place.connect() for _ in range(2 * accepting.AT_A_TIME + 1)]
        for client in clients:
            client.sendall(b"?")
        await until(lambda: sum(one.lost for one in place.made) == len(clients))
        for client in clients:
            assert client.recv(9) == b"yes"
            client.close()

    run(test)


def test_what_comes_in_pieces_is_heard() -> None:
    async def test(place: Place, _taking: Accepting) -> None:
        with place.connect() as client:
            await until(lambda: bool(place.made))
            (made,) = place.made
            for piece in (b"a", b"b", b"?"):
                client.sendall(piece)
                await until(lambda said=piece: made.heard[-1:] == [said])
            assert client.recv(9) == b"yes"
        assert made.lost == 1

    run(test)


def test_one_that_waits_is_told_later_and_goes() -> None:
    async def test(place: Place, taking: Accepting) -> None:
        with place.connect() as client:
            client.sendall(b"w")
            await until(lambda: bool(place.made) and bool(place.made[0].heard))
            (made,) = place.made
            made.answer()
            assert client.recv(9) == b"yes"
            assert (made.lost, taking._unwatched) == (1, {})
            made.answer()
            assert made.lost == 1

    run(test)


def test_a_client_that_goes_while_it_waits_is_missed() -> None:
    async def test(place: Place, taking: Accepting) -> None:
        client = place.connect()
        client.sendall(b"w")
        await until(lambda: bool(place.made) and bool(place.made[0].heard))
        (made,) = place.made
        made.expects_more = True  # has no use for one that has said all
        client.close()
        assert made.lost == 0
        await until(lambda: made.lost == 1)
        assert made.heard == [b"w", b""]
        assert taking._unwatched == {}

    run(test)


def test_one_that_has_said_all_may_still_read_its_reply() -> None:
    async def test(place: Place, _taking: Accepting) -> None:
        with place.connect() as client:
            client.sendall(b"w")
            client.shutdown(socket.SHUT_WR)
            await until(lambda: bool(place.made) and place.made[0].heard == [b"w", b""])
            (made,) = place.made
            # Its end is heard once, however long it waits.
            await asyncio.sleep(PATIENCE / 2)
            assert made.heard == [b"w", b""]
            made.answer()
            assert client.recv(9) == b"yes"

    run(test)


def test_a_client_that_is_gone_when_it_is_told_breaks_nothing() -> None:
    async def test(place: Place, _taking: Accepting) -> None:
        client = place.connect()
        client.sendall(b"w")
        await until(lambda: bool(place.made) and bool(place.made[0].heard))
        client.close()
        (made,) = place.made
        made.answer()
        made.answer()
        assert made.lost == 1

    run(test)


def test_where_no_descriptor_is_left_it_tries_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(accepting, "PAUSE", 0.02)

    class Full(socket.socket):
        tries = 0

        def accept(self) -> tuple[socket.socket, object]:
            Full.tries += 1
            if Full.tries == 1:
                raise OSError(errno.EMFILE, "Too many open files")
            return super().accept()

    async def test(place: Place, _taking: Accepting) -> None:
        with place.connect() as client:
            client.sendall(b"?")
            await until(lambda: bool(place.made))
            assert client.recv(9) == b"yes"

    place = Place()
    full = Full(fileno=place.listening.detach())
    place.listening = full

    async def main() -> None:
        taking = Accepting(full, "a hook", place.make)
        await test(place, taking)
        taking.close()

    with full:
        asyncio.run(main())
    assert "raise the limit of open files" in caplog.text
