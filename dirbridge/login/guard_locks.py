"""One unproven password of an account at a time, among the processes of a bridge.

`guard_gate` sees to it among the threads of one process. Behind it, whoever has the
gate of an account takes its lock: one octet of a file that has no name, at the
account's number. Such locks (`fcntl`, POSIX record locks) belong to a process, so the
kernel frees those of one that died. They tell nobody of the verdict: who has waited
looks again whether the password is known to be wrong by now.
"""

from __future__ import annotations

import fcntl
import os
import time

from dirbridge.model.deadline import Deadline

_FIRST_PAUSE = 0.002
_LONGEST_PAUSE = 0.05
"""Seconds between two looks whether a lock is free."""


class AccountLocks:
    """Locks of accounts, shared with every process that is forked later.

    One thread of a process at a time asks for those of one account. No process may
    close the file before its end: that would free all of its locks.
    """

    def __init__(self) -> None:
        self._file = os.memfd_create("dirbridge-accounts", os.MFD_CLOEXEC)

    def take(self, number: int) -> bool:
        """Take an account's lock, by its number; False where another process has it."""
        try:
            fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, number)
        except OSError:
            return False
        return True

    def wait(self, number: int, deadline: Deadline) -> bool:
        """Take it as soon as it is free; False where the time is over before."""
        pause = _FIRST_PAUSE
        while not self.take(number):
            if not deadline.left():
                return False
            time.sleep(deadline.within(pause))
            pause = min(2 * pause, _LONGEST_PAUSE)
        return True

    def give_back(self, number: int) -> None:
        """Let other processes take it."""
        fcntl.lockf(self._file, fcntl.LOCK_UN, 1, number)
