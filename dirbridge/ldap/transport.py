"""A connection to one server: name look-up, TCP, TLS, and a deadline on all of it.

ldap3's own socket code is not used: it sets no TCP_NODELAY (48 ms instead of 6 for
an LDAPS bind), its handshake and read time-outs are one whole number of seconds,
and its errors no longer say what happened (measured with ldap3 2.9.1).
ldap3 gets a `Transport` for its socket instead.
"""

from __future__ import annotations

import contextlib
import errno
import select
import socket
import ssl
import weakref
from collections.abc import Callable, Sequence
from functools import partial
from typing import Self

from dirbridge.config.settings import Security
from dirbridge.errors import RemoteProtocolError, Unreachable, Unsupported
from dirbridge.ldap.access import LDAP_PORT, LDAPS_PORT, Access, Endpoint
from dirbridge.ldap.addresses import Addresses
from dirbridge.ldap.sealed import Seal, SealBroken, SealedStream
from dirbridge.ldap.tls import WrongPin, handshake, is_first_seen, looking
from dirbridge.model.deadline import Deadline
from dirbridge.protocols import ldap_messages as messages

__all__ = [
    "LDAPS_PORT",
    "LDAP_PORT",
    "Access",
    "Endpoint",
    "Transport",
    "Unanswered",
    "code_of",
    "connect",
    "open_transport",
    "resolve",
]
PROOF_SECONDS = 3.0
"""Most seconds for a server to show that it is not frozen."""

_addresses = Addresses()
resolve = _addresses.resolve

# X509_V_ERR_* of OpenSSL's x509_vfy.h.
_CERTIFICATE_CODES = {
    9: "certificate-expired",
    10: "certificate-expired",
    18: "certificate-self-signed",
    62: "certificate-name",
    64: "certificate-name",
    66: "certificate-weak",
    67: "certificate-weak",
    68: "certificate-weak",
}

_OS_CODES = {
    errno.ECONNREFUSED: "refused",
    errno.EHOSTUNREACH: "no-route",
    errno.ENETUNREACH: "no-route",
    errno.ECONNRESET: "closed",
    errno.EPIPE: "closed",
    errno.ETIMEDOUT: "timeout",
}


class Unanswered(Unreachable):
    """A password was sent and no answer came: it may have been counted there."""

    @classmethod
    def of(cls, error: Unreachable) -> Self:
        """Return what an outage is where a password was out already."""
        return cls(
            domain=error.domain,
            server=error.server,
            operation=error.operation,
            code=error.code,
            detail=error.detail,
        )


