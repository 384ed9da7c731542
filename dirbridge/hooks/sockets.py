"""The listening sockets of the hooks.

A Unix socket is made under another name and renamed into place when it has its
owner, its mode and a listener: at no moment can a mail server meet it without
them, and none finds a gap where a stale one is replaced. One that another process
listens on is never taken over.

systemd may hand sockets over (`sd_listen_fds(3)`); a hook whose place is among
them uses that one and leaves it in place, so that logins wait instead of failing
while dirbridge restarts.
"""

from __future__ import annotations

import contextlib
import grp
import os
import pwd
import socket
import stat
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from dirbridge.config.settings import HookSettings
from dirbridge.config.types import HostPort
from dirbridge.errors import ConfigError, Problem

BACKLOG = 1024
FIRST_INHERITED = 3
LONGEST_PATH = 107


@dataclass(slots=True)
class Listener:
    """The sockets of one hook.

    Several processes may take from them what comes; one of them has made the file.

    Attributes:
        settings: The hook's settings.
        sockets: Listening; more than one where a host name has more addresses.
        made: Device and inode of the socket file that we made, None where the
            file is not ours to remove.
    """

    settings: HookSettings
    sockets: tuple[socket.socket, ...]
    made: tuple[int, int] | None = None

    def close(self) -> None:
        """Close the sockets and remove the file, if it is still ours.

        What is closed already stays as it is.
        """
        for one in self.sockets:
            one.close()
        path, made, self.made = self.settings.socket, self.made, None
        if path is not None and made is not None:
            with contextlib.suppress(OSError):
                if _identity(path) == made:
                    path.unlink()

    def leave_file(self) -> None:
        """Leave the file in place in the end: another process removes it."""
        self.made = None


def open_listeners(hooks: Sequence[HookSettings]) -> tuple[Listener, ...]:
    """Open all hooks' sockets, or none.

    Raises:
        ConfigError: Some could not be opened; every problem is in it.
    """
    inherited = inherited_sockets(os.environ)
    opened: list[Listener] = []
    problems: list[Problem] = []
    for settings in hooks:
        try:
            opened.append(_open(settings, inherited))
        except ConfigError as error:
            problems += error.problems
    if problems:
        for listener in opened:
            listener.close()
        raise ConfigError(tuple(problems))
    return tuple(opened)


@contextmanager
def listening(hooks: Sequence[HookSettings]) -> Iterator[tuple[Listener, ...]]:
    """Open all hooks' sockets, and close them in the end.

    Raises:
        ConfigError: Some could not be opened; every problem is in it.
    """
    listeners = open_listeners(hooks)
    try:
        yield listeners
    finally:
        for listener in listeners:
            listener.close()


def inherited_sockets(environment: Mapping[str, str]) -> dict[str, socket.socket]:
    """Give the sockets that systemd handed over, by their place.

    Args:
        environment: With `LISTEN_PID` and `LISTEN_FDS`.
    """
    if environment.get("LISTEN_PID") != str(os.getpid()):
        return {}
    count = int(environment.get("LISTEN_FDS", "0"))
    found = {}
    for number in range(FIRST_INHERITED, FIRST_INHERITED + count):
        one = socket.socket(fileno=number)
        one.setblocking(False)
        found[_place(one)] = one
    return found


def _place(one: socket.socket) -> str:
    name = one.getsockname()
    if not isinstance(name, tuple):
        return str(name)
    return str(HostPort(host=name[0], port=name[1]))


def _open(settings: HookSettings, inherited: Mapping[str, socket.socket]) -> Listener:
    place = str(settings.socket or settings.listen)
    if place in inherited:
        return Listener(settings, (inherited[place],))
    with _explained(place):
        if settings.socket is not None:
            return _open_unix(settings, settings.socket)
        return Listener(settings, _open_tcp(settings))


