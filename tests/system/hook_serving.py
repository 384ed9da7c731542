"""Serve hooks in a thread, answered by a table."""

from __future__ import annotations

import asyncio
import base64
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import uvloop

from dirbridge.config.settings import HookSettings
from dirbridge.hooks.base import Answerer
from dirbridge.hooks.server import serve
from dirbridge.hooks.sockets import listening
from dirbridge.model.login import (
    Accepted,
    Cause,
    LoginRequest,
    Reason,
    Rejected,
    Unavailable,
    Verdict,
)
from dirbridge.protocols import sasl

PLAIN = b"AGFubmEAc2VjcmV0"
"""Anna and her password, as PLAIN has them in base64."""


class Table:
    """Answers by a table of names and passwords, and keeps what it was asked."""

    def __init__(self, passwords: Mapping[str, str]) -> None:
        self.passwords = dict(passwords)
        self.requests: list[LoginRequest] = []
        self.notes: list[tuple[str, Verdict]] = []
        self.outage = False
        self.seconds: dict[str, float] = {}
        self.outages: set[str] = set()
        self.bugs: set[str] = set()
        self.users: dict[tuple[str, str], str] = {}

    def answer(self, request: LoginRequest) -> Verdict:
        self.requests.append(request)
        time.sleep(self.seconds.get(request.name, 0))
        if request.name in self.bugs:
            raise ZeroDivisionError(request.password.reveal())
        if self.outage or request.name in self.outages:
            return Unavailable(Cause.UNREACHABLE)
        if not request.password:
            return Rejected(Reason.EMPTY_PASSWORD)
        if self.passwords.get(request.name) != request.password.reveal():
            return Rejected(Reason.WRONG_PASSWORD)
        bound = (request.name, str(request.local_ip))
        name = request.name.partition("@")[0]
        return Accepted(self.users.get(bound, f"{name}@example.com"), "table", "here")

    def again(self, hook: str, octets: bytes) -> Verdict | None:
        return None

    def remember(self, octets: bytes, request: LoginRequest, verdict: Verdict) -> None:
        raise AssertionError("nothing is answered at once here")

    def quick(self, request: LoginRequest) -> Verdict | None:
        return None

    def start(self, request: LoginRequest) -> None:
        return None

    def noted(self, request: LoginRequest, verdict: Verdict, seconds: float) -> None:
        self.told(request, verdict, seconds)

    def told(self, request: LoginRequest, verdict: Verdict, seconds: float) -> None:
        assert seconds >= 0
        self.notes.append((request.name, verdict))


@contextmanager
def serving(
    *hooks: HookSettings,
    answerer: Answerer,
    deadline: float = 9,
    mechanisms: sasl.Mechanisms = sasl.MECHANISMS,
) -> Iterator[None]:
    """Serve in a thread until the end of the block."""
    started = threading.Event()
    failed: list[Exception] = []
    handles: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []

    async def main() -> None:
        stop = asyncio.Event()
        handles.append((asyncio.get_running_loop(), stop))
        with listening(hooks) as listeners:
            await serve(
                listeners,
                answerer,
                deadline=deadline,
                stop=stop,
                mechanisms=mechanisms,
                ready=started.set,
            )

    def run() -> None:
        try:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(main())
        except Exception as error:
            failed.append(error)
        finally:
            started.set()

    thread = threading.Thread(target=run)
    thread.start()
    assert started.wait(20)
    try:
        if not failed:
            yield
    finally:
        if not failed:
            loop, stop = handles[0]
            loop.call_soon_threadsafe(stop.set)
        thread.join(20)
    assert not thread.is_alive()
    if failed:
        raise failed[0]


def connect(path: Path, *, timeout: float = 15) -> socket.socket:
    """A connection to a Unix socket."""
    one = socket.socket(socket.AF_UNIX)
    one.settimeout(timeout)
    one.connect(str(path))
    return one


def read_to_end(one: socket.socket) -> bytes:
    """Everything until the other side closes."""
    parts = []
    while part := one.recv(65536):
        parts.append(part)
    return b"".join(parts)


class AuthClient:
    """A Dovecot auth client that has said hello."""

    def __init__(self, path: Path) -> None:
        self.socket = connect(path)
        self.lines = self.socket.makefile("rb")
        self.greeting = list(iter(self.lines.readline, b"DONE\n"))
        self.send(b"VERSION\t1\t0\nCPID\t1\n")

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def plain(self, number: int, name: bytes, password: bytes = b"secret") -> None:
        """Open an exchange with an initial response."""
        response = base64.b64encode(b"\0" + name + b"\0" + password)
        self.send(b"AUTH\t%d\tPLAIN\tservice=smtp\tresp=%s\n" % (number, response))

    def line(self) -> bytes:
        """The next line, empty at the end."""
        return self.lines.readline()

    def close(self) -> None:
        self.lines.close()
        self.socket.close()
