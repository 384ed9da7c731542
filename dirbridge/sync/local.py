"""Plan what an admin does by hand, so that there is one way into the store."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime

from dirbridge.model.account import Account
from dirbridge.model.entry import ReadKind
from dirbridge.model.names import fold
from dirbridge.model.plan import Change, Op, Plan
from dirbridge.store.base import Run, RunResult
from dirbridge.sync.claims import held_claims
from dirbridge.sync.fields import fingerprint, show
from dirbridge.sync.mailboxes import mailbox_name


def local_plan(
    account: Account, stored: Iterable[Account], now: datetime
) -> tuple[Plan, Run]:
    """Plan the creation of one local account.

    Args:
        account: The account, without a mailbox name.
        stored: All accounts of the whole store.
        now: The time of the plan (UTC).

    Returns:
        A plan with one creation, or with the conflicts that forbid it, and the
        run to remember.
    """
    everybody = tuple(stored)
    new = replace(account, mailbox=mailbox_name(account.values))
    conflicts = tuple(_conflicts(new, everybody))
    changes = conflicts or (_creation(new),)
    plan = Plan(
        domain=new.domain,
        source=new.source,
        server="admin",
        kind=ReadKind.DELTA,
        complete=True,
        made_at=now,
        changes=changes,
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


def _conflicts(new: Account, everybody: Iterable[Account]) -> Iterable[Change]:
    wanted = held_claims(new)
    for other in everybody:
        same_domain = other.domain == new.domain
        shared = {
            (kind, name)
            for kind, name in wanted & held_claims(other)
            if kind == "address" or same_domain
        }
        if same_domain and fold(other.mailbox) == fold(new.mailbox):
            shared.add(("mailbox", new.mailbox))
        if shared:
            kind, name = min(shared)
            yield Change(
                op=Op.CONFLICT,
                account=new.values.directory_id,
                name=new.canonical,
                after={"conflict": "name-taken", kind: name, "other": other.canonical},
                why=f'The {kind} "{name}" belongs to {other.canonical}. '
                "Choose another name.",
            )


def _creation(new: Account) -> Change:
    return Change(
        op=Op.CREATE,
        account=new.values.directory_id,
        name=new.canonical,
        after=show(new),
        entry=fingerprint(new),
        why="Added by an admin.",
        result=new,
    )
