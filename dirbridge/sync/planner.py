"""Decide what a run does: pure, whole, before the first write.

Theory. The directory is the truth about who is there and what they are called;
the store is the truth about who has which mailbox. An account is its
directory's stable id, so a rename, a move and a new address of the same id are
followed, and an old name on a new id is a conflict for a person to settle.

The plan is made in this order:

1. Only a complete full read shows who vanished: those are deactivated, and
   removed once they have been deactivated for the quarantine (`_away`).
2. Each mapped entry becomes the account that it would be (`_drafts`).
3. New and returning accounts beyond the user limit stay out, the oldest entries
   first, whatever their names are: so the same ones stay out in the next run.
4. `claims` says who loses which name or address. Everything else of an account
   follows the directory, also where its new name is refused: above all its state.
5. New accounts get their mailbox names.
6. What is left is compared with the store, and only differences are kept.

The same input gives the same plan; the clock comes in as an argument.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from dirbridge.directory.dn import parent
from dirbridge.model.account import (
    LIVE,
    Account,
    AccountState,
    AccountValues,
    KeptAddress,
    Origin,
)
from dirbridge.model.entry import EntryKind, Finished, Gone, ReadKind
from dirbridge.model.mapping import Mapped, Unmapped
from dirbridge.model.names import Address, DirectoryId, DomainName, fold
from dirbridge.model.plan import Change, Op, Plan
from dirbridge.sync.changes import (
    apply_order,
    clash_conflict,
    difference,
    limit_conflict,
    people_name,
    taken_away,
)
from dirbridge.sync.claims import (
    Claim,
    Clash,
    Clashes,
    Holder,
    address_claim,
    address_claims,
    held_addresses,
    held_names,
    holders,
    name_claims,
    settle_addresses,
    settle_names,
)
from dirbridge.sync.mailboxes import age, with_mailboxes


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
    over = _over_limit(policy, drafts, ours, _live_count(policy.domain, everybody))
    asking = {who: d for who, d in drafts.items() if who not in over}
    ground = _Ground(policy.domain, ours, _others(everybody, ours, asking), now)
    named, name_clashes = _with_names(asking, ground)
    # Who stays away after all holds what is reserved for them.
    ground = replace(ground, others=_others(everybody, ours, named))
    addressed, address_clashes, taken = _with_addresses(named, ground)
    settled = with_mailboxes(addressed, everybody, policy.domain, taken)
    changes = [
        change
        for who, draft in settled.items()
        if (change := difference(ours.get(who), draft, now))
    ]
    live = [a for a in _ours(policy, before).values() if a.state in LIVE]
    return Plan(
        domain=policy.domain,
        source=policy.source,
        server=read.finished.server,
        kind=read.finished.kind,
        complete=read.finished.complete,
        base=read.finished.base,
        made_at=now,
        read=read.count,
        wholes=Counter(a.kind for a in live),
        containers=_containers(live),
        unchanged=len(settled) - len(changes),
        changes=(
            *away,
            *sorted(changes, key=apply_order),
            *_conflicts(drafts, ours, name_clashes),
            *_conflicts(drafts, ours, address_clashes),
            *over.values(),
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


def _containers(live: Iterable[Account]) -> dict[tuple[EntryKind, str], int]:
    """Count live accounts in each container; the limits' wholes."""
    return dict(Counter((a.kind, parent(a.values.dn)) for a in live))


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


@dataclass(frozen=True, slots=True)
class _Ground:
    """What the accounts that ask meet.

    Attributes:
        domain: The mail domain.
        ours: The stored accounts of this directory.
        others: Every account that does not ask.
        now: The time of the plan (UTC).
    """

    domain: DomainName
    ours: Mapping[DirectoryId, Account]
    others: tuple[Account, ...]
    now: datetime

    def names_held(self) -> dict[Claim, Holder]:
        """Login names are a domain's own."""
        mine = (a for a in self.others if a.domain == self.domain)
        return holders((account, held_names(account)) for account in mine)

    def addresses_held(self) -> dict[Claim, Holder]:
        """Addresses are everybody's."""
        return holders((a, held_addresses(a, self.now)) for a in self.others)


def _others(
    everybody: Iterable[Account],
    ours: Mapping[DirectoryId, Account],
    asking: Mapping[DirectoryId, Account],
) -> tuple[Account, ...]:
    numbers = {ours[who].number for who in asking if who in ours}
    return tuple(account for account in everybody if account.number not in numbers)


