"""Personal values in memory; see `store.personal_base`."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from threading import Lock
from typing import Any

from dirbridge.model.account import Account, AccountState
from dirbridge.model.credentials import Credentials
from dirbridge.model.login import Accepted
from dirbridge.model.names import DirectoryId, fold
from dirbridge.store.base import AuditRow, RecordedAttempt
from dirbridge.store.personal import (
    attempt_left,
    is_nt_name_of,
    local_names,
    others_row,
    own_row,
    row_of_erasure,
    run_of_erasure,
    told_names,
    typed_names,
)
from dirbridge.store.personal_base import Erased, Place
from dirbridge.store.tries import MemoryTries


class MemoryPersonal(MemoryTries):
    """What `MemoryStore` does for personal values."""

    _clock: Callable[[], datetime]
    _lock: Lock
    _content: Any

    def last_accepted(
        self, account: Account, method: str
    ) -> tuple[RecordedAttempt, ...]:
        """Return the newest attempts that a method accepted."""
        user = fold(account.canonical)
        newest: dict[str, RecordedAttempt] = {}
        for one in self._content.attempts:
            verdict = one.attempt.verdict
            right = isinstance(verdict, Accepted) and verdict.method == method
            if right and fold(verdict.user) == user:
                newest[verdict.server] = one
        return tuple(newest.values())

    def places(self, account: Account) -> tuple[Place, ...]:
        """Return from where an account logs in, the newest first."""
        own = [
            Place(address, at)
            for (number, address), at in list(self._known.items())
            if number == account.number
        ]
        return tuple(sorted(own, key=lambda one: one.last_at, reverse=True))

    def erase(
        self,
        account: Account,
        ids: Collection[DirectoryId],
        suffixes: Collection[str] = (),
    ) -> Erased:
        """Strip personal values from history and attempts."""
        with self._lock:
            held = self._content
            rows = {n: _rows_left(told, account, ids) for n, told in held.audit.items()}
            theirs = _theirs(account, suffixes)
            attempts = tuple(
                replace(one, attempt=attempt_left(one.attempt)) if theirs(one) else one
                for one in held.attempts
            )
            number = max((run.number for run in held.runs), default=0) + 1
            run = replace(run_of_erasure(account, self._clock()), number=number)
            self._content = replace(
                held,
                audit={**rows, number: (row_of_erasure(run, account),)},
                attempts=attempts,
                runs=(*held.runs, run),
                credentials=_credentials_left(held.credentials, account),
            )
        self.forget_addresses(account)
        if account.state is AccountState.REMOVED:
            self.forget_tries(account)
        changes = sum(_differing(held.audit[n], rows[n]) for n in rows)
        return Erased(changes, _differing(held.attempts, attempts))


def _rows_left(
    rows: Iterable[AuditRow], account: Account, ids: Collection[DirectoryId]
) -> tuple[AuditRow, ...]:
    names = told_names(account)
    return tuple(
        own_row(row) if row.account in ids else others_row(row, names) for row in rows
    )


def _theirs(
    account: Account, suffixes: Collection[str]
) -> Callable[[RecordedAttempt], bool]:
    typed = frozenset(map(fold, typed_names(account, suffixes)))
    local = frozenset(map(fold, local_names(account)))
    own = fold(account.canonical)

    def is_theirs(one: RecordedAttempt) -> bool:
        user, name = fold(one.attempt.verdict.user), fold(one.attempt.request_name)
        nobodys = name in typed or is_nt_name_of(name, local)
        return user == own or (not user and nobodys)

    return is_theirs


def _credentials_left(
    held: Mapping[int, Credentials], account: Account
) -> dict[int, Credentials]:
    left = dict(held)
    own = left.pop(account.number, Credentials())
    if account.state is not AccountState.REMOVED:
        counting = (one for one in own.app_passwords if one.revoked_at is None)
        left[account.number] = replace(own, app_passwords=tuple(counting))
    return left


def _differing(old: Iterable[object], new: Iterable[object]) -> int:
    return sum(one != other for one, other in zip(old, new, strict=True))
