"""Decide what a run does: pure, whole, before the first write.

Theory. The directory is the truth about who is there and what they are called;
the store is the truth about who has which mailbox. An account is its
directory's stable id, so a rename, a move and a new address of the same id are
followed, and an old name on a new id is a conflict for a person to settle.

The plan is made in this order:

1. Each mapped entry becomes the account that it would be (`_drafts`).
2. `claims.settle` says who loses which name or address; whoever loses a name is
   withheld, and the search runs again until nothing more is withheld.
3. New and returning accounts beyond the user limit become conflicts.
4. What is left is compared with the store, and only differences are kept.
5. Only a complete full read shows who vanished: those are deactivated, and
   removed once they have been deactivated for the quarantine.

The same input gives the same plan; the clock comes in as an argument.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from dirbridge.directory.dn import parent
from dirbridge.model.account import (
    Account,
    AccountState,
    AccountValues,
    KeptAddress,
    Origin,
)
from dirbridge.model.entry import Finished, Gone, ReadKind
from dirbridge.model.mapping import Mapped, Unmapped
from dirbridge.model.names import DirectoryId, DomainName, fold
from dirbridge.model.plan import Change, Op, Plan
from dirbridge.sync.changes import (
    LIVE,
    apply_order,
    clash_conflict,
    difference,
    limit_conflict,
    people_name,
    taken_away,
)
from dirbridge.sync.claims import Claim, Clash, Holder, held_claims, settle
from dirbridge.sync.mailboxes import age, with_mailboxes

RESERVED = timedelta(days=180)
"""How long a removed account's addresses stay reserved (product: States)."""


@dataclass(frozen=True, slots=True)
class Policy:
    """The settings of a domain that decide a plan.

    Attributes:
        domain: The mail domain.
        source: Name of the directory within the domain.
        user_limit: Most accounts that may be active or disabled, or None.
        quarantine: How long a vanished account stays deactivated.
        keep_old_address: How long an old primary address stays an alias.
    """

    domain: DomainName
    source: str = "directory"
    user_limit: int | None = None
    quarantine: timedelta = timedelta(days=30)
    keep_old_address: timedelta = timedelta(days=365)


@dataclass(frozen=True, slots=True)
class Read:
    """What a read and its mapping yielded.

    Attributes:
        mapped: Entries that became values.
        unmapped: Entries that could not; they are there, so nobody vanished.
        gone: Ids that a delta says are gone.
        finished: How the read ended.
    """

    mapped: tuple[Mapped, ...]
    unmapped: tuple[Unmapped, ...]
    gone: tuple[Gone, ...]
    finished: Finished

    @property
    def count(self) -> int:
        """How many entries were read."""
        return len(self.mapped) + len(self.unmapped)


def make_plan(
    policy: Policy, stored: Iterable[Account], read: Read, now: datetime
) -> Plan:
    """Compare what was read with what the store has.

    Args:
        policy: The domain's settings.
        stored: All accounts of the whole store, of every domain, since addresses
            are unique across all of them.
        read: What the directory said.
        now: The time of the plan (UTC).

    Returns:
        The plan; without changes where nothing differs.
    """
    before = tuple(stored)
    away = _away(policy, _ours(policy, before), read, now)
    everybody = _after(before, away)
    ours = _ours(policy, everybody)
    drafts = _drafts(policy, ours, read.mapped, now)
    clashes = _settled(drafts, ours, everybody, now)
    withheld = {who for who, found in clashes.items() if _names_lost(found)}
    drafts = _without_lost_addresses(drafts, clashes)
    asking = {who: draft for who, draft in drafts.items() if who not in withheld}
    over = _over_limit(policy, asking, ours, _live_count(policy.domain, everybody))
    for conflict in over:
        del asking[conflict.account]
    asking = with_mailboxes(asking, everybody, policy.domain)
    changes = [
        change
        for who, draft in asking.items()
        if (change := difference(ours.get(who), draft, now))
    ]
    return Plan(
        domain=policy.domain,
        source=policy.source,
        server=read.finished.server,
        kind=read.finished.kind,
        complete=read.finished.complete,
        base=read.finished.base,
        made_at=now,
        read=read.count,
        containers=_containers(_ours(policy, before).values()),
        unchanged=len(asking) - len(changes),
        changes=(
            *away,
            *sorted(changes, key=apply_order),
            *_conflicts(drafts, clashes),
            *over,
        ),
        cursor=read.finished.cursor,
    )


