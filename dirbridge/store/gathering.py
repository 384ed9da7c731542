"""Accounts with their lists: one statement for the rows, one for each kind of list."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import islice
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, Connection, Select, bindparam, select
from sqlalchemy.orm import InstrumentedAttribute

from dirbridge.model.account import Account
from dirbridge.model.entry import EntryKind
from dirbridge.store import rows
from dirbridge.store.database import Database, wrapped
from dirbridge.store.schema import AccountRow, AddressRow, MemberRow, NameRow

T = TypeVar("T")

PAGE = 1000
"""How many accounts are read by one statement."""

Statement = Select[*tuple[Any, ...]]
Condition = Callable[[ColumnElement[Any]], ColumnElement[bool]]
"""Makes a condition on a column, such as `Database.among`."""


def neighbours(connection: Connection, found: Sequence[Any]) -> tuple[Account, ...]:
    """Give accounts from rows of `rows.ACCOUNT` that are all of a range of numbers."""
    if not found:
        return ()
    numbers = [row.number for row in found]
    span = {"first": min(numbers), "last": max(numbers)}
    return _gathered(connection, found, _BETWEEN, span)


def scattered(
    database: Database, connection: Connection, found: Sequence[Any]
) -> tuple[Account, ...]:
    """Give accounts from rows of `rows.ACCOUNT` that stand far apart."""
    if not found:
        return ()
    wanted = {"wanted": database.many([row.number for row in found])}
    return _gathered(connection, found, _lists(database.among), wanted)


def numbered(
    database: Database, connection: Connection, numbers: Collection[int]
) -> Iterator[Account]:
    """Stream the accounts with some numbers, by number."""
    accounts = _accounts(database.among)
    for some in portions(sorted(numbers)):
        found = connection.execute(accounts, {"wanted": database.many(some)}).all()
        yield from scattered(database, connection, found)


def portions(values: Collection[T]) -> Iterator[list[T]]:
    """Cut something long into lists for one statement each."""
    left = iter(values)
    while some := list(islice(left, PAGE)):
        yield some


def _gathered(
    connection: Connection,
    found: Sequence[Any],
    statements: tuple[Statement, Statement, Statement],
    wanted: Mapping[str, object],
) -> tuple[Account, ...]:
    lists = {row.number: rows.Lists() for row in found}
    names, addresses, members = statements
    for number, kind, name in connection.execute(names, wanted).all():
        if (own := lists.get(number)) is not None:
            own.add_name(kind, name)
    for number, kind, address, until in connection.execute(addresses, wanted).all():
        if (own := lists.get(number)) is not None:
            own.add_address(kind, address, until)
    if any(row.kind == EntryKind.GROUP.value for row in found):
        for number, by, value in connection.execute(members, wanted).all():
            if (own := lists.get(number)) is not None:
                own.add_member(by, value)
    return tuple(rows.account(row, lists[row.number]) for row in found)


@lru_cache(maxsize=8)
def _accounts(which: Condition) -> Statement:
    """Return the statement for accounts by their numbers."""
    numbers = which(AccountRow.number.expression)
    return rows.ACCOUNT.where(numbers).order_by(AccountRow.number)


@lru_cache(maxsize=8)  # building them costs more than asking
def _lists(which: Condition) -> tuple[Statement, Statement, Statement]:
    """Return the statements for the names, addresses and members of accounts."""
    names = select(NameRow.account, NameRow.kind, NameRow.name)
    addresses = select(
        AddressRow.account, AddressRow.kind, AddressRow.address, AddressRow.until
    )
    members = select(MemberRow.account, MemberRow.by, MemberRow.value)
    return (
        names.where(which(NameRow.account.expression)).order_by(
            NameRow.account, NameRow.kind, NameRow.position
        ),
        addresses.where(which(AddressRow.account.expression)).order_by(
            AddressRow.account, AddressRow.kind, AddressRow.position
        ),
        members.where(which(MemberRow.account.expression)).order_by(
            MemberRow.account, MemberRow.position
        ),
    )


_BETWEEN = _lists(
    lambda account: account.between(bindparam("first"), bindparam("last"))
)


def by_table(column: InstrumentedAttribute[str]) -> ColumnElement[str]:
    """Return a text column as no index has it.

    A page is the next accounts by number. By an index of another column, a database
    would read and sort the whole rest for each page.
    """
    return column.expression.concat("")


def page(*which: ColumnElement[bool]) -> Statement:
    """Return the statement for the accounts after a number that is bound as `after`."""
    next_ones = rows.ACCOUNT.where(AccountRow.number > bindparam("after"), *which)
    return next_ones.order_by(AccountRow.number).limit(PAGE)


def paged(
    database: Database,
    connection: Connection,
    page: Statement,
    wanted: Mapping[str, object],
) -> Iterator[Account]:
    """Stream accounts by number, a page at a time.

    Raises:
        StoreError: In place of the driver's errors.
    """
    last = 0
    with wrapped(database):
        while found := connection.execute(page, {"after": last, **wanted}).all():
            last = found[-1].number
            yield from neighbours(connection, found)
