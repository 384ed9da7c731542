"""Several processes that answer, and the one that watches over them.

Theory. The process that was started opens the sockets and forks the others, before it
has a thread, an event loop, a database or a Kerberos library: none of them survives a
fork. It stays so, which makes it small, and lets it fork again at any time. It blocks
the signals that concern it and takes them one by one, so that none is lost between a
look and a wait; that somebody is ready reaches it as a signal too.

The first process begins alone: what is wrong with the configuration or the database is
told once. Until all of them were ready, one that ends ends all: a bridge starts whole
or not at all. Later, one that ends is replaced, ever more slowly if that does not help.

When this process is killed the kernel kills the others: nobody who is not watched
answers.
"""

from __future__ import annotations

import ctypes
import fcntl
import logging
import math
import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

FIRST_PAUSE = 0.1
"""Seconds before a process that has ended is replaced."""

LONGEST_PAUSE = 30.0
"""Seconds to which that grows while it ends again and again."""

STEADY = 60.0
"""Seconds after which a process that ended did not end at once."""

FAILED = 1
"""Exit code where a process that was killed has none."""

_ENDING = frozenset({signal.SIGTERM, signal.SIGINT})
_SIGNALS = frozenset({*_ENDING, signal.SIGCHLD})
_PR_SET_PDEATHSIG = 1

_log = logging.getLogger("dirbridge.serve")


@dataclass(frozen=True, slots=True)
class Member:
    """One of the processes, in itself.

    Attributes:
        number: Which one; number 0 does what only one of them may do. Whoever replaces
            it has its number.
        again: Whether it replaces one that has ended.
        pipe: Where it says that it is ready.
    """

    number: int
    again: bool
    pipe: int

    def ready(self) -> None:
        """Say that this process answers."""
        os.write(self.pipe, bytes([self.number]))


@dataclass(frozen=True, slots=True)
class Ended:
    """How all of them ended, for who was started.

    Attributes:
        code: The exit code, 0 where they were told to end.
        told: Whether the first process could not begin, and has told why.
    """

    code: int = 0
    told: bool = False


@dataclass(slots=True)
class _Place:
    """The place of one process, whoever fills it; times are of the family's clock."""

    number: int
    due: float = math.inf
    pid: int = 0
    begun: float = 0.0
    pause: float = 0.0
    again: bool = False


class Family:
    """Fork processes and watch over them until told to end."""

    def __init__(
        self,
        count: int,
        *,
        ready: Callable[[], None],
        ending: Callable[[], None],
        first_pause: float = FIRST_PAUSE,
    ) -> None:
        """Take what is needed.

        Args:
            count: How many processes answer.
            ready: Called once, when all of them are ready.
            ending: Called before they are told to end.
            first_pause: See `FIRST_PAUSE`.
        """
        self._places = [_Place(number) for number in range(count)]
        self._told_ready = ready
        self._told_ending = ending
        self._first_pause = first_pause
        self._awaited = set(range(count))
        self._stopping = False
        self._ended = Ended()

    def run(self) -> Member | Ended:
        """Fork the processes; returns in each of them, and here when all have ended.

        The signals stay blocked here: who was started has nothing to do but to end.
        """
        # Who started us may have ignored it; then nobody told how a process ended.
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        self._reader, self._writer = _announced_pipe()
        self._places[0].due = 0.0
        while True:
            for place in self._due():
                if self._fork(place):
                    return self._become(place, before)
            if self._stopping and not any(place.pid for place in self._places):
                return self._ended
            taken = _next_signal(min(place.due for place in self._places))
            self._hear()
            self._bury()
            if taken in _ENDING:
                self._stop()

    def _due(self) -> Iterator[_Place]:
        for place in self._places:
            if place.due <= time.monotonic():
                yield place

    def _fork(self, place: _Place) -> bool:
        """Fill a place; True in the new process."""
        place.due, place.begun = math.inf, time.monotonic()
        parent = os.getpid()
        try:
            place.pid = os.fork()
        except OSError as error:
            self._lost(place, 0, f"cannot begin ({error.strerror})")
            return False
        if place.pid:
            return False
        _die_with(parent)
        return True

    def _become(self, place: _Place, mask: set[int | signal.Signals]) -> Member:
        os.close(self._reader)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        return Member(place.number, place.again, self._writer)

    def _hear(self) -> None:
        """Take down who is ready."""
        try:
            ready = set(os.read(self._reader, 4096))
        except BlockingIOError:
            return
        if self._awaited and not self._stopping:
            self._awaited -= ready
            if not self._awaited:
                self._told_ready()
            for place in self._places:
                if not place.begun:
                    place.due = 0.0

    def _bury(self) -> None:
        """Take down who has ended, and when the place is filled again."""
        for place in self._places:
            pid, status = os.waitpid(place.pid, os.WNOHANG) if place.pid else (0, 0)
            if pid:
                place.pid = 0
                code = os.waitstatus_to_exitcode(status)
                self._lost(place, code, f"(pid {pid}) {_how(code)}")

    def _lost(self, place: _Place, code: int, how: str) -> None:
        if self._stopping:
            if code > 0 and not self._ended.code:
                self._ended = Ended(code)
        elif self._awaited:
            self._give_up(place, code, how)
        else:
            self._replace(place, how)

    def _give_up(self, place: _Place, code: int, how: str) -> None:
        by_itself = code > 0
        told = by_itself and place.number == 0
        self._ended = Ended(code if by_itself else FAILED, told)
        if not told:
            _log.error(
                "process %d %s before all were ready, so all end; see the lines beside "
                "this one",
                *(place.number, how),
            )
        self._stop()

    def _replace(self, place: _Place, how: str) -> None:
        now = time.monotonic()
        grown = 0.0 if now - place.begun >= STEADY else 2 * place.pause
        place.pause = min(max(grown, self._first_pause), LONGEST_PAUSE)
        place.due, place.again = now + place.pause, True
        _log.error(
            "process %d %s; another one takes its place in %.1f s; see the lines "
            'before this one, and "journalctl -k" if it was killed',
            *(place.number, how, place.pause),
        )

    def _stop(self) -> None:
        """Tell all to end; told again, they are told again."""
        if not self._stopping:
            self._told_ending()
        self._stopping = True
        for place in self._places:
            place.due = math.inf
            if place.pid:
                os.kill(place.pid, signal.SIGTERM)


def _announced_pipe() -> tuple[int, int]:
    """Return a pipe; what is written into it also comes as SIGCHLD."""
    reader, writer = os.pipe()
    fcntl.fcntl(reader, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(reader, fcntl.F_SETSIG, signal.SIGCHLD)
    fcntl.fcntl(reader, fcntl.F_SETFL, os.O_ASYNC | os.O_NONBLOCK)
    return reader, writer


def _next_signal(until: float) -> int | None:
    """Return the next signal, None where the time has come before."""
    if until == math.inf:
        return signal.sigwaitinfo(_SIGNALS).si_signo
    found = signal.sigtimedwait(_SIGNALS, max(0.0, until - time.monotonic()))
    return found and found.si_signo


def _die_with(parent: int) -> None:
    """Have this process killed when its parent has ended, prctl(2)."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL))
    if os.getppid() != parent:
        os._exit(FAILED)


def _how(code: int) -> str:
    if code < 0:
        return f"was killed by signal {-code}"
    return f"ended with code {code}"
