"""Credentials on SQLite and PostgreSQL."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from datetime import datetime
from typing import Any

from sqlalchemy import (
    BindParameter,
    CompoundSelect,
    Connection,
    bindparam,
    delete,
    literal_column,
    null,
    select,
    text,
    union_all,
    update,
)

from dirbridge.model.account import Account, AccountState
from dirbridge.model.credentials import AppPassword, Credentials, OfflineVerifier
from dirbridge.model.names import DomainName
from dirbridge.store.application import Application
from dirbridge.store.base import Run
from dirbridge.store.credentials import (
    Deed,
    app_password_added,
    app_password_revoked,
    audit_row_of,
    methods_chosen,
    run_of,
    verifier_set,
)
from dirbridge.store.database import Database, wrapped
from dirbridge.store.retrying import Writing
from dirbridge.store.schema import (
    AccountRow,
    AppPasswordRow,
    ChangeRow,
    ChoiceRow,
    OfflineVerifierRow,
    Utc,
    VerifierRow,
    table,
)

Work = Callable[[Connection], Deed | None]
"""Changes credentials in a transaction; None where there was nothing to change."""


class SqlCredentials:
    """What `SqlStore` does for credentials; see `store.credentials_base`."""

    _database: Database
    _clock: Callable[[], datetime]

    def credentials(self, account: Account) -> Credentials:
        """Return all that an account's logins may use, by one statement."""
        with wrapped(self._database), self._database.reads.begin() as connection:
            return _read(connection, account.number)

    def app_passwords(self, account: Account) -> tuple[AppPassword, ...]:
        """Return an account's app passwords, also the revoked ones."""
        with wrapped(self._database), self._database.reads.begin() as connection:
            found = connection.execute(_ALL_APPS, {"account": account.number}).all()
        return tuple(AppPassword(*row) for row in found)

    def switched(self) -> Mapping[tuple[DomainName, str, str], int]:
        """Count who has a login method of their own choice."""
        with wrapped(self._database), self._database.reads.begin() as connection:
            found = connection.execute(_SWITCHED).all()
        return Counter(
            (DomainName(domain), source, method)
            for domain, source, methods in found
            for method in json.loads(methods)
        )

    def verifier(self, account: Account) -> str | None:
        """Return an account's Argon2id verifier, or None."""
        return self.credentials(account).verifier

    def set_methods(self, account: Account, methods: Collection[str]) -> None:
        """Choose an account's login methods."""

        def work(connection: Connection) -> Deed | None:
            before = _read(connection, account.number).methods
            if before == tuple(methods):
                return None
            own = {"account": account.number, "methods": json.dumps(list(methods))}
            connection.execute(_CHOOSE if methods else _UNCHOOSE, own)
            return methods_chosen(before, methods)

        self._by_hand(account, work)

    def set_verifier(self, account: Account, verifier: str | None) -> None:
        """Keep an account's Argon2id verifier, or forget it."""

        def work(connection: Connection) -> Deed | None:
            before = _read(connection, account.number).verifier
            if before == verifier:
                return None
            own = {"account": account.number, "verifier": verifier}
            connection.execute(_FORGET if verifier is None else _KEEP, own)
            return verifier_set(before, verifier)

        self._by_hand(account, work)

    def add_app_password(self, account: Account, new: AppPassword) -> AppPassword:
        """Keep an app password; its number is given by the store."""
        numbers: list[int] = []

        def work(connection: Connection) -> Deed:
            row = {
                "account": account.number,
                "label": new.label,
                "digest": new.digest,
                "created_at": new.created_at,
                "revoked_at": new.revoked_at,
            }
            numbers.append(connection.execute(_ADD_APP, row).scalar_one())
            return app_password_added(new.label)

        self._by_hand(account, work)
        return AppPassword(
            numbers[-1], new.label, new.digest, new.created_at, new.revoked_at
        )

    def revoke_app_password(self, account: Account, number: int, at: datetime) -> bool:
        """Let an app password count no more."""
        own = {"its_account": account.number, "its_number": number, "at": at}
        done: list[str] = []

        def work(connection: Connection) -> Deed | None:
            done[:] = connection.execute(_REVOKE, own).scalars()
            return app_password_revoked(done[0]) if done else None

        self._by_hand(account, work)
        return bool(done)

    def set_offline(self, account: Account, offline: OfflineVerifier | None) -> None:
        """Keep what lets an account in during an outage, or forget it."""
        own: dict[str, object] = {"account": account.number}
        if offline is not None:
            own |= {"verifier": offline.verifier, "at": offline.proven_at}
            own["mark"] = offline.mark
        # A login's errand, which a sync shall not hold up for minutes.
        hurried = self._database.hurried
        with wrapped(self._database), hurried.begin() as connection:
            connection.execute(_UNPROVE if offline is None else _PROVE, own)

    def _by_hand(self, account: Account, work: Work) -> None:
        """Write an admin's change together with the run that tells of it."""
        with wrapped(self._database), suppress(_IdleError):
            Writing(
                self._database,
                self._database.writes.begin,
                lambda connection: self._told(connection, account, work),
            ).done()

    def _told(self, connection: Connection, account: Account, work: Work) -> Run:
        deed = work(connection)
        if deed is None:
            raise _IdleError
        run = Application(self._database, connection).remember(
            run_of(account, self._clock())
        )
        told = audit_row_of(run, account, deed)
        at = self._database.moment(told.at)
        row = (run.number, 0, at, told.op, told.account, told.name)
        said = (told.before, told.after, told.why, told.server)
        self._database.insert(connection, table(ChangeRow), [(*row, *said)])
        return run


