"""Settle who gets what, among the few drafts that others stand in the way of.

Theory. A draft is contested where it claims what another draft claims, or what the
store has with another account (`drafts`). Whoever holds that and is a draft too may
be giving it away, so it belongs here as well. All others claim only what nobody else
has or wants: they lose nothing, and nobody gains by them. So it is enough to look at
these, with all stored accounts that they meet, to get what a look at everybody would
give; the tests compare the two.

Only mailbox names need more: `anna-2`, given to the second Anna, may be the login
name of somebody who was not contested until then. Such are taken in as well, and
all is settled again.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from dirbridge.model.account import LIVE, Account, AccountState, KeptAddress
from dirbridge.model.names import Address, DirectoryId, fold
from dirbridge.store.base import StoreView
from dirbridge.sync.changes import people_name
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
from dirbridge.sync.drafts import meet
from dirbridge.sync.mailboxes import (
    give_mailboxes,
    mailbox_claims,
    mailbox_name,
    needs_mailbox,
)
from dirbridge.sync.policy import Policy

Drafted = Mapping[DirectoryId, Account]
"""What accounts would become, by the id of their entry."""

Owner = DirectoryId | None
"""Who has an address; None is somebody whom this directory does not know."""


@dataclass(frozen=True, slots=True)
class Ground:
    """What the drafts that ask meet in the store.

    Attributes:
        policy: The domain's settings.
        pool: Every stored account that has something they want, and their own, as
            they are once those who go have gone, by number.
        taken: Mailbox names that are not free, see `StoreView.taken`.
        now: The time of the plan (UTC).
    """

    policy: Policy
    pool: Mapping[int, Account]
    taken: frozenset[str]
    now: datetime

    def ours(self) -> dict[DirectoryId, Account]:
        """Return the accounts of this directory."""
        mine = (a for a in self.pool.values() if self.policy.owns(a))
        return {account.values.directory_id: account for account in mine}

    def others(self, asking: Collection[DirectoryId]) -> tuple[Account, ...]:
        """Return the accounts that do not ask."""
        return tuple(
            account
            for account in self.pool.values()
            if not (self.policy.owns(account) and account.values.directory_id in asking)
        )

    def yields(self, account: Account) -> bool:
        """Whether an account gives its kept addresses to whom the directory says."""
        ours = self.policy.owns(account) and account.state in LIVE
        return ours and not self.policy.protects(account)

    def names_held(self, others: Iterable[Account]) -> dict[Claim, Holder]:
        """Return who has which name; login names are a domain's own."""
        mine = (a for a in others if a.domain == self.policy.domain)
        return holders((account, held_names(account)) for account in mine)

    def addresses_held(self, others: Iterable[Account]) -> dict[Claim, Holder]:
        """Return who has which address; addresses are everybody's."""
        return holders(
            (a, held_addresses(a, self.now, kept=not self.yields(a))) for a in others
        )


@dataclass(frozen=True, slots=True)
class Settled:
    """What became of the drafts that asked.

    Attributes:
        accounts: The accounts as they shall be; who is missing is not created, or
            stays away.
        yielding: Stored accounts that lose an address that was only kept, as they
            shall be.
        clashes: What was lost, for each account in the order of its report.
    """

    accounts: dict[DirectoryId, Account]
    yielding: tuple[Account, ...]
    clashes: Mapping[DirectoryId, tuple[Clash, ...]]


def ground_of(
    policy: Policy,
    view: StoreView,
    asking: Drafted,
    states: Mapping[DirectoryId, AccountState],
    now: datetime,
) -> Ground:
    """Look up everybody whom some drafts meet.

    Args:
        policy: The domain's settings.
        view: What the store has.
        asking: The drafts.
        states: What those who go will be.
        now: The time of the plan (UTC).
    """
    claims = {claim for draft in asking.values() for claim in _wanted(policy, draft)}
    new = [draft for draft in asking.values() if needs_mailbox(draft)]
    mailboxes = {fold(mailbox_name(draft.values)) for draft in new}
    found = {a.number: a for a in meet(view, policy.domain, claims)}
    own = view.by_id(policy.domain, policy.source, tuple(asking))
    found |= {account.number: account for account in own.values()}
    gone = {n: _gone(policy, account, states, now) for n, account in found.items()}
    return Ground(policy, gone, view.taken(policy.domain, mailboxes), now)


