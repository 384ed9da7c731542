"""How many accounts one client address may fail to log in to.

Who sprays passwords over many accounts is told apart from an office whose people
mistype by the number of *distinct* names that fail: one phone with an old password,
however often it tries, is one. Counts are this process's own and in memory.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import timedelta

from dirbridge.login.domains import unwrap
from dirbridge.login.guard_addresses import place_of
from dirbridge.login.stage import Login
from dirbridge.model.login import (
    Accepted,
    IPAddress,
    IPNetwork,
    Reason,
    Rejected,
    Verdict,
)
from dirbridge.model.names import fold

ROOM = 20_000
"""How many addresses are counted; who failed longest ago is forgotten first."""

_NOT_COUNTED = frozenset({Reason.GUARDED, Reason.ADDRESS_GUARDED, Reason.APP_PASSWORD})
"""Rejections that say nothing of the password."""


@dataclass(frozen=True, slots=True)
class AddressLimit:
    """What is allowed to one address.

    Attributes:
        accounts: How many accounts may fail within the window; 0 for no limit.
        window: How long a failure counts.
        trusted: Networks that have no limit.
    """

    accounts: int = 20
    window: timedelta = timedelta(minutes=15)
    trusted: Collection[IPNetwork] = ()

    def holds_for(self, address: IPAddress | None) -> bool:
        """Whether an address is limited."""
        plain = unwrap(address)
        if plain is None or not self.accounts:
            return False
        return not any(plain in network for network in self.trusted)


class AddressLimits:
    """Refuse addresses with which too many accounts fail; see `login.stage`."""

    def __init__(
        self,
        limit: AddressLimit,
        clock: Callable[[], float] = time.monotonic,
        room: int = ROOM,
    ) -> None:
        """Take the limit, and a clock of seconds."""
        self._limit = limit
        self._clock = clock
        self._room = room
        self._lock = threading.Lock()
        self._failing: OrderedDict[IPAddress, OrderedDict[str, float]] = OrderedDict()

    def before(self, login: Login) -> Verdict | None:
        """Refuse an address that is over its limit; nobody is asked."""
        place = self._place(login)
        if place is None or place not in self._failing:
            return None
        with self._lock:
            if len(self._live(place)) < self._limit.accounts:
                return None
        user = login.account.canonical if login.account else ""
        return Rejected(Reason.ADDRESS_GUARDED, user, "limits", "limits")

    def after(self, login: Login, verdict: Verdict) -> Verdict:
        """Count a failure, or forget those of an account that got in."""
        place = self._place(login)
        if place is None:
            return verdict
        match verdict:
            case Accepted(user=user) if place in self._failing:
                with self._lock:
                    self._live(place).pop(fold(user), None)
            case Rejected(reason=reason, user=user) if reason not in _NOT_COUNTED:
                with self._lock:
                    self._note(place, fold(user or login.request.name))
            case _:
                pass
        return verdict

    def _place(self, login: Login) -> IPAddress | None:
        address = login.request.remote_ip
        return place_of(address) if self._limit.holds_for(address) else None

    def _note(self, place: IPAddress, name: str) -> None:
        names = self._live(place)
        names[name] = self._clock()
        names.move_to_end(name)
        while len(names) > self._limit.accounts:
            names.popitem(last=False)
        self._failing[place] = names
        self._failing.move_to_end(place)
        while len(self._failing) > self._room:
            self._failing.popitem(last=False)

    def _live(self, place: IPAddress) -> OrderedDict[str, float]:
        """Return who fails from there, without those of before the window."""
        names = self._failing.get(place, OrderedDict())
        since = self._clock() - self._limit.window.total_seconds()
        while names and next(iter(names.values())) <= since:
            names.popitem(last=False)
        if not names:
            self._failing.pop(place, None)
        return names
