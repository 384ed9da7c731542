"""Reading only what changed: what all mechanisms have in common.

A mechanism tells *which* entries changed, never reliably *how*: DirSync sends parts
of entries, a change number is only a number, and none of them says that an entry has
left the filter. So what is told as changed is read again by its id, with the very
filter and base of a full read: found is an `Entry`, whole; not found is `Gone`. That
way replaying deltas over a full read gives what a new full read gives.

Nothing here decides that somebody vanished because of a silence: deletions are
concluded only where the server names them, see `Vanished`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import NamedTuple, Protocol

from dirbridge.connectors import cursors
from dirbridge.connectors.base import Known, ReadItem
from dirbridge.directory import filter as ldap_filter
from dirbridge.errors import Unreachable
from dirbridge.ldap.progress import MOST_EMPTY
from dirbridge.ldap.ranges import with_whole_ranges
from dirbridge.ldap.session import Query, RawEntry, Session
from dirbridge.model.deadline import Deadline
from dirbridge.model.entry import (
    Cursor,
    Entry,
    Finished,
    Gone,
    ReadKind,
    Unchanged,
    Vanished,
)
from dirbridge.model.finding import Finding
from dirbridge.model.names import DirectoryId

MOST_CHANGED = 10_000
"""With more changes than this a full read is cheaper, and a delta would not be small
enough to be held in memory until it is whole."""

PAGE = 1000
BATCH = 100
"""Ids in one filter; a domain controller takes far more, a small one stays fast."""


class Place(Protocol):
    """Where a server keeps things; see `ldap_directory.Naming`."""

    @property
    def suffix(self) -> str:
        """The naming context."""
        ...

    @property
    def base(self) -> str:
        """The DN to read below."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """What a connector reads, the same for a full read and for a delta.

    Attributes:
        filter: The whole filter, exclusions included.
        attributes: What is asked for.
        id: The identity attribute.
        id_fallback: Identity of entries that lack it, or None.
        account: The service account's name; what it may read is part of the scope.
        entry: Gives an entry its id and kind.
        soon: Seconds for a first sign of life.
        patience: Seconds for an answer.
        lone: Whether this is the only server there is.
    """

    filter: str
    attributes: tuple[str, ...]
    id: str
    id_fallback: str | None
    account: str
    entry: Callable[[RawEntry], Entry]
    soon: float
    patience: float
    lone: Callable[[], bool] = lambda: False

    def fingerprint(self, place: Place) -> str:
        """Return what a cursor is bound to."""
        names = ",".join(sorted(name.lower() for name in self.attributes))
        parts = (place.base, self.filter, names, self.id, self.account)
        return cursors.fingerprint(*parts)

    def limit(self) -> Deadline:
        """Return the deadline for one answer."""
        return Deadline.after(self.patience)


class Changes(Protocol):
    """One kind of directory's way to tell what changed.

    An object is used by many threads; what it learns of servers is only a hint.
    """

    def mark(
        self,
        session: Session,
        naming: Place,
        deadline: Deadline,
        after: Cursor | None = None,
    ) -> Cursor | None:
        """Say where a delta goes on after the full read that now begins.

        Args:
            session: The session on which the full read is made.
            naming: Where things are.
            deadline: When it must be said.
            after: The cursor that did not hold, whatever it was made for.

        Returns:
            The cursor; None where this server tells no changes to this account.

        Raises:
            Unreachable: The server knows less than `after` knew (`behind`): what it
                lacks must not be taken for gone.
        """
        ...

    def behind(
        self, cursor: Cursor, session: Session, naming: Place, deadline: Deadline
    ) -> None:
        """Refuse a server that knows less than a cursor, as `mark` does.

        Raises:
            Unreachable: It does (`behind`).
        """
        ...

    def stamp(self, mark: Cursor) -> str:
        """Return the attribute that every entry must show for deltas after `mark`.

        Returns:
            Its name in lower case; "" where deltas search by none, or prove it
            themselves.
        """
        ...

    def since(
        self, cursor: Cursor, session: Session, naming: Place
    ) -> Sequence[ReadItem] | None:
        """Read what changed.

        Args:
            cursor: Where the last read ended.
            session: A session, kept or new.
            naming: Where things are.

        Returns:
            Entries and gone ids, each id once, then a complete `Finished`; None where
            the cursor does not hold here and everything must be read.

        Raises:
            Unreachable: No answer, or the server is `behind` the cursor.
        """
        ...

    def describe(
        self, session: Session, naming: Place, deadline: Deadline
    ) -> list[Finding]:
        """Say for `dirbridge check` which way results, and which right would help."""
        ...


class Key(NamedTuple):
    """An entry that changed.

    Attributes:
        id: Its stable id.
        filter: What finds it, whatever it is called now.
    """

    id: DirectoryId
    filter: str


def read_again(
    scope: Scope, place: Place, session: Session, changed: Iterable[Key]
) -> list[ReadItem] | None:
    """Read changed entries whole, with the filter and base of a full read.

    Returns:
        An `Entry` for each that is in scope and `Gone` for the others; None where
        the server did not tell all of it, or two entries have one id.
    """
    items: list[ReadItem] = []
    seen: set[DirectoryId] = set()
    missing: list[DirectoryId] = []
    for batch in _batches(changed):
        limit = scope.limit()
        wanted = ldap_filter.any_of(*(key.filter for key in batch))
        query = Query(
            base=place.base,
            filter=ldap_filter.all_of(scope.filter, wanted),
            attributes=scope.attributes,
        )
        answer = session.search(query, limit)
        if not answer.good:
            return None
        whole = with_whole_ranges(session, answer, limit)
        entries = [scope.entry(raw) for raw in whole.entries]
        ids = {entry.id for entry in entries}
        if "" in ids or len(ids) < len(entries) or ids & seen:
            return None
        seen |= ids
        items += entries
        missing += [key.id for key in batch if key.id not in ids]
    items += [Gone(one) for one in dict.fromkeys(missing) if one not in seen]
    return items


def read_keys(
    session: Session, query: Query, patience: float, most: int = MOST_CHANGED
) -> list[RawEntry] | None:
    """Read small entries in pages; None where not all came or they are too many."""
    found: list[RawEntry] = []
    cookie = b""
    empty = 0
    while empty <= MOST_EMPTY:
        limit = Deadline.after(patience)
        answer = session.search(query, limit, page=PAGE, cookie=cookie)
        found += answer.entries
        if not answer.good or len(found) > most:
            return None
        cookie = answer.cookie
        if not cookie:
            return found
        empty = 0 if answer.entries else empty + 1
    return None


def told(
    session: Session, place: Place, cursor: Cursor, vanished: Vanished
) -> Finished:
    """Return the end of a delta that told everything it can tell."""
    return Finished(
        ReadKind.DELTA,
        complete=True,
        server=session.server,
        base=place.base,
        cursor=cursor,
        vanished=vanished,
    )


def behind(session: Session, detail: str) -> Unreachable:
    """Return the failure of a server that lacks changes which were read already."""
    return Unreachable(
        domain=session.transport.domain,
        server=session.server,
        operation="read",
        code="behind",
        detail=detail,
    )


def without_known(items: Iterable[ReadItem], known: Known | None) -> Iterator[ReadItem]:
    """Yield what was read, entries that the caller knows as `Unchanged`."""
    for item in items:
        if isinstance(item, Entry) and known and known.get(item.digest) == item.id:
            yield Unchanged(item.id)
        else:
            yield item


def with_cursor(end: Finished, cursor: Cursor | None) -> Finished:
    """Return the end of a full read with where the next delta goes on.

    Only a complete read carries one: after another the next read begins anew.
    """
    return replace(end, cursor=cursor if end.complete else None)


def _batches(keys: Iterable[Key]) -> Iterator[list[Key]]:
    all_keys = iter(keys)
    while batch := list(islice(all_keys, BATCH)):
        yield batch
