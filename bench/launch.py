"""Run a command and write down how much memory it took at most.

`python -I -S launch.py FILE COMMAND...` writes kilobytes to FILE and ends as the
command does. A process's peak counts the one that it was forked from: so this one,
which is small, forks, and not the bench.
"""

import os
import resource
import sys

pid = os.fork()
if pid == 0:
    os.execv(sys.argv[2], sys.argv[2:])
_, status = os.waitpid(pid, 0)
with open(sys.argv[1], "w") as file:  # noqa: PTH123 - pathlib would make it larger
    file.write(str(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss))
sys.exit(os.waitstatus_to_exitcode(status))