def _wanted(policy: Policy, draft: Account) -> Iterator[Claim]:
    yield from name_claims(draft.values)
    yield from address_claims(draft)
    if needs_mailbox(draft):
        yield from mailbox_claims(draft.values, policy.domain)


def _gone(
    policy: Policy,
    account: Account,
    states: Mapping[DirectoryId, AccountState],
    now: datetime,
) -> Account:
    state = states.get(account.values.directory_id)
    if state is None or not policy.owns(account):
        return account
    return replace(account, state=state, state_since=now)


def settle(asking: Drafted, ground: Ground) -> Settled:
    """Give each draft what it may have.

    Args:
        asking: The drafts that are contested, and those whose accounts they meet.
        ground: What they meet.
    """
    named, name_clashes = _with_names(asking, ground)
    # Who stays away after all holds what is reserved for them.
    work = _Addresses(named, ground, ground.others(named))
    clashes = work.settle()
    addressed = work.addressed(clashes)
    yielding = tuple(work.yielding())
    newcomers = (one for one in addressed.values() if needs_mailbox(one))
    given = give_mailboxes(newcomers, work.mailbox_taken)
    accounts = {
        who: _undigested(given.get(who, one), who in name_clashes or who in clashes)
        for who, one in addressed.items()
    }
    lost = {
        who: (*name_clashes.get(who, ()), *clashes.get(who, ()))
        for who in asking
        if who in name_clashes or who in clashes
    }
    return Settled(accounts, yielding, lost)


def _undigested(account: Account, lost: bool) -> Account:
    """Have an entry mapped again in the next run whose account lost something."""
    return replace(account, digest=b"") if lost else account


def _with_names(
    asking: Drafted, ground: Ground
) -> tuple[dict[DirectoryId, Account], Clashes]:
    """Leave out who is new or removed and loses a name; others keep their old ones."""
    ours = ground.ours()
    clashes = settle_names(
        {who: name_claims(draft.values) for who, draft in asking.items()},
        {who: held_names(account) for who, account in ours.items()},
        ground.names_held(ground.others(asking.keys())),
        {who: people_name(draft) for who, draft in asking.items()},
    )
    named = {
        who: _with_old_names(draft, ours[who]) if who in clashes else draft
        for who, draft in asking.items()
        if who not in clashes or keeps_names(ours.get(who), draft)
    }
    return named, clashes


def keeps_names(stored: Account | None, draft: Account) -> bool:
    """Whether an account goes on with its old names where it loses new ones.

    Who is to come back, and a group that becomes somebody who logs in, has none.
    """
    if stored is None or stored.state is AccountState.REMOVED:
        return False
    return stored.kind is draft.kind


def _with_old_names(draft: Account, stored: Account) -> Account:
    names, upn = stored.values.login_names, stored.values.upn
    return replace(draft, values=replace(draft.values, login_names=names, upn=upn))


