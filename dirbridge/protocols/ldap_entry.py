"""Search results in bulk: a stream cut into messages, and entries decoded fast.

One pass, short lengths inline, attribute names cached from octets to text: some ten
times as fast as ldap3's decoder (facts: performance 1). Bounds need no check at
each step: a value that is too long ends beyond what encloses it, and every level
must end exactly where it said.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from hashlib import blake2b
from types import MappingProxyType
from typing import NamedTuple

from dirbridge.errors import RemoteProtocolError
from dirbridge.protocols import ber, ldap_controls
from dirbridge.protocols.ldap_messages import SEARCH_ENTRY

MAX_ENTRY_MESSAGE = 64 * 1024 * 1024
"""Longest message of a search that we take; groups and pictures can be megabytes."""

MAX_DN = 64 * 1024
"""Longest DN of an entry; Active Directory's own limit is far below."""

DIGEST_OCTETS = 16

RANGE = ";range="
"""What a name has after it where only a part of the values came."""

_SALT_OCTETS = 16
_MAX_NAMES = 4096
_MAX_ID_OCTETS = 4
# Names of this module are looked up faster than those of another one.
_SEQUENCE, _SET, _OCTETS = ber.SEQUENCE, ber.SET, ber.OCTETS
_LONG, _COUNT = ber.LONG_FORM, ber.LONG_FORM - 1
_NONE: Mapping[str, bytes] = MappingProxyType({})


class RawEntry(NamedTuple):
    """One search result entry as the server sent it.

    Attributes:
        dn: The distinguished name.
        attributes: Values as octets, by name in lower case.
        controls: Values of the controls that came with it, by OID.
        digest: Hash of the octets that were sent, b"" where none was asked for.
    """

    dn: str
    attributes: Mapping[str, tuple[bytes, ...]]
    controls: Mapping[str, bytes] = _NONE
    digest: bytes = b""

    def __repr__(self) -> str:
        return f"RawEntry(dn={self.dn!r})"


class Frames:
    """Cuts a stream into whole LDAP messages; what is sent stays in its order."""

    def __init__(self, limit: int = MAX_ENTRY_MESSAGE) -> None:
        """Take nothing yet.

        Args:
            limit: Most octets of one message.
        """
        self._limit = limit
        self._parts: list[bytes] = []
        self._size = 0
        self._needed = 2

    @property
    def pending(self) -> bool:
        """Whether octets wait that were not given out."""
        return self._size > 0

    def receive_data(self, data: bytes) -> None:
        """Take the next octets of the stream."""
        self._parts.append(data)
        self._size += len(data)

    def messages(self) -> list[bytes]:
        """Give out every message that is whole.

        Raises:
            RemoteProtocolError: What comes next is no LDAP message or one above the
                limit. Whole messages before it were given out by an earlier call.
        """
        # A long message is joined once, when all of it is there.
        if self._size < self._needed:
            return []
        data = self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)
        found, at = self._cut(data)
        self._parts = [data[at:]] if at < len(data) else []
        self._size = len(data) - at
        return found

    def _cut(self, data: bytes) -> tuple[list[bytes], int]:
        found: list[bytes] = []
        at, size = 0, len(data)
        limit = self._limit
        while at + 1 < size:
            end = at + 2
            length = data[at + 1]
            if length >= _LONG:
                end += length & _COUNT
                if not 1 <= end - at - 2 <= ber.MAX_LENGTH_OCTETS:
                    return found, self._broken(found, at, "a broken length")
                if end > size:
                    break
                length = int.from_bytes(data[at + 2 : end], "big")
            end += length
            if data[at] != _SEQUENCE:
                return found, self._broken(found, at, "the peer does not speak LDAP")
            if end - at > limit:
                return found, self._broken(found, at, f"a message of {end - at} octets")
            if end > size:
                self._needed = end - at
                return found, at
            found.append(data[at:end])
            at = end
        if at < size and data[at] != _SEQUENCE:
            return found, self._broken(found, at, "the peer does not speak LDAP")
        self._needed = size - at + 1
        return found, at

    def _broken(self, found: list[bytes], at: int, why: str) -> int:
        """Refuse what stands at `at`, at the next call where messages came before."""
        if not found:
            raise RemoteProtocolError(why)
        self._needed = 0
        return at


class Opened(NamedTuple):
    """Where a message's operation begins."""

    message_id: int
    tag: int
    at: int


def opened(message: bytes) -> Opened:
    """Look at the beginning of a message that `Frames` gave out.

    Raises:
        RemoteProtocolError: It has no id or no operation.
    """
    try:
        first = message[1]
        at = 2 if first < _LONG else 2 + (first & _COUNT)
        size = message[at + 1]
        if message[at] != ber.INTEGER or not 1 <= size <= _MAX_ID_OCTETS:
            raise RemoteProtocolError("a broken message id")
        start = at + 2
        at = start + size
        number = int.from_bytes(message[start:at], "big", signed=True)
        return Opened(number, message[at], at)
    except IndexError as error:
        raise RemoteProtocolError("a message without an operation") from error


def salt_of(attributes: Iterable[str]) -> bytes:
    """Return what binds digests to the list of attributes that was asked for."""
    names = ",".join(sorted(name.lower() for name in attributes))
    return blake2b(names.encode(), digest_size=_SALT_OCTETS).digest()


