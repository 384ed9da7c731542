"""Personal values on SQLite and PostgreSQL; see `store.personal_base`."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from datetime import datetime

from sqlalchemy import (
    ColumnElement,
    Connection,
    and_,
    bindparam,
    delete,
    func,
    or_,
    select,
    update,
)

from dirbridge.model.account import Account, AccountState
from dirbridge.model.names import DirectoryId, fold
from dirbridge.store import rows
from dirbridge.store.application import Application
from dirbridge.store.base import AuditRow, RecordedAttempt, Run
from dirbridge.store.database import Database, wrapped
from dirbridge.store.personal import (
    in_json,
    local_names,
    others_row,
    own_row,
    row_of_erasure,
    run_of_erasure,
    told_names,
    typed_names,
)
from dirbridge.store.personal_base import Erased, Place
from dirbridge.store.retrying import Writing
from dirbridge.store.schema import (
    AppPasswordRow,
    AttemptRow,
    ChangeRow,
    ChoiceRow,
    KnownAddressRow,
    OfflineVerifierRow,
    TriesRow,
    VerifierRow,
    key,
    table,
)


class SqlPersonal:
    """What `SqlStore` does for personal values."""

    _database: Database
    _clock: Callable[[], datetime]

    def last_accepted(
        self, account: Account, method: str
    ) -> tuple[RecordedAttempt, ...]:
        """Return the newest attempts that a method accepted."""
        wanted = {"user": key(account.canonical), "method": method}
        with wrapped(self._database), self._database.reads.begin() as connection:
            found = connection.execute(_LAST, wanted).all()
        return tuple(map(rows.attempt, found))

    def places(self, account: Account) -> tuple[Place, ...]:
        """Return from where an account logs in, the newest first."""
        own = {"account": account.number}
        with wrapped(self._database), self._database.reads.begin() as connection:
            found = connection.execute(_PLACES, own).all()
        return tuple(Place(*row) for row in found)

    def erase(
        self,
        account: Account,
        ids: Collection[DirectoryId],
        suffixes: Collection[str] = (),
    ) -> Erased:
        """Strip personal values from history and attempts."""
        done: list[Erased] = []

        def work(connection: Connection) -> Run:
            done[:] = [_erased(connection, account, ids, suffixes)]
            run = run_of_erasure(account, self._clock())
            known = Application(self._database, connection).remember(run)
            told = row_of_erasure(known, account)
            connection.execute(table(ChangeRow).insert(), _as_row(told))
            return known

        with wrapped(self._database):
            begin = self._database.writes.begin
            Writing(self._database, begin, work).done()
        return done[0]


def _erased(
    connection: Connection,
    account: Account,
    ids: Collection[DirectoryId],
    suffixes: Collection[str],
) -> Erased:
    changes = sum(
        connection.execute(_REWRITE, new).rowcount
        for new in _rows_left(connection, account, ids)
    )
    attempts = connection.execute(
        update(AttemptRow).where(_is_theirs(account, suffixes)).values(_NOBODY)
    ).rowcount
    _forget_credentials(connection, account)
    return Erased(changes, attempts)


def _rows_left(
    connection: Connection, account: Account, ids: Collection[DirectoryId]
) -> Iterator[dict[str, object]]:
    """Yield each audit row that is to be rewritten, with what is left of it."""
    names = told_names(account)
    own = ChangeRow.account.in_(ids)
    for row in connection.execute(_TOLD.where(or_(own, _mentions(names)))).all():
        old = AuditRow(*row[1:])
        new = own_row(old) if old.account in ids else others_row(old, names)
        if new != old:
            yield {
                "its_run": new.run,
                "its_position": row.position,
                "new_name": new.name,
                "new_before": new.before,
                "new_after": new.after,
                "new_why": new.why,
            }


def _mentions(names: Collection[str]) -> ColumnElement[bool]:
    """Return a condition that lets too much pass rather than too little."""
    columns = (ChangeRow.before, ChangeRow.after, ChangeRow.why)
    spelled = {text for name in names for text in (name, in_json(name))}
    folded = {fold(text) for text in spelled}
    return or_(
        *(c.contains(one, autoescape=True) for c in columns for one in spelled),
        *(
            func.lower(c).contains(one, autoescape=True)
            for c in columns
            for one in folded
        ),
    )


def _is_theirs(account: Account, suffixes: Collection[str]) -> ColumnElement[bool]:
    """Their attempts, and those of nobody that is known, with one of their names."""
    typed = {key(name) for name in typed_names(account, suffixes)}
    nt_names = (
        AttemptRow.name_key.endswith(f"\\{key(name)}", autoescape=True)
        for name in local_names(account)
    )
    nobodys = or_(AttemptRow.name_key.in_(typed), *nt_names)
    return or_(
        AttemptRow.user_key == key(account.canonical),
        and_(AttemptRow.user_key == "", nobodys),
    )


def _forget_credentials(connection: Connection, account: Account) -> None:
    number = account.number
    connection.execute(delete(KnownAddressRow).where(KnownAddressRow.account == number))
    apps = delete(AppPasswordRow).where(AppPasswordRow.account == number)
    if account.state is not AccountState.REMOVED:
        connection.execute(apps.where(AppPasswordRow.revoked_at.is_not(None)))
        return
    connection.execute(apps)
    for held in (ChoiceRow, VerifierRow, OfflineVerifierRow, TriesRow):
        connection.execute(delete(held).where(held.account == number))


def _as_row(row: AuditRow) -> dict[str, object]:
    return {
        "run": row.run,
        "position": 0,
        "at": row.at,
        "op": row.op,
        "account": row.account,
        "name": row.name,
        "before": row.before,
        "after": row.after,
        "why": row.why,
        "server": row.server,
    }


_LAST = rows.ATTEMPT.where(
    AttemptRow.number.in_(
        select(func.max(AttemptRow.number))
        .where(
            AttemptRow.user_key == bindparam("user"),
            AttemptRow.method == bindparam("method"),
            AttemptRow.verdict == "accepted",
        )
        .group_by(AttemptRow.server)
    )
).order_by(AttemptRow.number)
_PLACES = (
    select(KnownAddressRow.address, KnownAddressRow.last_at)
    .where(KnownAddressRow.account == bindparam("account"))
    .order_by(KnownAddressRow.last_at.desc())
)
_TOLD = select(ChangeRow.position, *rows.CHANGE.selected_columns)
_REWRITE = (
    update(ChangeRow)
    .where(
        ChangeRow.run == bindparam("its_run"),
        ChangeRow.position == bindparam("its_position"),
    )
    .values(
        {name: bindparam(f"new_{name}") for name in ("name", "before", "after", "why")}
    )
)
_NOBODY = {
    **dict.fromkeys(("user", "user_key", "request_name", "name_key", "detail"), ""),
    "remote_ip": None,
}
