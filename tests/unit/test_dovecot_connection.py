"""One connection of a Dovecot auth client that leaves."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from dirbridge.config.settings import HookSettings, HookType
from dirbridge.hooks.connection import Hook
from dirbridge.hooks.dovecot_auth import DovecotAuthConnection
from dirbridge.model.login import Accepted, LoginRequest, Verdict

OK = Accepted("anna@example.com", "memory", "memory")
HANDSHAKE = b"VERSION\t1\t2\nCPID\t7\n"
AUTH = b"AUTH\t1\tPLAIN\tservice=smtp\tresp=AGFubmEAc2VjcmV0\n"


class Open:
    """A question that nobody has answered yet."""

    def __init__(self, tell: Callable[[Verdict], None]) -> None:
        self.tell: Callable[[Verdict], None] | None = tell

    def withdraw(self) -> None:
        self.tell = None


class Desk:
    """Leaves every question open."""

    deadline = 5.0

    def __init__(self) -> None:
        self.questions: list[Open] = []

    def ask(self, _request: LoginRequest, tell: Callable[[Verdict], None]) -> Open:
        self.questions.append(Open(tell))
        return self.questions[-1]


class Wire(asyncio.Transport):
    """Keeps what was written."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""

    def write(self, data: bytes) -> None:
        self.written += data

    def close(self) -> None:
        pass


def test_who_has_left_is_told_nothing(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        desk, wire = Desk(), Wire()
        settings = HookSettings(type=HookType.DOVECOT_AUTH, socket=Path("/x"))
        connection = DovecotAuthConnection(Hook(settings, desk))
        connection.connection_made(wire)
        connection.data_received(HANDSHAKE + AUTH)
        greeting = wire.written
        connection.eof_received()
        # The event loop tells of the end of the connection later than that.
        for question in desk.questions:
            if question.tell is not None:
                question.tell(OK)
        connection.connection_lost(None)
        assert len(desk.questions) == 1
        assert wire.written == greeting

    asyncio.run(main())
    assert caplog.messages == []
