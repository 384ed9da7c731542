"""A plan on its way into the tables, inside one transaction.

A first import does not fit into memory, so changes are walked through in portions,
twice. The first walk clears the lists of every changed account, the second writes
accounts, lists and audit rows: so uniqueness is judged on the outcome, not on the
way. Where nobody is there yet, there is nothing to clear.

The numbers of live accounts by container (`tallies`) move with the accounts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from datetime import datetime
from functools import lru_cache
from itertools import chain, islice
from typing import NamedTuple, TypeVar

from sqlalchemy import Connection, Delete, bindparam, delete, select, text

from dirbridge.errors import StoreError
from dirbridge.model.account import LIVE, Account
from dirbridge.model.names import DomainName
from dirbridge.model.plan import Approval, Change, Changes, Op, Plan
from dirbridge.store import bulk, rows
from dirbridge.store.base import Run, RunResult
from dirbridge.store.credentials import CREDENTIALS
from dirbridge.store.database import Database
from dirbridge.store.gathering import Condition, Statement
from dirbridge.store.schema import (
    AccountRow,
    AddressRow,
    Base,
    ChangeRow,
    CursorRow,
    DomainRow,
    MemberRow,
    NameRow,
    OfferRow,
    RunRow,
    short,
    table,
)
from dirbridge.store.view import container

T = TypeVar("T")

PORTION = 2000
"""How many changes are in memory at once."""

VERSION = (
    select(RunRow.number)
    .where(
        RunRow.result == text(f"'{RunResult.APPLIED.value}'"),
        RunRow.kind != CREDENTIALS,
    )
    .order_by(RunRow.number.desc())
    .limit(1)
)
"""The newest run that changed accounts, no row before the first."""


class Tally(NamedTuple):
    """What live accounts are counted by; `container` is a DN."""

    domain: str
    source: str
    origin: str
    kind: str
    container: str


class Application:
    """One plan, to be applied once."""

    def __init__(self, database: Database, connection: Connection) -> None:
        """Take a connection in a transaction that queued with other writers."""
        self._database = database
        self._free = connection
        self._filling = database.filling(connection)
        self._to_create = 0
        self._domains: set[str] = set()
        self._tallies: Counter[Tally] = Counter()

    def apply(self, plan: Plan, run: Run) -> Run:
        """Write accounts, audit rows, cursor and run.

        Raises:
            StoreError: `outrun` or `refused`.
            Unstorable: An account holds what no database can.
        """
        with closing(self._filling):
            known = self._apply(plan, run)
            self._filling.wait()
        return known

    @property
    def _connection(self) -> Connection:
        """The connection, when nobody else uses it."""
        self._filling.wait()
        return self._free

    def _apply(self, plan: Plan, run: Run) -> Run:
        self._check_current(plan)
        known = self.remember(run)
        self._know(plan.domain, run.finished_at)
        if plan.approved is not None:
            self._use_up(plan.approved, known)
        if self._is_anybody_there():
            for some in portions(_of_those_there(plan)):
                self._clear([account.number for account in _changed(some)])
        self._to_create = plan.counts().get(Op.CREATE, 0)
        for first, some in enumerate(portions(plan.changes)):
            self._write(some, known)
            self._audit(some, first * PORTION, plan.server, known)
        self._refresh(plan)
        self._tally()
        self._point(plan, run.finished_at)
        return known

    def remember(self, run: Run) -> Run:
        """Write the row of a run; give the run with its number."""
        self._know(run.domain, run.finished_at)
        insert = table(RunRow).insert().returning(RunRow.number)
        row = rows.run_row(run)
        if run.known:
            own = {"domain": run.domain, "source": run.source}
            self._connection.execute(_FORGET_KNOWN, own)
        return replace(run, number=self._connection.execute(insert, row).scalar_one())

    def offer(self, offer: Approval) -> None:
        """Keep what a run offers, in place of an older offer of the same."""
        self._know(offer.domain, offer.offered_at)
        self._connection.execute(delete(OfferRow).where(OfferRow.id == offer.id))
        self._connection.execute(table(OfferRow).insert(), rows.offer_row(offer))

    def _check_current(self, plan: Plan) -> None:
        newest = self._connection.execute(VERSION).scalar() or 0
        if plan.based_on is not None and plan.based_on != newest:
            raise StoreError("outrun", self._database.where)

    def _use_up(self, approved: Approval, run: Run) -> None:
        used = select(OfferRow.used_by).where(OfferRow.id == approved.id)
        if self._connection.execute(used).scalar() is not None:
            # Another run was quicker since the approval was looked at.
            raise StoreError("outrun", self._database.where)
        self.offer(replace(approved, used_by=run.number))

    def _know(self, domain: DomainName, since: datetime) -> None:
        if domain in self._domains:
            return
        self._domains.add(domain)
        if self._connection.execute(_KNOWN, {"domain": domain}).first() is None:
            row = {"name": domain, "since": since}
            self._connection.execute(table(DomainRow).insert(), row)

    def _is_anybody_there(self) -> bool:
        return self._connection.execute(_ANYBODY).first() is not None

    def _clear(self, numbers: list[int]) -> None:
        if not numbers:
            return
        wanted = {"wanted": self._database.many(numbers)}
        for clearing in _statements(self._database.among).clearing:
            self._connection.execute(clearing, wanted)

    def _write(self, some: Sequence[Change], run: Run) -> None:
        """Write a portion's accounts and lists."""
        # Of two changes of one account the last one stays, also across portions.
        changed = {account.number: account for account in _changed(some)}
        created = [_result(change) for change in some if change.op is Op.CREATE]
        for account in (*changed.values(), *created):
            rows.check_storable(account)
            self._know(account.domain, run.finished_at)
        self._clear(list(changed))
        self._count_off(list(changed))
        moment = self._database.moment
        self._update([bulk.account_row(a, n, moment) for n, a in changed.items()])
        numbers = self._numbers(len(created))
        made = dict(zip(numbers, created, strict=True))
        self._insert(
            AccountRow, [bulk.account_row(a, n, moment) for n, a in made.items()]
        )
        self._fill({**changed, **made})

    def _fill(self, accounts: dict[int, Account]) -> None:
        moment = self._database.moment
        names: list[bulk.BulkRow] = []
        addresses: list[bulk.BulkRow] = []
        members: list[bulk.BulkRow] = []
        for number, account in accounts.items():
            names += bulk.name_rows(account, number)
            addresses += bulk.address_rows(account, number, moment)
            if account.values.members:
                members += bulk.member_rows(account, number)
        self._tallies.update(_tally(a) for a in accounts.values() if a.state in LIVE)
        self._insert(NameRow, names)
        self._insert(AddressRow, addresses)
        self._insert(MemberRow, members)

    def _numbers(self, count: int) -> Sequence[int]:
        if not count:
            return ()
        left, self._to_create = self._to_create, self._to_create - count
        return self._filling.numbers(count, left)

    def _insert(self, row: type[Base], new: list[bulk.BulkRow]) -> None:
        self._filling.insert(table(row), new)

    def _update(self, new: list[bulk.BulkRow]) -> None:
        if not new:  # else a first import would wait for nothing
            return
        accounts = table(AccountRow)
        names = accounts.columns.keys()
        there = self._database.update(self._connection, accounts, names, new)
        self._expect(len(new), there)

    def _expect(self, wanted: int, there: int) -> None:
        if wanted != there:
            words = "the plan changes an account that is not there"
            raise StoreError("refused", self._database.where, words)

    def _count_off(self, numbers: list[int]) -> None:
        """Take the accounts as they still are out of the tallies."""
        if numbers:
            live = _statements(self._database.among).tallied
            wanted = {"wanted": self._database.many(numbers)}
            found = self._connection.execute(live, wanted)
            for domain, source, origin, kind, dn in found:
                self._tallies[Tally(domain, source, origin, kind, container(dn))] -= 1

    def _tally(self) -> None:
        """Write what became of the tallies; none stays at zero."""
        for tally, more in self._tallies.items():
            if more:
                # Plain str: drivers take enums for something else.
                values = {name: str(held) for name, held in tally._asdict().items()}
                values["key"] = short(tally.container)
                self._connection.execute(_ADD, {**values, "more": more})
                if more < 0:
                    self._connection.execute(_DROP_EMPTY, values)

    def _audit(self, some: Sequence[Change], first: int, server: str, run: Run) -> None:
        moment = self._database.moment
        self._insert(ChangeRow, bulk.change_rows(some, first, run, server, moment))

    def _refresh(self, plan: Plan) -> None:
        for some in portions(plan.remembered.items()):
            there = self._database.update(
                self._connection,
                table(AccountRow),
                ("number", "digest"),
                [(number, digest or None) for number, digest in some],
            )
            self._expect(len(some), there)

    def _point(self, plan: Plan, at: datetime) -> None:
        if plan.cursor is None:
            return
        own = {"its_domain": plan.domain, "its_source": plan.source}
        self._connection.execute(_UNPOINT, own)
        row = {
            "domain": plan.domain,
            "source": plan.source,
            "kind": plan.cursor.kind,
            "value": plan.cursor.value,
            "at": at,
        }
        self._connection.execute(table(CursorRow).insert(), row)


