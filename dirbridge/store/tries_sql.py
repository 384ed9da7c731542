"""Wrong passwords counted on SQLite and PostgreSQL.

Each write is one statement, so that two bridges never count the same try. None waits
long: on SQLite a sync may hold the database for minutes, and a login cannot.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    TextClause,
    bindparam,
    delete,
    func,
    or_,
    select,
    text,
)
from sqlalchemy.engine import Row

from dirbridge.model.account import Account
from dirbridge.model.login import IPAddress
from dirbridge.store import rows
from dirbridge.store.database import Database, wrapped
from dirbridge.store.schema import (
    AttemptRow,
    KnownAddressRow,
    TriesRow,
    Utc,
    key,
)
from dirbridge.store.tries_base import MOST_FAILING, Failing, Tries


class SqlTries:
    """What `SqlStore` does for the guard; see `store.tries_base`."""

    _database: Database

    def tries(self, account: Account) -> Tries | None:
        """Return what was counted of an account."""
        found = self._tried(_TRIES, {"account": account.number})
        return None if found is None else Tries(*found)

    def tried(self, most: int) -> frozenset[int] | None:
        """Return the numbers of all accounts of which something is counted."""
        with wrapped(self._database), self._database.reads.begin() as connection:
            found = connection.execute(_TRIED, {"most": most + 1}).scalars().all()
        return frozenset(found) if len(found) <= most else None

    def came_from(self, account: Account, address: IPAddress) -> datetime | None:
        """Return when an account last logged in from an address."""
        own = {"account": account.number, "address": str(address)}
        found = self._tried(_CAME, own)
        return None if found is None else found[0]

    def _tried(
        self, statement: Any, values: Mapping[str, object]
    ) -> Row[*tuple[Any, ...]] | None:
        with wrapped(self._database), self._database.reads.begin() as connection:
            return connection.execute(statement, values).first()

    def failures(self, name: str, since: datetime) -> tuple[Failing, ...]:
        """Return who made the logins of somebody fail."""
        folded = key(name)
        if not rows.is_storable(folded):
            return ()
        values = {"name": folded, "since": since}
        with wrapped(self._database), self._database.reads.begin() as connection:
            found = connection.execute(_FAILING, values).all()
        return tuple(Failing(row[0] or "", *row[1:]) for row in found)

    def count_try(
        self, account: Account, at: datetime, *, since: datetime, most: int
    ) -> bool:
        """Count one more try, unless there are that many already."""
        own = {"account": account.number, "at": at, "since": since, "most": most}
        return self._tell(_COUNT, own)

    def place_try(self, account: Account, at: datetime, server: str) -> None:
        """Note when and by which server the newest try was found wrong."""
        self._tell(_PLACE, {"account": account.number, "at": at, "server": server})

    def give_back_try(
        self, account: Account, taken_at: datetime, last_at: datetime
    ) -> None:
        """Take back a try that was not found wrong."""
        own = {"account": account.number, "taken": taken_at, "at": last_at}
        if not self._tell(_FORGET_ONE, {"account": account.number}):
            self._tell(_GIVE_BACK, own)

    def forget_tries(self, account: Account) -> None:
        """Forget them."""
        self._tell(_FORGET, {"account": account.number})

    def note_address(self, account: Account, address: IPAddress, at: datetime) -> None:
        """Note that an account logged in from an address."""
        own = {"account": account.number, "address": str(address), "at": at}
        self._tell(_NOTE, own)

    def forget_addresses(self, account: Account) -> None:
        """Forget from where somebody logged in."""
        self._delete(KnownAddressRow.account == account.number)

    def prune_addresses(self, before: datetime) -> int:
        """Forget addresses that nobody logged in from since then."""
        return self._delete(KnownAddressRow.last_at < before)

    def _delete(self, which: ColumnElement[bool]) -> int:
        with wrapped(self._database), self._database.writes.begin() as connection:
            return connection.execute(delete(KnownAddressRow).where(which)).rowcount

    def _tell(self, statement: TextClause, values: Mapping[str, object]) -> bool:
        """Write; gives whether there was a row for it."""
        hurried = self._database.hurried
        with wrapped(self._database), hurried.begin() as connection:
            return connection.execute(statement, values).first() is not None


def _with_times(statement: str) -> TextClause:
    names = (name for name in ("at", "since", "taken") if f":{name}" in statement)
    return text(statement).bindparams(*(bindparam(n, type_=Utc) for n in names))


_TRIES = select(TriesRow.count, TriesRow.last_at, TriesRow.server).where(
    TriesRow.account == bindparam("account")
)
_TRIED = select(TriesRow.account).limit(bindparam("most"))
_CAME = select(KnownAddressRow.last_at).where(
    KnownAddressRow.account == bindparam("account"),
    KnownAddressRow.address == bindparam("address"),
)
# A server is "?" until the first wrong try is placed: nobody is called so.
_COUNT = _with_times(
    "INSERT INTO tries (account, count, last_at, server)"
    " VALUES (:account, 1, :at, '?')"
    " ON CONFLICT (account) DO UPDATE SET"
    " count = CASE WHEN tries.last_at < :since THEN 1 ELSE tries.count + 1 END,"
    " server = CASE WHEN tries.last_at < :since THEN '?' ELSE tries.server END,"
    " last_at = excluded.last_at"
    " WHERE tries.last_at < :since OR tries.count < :most"
    " RETURNING count"
)
_PLACE = _with_times(
    "UPDATE tries SET last_at = :at,"
    " server = CASE WHEN server IN ('?', :server) THEN :server ELSE '' END"
    " WHERE account = :account RETURNING count"
)
_GIVE_BACK = _with_times(
    "UPDATE tries SET count = count - 1,"
    " last_at = CASE WHEN last_at = :taken THEN :at ELSE last_at END"
    " WHERE account = :account AND count > 1 RETURNING count"
)
_FORGET_ONE = text(
    "DELETE FROM tries WHERE account = :account AND count <= 1 RETURNING count"
)
_FORGET = text("DELETE FROM tries WHERE account = :account RETURNING count")
_NOTE = _with_times(
    "INSERT INTO known_addresses (account, address, last_at)"
    " VALUES (:account, :address, :at)"
    " ON CONFLICT (account, address) DO UPDATE SET last_at = excluded.last_at"
    " RETURNING address"
)

_BY = (AttemptRow.remote_ip, AttemptRow.service, AttemptRow.hook)
_FAILING = (
    select(*_BY, func.count(), func.max(AttemptRow.at))
    .where(
        or_(
            AttemptRow.user_key == bindparam("name"),
            AttemptRow.name_key == bindparam("name"),
        ),
        AttemptRow.at >= bindparam("since"),
        AttemptRow.verdict == "rejected",
    )
    .group_by(*_BY)
    .order_by(func.count().desc(), func.max(AttemptRow.at).desc())
    .limit(MOST_FAILING)
)
