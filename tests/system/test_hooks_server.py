"""Sockets, start and stop of the hooks' server."""

from __future__ import annotations

import asyncio
import signal
import socket
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from dirbridge.config.settings import HookSettings
from dirbridge.errors import ConfigError
from dirbridge.hooks.desk import Desk
from dirbridge.hooks.sockets import open_listeners
from dirbridge.model.login import (
    Accepted,
    Cause,
    LoginRequest,
    Unavailable,
    Verdict,
)
from dirbridge.model.secret import Secret
from tests.system.hook_serving import AuthClient, Table, serving


def hook(path: Path, **more: object) -> HookSettings:
    return HookSettings.model_validate({"type": "dovecot-auth", "socket": path, **more})


@pytest.fixture
def path(tmp_path):
    return tmp_path / "auth"


def problems_of(*hooks: HookSettings) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        open_listeners(hooks)
    for problem in caught.value.problems:
        assert problem.text.endswith(".")
        assert problem.next.endswith(".")
    return [problem.code for problem in caught.value.problems]


def test_owner_and_mode(path):
    (listener,) = open_listeners([hook(path, owner="nobody", mode="0600")])
    assert path.owner() == "nobody"
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(path.parent.iterdir()) == [path]
    listener.close()
    assert not path.exists()


def test_a_stale_socket_is_replaced(path):
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    (listener,) = open_listeners([hook(path)])
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
    listener.close()


def test_a_socket_in_use_is_left_alone(path):
    with serving(hook(path), answerer=Table({"anna": "secret"})):
        assert problems_of(hook(path)) == ["socket-in-use"]
        client = AuthClient(path)
        client.plain(1, b"anna")
        assert client.line().startswith(b"OK")
        client.close()


def test_a_file_is_left_alone(path):
    path.write_text("precious")
    assert problems_of(hook(path)) == ["socket-place"]
    assert path.read_text() == "precious"


def test_every_problem_at_once_and_nothing_left_open(tmp_path, path):
    deep = tmp_path / ("d" * 100) / "auth"
    found = problems_of(
        hook(path),
        hook(tmp_path / "missing" / "auth"),
        hook(deep),
        hook(tmp_path / "a", owner="nosuchuser"),
        hook(tmp_path / "b", group="nosuchgroup"),
        HookSettings.model_validate({"type": "saslauthd", "listen": "127.0.0.1"}),
        HookSettings.model_validate(
            {"type": "saslauthd", "listen": "192.0.2.99:26002"}
        ),
    )
    assert found == [
        "socket-folder",
        "socket-path",
        "unknown-user",
        "unknown-group",
        "hook-place",
        "listen",
    ]
    assert not list(tmp_path.iterdir())


def test_a_port_in_use():
    with socket.create_server(("127.0.0.1", 26003)):
        taken = {"type": "saslauthd", "listen": "127.0.0.1:26003"}
        assert problems_of(HookSettings.model_validate(taken)) == ["listen"]


def test_a_socket_that_another_has_replaced_is_not_removed(path):
    (ours,) = open_listeners([hook(path)])
    path.unlink()
    (theirs,) = open_listeners([hook(path)])
    ours.close()
    assert path.exists()
    theirs.close()


SERVER = """
    import asyncio, signal, sys, time
    import uvloop
    from dirbridge.config.settings import HookSettings
    from dirbridge.hooks.server import serve
    from dirbridge.hooks.sockets import listening
    from dirbridge.model.login import Accepted

    class Slow:
        def answer(self, request):
            time.sleep(float(request.name))
            return Accepted("anna@example.com", "table", "here")

        def quick(self, request):
            return None

        def start(self, request):
            return None

        def told(self, request, verdict, seconds):
            pass

    async def main():
        stop = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
        hook = HookSettings(type="dovecot-auth", socket=sys.argv[1])
        ready = lambda: print("ready", flush=True)
        with listening([hook]) as listeners:
            await serve(listeners, Slow(), deadline=3, stop=stop, ready=ready)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())
"""


def start(path: Path, *prefix: str, **more: object) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [*prefix, sys.executable, "-c", textwrap.dedent(SERVER), str(path)],
        stdout=subprocess.PIPE,
        text=True,
        **more,
    )
    assert process.stdout.readline() == "ready\n"
    return process


def end(process: subprocess.Popen[str]) -> float:
    """Wait for the end and say how long it took."""
    began = time.monotonic()
    assert process.wait(20) == 0
    process.stdout.close()
    return time.monotonic() - began