def portions(values: Iterable[T]) -> Iterator[list[T]]:
    """Cut something long into lists that fit into memory."""
    left = iter(values)
    while some := list(islice(left, PORTION)):
        yield some


def _of_those_there(plan: Plan) -> Iterator[Change]:
    """Pass over new accounts where that saves making their changes anew."""
    if not isinstance(plan.changes, Changes):
        return iter(plan.changes)
    parts = plan.changes.parts.items()
    return chain.from_iterable(part for op, part in parts if op is not Op.CREATE)


def _changed(some: Iterable[Change]) -> Iterator[Account]:
    """Return the results of changes to accounts that are there."""
    ops = (Op.CREATE, Op.CONFLICT)
    return (_result(change) for change in some if change.op not in ops)


def _result(change: Change) -> Account:
    if change.result is None:
        words = f"its change of {change.name} ({change.op}) has no result"
        raise StoreError("refused", "plan", words)
    return change.result


def _tally(account: Account) -> Tally:
    return Tally(
        account.domain,
        account.source,
        account.origin,
        account.kind,
        container(account.values.dn),
    )


_TALLIED = select(
    AccountRow.domain,
    AccountRow.source,
    AccountRow.origin,
    AccountRow.kind,
    AccountRow.dn,
).where(AccountRow.state.in_(sorted(state.value for state in LIVE)))
_KNOWN = select(DomainRow.name).where(DomainRow.name == bindparam("domain"))
_ANYBODY = select(AccountRow.number).limit(1)
_UNPOINT = delete(CursorRow).where(
    CursorRow.domain == bindparam("its_domain"),
    CursorRow.source == bindparam("its_source"),
)


