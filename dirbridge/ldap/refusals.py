"""Which service accounts were refused with which password.

Several directories of a configuration may read with one service account. They share
what is known of its password here, so that a wrong one counts once in the directory
and not once for each of them. Where a bridge has several processes, these do as well
(`refusals_shared`).
"""

from __future__ import annotations

import os
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from hashlib import blake2b

from dirbridge.errors import BindRefused
from dirbridge.ldap.refusals_shared import AccountLock, Refused, SharedRefusals
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

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        shared: SharedRecord | None = None,
    ) -> None:
        self.first: threading.Lock | AccountLock
        self.first = threading.Lock() if shared is None else shared.lock()
        self.accepted = 0
        self._shared = shared
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
        if self._shared is not None:
            self._shared.forget(password)

    def refuse(self, password: Secret, seconds: float, error: BindRefused) -> None:
        """Note that it was refused, and for how long it is not to be tried."""
        digest = self._digest(password)
        until = self._clock() + seconds
        if self._shared is not None:
            self._shared.keep(password, until, error)
        with self._lock:
            if self._proven == digest:
                self._proven = b""
            self._refused[digest] = (until, error)
            self._refused.move_to_end(digest)
            while len(self._refused) > LIMIT:
                self._refused.popitem(last=False)

    def refusal(self, password: Secret) -> BindRefused | None:
        """Return why this password is not to be tried now, None if it may be.

        It may have been said to another directory: make an error of one's own of it.
        """
        with self._lock:
            until, error = self._refused.get(self._digest(password), (0.0, None))
        if self._clock() >= until and self._shared is not None:
            until, error = self._shared.find(password)
        return error if self._clock() < until else None

    def _digest(self, password: Secret) -> bytes:
        text = password.reveal().encode("utf-8", "surrogatepass")
        return blake2b(text, key=self._key, digest_size=32).digest()


class SharedRecord:
    """What other processes know of one service account."""

    def __init__(self, shared: SharedRefusals, directory: str, username: str) -> None:
        """Take what all have in common, and what the account is known by."""
        self._shared = shared
        self._whose = (directory, username)

    def lock(self) -> AccountLock:
        """Return what is held by whoever tries a password of this account."""
        return self._shared.lock(self._shared.digest(*self._whose))

    def find(self, password: Secret) -> tuple[float, BindRefused | None]:
        """Return until when a password is not to be tried, and why."""
        found = self._shared.find(self._digest(password))
        if found is None:
            return 0.0, None
        error = BindRefused(
            domain="",
            server=found.server,
            operation=found.operation,
            code=found.code,
        )
        return found.until, error

    def keep(self, password: Secret, until: float, error: BindRefused) -> None:
        """Tell that a password was refused."""
        refused = Refused(until, error.operation, error.code, error.server)
        self._shared.keep(self._digest(password), refused)

    def forget(self, password: Secret) -> None:
        """Tell that it was accepted."""
        self._shared.forget(self._digest(password))

    def _digest(self, password: Secret) -> bytes:
        return self._shared.digest(*self._whose, password.reveal())


class Refusals:
    """The records of all service accounts."""

    def __init__(self, shared: SharedRefusals | None = None) -> None:
        """Take what several processes have in common, where there are several."""
        self._shared = shared
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
            if key not in self._records:
                known = self._shared
                shared = None if known is None else SharedRecord(known, *key)
                self._records[key] = AccountRecord(shared=shared)
            return self._records[key]
