"""The NT domain's name, as the directory has it.

It stands on the domain's crossRef object (nETBIOSName, MS-ADTS 6.1.1.2.1.1.4). An
admin need not write it down; it is asked for when a name with a backslash, or a login
by it, first wants it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from dirbridge.errors import DirbridgeError
from dirbridge.model.deadline import Deadline

SECONDS = 2.0
"""Most seconds for which a login waits for the name; it has more to do."""

KEPT = 3600.0
"""Seconds for which the name is not asked for again."""

AGAIN = 60.0
"""Seconds after which a directory that did not answer is asked again."""


class NtDomainName:
    """Knows the NT domain's name, or asks for it; used by many threads."""

    def __init__(
        self,
        ask: Callable[[Deadline], str],
        guess: str,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Know nothing yet.

        Args:
            ask: Asks the directory; "" where it does not tell.
            guess: What is taken as long as nobody knows better.
            clock: Seconds.
        """
        self._ask = ask
        self._guess = guess
        self._clock = clock
        self._known = ""
        self._next = clock()
        self._asking = threading.Lock()

    def __call__(self) -> str:
        """Return the name, by the directory's own word where it could be asked.

        One caller waits for the directory, the others take what is known by then.
        """
        if self._clock() >= self._next and self._asking.acquire(blocking=False):
            try:
                self._learn()
            finally:
                self._asking.release()
        return self._known or self._guess

    def _learn(self) -> None:
        try:
            told = self._ask(Deadline.after(SECONDS))
        except DirbridgeError:
            told = ""
        self._known = told or self._known
        self._next = self._clock() + (KEPT if told else AGAIN)
