"""Which service accounts were refused with which password, for one process.

Several directories of a configuration may read with one service account. They share
what is known of its password here, so that a wrong one counts once in the directory
and not once for each of them.
"""

from __future__ import annotations

import os
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from hashlib import blake2b

from dirbridge.errors import BindRefused
from dirbridge.model.names import fold
from dirbridge.model.secret import Secret

LIMIT = 16
"""Most refused passwords that are remembered of one account."""


class AccountRecord:
    """What is known of one service account's passwords, as keyed hashes.

    Attributes:
        first: Held by whoever tries a password that nobody has seen work, and for a
            moment by whoever tries one that worked before.
        accepted: How many binds were accepted so far.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.first = threading.Lock()
        self.accepted = 0
        self._clock = clock
        self._key = os.urandom(32)
        self._lock = threading.Lock()
        self._proven = b""
        self._refused: OrderedDict[bytes, tuple[float, BindRefused]] = OrderedDict()

    def is_proven(self, password: Secret) -> bool:
        """Whether the last bind with this password was accepted."""
        with self._lock:
            return self._proven == self._digest(password)

    def accept(self, password: Secret) -> None:
        """Note that it was accepted."""
        with self._lock:
            self._proven = self._digest(password)
            self.accepted += 1
            self._refused.pop(self._proven, None)

    def refuse(self, password: Secret, seconds: float, error: BindRefused) -> None:
        """Note that it was refused, and for how long it is not to be tried."""
        digest = self._digest(password)
        with self._lock:
            if self._proven == digest:
                self._proven = b""
            self._refused[digest] = (self._clock() + seconds, error)
            self._refused.move_to_end(digest)
            while len(self._refused) > LIMIT:
                self._refused.popitem(last=False)

    def refusal(self, password: Secret) -> BindRefused | None:
        """Return why this password is not to be tried now, None if it may be.

        It may have been said to another directory: make an error of one's own of it.
        """
        with self._lock:
            until, error = self._refused.get(self._digest(password), (0.0, None))
            if error is None or self._clock() >= until:
                return None
            return error

    def _digest(self, password: Secret) -> bytes:
        text = password.reveal().encode("utf-8", "surrogatepass")
        return blake2b(text, key=self._key, digest_size=32).digest()


class Refusals:
    """The records of all service accounts of one process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._records: dict[tuple[str, str], AccountRecord] = {}

    def record(self, directory: str, username: str) -> AccountRecord:
        """Return the one record of an account.

        Args:
            directory: What makes the name unique: Active Directory's own name, else
                the servers.
            username: As it is configured.
        """
        with self._lock:
            key = (fold(directory), fold(username))
            return self._records.setdefault(key, AccountRecord())
