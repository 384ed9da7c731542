"""Which domain controller answers, and whether it knows what another one knew.

Numbers of two DCs cannot be compared (win32 docs, "Polling for Changes Using
USNChanged"). Three signs can:

| sign | says |
|---|---|
| its up-to-dateness vector holds all that the cursor's DC had | it is not behind |
| it has not yet had a change that was read on the cursor's DC | it is behind, for 3 h |
| it lacks one of those who were created last (*witnesses*) | it is behind, for 7 d |

The vector is an attribute of the naming context (UPTODATE_VECTOR_V2_EXT in MS-DRSR);
ordinary accounts may read it on Samba. Elsewhere the witnesses decide alone. Both
signs of being behind have an end, so that a DC that is lost for good, and took its
last changes with it, does not stop everything.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from dirbridge.connectors.changes import behind
from dirbridge.directory import filter as ldap_filter
from dirbridge.directory import generalized_time, guid
from dirbridge.directory.errors import Undecodable
from dirbridge.ldap.session import Answer, Query, RawEntry, Session
from dirbridge.model.deadline import Deadline
from dirbridge.model.names import DirectoryId
from dirbridge.protocols.ldap_controls import SHOW_DELETED

WITNESSES = 3
WITNESS_SECONDS = 7 * 86_400.0
"""So long a witness is asked for: sites replicate every 180 minutes or less often."""

LAG_SECONDS = 3 * 3600.0
"""So long a DC is behind that has not had the last change; another way may have
brought it there, which its vector does not tell."""

MOST_CREATED = 500
_WINDOWS = (20_000, 300)
"""So many numbers back it is looked who was created; less where they are too many."""

_ANY = "(objectClass=*)"
_HEADER = struct.Struct("<IIII")
_CURSORS = {1: struct.Struct("<16sQ"), 2: struct.Struct("<16sQ8x")}
"""An entry of the vector by its version."""

_STAMP = struct.Struct("<I4x8x16s8xQ")
"""Attribute and the DC's own number in PROPERTY_META_DATA_EXT (MS-DRSR)."""

NAME = 0x00090001
"""The attribute `name`, stamped when an entry is renamed or moved."""

State = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Dc:
    """Which DC it is, and how far it is.

    Attributes:
        service: The name of its settings.
        invocation: Changes when it is restored from a backup.
        usn: Its highest number.
        vector: What it has of other DCs, by their invocation; empty if not readable.
    """

    service: str
    invocation: str
    usn: int
    vector: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def read(cls, session: Session, suffix: str, deadline: Deadline) -> Dc:
        """Ask the DC; what it does not tell stays empty."""
        asked = ("dsServiceName", "highestCommittedUSN")
        root = _at(session, "", deadline, *asked)
        service = one_of(root, "dsservicename").decode()
        usn = one_of(root, "highestcommittedusn")
        if not service:
            return cls("", "", 0)
        settings = _at(session, service, deadline, "invocationId")
        head = _at(session, suffix, deadline, "replUpToDateVector")
        return cls(
            service,
            one_of(settings, "invocationid").hex(),
            int(usn) if usn.isdigit() else 0,
            vector_of(one_of(head, "repluptodatevector")),
        )

    def is_same(self, state: State) -> bool:
        """Whether a cursor was made here, in the same life."""
        here = (self.service, self.invocation)
        return all(here) and here == (state.get("service"), state.get("invocation"))

    def covers(self, state: State) -> bool:
        """Whether it surely has all that the cursor's DC had."""
        seen = _parsed(state, "seen")
        far = max([number(state, "usn"), *(int(usn) for usn, _ in seen)])
        wanted = {one: int(usn) for one, usn in _parsed(state, "vector")}
        wanted[state.get("invocation", "")] = far
        return bool(self.vector) and all(
            one == self.invocation or self.vector.get(one, -1) >= usn
            for one, usn in wanted.items()
        )

    def state(self) -> dict[str, str]:
        """Return what a cursor keeps of it."""
        return {
            "service": self.service,
            "invocation": self.invocation,
            "usn": str(self.usn),
            "vector": " ".join(f"{one}@{usn}" for one, usn in self.vector.items()),
        }


def refuse_behind(
    session: Session, suffix: str, dc: Dc, state: State, deadline: Deadline
) -> None:
    """Refuse a DC that lacks what was read elsewhere.

    Raises:
        Unreachable: It is `behind`.
    """
    if dc.is_same(state) or dc.covers(state):
        return
    reached = dc.vector.get(state.get("invocation", ""))
    for usn, _ in _recent(state, "seen", LAG_SECONDS):
        if reached is not None and reached < int(usn):
            detail = f"it has changes up to {reached} of the other one, not yet {usn}"
            raise behind(session, detail)
    asked = [one for one, _ in _known(state)]
    there = _by_id(_ask(session, suffix, asked, deadline).entries)
    missing = [one for one in asked if one not in there]
    if missing:
        raise behind(session, f"it does not know {', '.join(missing)} yet")


def newest(
    session: Session, suffix: str, dc: Dc, kinds: Iterable[str], deadline: Deadline
) -> dict[str, str]:
    """Return who was created last, and the last change, to know other DCs by."""
    any_kind = ldap_filter.any_of(
        *(ldap_filter.equals("objectClass", k) for k in kinds)
    )
    found: tuple[RawEntry, ...] = ()
    for window in _WINDOWS:
        newer = ldap_filter.at_least("uSNChanged", str(max(1, dc.usn - window)))
        query = Query(
            base=suffix,
            filter=ldap_filter.all_of(any_kind, newer),
            attributes=("objectGUID", "whenCreated", "uSNChanged"),
            size_limit=MOST_CREATED,
        )
        answer = session.search(query, deadline)
        found = answer.entries
        if answer.good:
            break
    born = sorted((_born(entry), one) for one, entry in _by_id(found).items())
    known = [(one, when) for when, one in born if when]
    return {
        "witnesses": _written(known[-WITNESSES:]),
        "seen": _seen({}, found),
    }