class Transport:
    """A connected stream whose every wait ends by a point in time.

    It looks enough like a socket for ldap3. `failure` keeps the code of what went
    wrong, because ldap3 folds all socket errors into one.

    Attributes:
        endpoint: The server.
        domain: The mail domain, for errors.
        failure: Code of the error that ended it, "" as long as it works.
        waits_for_nobody: Whether `result_of` and `entries_of` are there for it, as
            only TLS tells what has come without a wait: not in clear, nor sealed.
    """

    def __init__(self, sock: socket.socket, endpoint: Endpoint, domain: str) -> None:
        self._socket = sock
        # Whoever drops a connection need not close it first.
        self._dropped = weakref.finalize(self, sock.close)
        self._deadline = Deadline.after(0)
        self._next_id = 1
        self._rest = b""
        # Whether the socket waits for nothing; to ask it, or to tell it, costs.
        self._hurried = False
        # How many more TLS records are read before others have their turn.
        self._records = 0
        self._poll = _poll_of(sock)
        self._sealed: SealedStream | None = None
        self.endpoint = endpoint
        self.domain = domain
        self.failure = ""
        self.detail = ""
        self.waits_for_nobody = isinstance(sock, ssl.SSLSocket)

    def allow(self, deadline: Deadline) -> None:
        """Let all further sending and receiving take until `deadline`."""
        self._deadline = deadline

    def sendall(self, data: bytes) -> None:
        """Send all of it.

        Raises:
            OSError: It failed or was too late; `failure` says which.
        """
        try:
            if not (self._hurried and self._sent_at_once(data)):
                self._wait_for_it()
                (self._sealed or self._socket).sendall(data)
        except OSError as error:
            self._note(error)
            raise

    def recv(self, size: int) -> bytes:
        """Receive up to `size` octets, none where the server closed.

        Raises:
            OSError: It failed or was too late; `failure` says which.
        """
        try:
            self._wait_for_it()
            if self._sealed is None:
                data = self._socket.recv(size)
            else:
                data = self._sealed.recv(size, lambda: _remaining(self._deadline))
        except OSError as error:
            self._note(error)
            raise
        if not data:
            self.failure = self.failure or "closed"
        return data

    def recv_ready(self, size: int) -> bytes:
        """Receive like `recv`, and with it all that is there, up to about `size`.

        Raises:
            OSError: It failed or was too late; `failure` says which.
        """
        data = self.recv(size)
        if data and self._sealed is None and isinstance(self._socket, ssl.SSLSocket):
            self._hurry()
            return data + _ready(self._socket, size - len(data))
        return data

    def poll(self, size: int, seconds: float) -> bytes | None:
        """Receive what comes in some seconds; None, and no failure, if nothing does.

        Raises:
            OSError: It failed; `failure` says how.
        """
        allowed, self._deadline = self._deadline, Deadline.after(seconds)
        try:
            return self.recv(size)
        except TimeoutError as error:
            # With a number it is the kernel's: the peer has not answered for long.
            if error.errno is not None:
                raise
            self.failure = self.detail = ""
            return None
        finally:
            self._deadline = allowed

    def keep_alive(self) -> None:
        """Let the kernel see within a minute that the other end is gone."""
        for option, value in _KEEP_ALIVE:
            self._socket.setsockopt(socket.IPPROTO_TCP, option, value)

    def idle(self) -> bool:
        """Whether it is open with nothing to read: a kept one may be used again."""
        if self.failure:
            return False
        pending = isinstance(self._socket, ssl.SSLSocket) and self._socket.pending()
        pending = pending or (self._sealed is not None and self._sealed.pending())
        # Octets that nobody asked for are an end or the notice of one.
        return not (pending or self._rest or self._poll.poll(0))

    def take_id(self) -> int:
        """Return the number of the next message that its user writes itself."""
        number, self._next_id = self._next_id, self._next_id + 1
        return number

    def take_rest(self) -> bytes:
        """Return what came after the last answer that was read here."""
        rest, self._rest = self._rest, b""
        return rest

    def simple_bind(self, name: str, password: str) -> messages.Result:
        """Bind and return the result, whatever its code.

        Raises:
            Unanswered: The request is out and no answer came.
            Unreachable: The request could not be sent.
        """
        request = messages.bind_request(self._next_id, name, password)
        asked = self._send(request, "bind")
        try:
            return self._result(asked, messages.BIND_ANSWER, "bind")
        except Unreachable as error:
            raise Unanswered.of(error) from error

    def sasl_bind(self, mechanism: str, credentials: bytes | None) -> messages.Result:
        """Send one leg of a SASL bind and return the result, whatever its code.

        Raises:
            Unreachable: No answer came.
        """
        request = messages.sasl_bind_request(self._next_id, mechanism, credentials)
        asked = self._send(request, "bind")
        return self._result(asked, messages.BIND_ANSWER, "bind")

    def seal(self, seal: Seal) -> None:
        """Seal all that follows.

        Raises:
            Unreachable: Something follows the bind's answer already.
        """
        if self._rest:
            # As after StartTLS: nothing that was read in clear may be taken for an
            # answer under the seal.
            self.failure = "seal-broken"
            raise self.error("bind", detail="octets follow the bind's answer")
        self._sealed = SealedStream(self._socket, seal)
        self.waits_for_nobody = False

    def start_tls(self) -> messages.Result:
        """Ask for TLS and return the result.

        Raises:
            Unreachable: No answer came.
        """
        asked = self._send(messages.start_tls_request(self._next_id), "connect")
        return self._result(asked, messages.EXTENDED_ANSWER, "connect")

    def read_entry(self, base: str, attributes: Sequence[str]) -> messages.Reading:
        """Read one entry, "" for the rootDSE, and say how it ended.

        Raises:
            Unreachable: No whole answer came.
        """
        return self.read_entries((base, attributes))[0]

    def read_entries(
        self, *wanted: tuple[str, Sequence[str]]
    ) -> tuple[messages.Reading, ...]:
        """Read entries one by one, but ask for all of them at once.

        Args:
            *wanted: Of each the DN, "" for the rootDSE, and the attributes.

        Raises:
            Unreachable: No whole answer came to one of them.
        """
        reads = self.ask_entries(*wanted)
        self._collect(reads, self._receive_message)
        return reads.found

    def fileno(self) -> int:
        """Return the socket's number, for whoever waits until something comes."""
        return self._socket.fileno()

    def ask_bind(self, name: str, password: str) -> int:
        """Send a simple bind; returns its number, for `result_of`.

        Raises:
            Unreachable: It could not be sent.
        """
        request = messages.bind_request(self._next_id, name, password)
        return self._send(request, "bind")

    def result_of(self, asked: int) -> messages.Result | None:
        """Return a bind's result, None as long as it has not come; never waits.

        Raises:
            Unreachable: None will come.
        """
        self._records = _AT_ONCE
        try:
            message = self._arrived()
        except (OSError, RemoteProtocolError) as error:
            raise self._broken("bind", error) from error
        if message is None:
            return None
        return self._judged(message, asked, messages.BIND_ANSWER, "bind")

    def ask_entries(self, *wanted: tuple[str, Sequence[str]]) -> Reads:
        """Ask as `read_entries` does, for `entries_of`.

        Raises:
            Unreachable: It could not be sent.
        """
        numbers = tuple(range(self._next_id, self._next_id + len(wanted)))
        self._next_id += len(wanted)
        requests = (
            messages.read_request(number, base, attributes)
            for number, (base, attributes) in zip(numbers, wanted, strict=True)
        )
        try:
            self.sendall(b"".join(requests))
        except (OSError, RemoteProtocolError) as error:
            raise self._broken("read", error) from error
        return Reads(numbers)

    def entries_of(self, reads: Reads) -> tuple[messages.Reading, ...] | None:
        """Return what was read, None as long as some has not come; never waits.

        Raises:
            Unreachable: It will not come.
        """
        self._records = _AT_ONCE
        return reads.found if self._collect(reads, self._arrived) else None

    def _collect(self, reads: Reads, receive: Callable[[], bytes | None]) -> bool:
        """Take messages until all reads have ended; whether they have."""
        try:
            while len(reads.results) < len(reads.numbers):
                message = receive()
                if message is None:
                    return False
                strange = reads.take(message)
                if strange is not None:
                    raise self._ended("read", strange)
        except (OSError, RemoteProtocolError) as error:
            raise self._broken("read", error) from error
        return True

    def await_more(self, operation: str) -> None:
        """Wait until the server says more, as long as is allowed.

        Raises:
            Unreachable: It does not.
        """
        try:
            self._rest += self._more()
        except OSError as error:
            raise self._broken(operation, error) from error

    def prove_alive(self, deadline: Deadline) -> None:
        """Let the server answer something harmless before a password goes out.

        Any result will do: a server that hides its rootDSE is alive too.

        Raises:
            Unreachable: It does not answer in time, or says that it is away.
        """
        self.allow(deadline.soon(PROOF_SECONDS))
        result = self.read_entry("", _NO_ATTRIBUTES).result
        if result.code in _NOTICES:
            raise self.error("connect", _NOTICES[result.code], result.text)

    def error(self, operation: str, code: str = "", detail: str = "") -> Unreachable:
        """Return the error that tells what ended this connection."""
        return Unreachable(
            domain=self.domain,
            server=str(self.endpoint),
            operation=operation,
            code=code or self.failure or "closed",
            detail=detail or self.detail,
        )

    def close(self) -> None:
        """Close it; closing twice is harmless."""
        self.failure = self.failure or "closed"
        with contextlib.suppress(OSError):
            self._socket.close()

    def shutdown(self, how: int) -> None:
        """Shut the stream down; for ldap3."""
        self._socket.shutdown(how)

    def peer_certificate(self) -> bytes | None:
        """Return the server's certificate (DER), None without TLS."""
        if isinstance(self._socket, ssl.SSLSocket):
            return self._socket.getpeercert(binary_form=True)
        return None

    def _secure(self, access: Access, deadline: Deadline) -> None:
        if self._rest:
            # Nothing read in clear may be taken for an answer under TLS: whoever
            # sits in between could write the bind's answer there.
            self.failure = "tls"
            raise self.error("connect", detail="octets follow the StartTLS answer")
        self._socket = handshake(
            self._socket, self.endpoint.host, access, _remaining(deadline)
        )
        self._poll = _poll_of(self._socket)
        self.waits_for_nobody = True
        self._dropped.detach()
        self._dropped = weakref.finalize(self, self._socket.close)

    def _send(self, request: bytes, operation: str) -> int:
        """Send a request and return its message id."""
        asked, self._next_id = self._next_id, self._next_id + 1
        try:
            self.sendall(request)
        except (OSError, RemoteProtocolError) as error:
            raise self._broken(operation, error) from error
        return asked

    def _result(self, asked: int, tag: int, operation: str) -> messages.Result:
        """Receive the answer of a kind to a request."""
        try:
            message = self._receive_message()
        except (OSError, RemoteProtocolError) as error:
            raise self._broken(operation, error) from error
        return self._judged(message, asked, tag, operation)

    def _judged(
        self, message: bytes, asked: int, tag: int, operation: str
    ) -> messages.Result:
        """Return the result that a message is, if it is the one that was asked for."""
        try:
            result = messages.parse_result(message)
            _demand(result, asked, tag)
        except (OSError, RemoteProtocolError) as error:
            raise self._broken(operation, error) from error
        if result.message_id != asked:
            raise self._ended(operation, result)
        return result

    def _ended(self, operation: str, notice: messages.Result) -> Unreachable:
        """Return the error of a notice of disconnection (RFC 4511 section 4.4.1)."""
        self.failure = _NOTICES.get(notice.code, "closed")
        return self.error(operation, detail=notice.text)

    def _broken(self, operation: str, error: Exception) -> Unreachable:
        """Return the error of what failed on the way."""
        self.failure = self.failure or "protocol"
        return self.error(operation, detail=str(error))

    def _receive_message(self) -> bytes:
        while (message := self._whole()) is None:
            self._rest += self._more()
        return message

    def _whole(self) -> bytes | None:
        """Take the next message, None where it is not whole."""
        data = self._rest
        size = messages.message_size(data) if data else None
        if size is None or len(data) < size:
            return None
        self._rest = data[size:]
        return data[:size]

    def _more(self) -> bytes:
        more = self.recv(_AT_A_TIME)
        if not more:
            raise ConnectionResetError("the server closed the connection")
        return more

    def _arrived(self) -> bytes | None:
        """Take the next message, with what has come by now; None: not yet whole.

        Only TLS is read without waiting. Whoever reads otherwise waits for more.
        """
        message = self._whole() if self._rest else None
        while message is None and self._records and self.waits_for_nobody:
            more = self._here()
            if not more:
                return None
            self._records -= 1
            self._rest += more
            message = self._whole()
        return message

    def _here(self) -> bytes:
        """Receive one TLS record that is there, b"" where none is."""
        try:
            self._hurry()
            more = self._socket.recv(_AT_A_TIME)
        except (ssl.SSLWantReadError, BlockingIOError):
            return b""
        except OSError as error:
            self._note(error)
            raise
        if not more:
            self.failure = self.failure or "closed"
            raise ConnectionResetError("the server closed the connection")
        return more

    def _sent_at_once(self, data: bytes) -> bool:
        """Send all of it if that needs no wait; else nothing of it counts as sent.

        TLS sends a record or asks for the same octets again (SSL_write(3)).
        """
        if len(data) > _AT_A_TIME or not self.waits_for_nobody:
            return False
        if self._deadline.left() <= 0:
            return False
        try:
            self._socket.send(data)
        except (ssl.SSLWantWriteError, ssl.SSLWantReadError):
            return False
        return True

    def _hurry(self) -> None:
        """Let the socket wait for nothing."""
        if not self._hurried:
            self._socket.settimeout(0)
            self._hurried = True

    def _wait_for_it(self) -> None:
        """Let the socket wait until the deadline."""
        self._socket.settimeout(_remaining(self._deadline))
        self._hurried = False

    def _note(self, error: OSError) -> None:
        """Keep what an error tells; ldap3 folds them all into one."""
        self.failure = self.failure or code_of(error)
        self.detail = self.detail or str(error)


