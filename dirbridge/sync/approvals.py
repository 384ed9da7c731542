"""Whether a plan may pass: within the limits, or by a person's approval."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from datetime import datetime

from dirbridge.errors import UnsafePlan
from dirbridge.model.plan import Approval, Plan
from dirbridge.store.base import StoreReader
from dirbridge.sync import limits as rules
from dirbridge.sync.limits import Limits


def allowed(
    store: StoreReader, plan: Plan, limits: Limits, named: str | None, now: datetime
) -> tuple[Plan, UnsafePlan | None]:
    """Check a plan against the limits, and against the approval that a person named.

    Args:
        store: Knows what stopped runs offered.
        plan: The plan.
        limits: What one run may take away.
        named: The approval's id, or None.
        now: The time (UTC).

    Returns:
        The plan, with the approval that it needs, and the limit that stops it.
    """
    try:
        rules.check(plan, limits, None, now)
    except UnsafePlan as above:
        name = _name(store, plan, now)
        approval = _approval(store, plan, named, name, now)
        if approval is not None:
            with suppress(UnsafePlan):
                rules.check(plan, limits, approval, now)
                return replace(plan, approved=approval), None
        return plan, UnsafePlan(above.limit, above.counts, name, above.above)
    return plan, None


def _name(store: StoreReader, plan: Plan, now: datetime) -> str:
    """Return the id of what is offered now: never one that was used or lapsed.

    Else who names one id again and again would let each second run pass.
    """
    name = ""
    while True:
        name = rules.name_of(plan, name)
        known = store.approval(name)
        if known is None or rules.holds(known, now):
            return name


def _approval(
    store: StoreReader, plan: Plan, named: str | None, name: str, now: datetime
) -> Approval | None:
    """Return the approval that a person named.

    A stopped run left its offer in the store. Only a dry run named another one: it
    must be for exactly this.
    """
    if named is None:
        return None
    known = store.approval(named)
    if known is not None:
        return known
    return rules.offer(plan, now, name) if name == named else None