def witnessed(  # noqa: PLR0913 - called once
    session: Session,
    suffix: str,
    dc: Dc,
    state: State,
    *,
    new: Sequence[DirectoryId],
    changed: Sequence[DirectoryId],
    deadline: Deadline,
) -> dict[str, str]:
    """Return by whom and what to know other DCs after a delta.

    Who is not here any more is no witness elsewhere: nobody may be shown its
    tombstone there.
    """
    now = time.time()
    known = [*_known(state), *((one, now) for one in new)][-WITNESSES:]
    sample = dict.fromkeys([*(one for one, _ in known), *changed[-2:]])
    answer = _ask(session, suffix, list(sample), deadline)
    before = state if dc.is_same(state) else {}
    alive = _by_id(each for each in answer.entries if not _is_dead(each))
    if answer.good:
        known = [(one, when) for one, when in known if one in alive]
    return {
        "witnesses": _written(known),
        "seen": _seen(before, answer.entries),
    }


def vector_of(octets: bytes) -> dict[str, int]:
    """Decode an up-to-dateness vector; one that is none is empty.

    Args:
        octets: UPTODATE_VECTOR_V1_EXT or V2_EXT with its header, little endian.
    """
    if len(octets) < _HEADER.size:
        return {}
    version, _, count, _ = _HEADER.unpack_from(octets)
    each = _CURSORS.get(version)
    if each is None or len(octets) != _HEADER.size + count * each.size:
        return {}
    return {one.hex(): usn for one, usn in each.iter_unpack(octets[_HEADER.size :])}


def changed_at(stamps: bytes, attribute: int) -> int | None:
    """Return the number under which a DC took an attribute's last change.

    Args:
        stamps: The entry's `replPropertyMetaData`.
        attribute: Which one, as the stamps name it.

    Returns:
        The number; None where the stamps are not to be read.
    """
    if len(stamps) < _HEADER.size:
        return None
    version, _, count, _ = _HEADER.unpack_from(stamps)
    if version != 1 or len(stamps) != _HEADER.size + count * _STAMP.size:
        return None
    each = _STAMP.iter_unpack(stamps[_HEADER.size :])
    return next((usn for one, _, usn in each if one == attribute), None)


def number(state: State, name: str) -> int:
    """Return a number of a cursor, 0 where there is none."""
    text = state.get(name, "")
    return int(text) if text.isdecimal() and text.isascii() else 0


def one_of(entry: RawEntry | None, name: str) -> bytes:
    """Return an attribute's first value, b"" where there is none."""
    values = entry.attributes.get(name, ()) if entry else ()
    return next(iter(values), b"")


def _at(
    session: Session, base: str, deadline: Deadline, *attributes: str
) -> RawEntry | None:
    query = Query(base=base, filter=_ANY, scope="BASE", attributes=attributes)
    return next(iter(session.search(query, deadline).entries), None)


def _ask(
    session: Session, suffix: str, ids: Collection[DirectoryId], deadline: Deadline
) -> Answer:
    if not ids:
        return Answer((), 0, "")
    octets = map(guid.encode_object_guid, ids)
    query = Query(
        base=suffix,
        filter=ldap_filter.any_of(
            *(ldap_filter.equals("objectGUID", one) for one in octets)
        ),
        attributes=("objectGUID", "isDeleted", "uSNChanged"),
        controls=(SHOW_DELETED,),
    )
    return session.search(query, deadline)


def _by_id(entries: Iterable[RawEntry]) -> dict[DirectoryId, RawEntry]:
    """Return entries by their ids, without those that hide it."""
    shown = [(one_of(entry, "objectguid"), entry) for entry in entries]
    return {guid.decode_object_guid(raw): entry for raw, entry in shown if raw}


def _is_dead(entry: RawEntry) -> bool:
    return one_of(entry, "isdeleted").upper() == b"TRUE"


def _seen(before: State, entries: Iterable[RawEntry]) -> str:
    numbers = [int(one_of(entry, "usnchanged") or 0) for entry in entries]
    known = _parsed(before, "seen")
    last = max(numbers, default=0)
    if last <= max((int(usn) for usn, _ in known), default=0):
        return before.get("seen", "")
    return _written([(str(last), time.time())])


def _born(entry: RawEntry) -> float:
    try:
        return generalized_time.decode(one_of(entry, "whencreated")).timestamp()
    except Undecodable:
        return 0.0


def _written(pairs: Iterable[tuple[str, float]]) -> str:
    return " ".join(f"{one}@{when:.0f}" for one, when in pairs)


def _parsed(state: State, name: str) -> list[tuple[str, float]]:
    parts = [part.partition("@") for part in state.get(name, "").split()]
    return [(one, float(when)) for one, _, when in parts if when.isdecimal()]


def _known(state: State) -> list[tuple[DirectoryId, float]]:
    """Return the witnesses of a cursor."""
    found = []
    for one, when in _recent(state, "witnesses"):
        with suppress(Undecodable):
            guid.encode_object_guid(DirectoryId(one))
            found.append((DirectoryId(one), when))
    return found


def _recent(
    state: State, name: str, seconds: float = WITNESS_SECONDS
) -> list[tuple[str, float]]:
    since = time.time() - seconds
    return [(one, when) for one, when in _parsed(state, name) if when >= since]
