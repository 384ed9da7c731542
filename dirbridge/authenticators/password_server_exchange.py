"""Drives a conversation with one Password Server over TCP.

The protocol has no TLS; who the server is shows in the conversation itself.
"""

from __future__ import annotations

import secrets
from contextlib import suppress
from typing import TypeVar

from dirbridge.config.settings import Security
from dirbridge.errors import RemoteProtocolError, Unreachable
from dirbridge.ldap.transport import (
    Access,
    Endpoint,
    Transport,
    Unanswered,
    open_transport,
)
from dirbridge.model.deadline import Deadline
from dirbridge.protocols.password_server_session import Connection, Need, Send

CONNECT_SECONDS = 1.0
"""Most seconds to connect, as long as Apple's client waits."""

GREETING_SECONDS = 3.0
"""Most seconds for the greeting: the kernel also accepts connections to a frozen
server."""

ANSWER_SECONDS = 10.0
"""Most seconds for an answer, as long as Apple's client waits."""

QUIET_SECONDS = 0.5
"""Seconds of silence after which a very old server is taken to have said all."""

OutcomeT = TypeVar("OutcomeT")


def new_nonce() -> bytes:
    """Return a random number of 256 bits in decimal digits, for one conversation."""
    return b"%d" % (secrets.randbits(256) | 1 << 255)


def converse(
    connection: Connection[OutcomeT],
    domain: str,
    server: Endpoint,
    limit: Deadline,
    deadline: Deadline,
) -> OutcomeT:
    """Connect, and carry a conversation to its outcome.

    Args:
        connection: The conversation, just begun.
        domain: The mail domain, for errors.
        server: Where to connect to.
        limit: When another server is to be asked instead.
        deadline: When the outcome must be there once the server may count a try.

    Raises:
        Unanswered: The server went away with a try that it may have counted.
        Unreachable: No outcome, and no try either.
    """
    access = Access(
        domain=domain, security=Security.NONE, connect_seconds=CONNECT_SECONDS
    )
    transport = open_transport(server, access, limit)
    try:
        outcome = _Exchange(transport, limit, deadline).run(connection)
        with suppress(OSError):
            transport.sendall(connection.quit())
        return outcome
    finally:
        transport.close()


class _Exchange:
    """One conversation on one connected stream."""

    def __init__(
        self, transport: Transport, limit: Deadline, deadline: Deadline
    ) -> None:
        self._transport = transport
        self._limit = limit
        self._deadline = deadline
        self._counted = False
        transport.allow(limit.soon(GREETING_SECONDS))

    def run(self, connection: Connection[OutcomeT]) -> OutcomeT:
        try:
            return self._follow(connection)
        except Unreachable as error:
            if self._counted:
                raise Unanswered.of(error) from error
            raise

    def _follow(self, connection: Connection[OutcomeT]) -> OutcomeT:
        try:
            while True:
                event = connection.next_event()
                if isinstance(event, Send):
                    self._send(event)
                elif event is Need.DATA:
                    connection.receive_data(self._received())
                elif event is Need.PERHAPS:
                    self._listen(connection)
                else:
                    return event
        except OSError as error:
            raise self._transport.error("login", detail=str(error)) from error
        except RemoteProtocolError as error:
            raise self._transport.error("login", "protocol", str(error)) from error

    def _send(self, event: Send) -> None:
        self._counted |= event.counts
        limit = self._deadline if self._counted else self._limit
        self._transport.allow(Deadline.after(limit.within(ANSWER_SECONDS)))
        self._transport.sendall(event.data)

    def _received(self) -> bytes:
        data = self._transport.recv(4096)
        if not data:
            raise self._transport.error("login", "closed")
        return data

    def _listen(self, connection: Connection[OutcomeT]) -> None:
        data = self._transport.poll(4096, self._limit.within(QUIET_SECONDS))
        if data is None:
            connection.nothing_came()
        elif data:
            connection.receive_data(data)
        else:
            raise self._transport.error("login", "closed")
