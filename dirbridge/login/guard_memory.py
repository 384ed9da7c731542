"""Wrong passwords that a directory has refused, in memory only, as keyed digests.

Theory. The wrong ones stand in memory that all processes of one bridge share, in slots
of one size. A digest says on which shelf of slots it may stand; the oldest one there
makes room. Nobody locks anything. Two who write one slot at once, or one who reads what
another one is just writing, can meet a mixture of two records: then the digest is
nobody's, or the mark is another one's and looks as if the password was changed. Either
costs one more question to the directory, and lets nobody in.
"""

from __future__ import annotations

import mmap
import secrets
import struct
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

ROOM = 32_768
"""How many are remembered; of a shelf, the oldest is forgotten first."""

_SHELF = 8
"""Slots on which one password may stand."""

_SLOT = struct.Struct("=16sd16s")
"""Digest, time, mark."""

_Slot = tuple[bytes, float, bytes]
_NOTHING: _Slot = (bytes(16), 0.0, bytes(16))
_BLIND = bytes(16)
"""Stands for a mark that the directory does not tell."""

RIGHT = 50_000
"""How many right ones are known; the ones not used for longest are forgotten."""


@dataclass(frozen=True, slots=True)
class Wrong:
    """A password that the directory refused.

    Attributes:
        at: When, on the memory's clock.
        mark: Stands for `Standing.password_mark` at that time; see
            `WrongPasswords.mark`.
    """

    at: float
    mark: bytes


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
    """Remember which passwords were wrong; safe from any thread and any process.

    Processes that are forked from the one that made this object remember together: a
    phone with an old password costs one try, not one for each of them. What is kept
    tells nothing without the key, which never leaves these processes.
    """

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, room: int = ROOM
    ) -> None:
        """Take a clock of seconds, and how many may be remembered."""
        self._clock = clock
        self._shelves = max(1, room // _SHELF)
        self._key = secrets.token_bytes(32)
        # Anonymous, so shared with who is forked later, and with nobody else.
        self._slots = mmap.mmap(-1, self._shelves * _SHELF * _SLOT.size)

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
        return self._keyed(whose, password.reveal())

    def mark(self, text: str) -> bytes:
        """Return what is kept of a `Standing.password_mark`; b"" where it is empty."""
        return self._keyed(text) if text else b""

    def find(self, digest: bytes) -> Wrong | None:
        """Return what is remembered of a password, None where it is too long ago."""
        place = self._place(digest)
        if place is None:
            return None
        _, at, mark = self._read(place)
        mark = b"" if mark == _BLIND else mark
        limit = LONGEST if mark else BLIND
        return Wrong(at, mark) if self._clock() - at < limit else None

    def keep(self, digest: bytes, mark: str) -> None:
        """Remember a wrong password."""
        place = self._place(digest)
        if place is None:
            place = min(self._shelf(digest), key=lambda one: self._read(one)[1])
        slot = (digest, self._clock(), self.mark(mark) or _BLIND)
        _SLOT.pack_into(self._slots, place, *slot)

    def forget(self, digest: bytes) -> None:
        """Remember a password no longer."""
        place = self._place(digest)
        if place is not None:
            _SLOT.pack_into(self._slots, place, *_NOTHING)

    def _keyed(self, *parts: str) -> bytes:
        keyed = blake2b(key=self._key, digest_size=16)
        for part in parts:
            octets = part.encode("utf-8", "surrogatepass")
            keyed.update(len(octets).to_bytes(8, "big") + octets)
        return keyed.digest()

    def _shelf(self, digest: bytes) -> range:
        """Return the places at which a password may stand."""
        first = int.from_bytes(digest[:8], "big") % self._shelves * _SHELF * _SLOT.size
        return range(first, first + _SHELF * _SLOT.size, _SLOT.size)

    def _place(self, digest: bytes) -> int | None:
        shelf = self._shelf(digest)
        place = self._slots.find(digest, shelf.start, shelf.stop)
        return place if place in shelf else None

    def _read(self, place: int) -> _Slot:
        slot: _Slot = _SLOT.unpack_from(self._slots, place)
        return slot
