"""Run a command and write down how much memory it took at most.

`python -I -S launch.py FILE COMMAND...` writes kilobytes to FILE and ends as the
command does. A process's peak counts the one that it was forked from: so this one,
which is small, forks, and not the bench. What the command starts counts as well, as
long as it runs: the sum is looked at often, and pages that both share count twice.
"""

import os
import resource
import sys
import time

OFTEN = 0.01
"""Seconds between two looks."""


def held(pid: int) -> int:
    """Return the kilobytes of a process and all that it has started."""
    try:
        with open(f"/proc/{pid}/statm") as file:  # noqa: PTH123 - see below
            pages = int(file.read().split()[1])
        children = []
        for task in os.listdir(f"/proc/{pid}/task"):  # noqa: PTH208
            with open(f"/proc/{pid}/task/{task}/children") as file:  # noqa: PTH123
                children += file.read().split()
    except OSError:  # it has ended meanwhile
        return 0
    return pages * resource.getpagesize() // 1024 + sum(map(held, map(int, children)))


pid = os.fork()
if pid == 0:
    os.execv(sys.argv[2], sys.argv[2:])
peak = 0
while True:
    ended, status = os.waitpid(pid, os.WNOHANG)
    if ended:
        break
    peak = max(peak, held(pid))
    time.sleep(OFTEN)
peak = max(peak, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
with open(sys.argv[1], "w") as file:  # noqa: PTH123 - pathlib would make it larger
    file.write(str(peak))
sys.exit(os.waitstatus_to_exitcode(status))
