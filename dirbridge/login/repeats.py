"""Requests that come again, octet by octet, a moment after they were accepted.

Theory. Mail programs log in many times at once, and a mail service asks in the same
octets each time. To take them apart, to find out who is meant and to walk through the
stages costs more than all else of a login that is answered from memory. So what the
positive cache accepted is known by the request's octets as well, for as long as all of
that would come to the same end:

- the store's pulse stands still, so name, account and credentials are what they were;
- the name would not be looked up anew, since its time is over;
- the account's own date of expiry is not over, of which no pulse tells;
- the positive cache still knows that very acceptance.

Only requests without a client's address are known so: limits of addresses look at the
logins of others, too. Of the octets, which hold a password, only a keyed hash is kept,
in memory; the key is this process's own.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import blake2b

from dirbridge.login.cache import PositiveCache
from dirbridge.login.cache_names import KnownNames
from dirbridge.login.refusals import LONGEST_NAME, barred_by
from dirbridge.model.account import Account
from dirbridge.model.login import Accepted, IPAddress, LoginRequest, Question, Verdict

LIMIT = 20_000
"""Most requests that are known; who came first is forgotten first."""


@dataclass(frozen=True, slots=True)
class Repeated:
    """What was told, and to whom.

    Attributes:
        verdict: What was told.
        name: What was typed, shortened.
        service: The mail service.
        local_ip: Address connected to or None.
    """

    verdict: Accepted
    name: str
    service: str
    local_ip: IPAddress | None


@dataclass(frozen=True, slots=True)
class _Known:
    beat: int
    until: float
    account: Account
    told: Repeated


class Repeats:
    """Remembers what was accepted by the octets of the request; for many threads."""

    def __init__(
        self,
        names: KnownNames,
        cache: PositiveCache,
        *,
        limit: int = LIMIT,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Know none yet.

        Args:
            names: Knows who is meant.
            cache: Knows who was accepted.
            limit: Most requests to know.
            clock: Seconds.
        """
        self._names = names
        self._cache = cache
        self._limit = limit
        self._clock = clock
        self._key = os.urandom(32)
        self._lock = threading.Lock()
        self._known: dict[tuple[str, bytes], _Known] = {}

    def find(self, hook: str, octets: bytes) -> Repeated | None:
        """Return what the answer to a request is, where that is known.

        Args:
            hook: The hook; the same octets may mean somebody else at another one.
            octets: All of the request.
        """
        key = self._keyed(hook, octets)
        known = self._known.get(key)
        if known is None:
            return None
        if self._stands(known):
            return known.told
        self._known.pop(key, None)
        return None

    def keep(self, octets: bytes, request: Question, verdict: Verdict) -> None:
        """Remember the answer to a request, if it is one that stands.

        Args:
            octets: All of the request.
            request: What it says.
            verdict: What `LoginService.quick` told just now.
        """
        if not isinstance(verdict, Accepted) or not isinstance(request, LoginRequest):
            return
        if request.remote_ip is not None:
            return
        found = self._names.recall(request.name, request.local_ip)
        lasts = None if found is None else self._cache.lasts(found.account, verdict)
        if found is None or lasts is None:
            return
        told = Repeated(
            verdict, request.name[:LONGEST_NAME], request.service, request.local_ip
        )
        until = min(found.until, lasts)
        known = _Known(found.beat, until, found.account, told)
        self._put(self._keyed(request.hook, octets), known)

    def _stands(self, known: _Known) -> bool:
        return (
            self._clock() < known.until
            and self._names.stand(known.beat)
            and self._cache.stands_by(known.account.number, known.told.verdict)
            and barred_by(known.account) is None
        )

    def _put(self, key: tuple[str, bytes], known: _Known) -> None:
        with self._lock:
            self._known.pop(key, None)
            self._known[key] = known
            if len(self._known) > self._limit:
                del self._known[next(iter(self._known))]

    def _keyed(self, hook: str, octets: bytes) -> tuple[str, bytes]:
        return hook, blake2b(octets, key=self._key, digest_size=16).digest()
