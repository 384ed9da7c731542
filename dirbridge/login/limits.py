"""How many accounts one client address may fail to log in to.

Who sprays passwords over many accounts is told apart from an office whose people
mistype by the number of *distinct* names that fail: one phone with an old password,
however often it tries, is one. Counts are this process's own and in memory.

Counted is what was typed, and every rejection, whatever it was for. Would a name that
somebody has be counted in another way than one that nobody has (by its account, or not
at all where only app passwords are taken), then the place that is left would tell which
of them there are.
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

Failure = tuple[float, str]
"""When a name failed last, and whose it is, "" where it is nobody's."""

Failures = OrderedDict[str, Failure]
"""By what was typed, folded."""


@dataclass(frozen=True, slots=True)
class AddressLimit:
    """What is allowed to one address.

    Attributes:
        accounts: How many names may fail within the window; 0 for no limit.
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
        self._failing: OrderedDict[IPAddress, Failures] = OrderedDict()

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
                    self._forgive(place, user)
            case Rejected(user=user):
                with self._lock:
                    self._note(place, fold(login.request.name), user)
            case _:
                pass
        return verdict

    def _place(self, login: Login) -> IPAddress | None:
        address = login.request.remote_ip
        return place_of(address) if self._limit.holds_for(address) else None

    def _forgive(self, place: IPAddress, user: str) -> None:
        names = self._live(place)
        for name in [name for name, (_, whose) in names.items() if whose == user]:
            del names[name]

    def _note(self, place: IPAddress, name: str, user: str) -> None:
        names = self._live(place)
        names[name] = (self._clock(), user)
        names.move_to_end(name)
        while len(names) > self._limit.accounts:
            names.popitem(last=False)
        self._failing[place] = names
        self._failing.move_to_end(place)
        while len(self._failing) > self._room:
            self._failing.popitem(last=False)

    def _live(self, place: IPAddress) -> Failures:
        """Return who fails from there, without those of before the window."""
        names = self._failing.get(place) or Failures()
        since = self._clock() - self._limit.window.total_seconds()
        while names and next(iter(names.values()))[0] <= since:
            names.popitem(last=False)
        if not names:
            self._failing.pop(place, None)
        return names
