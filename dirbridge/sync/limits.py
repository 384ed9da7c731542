"""Stop a plan that takes away more than one run may (product: Configuration).

Theory. What counts is who is there and is taken away: active and disabled accounts
that a run deactivates or removes, each kind (accounts, groups, contacts) by itself.
Who was deactivated before and is removed now was counted then, and passed, so the end
of a quarantine counts nowhere. Nor does anything that gives, or can be read again.

An approval covers the set of (operation, account) that the stopped plan takes away,
so it lets any later plan pass whose own set, as far as it trips a limit, is within
that one. It is used once and lapses.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from dirbridge.errors import Above, UnsafePlan
from dirbridge.model.account import LIVE
from dirbridge.model.entry import EntryKind, ReadKind
from dirbridge.model.plan import TAKES_AWAY, Approval, Change, Covered, Op, Plan
from dirbridge.store.view import container
from dirbridge.sync.by_hand import ADMIN

LAPSES = timedelta(hours=24)
"""How long a person may take to approve what a stopped run offers."""


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


@dataclass(frozen=True, slots=True)
class Tripped:
    """One limit that a plan is above.

    Attributes:
        limit: Its name, see `UnsafePlan.limit`.
        counts: The figures behind it.
        covered: What trips it.
        where: The container's DN, where it is the limit of one; else "".
    """

    limit: str
    counts: Mapping[str, int]
    covered: frozenset[Covered]
    where: str = ""


def offer(plan: Plan, now: datetime, name: str = "") -> Approval:
    """Return what a person may approve, so that the plan passes.

    Args:
        plan: A plan that is above a limit.
        now: When it was stopped (UTC).
        name: Its id; without one, that of the first offer of the same set.
    """
    return Approval(
        id=name or name_of(plan),
        domain=plan.domain,
        source=plan.source,
        covers=_covers(plan),
        offered_at=now,
        until=now + LAPSES,
    )


def name_of(plan: Plan, after: str = "") -> str:
    """Return the id of an offer, which no two have that are used one after the other.

    Args:
        plan: A plan that is above a limit.
        after: The id of the offer before, of the same set, which is used or lapsed.
    """
    hashed = hashlib.blake2b(f"{plan.domain}\n{plan.source}".encode(), digest_size=6)
    for op, who in sorted(_covers(plan)):
        hashed.update(f"\n{op} {who}".encode())
    hashed.update(f"\n\n{after}".encode() if after else b"")
    return hashed.hexdigest()


def holds(approval: Approval, now: datetime) -> bool:
    """Whether an approval is neither used nor lapsed."""
    return approval.used_by is None and now <= approval.until


def check(plan: Plan, limits: Limits, approval: Approval | None, now: datetime) -> None:
    """Raise where the plan takes away too much and nobody approved that.

    Args:
        plan: The plan.
        limits: The domain's limits.
        approval: What a person approved, if anything.
        now: The time (UTC): approvals lapse.

    Raises:
        UnsafePlan: Names the limits, their figures and the approval.
    """
    found = tripped(plan, limits)
    covered = frozenset(one for limit in found for one in limit.covered)
    if not found or (approval is not None and _lets(approval, plan, covered, now)):
        return
    first = found[0]
    above = tuple(Above(one.limit, dict(one.counts), one.where) for one in found)
    raise UnsafePlan(first.limit, dict(first.counts), name_of(plan), above)


def _lets(
    approval: Approval, plan: Plan, covered: frozenset[Covered], now: datetime
) -> bool:
    return (
        (approval.domain, approval.source) == (plan.domain, plan.source)
        and holds(approval, now)
        and covered <= approval.covers
    )


def tripped(plan: Plan, limits: Limits) -> tuple[Tripped, ...]:
    """Return every limit that a plan is above, the gravest first.

    Args:
        plan: The plan.
        limits: The domain's limits.
    """
    return (*_doubts(plan), *_rights(plan, limits), *_sizes(plan, limits))


def _doubts(plan: Plan) -> Iterator[Tripped]:
    """Yield where it is the read that is in doubt."""
    away = _all_away(plan)
    if not away:
        return
    counts = {"away": len(away), "accounts": sum(plan.wholes.values())}
    if _shows_nobody(plan):
        yield Tripped("source-empty", counts, away)
    if plan.scope_changed:
        yield Tripped("scope-changed", counts, away)


def _shows_nobody(plan: Plan) -> bool:
    """Whether it looks as if the source were empty."""
    if plan.server == ADMIN:
        return False  # a person says who goes, and no read
    empty = plan.kind is ReadKind.FULL and plan.read == 0
    return empty or _leaves_nobody(plan)


def _leaves_nobody(plan: Plan) -> bool:
    """Whether nobody who logs in is left, though groups or contacts may be there."""
    went = sum(
        _kind(change) is EntryKind.ACCOUNT for change in plan.walk(Op.DEACTIVATE)
    )
    if not went or went < plan.wholes.get(EntryKind.ACCOUNT, 0):
        return False
    came = plan.walk(Op.CREATE, Op.REACTIVATE)
    return all(_kind(change) is not EntryKind.ACCOUNT for change in came)


def _rights(plan: Plan, limits: Limits) -> Iterator[Tripped]:
    """Yield where the service account no longer sees what it saw."""
    lost, whole = len(plan.unreadable), sum(plan.wholes.values())
    if _above(limits, lost, whole) is not None:
        counts = {"away": lost, "accounts": whole}
        yield Tripped("rights", counts, frozenset(_unreadable(plan)))


def _sizes(plan: Plan, limits: Limits) -> Iterator[Tripped]:
    kinds: defaultdict[EntryKind, list[Change]] = defaultdict(list)
    for change in plan.walk(*TAKES_AWAY):
        if _counts(change):
            kinds[_kind(change)].append(change)
    for kind, away in kinds.items():
        whole = plan.wholes.get(kind, 0)
        counts = {"away": len(away), "accounts": whole}
        if limit := _above(limits, len(away), whole):
            yield Tripped(limit, counts, _covered(away))
        yield from _containers(plan, limits, kind, away)


def _above(limits: Limits, away: int, whole: int) -> str | None:
    if away > limits.absolute:
        return "absolute"
    if whole >= limits.from_accounts and away > limits.share * whole:
        return "share"
    return None


def _containers(
    plan: Plan, limits: Limits, kind: EntryKind, away: Iterable[Change]
) -> Iterator[Tripped]:
    containers: defaultdict[str, list[Change]] = defaultdict(list)
    for change in away:
        containers[container(_dn(change))].append(change)
    for where, gone in containers.items():
        inside = plan.containers.get((kind, where), 0)
        share = limits.container_share * inside
        if inside >= limits.from_accounts and len(gone) > share:
            counts = {"away": len(gone), "accounts": inside}
            yield Tripped("container-share", counts, _covered(gone), where)


def _counts(change: Change) -> bool:
    """Whether somebody goes who was there: the end of a quarantine is expected."""
    return change.stored is None or change.stored.state in LIVE


def _covered(changes: Iterable[Change]) -> frozenset[Covered]:
    return frozenset((change.op, change.account) for change in changes)


def _all_away(plan: Plan) -> frozenset[Covered]:
    return _covered(change for change in plan.walk(*TAKES_AWAY) if _counts(change))


def _covers(plan: Plan) -> frozenset[Covered]:
    return _all_away(plan).union(_unreadable(plan))


def _unreadable(plan: Plan) -> Iterator[Covered]:
    return ((Op.CONFLICT, who) for who in plan.unreadable)


def _kind(change: Change) -> EntryKind:
    return EntryKind.ACCOUNT if change.result is None else change.result.kind


def _dn(change: Change) -> str:
    return "" if change.result is None else change.result.values.dn
