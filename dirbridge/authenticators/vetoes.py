"""Whose login a KDC admits and the directory's entry does not.

Such a restriction (workstations, a tag of Open Directory) is seen by LDAP only. While
no server answers there, it must not be lifted for those who are known to have it.
"""

from __future__ import annotations

import threading
from collections import OrderedDict

from dirbridge.model.login import Reason
from dirbridge.model.names import DirectoryId

LIMIT = 10_000
"""Most accounts that are known; the ones not seen for longest are forgotten."""


class Vetoes:
    """What each entry said against a login, when it was last seen by this process."""

    def __init__(self, limit: int = LIMIT) -> None:
        self._limit = limit
        self._lock = threading.Lock()
        self._known: OrderedDict[DirectoryId, Reason] = OrderedDict()

    def of(self, directory_id: DirectoryId) -> Reason | None:
        """Return what was seen against an account, None where nothing was."""
        with self._lock:
            return self._known.get(directory_id)

    def note(self, directory_id: DirectoryId, reason: Reason | None) -> None:
        """Take what an entry says; None forgets what it said before."""
        with self._lock:
            self._known.pop(directory_id, None)
            if reason is None:
                return
            self._known[directory_id] = reason
            while len(self._known) > self._limit:
                self._known.popitem(last=False)