def digest_of(message: bytes, at: int, salt: bytes) -> bytes:
    """Hash an entry's undecoded octets, from its operation on: DN and attributes.

    The octets depend on the server's order of attributes and values, so that equal
    digests mean equal entries, and different ones nothing (facts: performance 2).
    """
    return blake2b(message[at:], digest_size=DIGEST_OCTETS, salt=salt).digest()


class EntryDecoder:
    """Decodes entries; remembers how attribute names are written.

    Attributes:
        sliced: Whether any name so far was one of a part, `member;range=0-1499`.
    """

    def __init__(self) -> None:
        self.sliced = False
        self._names: dict[bytes, str] = {}

    def decode(self, message: bytes, at: int = 0, digest: bytes = b"") -> RawEntry:
        """Read an entry that a search found (RFC 4511 section 4.5.2).

        Args:
            message: The whole message.
            at: Where its operation begins, 0 for finding out.
            digest: Its `digest_of`; the entry gets it where all of its values came.

        Raises:
            RemoteProtocolError: It is something else.
        """
        try:
            at, end = _content(message, at or opened(message).at, SEARCH_ENTRY)
            at, to = _content(message, at, ber.OCTETS)
            if to - at > MAX_DN:
                raise RemoteProtocolError(f"a DN of {to - at} octets")
            dn = message[at:to].decode("utf-8", "replace")
            at, to = _content(message, to, ber.SEQUENCE)
            if to != end or end > len(message):
                raise RemoteProtocolError("an entry with another end")
            attributes = self._attributes(message, at, end)
        except IndexError as error:
            raise RemoteProtocolError("an entry without its end") from error
        if self.sliced and any(RANGE in name for name in attributes):
            digest = b""
        if end == len(message):
            return RawEntry(dn, attributes, _NONE, digest)
        return RawEntry(dn, attributes, ldap_controls.parse(message[end:]), digest)

    def _attributes(  # noqa: PLR0912, PLR0915 - no calls within, it runs for each value
        self, data: bytes, at: int, end: int
    ) -> dict[str, tuple[bytes, ...]]:
        found: dict[str, tuple[bytes, ...]] = {}
        names = self._names
        while at < end:
            size = data[at + 1]
            if size < _LONG:
                # The usual: a known name and one short value, 30 s 04 n .. 31 m 04 k ..
                stop = at + 2 + size
                to = at + 4 + data[at + 3]
                name = names.get(data[at + 2 : to])
                if (
                    name is not None
                    and to + 4 <= stop  # not the empty set of DirSync
                    and to + 4 + (size := data[to + 3]) == stop
                    and data[to + 1] == size + 2
                    and data[at] == _SEQUENCE
                    and data[to] == _SET
                    and data[to + 2] == _OCTETS
                ):
                    found[name] = (data[to + 4 : stop],)
                    at = stop
                    continue
                size = stop - at - 2
            if data[at] != _SEQUENCE:
                raise RemoteProtocolError("no attribute where one belongs")
            if size < _LONG:
                at += 2
            else:
                start = at + 2 + (size & _COUNT)
                size = int.from_bytes(data[at + 2 : start], "big")
                at = start
            stop = at + size
            to = at + 2 + data[at + 1]
            # With its header: what is no short name is not found, and then refused.
            name = names.get(data[at:to])
            if name is None:
                name, to = self._named(data, at)
            size = data[to + 1]
            if data[to] != _SET:
                raise RemoteProtocolError("no values where some belong")
            if size < _LONG:
                at = to + 2
            else:
                start = to + 2 + (size & _COUNT)
                size = int.from_bytes(data[to + 2 : start], "big")
                at = start
            if at + size != stop:
                raise RemoteProtocolError("an attribute with another end")
            values: list[bytes] = []
            while at < stop:
                size = data[at + 1]
                if data[at] != _OCTETS:
                    raise RemoteProtocolError("no value where one belongs")
                if size < _LONG:
                    at += 2
                else:
                    start = at + 2 + (size & _COUNT)
                    size = int.from_bytes(data[at + 2 : start], "big")
                    at = start
                to = at + size
                if to == stop and not values:
                    found[name] = (data[at:to],)
                    break
                values.append(data[at:to])
                at = to
            else:
                found[name] = tuple(values)
                to = at
            if to != stop:
                raise RemoteProtocolError("an attribute with another end")
            at = to
        if at != end:
            raise RemoteProtocolError("an entry with another end")
        return found

    def _named(self, data: bytes, at: int) -> tuple[str, int]:
        """Read a name that is not known yet; return it and where it ends."""
        start, to = _content(data, at, ber.OCTETS)
        if to > len(data):
            raise RemoteProtocolError("an attribute with another end")
        name = data[start:to].decode("utf-8", "replace").lower()
        self.sliced = self.sliced or RANGE in name
        if start == at + 2 and len(self._names) < _MAX_NAMES:
            self._names[data[at:to]] = name
        return name, to


def _content(data: bytes, at: int, tag: int) -> tuple[int, int]:
    """Say where a value's content begins and ends; its end is not checked."""
    if data[at] != tag:
        raise RemoteProtocolError(f"no value {tag:#04x} where one belongs")
    size = data[at + 1]
    if size < _LONG:
        return at + 2, at + 2 + size
    start = at + 2 + (size & _COUNT)
    if not 1 <= start - at - 2 <= ber.MAX_LENGTH_OCTETS:
        raise RemoteProtocolError("a broken length")
    return start, start + int.from_bytes(data[at + 2 : start], "big")