def test_sigterm_answers_what_is_in_flight(path):
    process = start(path)
    busy, idle = AuthClient(path), AuthClient(path)
    busy.plain(1, b"0")
    assert busy.line().startswith(b"OK\t1")
    busy.plain(2, b"1")
    time.sleep(0.3)
    process.send_signal(signal.SIGTERM)
    assert idle.line() == b""
    assert busy.line().startswith(b"OK\t2")
    assert busy.line() == b""
    assert end(process) < 3
    assert not path.exists()
    busy.close()
    idle.close()


def test_sigterm_waits_no_longer_than_the_deadline(path):
    process = start(path)
    client = AuthClient(path)
    client.plain(1, b"60")
    time.sleep(0.3)
    process.send_signal(signal.SIGTERM)
    assert client.line() == b""
    assert end(process) < 6
    client.close()


INHERIT = """
    import os, sys
    os.dup2(int(sys.argv[1]), 3)
    os.environ |= {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "1"}
    os.execv(sys.argv[2], sys.argv[2:])
"""


def test_an_inherited_socket_is_used_and_kept(path):
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen(16)
        number = listening.fileno()
        prefix = [sys.executable, "-c", textwrap.dedent(INHERIT), str(number)]
        process = start(path, *prefix, pass_fds=[number])
        client = AuthClient(path)
        client.plain(1, b"0")
        assert client.line().startswith(b"OK\t1")
        process.send_signal(signal.SIGTERM)
        end(process)
        client.close()
        # A login while nobody serves waits for the next server.
        waiting = socket.socket(socket.AF_UNIX)
        waiting.connect(str(path))
        process = start(path, *prefix, pass_fds=[number])
        assert waiting.recv(7) == b"VERSION"
        process.send_signal(signal.SIGTERM)
        end(process)
        waiting.close()
        assert path.exists()


def question(name: str) -> LoginRequest:
    return LoginRequest(name, Secret("secret"))


def sleeper(seconds: float) -> Table:
    """Answers everybody, but slowly."""
    names = ("first", "second", "third")
    table = Table(dict.fromkeys(names, "secret"))
    table.seconds = dict.fromkeys(names, seconds)
    return table


def test_a_desk_that_is_full_says_so_at_once():
    answerer = sleeper(0.5)

    async def ask() -> list[object]:
        desk = Desk(answerer, deadline=5, threads=1, waiting=1)
        told: list[object] = []
        began = time.monotonic()
        for name in ("first", "second", "third"):
            desk.ask(question(name), told.append)
        await asyncio.sleep(0.1)
        assert told == [Unavailable(Cause.OVERLOADED)]
        await desk.drained()
        assert time.monotonic() - began < 3
        desk.close()
        return told[1:]

    assert [type(one) for one in asyncio.run(ask())] == [Accepted, Accepted]
    assert answerer.notes[0] == ("third", Unavailable(Cause.OVERLOADED))
    assert [name for name, _ in answerer.notes[1:]] == ["first", "second"]


def test_a_question_past_its_deadline_is_not_answered_for_nothing():
    answerer = sleeper(0.5)

    async def ask() -> list[object]:
        desk = Desk(answerer, deadline=0.2, threads=1)
        told: list[object] = []
        for name in ("first", "second"):
            desk.ask(question(name), told.append)
        await desk.drained()
        await asyncio.sleep(0.6)
        desk.close()
        return told

    late = Unavailable(Cause.TIMEOUT)
    assert asyncio.run(ask()) == [late, late]
    assert [request.name for request in answerer.requests] == ["first"]
    # What is noted is what was told, not what came too late.
    assert answerer.notes == [("first", late), ("second", late)]


def test_the_time_runs_from_the_question_on_not_from_its_turn():
    answerer = sleeper(0.5)
    began = time.monotonic()

    async def ask() -> None:
        desk = Desk(answerer, deadline=2, threads=1)
        for name in ("first", "second"):
            desk.ask(question(name), lambda _: None)
        await desk.drained()
        desk.close()

    asyncio.run(ask())
    for request in answerer.requests:
        assert began + 1.5 < request.deadline.at < began + 2.1


class SlowToNote(Table):
    """Answers at once, and then hangs in its log."""

    def told(self, request: LoginRequest, verdict: Verdict, seconds: float) -> None:
        time.sleep(1)
        super().told(request, verdict, seconds)


def test_a_log_that_hangs_holds_no_answer_beyond_the_deadline():
    answerer = SlowToNote({"first": "secret"})

    async def ask() -> list[object]:
        desk = Desk(answerer, deadline=0.2, threads=1)
        told: list[object] = []
        began = time.monotonic()
        desk.ask(question("first"), told.append)
        await desk.drained()
        assert time.monotonic() - began < 0.8
        desk.close()
        return told

    assert asyncio.run(ask()) == [Unavailable(Cause.TIMEOUT)]
