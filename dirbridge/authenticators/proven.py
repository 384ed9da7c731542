"""Which passwords were right a short while ago, as keyed hashes in memory.

A password that a server took and did not answer may have been wrong, and counted
there; sending it to a second server could count it twice. One that was accepted
before is not wrong, so it may go on to the next server when the first one freezes.
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from hashlib import blake2b

from dirbridge.model.secret import Secret

LIMIT = 10_000
"""Most passwords that are known; the ones not used for longest are forgotten."""


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
