"""Forgetting what is old, in transactions so short that logins do not wait."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Delete, bindparam, delete, exists, func, select

from dirbridge.store.application import VERSION
from dirbridge.store.database import Database
from dirbridge.store.schema import (
    AppPasswordRow,
    AttemptRow,
    ChangeRow,
    OfferRow,
    RunRow,
)

PORTION = 10_000
"""How many attempts or audit rows are forgotten by one transaction."""


def prune_attempts(database: Database, before: datetime) -> int:
    """Forget attempts that are older; give their number."""
    return _portions(database, _ATTEMPTS, {"before": before})


def prune_changes(database: Database, before: datetime) -> int:
    """Forget older audit rows, their runs, and what was over by then.

    That is offers that had lapsed, and app passwords that had been revoked.

    The newest run of each directory stays, and so does the one that is the store's
    version.

    Returns:
        How many audit rows were forgotten.
    """
    with database.reads.begin() as connection:
        told = connection.execute(_TOLD, {"before": before}).scalars().all()
    done = sum(
        _portions(database, _CHANGES, {"run": run, "before": before}) for run in told
    )
    _rows(database, _RUNS, {"before": before})
    _rows(database, _OFFERS, {"before": before})
    _rows(database, _REVOKED, {"before": before})
    return done


def _portions(database: Database, statement: Delete, wanted: dict[str, object]) -> int:
    done = some = _rows(database, statement, wanted)
    while some == PORTION:
        some = _rows(database, statement, wanted)
        done += some
    return done


def _rows(database: Database, statement: Delete, wanted: dict[str, object]) -> int:
    with database.writes.begin() as connection:
        return connection.execute(statement, wanted).rowcount


_OLD = select(AttemptRow.number).where(AttemptRow.at < bindparam("before"))
_ATTEMPTS = delete(AttemptRow).where(
    AttemptRow.number.in_(_OLD.order_by(AttemptRow.at).limit(PORTION))
)
_HAS_CHANGES = exists().where(ChangeRow.run == RunRow.number)
_TOLD = (
    select(RunRow.number)
    .where(RunRow.finished_at < bindparam("before"), _HAS_CHANGES)
    .order_by(RunRow.number)
)
_OLD_CHANGES = select(ChangeRow.position).where(
    ChangeRow.run == bindparam("run"), ChangeRow.at < bindparam("before")
)
_CHANGES = delete(ChangeRow).where(
    ChangeRow.run == bindparam("run"),
    ChangeRow.position.in_(_OLD_CHANGES.order_by(ChangeRow.position).limit(PORTION)),
)
_NEWEST = select(func.max(RunRow.number)).group_by(RunRow.domain, RunRow.source)
_RUNS = delete(RunRow).where(
    RunRow.finished_at < bindparam("before"),
    ~_HAS_CHANGES,
    RunRow.number.not_in(_NEWEST),
    RunRow.number.not_in(VERSION),
)
_OFFERS = delete(OfferRow).where(OfferRow.until < bindparam("before"))
_REVOKED = delete(AppPasswordRow).where(AppPasswordRow.revoked_at < bindparam("before"))
