"""Who is meant by a name, and their credentials, kept while nobody changes them.

Looking a name up costs more than all the rest of a login that is answered from memory.
What was found is believed only while the store's pulse stands still: so an account
that a sync has disabled is known as such from the end of that sync on, whoever ran it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TypeVar

from dirbridge.login.domains import Resolution, Resolver, unwrap
from dirbridge.model.account import Account
from dirbridge.model.credentials import Credentials
from dirbridge.model.login import IPAddress
from dirbridge.store.pulse import Pulse

K = TypeVar("K")

LIMIT = 20_000
"""Most names that are known at once; some two kilobytes each."""

LONGEST = 60.0
"""Seconds that a name is known: what a directory says of its NT domain may change, of
which the store knows nothing."""


@dataclass(frozen=True, slots=True)
class Recalled:
    """What is known of a name.

    Attributes:
        beat: The store's, when it was found out.
        until: When it has to be found out anew, on the clock.
        resolution: Who is meant.
        account: The only one that is.
        credentials: What its logins may use.
    """

    beat: int
    until: float
    resolution: Resolution
    account: Account
    credentials: Credentials


@dataclass(slots=True)
class _Held:
    """What was learnt at one beat; replaced whole at the next one."""

    beat: int | None = None
    names: dict[tuple[object, ...], Recalled] = field(default_factory=dict)
    accounts: dict[int, Recalled] = field(default_factory=dict)


class KnownNames:
    """Resolves names like `Resolver`, and remembers them; used by many threads.

    Only names of exactly one account are remembered: who is unknown today may be
    hired by now.
    """

    def __init__(
        self,
        resolver: Resolver,
        credentials: Callable[[Account], Credentials],
        pulse: Pulse,
        *,
        limit: int = LIMIT,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Know nobody yet.

        Args:
            resolver: Finds out who is meant.
            credentials: Reads an account's credentials.
            pulse: The store's.
            limit: Most names to know.
            clock: Seconds.
        """
        self._resolver = resolver
        self._read = credentials
        self._pulse = pulse
        self._limit = limit
        self._clock = clock
        self._held = _Held()
        self._lock = threading.Lock()
        self._bound = frozenset(
            address for domain in resolver.domains for address in domain.bound_ip
        )

    def resolve(
        self,
        name: str,
        local_ip: IPAddress | None = None,
        remote_ip: IPAddress | None = None,
    ) -> Resolution:
        """Resolve a login name; see `Resolver.resolve`.

        Raises:
            StoreError: It is not known, and cannot be looked up.
        """
        known = self.recall(name, local_ip, remote_ip)
        if known is not None:
            return known.resolution
        # Before the store is read: what changes meanwhile makes this worthless.
        beat = self._pulse.beat()
        found = self._resolver.resolve(name, local_ip, remote_ip)
        if beat is not None and found.account is not None:
            key = self._key(name, local_ip, remote_ip)
            return self._keep(key, beat, found, found.account)
        return found

    def stand(self, beat: int) -> bool:
        """Whether all that was known at a beat of the store still holds."""
        return self._pulse.beat() == beat

    def credentials(self, account: Account) -> Credentials:
        """Return an account's credentials, of the moment in which it was resolved.

        Raises:
            StoreError: They are not known, and cannot be read.
        """
        known = self._held.accounts.get(account.number)
        if known is not None and known.account is account:
            return known.credentials
        return self._read(account)

    def recall(
        self,
        name: str,
        local_ip: IPAddress | None = None,
        remote_ip: IPAddress | None = None,
    ) -> Recalled | None:
        """Return what a name is known to mean, without asking anybody."""
        beat = self._pulse.beat()
        if beat is None:
            return None
        known = self._held.names.get(self._key(name, local_ip, remote_ip))
        if known is None or known.beat != beat or known.until <= self._clock():
            return None
        return known

    def _key(
        self, name: str, local_ip: IPAddress | None, remote_ip: IPAddress | None
    ) -> tuple[object, ...]:
        """Return all that a resolution depends on; addresses matter where bound."""
        if not self._bound:
            return (name,)
        addresses = (unwrap(local_ip), unwrap(remote_ip))
        return (name, *(one if one in self._bound else None for one in addresses))

    def _keep(
        self,
        key: tuple[object, ...],
        beat: int,
        found: Resolution,
        account: Account,
    ) -> Resolution:
        held = self._held
        if held.beat != beat:
            held = self._held = _Held(beat)
        # One value for all names of an account, so that it stays the same one.
        same = held.accounts.get(account.number)
        if same is None or same.account != account:
            # A value of its own: that it is the same one tells that nothing happened.
            same = self._known(beat, found, replace(account))
            self._put(held.accounts, account.number, same)
        elif same.until <= self._clock():
            same = self._known(beat, found, same.account)
            self._put(held.accounts, account.number, same)
        resolution = replace(found, accounts=(same.account,))
        self._put(held.names, key, replace(same, resolution=resolution))
        return resolution

    def _known(self, beat: int, found: Resolution, account: Account) -> Recalled:
        credentials = self._read(account)
        until = self._clock() + _lasts(account)
        return Recalled(beat, until, found, account, credentials)

    def _put(self, held: dict[K, Recalled], key: K, known: Recalled) -> None:
        with self._lock:
            held[key] = known
            if len(held) > self._limit:
                del held[next(iter(held))]


def _lasts(account: Account) -> float:
    """Return for how many seconds an account's names stay what they are."""
    now = datetime.now(UTC)
    left = [(kept.until - now).total_seconds() for kept in account.kept]
    return min([LONGEST, *(seconds for seconds in left if seconds > 0)])
