"""Which Password Servers are asked for one account, and in which order.

The directory's own list comes first, in the order of `PasswordServerRecord.in_order`,
and the address of the user's authAuthority last: it is the server on which the user
was made, which may have gone. None of these addresses is trusted; the key is.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from dirbridge.directory import password_server_record
from dirbridge.directory.auth_authority import PasswordServerData
from dirbridge.directory.password_server_record import (
    Address,
    PasswordServer,
    PasswordServerRecord,
)
from dirbridge.errors import ConfigError, DirectoryError
from dirbridge.ldap.transport import Endpoint
from dirbridge.model.deadline import Deadline

KEPT = 600.0
"""Seconds for which the directory's list is not read again."""

AGAIN = 30.0
"""Seconds after which a directory that could not be asked is asked again."""

SECONDS = 2.0
"""Most seconds of a login for the list: the address of authAuthority does as well."""

Records = Callable[[Deadline], tuple[PasswordServerRecord, ...]]
"""Reads what the directory says of its Password Servers; may raise DirectoryError."""


@dataclass(frozen=True, slots=True)
class Servers:
    """The servers for one account.

    Attributes:
        order: All of them, in the order in which they are asked.
        masters: Those of them that are the master, whose word on an account's state
            stands over a replica's.
    """

    order: tuple[Endpoint, ...]
    masters: tuple[Endpoint, ...] = ()


class ServerList:
    """Knows the servers of one directory; used by many threads."""

    def __init__(
        self,
        records: Records,
        ldap_host: Callable[[], str],
        port: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Know nothing yet.

        Args:
            records: Reads the directory's own list.
            ldap_host: The LDAP server in use, "" before one is.
            port: The port where none is written.
            clock: Seconds.
        """
        self._read = records
        self._ldap_host = ldap_host
        self._port = port
        self._clock = clock
        self._known: tuple[PasswordServerRecord, ...] = ()
        self._next = clock()
        self._reading = threading.Lock()

    def of(self, data: PasswordServerData, deadline: Deadline) -> Servers:
        """Return the servers for an account.

        Args:
            data: What its authAuthority says.
            deadline: The login's.
        """
        record = password_server_record.choose(
            self.records(deadline), data.public_key
        ) or PasswordServerRecord("")
        listed = self._endpoints(record.in_order(self._ldap_host()))
        own = password_server_record.parse_address(f"{data.family}/{data.address}")
        order = dict.fromkeys((*listed, *([self._endpoint(own)] if own else ())))
        masters = self._endpoints([record.primary] if record.primary else [])
        return Servers(tuple(order), tuple(masters))

    def records(self, deadline: Deadline) -> tuple[PasswordServerRecord, ...]:
        """Return what the directory says, or said before where it cannot be asked.

        One caller waits for the directory, the others take what is known by then.
        """
        if self._clock() >= self._next and self._reading.acquire(blocking=False):
            try:
                self._learn(deadline)
            finally:
                self._reading.release()
        return self._known

    def endpoints(self, record: PasswordServerRecord) -> tuple[Endpoint, ...]:
        """Return where all servers of a record listen."""
        return tuple(dict.fromkeys(self._endpoints(record.servers)))

    def _learn(self, deadline: Deadline) -> None:
        wait = AGAIN
        try:
            self._known = self._read(Deadline.after(deadline.within(SECONDS)))
            wait = KEPT
        except (DirectoryError, ConfigError):
            pass  # told where the account is read, and by `check`
        finally:
            self._next = self._clock() + wait

    def _endpoints(self, servers: Iterable[PasswordServer]) -> Iterator[Endpoint]:
        for server in servers:
            named = Address(server.dns) if server.dns else None
            for address in server.addresses or ([named] if named else []):
                yield self._endpoint(address)

    def _endpoint(self, address: Address) -> Endpoint:
        return Endpoint(address.host, address.port or self._port)
