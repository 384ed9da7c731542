"""Refused service accounts, known to all processes of one bridge.

A wrong password of a service account counts in the directory at each try. So what one
process was told is kept in memory that all of them have in common, as keyed hashes, and
one of them at a time tries a password of an account that it has not seen work.

Nobody locks the memory: who meets a record that is just being written meets none, which
costs one more try.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import struct
import threading
import time
from dataclasses import dataclass
from hashlib import blake2b

ROOM = 64
"""How many refused passwords are remembered; the oldest makes room."""

_SLOT = struct.Struct("=16sd16s40s200s")
"""Digest, until when, operation, code, server."""

_LOOK = 0.02
"""Seconds between two looks whether another process has ended its try."""


@dataclass(frozen=True, slots=True)
class Refused:
    """What another process was told.

    Attributes:
        until: Until when the password is not to be tried, on the clock of all.
        operation: See `BindRefused`.
        code: The same.
        server: The same.
    """

    until: float
    operation: str
    code: str
    server: str


class SharedRefusals:
    """What processes that are forked later have in common."""

    def __init__(self) -> None:
        self._key = os.urandom(32)
        self._slots = mmap.mmap(-1, ROOM * _SLOT.size)
        self._file = os.memfd_create("dirbridge-service-accounts", os.MFD_CLOEXEC)

    def digest(self, *parts: str) -> bytes:
        """Return what stands for an account, or for a password of one."""
        keyed = blake2b(key=self._key, digest_size=16)
        for part in parts:
            octets = part.encode("utf-8", "surrogatepass")
            keyed.update(len(octets).to_bytes(8, "big") + octets)
        return keyed.digest()

    def find(self, digest: bytes) -> Refused | None:
        """Return what is known of a password."""
        for place in self._places():
            found, until, *texts = _SLOT.unpack_from(self._slots, place)
            if found == digest:
                return Refused(until, *map(_text, texts))
        return None

    def keep(self, digest: bytes, refused: Refused) -> None:
        """Remember a refused password."""
        self.forget(digest)
        place = min(self._places(), key=self._until)
        texts = (refused.operation, refused.code, refused.server)
        _SLOT.pack_into(
            self._slots, place, digest, refused.until, *map(str.encode, texts)
        )

    def forget(self, digest: bytes) -> None:
        """Remember it no longer."""
        for place in self._places():
            if self._slots[place : place + len(digest)] == digest:
                self._slots[place : place + _SLOT.size] = bytes(_SLOT.size)

    def lock(self, account: bytes) -> AccountLock:
        """Return the lock of an account, by its digest."""
        return AccountLock(self._file, int.from_bytes(account[:5], "big"))

    def _places(self) -> range:
        return range(0, ROOM * _SLOT.size, _SLOT.size)

    def _until(self, place: int) -> float:
        until: float = _SLOT.unpack_from(self._slots, place)[1]
        return until


def _text(octets: bytes) -> str:
    # A long name was cut, perhaps within a letter.
    return octets.rstrip(b"\0").decode("utf-8", "ignore")


class AccountLock:
    """Held by one thread of one process; its process's end frees it (`fcntl`)."""

    def __init__(self, file: int, place: int) -> None:
        """Take the file that all have in common, and the octet that is locked."""
        self._file = file
        self._place = place
        self._ours = threading.Lock()

    def acquire(self, *, timeout: float) -> bool:
        """Wait for it; False where the time, in seconds, is over before."""
        until = time.monotonic() + timeout
        if not self._ours.acquire(timeout=timeout):
            return False
        while not self._take():
            if time.monotonic() >= until:
                self._ours.release()
                return False
            time.sleep(_LOOK)
        return True

    def release(self) -> None:
        """Free it; any thread may."""
        fcntl.lockf(self._file, fcntl.LOCK_UN, 1, self._place)
        self._ours.release()

    def _take(self) -> bool:
        try:
            fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, self._place)
        except OSError:
            return False
        return True
