"""Work that a login leaves behind, done by one thread so that no login waits."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable

Errand = Callable[[], None]


class Errands:
    """Run errands one after another; safe from any thread.

    Its thread begins with the first errand, so it is never carried through a fork.
    """

    def __init__(self, name: str, *, room: int = 1000) -> None:
        """Begin without a thread.

        Args:
            name: The thread's name.
            room: How many errands may wait.
        """
        self._name = name
        self._waiting: queue.Queue[Errand] = queue.Queue(room)
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def add(self, errand: Errand) -> bool:
        """Take an errand without waiting; False where too many wait already."""
        try:
            self._waiting.put_nowait(errand)
        except queue.Full:
            return False
        self._begin()
        return True

    def finish(self) -> None:
        """Wait until everything is done that was added so far."""
        self._waiting.join()

    def _begin(self) -> None:
        with self._lock:
            if self._thread is None or not self._thread.is_alive():
                work = threading.Thread(target=self._work, name=self._name, daemon=True)
                self._thread = work
                work.start()

    def _work(self) -> None:
        while True:
            errand = self._waiting.get()
            try:
                errand()
            finally:
                self._waiting.task_done()
