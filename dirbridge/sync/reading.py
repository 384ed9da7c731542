"""One read of a directory, mapped as it comes: everything, or what changed.

A delta does not always tell who went. Then the ids of all that is there are read as
well, and who is stored and not among them went; a silence alone takes nobody away. An
id that people can set is given up untold, but not without an entry that comes under
another id or DN than the one that is stored (`Vanished.IF_NEW`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Set
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from itertools import chain

from dirbridge.connectors.base import Connector, ReadItem
from dirbridge.directory import dn
from dirbridge.errors import IncompleteRead
from dirbridge.model.account import LIVE
from dirbridge.model.entry import (
    Cursor,
    Entry,
    EntryKind,
    Finished,
    Gone,
    ReadKind,
    Unchanged,
    Vanished,
)
from dirbridge.model.mapping import Elsewhere, Mapped, MappingResult, Unmapped
from dirbridge.model.names import DirectoryId, DomainName
from dirbridge.store.base import Remembered, StoreView
from dirbridge.sync.read import Outside, Read
from dirbridge.sync.second import BATCH, Second, second_for
from dirbridge.sync.spool import Spool, mapped_spool

Progress = Callable[[str, int, int | None], None]
"""Told the phase (`read`, `plan`, `apply`), how many items are done, and of how many
(None where nobody knows)."""

MANY = 4000
"""After so many entries that were mapped, the next ones are mapped aside."""

STEP = 1000
"""Items between two words of progress."""

MOST_NOTES = 10_000
"""Notes that are kept; where a rule drops a value of everybody, they tell enough."""

SMALL = 10_000
"""As many entries are no delta; see `LazilyKnown`."""

Rows = Callable[[], Iterable[Remembered]]
"""Gives what the store remembers of each account of the directory."""

Views = Callable[[], AbstractContextManager[StoreView]]
"""Looks at the store."""


@dataclass(frozen=True, slots=True)
class Told:
    """What a read told, beside the entries.

    Attributes:
        read: What the plan is made of.
        notes: Per entry's DN, what mapping dropped and why.
        whole: Whether more changed than it can tell, so that everything must be read.
    """

    read: Read
    notes: tuple[tuple[str, str], ...] = ()
    whole: bool = False

    @property
    def ids(self) -> frozenset[DirectoryId]:
        """Of whom it told anything; to be asked of deltas only."""
        return frozenset((*self.read.seen, *self.read.gone))


@dataclass(frozen=True, slots=True)
class Reader:
    """Reads one directory for one run.

    Attributes:
        connector: The directory.
        domain: The mail domain, for errors.
        mapping: What becomes of an entry.
        source: The directory's name within the domain.
        views: See `Views`; asked only where it is needed.
        waiting: Who is not stored, or lacks something, and may have gone as well.
        progress: Told how far it is.
    """

    connector: Connector
    domain: DomainName
    mapping: Callable[[Entry], MappingResult]
    source: str
    views: Views
    waiting: Set[DirectoryId]
    progress: Progress

    def everything(self, after: Cursor | None, *, knows: bool) -> Told:
        """Read everything.

        Args:
            after: Where the last read ended: no server that knows less is believed.
            knows: Whether what the store remembers of entries still holds.

        Raises:
            DirectoryError: The directory could not be read to its end.
        """
        stock = self._stock() if knows else _Stock()
        items = self.connector.read(after, stock.known, full=True)
        gathered, finished = self._gather(items, len(stock.known) or None)
        told = gathered.told(finished)
        if not knows:
            return told
        missing = tuple(stock.missing(gathered.seen))
        return replace(
            told, read=replace(told.read, missing=missing, version=stock.version)
        )

    def rows(self) -> Iterator[Remembered]:
        """Yield what the store remembers of each account of the directory."""
        with self.views() as view:
            yield from view.remembered(self.domain, self.source)

    def _stock(self) -> _Stock:
        with self.views() as view:
            rows = view.remembered(self.domain, self.source)
            return stock_of(rows, view.version)

    def changes(self, after: Cursor) -> Told:
        """Read what changed, and who went; everything where the cursor does not hold.

        Args:
            after: Where the last read ended.

        Raises:
            DirectoryError: As for `everything`.
        """
        known = LazilyKnown(self.rows)
        gathered, finished = self._gather(self.connector.read(after, known), None)
        is_delta = finished.kind is ReadKind.DELTA
        if is_delta and not self._tells_who_went(gathered, finished.vanished):
            self._sweep(gathered, finished)
        return gathered.told(finished)

    def _tells_who_went(self, gathered: _Gathered, vanished: Vanished) -> bool:
        if vanished is Vanished.IF_NEW:
            return self._is_all_known(gathered)
        return vanished is Vanished.TOLD

    def _is_all_known(self, gathered: _Gathered) -> bool:
        """Whether every entry came under the id and the DN that it is stored with."""
        came = gathered.came
        others = gathered.unchanged or gathered.gone - gathered.outside.keys()
        if others or len(came) >= SMALL or not self.waiting.isdisjoint(came):
            return False
        with self.views() as view:
            stored = view.by_id(self.domain, self.source, came)
        return all(
            (account := stored.get(one)) is not None
            and account.state in LIVE
            and dn.is_same(account.values.dn, name)
            for one, name in came.items()
        )

    def _gather(
        self, items: Iterator[ReadItem], total: int | None
    ) -> tuple[_Gathered, Finished]:
        gathered = _Gathered(self.mapping, second_for(self.mapping))
        try:
            for item in items:
                if isinstance(item, Finished):
                    gathered.end()
                    self.progress("read", gathered.count, gathered.count)
                    return gathered, self._complete(item)
                gathered.take(item)
                if gathered.count % STEP == 0:
                    self.progress("read", gathered.count, total)
        finally:
            gathered.close()
        raise AssertionError("a read ended without Finished")

    def _sweep(self, gathered: _Gathered, finished: Finished) -> None:
        """Find who went by what is still there."""
        there: set[DirectoryId] = set()
        for item in self.connector.sweep(finished.cursor):
            if isinstance(item, Finished):
                self._complete(item)
            else:
                there.add(item)
        gathered.gone -= there - gathered.outside.keys()
        there |= gathered.seen | gathered.outside.keys()
        gathered.gone |= self.waiting - there
        went: set[EntryKind] = set()
        stayed: set[EntryKind] = set()
        for one in self.rows():
            if one.state in LIVE and one.id in there:
                stayed.add(one.kind)
            elif one.state in LIVE:
                went.add(one.kind)
                gathered.gone.add(one.id)
        # Where nobody is left, the source may be what is wrong.
        gathered.whole |= EntryKind.GROUP in went or not went <= stayed

    def _complete(self, finished: Finished) -> Finished:
        if finished.complete:
            return finished
        raise IncompleteRead(
            domain=self.domain,
            server=finished.server,
            operation="read",
            code="incomplete",
            detail=finished.why,
        )


@dataclass(slots=True)
class _Gathered:
    """What came so far.

    Attributes:
        second: Maps for us, once much was mapped; None where nobody does.
        batch: What it is to get next.
        here: How many entries were mapped here.
        came: The DN under which each entry came; of no more than `SMALL`.
    """

    mapping: Callable[[Entry], MappingResult]
    second: Second | None = None
    batch: list[Entry] = field(default_factory=list)
    here: int = 0
    mapped: Spool[Mapped] = field(default_factory=mapped_spool)
    unmapped: list[Unmapped] = field(default_factory=list)
    seen: set[DirectoryId] = field(default_factory=set)
    gone: set[DirectoryId] = field(default_factory=set)
    outside: dict[DirectoryId, Outside] = field(default_factory=dict)
    came: dict[DirectoryId, str] = field(default_factory=dict)
    notes: list[tuple[str, str]] = field(default_factory=list)
    whole: bool = False
    count: int = 0
    unchanged: int = 0

    def take(self, item: ReadItem) -> None:
        self.count += 1
        if isinstance(item, Unchanged):
            self.unchanged += 1
            self.seen.add(item.id)
        elif isinstance(item, Entry):
            self._map(item)
        elif isinstance(item, Gone):
            self.gone.add(item.id)

    def end(self) -> None:
        """Wait for what is mapped aside."""
        if self.second is not None and self.here >= MANY:
            self._exchange(self.second)
            self._exchange(self.second)

    def close(self) -> None:
        """End the second process, where there is one."""
        if self.second is not None:
            self.second.close()

    def _map(self, entry: Entry) -> None:
        if len(self.came) < SMALL:
            self.came[entry.id] = entry.dn
        if self.second is not None and self.here >= MANY:
            self.batch.append(entry)
            if len(self.batch) >= BATCH:
                self._exchange(self.second)
            return
        self.here += 1
        result = self.mapping(entry)
        if not isinstance(result, Mapped):
            self._pass_over(result)
            return
        self.seen.add(entry.id)
        self.mapped.add(result)
        if result.notes and len(self.notes) < MOST_NOTES:
            self.notes += ((entry.dn, note) for note in result.notes)

    def _exchange(self, second: Second) -> None:
        """Hand over what has gathered, and take what became of what was before."""
        batch, self.batch = self.batch, []
        entries, answer = second.exchange(batch)
        others = answer.others
        self.seen.update(e.id for at, e in enumerate(entries) if at not in others)
        for result in others.values():
            self._pass_over(result)
        self.mapped.append(answer.size, answer.portion)
        self.notes += answer.notes[: max(0, MOST_NOTES - len(self.notes))]

    def _pass_over(self, result: Unmapped | Elsewhere) -> None:
        if isinstance(result, Elsewhere):
            self.outside[result.id] = Outside(result.why, gives_up=result.goes_on)
            self.gone.add(result.id)
            return
        self.seen.add(result.id)
        self.unmapped.append(result)

    def told(self, finished: Finished) -> Told:
        read = Read(
            mapped=self.mapped,
            unmapped=tuple(self.unmapped),
            gone=frozenset(self.gone - self.seen),
            seen=self.seen,
            finished=finished,
            unchanged=self.unchanged,
            outside=self.outside,
        )
        return Told(read, tuple(self.notes), self.whole)


@dataclass(slots=True)
class _Stock:
    """Who is active or disabled.

    Attributes:
        known: The entries that need not be mapped again, by digest. Who is
            deactivated or removed is not among them whatever the octets are: that
            the entry is there at all is the news.
        others: Who else is active or disabled.
        version: The store's.
    """

    known: dict[bytes, DirectoryId] = field(default_factory=dict)
    others: list[DirectoryId] = field(default_factory=list)
    version: int | None = None

    def missing(self, seen: Set[DirectoryId]) -> Iterator[DirectoryId]:
        """Yield who was not seen."""
        everybody = chain(self.known.values(), self.others)
        return (one for one in everybody if one not in seen)


def stock_of(rows: Iterable[Remembered], version: int | None = None) -> _Stock:
    """Sort what the store remembers."""
    stock = _Stock(version=version)
    known, others = stock.known, stock.others
    for one in rows:
        if one.state not in LIVE:
            continue
        if one.digest and one.digest not in known:
            known[one.digest] = one.id
        else:
            others.append(one.id)
    return stock


class LazilyKnown(Mapping[bytes, DirectoryId]):
    """What the store remembers, loaded once it is worth it.

    A delta asks for a handful of entries, and is to cost no look at all accounts. It
    turns into a full read where its cursor does not hold, which nobody knows before.
    """

    def __init__(self, rows: Rows) -> None:
        self._rows = rows
        self._asked = 0
        self._known: dict[bytes, DirectoryId] | None = None

    def __getitem__(self, digest: bytes) -> DirectoryId:
        if self._known is None:
            self._asked += 1
            if self._asked <= SMALL:
                raise KeyError(digest)
            self._known = stock_of(self._rows()).known
        return self._known[digest]

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._known or ())

    def __len__(self) -> int:
        return len(self._known or ())

    def __bool__(self) -> bool:
        return True
