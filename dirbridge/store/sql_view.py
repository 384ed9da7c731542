"""What a store in SQL had at one moment; see `store.base.StoreView`.

A delta asks for ten accounts among a million, so nothing here but `remembered` and
`mapped` walks through a table: each question goes through an index, in few
statements for any number of names, and numbers are counted beforehand (`tallies`).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any, NamedTuple

from sqlalchemy import (
    Connection,
    TextClause,
    bindparam,
    literal_column,
    select,
    text,
)
from sqlalchemy.sql.expression import Executable

from dirbridge.model.account import Account, AccountState, Origin
from dirbridge.model.entry import Cursor, EntryKind
from dirbridge.model.names import DirectoryId, DomainName
from dirbridge.store import rows
from dirbridge.store.base import Remembered
from dirbridge.store.database import Database, wrapped
from dirbridge.store.gathering import (
    Condition,
    Statement,
    by_table,
    numbered,
    page,
    paged,
    portions,
    scattered,
)
from dirbridge.store.schema import (
    AccountRow,
    AddressRow,
    CursorRow,
    DomainRow,
    NameRow,
    TallyRow,
    key,
)
from dirbridge.store.view import NUMBERED

_FETCHED = 5000
"""How many rows of a stream are in memory at once."""

_KINDS = {kind.value: kind for kind in EntryKind}
_STATES = {state.value: state for state in AccountState}


class SqlView:
    """A view of one transaction. Tested by `tests/contract/test_store_view.py`."""

    def __init__(
        self, database: Database, connection: Connection, version: int
    ) -> None:
        """Take the connection, and the version that its transaction sees."""
        self._database = database
        self._connection = connection
        self.version = version

    def cursor(self, domain: DomainName, source: str) -> Cursor | None:
        """Return where the next delta of a domain's directory goes on, or None."""
        found = self._all(CURSOR, {"domain": domain, "source": source})
        return Cursor(found[0].kind, bytes(found[0].value)) if found else None

    def remembered(self, domain: DomainName, source: str) -> Iterator[Remembered]:
        """Stream what a read must know of each mapped account of a directory."""
        with wrapped(self._database):
            found = self._connection.execute(
                _REMEMBERED,
                {"domain": domain, "source": source},
                execution_options={"yield_per": _FETCHED},
            )
            for some in found.partitions():
                yield from [
                    Remembered(one, digest or b"", _KINDS[kind], _STATES[state])
                    for one, digest, kind, state in some
                ]

    def by_id(
        self, domain: DomainName, source: str, ids: Collection[DirectoryId]
    ) -> dict[DirectoryId, Account]:
        """Return those of a directory's mapped accounts that have one of these ids."""
        among = _statements(self._database.among).by_id
        own = {"domain": domain, "source": source}
        found: dict[DirectoryId, Account] = {}
        for some in portions(_storable(ids)):
            there = self._all(among, {"wanted": self._database.many(some), **own})
            found |= {a.values.directory_id: a for a in self._scattered(there)}
        return found

    def holders(
        self,
        domain: DomainName,
        names: Collection[str],
        addresses: Collection[str],
    ) -> tuple[Account, ...]:
        """Return every account that has one of these names or addresses."""
        ask = _statements(self._database.among)
        named = self._among(ask.named, map(key, names))
        holding = self._among(ask.holding, map(key, addresses))
        for where, boxes in self._boxes(addresses).items():
            holding |= self._among(ask.boxed, boxes, {"domain": where})
        with wrapped(self._database):
            found = numbered(self._database, self._connection, named | holding)
            return tuple(a for a in found if a.number in holding or a.domain == domain)

    def taken(self, domain: DomainName, mailboxes: Collection[str]) -> frozenset[str]:
        """Return which mailbox names nobody new may have, numbered ones too."""
        found: set[str] = set()
        for some in portions(mailboxes):
            found |= self._taken(domain, some)
        return frozenset(found - {""})

    def live(self, domain: DomainName) -> Mapping[tuple[str, EntryKind], int]:
        """Count a domain's active and disabled accounts by source and kind."""
        counted: Counter[tuple[str, EntryKind]] = Counter()
        for source, _, kind, _, live in self._tallies(domain):
            counted[source, _KINDS[kind]] += live
        return counted

    def containers(
        self, domain: DomainName, source: str
    ) -> Mapping[tuple[EntryKind, str], int]:
        """Count a directory's active and disabled accounts by kind and parent DN."""
        return {
            (_KINDS[kind], container): live
            for where, origin, kind, container, live in self._tallies(domain)
            if (where, origin) == (source, Origin.MAPPED)
        }

    def due(
        self, domain: DomainName, source: str, since: datetime
    ) -> tuple[Account, ...]:
        """Return a directory's accounts that are deactivated since then or longer."""
        wanted = {"domain": domain, "source": source, "since": since}
        numbers = {row.number for row in self._all(_DUE, wanted)}
        with wrapped(self._database):
            return tuple(numbered(self._database, self._connection, numbers))

    def mapped(self, domain: DomainName, source: str) -> Iterator[Account]:
        """Stream a directory's mapped accounts, removed ones too, by number."""
        wanted = {"domain": domain, "source": source}
        yield from paged(self._database, self._connection, _MAPPED, wanted)

    def _taken(self, domain: DomainName, some: list[str]) -> set[str]:
        boxes = {key(name): name for name in some}
        addresses = {key(f"{name}@{domain}"): name for name in some}
        own = {"domain": domain}
        ask = _statements(self._database.among)
        held = self._among(ask.boxes, boxes, own)
        told = self._among(ask.addresses, addresses)
        found = {boxes[one] for one in held} | {addresses[one] for one in told}
        wanted = {"wanted": self._database.many(_storable(some))}
        listed = self._database.listed
        near_boxes = _worded(_NEAR_BOXES, listed)
        near = {row[0] for row in self._all(near_boxes, {**wanted, **own})}
        for row in self._all(_worded(_NEAR_ADDRESSES, listed), wanted):
            local, _, where = row[0].rpartition("@")
            near |= {local} if where == domain else set()
        return found | {one for one in near if NUMBERED.sub("", one) in boxes}

    def _boxes(self, addresses: Iterable[str]) -> dict[str, set[str]]:
        """Return mailbox keys of addresses in our own domains, by domain."""
        known = {row.name for row in self._all(_DOMAINS)}
        boxes: dict[str, set[str]] = defaultdict(set)
        for address in addresses:
            local, _, where = address.rpartition("@")
            if where in known:
                boxes[where].add(key(local))
        return boxes

    def _tallies(self, domain: DomainName) -> Iterable[Any]:
        return self._all(_TALLIES, {"domain": domain})

    def _among(
        self,
        statement: Statement,
        values: Iterable[str],
        own: Mapping[str, object] | None = None,
    ) -> set[Any]:
        """Return the first column of the rows with one of these values."""
        found: set[Any] = set()
        for some in portions(_storable(values)):
            wanted = {"wanted": self._database.many(some), **(own or {})}
            found.update(row[0] for row in self._all(statement, wanted))
        return found

    def _scattered(self, found: Any) -> tuple[Account, ...]:
        with wrapped(self._database):
            return scattered(self._database, self._connection, found)

    def _all(
        self, statement: Executable, wanted: Mapping[str, object] | None = None
    ) -> Sequence[Any]:
        with wrapped(self._database):
            return self._connection.execute(statement, wanted).all()