_AT_A_TIME = 16384
"""Octets; no TLS record has more (RFC 8446 section 5.1)."""
_AT_ONCE = 16
"""TLS records read without a wait, before others on an event loop have their turn."""
_NOTICES = {51: "busy", 52: "unavailable"}
_KEEP_ALIVE = (
    (socket.TCP_KEEPIDLE, 20),
    (socket.TCP_KEEPINTVL, 10),
    (socket.TCP_KEEPCNT, 3),
    (socket.TCP_USER_TIMEOUT, 50_000),
)
"""Seconds of silence, seconds between questions, how many of them; and milliseconds
for which what was sent may stay without a receipt (RFC 9293 section 3.8.4, tcp(7))."""
_NO_ATTRIBUTES = ("1.1",)


class Reads:
    """Reads of single entries that are under way; the answers come mixed.

    Attributes:
        numbers: Their messages.
        results: How those ended that did, by message.
    """

    def __init__(self, numbers: tuple[int, ...]) -> None:
        self.numbers = numbers
        self.results: dict[int, messages.Result] = {}
        self._entries: dict[int, messages.Entry] = {}

    @property
    def found(self) -> tuple[messages.Reading, ...]:
        """What was read, once all of them ended."""
        return tuple(
            messages.Reading(self.results[number], self._entries.get(number))
            for number in self.numbers
        )

    def take(self, message: bytes) -> messages.Result | None:
        """Take a message; gives it back where it ends none of these reads.

        Raises:
            RemoteProtocolError: It belongs nowhere.
        """
        number, operation = messages.opened(message)
        tag = operation[0] if operation else 0
        open_one = number in self.numbers and number not in self.results
        if open_one and tag == messages.SEARCH_ENTRY:
            self._entries[number] = messages.entry_of(operation)
            return None
        if open_one and tag == messages.SEARCH_REFERENCE:
            return None
        result = messages.result_of(number, operation)
        if not open_one:
            return result
        _demand(result, number, messages.SEARCH_DONE)
        self.results[number] = result
        return None


