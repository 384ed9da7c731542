"""A bound connection that searches: ldap3 on top of a `Transport`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import ldap3
from ldap3.core.exceptions import (
    LDAPException,
    LDAPInvalidDnError,
    LDAPInvalidFilterError,
    LDAPInvalidValueError,
)
from pyasn1.error import PyAsn1Error

from dirbridge.errors import Unreachable, Unsupported
from dirbridge.ldap.transport import Access, Endpoint, Transport, open_transport
from dirbridge.model.deadline import Deadline

Scope = Literal["BASE", "LEVEL", "SUBTREE"]

SUCCESS = 0
NO_SUCH_OBJECT, INVALID_DN = 32, 34
INSUFFICIENT_ACCESS, BUSY, UNAVAILABLE = 50, 51, 52
OPERATIONS_ERROR, STRONGER_AUTH, REFERRAL = 1, 8, 10

_PAGED = "1.2.840.113556.1.4.319"
_OUR_FAULT = (LDAPInvalidDnError, LDAPInvalidFilterError, LDAPInvalidValueError)
# Its decoder was not made for servers that send nonsense.
_RAISED_BY_LDAP3 = (
    LDAPException,
    PyAsn1Error,
    OSError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    RecursionError,
)
_AWAY = {BUSY: "busy", UNAVAILABLE: "unavailable"}


@dataclass(frozen=True, slots=True)
class RawEntry:
    """One search result entry as the server sent it; names in lower case."""

    dn: str
    attributes: Mapping[str, tuple[bytes, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """What to search for.

    Attributes:
        base: DN, or Active Directory's `<GUID=...>`.
        filter: RFC 4515 text, values escaped.
        scope: How deep.
        attributes: What to ask for; never `*`, as pictures can be megabytes.
        size_limit: Most entries to send, 0 for all.
    """

    base: str
    filter: str
    scope: Scope = "SUBTREE"
    attributes: Sequence[str] = ()
    size_limit: int = 0


@dataclass(frozen=True, slots=True)
class Answer:
    """Entries and how the search ended. Referrals are left out, never followed.

    Attributes:
        entries: What came, also where the code is not good.
        code: The result code.
        text: The server's words to it.
        cookie: Where the next page goes on, b"" where this was the last.
    """

    entries: tuple[RawEntry, ...]
    code: int
    text: str = ""
    cookie: bytes = b""

    @property
    def good(self) -> bool:
        """Whether the server told all that was asked."""
        return self.code == SUCCESS

    def why(self) -> str:
        """Return the result in words, for logs and people."""
        return f"result {self.code} {self.text}".strip()


class Session:
    """One connection with one user of it at a time.

    Attributes:
        transport: The stream below.
    """

    def __init__(self, transport: Transport, access: Access) -> None:
        self.transport = transport
        self._access = access
        self._connection = _ldap3_on(transport)

    @property
    def server(self) -> str:
        """The server's `host:port`."""
        return str(self.transport.endpoint)

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
            Unreachable: No whole answer came, or the server is busy or unavailable.
            Unsupported: ldap3 cannot make a request of the filter or base.
        """
        # The sorts of failures are told apart by the transport, not by ldap3.
        self.transport.allow(Deadline.after(deadline.within(self._access.read_seconds)))
        try:
            self._connection.search(
                query.base,
                query.filter,
                search_scope=query.scope,
                dereference_aliases=ldap3.DEREF_NEVER,
                attributes=list(query.attributes) or [ldap3.NO_ATTRIBUTES],
                size_limit=query.size_limit,
                paged_size=page or None,
                paged_cookie=cookie or None,
            )
        except _RAISED_BY_LDAP3 as error:
            raise self._failure(error) from error
        return self._answer(paged=page > 0)

    def idle(self) -> bool:
        """Whether it may be used again."""
        return self.transport.idle()

    def close(self) -> None:
        """Close it without a word; the server may be frozen."""
        self.transport.close()

    def _failure(self, error: Exception) -> Unreachable | Unsupported:
        if not isinstance(error, _OUR_FAULT):
            self.transport.failure = self.transport.failure or "protocol"
            return self.transport.error("read", detail=str(error))
        return Unsupported(
            domain=self._access.domain,
            server=self.server,
            operation="read",
            code="bad-request",
            detail=str(error),
        )

    def _answer(self, *, paged: bool) -> Answer:
        result: Mapping[str, Any] = self._connection.result or {}
        response: Sequence[Mapping[str, Any]] = self._connection.response or ()
        code, text = int(result.get("result", -1)), str(result.get("message") or "")
        self._connection.response = None
        if code in _AWAY:
            raise self.transport.error("read", _AWAY[code], text)
        entries = tuple(
            _raw_entry(item) for item in response if item["type"] == "searchResEntry"
        )
        return Answer(
            entries, code, text.rstrip("\0"), _cookie(result) if paged else b""
        )


def open_session(endpoint: Endpoint, access: Access, deadline: Deadline) -> Session:
    """Connect, not yet bound.

    Raises:
        Unreachable: There is no connection.
        Unsupported: The server cannot do what the access asks for.
    """
    return Session(open_transport(endpoint, access, deadline), access)


def _ldap3_on(transport: Transport) -> ldap3.Connection:
    """Give ldap3 our socket; it never opens one, so its own time-outs are unused."""
    endpoint = transport.endpoint
    server = ldap3.Server(endpoint.host, endpoint.port, get_info=ldap3.NONE)
    connection = ldap3.Connection(
        server,
        client_strategy=ldap3.SYNC,
        auto_referrals=False,
        auto_range=False,
        auto_escape=False,
        check_names=False,
        return_empty_attributes=False,
        raise_exceptions=False,
    )
    connection.socket = transport
    connection.closed = False
    connection.bound = True
    connection.listening = True
    connection.strategy._outstanding = {}  # noqa: SLF001 - what its own open() does
    return connection


def _raw_entry(item: Mapping[str, Any]) -> RawEntry:
    values: Mapping[str, list[bytes] | None] = item["raw_attributes"]
    return RawEntry(
        str(item["dn"]),
        {name.lower(): tuple(found or ()) for name, found in values.items()},
    )


def _cookie(result: Mapping[str, Any]) -> bytes:
    control = result.get("controls", {}).get(_PAGED)
    return bytes(control["value"]["cookie"] or b"") if control else b""