@dataclass(slots=True)
class _Addresses:
    """Who has which address after the run.

    Attributes:
        asking: The drafts, with the names that they may have.
        ground: What they meet.
        others: Every account that does not ask.
        owners: Who has an address.
        disputed: Addresses that several want, and none of them gets.
    """

    asking: Drafted
    ground: Ground
    others: tuple[Account, ...]
    owners: dict[Claim, Owner] = field(default_factory=dict)
    disputed: set[Claim] = field(default_factory=set)

    def settle(self) -> Clashes:
        """Find out who loses what, and who has what then."""
        wanted = {who: address_claims(draft) for who, draft in self.asking.items()}
        now = self.ground.now
        had = {who: held_addresses(a, now) for who, a in self.ground.ours().items()}
        held = self.ground.addresses_held(self.others)
        people = {who: people_name(draft) for who, draft in self.asking.items()}
        clashes = settle_addresses(wanted, had, held, people)
        self.owners |= self._held_by(held)
        for who, claims in wanted.items():
            lost = {clash.claim for clash in clashes.get(who, ())}
            self.owners |= dict.fromkeys(claims - lost, who)
            self.disputed |= lost
        self.disputed -= self.owners.keys()
        return clashes

    def _held_by(self, held: Iterable[Claim]) -> Iterator[tuple[Claim, Owner]]:
        yield from ((claim, None) for claim in held)
        for account in self.others:
            if self.ground.policy.owns(account):
                for claim in held_addresses(account, self.ground.now, kept=False):
                    yield claim, account.values.directory_id

    def addressed(self, clashes: Clashes) -> dict[DirectoryId, Account]:
        """Leave out addresses that are lost; a primary falls back to the old one."""
        ours = self.ground.ours()
        found = {
            who: self._addressed(draft, ours.get(who), clashes.get(who, ()))
            for who, draft in sorted(self.asking.items())
            # Without its mailbox's own address a returning account stays away.
            if not draft.mailbox or self._owns(who, draft.canonical)
        }
        for who, account in found.items():
            for claim in kept_claims(account, self.ground.now):
                self.owners.setdefault(claim, who)
        return found

    def yielding(self) -> Iterator[Account]:
        """Yield stored accounts that do not ask, and lose an address only kept."""
        for account in self.others:
            if not self.ground.yields(account):
                continue
            who = account.values.directory_id
            kept = tuple(one for one in account.kept if self._keeps(who, one))
            if kept != account.kept:
                yield replace(account, kept=kept)
            for claim in kept_claims(account, self.ground.now):
                self.owners.setdefault(claim, who)

    def mailbox_taken(self, name: str, who: DirectoryId) -> bool:
        """Whether a newcomer cannot have a mailbox name.

        The wanted one may be handed on in this very run; a numbered one must never
        have been anybody's.
        """
        policy = self.ground.policy
        claim = address_claim(f"{name}@{policy.domain}")
        if claim in self.disputed or self.owners.get(claim, who) != who:
            return True
        if name != fold(mailbox_name(self.asking[who].values)):
            return name in self.ground.taken
        return any(
            fold(account.mailbox) == name
            for account in self.ground.pool.values()
            if account.domain == policy.domain and account.mailbox
        )

    def _owns(self, who: DirectoryId, address: str) -> bool:
        return self.owners.get(address_claim(address)) == who

    def _keeps(self, who: DirectoryId, kept: KeptAddress) -> bool:
        """Whether nobody else got it; what is over reaches nobody, and may stay."""
        over = kept.until <= self.ground.now
        return over or self.owners.get(address_claim(kept.address), who) == who

    def _addressed(
        self, draft: Account, stored: Account | None, clashes: Iterable[Clash]
    ) -> Account:
        who = draft.values.directory_id
        lost = {clash.claim for clash in clashes}
        primary = draft.values.primary_address
        if primary and address_claim(primary) in lost:
            primary = self._old_primary(stored)
        mine = {primary, *draft.values.aliases} - {None}
        aliases = (a for a in draft.values.aliases if address_claim(a) not in lost)
        values = replace(draft.values, primary_address=primary, aliases=tuple(aliases))
        kept = tuple(
            one
            for one in draft.kept
            if one.address not in mine and self._keeps(who, one)
        )
        return replace(draft, values=values, kept=kept)

    def _old_primary(self, stored: Account | None) -> Address | None:
        """Return the stored primary address, unless somebody else got it.

        Who comes back when nothing is reserved any more has no old one either.
        """
        old = stored.values.primary_address if stored is not None else None
        if stored is None or old is None or has_lapsed(stored, self.ground.now):
            return None
        owner = self.owners.setdefault(address_claim(old), stored.values.directory_id)
        return old if owner == stored.values.directory_id else None