def _demand(result: messages.Result, asked: int, tag: int) -> None:
    """Refuse the answer to a request that is of another kind."""
    if result.message_id == asked and result.tag != tag:
        raise RemoteProtocolError(f"an answer of kind {result.tag:#04x}")


def open_transport(endpoint: Endpoint, access: Access, deadline: Deadline) -> Transport:
    """Connect to a server, with TLS verified where the access asks for it.

    Args:
        endpoint: The server.
        access: How to reach it.
        deadline: When it must stand; `connect_seconds` holds as well.

    Raises:
        Unreachable: It did not work; the code says at which step.
        Unsupported: The server does not offer StartTLS, or the security is not built.
    """
    deadline = deadline.soon(access.connect_seconds)
    if is_first_seen(endpoint.host, access):
        open_transport(endpoint, looking(access), deadline).close()
    failed = partial(
        Unreachable, domain=access.domain, server=str(endpoint), operation="connect"
    )
    try:
        sock = connect(endpoint, deadline)
    except OSError as error:
        raise failed(code=code_of(error), detail=str(error)) from error
    transport = Transport(sock, endpoint, access.domain)
    transport.allow(deadline)
    try:
        _protect(transport, access, deadline)
    except OSError as error:
        transport.close()
        raise failed(code=code_of(error, "tls"), detail=_said(error)) from error
    except (Unreachable, Unsupported):
        transport.close()
        raise
    return transport