class _Statements(NamedTuple):
    """What is done with accounts by their numbers."""

    clearing: tuple[Delete, ...]
    tallied: Statement


@lru_cache(maxsize=8)  # building them costs more than running them
def _statements(among: Condition) -> _Statements:
    children = (table(row) for row in (NameRow, AddressRow, MemberRow))
    return _Statements(
        clearing=tuple(delete(one).where(among(one.c.account)) for one in children),
        tallied=_TALLIED.where(among(AccountRow.number.expression)),
    )


# As each new row takes the place of the last one in this, there is only one to look
# for, and nearly always it is the last.
_FORGET_KNOWN = text(
    "UPDATE runs SET known = '[]' WHERE number = ("
    "SELECT number FROM runs WHERE domain = :domain AND source = :source"
    " AND known <> '[]' ORDER BY number DESC LIMIT 1)"
)
_ADD = text(
    "INSERT INTO tallies (domain, source, origin, kind, key, container, live)"
    " VALUES (:domain, :source, :origin, :kind, :key, :container, :more)"
    " ON CONFLICT (domain, source, origin, kind, key)"
    " DO UPDATE SET live = tallies.live + excluded.live"
)
_DROP_EMPTY = text(
    "DELETE FROM tallies WHERE domain = :domain AND source = :source"
    " AND origin = :origin AND kind = :kind AND key = :key AND live <= 0"
)
