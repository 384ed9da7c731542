"""A limiting LDAP proxy: Windows' limits, and a server that fails on command.

Samba cuts neither pages nor ranges as Windows does (facts: ad-semantics 0.9), and
no real server answers busy or dies in the middle of page 3 when a test wants it. The
proxy stands before a real server, passes everything through, and changes what it is
told to. It has its own BER, so that a mistake in dirbridge's cannot hide in its mirror;
what it writes has lengths of four octets, as Windows writes them.

    with LdapProxy.before(bed.dc1, limits=Limits(page=50, values=20)) as proxy:
        proxy.fault = Fault(At.PAGE, 3, DROP, entries=10)
        ... server = f"{proxy.host}:{proxy.port}" ...
        proxy.counts.searches
"""

from __future__ import annotations

import contextlib
import selectors
import socket
import ssl
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Self

from testbed.ldap_server import LdapServer

BIND, UNBIND, SEARCH = 0x60, 0x42, 0x63
BIND_ANSWER, ENTRY, DONE = 0x61, 0x64, 0x65
_CONTROLS, _MESSAGE = 0xA0, 0x30
_PAGED = b"1.2.840.113556.1.4.319"

SIZE_LIMIT_EXCEEDED = 4
HANG, DROP = -1, -2
"""Instead of a result code: never answer again, or close the connection."""


class At(Enum):
    """Where a fault happens."""

    BIND = "bind"
    SEARCH = "search"
    PAGE = "page"