def _storable(values: Iterable[str]) -> list[str]:
    """Leave out what no database can hold, and so has not."""
    return [value for value in values if rows.is_storable(value)]


def _of_directory(statement: Statement) -> Statement:
    return statement.where(
        AccountRow.domain == bindparam("domain"),
        AccountRow.source == bindparam("source"),
        AccountRow.origin == Origin.MAPPED.value,
    )


CURSOR = select(CursorRow.kind, CursorRow.value).where(
    CursorRow.domain == bindparam("domain"), CursorRow.source == bindparam("source")
)
# Nearly all rows are wanted: in the order of the table they come three times as fast
# as in the order of an index, which has each row looked up by itself.
_REMEMBERED: Statement = select(
    AccountRow.directory_id, AccountRow.digest, AccountRow.kind, AccountRow.state
).where(
    by_table(AccountRow.domain) == bindparam("domain"),
    by_table(AccountRow.source) == bindparam("source"),
    AccountRow.origin == Origin.MAPPED.value,
)
_MAPPED = page(
    by_table(AccountRow.domain) == bindparam("domain"),
    by_table(AccountRow.source) == bindparam("source"),
    AccountRow.origin == Origin.MAPPED.value,
)
_TALLIES = select(
    TallyRow.source, TallyRow.origin, TallyRow.kind, TallyRow.container, TallyRow.live
).where(TallyRow.domain == bindparam("domain"))
_DUE = _of_directory(select(AccountRow.number)).where(
    # As the partial index says it: a bound value would not do.
    AccountRow.state == literal_column(f"'{AccountState.DEACTIVATED.value}'"),
    AccountRow.state_since <= bindparam("since"),
)
_DOMAINS = select(DomainRow.name)


class _Statements(NamedTuple):
    """What is asked of some values; building it costs more than asking."""

    by_id: Statement
    named: Statement
    holding: Statement
    boxed: Statement
    boxes: Statement
    addresses: Statement


@lru_cache(maxsize=8)
def _statements(among: Condition) -> _Statements:
    names, held = among(NameRow.key.expression), among(AddressRow.key.expression)
    boxes = (
        AccountRow.domain == bindparam("domain"),
        among(AccountRow.mailbox_key.expression),
    )
    return _Statements(
        by_id=_of_directory(rows.ACCOUNT).where(
            among(AccountRow.directory_id.expression)
        ),
        named=select(NameRow.account).where(names),
        holding=select(AddressRow.account).where(held),
        boxed=select(AccountRow.number).where(*boxes),
        boxes=select(AccountRow.mailbox_key).where(*boxes),
        addresses=select(AddressRow.key).where(held),
    )


@lru_cache(maxsize=8)
def _worded(words: str, listed: str) -> TextClause:
    return text(words.format(listed=listed))


# What begins with a wanted name and a hyphen: a full stop follows a hyphen. The
# cross join keeps SQLite from walking through a whole domain first.
_NEAR_BOXES = """
    SELECT a.mailbox_key FROM {listed} CROSS JOIN accounts AS a
    WHERE a.domain = :domain
    AND a.mailbox_key >= w.value || '-' AND a.mailbox_key < w.value || '.'
"""
_NEAR_ADDRESSES = """
    SELECT a.key FROM {listed} CROSS JOIN addresses AS a
    WHERE a.key >= w.value || '-' AND a.key < w.value || '.'
"""