def _ours(policy: Policy, accounts: Iterable[Account]) -> dict[DirectoryId, Account]:
    """Return the accounts that this directory owns in this domain."""
    return {a.values.directory_id: a for a in accounts if _is_ours(policy, a)}


def _away(
    policy: Policy, ours: Mapping[DirectoryId, Account], read: Read, now: datetime
) -> tuple[Change, ...]:
    vanished = _vanished(ours, read)
    return (*_deactivations(vanished, now), *_removals(policy, ours, read, now))


def _after(
    accounts: Iterable[Account], changes: Iterable[Change]
) -> tuple[Account, ...]:
    """Return the accounts as they are once some changes are applied."""
    results = {c.result.number: c.result for c in changes if c.result is not None}
    return tuple(results.get(account.number, account) for account in accounts)


def _containers(accounts: Iterable[Account]) -> dict[str, int]:
    """Count live accounts in each container; the limits' wholes."""
    return dict(Counter(parent(a.values.dn) for a in accounts if a.state in LIVE))


def _is_ours(policy: Policy, account: Account) -> bool:
    return (
        account.origin is Origin.MAPPED
        and account.domain == policy.domain
        and account.source == policy.source
    )


def _drafts(
    policy: Policy,
    ours: Mapping[DirectoryId, Account],
    mapped: Iterable[Mapped],
    now: datetime,
) -> dict[DirectoryId, Account]:
    """Return the account that each mapped entry would become."""
    return {
        one.values.directory_id: (
            as_mapped(policy, ours[one.values.directory_id], one.values, now)
            if one.values.directory_id in ours
            else _new(policy, one.values, now)
        )
        for one in mapped
    }


def _new(policy: Policy, values: AccountValues, now: datetime) -> Account:
    return Account(
        number=0,
        domain=policy.domain,
        source=policy.source,
        mailbox="",
        origin=Origin.MAPPED,
        state=values.state,
        state_reason=values.state_reason,
        state_since=now,
        values=values,
    )


def as_mapped(
    policy: Policy, old: Account, values: AccountValues, now: datetime
) -> Account:
    """Return what a stored account would become by newly mapped values.

    Args:
        policy: The domain's settings.
        old: The account as stored.
        values: What the directory says now.
        now: The time of the plan (UTC).
    """
    same_state = (old.state, old.state_reason) == (values.state, values.state_reason)
    return replace(
        old,
        values=values,
        state=values.state,
        state_reason=values.state_reason,
        state_since=old.state_since if same_state else now,
        kept=_kept(policy, old, values, now),
    )


def _kept(
    policy: Policy, old: Account, values: AccountValues, now: datetime
) -> tuple[KeptAddress, ...]:
    """Return the old addresses that go on: those still in time, and a new one."""
    mine = {fold(text) for text in (values.primary_address, *values.aliases) if text}
    kept = {fold(one.address): one for one in old.kept if one.until > now}
    previous = old.values.primary_address
    if previous and fold(previous) != fold(values.primary_address or ""):
        until = now + policy.keep_old_address
        kept.setdefault(fold(previous), KeptAddress(previous, until))
    return tuple(one for key, one in sorted(kept.items()) if key not in mine)


def _vanished(ours: Mapping[DirectoryId, Account], read: Read) -> Iterator[Account]:
    """Yield live accounts that the read proves gone; none on any doubt."""
    seen = _seen(read)
    gone = {one.id for one in read.gone} - seen
    whole = read.finished.kind is ReadKind.FULL and read.finished.complete
    for who, account in ours.items():
        if account.state in LIVE and (who in gone or (whole and who not in seen)):
            yield account


def _seen(read: Read) -> set[DirectoryId]:
    return {m.values.directory_id for m in read.mapped} | {u.id for u in read.unmapped}


def _settled(
    drafts: Mapping[DirectoryId, Account],
    ours: Mapping[DirectoryId, Account],
    everybody: Iterable[Account],
    now: datetime,
) -> dict[DirectoryId, tuple[Clash, ...]]:
    """Settle all claims; who loses a name is withheld and keeps what it had."""
    had = {who: held_claims(account) for who, account in ours.items()}
    names = {who: people_name(account) for who, account in drafts.items()}
    withheld: dict[DirectoryId, tuple[Clash, ...]] = {}
    while True:
        asking = {who: d for who, d in drafts.items() if who not in withheld}
        wanted = {who: held_claims(draft) for who, draft in asking.items()}
        clashes = settle(wanted, had, _held(ours, everybody, asking, now), names)
        losers = {who: c for who, c in clashes.items() if _names_lost(c)}
        if not losers:
            return {**clashes, **withheld}
        withheld |= losers


