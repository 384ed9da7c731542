"""LDAP controls (RFC 4511 section 4.1.11): those that dirbridge sends and reads.

Paged results (RFC 2696), DirSync and its kin (MS-ADTS 3.1.1.3.4.1), content
synchronisation (RFC 4533). Values that servers send are read without trust.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum

from dirbridge.errors import RemoteProtocolError
from dirbridge.protocols import ber

PAGED_RESULTS = "1.2.840.113556.1.4.319"
DIRSYNC_OID = "1.2.840.113556.1.4.841"
DOMAIN_SCOPE_OID = "1.2.840.113556.1.4.1339"
SHOW_DELETED_OID = "1.2.840.113556.1.4.417"
NOTIFICATION_OID = "1.2.840.113556.1.4.528"
SYNC_REQUEST_OID = "1.3.6.1.4.1.4203.1.9.1.1"
SYNC_STATE_OID = "1.3.6.1.4.1.4203.1.9.1.2"
SYNC_DONE_OID = "1.3.6.1.4.1.4203.1.9.1.3"
SYNC_INFO_OID = "1.3.6.1.4.1.4203.1.9.1.4"
"""The name of an intermediate response, not of a control."""

CONTROLS = 0xA0
"""The tag of a message's list of controls."""

_UUID_OCTETS = 16
_NEW_COOKIE, _REFRESH_DELETE, _REFRESH_PRESENT, _ID_SET = 0x80, 0xA1, 0xA2, 0xA3


@dataclass(frozen=True, slots=True)
class Control:
    """One control of a request.

    Attributes:
        oid: What it is.
        critical: Whether a server that does not know it must refuse the request.
        value: Its value in BER, None where it has none.
    """

    oid: str
    critical: bool = False
    value: bytes | None = field(default=None, repr=False)


DOMAIN_SCOPE = Control(DOMAIN_SCOPE_OID)
"""Make no referrals (MS-ADTS 3.1.1.3.4.1.4); we would not follow them."""

SHOW_DELETED = Control(SHOW_DELETED_OID, critical=True)
"""Show tombstones too (MS-ADTS 3.1.1.3.4.1.14)."""

NOTIFICATION = Control(NOTIFICATION_OID, critical=True)
"""Tell changes as they come (MS-ADTS 3.1.1.3.4.1.9)."""


def encode(controls: Iterable[Control]) -> bytes:
    """Write a message's list of controls, nothing where there are none."""
    written = [_encode(control) for control in controls]
    return ber.tlv(CONTROLS, *written) if written else b""


def _encode(control: Control) -> bytes:
    return ber.sequence(
        ber.octets(control.oid.encode()),
        # False is the default and is left out (RFC 4511 section 5.1).
        ber.boolean(True) if control.critical else b"",
        b"" if control.value is None else ber.octets(control.value),
    )


def parse(data: bytes) -> dict[str, bytes]:
    """Read what follows a message's operation: values by OID, b"" for none.

    Raises:
        RemoteProtocolError: It is no list of controls.
    """
    if not data:
        return {}
    found = {}
    for control in ber.each(ber.only(data, CONTROLS), ber.SEQUENCE):
        oid, rest = ber.take(control, ber.OCTETS)
        _critical, rest = ber.take_if(rest, ber.BOOLEAN)
        value, _ = ber.take_if(rest, ber.OCTETS)
        found[oid.decode("ascii", "replace")] = value or b""
    return found


def paged(size: int, cookie: bytes) -> Control:
    """Ask for one page (RFC 2696 section 2).

    Not critical, so that a server without pages still answers, in one.
    """
    value = ber.sequence(ber.integer(size), ber.octets(cookie))
    return Control(PAGED_RESULTS, value=value)


def parse_paged(value: bytes) -> bytes:
    """Return where the next page goes on, b"" after the last.

    Raises:
        RemoteProtocolError: It is no such value.
    """
    _estimate, rest = ber.take_integer(ber.only(value, ber.SEQUENCE))
    return ber.only(rest, ber.OCTETS)


@dataclass(frozen=True, slots=True)
class DirSyncAnswer:
    """What ends an answer to DirSync.

    Attributes:
        more: Whether to ask again at once with the cookie.
        cookie: Where the next question goes on; opaque.
    """

    more: bool
    cookie: bytes = field(repr=False)


def dirsync(flags: int, max_bytes: int, cookie: bytes) -> Control:
    """Ask for what changed since a cookie (MS-ADTS 3.1.1.3.4.1.3).

    Args:
        flags: 32 bits; the highest, INCREMENTAL_VALUES, makes it negative, since
            the wire has a signed INTEGER of four octets.
        max_bytes: About how long an answer may be, 0 for the server's choice.
        cookie: Where the last answer ended, b"" for everything.
    """
    signed = (flags & 0xFFFFFFFF) - (1 << 32 if flags & 0x80000000 else 0)
    value = ber.sequence(
        ber.integer(signed), ber.integer(max_bytes), ber.octets(cookie)
    )
    return Control(DIRSYNC_OID, critical=True, value=value)


