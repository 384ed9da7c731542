"""One password of an account at a time, among the processes of a bridge.

`guard_gate` sees to it among the threads of one process. Behind it, whoever has the
gate of an account takes its lock: one octet of a file that has no name, at the
account's number. Such locks (`fcntl`, POSIX record locks) belong to a process, so the
kernel frees those of one that died. They tell nobody of the verdict: who has waited
looks again whether the password is known to be wrong by now.
"""

from __future__ import annotations

import fcntl
import os
import threading
import time
from dataclasses import dataclass

from dirbridge.model.deadline import Deadline

_FIRST_PAUSE = 0.002
_LONGEST_PAUSE = 0.05
"""Seconds between two looks whether a lock is free."""


@dataclass(eq=False, frozen=True, slots=True)
class Taken:
    """A lock that was taken, by the account's number."""

    number: int


class AccountLocks:
    """Locks of accounts, shared with every process that is forked later.

    One login of a process at a time asks for those of one account, unless the gate
    has given one up: then the lock is the next one's, who alone may free it. No process
    may close the file before its end: that would free all of its locks.
    """

    def __init__(self) -> None:
        self._file = os.memfd_create("dirbridge-accounts", os.MFD_CLOEXEC)
        self._ours = threading.Lock()
        self._newest: dict[int, Taken] = {}

    def take(self, number: int) -> Taken | None:
        """Take an account's lock, by its number; None where another process has it."""
        with self._ours:
            try:
                fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, number)
            except OSError:
                return None
            taken = self._newest[number] = Taken(number)
        return taken

    def wait(self, number: int, deadline: Deadline) -> Taken | None:
        """Take it as soon as it is free; None where the time is over before."""
        pause = _FIRST_PAUSE
        while (taken := self.take(number)) is None:
            if not deadline.left():
                return None
            time.sleep(deadline.within(pause))
            pause = min(2 * pause, _LONGEST_PAUSE)
        return taken

    def give_back(self, taken: Taken) -> None:
        """Let other processes take it, if nobody here took it after that."""
        with self._ours:
            if self._newest.get(taken.number) is taken:
                del self._newest[taken.number]
                fcntl.lockf(self._file, fcntl.LOCK_UN, 1, taken.number)
