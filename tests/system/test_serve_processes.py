"""`serve` with several processes: on real servers, through the sockets."""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import termios
import textwrap
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from testbed import cast
from testbed.bed import Bed
from testbed.process import wait_until
from testbed.slapd import Od1
from tests.system.bridge import AD, OD, Serve, Site
from tests.system.hook_serving import AuthClient
from tests.system.sasl import ask
from tests.system.test_hooks_server import INHERIT

CARLA = f"carla@{OD}"
NORA = cast.OdPerson(
    uids=("newcomer",),
    cn="Nora Newcomer",
    uid_number=3001,
    mails=(f"newcomer@{OD}",),
)
PASSWORD = "A first Passw0rd!"
BURST = 6
"""Logins at once at each process."""


@pytest.fixture
def two(site: Site, od1: Od1) -> Site:
    """A site whose bridge answers with two processes, on both hooks."""
    del site.config["domains"][AD]
    site.config["domains"][OD] |= {"primary": True, "sync": {"interval": "1h"}}
    site.config["serve"]["processes"] = 2
    auth = {"type": "dovecot-auth", "socket": str(site.folder / "auth")}
    site.config["hooks"].append(auth)
    return site


def children(pid: int) -> list[int]:
    """The processes that another one has forked, the oldest first."""
    told = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(one) for one in told.split()]


def answering(serve: Serve) -> list[int]:
    """The processes that answer; at the start the first one is the oldest."""
    return children(serve.process.pid)


def is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