def code_of(error: OSError, otherwise: str = "closed") -> str:
    """Return the stable word for a network error."""
    if isinstance(error, SealBroken | WrongPin):
        return error.code
    if isinstance(error, ssl.SSLCertVerificationError):
        return _CERTIFICATE_CODES.get(error.verify_code, "certificate-untrusted")
    if isinstance(error, TimeoutError):
        return "timeout"
    if isinstance(error, socket.gaierror):
        return "dns"
    if isinstance(error, ssl.SSLError):
        return "tls"
    return _OS_CODES.get(error.errno or 0, otherwise)


def connect(endpoint: Endpoint, deadline: Deadline) -> socket.socket:
    """Connect to the first address of a host that answers, without TLS.

    Raises:
        OSError: None did, in time; `code_of` says why.
    """
    addresses = resolve(endpoint.host, _remaining(deadline))
    last: OSError = ConnectionError("the name has no address")
    for left, (family, address) in zip(
        range(len(addresses), 0, -1), addresses, strict=True
    ):
        sock = socket.socket(family, socket.SOCK_STREAM)
        try:
            sock.settimeout(_remaining(deadline) / left)
            sock.connect((address, endpoint.port))
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        except OSError as error:
            sock.close()
            last = error
        else:
            return sock
    _addresses.doubt(endpoint.host)
    raise last


