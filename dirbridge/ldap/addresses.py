"""Addresses of host names, remembered for a while.

`getaddrinfo` needs a thread to be held to a deadline, which costs a new connection
more than anything else that we do for it. And where domain controllers are the name
servers as well, as is usual, one that is frozen takes the names away with it: what was
known before is then used on. Who answers there still has to prove its name by TLS.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable
from functools import partial
from ipaddress import ip_address

from dirbridge.ldap.bounded import Bounded, Full, Overdue

Address = tuple[socket.AddressFamily, str]

FRESH_SECONDS = 30.0
"""For so long a name is not looked up again, unless nobody answers there."""

STALE_SECONDS = 24 * 3600.0
"""For so long what was known is used where the name servers are silent."""

SILENCE_SECONDS = 0.5
"""Most seconds to wait for the name servers where addresses are known."""

_MOST = 256

LookUp = Callable[[str], list[Address]]


def system(host: str) -> list[Address]:
    """Look a name up as this machine is set up to.

    Raises:
        OSError: There is no such name, or nobody answers.
    """
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except UnicodeError as error:
        raise socket.gaierror(socket.EAI_NONAME, "not a host name") from error
    return list(dict.fromkeys((family, str(a[0])) for family, _, _, _, a in found))


class Addresses:
    """Remembers the addresses of names; used by many threads."""

    def __init__(
        self, look_up: LookUp = system, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._look_up = look_up
        self._clock = clock
        self._lookups = Bounded("dns", limit=16)
        self._lock = threading.Lock()
        self._known: dict[str, tuple[float, list[Address]]] = {}
        self._doubted: set[str] = set()
        self._silent_until = float("-inf")

    def resolve(self, host: str, seconds: float) -> list[Address]:
        """Look a host name up; an address stands for itself.

        Args:
            host: The name.
            seconds: Time for the name servers.

        Raises:
            OSError: `gaierror` where there is no such name, or the name servers were
                silent and nothing is known.
        """
        host = host.lower()
        with contextlib.suppress(ValueError):
            address = ip_address(host)
            family = socket.AF_INET if address.version == 4 else socket.AF_INET6  # noqa: PLR2004
            return [(family, str(address))]
        with self._lock:
            age, known = self._remembered(host)
            fresh = age < FRESH_SECONDS and host not in self._doubted
            if known and (fresh or self._clock() < self._silent_until):
                return known
        try:
            patience = min(seconds, SILENCE_SECONDS) if known else seconds
            found = self._lookups.call(partial(self._look_up, host), patience)
        except (Overdue, Full, socket.gaierror) as error:
            if known and _silent(error):
                self._silent_until = self._clock() + FRESH_SECONDS
                return known
            if isinstance(error, socket.gaierror):
                raise
            silent = "the name server is silent"
            raise socket.gaierror(socket.EAI_AGAIN, silent) from None
        self._remember(host, found)
        return found

    def doubt(self, host: str) -> None:
        """Look a name up anew the next time: nobody answered at its addresses."""
        with self._lock:
            self._doubted.add(host.lower())

    def _remembered(self, host: str) -> tuple[float, list[Address]]:
        at, known = self._known.get(host, (0.0, []))
        age = self._clock() - at
        return (age, known) if age < STALE_SECONDS else (age, [])

    def _remember(self, host: str, found: list[Address]) -> None:
        with self._lock:
            if len(self._known) >= _MOST:
                self._known.clear()
                self._doubted.clear()
            self._known[host] = (self._clock(), found)
            self._doubted.discard(host)


def _silent(error: Exception) -> bool:
    """Whether nobody answered, which is not the answer that there is no such name."""
    return not isinstance(error, socket.gaierror) or error.errno == socket.EAI_AGAIN