def _with_names(
    asking: Mapping[DirectoryId, Account], ground: _Ground
) -> tuple[dict[DirectoryId, Account], Clashes]:
    """Leave out who is new or removed and loses a name; others keep their old ones."""
    clashes = settle_names(
        {who: name_claims(draft.values) for who, draft in asking.items()},
        {who: held_names(account) for who, account in ground.ours.items()},
        ground.names_held(),
        {who: people_name(draft) for who, draft in asking.items()},
    )
    named = {
        who: _with_old_names(draft, ground.ours[who]) if who in clashes else draft
        for who, draft in asking.items()
        if who not in clashes or _keeps_names(ground.ours.get(who))
    }
    return named, clashes


def _keeps_names(stored: Account | None) -> bool:
    return stored is not None and stored.state is not AccountState.REMOVED


def _with_old_names(draft: Account, stored: Account) -> Account:
    names, upn = stored.values.login_names, stored.values.upn
    return replace(draft, values=replace(draft.values, login_names=names, upn=upn))


def _with_addresses(
    asking: Mapping[DirectoryId, Account], ground: _Ground
) -> tuple[dict[DirectoryId, Account], Clashes, dict[Claim, DirectoryId | None]]:
    """Leave out addresses that are lost; a lost primary falls back to the old one.

    Returns:
        The accounts, the clashes, and who has which address after the run; None
        stands for those who do not ask and for addresses that go to nobody.
    """
    wanted = {who: address_claims(draft) for who, draft in asking.items()}
    had = {who: held_addresses(a, ground.now) for who, a in ground.ours.items()}
    held = ground.addresses_held()
    people = {who: people_name(draft) for who, draft in asking.items()}
    clashes = settle_addresses(wanted, had, held, people)
    taken: dict[Claim, DirectoryId | None] = dict.fromkeys(held)
    for lost_ones in clashes.values():
        taken |= dict.fromkeys(clash.claim for clash in lost_ones)
    for who, claims in wanted.items():
        lost = {clash.claim for clash in clashes.get(who, ())}
        taken |= dict.fromkeys(claims - lost, who)
    addressed = {
        who: _addressed(draft, ground.ours.get(who), clashes.get(who, ()), taken)
        for who, draft in asking.items()
        # Without its mailbox's own address a returning account stays away.
        if not draft.mailbox or taken[address_claim(draft.canonical)] == who
    }
    for who, account in addressed.items():
        taken |= dict.fromkeys((address_claim(k.address) for k in account.kept), who)
    return addressed, clashes, taken


def _addressed(
    draft: Account,
    stored: Account | None,
    clashes: Iterable[Clash],
    taken: dict[Claim, DirectoryId | None],
) -> Account:
    who = draft.values.directory_id
    lost = {clash.claim for clash in clashes}
    primary = draft.values.primary_address
    if primary and address_claim(primary) in lost:
        primary = _old_primary(stored, taken)
    mine = {primary, *draft.values.aliases} - {None}
    aliases = (a for a in draft.values.aliases if address_claim(a) not in lost)
    values = replace(draft.values, primary_address=primary, aliases=tuple(aliases))
    kept = tuple(
        one
        for one in draft.kept
        if taken.get(address_claim(one.address), who) == who and one.address not in mine
    )
    return replace(draft, values=values, kept=kept)


def _old_primary(
    stored: Account | None, taken: dict[Claim, DirectoryId | None]
) -> Address | None:
    """Return the stored primary address, unless somebody else got it."""
    old = stored.values.primary_address if stored is not None else None
    if stored is None or old is None:
        return None
    owner = taken.setdefault(address_claim(old), stored.values.directory_id)
    return old if owner == stored.values.directory_id else None


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
    drafts: Mapping[DirectoryId, Account],
    ours: Mapping[DirectoryId, Account],
    live: int,
) -> dict[DirectoryId, Change]:
    """Return a conflict for each new or returning account beyond the limit."""
    limit = policy.user_limit
    if limit is None:
        return {}
    entering = [
        draft
        for who, draft in drafts.items()
        if who not in ours or ours[who].state not in LIVE
    ]
    late = sorted(entering, key=age)[max(0, limit - live) :]
    return {d.values.directory_id: limit_conflict(d, limit) for d in late}


def _conflicts(
    drafts: Mapping[DirectoryId, Account],
    ours: Mapping[DirectoryId, Account],
    clashes: Clashes,
) -> Iterator[Change]:
    for who, found in sorted(clashes.items()):
        for clash in found:
            stays = _keeps_names(ours.get(who))
            yield clash_conflict(drafts[who], clash, stays=stays)