@dataclass(frozen=True, slots=True)
class Limits:
    """What the server gives at most, 0 for all.

    Attributes:
        page: Entries of a page, and of a search without pages (MaxPageSize).
        values: Values of an attribute (MaxValRange).
    """

    page: int = 1000
    values: int = 1500


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that goes wrong.

    Attributes:
        at: At which operation.
        number: At which of them, counted from 1 since the fault was set, 0 for each;
            pages are counted within their search.
        code: The result code that is answered, or `HANG`, `DROP`.
        entries: So many entries of the true answer come first. A connection that is
            dropped then ends in the middle of the next one.
        text: The server's words.
    """

    at: At
    number: int
    code: int
    entries: int = 0
    text: str = "says the proxy"


@dataclass(slots=True)
class Counts:
    """What crossed the wire.

    Attributes:
        connections: Connections from clients.
        binds: Bind requests.
        searches: Search requests, each page one.
        pages: Those of them that were paged.
        entries: Entries that clients were given.
        received: Octets from clients, without TLS.
        sent: Octets to clients, without TLS.
    """

    connections: int = 0
    binds: int = 0
    searches: int = 0
    pages: int = 0
    entries: int = 0
    received: int = 0
    sent: int = 0


@dataclass(frozen=True, slots=True)
class Target:
    """The real server, trusted without a look at its certificate."""

    address: str
    port: int = 636
    tls: bool = True

    def connect(self) -> socket.socket:
        """Connect to it."""
        plain = socket.create_connection((self.address, self.port), timeout=10)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if not self.tls:
            return plain
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return context.wrap_socket(plain)


class LdapProxy:
    """Listens before one server until it is stopped; a context manager.

    Attributes:
        limits: What it cuts off; may be changed at any time.
        bind_delay: Seconds for which it keeps each bind back, as a slow server does.
        host: The name that fits the certificate.
        address: Where it listens.
        port: Where it listens.
    """

    def __init__(
        self,
        target: Target,
        *,
        host: str = "127.0.0.1",
        address: str = "127.0.0.1",
        certificate: tuple[Path, Path] | None = None,
        limits: Limits | None = None,
    ) -> None:
        """Prepare it.

        Args:
            target: The server behind it.
            host: A name of `address`.
            address: Where to listen.
            certificate: Certificate and key to serve LDAPS with; plain without.
            limits: What to cut off; Windows' own limits without.
        """
        self.limits = limits or Limits()
        self.bind_delay = 0.0
        self.host = host
        self.address = address
        self.port = 0
        self._target = target
        self._tls = _server_context(certificate) if certificate else None
        self._lock = threading.Lock()
        self._counts = Counts()
        self._fault: Fault | None = None
        self._met = 0
        self._links: set[_Link] = set()
        self._listener: socket.socket | None = None

    @classmethod
    def before(
        cls, server: LdapServer, *, limits: Limits | None = None, tls: bool = True
    ) -> Self:
        """Return one with a server's name, address and certificate, on its own port.

        Args:
            server: A server of the bed.
            limits: What to cut off; Windows' own limits without.
            tls: Whether it serves LDAPS, else plain LDAP.
        """
        folder, name = server.directory / "ca", server.name
        return cls(
            Target(server.address),
            host=server.host,
            address=server.address,
            certificate=(folder / f"{name}.pem", folder / f"{name}.key")
            if tls
            else None,
            limits=limits,
        )

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self.stop()

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"

    @property
    def counts(self) -> Counts:
        """What crossed the wire since the last `reset`."""
        return self._counts

    def reset(self) -> None:
        """Count from zero."""
        with self._lock:
            self._counts = Counts()

    @property
    def fault(self) -> Fault | None:
        """What goes wrong, None while nothing does."""
        return self._fault

    @fault.setter
    def fault(self, fault: Fault | None) -> None:
        with self._lock:
            self._fault, self._met = fault, 0

    def start(self) -> None:
        """Listen, on the same port as before where there was one."""
        self._listener = socket.create_server((self.address, self.port))
        self.port = self._listener.getsockname()[1]
        accept = threading.Thread(target=self._accept, args=(self._listener,))
        accept.daemon = True
        accept.start()

    def stop(self) -> None:
        """Refuse connections from now on, and end those that stand."""
        if self._listener is not None:
            with contextlib.suppress(OSError):
                self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
        self._listener = None
        self.hang_up()

    def hang_up(self) -> None:
        """End all connections, as a server that restarts does."""
        with self._lock:
            links = tuple(self._links)
        for link in links:
            link.cut()

    def met(self, at: At, page: int = 0) -> Fault | None:
        """Return the fault if it is due at this operation; for the connections."""
        with self._lock:
            fault = self._fault
            if fault is None or fault.at is not at:
                return None
            self._met += 1
            number = page if at is At.PAGE else self._met
            return fault if fault.number in (0, number) else None

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            self.counts.connections += 1
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError):
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._tls is not None:
                client.settimeout(10)
                client = self._tls.wrap_socket(client, server_side=True)
            link = _Link(self, client, self._target.connect())
            with self._lock:
                self._links.add(link)
            try:
                link.run()
            finally:
                with self._lock:
                    self._links.discard(link)
                link.cut()
        client.close()


class _Ended(Exception):
    """The connection is over."""


@dataclass(slots=True)
class _Search:
    """A search whose end has not come yet.

    Attributes:
        most: Entries to let through, 0 for all.
        ranges: The part of an attribute that was asked for: from, and to or None.
        fault: What goes wrong with it.
        entries: How many came.
        ended: Whether the client was told an end already.
    """

    most: int
    ranges: dict[bytes, tuple[int, int | None]]
    fault: Fault | None
    entries: int = 0
    ended: bool = False


class _Link:
    """One client's connection and the one to the server, served by one thread."""

    def __init__(
        self, proxy: LdapProxy, client: socket.socket, server: socket.socket
    ) -> None:
        self._proxy = proxy
        self._client = client
        self._server = server
        self._searches: dict[bytes, _Search] = {}
        self._page = 0
        self._silent = False

    def run(self) -> None:
        """Pass messages until one side ends."""
        rest = {self._client: b"", self._server: b""}
        handle = {self._client: self._request, self._server: self._response}
        with contextlib.suppress(_Ended, OSError):
            for source in self._readable():
                data = rest[source] + source.recv(262_144)
                if len(data) == len(rest[source]):
                    return
                messages, rest[source] = _split(data)
                for message in messages:
                    handle[source](message)

    def cut(self) -> None:
        """End both sides."""
        for side in (self._client, self._server):
            with contextlib.suppress(OSError):
                side.shutdown(socket.SHUT_RDWR)
            side.close()

    def _readable(self) -> Iterator[socket.socket]:
        sides = (self._client, self._server)
        with selectors.DefaultSelector() as selector:
            for side in sides:
                side.settimeout(10)
                selector.register(side, selectors.EVENT_READ)
            while True:
                # What TLS has decrypted already no selector can see.
                yield from [s for s in sides if _pending(s)] or [
                    key.fileobj  # type: ignore[misc]
                    for key, _ in selector.select()
                ]

    def _request(self, raw: bytes) -> None:
        counts = self._proxy.counts
        counts.received += len(raw)
        if self._silent:
            return
        if raw[0] != _MESSAGE:  # sealed: not ours to read
            self._server.sendall(raw)
            return
        number, operation, *more = _items(_items(raw)[0][1])
        if operation[0] == UNBIND:
            raise _Ended
        if operation[0] == BIND:
            counts.binds += 1
            time.sleep(self._proxy.bind_delay)
            fault = self._proxy.met(At.BIND)
            if fault:
                self._fail(number[1], BIND_ANSWER, fault)
                return
        if operation[0] == SEARCH:
            counts.searches += 1
            raw = self._search(number[1], operation[1], more)
        if raw:
            self._server.sendall(raw)

    def _search(
        self, number: bytes, body: bytes, more: Sequence[tuple[int, bytes]]
    ) -> bytes:
        """Note a search; gives what the server is asked, nothing where it is not."""
        limits = self._proxy.limits
        controls, cookie = _with_page_size(more, limits.page)
        at = At.SEARCH
        if cookie is not None:
            at = At.PAGE
            self._proxy.counts.pages += 1
            self._page = self._page + 1 if cookie else 1
        fault = self._proxy.met(at, self._page)
        if fault and not fault.entries:
            self._fail(number, DONE, fault)
            return b""
        parts = _items(body)
        asked, ranges = _without_ranges(_items(parts[-1][1]))
        most = limits.page if cookie is None else 0
        self._searches[number] = _Search(most, ranges, fault)
        parts[-1] = (parts[-1][0], b"".join(_item(*one) for one in asked))
        request = _item(SEARCH, b"".join(_item(*one) for one in parts))
        return _message(number, request, controls)

    def _response(self, raw: bytes) -> None:
        if self._silent:
            return
        if raw[0] != _MESSAGE:
            self._send(raw)
            return
        number, operation, *more = _items(_items(raw)[0][1])
        search = self._searches.get(number[1])
        if search is None:
            self._send(raw)
        elif operation[0] == DONE:
            del self._searches[number[1]]
            if not search.ended:
                self._send(raw)
        elif not search.ended:
            self._part(search, number[1], operation, more)

    def _part(
        self,
        search: _Search,
        number: bytes,
        operation: tuple[int, bytes],
        more: Sequence[tuple[int, bytes]],
    ) -> None:
        """Let an entry or reference through, cut as the limits say."""
        controls = b"".join(_item(*one) for one in more)
        message = _message(number, _item(*operation), controls)
        if operation[0] == ENTRY:
            fault, search.entries = search.fault, search.entries + 1
            if fault and search.entries > fault.entries:
                search.ended = True
                self._fail(number, DONE, fault, message)
                return
            if search.most and search.entries > search.most:
                search.ended = True
                self._send(_result(number, DONE, SIZE_LIMIT_EXCEEDED, "size limit"))
                return
            cut = _cut_values(operation[1], self._proxy.limits.values, search.ranges)
            message = _message(number, _item(ENTRY, cut), controls)
            self._proxy.counts.entries += 1
        self._send(message)

    def _fail(
        self, number: bytes, tag: int, fault: Fault, message: bytes = b""
    ) -> None:
        if fault.code == HANG:
            self._silent = True
        elif fault.code == DROP:
            self._send(message[: len(message) // 2])
            raise _Ended
        else:
            self._send(_result(number, tag, fault.code, fault.text))

    def _send(self, data: bytes) -> None:
        self._proxy.counts.sent += len(data)
        self._client.sendall(data)


def _server_context(certificate: tuple[Path, Path]) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    return context


def _pending(side: socket.socket) -> bool:
    return isinstance(side, ssl.SSLSocket) and side.pending() > 0


def _with_page_size(
    more: Sequence[tuple[int, bytes]], limit: int
) -> tuple[bytes, bytes | None]:
    """Return the controls with a page size that the limit allows, and the cookie.

    The cookie is None where no page is asked for (RFC 2696).
    """
    cookie = None
    written = b""
    for tag, content in more:
        controls = b""
        for _, control in _items(content) if tag == _CONTROLS else ():
            parts = _items(control)
            if parts[0][1] == _PAGED:
                size, (_, cookie) = _items(_items(parts[-1][1])[0][1])
                wanted = int.from_bytes(size[1], "big")
                allowed = min(wanted, limit) if limit else wanted
                value = _item(0x02, _integer(allowed)) + _item(0x04, cookie)
                parts[-1] = (0x04, _item(0x30, value))
            controls += _item(0x30, b"".join(_item(*one) for one in parts))
        written += _item(tag, controls)
    return written, cookie


def _without_ranges(
    asked: Sequence[tuple[int, bytes]],
) -> tuple[list[tuple[int, bytes]], dict[bytes, tuple[int, int | None]]]:
    """Return the attributes without `;range=`, and the ranges by lower-case name."""
    plain, ranges = [], {}
    for tag, text in asked:
        name, mark, wanted = text.partition(b";range=")
        if mark:
            first, _, last = wanted.partition(b"-")
            ranges[name.lower()] = int(first), None if last == b"*" else int(last)
        plain.append((tag, name))
    return plain, ranges


def _cut_values(
    body: bytes, limit: int, ranges: dict[bytes, tuple[int, int | None]]
) -> bytes:
    """Return an entry whose attributes have no more values than the limit.

    As Windows answers (facts: ad-semantics 2): an attribute with too many values
    comes empty, and its first ones under `name;range=0-1499`; the last part is
    `name;range=1500-*`.
    """
    dn, attributes = _items(body)
    written = b""
    for _, attribute in _items(attributes[1]):
        (_, name), (_, raw_values) = _items(attribute)
        values = _items(raw_values)
        asked = ranges.get(name.lower())
        if asked is not None:
            written += _part_of(name, values, asked, limit)
        elif limit and len(values) > limit:
            written += _attribute(name, [])
            written += _part_of(name, values, (0, None), limit)
        else:
            written += _attribute(name, values)
    return _item(*dn) + _item(0x30, written)


def _part_of(
    name: bytes,
    values: Sequence[tuple[int, bytes]],
    asked: tuple[int, int | None],
    limit: int,
) -> bytes:
    first, last = asked
    end = len(values) if last is None else min(len(values), last + 1)
    if limit:
        end = min(end, first + limit)
    if first >= len(values):
        return b""
    until = "*" if end == len(values) else str(end - 1)
    return _attribute(name + f";range={first}-{until}".encode(), values[first:end])


def _attribute(name: bytes, values: Sequence[tuple[int, bytes]]) -> bytes:
    written = b"".join(_item(*value) for value in values)
    return _item(0x30, _item(0x04, name) + _item(0x31, written))


def _result(number: bytes, tag: int, code: int, text: str) -> bytes:
    body = _item(0x0A, _integer(code)) + _item(0x04, b"") + _item(0x04, text.encode())
    return _message(number, _item(tag, body), b"")


def _message(number: bytes, operation: bytes, controls: bytes) -> bytes:
    return _item(_MESSAGE, _item(0x02, number) + operation + controls)


def _integer(value: int) -> bytes:
    return value.to_bytes(value.bit_length() // 8 + 1, "big")


def _item(tag: int, content: bytes) -> bytes:
    """Return a BER item; constructed ones get a length of four octets."""
    if tag & 0x20 or len(content) > 0x7F:
        return bytes((tag, 0x84)) + len(content).to_bytes(4, "big") + content
    return bytes((tag, len(content))) + content


def _items(data: bytes) -> list[tuple[int, bytes]]:
    """Return tag and content of each BER item."""
    found, at = [], 0
    while at < len(data):
        start, end = _extent(data, at)
        found.append((data[at], data[start:end]))
        at = end
    return found


def _split(data: bytes) -> tuple[list[bytes], bytes]:
    """Return the whole messages and the rest; sealed octets are one message."""
    found: list[bytes] = []
    at = 0
    while at < len(data):
        if data[at] != _MESSAGE:
            return [*found, data[at:]], b""
        end = _end(data, at)
        if end > len(data):
            break
        found.append(data[at:end])
        at = end
    return found, data[at:]


def _end(data: bytes, at: int) -> int:
    """Return where a message ends; beyond the data where that is not known yet."""
    beyond = len(data) + 1
    if len(data) < at + 2:
        return beyond
    start, end = _extent(data, at)
    return beyond if start > len(data) else end


def _extent(data: bytes, at: int) -> tuple[int, int]:
    """Return where the content of the item at this place begins and ends."""
    first = data[at + 1]
    if first < 0x80:
        return at + 2, at + 2 + first
    start = at + 2 + first % 128
    return start, start + int.from_bytes(data[at + 2 : start], "big")