def parse_dirsync(value: bytes) -> DirSyncAnswer:
    """Read the value of an answer's DirSync control.

    Raises:
        RemoteProtocolError: It is no such value.
    """
    more, rest = ber.take_integer(ber.only(value, ber.SEQUENCE))
    _unused, rest = ber.take_integer(rest)
    return DirSyncAnswer(more != 0, ber.only(rest, ber.OCTETS))


class SyncMode(IntEnum):
    """How a content synchronisation goes on (RFC 4533 section 2.2)."""

    REFRESH_ONLY = 1
    REFRESH_AND_PERSIST = 3


class SyncChange(IntEnum):
    """What an entry of a synchronisation is (RFC 4533 section 2.3)."""

    PRESENT = 0
    ADD = 1
    MODIFY = 2
    DELETE = 3


@dataclass(frozen=True, slots=True)
class SyncState:
    """What comes with each entry of a synchronisation (RFC 4533 section 2.3)."""

    state: SyncChange
    entry_uuid: bytes
    cookie: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class SyncDone:
    """What ends a refresh (RFC 4533 section 2.4).

    Attributes:
        cookie: Where the next one goes on, None where the server gives none.
        refresh_deletes: True: who went was told. False: who was not told present
            has gone.
    """

    cookie: bytes | None = field(repr=False)
    refresh_deletes: bool


class SyncPhase(IntEnum):
    """Which of the four things a sync info message tells (RFC 4533 section 2.5)."""

    NEW_COOKIE = 0
    REFRESH_DELETE = 1
    REFRESH_PRESENT = 2
    ID_SET = 3


@dataclass(frozen=True, slots=True)
class SyncInfo:
    """A sync info message (RFC 4533 section 2.5).

    Attributes:
        phase: Which of the four it is.
        cookie: Where to go on, None where it is not told.
        done: At the end of a delete or present phase: the refresh is over.
        refresh_deletes: With an id set: these have gone; else they are present.
        uuids: The id set, 16 octets each.
    """

    phase: SyncPhase
    cookie: bytes | None = field(default=None, repr=False)
    done: bool = True
    refresh_deletes: bool = False
    uuids: tuple[bytes, ...] = ()


def sync_request(mode: int, cookie: bytes | None) -> Control:
    """Ask for a content synchronisation (RFC 4533 section 2.2).

    Args:
        mode: See `SyncMode`.
        cookie: Where the last one ended, None for everything.
    """
    value = ber.sequence(
        ber.enumerated(mode), b"" if cookie is None else ber.octets(cookie)
    )
    return Control(SYNC_REQUEST_OID, critical=True, value=value)


def parse_sync_state(value: bytes) -> SyncState:
    """Read the control that comes with an entry.

    Raises:
        RemoteProtocolError: It is no such value.
    """
    number, rest = ber.take_integer(ber.only(value, ber.SEQUENCE), ber.ENUMERATED)
    uuid, rest = ber.take(rest, ber.OCTETS)
    cookie, _ = ber.take_if(rest, ber.OCTETS)
    try:
        change = SyncChange(number)
    except ValueError as error:
        raise RemoteProtocolError(f"a sync state {number}") from error
    return SyncState(change, _uuid(uuid), cookie)


def parse_sync_done(value: bytes) -> SyncDone:
    """Read the control that ends a refresh.

    Raises:
        RemoteProtocolError: It is no such value.
    """
    body = ber.only(value, ber.SEQUENCE)
    cookie, rest = ber.take_if(body, ber.OCTETS)
    return SyncDone(cookie, _flag(rest, otherwise=False)[0])


def parse_sync_info(value: bytes) -> SyncInfo:
    """Read the value of an intermediate response `SYNC_INFO_OID`.

    Raises:
        RemoteProtocolError: It is no such value.
    """
    tag = value[0] if value else 0
    if tag == _NEW_COOKIE:
        return SyncInfo(SyncPhase.NEW_COOKIE, ber.only(value, tag))
    if tag not in _PHASES:
        raise RemoteProtocolError(f"a sync info of kind {tag:#04x}")
    cookie, rest = ber.take_if(ber.only(value, tag), ber.OCTETS)
    if tag != _ID_SET:
        return SyncInfo(_PHASES[tag], cookie, done=_flag(rest, otherwise=True)[0])
    deletes, rest = _flag(rest, otherwise=False)
    uuids = tuple(_uuid(each) for each in ber.each(ber.only(rest, ber.SET), ber.OCTETS))
    return SyncInfo(SyncPhase.ID_SET, cookie, refresh_deletes=deletes, uuids=uuids)


_PHASES: Mapping[int, SyncPhase] = {
    _REFRESH_DELETE: SyncPhase.REFRESH_DELETE,
    _REFRESH_PRESENT: SyncPhase.REFRESH_PRESENT,
    _ID_SET: SyncPhase.ID_SET,
}


def _flag(data: bytes, *, otherwise: bool) -> tuple[bool, bytes]:
    """Read a BOOLEAN with a default; return it and the rest."""
    content, rest = ber.take_if(data, ber.BOOLEAN)
    return (otherwise, rest) if content is None else (any(content), rest)


def _uuid(octets: bytes) -> bytes:
    if len(octets) != _UUID_OCTETS:
        raise RemoteProtocolError(f"an entryUUID of {len(octets)} octets")
    return octets
