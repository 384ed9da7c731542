"""What is left of history and attempts once personal values are erased. Pure."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import replace
from datetime import datetime
from typing import Any

from dirbridge.model.account import Account
from dirbridge.model.login import Accepted, Attempt, Verdict
from dirbridge.model.names import fold, split_address
from dirbridge.store.base import AuditRow, Run
from dirbridge.store.credentials import ADMIN, run_of

ERASE = "erase"
"""The operation of the audit row that tells of it."""

_KEPT = frozenset(
    {
        *("state", "entry_kind", "origin", "role", "methods", "conflict"),
        # Whose entry it was: ids are what is left of a person.
        *("directory_id", "directory"),
    }
)
"""Fields that say nothing of a person, and that the numbers need."""


def told_names(account: Account) -> frozenset[str]:
    """Return what names an account wherever it stands: no bare login name does."""
    values = account.values
    addresses = (*values.aliases, *(kept.address for kept in account.kept))
    single = (account.canonical, values.upn, values.dn, values.primary_address)
    return frozenset(one for one in (*single, *addresses) if one)


def typed_names(account: Account, suffixes: Collection[str]) -> frozenset[str]:
    """Return what its person may have typed to log in, NT names left out.

    Args:
        account: The account.
        suffixes: What people of its domain may write behind the `@`.
    """
    local = local_names(account)
    whole = {f"{name}@{suffix}" for name in local for suffix in suffixes}
    return told_names(account) | local | whole


def local_names(account: Account) -> frozenset[str]:
    """Return an account's names without any domain, as they stand before an `@`."""
    addresses = map(split_address, told_names(account))
    own = {account.mailbox, *account.values.login_names}
    return frozenset(name for name in own | {a[0] for a in addresses if a} if name)


def is_nt_name_of(typed: str, local: Collection[str]) -> bool:
    r"""Whether a folded name is `DOMAIN\user` with one of these folded users."""
    return typed.partition("\\")[2] in local


def own_row(row: AuditRow) -> AuditRow:
    """Strip a row of the account itself: the names of its fields are left."""
    if row.op == ERASE:
        return row
    before, after = (_without_values(text) for text in (row.before, row.after))
    return replace(row, name=row.account, before=before, after=after, why="")


def _without_values(text: str) -> str:
    held: dict[str, Any] = json.loads(text)
    left = {name: held[name] if name in _KEPT else None for name in held}
    return json.dumps(left, ensure_ascii=False, sort_keys=True)


def others_row(row: AuditRow, names: Collection[str]) -> AuditRow:
    """Strip a row of another account of what names this one."""
    before, after = (_without(text, names) for text in (row.before, row.after))
    why = "" if _is_named(row.why, names) else row.why
    return replace(row, before=before, after=after, why=why)


def _without(text: str, names: Collection[str]) -> str:
    held: dict[str, Any] = json.loads(text)
    left = {name: _left(value, names) for name, value in held.items()}
    return json.dumps(left, ensure_ascii=False, sort_keys=True)


def _left(value: Any, names: Collection[str]) -> Any:
    if isinstance(value, list):
        return [one for one in value if not _is_named(str(one), names)]
    return None if isinstance(value, str) and _is_named(value, names) else value


def _is_named(text: str, names: Collection[str]) -> bool:
    folded = fold(text)
    return any(fold(name) in folded for name in names)


def in_json(name: str) -> str:
    """Return a name as it stands within the JSON of an audit row."""
    return json.dumps(name, ensure_ascii=False)[1:-1]


def attempt_left(attempt: Attempt) -> Attempt:
    """Strip an attempt: how it ended and by whom is left."""
    return replace(
        attempt,
        verdict=_verdict_left(attempt.verdict),
        request_name="",
        remote_ip=None,
    )


def _verdict_left(verdict: Verdict) -> Verdict:
    if isinstance(verdict, Accepted):
        return replace(verdict, user="")
    return replace(verdict, user="", detail="")


def run_of_erasure(account: Account, at: datetime) -> Run:
    """Return the run that tells that something was erased."""
    return replace(run_of(account, at), changes={ERASE: 1})


def row_of_erasure(run: Run, account: Account) -> AuditRow:
    """Return its audit row, which names nobody."""
    who = account.values.directory_id
    why = "An admin had personal values erased."
    return AuditRow(
        run.number, run.finished_at, ERASE, who, who, "{}", "{}", why, ADMIN
    )
