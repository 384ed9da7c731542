"""Reading all entries of a directory: paged, streamed, and complete or not.

One read is one search in pages on a session of its own; its next page is on its way
while this one is decoded. Entries whose octets hash to what the caller knows are not
decoded at all. An entry that came with slices of its values is completed on a second
session to the same server: on the first one the next page is coming in already.

Silence is never absence: a read is complete only when every page ended with
success, its last cookie was empty, every account had an id of its own, every entry
came whole, and nothing below the base is on another server. Everything else is told by
`Finished(complete=False)`. A group or contact without an id of its own is left out: it
must not stop all accounts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol

from dirbridge.connectors.base import Known
from dirbridge.errors import MOST_SAID, Unreachable, harmless
from dirbridge.ldap.ranges import SLICE_FAILED, with_whole
from dirbridge.ldap.session import AT_LEISURE, Query, RawEntry, Session
from dirbridge.model.deadline import Deadline
from dirbridge.model.entry import (
    Entry,
    EntryKind,
    Finished,
    ReadKind,
    Unchanged,
)
from dirbridge.model.names import DirectoryId
from dirbridge.protocols.ldap_controls import DOMAIN_SCOPE
from dirbridge.protocols.ldap_messages import Result

PAGE = 1000
"""Entries for each page: Active Directory's own limit (MS-ADTS 3.1.1.3.4.6)."""

MOST_FAULTY = 10_000
"""Such a read is of no use, and a server may give the same entries for ever."""

_MOST_FAULTS = 100
_NOBODY: Known = {}


class Place(Protocol):
    """Where a server keeps things; see `ldap_directory.Naming`."""

    @property
    def base(self) -> str:
        """The DN to read below."""
        ...


class Reading:
    """One read, begun: the first entry, or the end of an empty read, is there.

    Attributes:
        result: How the search ended, None as long as entries come.
    """

    def __init__(  # noqa: PLR0913 - called by name
        self,
        session: Session,
        query: Query,
        *,
        entry: Callable[[RawEntry], Entry],
        beside: Callable[[], Session],
        known: Known | None = None,
        first: Deadline = AT_LEISURE,
        ids_only: bool = False,
    ) -> None:
        """Ask, and wait for the first entry.

        Args:
            session: A session that does nothing else until the end.
            query: What to read.
            entry: Gives an entry its id and kind.
            beside: Opens another session to the same server.
            known: Entries that are not decoded, by digest.
            first: When the first entry must be there.
            ids_only: It is asked which ids there are, not whose: one may come twice.

        Raises:
            Unreachable: No answer came, or the server is busy or unavailable.
        """
        self.result: Result | None = None
        self._session = session
        self._known = known or _NOBODY
        self._entry = entry
        self._beside = beside
        self._second: Session | None = None
        self._faults: list[str] = []
        self._faulty = 0
        self._left_out: list[str] = []
        self._ids_only = ids_only
        session.referred = ""
        self._stream = session.stream(query, page=PAGE, known=self._known, first=first)
        self._first = next(self._stream)
        if isinstance(self._first, Result):
            self.result = self._first

    def items(self) -> Iterator[Entry | Unchanged]:
        """Yield every entry, each id once.

        Raises:
            Unreachable: The read broke off.
            BindRefused, Unsupported: There is no second session for sliced entries.
        """
        known, as_entry = self._known, self._entry
        seen: set[DirectoryId] = set()
        for item in self._raw():
            if isinstance(item, bytes):
                found: Entry | Unchanged = Unchanged(known[item])
            else:
                raw = item if item.digest else self._whole(item)
                if raw is None:
                    continue
                found = as_entry(raw)
            each = found.id
            if each and each not in seen:
                seen.add(each)
                yield found
            else:
                self._refuse(found)
                if self._faulty + len(self._left_out) >= MOST_FAULTY:
                    self._fault("too many entries have no id of their own")
                    return

    def finished(self, base: str) -> Finished:
        """Return the end of the read, after its last item."""
        if self.result is not None and self.result.code != 0:
            self._fault(f"result {self.result.code} {self.result.text}".strip())
        if self._session.referred and DOMAIN_SCOPE not in self._session.standing:
            # Who is there is not here, and must not be taken for gone.
            where = self._session.referred
            self._fault(f"a part below {base} is on another server: {where}")
        said = self._faults or self._left_out
        count = self._faulty or len(self._left_out)
        more = f" (and {count - 1} more)" if count > 1 else ""
        return Finished(
            ReadKind.FULL,
            complete=self.result is not None and not self._faulty,
            server=self._session.server,
            base=base,
            why=said[0] + more if said else "",
        )

    def close(self) -> None:
        """Close the second session; the first one is the caller's."""
        self._stream.close()
        if self._second is not None:
            self._second.close()

    def _raw(self) -> Iterator[RawEntry | bytes]:
        item = self._first
        while not isinstance(item, Result):
            yield item
            item = next(self._stream)
        self.result = item

    def _whole(self, raw: RawEntry) -> RawEntry | None:
        """Return a sliced entry with all its values; None where it has not come."""
        if self._second is None:
            self._second = self._beside()
            self._second.standing = self._session.standing
        try:
            return with_whole(self._second, raw)
        except Unreachable as error:
            if error.code != SLICE_FAILED:
                raise
            self._fault(f"not all values came of {error.detail}")
            return None

    def _refuse(self, found: Entry | Unchanged) -> None:
        """Note an entry that cannot be told from another one."""
        name = found.dn if isinstance(found, Entry) else "an entry"
        if found.id:
            # Nobody can say whose account it is.
            why = f"{name} and another entry have the same id {found.id}"
        else:
            why = f"{name} has no readable id"
        is_person = isinstance(found, Unchanged) or found.kind is EntryKind.ACCOUNT
        if is_person and not (found.id and self._ids_only):
            self._fault(why)
        else:
            self._left_out.append(harmless(why, MOST_SAID))

    def _fault(self, why: str) -> None:
        self._faulty += 1
        if len(self._faults) < _MOST_FAULTS:
            self._faults.append(harmless(why, MOST_SAID))
