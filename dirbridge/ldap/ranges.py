"""Attributes that come in slices: `memberOf;range=0-1499`.

Active Directory gives at most 1500 values of an attribute at a time; the last
slice ends in `-*` (win32 docs, "Attribute Range Retrieval"). An entry is only whole
with all of them, so they are fetched before anybody sees the entry. Slices that are
read one after the other are of one state only if the entry's change number stayed the
same.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import NamedTuple

from dirbridge.ldap.session import Answer, Query, RawEntry, Session
from dirbridge.model.deadline import Deadline
from dirbridge.protocols.ldap_entry import RANGE

SLICE_FAILED = "range"
"""Code of the `Unreachable` for an entry whose slices do not come together."""

_RANGE = re.compile(r"(?P<name>[^;]+(?:;.+)?);range=(?P<first>\d+)-(?P<last>\d+|\*)\Z")
_CHANGE_NUMBER = "uSNChanged"
_TRIES = 3
_MOST_SLICES = 10_000
_AT_LEISURE = Deadline(math.inf)
_ANY = "(objectClass=*)"

Values = dict[str, tuple[bytes, ...]]


def with_whole_ranges(session: Session, answer: Answer, deadline: Deadline) -> Answer:
    """Return the answer with every sliced attribute whole, under its plain name.

    Raises:
        Unreachable: The slices did not come.
    """
    whole = (with_whole(session, entry, deadline) for entry in answer.entries)
    return replace(answer, entries=tuple(whole))


def with_whole(
    session: Session, entry: RawEntry, deadline: Deadline | None = None
) -> RawEntry:
    """Return an entry with every sliced attribute whole, under its plain name.

    Args:
        session: A session of the server that gave the entry.
        entry: The entry; its digest is lost where it had slices.
        deadline: When all must be there; None for `read_seconds` for each slice.

    Raises:
        Unreachable: A slice did not come, or the entry went on changing.
    """
    sliced = _sliced(entry.attributes)
    if not sliced:
        return entry
    limit = deadline or _AT_LEISURE
    for _ in range(_TRIES):
        found = _all_of(session, entry.dn, sliced, limit)
        if found is not None:
            plain = {n: v for n, v in entry.attributes.items() if RANGE not in n}
            return entry._replace(attributes={**plain, **found}, digest=b"")
    detail = f"{', '.join(sliced)} of {entry.dn}"
    raise session.transport.error("read", SLICE_FAILED, detail)


def _sliced(attributes: Iterable[str]) -> list[str]:
    """Return the names of what came in slices."""
    matches = (_RANGE.match(name) for name in attributes if RANGE in name)
    return sorted({match["name"] for match in matches if match})


def _all_of(
    session: Session, dn: str, names: Iterable[str], limit: Deadline
) -> Values | None:
    """Return the attributes whole; None where the entry changed meanwhile."""
    found: Values = {}
    seen: set[tuple[bytes, ...]] = set()
    for name in names:
        values = _slices(session, dn, name, limit, seen)
        if values is None or len(seen) > 1:
            return None
        found[name] = values
    return found


def _slices(
    session: Session,
    dn: str,
    name: str,
    limit: Deadline,
    seen: set[tuple[bytes, ...]],
) -> tuple[bytes, ...] | None:
    """Return all values, and note each change number; None where a slice lacks."""
    values: list[bytes] = []
    for _ in range(_MOST_SLICES):
        wanted = (f"{name};range={len(values)}-*", _CHANGE_NUMBER)
        query = Query(base=dn, filter=_ANY, scope="BASE", attributes=wanted)
        answer = session.search(query, limit)
        if not answer.good or not answer.entries:
            return None
        attributes = answer.entries[0].attributes
        seen.add(attributes.get(_CHANGE_NUMBER.lower(), ()))
        part = _part(attributes, name, len(values))
        if part is None:
            # Whoever has left an attribute empty meanwhile gets no slice at all.
            return None if values else attributes.get(name, ())
        values += part.values
        if part.last:
            return tuple(values)
    return None


class _Part(NamedTuple):
    values: tuple[bytes, ...]
    last: bool


def _part(
    attributes: Mapping[str, tuple[bytes, ...]], name: str, first: int
) -> _Part | None:
    """Return the slice that begins at `first`; None where none does."""
    for each, values in attributes.items():
        match = _RANGE.match(each)
        if match and match["name"] == name and int(match["first"]) == first and values:
            return _Part(values, match["last"] == "*")
    return None