@contextlib.contextmanager
def stopped(pid: int) -> Iterator[None]:
    """A process that does nothing for the time being."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def unread(sent_by: socket.socket) -> int:
    """How much of what was sent the other side has not read, unix(7)."""
    return int.from_bytes(
        fcntl.ioctl(sent_by, termios.TIOCOUTQ, bytes(4)), sys.byteorder
    )


class Client(AuthClient):
    """A connection that knows which process it is kept by."""

    def __init__(self, site: Site) -> None:
        super().__init__(site.folder / "auth")
        words = dict(line.rstrip(b"\n").split(b"\t", 1) for line in self.greeting)
        self.pid, self.number = int(words[b"SPID"]), int(words[b"CUID"])

    def login(self, number: int, name: str, password: str) -> bytes:
        self.plain(number, name.encode(), password.encode())
        return self.line().split(b"\t")[0]


@contextlib.contextmanager
def clients(
    site: Site, pids: list[int], each: int
) -> Iterator[dict[int, list[Client]]]:
    """So many connections to each of some processes."""
    found: dict[int, list[Client]] = {pid: [] for pid in pids}
    with contextlib.ExitStack() as open_ones:

        def are_there() -> bool:
            # One that has just been forked may not answer yet.
            for _ in range(each):
                client = Client(site)
                if len(found[client.pid]) < each:
                    found[client.pid].append(client)
                    open_ones.callback(client.close)
                else:
                    client.close()
            return all(len(one) == each for one in found.values())

        wait_until(are_there, "one of them takes no connection")
        yield found


def test_all_answer_on_the_same_sockets(two: Site, bed: Bed) -> None:
    right = bed.password("carla", "od")
    with two.serving("--no-sync") as serve:
        pids = answering(serve)
        assert len(pids) == 2
        assert serve.log.count("ready\n") == 1
        # The first one has nothing to do yet, so it holds nothing that others need.
        with stopped(pids[0]):
            assert ask(two.saslauthd, CARLA, right) == "OK"
            assert ask(two.saslauthd, CARLA, "not hers") == "NO"
        with clients(two, answering(serve), each=2) as found:
            for kept in found.values():
                assert kept[0].login(1, CARLA, right) == b"OK"
                # Within one process, connections have numbers of their own.
                assert kept[0].number != kept[1].number
        assert serve.stop() == 0
        assert not any(is_alive(pid) for pid in pids)
    assert not two.saslauthd.exists()
    assert not (two.folder / "auth").exists()
    assert not list((two.folder / "run").iterdir())


def test_whoever_dies_is_replaced(two: Site, bed: Bed) -> None:
    right = bed.password("carla", "od")
    with two.serving("--no-sync") as serve:
        for number in (0, 1):
            before = answering(serve)
            os.kill(before[number], signal.SIGKILL)
            # The other one goes on, and the sockets stay.
            assert ask(two.saslauthd, CARLA, right) == "OK"

            def is_replaced(before: list[int] = before) -> bool:
                now = answering(serve)
                return len(now) == 2 and now != before

            wait_until(is_replaced, "nobody takes its place")
            with clients(two, answering(serve), each=1) as found:
                told = [kept[0].login(1, CARLA, right) for kept in found.values()]
            assert told == [b"OK", b"OK"]
        lines = serve.log.splitlines()
        assert sum("was killed by signal 9" in line for line in lines) == 2
        assert lines.count("ready") == 1
        # The first one's work was taken over: who asks for its state finds it.
        assert two.run("status").data["servers"]["fresh"]
        assert serve.stop() == 0


def test_nobody_is_left_when_the_first_process_is_killed(two: Site) -> None:
    with two.serving("--no-sync") as serve:
        pids = answering(serve)
        serve.process.kill()
        wait_until(
            lambda: not any(is_alive(pid) for pid in pids), "somebody still answers"
        )
        with socket.socket(socket.AF_UNIX) as client:
            assert client.connect_ex(str(two.saslauthd)) != 0


def test_what_is_under_way_is_answered_before_the_end(
    two: Site, bed: Bed, od1: Od1
) -> None:
    with (
        two.serving("--no-sync") as serve,
        clients(two, answering(serve), each=1) as found,
    ):
        od1.freeze()
        try:
            for kept in found.values():
                kept[0].plain(1, CARLA.encode(), bed.password("carla", "od").encode())
            sent = [kept[0].socket for kept in found.values()]
            wait_until(lambda: not any(map(unread, sent)), "nobody reads")
            serve.process.send_signal(signal.SIGTERM)
            wait_until(lambda: not two.saslauthd.exists(), "the socket stays")
        finally:
            od1.thaw()
        for kept in found.values():
            assert kept[0].line().startswith(b"OK\t1")
        assert serve.process.wait(20) == 0


def test_sockets_of_systemd_are_answered_on_by_all(two: Site, bed: Bed) -> None:
    right = bed.password("carla", "od")
    two.config["hooks"] = two.config["hooks"][1:]
    two.write()
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(two.folder / "auth"))
        listening.listen(16)
        number = listening.fileno()
        words = ["serve", "--no-sync", "--json", "--config", str(two.file)]
        prefix = [sys.executable, "-c", textwrap.dedent(INHERIT), str(number)]
        process = subprocess.Popen(
            [*prefix, *two.program, *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=two.environment(),
            pass_fds=[number],
        )
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == b'{"event": "ready"}\n'
            pids = children(process.pid)
            with clients(two, pids, each=1) as found:
                for kept in found.values():
                    assert kept[0].login(1, CARLA, right) == b"OK"
        finally:
            process.terminate()
            rest, _ = process.communicate(timeout=30)
        assert process.returncode == 0
        assert rest.count(b"\n") == 1
        assert b'"ok": true' in rest
        assert (two.folder / "auth").exists()


def test_whatever_process_is_asked_somebody_new_logs_in(
    two: Site, changeable_od: Od1
) -> None:
    with two.serving() as serve, clients(two, answering(serve), each=1) as found:
        wait_until(lambda: len(serve.syncs) == 1, "no first run", timeout=60)
        _, other = answering(serve)
        changeable_od.create(NORA, PASSWORD)
        told = found[other][0].login(1, f"newcomer@{OD}", PASSWORD)
        assert told == b"OK", serve.log
        for number in range(20):
            assert ask(two.saslauthd, f"nobody{number}@{OD}", "x") == "NO"
        # All rest after it; only the first one syncs by itself.
        assert [run["result"] for run in serve.syncs] == ["unchanged", "applied"]


def test_a_burst_of_one_wrong_password_is_one_try(two: Site) -> None:
    with (
        two.serving("--no-sync") as serve,
        clients(two, answering(serve), each=BURST) as found,
    ):
        everybody = [one for kept in found.values() for one in kept]
        with ThreadPoolExecutor(len(everybody)) as pool:
            told = list(
                pool.map(lambda one: one.login(1, CARLA, "last year's"), everybody)
            )
        assert set(told) == {b"FAIL"}
        assert tries(two) == [1]
        # Whoever is forked later knows it as well.
        os.kill(answering(serve)[1], signal.SIGKILL)
        for _ in range(20):
            assert ask(two.saslauthd, CARLA, "last year's") == "NO"
        assert tries(two) == [1]


def tries(site: Site) -> list[int]:
    """How many wrong passwords each account's directory was asked about."""
    with contextlib.closing(sqlite3.connect(site.database)) as store:
        return [count for (count,) in store.execute("SELECT count FROM tries")]


def test_a_configuration_that_cannot_be_used_is_told_once(two: Site) -> None:
    two.config["store"]["url"] = f"sqlite:///{two.folder}/nowhere/d.db"
    done = two.run("serve")
    assert done.code == 5
    assert len(done.lines) == 1
    assert len(done.problems) == 1
    assert not two.saslauthd.exists()
