"""A bound connection that searches, with our own codec on a `Transport`."""

from __future__ import annotations

import math
import time
from collections.abc import (
    Container,
    Generator,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from dataclasses import dataclass, field

from dirbridge.errors import LocalProtocolError, RemoteProtocolError, Unsupported
from dirbridge.ldap.progress import Progress
from dirbridge.ldap.transport import Access, Endpoint, Transport, open_transport
from dirbridge.model.deadline import Deadline
from dirbridge.protocols import ldap_controls, ldap_messages
from dirbridge.protocols.ldap_controls import Control
from dirbridge.protocols.ldap_entry import (
    EntryDecoder,
    Frames,
    RawEntry,
    digest_of,
    opened,
    salt_of,
)
from dirbridge.protocols.ldap_messages import (
    INTERMEDIATE,
    SEARCH_DONE,
    SEARCH_ENTRY,
    SEARCH_REFERENCE,
    Result,
    Scope,
)

__all__ = ["Answer", "Query", "RawEntry", "Scope", "Session", "open_session"]

SUCCESS = 0
NO_SUCH_OBJECT, INVALID_DN = 32, 34
INSUFFICIENT_ACCESS, BUSY, UNAVAILABLE = 50, 51, 52
OPERATIONS_ERROR, STRONGER_AUTH, REFERRAL = 1, 8, 10

CHUNK = 64 * 1024
"""Octets to receive at once; TLS gives 16 KiB, and malloc maps what is larger."""

AT_LEISURE = Deadline(math.inf)

_AWAY = {BUSY: "busy", UNAVAILABLE: "unavailable"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """What to search for.

    Attributes:
        base: DN, or Active Directory's `<GUID=...>`.
        filter: RFC 4515 text, values escaped.
        scope: How deep.
        attributes: What to ask for; never `*`, as pictures can be megabytes.
        size_limit: Most entries to send, 0 for all.
        controls: What goes along, beside paging.
    """

    base: str
    filter: str
    scope: Scope = "SUBTREE"
    attributes: Sequence[str] = ()
    size_limit: int = 0
    controls: tuple[Control, ...] = ()


@dataclass(frozen=True, slots=True)
class Answer:
    """Entries and how the search ended. Referrals are left out, never followed.

    Attributes:
        entries: What came, also where the code is not good.
        code: The result code.
        text: The server's words to it.
        cookie: Where the next page goes on, b"" where this was the last.
        controls: Values of the controls that came with the result, by OID.
        infos: Values of the sync info messages that came (RFC 4533 section 2.5).
    """

    entries: tuple[RawEntry, ...]
    code: int
    text: str = ""
    cookie: bytes = b""
    controls: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    infos: tuple[bytes, ...] = field(default=(), repr=False)

    @property
    def good(self) -> bool:
        """Whether the server told all that was asked."""
        return self.code == SUCCESS

    def why(self) -> str:
        """Return the result in words, for logs and people."""
        return f"result {self.code} {self.text}".strip()


@dataclass(frozen=True, slots=True)
class Info:
    """A sync info message in the middle of an answer (RFC 4533 section 2.5)."""

    value: bytes = field(repr=False)


Event = RawEntry | Info | Result
"""What an answer consists of; its last one is the `Result`."""


class Session:
    """One connection with one user of it at a time.

    Attributes:
        transport: The stream below.
        standing: Controls that go with every search on this connection.
        pages: Whether the server says that it knows paging.
        referred: The last reference to another server that came instead of entries.
    """

    def __init__(self, transport: Transport, access: Access) -> None:
        self.transport = transport
        self.standing: tuple[Control, ...] = ()
        self.pages = False
        self.referred = ""
        self._access = access
        self._frames = Frames()
        self._waiting: list[bytes] = []
        self._decoder = EntryDecoder()

    @property
    def server(self) -> str:
        """The server's `host:port`."""
        return str(self.transport.endpoint)

    def learn(self, supported_controls: Iterable[str]) -> None:
        """Take what the rootDSE says of the server's controls.

        Where the server knows it, every search forbids referrals: they are never
        followed, and Active Directory sends some with each search of a domain.
        """
        supported_controls = frozenset(supported_controls)
        self.pages = ldap_controls.PAGED_RESULTS in supported_controls
        if ldap_controls.DOMAIN_SCOPE_OID in supported_controls:
            self.standing = (ldap_controls.DOMAIN_SCOPE,)

    def search(
        self, query: Query, deadline: Deadline, *, page: int = 0, cookie: bytes = b""
    ) -> Answer:
        """Search, and return what came with the result code.

        Args:
            query: What to search for.
            deadline: When the answer must be there; `read_seconds` holds as well.
            page: Entries for each page, 0 for an unpaged search.
            cookie: Where the last page ended.

        Raises:
            Unreachable: No whole answer came, the server is busy or unavailable, or
                it does not say whether this was the last page.
            Unsupported: No request can be made of the filter or base.
        """
        self.allow(deadline)
        asked = self.begin(query, page=page, cookie=cookie)
        salt = salt_of(query.attributes)
        entries: list[RawEntry] = []
        infos: list[bytes] = []
        event = self.next(asked, salt)
        while not isinstance(event, Result):
            if isinstance(event, Info):
                infos.append(event.value)
            else:
                entries.append(event)
            event = self.next(asked, salt)
        return Answer(
            tuple(entries),
            event.code,
            event.text,
            self.cookie_of(event, paged=bool(cookie)) if page else b"",
            event.controls,
            tuple(infos),
        )

    def stream(
        self,
        query: Query,
        *,
        page: int,
        known: Container[bytes] = (),
        first: Deadline = AT_LEISURE,
    ) -> Generator[RawEntry | bytes | Result, None, None]:
        """Search in pages, and give each entry as it comes; memory stays flat.

        The next page is asked for as soon as one has come, before its entries are
        decoded. Nothing else may be asked on this session until the end.

        Args:
            query: What to search for.
            page: Entries for each page.
            known: Digests (`ldap_entry.digest_of`) of entries that need no decoding.
            first: When the first entry must be there, or the end.

        Yields:
            Entries, for a known one its digest, and at last the result: success, or
            what the server said instead of a page.

        Raises:
            Unreachable: See `next`, `Progress` and `cookie_of`; `read_seconds` hold
                for each wait.
            Unsupported: No request can be made of the filter or base.
        """
        salt = salt_of(query.attributes)
        progress = Progress(self._access.read_seconds)
        asked = self._page(query, page, b"", first)
        paged, until = False, first
        while True:
            self.allow(until)
            try:
                messages = self._coming(progress)
                result = self._popped_result(messages, asked)
                cookie = self._next_page(result, paged) if result else b""
                if cookie:
                    progress.page_ended()
            except (OSError, RemoteProtocolError) as error:
                raise self._failed(error) from error
            following = self._page(query, page, cookie, until) if cookie else None
            for item in self._decoded(messages, asked, salt, known):
                yield item
                until = AT_LEISURE
            if result is not None and following is None:
                self._refuse_away(result)
                yield result
                return
            if following is not None:
                asked, paged = following, True

    def allow(self, deadline: Deadline) -> None:
        """Let what follows take until `deadline`, and at most `read_seconds`."""
        self.transport.allow(Deadline.after(deadline.within(self._access.read_seconds)))

    def begin(self, query: Query, *, page: int = 0, cookie: bytes = b"") -> int:
        """Send a search; `next` gives what comes of it.

        Returns:
            The request's number.

        Raises:
            Unreachable: It could not be sent.
            Unsupported: No request can be made of the filter or base.
        """
        asked = self.transport.take_id()
        request = self._request(asked, query, page, cookie)
        try:
            self.transport.sendall(request)
        except OSError as error:
            raise self.transport.error("read", detail=str(error)) from error
        return asked

    def next(self, asked: int, salt: bytes | None = None) -> Event:
        """Wait for the next part of a search's answer, until the time allowed ends.

        Args:
            asked: The request's number.
            salt: What entries' digests are made with, None for none.

        Returns:
            An entry, an info, or at last the result. Referrals are left out.

        Raises:
            Unreachable: None came, it was no LDAP, it answers another request, or
                the server says that it is busy or unavailable.
        """
        try:
            while True:
                event = self._event(self._message(), asked, salt)
                if event is not None:
                    return event
        except (OSError, RemoteProtocolError) as error:
            raise self._failed(error) from error

    def poll(self, asked: Container[int], seconds: float) -> tuple[int, Event] | None:
        """Wait a while for the next part of the answer to any of some searches.

        Args:
            asked: The requests' numbers.
            seconds: How long to wait; that nothing comes is no failure.

        Returns:
            The request's number with what came, None where nothing did.

        Raises:
            Unreachable: See `next`.
        """
        until = Deadline.after(seconds)
        try:
            while self._arrives(until):
                message = self._waiting.pop()
                number, _ = ldap_messages.kind_of(message)
                event = self._event(message, number if number in asked else -1)
                if event is not None:
                    return number, event
        except (OSError, RemoteProtocolError) as error:
            raise self._failed(error) from error
        return None

    def cookie_of(self, result: Result, *, paged: bool) -> bytes:
        """Return where the next page goes on, b"" where this was the last.

        Args:
            result: The end of a page.
            paged: Whether it is not the first one.

        Raises:
            Unreachable: The server's paging control is broken, or is not there. A
                server that pages sends it with every page (RFC 2696 section 3); one
                that does not know it gives everything at once.
        """
        value = result.controls.get(ldap_controls.PAGED_RESULTS)
        if value is None:
            if result.code == SUCCESS and (paged or self.pages):
                raise self._failed(
                    RemoteProtocolError("a page that does not say if it is the last")
                )
            return b""
        try:
            return ldap_controls.parse_paged(value)
        except RemoteProtocolError as error:
            raise self._failed(error) from error

    def idle(self) -> bool:
        """Whether it may be used again."""
        unread = self._waiting or self._frames.pending
        return not unread and self.transport.idle()

    def close(self) -> None:
        """Close it without a word; the server may be frozen."""
        self.transport.close()

    def _request(self, asked: int, query: Query, page: int, cookie: bytes) -> bytes:
        own = {control.oid for control in query.controls}
        controls = (
            *query.controls,
            *(control for control in self.standing if control.oid not in own),
            *([ldap_controls.paged(page, cookie)] if page else []),
        )
        try:
            return ldap_messages.search_request(
                asked,
                query.base,
                query.scope,
                query.filter,
                query.attributes,
                query.size_limit,
                controls,
            )
        except LocalProtocolError as error:
            raise Unsupported(
                domain=self._access.domain,
                server=self.server,
                operation="read",
                code="bad-request",
                detail=str(error),
            ) from error

    def _page(self, query: Query, page: int, cookie: bytes, until: Deadline) -> int:
        self.allow(until)
        return self.begin(query, page=page, cookie=cookie)

    def _next_page(self, result: Result, paged: bool) -> bytes:
        """Return where the page after a result begins, b"" where it was the last."""
        return self.cookie_of(result, paged=paged) if result.code == SUCCESS else b""

    def _coming(self, progress: Progress) -> list[bytes]:
        """Wait for a part of a page."""
        begun = time.monotonic()
        messages = self._messages()
        progress.came(
            sum(map(len, messages)),
            time.monotonic() - begun,
            entries=any(opened(each).tag == SEARCH_ENTRY for each in messages),
        )
        return messages

    def _decoded(
        self, messages: list[bytes], asked: int, salt: bytes, known: Container[bytes]
    ) -> Iterator[RawEntry | bytes]:
        decode = self._decoder.decode
        try:
            for message in messages:
                number, tag, at = opened(message)
                if tag != SEARCH_ENTRY or number != asked:
                    self._pass_over(message, asked)
                    continue
                digest = digest_of(message, at, salt)
                if digest in known:
                    yield digest
                else:
                    yield decode(message, at, digest)
        except RemoteProtocolError as error:
            raise self._failed(error) from error

    def _pass_over(self, message: bytes, asked: int) -> None:
        """Refuse what has no place among the entries of a bulk read."""
        if isinstance(self._event(message, asked), Result):
            raise RemoteProtocolError("octets after a search's end")

    def _popped_result(self, messages: list[bytes], asked: int) -> Result | None:
        """Take the result off the end of what came, None where it is not there yet."""
        while len(messages) > 1 and opened(messages[-1]).message_id == 0:
            # A notice is told when what came before it has been read.
            self._waiting.append(messages.pop())
        if opened(messages[-1])[:2] != (asked, SEARCH_DONE):
            return None
        return ldap_messages.parse_result(messages.pop())

    def _message(self) -> bytes:
        if not self._waiting:
            self._waiting = self._messages()[::-1]
        return self._waiting.pop()

    def _messages(self) -> list[bytes]:
        """Wait for what comes next, at least one whole message."""
        if self._waiting:
            found, self._waiting = self._waiting[::-1], []
            return found
        data = self.transport.take_rest()
        while True:
            if data:
                self._frames.receive_data(data)
            if found := self._frames.messages():
                return found
            data = self.transport.recv_ready(CHUNK)
            if not data:
                raise ConnectionResetError("the server closed the connection")

    def _arrives(self, until: Deadline) -> bool:
        """Whether there is a whole message, at last when the time is over."""
        data: bytes | None = b"" if self._waiting else self.transport.take_rest()
        while True:
            if data:
                self._frames.receive_data(data)
            self._waiting = self._waiting or self._frames.messages()[::-1]
            if self._waiting:
                return True
            data = self.transport.poll(CHUNK, until.left())
            if data is None:
                return False
            if not data:
                raise ConnectionResetError("the server closed the connection")

    def _event(
        self, message: bytes, asked: int, salt: bytes | None = None
    ) -> Event | None:
        number, tag, at = opened(message)
        if number != asked:
            raise self._uncalled(number, message)
        if tag == SEARCH_ENTRY:
            digest = b"" if salt is None else digest_of(message, at, salt)
            return self._decoder.decode(message, at, digest)
        if tag == SEARCH_REFERENCE:
            self.referred = ldap_messages.parse_reference(message[at:])
            return None
        if tag == INTERMEDIATE:
            oid, value = ldap_messages.parse_intermediate(message)
            return Info(value) if oid == ldap_controls.SYNC_INFO_OID else None
        if tag != SEARCH_DONE:
            raise RemoteProtocolError(f"an answer of kind {tag:#04x}")
        result = ldap_messages.parse_result(message)
        self._refuse_away(result)
        return result

    def _refuse_away(self, result: Result) -> None:
        if result.code in _AWAY:
            raise self.transport.error("read", _AWAY[result.code], result.text)

    def _uncalled(self, number: int, message: bytes) -> Exception:
        """Say what a message means that answers no request of ours."""
        if number != 0:
            return RemoteProtocolError("an answer to another request")
        # RFC 4511 section 4.4.1: notice of disconnection, with its reason.
        notice = ldap_messages.parse_result(message)
        self.transport.failure = _AWAY.get(notice.code, "closed")
        return self.transport.error("read", detail=notice.text)

    def _failed(self, error: Exception) -> Exception:
        late = isinstance(error, TimeoutError)
        code = "timeout" if late else "protocol"
        self.transport.failure = self.transport.failure or code
        return self.transport.error("read", detail=str(error))


def open_session(endpoint: Endpoint, access: Access, deadline: Deadline) -> Session:
    """Connect, not yet bound.

    Raises:
        Unreachable: There is no connection.
        Unsupported: The server cannot do what the access asks for.
    """
    return Session(open_transport(endpoint, access, deadline), access)
