"""A relay in front of a realm's KDCs, because libkrb5 cannot leave a frozen one.

A KDC that still accepts connections but never answers holds libkrb5 for ten
seconds at each exchange, longer than a mail server waits; no setting changes that.
So libkrb5 is given one KDC, this relay on the loopback, which hands each request
to the first usable KDC, with the same health, cool-down and deadlines as the LDAP
servers have.

Messages pass unchanged (RFC 4120 section 7.2.2: four octets of length, then the
message). Nothing is trusted here: tickets are verified by the keytab. An exchange
begins with a request that holds no proof of the password, so a frozen KDC is noticed
before a password's proof is sent to anybody. Should one freeze just then, with the
proof, no other KDC gets that: a wrong password would count twice.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Sequence
from contextlib import nullcontext

from dirbridge.authenticators.sent_proofs import SentProofs
from dirbridge.config.types import HostPort
from dirbridge.errors import DirectoryError, RemoteProtocolError, Unreachable
from dirbridge.ldap.failover import Failover, ServerState
from dirbridge.ldap.transport import Endpoint, Unanswered, code_of, connect
from dirbridge.model.deadline import Deadline
from dirbridge.protocols.kerberos import holds_proof

EACH_KDC = 3.0
"""Most seconds for one KDC while another is left to ask."""

EXCHANGE = 8.0
"""Most seconds for a request and its answer."""

FIRST_OCTETS = 1.0
"""Seconds for a request's length; libkrb5 sends it as soon as it has connected. A
local program that connects and stays silent must not hold a place for longer."""

PAUSE = 0.1
"""Seconds before listening goes on after an error, such as too many open files."""

MAX_MESSAGE = 1024 * 1024
"""Longest message that is passed on; tickets with a large PAC have some 64 kB."""

_KDC_PORT = 88
_LENGTH = 4


class KdcRelay:
    """Passes Kerberos requests on to the first usable KDC of a realm."""

    def __init__(
        self,
        realm: str,
        kdcs: Sequence[HostPort],
        *,
        failover: Failover | None = None,
        proofs: SentProofs | None = None,
        limit: int = 64,
    ) -> None:
        """Prepare a relay; nothing is listened on yet.

        Args:
            realm: The realm, for errors.
            kdcs: Its KDCs in order.
            failover: Who is asked; default is one with the usual cool-down.
            proofs: Learns which proofs of passwords are unanswered.
            limit: Most requests at once; more are turned away.
        """
        endpoints = [Endpoint(kdc.host, kdc.port or _KDC_PORT) for kdc in kdcs]
        self._realm = realm
        self._failover = failover or Failover(realm, endpoints)
        self._proofs = proofs or SentProofs()
        self._free = threading.BoundedSemaphore(limit)
        self._listener: socket.socket | None = None
        self._closed = threading.Event()

    def start(self) -> HostPort:
        """Listen on a free port of the loopback; call it after any fork.

        Returns:
            What to write as the realm's only KDC into krb5.conf.
        """
        listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self._listener = listener
        name = f"kdc-relay-{self._realm}"
        threading.Thread(
            target=self._listen, args=(listener,), name=name, daemon=True
        ).start()
        return HostPort(host="127.0.0.1", port=listener.getsockname()[1])

    def close(self) -> None:
        """Stop listening; requests on their way end by themselves."""
        self._closed.set()
        if self._listener is not None:
            with contextlib.suppress(OSError):
                self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
            self._listener = None

    def states(self) -> tuple[ServerState, ...]:
        """Return what is known of each KDC."""
        return self._failover.states()

    def _listen(self, listener: socket.socket) -> None:
        while not self._closed.is_set():
            try:
                client, _ = listener.accept()
            except OSError:
                # Too many open files, a client that has gone: all of it passes.
                self._closed.wait(PAUSE)
                continue
            self._begin(client)

    def _begin(self, client: socket.socket) -> None:
        if not self._free.acquire(blocking=False):
            client.close()
            return
        try:
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()
        except RuntimeError:  # the machine gives no more threads
            self._free.release()
            client.close()

    def _serve(self, client: socket.socket) -> None:
        """Answer one client's requests; an outage is told by closing."""
        try:
            with client:
                while True:
                    deadline = Deadline.after(EXCHANGE)
                    request = _receive(client, deadline, FIRST_OCTETS)
                    client.sendall(self._forward(request, deadline))
        except (OSError, DirectoryError, RemoteProtocolError):
            return
        finally:
            self._free.release()

    def _forward(self, request: bytes, deadline: Deadline) -> bytes:
        proof = holds_proof(request[_LENGTH:])

        def ask(kdc: Endpoint, limit: Deadline) -> bytes:
            try:
                stream = connect(kdc, limit)
            except OSError as error:
                raise self._unreachable(kdc, error) from error
            try:
                with stream, self._proofs.sent() if proof else nullcontext():
                    # Nobody else may get a proof, so its KDC has all the time.
                    return _exchange(stream, request, deadline if proof else limit)
            except (OSError, RemoteProtocolError) as error:
                failure = self._unreachable(kdc, error)
                raise (Unanswered.of(failure) if proof else failure) from error

        return self._failover.run(ask, deadline, each=EACH_KDC)

    def _unreachable(self, kdc: Endpoint, error: Exception) -> Unreachable:
        return Unreachable(
            domain=self._realm,
            server=str(kdc),
            operation="kerberos",
            code=code_of(error) if isinstance(error, OSError) else "protocol",
            detail=str(error),
        )


def _exchange(stream: socket.socket, request: bytes, deadline: Deadline) -> bytes:
    stream.settimeout(max(deadline.left(), 0.001))
    stream.sendall(request)
    return _receive(stream, deadline)


def _receive(
    stream: socket.socket, deadline: Deadline, first: float = EXCHANGE
) -> bytes:
    """Receive one message with its length in front.

    Args:
        stream: From whom.
        deadline: When all of it must be there.
        first: Seconds for the length.

    Raises:
        OSError: It did not come, or not in time.
        RemoteProtocolError: It is longer than allowed.
    """
    length = _exactly(stream, _LENGTH, Deadline.after(deadline.within(first)))
    size = int.from_bytes(length, "big")
    if size > MAX_MESSAGE:
        raise RemoteProtocolError(f"a Kerberos message of {size} octets")
    return length + _exactly(stream, size, deadline)


def _exactly(stream: socket.socket, size: int, deadline: Deadline) -> bytes:
    data = bytearray()
    while len(data) < size:
        left = deadline.left()
        if left <= 0:
            raise TimeoutError("no answer in time")
        stream.settimeout(left)
        more = stream.recv(size - len(data))
        if not more:
            raise ConnectionResetError("the peer closed the connection")
        data += more
    return bytes(data)
