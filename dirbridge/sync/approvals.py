"""Whether a plan may pass: within the limits, or by a person's approval."""

from __future__ import annotations

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
    except UnsafePlan as stopped:
        approval = _approval(store, plan, named, now)
        if approval is None:
            return plan, stopped
        try:
            rules.check(plan, limits, approval, now)
        except UnsafePlan as again:
            return plan, again
        return replace(plan, approved=approval), None
    return plan, None


def _approval(
    store: StoreReader, plan: Plan, named: str | None, now: datetime
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
    offer = rules.offer(plan, now)
    return offer if offer.id == named else None
