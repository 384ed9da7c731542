"""What history tells of an admin's change of credentials.

Each is a run of its own with one audit row: who did what, and when. It never holds a
password, a verifier or a digest.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from dirbridge.model.account import Account
from dirbridge.model.fields import Value
from dirbridge.store.base import AuditRow, Run, RunResult

CREDENTIALS = "credentials"
"""The kind of such a run, and the operation of its audit row."""

LOCAL = "local"
"""The source of such a run, and of local accounts: no directory."""

COMMAND = "accounts"
"""What such a run says in the place of its server: the command that made it."""

ADMIN = "admin"
"""Who did it, as the audit row says."""


@dataclass(frozen=True, slots=True)
class Deed:
    """What an admin did to an account's credentials.

    Attributes:
        why: One sentence.
        before: What was there, in the words of the audit.
        after: What is there now.
    """

    why: str
    before: Mapping[str, Value] = field(default_factory=dict)
    after: Mapping[str, Value] = field(default_factory=dict)


def methods_chosen(before: Collection[str], after: Collection[str]) -> Deed:
    """Tell of other login methods."""
    why = "Other login methods were chosen." if after else "Those of the domain again."
    return Deed(why, {"methods": tuple(before)}, {"methods": tuple(after)})


def verifier_set(before: str | None, after: str | None) -> Deed:
    """Tell of another local password, without it."""
    why = "A local password was set." if after else "The local password was taken away."
    return Deed(why, {"password": _is_set(before)}, {"password": _is_set(after)})


def _is_set(verifier: str | None) -> str | None:
    return None if verifier is None else "set"


def app_password_added(label: str) -> Deed:
    """Tell of a new app password."""
    return Deed("An app password was made.", {}, {"app_password": label})


def app_password_revoked(label: str) -> Deed:
    """Tell of an app password that counts no more."""
    before, after = {"app_password": label}, {"app_password": None}
    return Deed("An app password was revoked.", before, after)


def run_of(account: Account, at: datetime) -> Run:
    """Return the run that tells of an admin's change of credentials."""
    return Run(
        number=0,
        domain=account.domain,
        source=LOCAL,
        server=COMMAND,
        kind=CREDENTIALS,
        started_at=at,
        finished_at=at,
        result=RunResult.APPLIED,
        changes={CREDENTIALS: 1},
    )


def audit_row_of(run: Run, account: Account, deed: Deed) -> AuditRow:
    """Return the one audit row of such a run."""
    return AuditRow(
        run=run.number,
        at=run.finished_at,
        op=CREDENTIALS,
        account=account.values.directory_id,
        name=account.canonical,
        before=json.dumps(dict(deed.before), ensure_ascii=False),
        after=json.dumps(dict(deed.after), ensure_ascii=False),
        why=deed.why,
        server=ADMIN,
    )
