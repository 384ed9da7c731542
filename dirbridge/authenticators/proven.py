"""Which passwords were right a short while ago, as keyed hashes in memory.

A password that a server took and did not answer may have been wrong, and counted
there; sending it to a second server could count it twice. One that was accepted
before is not wrong, so it may go on to the next server when the first one freezes.

Mail programs log in several times at once. Each time the directory is asked for the
password; that it is still the same person, and not disabled by a mark that a server
does not look at, is asked once in a moment.
"""

from __future__ import annotations

import os
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from hashlib import blake2b

from dirbridge.model.secret import Secret

LIMIT = 10_000
"""Most passwords that are known; the ones not used for longest are forgotten."""


BELIEVED = 2.0
"""Seconds for which it is believed who bound; the guard's looks are as good."""


class Proven:
    """Remembers accepted passwords of this process; used by many threads."""

    def __init__(self, limit: int = LIMIT) -> None:
        self._key = os.urandom(32)
        self._limit = limit
        self._lock = threading.Lock()
        self._known: OrderedDict[bytes, None] = OrderedDict()

    def digest(self, name: str, password: Secret) -> bytes:
        """Return what stands for a password of the one who binds as `name`."""
        text = f"{name}\0{password.reveal()}".encode("utf-8", "surrogatepass")
        return blake2b(text, key=self._key, digest_size=32).digest()

    def knows(self, digest: bytes) -> bool:
        """Whether this was the right password when it was last asked."""
        with self._lock:
            return digest in self._known

    def add(self, digest: bytes) -> None:
        """Remember that a server accepted it."""
        with self._lock:
            self._known[digest] = None
            self._known.move_to_end(digest)
            while len(self._known) > self._limit:
                self._known.popitem(last=False)

    def forget(self, digest: bytes) -> None:
        """Remember no longer: a server refused it."""
        with self._lock:
            self._known.pop(digest, None)


class LookedAt:
    """Remembers with which password who was let in a moment ago; for many threads."""

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, limit: int = LIMIT
    ) -> None:
        """Take a clock of seconds, and how many to remember."""
        self._clock = clock
        self._limit = limit
        self._at: dict[tuple[bytes, str], float] = {}

    def now(self) -> float:
        """Return the time, for `note`."""
        return self._clock()

    def has(self, digest: bytes, directory_id: str) -> bool:
        """Whether the entry of this id was the one that binds so, a moment ago.

        Args:
            digest: `Proven.digest` of name and password.
            directory_id: The entry's stable id.
        """
        at = self._at.get((digest, directory_id))
        return at is not None and self._clock() - at < BELIEVED

    def note(self, digest: bytes, directory_id: str, at: float) -> None:
        """Remember that it was, at a time of `now` before the directory was asked."""
        if len(self._at) >= self._limit:
            self._at.clear()
        self._at[digest, directory_id] = at
