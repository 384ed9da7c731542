"""What each account's entry showed when it was last seen, for when it cannot be.

A restriction that the KDC does not know (workstations, a tag of Open Directory) is seen
by LDAP only, and so is whose entry it is. While no server answers there, the one must
not be lifted for those who are known to have it, nor the other be given away with a
name.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Generic, TypeVar

from dirbridge.model.login import Reason
from dirbridge.model.names import DirectoryId

LIMIT = 10_000
"""Most accounts that are known; the ones not seen for longest are forgotten."""

V = TypeVar("V")


class _LastSeen(Generic[V]):
    """One thing of each entry, as this process saw it last."""

    def __init__(self, limit: int = LIMIT) -> None:
        self._limit = limit
        self._lock = threading.Lock()
        self._known: OrderedDict[DirectoryId, V] = OrderedDict()

    def of(self, directory_id: DirectoryId) -> V | None:
        """Return what was seen of an account, None where nothing was."""
        with self._lock:
            return self._known.get(directory_id)

    def note(self, directory_id: DirectoryId, seen: V | None) -> None:
        """Take what an entry shows; None forgets what it showed before."""
        with self._lock:
            self._known.pop(directory_id, None)
            if seen is None:
                return
            self._known[directory_id] = seen
            while len(self._known) > self._limit:
                self._known.popitem(last=False)


class Vetoes(_LastSeen[Reason]):
    """What each entry says against a login that a KDC admits."""


class Sids(_LastSeen[bytes]):
    """Each entry's objectSid, which stays with its person."""
