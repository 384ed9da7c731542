"""Plan what an admin does by hand, so that there is one way into the store."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import datetime

from dirbridge.model.account import LIVE, Account
from dirbridge.model.entry import EntryKind, ReadKind
from dirbridge.model.fields import show
from dirbridge.model.names import fold
from dirbridge.model.plan import Change, Op, Plan
from dirbridge.store.base import Run, RunResult
from dirbridge.sync.changes import limit_conflict
from dirbridge.sync.claims import (
    Claim,
    address_claims,
    held_addresses,
    held_names,
    name_claims,
)
from dirbridge.sync.mailboxes import mailbox_name


def local_plan(
    account: Account,
    stored: Iterable[Account],
    now: datetime,
    user_limit: int | None = None,
) -> tuple[Plan, Run]:
    """Plan the creation of one local account.

    Args:
        account: The account, without a mailbox name.
        stored: All accounts of the whole store.
        now: The time of the plan (UTC).
        user_limit: The domain's limit, which binds admins too.

    Returns:
        A plan with one creation, or with the conflicts that forbid it, and the
        run to remember.
    """
    everybody = tuple(stored)
    new = replace(account, mailbox=mailbox_name(account.values))
    conflicts = (*_over_limit(new, everybody, user_limit), *_taken(new, everybody, now))
    plan = Plan(
        domain=new.domain,
        source=new.source,
        server="admin",
        kind=ReadKind.DELTA,
        complete=True,
        made_at=now,
        changes=conflicts or (_creation(new),),
    )
    run = Run(
        number=0,
        domain=new.domain,
        source=new.source,
        server="admin",
        kind=str(ReadKind.DELTA),
        started_at=now,
        finished_at=now,
        result=RunResult.APPLIED,
        changes={str(Op.CREATE): 1},
    )
    return plan, run


def _over_limit(
    new: Account, everybody: Iterable[Account], limit: int | None
) -> Iterator[Change]:
    live = sum(
        a.domain == new.domain and a.kind is EntryKind.ACCOUNT and a.state in LIVE
        for a in everybody
    )
    if limit is not None and live >= limit:
        yield limit_conflict(new, limit)


def _taken(
    new: Account, everybody: Iterable[Account], now: datetime
) -> Iterator[Change]:
    for other in everybody:
        shared = address_claims(new) & held_addresses(other, now)
        if other.domain == new.domain:
            shared |= name_claims(new.values) & held_names(other)
            if fold(other.mailbox) == fold(new.mailbox):
                shared |= {("mailbox", new.mailbox)}
        if shared:
            yield _conflict(new, other, min(shared))


def _conflict(new: Account, other: Account, claim: Claim) -> Change:
    kind, name = claim
    return Change(
        op=Op.CONFLICT,
        account=new.values.directory_id,
        name=new.canonical,
        after={"conflict": "name-taken", kind: name, "other": other.canonical},
        why=f'The {kind} "{name}" belongs to {other.canonical}. Choose another name.',
    )


def _creation(new: Account) -> Change:
    return Change(
        op=Op.CREATE,
        account=new.values.directory_id,
        name=new.canonical,
        after=show(new),
        why="Added by an admin.",
        result=new,
        drafted=new,
    )
