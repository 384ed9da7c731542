"""Long computations that step back behind everything else.

An Argon2 check keeps every core busy for tens of milliseconds. It releases the lock of
the interpreter, but not the processor: a login that is answered from memory would wait
for it. So such work runs in threads of low priority (Linux: `setpriority(2)`,
"C library/kernel differences", tells that it holds for a thread), and so do the threads
that it starts.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar, TypeVarTuple

LOW = 10
"""Nice value: a ninth of an ordinary share, so that a busy machine starves nobody."""

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class Modest:
    """Runs calls in threads of low priority; its caller waits for them."""

    def __init__(self, threads: int) -> None:
        """Start nothing yet: no thread may be there before a fork.

        Args:
            threads: Most calls at once; whoever calls sees to it that there are no
                more, or waits.
        """
        self._pool = ThreadPoolExecutor(
            threads, thread_name_prefix="modest", initializer=_step_back
        )

    def run(self, call: Callable[[*Ts], T], *arguments: *Ts) -> T:
        """Call, and return or raise what the call does."""
        return self._pool.submit(call, *arguments).result()


def _step_back() -> None:
    # Where it is not allowed, it is only slower for others.
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), LOW)