def _open_tcp(settings: HookSettings) -> tuple[socket.socket, ...]:
    address = settings.listen
    if address is None or address.port is None:
        raise _problem(
            "hook-place",
            f'hook "{settings.type}"',
            "It has no place to listen.",
            'Give it socket = "/path", or listen = "127.0.0.1:1234" with a port.',
        )
    found = socket.getaddrinfo(
        address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )
    sockets: list[socket.socket] = []
    for family, _, _, _, name in found:
        try:
            sockets.append(
                socket.create_server(name[:2], family=family, backlog=BACKLOG)
            )
        except OSError:
            for one in sockets:
                one.close()
            raise
    return tuple(sockets)


def _open_unix(settings: HookSettings, path: Path) -> Listener:
    _check_free(path)
    # Short, since the name of a socket may have 107 bytes only.
    ours = path.with_name(f".{os.getpid()}")
    if len(os.fsencode(ours)) > LONGEST_PATH or len(os.fsencode(path)) > LONGEST_PATH:
        raise _problem(
            "socket-path",
            str(path),
            "The name of this socket is too long for the system.",
            f"Use a path of at most {LONGEST_PATH - 8} bytes.",
        )
    owner, group = _owner(settings), _group(settings)
    # One that died here under our process id may have left it.
    ours.unlink(missing_ok=True)
    one = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        one.bind(str(ours))
        os.chown(ours, owner, group)
        ours.chmod(settings.mode)
        one.listen(BACKLOG)
        identity = _identity(ours)
        ours.rename(path)
    except OSError:
        one.close()
        ours.unlink(missing_ok=True)
        raise
    return Listener(settings, (one,), identity)


def _check_free(path: Path) -> None:
    """Refuse a place where somebody listens or where there is something else."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise _problem(
            "socket-place",
            str(path),
            "There is a file here that is no socket.",
            "Move the file away, or give the hook another socket.",
        )
    if _is_listened_on(path):
        raise _problem(
            "socket-in-use",
            str(path),
            "Another process listens on this socket.",
            'Stop it ("ss -xlp" names it), or give the hook another socket.',
        )


def _is_listened_on(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        # Non-blocking: a full backlog must not hold us, and is an answer too.
        probe.setblocking(False)
        try:
            probe.connect(str(path))
        except (ConnectionRefusedError, FileNotFoundError):
            return False
        except BlockingIOError:
            return True
    return True


def _owner(settings: HookSettings) -> int:
    if settings.owner is None:
        return -1
    try:
        return pwd.getpwnam(settings.owner).pw_uid
    except KeyError:
        raise _unknown(settings, "user", settings.owner) from None


def _group(settings: HookSettings) -> int:
    if settings.group is None:
        return -1
    try:
        return grp.getgrnam(settings.group).gr_gid
    except KeyError:
        raise _unknown(settings, "group", settings.group) from None


def _unknown(settings: HookSettings, kind: str, name: str) -> ConfigError:
    return _problem(
        f"unknown-{kind}",
        str(settings.socket),
        f'This machine has no {kind} "{name}".',
        f"Install the mail server first, or name another {kind}.",
    )


def _identity(path: Path) -> tuple[int, int]:
    status = path.lstat()
    return status.st_dev, status.st_ino


def _problem(code: str, where: str, text: str, next_: str) -> ConfigError:
    return ConfigError((Problem(code, where, text, next_),))


_MENDS: Sequence[tuple[type[OSError], str, str]] = (
    (FileNotFoundError, "socket-folder", "Make its folder first."),
    (PermissionError, "socket-rights", "Run dirbridge as a user who may make it."),
    (socket.gaierror, "listen-name", "Listen on an address of this machine."),
    (
        OSError,
        "listen",
        "Stop whatever listens there, or listen on another address or port.",
    ),
)


@contextmanager
def _explained(place: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        code, mend = next((c, m) for kind, c, m in _MENDS if isinstance(error, kind))
        text = f"Cannot listen here: {error.strerror}."
        raise _problem(code, place, text, mend) from error
