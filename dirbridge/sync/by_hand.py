"""Plans that a person makes: undo, adopt, keep apart, restore.

They are plans like those of a sync, with the same claims, the same user limit and the
same limits on what one run may take away; only nobody was read for them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from dirbridge.model.account import LIVE, Account, AccountState
from dirbridge.model.entry import EntryKind, ReadKind
from dirbridge.model.fields import NAMES, Value, differences
from dirbridge.model.names import DomainName, fold
from dirbridge.model.plan import APPLY_ORDER, TAKES_AWAY, Change, Op, Plan
from dirbridge.store.base import StoreView
from dirbridge.sync.changes import limit_conflict, people_name
from dirbridge.sync.claims import (
    Claim,
    address_claim,
    address_claims,
    held_addresses,
    held_names,
    kept_claims,
)
from dirbridge.sync.mailboxes import age

ADMIN = "admin"
"""What a run says in the place of its server where a person made it."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What one account is to become.

    Attributes:
        old: As it is stored.
        new: As it shall be.
        why: One sentence.
    """

    old: Account
    new: Account
    why: str


@dataclass(frozen=True, slots=True)
class Ground:
    """Where a plan by hand is made.

    Attributes:
        view: The store at one moment.
        domain: The mail domain.
        source: The directory within it, or `local`.
        now: The time of the plan (UTC).
        user_limit: The domain's limit, or None.
    """

    view: StoreView
    domain: DomainName
    source: str
    now: datetime
    user_limit: int | None = None


def plan_by_hand(
    ground: Ground, wishes: Iterable[Wish], conflicts: Iterable[Change] = ()
) -> Plan:
    """Make a plan of what a person wishes, as far as it can be.

    A wish that needs another account's name or address, or a place beyond the user
    limit, becomes a conflict; an old address that is another's by now just stays
    there. Changed accounts are mapped again by the next full read.

    Args:
        ground: Where it is made.
        wishes: What each account is to become; each account once.
        conflicts: What was found to be in the way before.
    """
    asked = {
        wish.old.number: replace(wish, new=replace(wish.new, digest=b""))
        for wish in wishes
    }
    possible, lost = _without_clashes(ground, asked)
    beyond = _beyond_limit(ground, possible)
    changes = [
        change
        for number, wish in possible.items()
        if number not in beyond and (change := changed(wish))
    ]
    away = any(change.op in TAKES_AWAY for change in changes)
    return Plan(
        domain=ground.domain,
        source=ground.source,
        server=ADMIN,
        kind=ReadKind.DELTA,
        complete=True,
        made_at=ground.now,
        wholes=_wholes(ground) if away else {},
        containers=_containers(ground) if away else {},
        changes=(
            *sorted(changes, key=_order),
            *conflicts,
            *lost,
            *(limit_conflict(possible[n].new, ground.user_limit or 0) for n in beyond),
        ),
        based_on=ground.view.version,
    )


def changed(wish: Wish) -> Change | None:
    """Return the change that a wish is, None where it changes nothing."""
    old, new = wish.old, wish.new
    before, after = differences(old, new)
    for name, (was, shall) in _identity(old, new).items():
        before[name], after[name] = was, shall
    if not after:
        return None
    return Change(
        op=_operation(old, new, set(after)),
        account=new.values.directory_id,
        name=new.canonical,
        before=before,
        after=after,
        why=wish.why,
        result=new,
        stored=old,
    )


def _identity(old: Account, new: Account) -> dict[str, tuple[Value, Value]]:
    """Return what only a person changes: whose entry an account is, its role."""
    pairs: dict[str, tuple[Value, Value]] = {
        "directory_id": (old.values.directory_id, new.values.directory_id),
        "origin": (str(old.origin), str(new.origin)),
        "directory": (old.source, new.source),
        "role": (str(old.role), str(new.role)),
    }
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


_BY_STATE = {
    AccountState.REMOVED: Op.REMOVE,
    AccountState.DEACTIVATED: Op.DEACTIVATE,
}


def _operation(old: Account, new: Account, fields: set[str]) -> Op:
    if old.state not in LIVE and new.state in LIVE:
        return Op.REACTIVATE
    takes_away = old.state in LIVE or new.state is AccountState.REMOVED
    if old.state is not new.state and new.state in _BY_STATE and takes_away:
        return _BY_STATE[new.state]
    if fields & NAMES:
        return Op.RENAME
    return Op.MOVE if fields == {"dn"} else Op.UPDATE


def _order(change: Change) -> tuple[int, str]:
    return (APPLY_ORDER.index(change.op), change.name)


Wishes = Mapping[int, Wish]


def _without_clashes(ground: Ground, asked: Wishes) -> tuple[Wishes, list[Change]]:
    """Take out who wants what another one has, until nobody does.

    Who is taken out keeps what they have, which others may have wanted.
    """
    left, lost = dict(asked), list[Change]()
    holders = _holders(ground, asked.values())
    while True:
        possible = _without_taken(ground, left, holders)
        clashes = tuple(_clashes(ground, possible, holders))
        if not clashes:
            return possible, lost
        for number, conflict in clashes:
            left.pop(number)
            lost.append(conflict)


def _holders(ground: Ground, wishes: Collection[Wish]) -> dict[int, Account]:
    claims = {claim for wish in wishes for claim in _wanted(wish)}
    claims.update(c for wish in wishes for c in kept_claims(wish.new, ground.now))
    names = {name for kind, name in claims if kind in {"login", "upn"}}
    addresses = {name for kind, name in claims if kind == "address"}
    found = list(ground.view.holders(ground.domain, names, addresses))
    for wish in wishes:
        if _id(wish.new) != _id(wish.old):
            ids = (wish.new.values.directory_id,)
            found += ground.view.by_id(ground.domain, wish.new.source, ids).values()
    return {account.number: account for account in found}


def _without_taken(
    ground: Ground, left: Wishes, holders: Mapping[int, Account]
) -> dict[int, Wish]:
    """Leave out old addresses that come back, and are somebody else's by now."""
    owners: dict[Claim, int] = {}
    for number, account in holders.items():
        if number not in left:
            owners |= dict.fromkeys(held_addresses(account, ground.now), number)
    for number, wish in left.items():
        kept = kept_claims(wish.new, ground.now)
        still = kept & held_addresses(wish.old, ground.now)
        for claim in still | held_addresses(wish.new, ground.now, kept=False):
            owners.setdefault(claim, number)
    return {n: _with_kept(ground, wish, owners) for n, wish in left.items()}


