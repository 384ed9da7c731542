"""Stop a plan that takes away more than one run may (product: Configuration)."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from dirbridge.directory.dn import parent
from dirbridge.errors import UnsafePlan
from dirbridge.model.entry import EntryKind, ReadKind
from dirbridge.model.names import DomainName
from dirbridge.model.plan import TAKES_AWAY, Change, Plan

EMPTY = "source-empty"
"""The one limit that no approval lifts: nothing is taken away on an empty read."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What one run may take away before a person must approve.

    Attributes:
        share: Of all accounts that the directory has in the domain, 0 to 1.
        container_share: Of the accounts of one container, 0 to 1.
        absolute: Accounts.
        from_accounts: Below this many accounts the shares do not count.
    """

    share: float = 0.1
    container_share: float = 0.3
    absolute: int = 50
    from_accounts: int = 10


def approval_id(domain: DomainName, changes: Iterable[Change]) -> str:
    """Return the name of the approval that covers exactly these changes.

    Args:
        domain: The mail domain.
        changes: What tripped a limit; only operation and account count.
    """
    lines = [domain, *sorted(f"{change.op} {change.account}" for change in changes)]
    return hashlib.blake2b("\n".join(lines).encode(), digest_size=6).hexdigest()


def check(plan: Plan, limits: Limits, approved: str | None = None) -> None:
    """Raise where the plan takes away too much and nobody approved that.

    Args:
        plan: The plan.
        limits: The domain's limits.
        approved: An approval that a person gave.

    Raises:
        UnsafePlan: Names the limit, its figures and the approval.
    """
    away = plan.of(*TAKES_AWAY)
    tripped = _tripped(plan, away, limits)
    if tripped is None:
        return
    limit, counts = tripped
    if limit == EMPTY:
        raise UnsafePlan(limit, counts, approval="")
    approval = approval_id(plan.domain, away)
    if approved != approval:
        raise UnsafePlan(limit, counts, approval)


def _tripped(
    plan: Plan, away: tuple[Change, ...], limits: Limits
) -> tuple[str, dict[str, int]] | None:
    whole = sum(plan.wholes.values())
    counts = {"away": len(away), "accounts": whole}
    if plan.kind is ReadKind.FULL and plan.read == 0 and away:
        return (EMPTY, counts)
    if plan.scope_changed and away:
        return ("scope-changed", counts)
    if len(away) > limits.absolute:
        return ("absolute", counts)
    if whole >= limits.from_accounts and len(away) > limits.share * whole:
        return ("share", counts)
    containers = Counter(parent(str(_dn(change))) for change in away)
    for container, gone in containers.items():
        inside = plan.containers.get((EntryKind.ACCOUNT, container), 0)
        if inside >= limits.from_accounts and gone > limits.container_share * inside:
            return ("container-share", {"away": gone, "accounts": inside})
    return None


def _dn(change: Change) -> str:
    return "" if change.result is None else change.result.values.dn