class _IdleError(Exception):
    """Ends a transaction: there is nothing to write, not even a run."""


def _read(connection: Connection, number: int) -> Credentials:
    """Read what counts; app passwords are in the order of their numbers."""
    found = connection.execute(_CREDENTIALS, {"account": number}).all()
    apps = [AppPassword(*row[1:]) for row in found if row.part == _APP]
    held: dict[str, Any] = {row.part: row for row in found}
    chosen, local, offline = (held.get(part) for part in (_METHODS, _LOCAL, _OFFLINE))
    return Credentials(
        methods=() if chosen is None else tuple(json.loads(chosen.text)),
        verifier=None if local is None else local.text,
        app_passwords=tuple(sorted(apps, key=lambda one: one.number)),
        offline=None
        if offline is None
        else OfflineVerifier(offline.text, offline.at, bytes(offline.digest)),
    )


_APP, _METHODS, _LOCAL, _OFFLINE = "app", "methods", "local", "offline"
_NOTHING = null()
_MINE: BindParameter[int] = bindparam("account")
# One statement for all four tables: logins ask for this each time.
_CREDENTIALS: CompoundSelect[*tuple[Any, ...]] = union_all(
    select(
        literal_column(f"'{_APP}'").label("part"),
        AppPasswordRow.number,
        AppPasswordRow.label.label("text"),
        AppPasswordRow.digest,
        AppPasswordRow.created_at.label("at"),
    ).where(AppPasswordRow.account == _MINE, AppPasswordRow.revoked_at.is_(None)),
    select(
        literal_column(f"'{_METHODS}'"),
        _NOTHING,
        ChoiceRow.methods,
        _NOTHING,
        _NOTHING,
    ).where(ChoiceRow.account == _MINE),
    select(
        literal_column(f"'{_LOCAL}'"),
        _NOTHING,
        VerifierRow.verifier,
        _NOTHING,
        _NOTHING,
    ).where(VerifierRow.account == _MINE),
    select(
        literal_column(f"'{_OFFLINE}'"),
        _NOTHING,
        OfflineVerifierRow.verifier,
        OfflineVerifierRow.mark,
        OfflineVerifierRow.proven_at,
    ).where(OfflineVerifierRow.account == _MINE),
)
_ALL_APPS = (
    select(
        AppPasswordRow.number,
        AppPasswordRow.label,
        AppPasswordRow.digest,
        AppPasswordRow.created_at,
        AppPasswordRow.revoked_at,
    )
    .where(AppPasswordRow.account == _MINE)
    .order_by(AppPasswordRow.number)
)
_SWITCHED = (
    select(AccountRow.domain, AccountRow.source, ChoiceRow.methods)
    .join(AccountRow, AccountRow.number == ChoiceRow.account)
    .where(AccountRow.state != AccountState.REMOVED.value)
)
_ADD_APP = table(AppPasswordRow).insert().returning(AppPasswordRow.number)
_REVOKE = (
    update(AppPasswordRow)
    .where(
        AppPasswordRow.account == bindparam("its_account"),
        AppPasswordRow.number == bindparam("its_number"),
        AppPasswordRow.revoked_at.is_(None),
    )
    .values(revoked_at=bindparam("at"))
    .returning(AppPasswordRow.label)
)
_UNCHOOSE = delete(ChoiceRow).where(ChoiceRow.account == _MINE)
_FORGET = delete(VerifierRow).where(VerifierRow.account == _MINE)
_UNPROVE = delete(OfflineVerifierRow).where(OfflineVerifierRow.account == _MINE)
# Two at once must not meet on the key: so no delete before an insert.
_CHOOSE = text(
    "INSERT INTO choices (account, methods) VALUES (:account, :methods)"
    " ON CONFLICT (account) DO UPDATE SET methods = excluded.methods"
)
_KEEP = text(
    "INSERT INTO verifiers (account, verifier) VALUES (:account, :verifier)"
    " ON CONFLICT (account) DO UPDATE SET verifier = excluded.verifier"
)
_PROVE = text(
    "INSERT INTO offline_verifiers (account, verifier, proven_at, mark)"
    " VALUES (:account, :verifier, :at, :mark) ON CONFLICT (account)"
    " DO UPDATE SET verifier = excluded.verifier, proven_at = excluded.proven_at,"
    " mark = excluded.mark"
).bindparams(bindparam("at", type_=Utc()))
