"""Wrong passwords that a directory has refused, in memory only, as keyed digests."""

from __future__ import annotations

import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import blake2b

from dirbridge.model.account import Account
from dirbridge.model.secret import Secret

LONGEST = 900.0
"""Seconds for which a wrong password is answered locally."""

BLIND = 60.0
"""The same where the directory does not tell when a password was changed."""

ROOM = 20_000
"""How many are remembered; the oldest is forgotten first."""


RIGHT = 50_000
"""How many right ones are known; the ones not used for longest are forgotten."""


@dataclass(frozen=True, slots=True)
class Wrong:
    """A password that the directory refused.

    Attributes:
        at: When, on the memory's clock.
        mark: `Standing.password_mark` at that time.
    """

    at: float
    mark: str


class RightPasswords:
    """Know which passwords a directory accepted; safe from any thread.

    They are known by `WrongPasswords.digest`.
    """

    def __init__(self, room: int = RIGHT) -> None:
        """Take how many may be known."""
        self._room = room
        self._lock = threading.Lock()
        self._known: OrderedDict[bytes, None] = OrderedDict()

    def has(self, digest: bytes) -> bool:
        """Whether this one was right when the directory was asked last."""
        return digest in self._known

    def add(self, digest: bytes) -> None:
        """Know that it is right."""
        with self._lock:
            self._known[digest] = None
            self._known.move_to_end(digest)
            while len(self._known) > self._room:
                self._known.popitem(last=False)

    def forget(self, digest: bytes) -> None:
        """Know it no longer."""
        with self._lock:
            self._known.pop(digest, None)


class WrongPasswords:
    """Remember which passwords were wrong; safe from any thread.

    What is kept tells nothing without the key, which never leaves this object.
    """

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, room: int = ROOM
    ) -> None:
        """Take a clock of seconds, and how many may be remembered."""
        self._clock = clock
        self._room = room
        self._key = secrets.token_bytes(32)
        self._lock = threading.Lock()
        self._kept: OrderedDict[bytes, Wrong] = OrderedDict()

    def digest(
        self, account: Account, password: Secret, methods: tuple[str, ...] = ()
    ) -> bytes:
        """Return what stands for a password of an account, and for whom it was asked.

        The password may be right where the account is asked for by another name, or
        by other methods.

        Args:
            account: The account.
            password: What was typed.
            methods: The methods that are asked.
        """
        values = account.values
        names = (values.dn, *values.login_names, values.upn, values.principal, *methods)
        whose = "\0".join([str(account.number), *(one or "" for one in names)])
        keyed = blake2b(key=self._key, digest_size=16)
        for part in (whose, password.reveal()):
            octets = part.encode("utf-8", "surrogatepass")
            keyed.update(len(octets).to_bytes(8, "big") + octets)
        return keyed.digest()

    def find(self, digest: bytes) -> Wrong | None:
        """Return what is remembered of a password, None where it is too long ago."""
        wrong = self._kept.get(digest)
        if wrong is None:
            return None
        limit = LONGEST if wrong.mark else BLIND
        return wrong if self._clock() - wrong.at < limit else None

    def keep(self, digest: bytes, mark: str) -> None:
        """Remember a wrong password."""
        with self._lock:
            self._kept[digest] = Wrong(self._clock(), mark)
            self._kept.move_to_end(digest)
            while len(self._kept) > self._room:
                self._kept.popitem(last=False)

    def forget(self, digest: bytes) -> None:
        """Remember a password no longer."""
        with self._lock:
            self._kept.pop(digest, None)
