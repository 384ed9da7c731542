"""The planner's rules over everybody at once: slow, plain, and what is meant.

`sync/planner` looks only at those whom a read touches; `test_planner_exact` compares
the two.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from dirbridge.model.account import LIVE, Account, AccountState, KeptAddress
from dirbridge.model.entry import EntryKind, ReadKind
from dirbridge.model.names import Address, DirectoryId, fold
from dirbridge.model.plan import Change, Op
from dirbridge.store.view import AccountsView
from dirbridge.sync.changes import (
    apply_order,
    clash_conflict,
    difference,
    kind_conflict,
    limit_conflict,
    people_name,
    protected_conflict,
    taken_away,
)
from dirbridge.sync.claims import (
    Claim,
    Clash,
    Clashes,
    Holder,
    address_claim,
    address_claims,
    has_lapsed,
    held_addresses,
    held_names,
    holders,
    kept_claims,
    name_claims,
    settle_addresses,
    settle_names,
)
from dirbridge.sync.drafts import as_mapped, new_account
from dirbridge.sync.mailboxes import age, mailbox_name
from dirbridge.sync.policy import Policy
from dirbridge.sync.read import Read

Owners = dict[Claim, DirectoryId | None]


@dataclass(frozen=True)
class ExactPlan:
    changes: tuple[Change, ...]
    remembered: dict[int, bytes]
    unchanged: int


def exact_plan(
    policy: Policy, stored: Iterable[Account], read: Read, now: datetime
) -> ExactPlan:
    before = tuple(stored)
    away, left = _away(policy, before, read, now)
    everybody = _after(before, away)
    ours = _ours(policy, everybody)
    drafts = _drafts(policy, ours, read, now)
    dark = (ours[one.id] for one in read.unmapped if one.id in ours)
    remembered = {a.number: b"" for a in dark if a.state in LIVE and a.digest}
    untouched = [w for w, d in drafts.items() if _hands_off(policy, ours.get(w), d)]
    for who in untouched:
        old, draft = ours[who], drafts.pop(who)
        changed = difference(old, draft, now) is not None
        conflict = _hands_off(policy, old, draft)
        left = (*left, conflict) if changed and conflict else left
        if (digest := b"" if changed else draft.digest) != old.digest:
            remembered[old.number] = digest
    over = _over_limit(policy, drafts, ours, everybody)
    asking = {who: d for who, d in drafts.items() if who not in over}
    named, name_clashes = _with_names(policy, asking, ours, everybody)
    addressed, address_clashes, owners, disputed = _with_addresses(
        policy, named, ours, everybody, now
    )
    yielding = _yielding(policy, everybody, named, owners, now)
    settled = _with_mailboxes(policy, addressed, before, owners, disputed)
    lost = name_clashes.keys() | address_clashes.keys()
    settled |= {w: replace(settled[w], digest=b"") for w in lost if w in settled}
    final = {**settled, **yielding}
    changes = [
        c for who, a in final.items() if (c := difference(ours.get(who), a, now))
    ]
    conflicts = (
        *_conflicts(drafts, ours, name_clashes),
        *_conflicts(drafts, ours, address_clashes),
        *over.values(),
        *left,
    )
    changing = {change.account for change in changes}
    remembered |= {
        ours[who].number: digest
        for who, draft in asking.items()
        if who in ours and who not in changing
        for digest in [b"" if who in lost else draft.digest]
        if digest != ours[who].digest
    }
    return ExactPlan(
        tuple(sorted((*away, *changes, *conflicts), key=apply_order)),
        remembered,
        read.unchanged + len(untouched) + sum(who not in changing for who in settled),
    )


def _hands_off(policy: Policy, old: Account | None, draft: Account) -> Change | None:
    if old is None:
        return None
    if policy.protects(old):
        return protected_conflict(old)
    if old.mailbox and draft.kind is not EntryKind.ACCOUNT:
        return kind_conflict(old, draft.kind)
    return None


def _ours(policy: Policy, accounts: Iterable[Account]) -> dict[DirectoryId, Account]:
    return {a.values.directory_id: a for a in accounts if policy.owns(a)}


def _away(
    policy: Policy, before: tuple[Account, ...], read: Read, now: datetime
) -> tuple[tuple[Change, ...], tuple[Change, ...]]:
    whole = read.finished.kind is ReadKind.FULL and read.finished.complete
    away: list[Change] = []
    left: list[Change] = []
    for who, account in _ours(policy, before).items():
        if who in read.seen:
            continue
        if account.state in LIVE and (whole or who in read.gone):
            if policy.protects(account):
                left.append(protected_conflict(account, "vanished"))
                continue
            why = "It vanished from the directory."
            state, op = AccountState.DEACTIVATED, Op.DEACTIVATE
        elif (
            whole
            and account.state is AccountState.DEACTIVATED
            and account.state_since + policy.quarantine <= now
            and not policy.protects(account)
        ):
            why = f"It was deactivated for {policy.quarantine.days} days."
            state, op = AccountState.REMOVED, Op.REMOVE
        else:
            continue
        new = replace(
            account, state=state, state_reason=why, state_since=now, digest=b""
        )
        away.append(taken_away(op, account, new, why))
    return tuple(away), tuple(left)


def _after(
    accounts: Iterable[Account], changes: Iterable[Change]
) -> tuple[Account, ...]:
    results = {c.result.number: c.result for c in changes if c.result is not None}
    return tuple(results.get(account.number, account) for account in accounts)


def _drafts(
    policy: Policy, ours: Mapping[DirectoryId, Account], read: Read, now: datetime
) -> dict[DirectoryId, Account]:
    drafts = {}
    for mapped in read.mapped:
        who = mapped.values.directory_id
        if who not in ours:
            drafts[who] = new_account(policy, mapped, now)
            continue
        draft = as_mapped(policy, ours[who], mapped, now)
        same = difference(ours[who], draft, now) is None
        drafts[who] = replace(ours[who] if same else draft, digest=mapped.digest)
    return drafts


def _over_limit(
    policy: Policy,
    drafts: Mapping[DirectoryId, Account],
    ours: Mapping[DirectoryId, Account],
    everybody: Iterable[Account],
) -> dict[DirectoryId, Change]:
    limit = policy.user_limit
    if limit is None:
        return {}
    live = sum(
        a.state in LIVE
        for a in everybody
        if a.domain == policy.domain and a.kind is EntryKind.ACCOUNT
    )
    entering = [
        draft
        for who, draft in drafts.items()
        if draft.kind is EntryKind.ACCOUNT
        and draft.state in LIVE
        and not (
            who in ours
            and ours[who].state in LIVE
            and ours[who].kind is EntryKind.ACCOUNT
        )
    ]
    late = sorted(entering, key=age)[max(0, limit - live) :]
    return {d.values.directory_id: limit_conflict(d, limit) for d in late}


def _others(
    policy: Policy, everybody: Iterable[Account], asking: Mapping[DirectoryId, Account]
) -> tuple[Account, ...]:
    return tuple(
        a for a in everybody if not (policy.owns(a) and a.values.directory_id in asking)
    )


def _yields(policy: Policy, account: Account) -> bool:
    live = policy.owns(account) and account.state in LIVE
    return live and not policy.protects(account)


def _with_names(
    policy: Policy,
    asking: Mapping[DirectoryId, Account],
    ours: Mapping[DirectoryId, Account],
    everybody: Iterable[Account],
) -> tuple[dict[DirectoryId, Account], Clashes]:
    others = _others(policy, everybody, asking)
    mine = (a for a in others if a.domain == policy.domain)
    clashes = settle_names(
        {who: name_claims(draft.values) for who, draft in asking.items()},
        {who: held_names(account) for who, account in ours.items()},
        holders((account, held_names(account)) for account in mine),
        {who: people_name(draft) for who, draft in asking.items()},
    )
    named = {
        who: _with_old_names(draft, ours[who]) if who in clashes else draft
        for who, draft in asking.items()
        if who not in clashes or _keeps_names(ours.get(who), draft)
    }
    return named, clashes


def _keeps_names(stored: Account | None, draft: Account) -> bool:
    if stored is None or stored.state is AccountState.REMOVED:
        return False
    return stored.kind is draft.kind


def _with_old_names(draft: Account, stored: Account) -> Account:
    names, upn = stored.values.login_names, stored.values.upn
    return replace(draft, values=replace(draft.values, login_names=names, upn=upn))


def _with_addresses(
    policy: Policy,
    asking: Mapping[DirectoryId, Account],
    ours: Mapping[DirectoryId, Account],
    everybody: Iterable[Account],
    now: datetime,
) -> tuple[dict[DirectoryId, Account], Clashes, Owners, set[Claim]]:
    wanted = {who: address_claims(draft) for who, draft in asking.items()}
    had = {who: held_addresses(a, now) for who, a in ours.items()}
    others = _others(policy, everybody, asking)
    held: dict[Claim, Holder] = holders(
        (a, held_addresses(a, now, kept=not _yields(policy, a))) for a in others
    )
    people = {who: people_name(draft) for who, draft in asking.items()}
    clashes = settle_addresses(wanted, had, held, people)
    owners: Owners = dict.fromkeys(held)
    for account in others:
        if policy.owns(account):
            claims = held_addresses(account, now, kept=False)
            owners |= dict.fromkeys(claims, account.values.directory_id)
    for who, claims in wanted.items():
        lost = {clash.claim for clash in clashes.get(who, ())}
        owners |= dict.fromkeys(claims - lost, who)
    all_lost = {clash.claim for several in clashes.values() for clash in several}
    disputed = all_lost - owners.keys()
    addressed = {
        who: _addressed(draft, ours.get(who), clashes.get(who, ()), owners, now)
        for who, draft in sorted(asking.items())
        if not draft.mailbox or owners.get(address_claim(draft.canonical)) == who
    }
    for who, account in addressed.items():
        for claim in kept_claims(account, now):
            owners.setdefault(claim, who)
    return addressed, clashes, owners, disputed


def _addressed(
    draft: Account,
    stored: Account | None,
    clashes: Iterable[Clash],
    owners: Owners,
    now: datetime,
) -> Account:
    who = draft.values.directory_id
    lost = {clash.claim for clash in clashes}
    primary = draft.values.primary_address
    if primary and address_claim(primary) in lost:
        primary = _old_primary(stored, owners, now)
    mine = {primary, *draft.values.aliases} - {None}
    aliases = (a for a in draft.values.aliases if address_claim(a) not in lost)
    values = replace(draft.values, primary_address=primary, aliases=tuple(aliases))
    kept = tuple(
        one
        for one in draft.kept
        if _keeps(one, who, owners, now) and one.address not in mine
    )
    return replace(draft, values=values, kept=kept)


def _keeps(kept: KeptAddress, who: DirectoryId, owners: Owners, now: datetime) -> bool:
    over = kept.until <= now
    return over or owners.get(address_claim(kept.address), who) == who


def _old_primary(
    stored: Account | None, owners: Owners, now: datetime
) -> Address | None:
    old = stored.values.primary_address if stored is not None else None
    if stored is None or old is None or has_lapsed(stored, now):
        return None
    owner = owners.setdefault(address_claim(old), stored.values.directory_id)
    return old if owner == stored.values.directory_id else None


def _yielding(
    policy: Policy,
    everybody: Iterable[Account],
    asking: Mapping[DirectoryId, Account],
    owners: Owners,
    now: datetime,
) -> dict[DirectoryId, Account]:
    found = {}
    for account in _others(policy, everybody, asking):
        if not _yields(policy, account):
            continue
        who = account.values.directory_id
        kept = tuple(one for one in account.kept if _keeps(one, who, owners, now))
        if kept != account.kept:
            found[who] = replace(account, kept=kept)
        for claim in kept_claims(account, now):
            owners.setdefault(claim, who)
    return found


def _with_mailboxes(
    policy: Policy,
    drafts: Mapping[DirectoryId, Account],
    before: tuple[Account, ...],
    owners: Owners,
    disputed: set[Claim],
) -> dict[DirectoryId, Account]:
    mailboxes = {fold(a.mailbox) for a in before if a.domain == policy.domain}
    view = AccountsView(before)
    given: dict[DirectoryId, Account] = {}
    for who, draft in sorted(drafts.items(), key=lambda item: age(item[1])):
        if draft.mailbox or draft.kind is not EntryKind.ACCOUNT:
            continue
        wanted = mailbox_name(draft.values)
        ever = view.taken(policy.domain, {fold(wanted)})
        for name in (wanted, *(f"{wanted}-{number}" for number in range(2, 99))):
            claim = address_claim(f"{name}@{policy.domain}")
            mine = owners.get(claim, who) == who and claim not in disputed
            free = name == wanted or fold(name) not in ever
            if mine and free and fold(name) not in mailboxes:
                break
        mailboxes.add(fold(name))
        given[who] = replace(draft, mailbox=name)
    return {who: given.get(who, draft) for who, draft in drafts.items()}


def _conflicts(
    drafts: Mapping[DirectoryId, Account],
    ours: Mapping[DirectoryId, Account],
    clashes: Clashes,
) -> Iterator[Change]:
    for who, found in sorted(clashes.items()):
        for clash in found:
            stays = _keeps_names(ours.get(who), drafts[who])
            yield clash_conflict(drafts[who], clash, stays=stays)
