"""Attributes that come in slices: `memberOf;range=0-1499`.

Active Directory gives at most 1500 values of an attribute at a time; the last
slice ends in `-*` (facts: ad-semantics 2). An entry is only whole with all of
them, so the rest is fetched before anybody sees the entry.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

from dirbridge.ldap.session import Answer, Query, RawEntry, Session
from dirbridge.model.deadline import Deadline

_RANGE = re.compile(
    r"(?P<name>[^;]+);range=(?P<first>\d+)-(?P<last>\d+|\*)\Z", re.IGNORECASE
)
_MOST_SLICES = 1000
_ANY = "(objectClass=*)"

Values = dict[str, tuple[bytes, ...]]


def with_whole_ranges(session: Session, answer: Answer, deadline: Deadline) -> Answer:
    """Return the answer with every sliced attribute whole, under its plain name.

    Raises:
        Unreachable: A slice did not come.
    """
    if not any(";range=" in name for e in answer.entries for name in e.attributes):
        return answer
    whole = tuple(
        entry._replace(attributes=_whole(session, entry, deadline))
        for entry in answer.entries
    )
    return replace(answer, entries=whole)


def _whole(session: Session, entry: RawEntry, deadline: Deadline) -> Values:
    plain = {n: v for n, v in entry.attributes.items() if not _RANGE.match(n)}
    for name, values in entry.attributes.items():
        match = _RANGE.match(name)
        if match:
            rest = _rest(session, entry.dn, match, deadline)
            plain[match["name"]] = (*values, *rest)
    return plain


def _rest(
    session: Session, dn: str, match: re.Match[str], deadline: Deadline
) -> tuple[bytes, ...]:
    values: list[bytes] = []
    for _ in range(_MOST_SLICES):
        if match["last"] == "*":
            return tuple(values)
        wanted = f"{match['name']};range={int(match['last']) + 1}-*"
        query = Query(base=dn, filter=_ANY, scope="BASE", attributes=(wanted,))
        answer = session.search(query, deadline)
        found = _slice(answer.entries[0].attributes) if answer.entries else None
        if not answer.good or found is None:
            break
        match, more = found
        values += more
    raise session.transport.error("read", "range", f"{match['name']} of {dn}")


def _slice(
    attributes: Mapping[str, tuple[bytes, ...]],
) -> tuple[re.Match[str], tuple[bytes, ...]] | None:
    for name, values in attributes.items():
        if match := _RANGE.match(name):
            return match, values
    return None
