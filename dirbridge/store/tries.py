"""Wrong passwords counted in memory; see `store.tries_base`."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from datetime import datetime
from threading import Lock

from dirbridge.model.account import Account
from dirbridge.model.login import IPAddress, Rejected
from dirbridge.model.names import fold
from dirbridge.store.base import RecordedAttempt
from dirbridge.store.tries_base import MOST_FAILING, Failing, Tries


class MemoryTries:
    """What `MemoryStore` does for the guard."""

    def __init__(self) -> None:
        self._tries: dict[int, Tries] = {}
        self._known: dict[tuple[int, str], datetime] = {}
        self._tries_lock = Lock()

    def tries(self, account: Account) -> Tries | None:
        """Return what was counted of an account."""
        return self._tries.get(account.number)

    def tried(self, most: int) -> frozenset[int] | None:
        """Return the numbers of all accounts of which something is counted."""
        found = frozenset(list(self._tries))
        return found if len(found) <= most else None

    def came_from(self, account: Account, address: IPAddress) -> datetime | None:
        """Return when an account last logged in from an address."""
        return self._known.get((account.number, str(address)))

    def failures(self, name: str, since: datetime) -> tuple[Failing, ...]:
        """Return who made the logins of somebody fail."""
        return failing(self._recorded(), name, since)

    def _recorded(self) -> tuple[RecordedAttempt, ...]:
        return ()

    def count_try(
        self, account: Account, at: datetime, *, since: datetime, most: int
    ) -> bool:
        """Count one more try, unless there are that many already."""
        with self._tries_lock:
            held = self._tries.get(account.number)
            if held is None or held.last_at < since:
                held = Tries(0, at, "?")
            if held.count >= most:
                return False
            counted = replace(held, count=held.count + 1, last_at=at)
            self._tries[account.number] = counted
            return True

    def place_try(self, account: Account, at: datetime, server: str) -> None:
        """Note when and by which server the newest try was found wrong."""
        with self._tries_lock:
            held = self._tries.get(account.number)
            if held is not None:
                one = server if held.server in ("?", server) else ""
                self._tries[account.number] = replace(held, last_at=at, server=one)

    def give_back_try(
        self, account: Account, taken_at: datetime, last_at: datetime
    ) -> None:
        """Take back a try that was not found wrong."""
        with self._tries_lock:
            held = self._tries.get(account.number)
            if held is not None and held.count <= 1:
                del self._tries[account.number]
            elif held is not None:
                last = last_at if held.last_at == taken_at else held.last_at
                less = replace(held, count=held.count - 1, last_at=last)
                self._tries[account.number] = less

    def forget_tries(self, account: Account) -> None:
        """Forget them."""
        with self._tries_lock:
            self._tries.pop(account.number, None)

    def note_address(self, account: Account, address: IPAddress, at: datetime) -> None:
        """Note that an account logged in from an address."""
        self._known[account.number, str(address)] = at

    def forget_addresses(self, account: Account) -> None:
        """Forget from where somebody logged in."""
        own = [one for one in self._known if one[0] == account.number]
        for one in own:
            self._known.pop(one, None)

    def prune_addresses(self, before: datetime) -> int:
        """Forget addresses that nobody logged in from since then."""
        old = [one for one, at in self._known.items() if at < before]
        for one in old:
            self._known.pop(one, None)
        return len(old)


def failing(
    recorded: tuple[RecordedAttempt, ...], name: str, since: datetime
) -> tuple[Failing, ...]:
    """Group the failures of somebody by who made them, the most frequent first."""
    folded = fold(name)
    times: dict[tuple[str, str, str], list[datetime]] = defaultdict(list)
    for one in recorded:
        attempt = one.attempt
        names = (fold(attempt.verdict.user), fold(attempt.request_name))
        failed = isinstance(attempt.verdict, Rejected) and folded in names
        if failed and one.at >= since:
            address = str(attempt.remote_ip or "")
            times[address, attempt.service, attempt.hook].append(one.at)
    found = [Failing(*by, len(when), max(when)) for by, when in times.items()]
    found.sort(key=lambda one: (one.count, one.last_at), reverse=True)
    return tuple(found[:MOST_FAILING])