def _held(
    ours: Mapping[DirectoryId, Account],
    everybody: Iterable[Account],
    asking: Mapping[DirectoryId, Account],
    now: datetime,
) -> dict[Claim, Holder]:
    """Return what accounts have that do not ask in this run."""
    domain = next((account.domain for account in asking.values()), None)
    held: dict[Claim, Holder] = {}
    for account in everybody:
        who = account.values.directory_id
        if who in asking and ours.get(who) is account:
            continue
        if (
            account.state is AccountState.REMOVED
            and account.state_since + RESERVED < now
        ):
            continue
        holder = Holder(account.canonical, _holder_code(account))
        for claim in held_claims(account):
            # Login names are a domain's own; addresses are everybody's.
            if claim[0] == "address" or account.domain == domain:
                held[claim] = holder
    return held


def _holder_code(account: Account) -> str:
    if account.origin is Origin.LOCAL:
        return "local-account"
    codes = {AccountState.REMOVED: "reserved", AccountState.DEACTIVATED: "recreated"}
    return codes.get(account.state, "name-taken")


def _names_lost(clashes: Iterable[Clash]) -> bool:
    return any(clash.claim[0] != "address" for clash in clashes)


def _without_lost_addresses(
    drafts: Mapping[DirectoryId, Account],
    clashes: Mapping[DirectoryId, tuple[Clash, ...]],
) -> dict[DirectoryId, Account]:
    return {
        who: _without(draft, {clash.claim[1] for clash in clashes[who]})
        if who in clashes
        else draft
        for who, draft in drafts.items()
    }


def _without(draft: Account, lost: set[str]) -> Account:
    primary = draft.values.primary_address
    return replace(
        draft,
        values=replace(
            draft.values,
            primary_address=None if fold(primary or "") in lost else primary,
            aliases=tuple(a for a in draft.values.aliases if fold(a) not in lost),
        ),
        kept=tuple(one for one in draft.kept if fold(one.address) not in lost),
    )


def _live_count(domain: DomainName, everybody: Iterable[Account]) -> int:
    return _count_live(account for account in everybody if account.domain == domain)


def _count_live(accounts: Iterable[Account]) -> int:
    return sum(account.state in LIVE for account in accounts)


def _deactivations(vanished: Iterable[Account], now: datetime) -> Iterator[Change]:
    reason = "It vanished from the directory."
    for account in vanished:
        new = replace(
            account,
            state=AccountState.DEACTIVATED,
            state_reason=reason,
            state_since=now,
        )
        yield taken_away(Op.DEACTIVATE, account, new, reason)


def _removals(
    policy: Policy, ours: Mapping[DirectoryId, Account], read: Read, now: datetime
) -> Iterator[Change]:
    """Yield the end of accounts that stayed deactivated for the quarantine."""
    if read.finished.kind is not ReadKind.FULL or not read.finished.complete:
        return
    seen = _seen(read)
    for who, account in ours.items():
        over = account.state_since + policy.quarantine <= now
        if account.state is AccountState.DEACTIVATED and over and who not in seen:
            reason = f"It was deactivated for {policy.quarantine.days} days."
            new = replace(
                account,
                state=AccountState.REMOVED,
                state_reason=reason,
                state_since=now,
            )
            yield taken_away(Op.REMOVE, account, new, reason)


def _over_limit(
    policy: Policy,
    asking: Mapping[DirectoryId, Account],
    ours: Mapping[DirectoryId, Account],
    live: int,
) -> list[Change]:
    """Return a conflict for each new or returning account beyond the limit."""
    limit = policy.user_limit
    if limit is None:
        return []
    entering = [
        draft
        for who, draft in asking.items()
        if who not in ours or ours[who].state not in LIVE
    ]
    late = sorted(entering, key=age)[max(0, limit - live) :]
    return [limit_conflict(draft, limit) for draft in late]


def _conflicts(
    drafts: Mapping[DirectoryId, Account],
    clashes: Mapping[DirectoryId, tuple[Clash, ...]],
) -> Iterator[Change]:
    for who, found in sorted(clashes.items()):
        withheld = _names_lost(found)
        for clash in found:
            yield clash_conflict(drafts[who], clash, withheld=withheld)
