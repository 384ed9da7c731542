"""Daemons as our own sessions: started, frozen and ended by their ids only."""

from __future__ import annotations

import contextlib
import os
import pwd
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any


class BedError(Exception):
    """The bed cannot do what was asked; the text says what to do."""


def run(
    argv: Sequence[str | Path],
    *,
    stdin: str | None = None,
    env: Mapping[str, str] | None = None,
    timeout: float = 300,
    secret: bool = False,
    user: str | None = None,
) -> str:
    """Run a tool to its end and give its standard output.

    Args:
        argv: The command.
        stdin: Text for its standard input.
        env: Variables on top of ours.
        timeout: Seconds.
        secret: The arguments hold a password: name only the program in errors.
        user: Who runs it; we by default.

    Raises:
        BedError: It ended with an error; both its outputs are in the text.
    """
    command = [str(word) for word in argv]
    done = subprocess.run(
        command,
        input=stdin,
        env=environment(env),
        timeout=timeout,
        cwd="/" if user else None,
        **_identity(user),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        shown = command[0] if secret else " ".join(command)
        raise BedError(
            f"`{shown}` ended with {done.returncode}:\n{done.stdout}{done.stderr}"
        )
    return done.stdout


def copy_folder(source: Path, target: Path) -> None:
    """Copy what a folder holds; databases keep their holes.

    Raises:
        BedError: It could not be read or written.
    """
    target.mkdir(parents=True, exist_ok=True)
    run(["cp", "-a", "--sparse=always", f"{source}/.", target])


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Our environment with the folders of the daemons' programs, and `extra`."""
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin:/usr/bin:/bin"
    # The distribution's samba-tool must not see a virtual environment.
    hidden = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "LDAPRC", "LDAPCONF")
    kept = {key: value for key, value in os.environ.items() if key not in hidden}
    return {**kept, "PATH": path, "LC_ALL": "C.UTF-8", **(extra or {})}


class Daemon:
    """One server program and all its children, as a session of its own."""

    def __init__(
        self, name: str, log: Path, *, end: signal.Signals = signal.SIGTERM
    ) -> None:
        self.name = name
        self.log = log
        self._end = end
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The id of the process and of its session."""
        if self._process is None:
            raise BedError(f"{self.name} is not running: start it first.")
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether the first process lives (frozen counts as living)."""
        return self._process is not None and self._process.poll() is None

    def start(
        self,
        argv: Sequence[str | Path],
        *,
        env: Mapping[str, str] | None = None,
        user: str | None = None,
    ) -> None:
        """Start it; it keeps no descriptor of ours but a pipe as its stdin."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [str(word) for word in argv],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                env=environment(env),
                start_new_session=True,
                cwd="/",
                **_identity(user),
            )
        _WARDEN.watch(self._process.pid)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to every process of the session."""
        for pid in members(self.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def stop(self, *, timeout: float = 10) -> None:
        """End the whole session, by force after `timeout` seconds; reap it."""
        if self._process is None:
            return
        process, self._process = self._process, None
        end_session(process.pid, timeout=timeout, end=self._end, reap=process.poll)
        process.wait()
        if process.stdin is not None:
            process.stdin.close()
        _WARDEN.forget(process.pid)

    def last_words(self) -> str:
        """The end of its log."""
        if not self.log.exists():
            return ""
        return self.log.read_text(errors="replace")[-3000:]


def members(session: int) -> list[int]:
    """The ids of all living processes of a session."""
    found = []
    for name in os.listdir("/proc"):  # noqa: PTH208 - a third of the time
        # A zombie has a session as well, so only those of ours are looked at.
        with contextlib.suppress(OSError):
            if name.isdigit() and os.getsid(int(name)) == session and _lives(name):
                found.append(int(name))
    return found


def _lives(pid: str) -> bool:
    # After the name in brackets: the state.
    stat = Path(f"/proc/{pid}/stat").read_text()
    return stat.rpartition(")")[2].split()[0] != "Z"


def end_session(
    session: int,
    *,
    timeout: float,
    end: signal.Signals = signal.SIGTERM,
    reap: Callable[[], object] = lambda: None,
) -> None:
    """Ask the session's first process to end, then TERM and KILL all that is left."""
    _kill(session, end)
    for pid in members(session):
        _kill(pid, signal.SIGCONT)
    deadline = time.monotonic() + timeout
    told_all = False
    # Who is born while we look is not seen, and outlives the parent that we saw.
    while left := members(session) or members(session):
        reap()
        if time.monotonic() > deadline:
            for pid in left:
                _kill(pid, signal.SIGKILL)
        elif not told_all and time.monotonic() > deadline - timeout / 2:
            told_all = True
            for pid in left:
                _kill(pid, signal.SIGTERM)
        time.sleep(0.02)


def wait_for_port(
    address: str, port: int, daemon: Daemon, *, timeout: float = 60
) -> None:
    """Wait until somebody accepts connections there.

    Raises:
        BedError: The daemon ended, or nobody answered in time.
    """
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        with (
            contextlib.suppress(OSError),
            socket.create_connection((address, port), timeout=1),
        ):
            return
        if not daemon.running:
            raise BedError(f"{daemon.name} ended at its start:\n{daemon.last_words()}")
        time.sleep(0.03)
    raise BedError(
        f"{daemon.name} does not listen on {address}:{port} after {timeout} s:\n"
        f"{daemon.last_words()}"
    )


def wait_until(check: Callable[[], bool], what: str, *, timeout: float = 60) -> None:
    """Wait until `check` says yes.

    Raises:
        BedError: It never did.
    """
    deadline = time.monotonic() + timeout
    while not check():
        if time.monotonic() > deadline:
            raise BedError(f"Waited {timeout} s in vain: {what}.")
        time.sleep(0.1)


def _kill(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def _identity(user: str | None) -> dict[str, Any]:
    if user is None:
        return {}
    group = pwd.getpwnam(user).pw_gid
    return {"user": user, "group": group, "extra_groups": []}


class _Warden:
    """A child that ends our sessions should we die without a chance to do it."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._owner = 0

    def watch(self, session: int) -> None:
        self._tell(f"+{session} {_started(session)}\n")

    def forget(self, session: int) -> None:
        self._tell(f"-{session}\n")

    def _tell(self, line: str) -> None:
        if self._process is None or self._owner != os.getpid():
            self._owner = os.getpid()
            self._process = subprocess.Popen(
                [sys.executable, "-I", __file__],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
                cwd="/",
            )
        pipe = self._pipe()
        pipe.write(line.encode())
        pipe.flush()

    def _pipe(self) -> IO[bytes]:
        assert self._process is not None
        assert self._process.stdin is not None
        return self._process.stdin


_WARDEN = _Warden()


def _started(pid: int) -> str:
    """When a process started, in ticks: with its id it names it for good."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return "gone"
    return stat.rpartition(")")[2].split()[19]


def _keep_watch(lines: IO[str]) -> None:
    sessions: dict[int, str] = {}
    for line in lines:
        session, _, started = line[1:].strip().partition(" ")
        if line.startswith("+"):
            sessions[int(session)] = started
        else:
            sessions.pop(int(session), None)
    for session, started in sessions.items():
        if _started(session) == started:
            end_session(session, timeout=5)


if __name__ == "__main__":
    # Ctrl-C in the terminal is for our parent; we act when its pipe closes.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _keep_watch(sys.stdin)