def _protect(transport: Transport, access: Access, deadline: Deadline) -> None:
    match access.security:
        case Security.NONE | Security.SEALED:
            return  # what is sealed begins with the bind, see `Transport.seal`
        case Security.STARTTLS:
            result = transport.start_tls()
            if result.code != 0:
                raise _no_start_tls(transport, result)
    transport._secure(access, deadline)  # noqa: SLF001 - this module's own class


def _no_start_tls(
    transport: Transport, result: messages.Result
) -> Unreachable | Unsupported:
    if result.code in _NOTICES:
        return transport.error("connect", _NOTICES[result.code], result.text)
    return Unsupported(
        domain=transport.domain,
        server=str(transport.endpoint),
        operation="connect",
        code="no-starttls",
        detail=f"{result.code} {result.text}",
    )


def _said(error: OSError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return getattr(error, "verify_message", "") or str(error)
    return str(error)


def _ready(secured: ssl.SSLSocket, most: int) -> bytes:
    """Return what TLS can give at once: slapd sends a record for each entry.

    The socket waits for nothing.
    """
    parts: list[bytes] = []
    # The end, or what broke, is met again by whoever receives next.
    with contextlib.suppress(OSError):
        while most > 0 and (part := secured.recv(most)):
            parts.append(part)
            most -= len(part)
    return b"".join(parts)


def _poll_of(sock: socket.socket) -> select.poll:
    """Return what tells whether a read would return at once.

    `select` knows no descriptor above 1023.
    """
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    return poll


def _remaining(deadline: Deadline) -> float:
    left = deadline.left()
    if left <= 0:
        raise TimeoutError("no answer in time")
    return left