def _with_kept(ground: Ground, wish: Wish, owners: dict[Claim, int]) -> Wish:
    new = wish.new
    kept = tuple(
        one
        for one in new.kept
        if one.until <= ground.now
        or owners.setdefault(address_claim(one.address), new.number) == new.number
    )
    return wish if kept == new.kept else replace(wish, new=replace(new, kept=kept))


def _clashes(
    ground: Ground, possible: Wishes, holders: Mapping[int, Account]
) -> Iterator[tuple[int, Change]]:
    standing = {**holders, **{n: wish.new for n, wish in possible.items()}}
    held: dict[Claim, list[Account]] = {}
    for account in standing.values():
        for claim in _held(account, ground):
            held.setdefault(claim, []).append(account)
    for number, wish in possible.items():
        for claim in sorted(_wanted(wish)):
            others = [a for a in held.get(claim, ()) if a.number != number]
            if others:
                yield number, _taken(wish, claim, others[0])
                break


def _wanted(wish: Wish) -> frozenset[Claim]:
    """Return what an account needs for itself; a removed one gives way to others.

    The entry that it goes over to has no account of its own, whatever its state.
    """
    new = wish.new
    entry = frozenset({_id(new)} - {_id(wish.old)})
    if new.state is AccountState.REMOVED:
        return entry
    return entry | held_names(new) | address_claims(new)


def _held(account: Account, ground: Ground) -> frozenset[Claim]:
    claims = held_addresses(account, ground.now)
    if account.domain != ground.domain:
        return claims
    return claims | held_names(account) | {_id(account)}


def _id(account: Account) -> Claim:
    """Return the claim on an entry: it has one account of its domain."""
    return (f"entry of {account.source}", account.values.directory_id)


def _taken(wish: Wish, claim: Claim, other: Account) -> Change:
    kind, name = claim
    if kind not in _WORDS:
        return _entry_taken(wish, other)
    return Change(
        op=Op.CONFLICT,
        account=wish.old.values.directory_id,
        name=people_name(wish.old),
        after={"conflict": "name-taken", kind: name, "other": other.canonical},
        stored=wish.old,
        why=f'The {_WORDS[kind]} "{name}" belongs to {other.canonical} by now, so this '
        "account stays as it is. Give one of them another name, then run this again.",
    )


_WORDS = {"login": "login name", "upn": "UPN", "address": "address"}


def _entry_taken(wish: Wish, other: Account) -> Change:
    entry = wish.new.values.directory_id
    return Change(
        op=Op.CONFLICT,
        account=wish.old.values.directory_id,
        name=people_name(wish.old),
        after={
            "conflict": "entry-taken",
            "directory_id": entry,
            "other": other.canonical,
        },
        stored=wish.old,
        why=f'The entry "{entry}" has the account {other.canonical} by now, so this '
        "account stays as it is. Leave both so, or settle in the directory which entry "
        "is whose.",
    )


def _beyond_limit(ground: Ground, possible: Wishes) -> tuple[int, ...]:
    """Return who would come in beyond the user limit, the oldest entries first in."""
    if ground.user_limit is None:
        return ()
    people = [w for w in possible.values() if w.new.kind is EntryKind.ACCOUNT]
    coming = [w for w in people if w.old.state not in LIVE and w.new.state in LIVE]
    if not coming:
        return ()
    going = sum(w.old.state in LIVE and w.new.state not in LIVE for w in people)
    counts = ground.view.live(ground.domain)
    live = sum(n for (_, kind), n in counts.items() if kind is EntryKind.ACCOUNT)
    late = sorted(coming, key=lambda wish: age(wish.new))
    room = max(0, ground.user_limit - live + going)
    return tuple(wish.old.number for wish in late[room:])


def _wholes(ground: Ground) -> dict[EntryKind, int]:
    counts = ground.view.live(ground.domain)
    return {
        kind: number
        for (source, kind), number in counts.items()
        if source == ground.source
    }


def _containers(ground: Ground) -> dict[tuple[EntryKind, str], int]:
    return dict(ground.view.containers(ground.domain, ground.source))


def named(view: StoreView, domain: DomainName, names: Sequence[str]) -> list[Account]:
    """Return a domain's accounts that have one of these names, in any state.

    Args:
        view: The store at one moment.
        domain: The mail domain.
        names: Bare names or addresses, as somebody typed them.
    """
    folded = [fold(name) for name in names]
    found = view.holders(domain, folded, folded)
    return [account for account in found if account.domain == domain]
