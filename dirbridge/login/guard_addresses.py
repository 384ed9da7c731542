"""From where the owner of an account usually logs in."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address, IPv6Address, IPv6Network

from dirbridge.errors import StoreError
from dirbridge.login.domains import unwrap
from dirbridge.login.errands import Errands
from dirbridge.model.account import Account
from dirbridge.model.login import IPAddress
from dirbridge.store.tries_base import TriesReader, TriesStore

KNOWN_FOR = timedelta(days=90)
"""How long after the last login an address is still a usual one."""

WRITTEN_EVERY = timedelta(days=1)
"""How often a login from the same address is written."""

ROOM = 50_000
"""How many pairs of account and address are known to be written."""

_HOUSE = 64
"""The prefix that one IPv6 site has (RFC 6177); the rest changes daily (RFC 8981)."""


def place_of(address: IPAddress | None) -> IPAddress | None:
    """Return what stands for one client: its IPv4 address, or its IPv6 network."""
    found = unwrap(address)
    if isinstance(found, IPv6Address):
        return IPv6Network((found, _HOUSE), strict=False).network_address
    return found if isinstance(found, IPv4Address) else None


def is_usual(
    store: TriesReader, account: Account, address: IPAddress | None, now: datetime
) -> bool:
    """Whether somebody logged in with an account from an address lately.

    Raises:
        StoreError: It cannot be read.
    """
    place = place_of(address)
    last = None if place is None else store.came_from(account, place)
    return last is not None and now - last < KNOWN_FOR


class UsualAddresses:
    """Know from where people log in; safe from any thread, never raises."""

    def __init__(
        self,
        store: TriesStore,
        errands: Errands,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """Take where they are kept, what writes them, and the time (UTC)."""
        self._store = store
        self._errands = errands
        self._now = now
        self._lock = threading.Lock()
        self._written: OrderedDict[tuple[int, IPAddress], datetime] = OrderedDict()

    def has(self, account: Account, address: IPAddress | None) -> bool:
        """Whether somebody logged in with this account from there before."""
        place = place_of(address)
        if place is None:
            return False
        last = self._written.get((account.number, place))
        if last is not None and self._now() - last < KNOWN_FOR:
            return True
        try:
            return is_usual(self._store, account, place, self._now())
        except StoreError:
            return False

    def saw(self, account: Account, address: IPAddress | None) -> None:
        """Note a login from there; it is written later, and seldom."""
        place = place_of(address)
        if place is None:
            return
        pair, now = (account.number, place), self._now()
        last = self._written.get(pair)
        if last is not None and now - last < WRITTEN_EVERY:
            return
        with self._lock:
            self._written[pair] = now
            self._written.move_to_end(pair)
            while len(self._written) > ROOM:
                self._written.popitem(last=False)
        if not self._errands.add(lambda: self._write(account, place, now)):
            self._again(pair)

    def _write(self, account: Account, place: IPAddress, now: datetime) -> None:
        try:
            last = self._store.came_from(account, place)
            if last is None or now - last >= WRITTEN_EVERY:
                self._store.note_address(account, place, now)
        except StoreError:
            self._again((account.number, place))

    def _again(self, pair: tuple[int, IPAddress]) -> None:
        """Let the next login write it."""
        with self._lock:
            self._written.pop(pair, None)
