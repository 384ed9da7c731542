"""Carry out what a person decided: as a run like those of a sync.

It takes the domain's turn, is planned on one view of the store, checked against the
limits where it may take many away, and applied whole or not at all. The next sync
reads everything, as nobody was read for this.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from dirbridge.errors import UnsafePlan
from dirbridge.model.names import DomainName
from dirbridge.model.plan import Op, Plan
from dirbridge.model.sentences import problems_of
from dirbridge.store.base import Run, RunResult, Store, Turn
from dirbridge.sync import limits as limit_rules
from dirbridge.sync.approvals import allowed
from dirbridge.sync.by_hand import ADMIN, Ground
from dirbridge.sync.limits import Limits


@dataclass(frozen=True, slots=True)
class Deed:
    """What a person wants done.

    Attributes:
        domain: The mail domain.
        source: The directory within it, or `local`.
        plan: Makes the plan.
        user_limit: The domain's limit, or None.
        limits: What may be taken away; None for one account that was named.
    """

    domain: DomainName
    source: str
    plan: Callable[[Ground], Plan]
    user_limit: int | None = None
    limits: Limits | None = None


@dataclass(frozen=True, slots=True)
class Done:
    """What became of it.

    Attributes:
        plan: The plan.
        run: The run as stored; None where nothing was written.
        stopped: The limit that stopped it, or None.
    """

    plan: Plan
    run: Run | None
    stopped: UnsafePlan | None


def carry_out(
    store: Store, deed: Deed, *, dry_run: bool = False, approved: str | None = None
) -> Done:
    """Plan, check, and apply unless it is a dry run or there is nothing to do.

    Args:
        store: The local user database.
        deed: What is to be done.
        dry_run: Do everything but write.
        approved: An approval that a person gave.

    Raises:
        StoreError: Nothing was written; `turn-taken` where a sync is going on.
    """
    started = datetime.now(UTC)
    if dry_run:
        plan, stopped = _planned(store, deed, started, approved)
        return Done(plan, None, stopped)
    with store.turn(deed.domain) as turn:
        plan, stopped = _planned(store, deed, started, approved)
        if stopped is not None:
            offer = limit_rules.offer(plan, started, stopped.approval)
            why = " ".join(f"{p.text} {p.next}" for p in problems_of(stopped))
            store.remember(_run(plan, started, RunResult.STOPPED, why), offer)
            return Done(plan, None, stopped)
        return Done(plan, _applied(turn, plan, started), None)


def _planned(
    store: Store, deed: Deed, now: datetime, approved: str | None
) -> tuple[Plan, UnsafePlan | None]:
    with store.view() as view:
        ground = Ground(view, deed.domain, deed.source, now, deed.user_limit)
        plan = deed.plan(ground)
    if deed.limits is None:
        return plan, None
    return allowed(store, plan, deed.limits, approved, now)


def _applied(turn: Turn, plan: Plan, started: datetime) -> Run | None:
    """Write the plan; who only met conflicts changed nothing and leaves no run."""
    counts = plan.counts()
    if not any(count and op is not Op.CONFLICT for op, count in counts.items()):
        return None
    return turn.apply(plan, _run(plan, started, RunResult.APPLIED))


def _run(plan: Plan, started: datetime, result: RunResult, why: str = "") -> Run:
    return Run(
        number=0,
        domain=plan.domain,
        source=plan.source,
        server=ADMIN,
        kind=str(plan.kind),
        started_at=started,
        finished_at=datetime.now(UTC),
        result=result,
        changes={str(op): count for op, count in plan.counts().items() if count},
        why=why,
    )
