"""What each mapped entry would make of its account: the same, or a draft.

Theory. Nearly all entries of a read say what the store has already, and of a first
import nearly all are new: neither needs a look at anybody else's. So entries are
compared in portions, and of each only a letter is kept (`Drafts.letters`): the same,
new, or changed. Who is new is made into an account when somebody walks through the
plan; who changed waits in a spool with what is stored.

While comparing, everything that drafts claim is noted as hashes. From these it is
seen who claims what another draft or another stored account has; only those go
through the rules of `claims`, in `ground`.
"""

from __future__ import annotations

from array import array
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import IntEnum

from dirbridge.model.account import (
    LIVE,
    Account,
    AccountValues,
    KeptAddress,
    Origin,
)
from dirbridge.model.entry import EntryKind
from dirbridge.model.fields import differences
from dirbridge.model.mapping import Mapped
from dirbridge.model.names import DirectoryId, fold
from dirbridge.model.plan import Change, Op
from dirbridge.model.quick import maker
from dirbridge.store.base import StoreView
from dirbridge.sync.changes import kind_conflict, operation, protected_conflict
from dirbridge.sync.claim_index import ClaimIndex
from dirbridge.sync.claims import (
    Claim,
    address_claims,
    given_addresses,
    has_lapsed,
    name_claims,
    stored_claims,
)
from dirbridge.sync.mailboxes import mailbox_claims, needs_mailbox
from dirbridge.sync.policy import Policy
from dirbridge.sync.read import Read
from dirbridge.sync.rights import is_bared
from dirbridge.sync.spool import Spool, pack_account, portions, unpack_account


class Letter(IntEnum):
    """What becomes of one mapped entry."""

    SAME = 0
    CREATE = 1
    RENAME = 2
    MOVE = 3
    UPDATE = 4
    REACTIVATE = 5
    SETTLED = 6
    LATE = 7


_account = maker(Account)

OPS = {Op[one.name]: one for one in Letter if one.name in Op.__members__}
"""The operations that a letter stands for."""

Pair = tuple[int, Account, Account]
"""A place in `Read.mapped`, the stored account, and what it would become."""


def _pairs() -> Spool[Pair]:
    return Spool(
        lambda pair: (pair[0], pack_account(pair[1]), pack_account(pair[2])),
        lambda p: (p[0], unpack_account(p[1]), unpack_account(p[2])),
    )


@dataclass(slots=True)
class Drafts:
    """What mapped entries would make of their accounts.

    Attributes:
        letters: A `Letter` for each place in `Read.mapped`.
        changed: Those that change a stored account.
        index: What all drafts claim.
        contested: Places of those that claim what a stored account has.
        touched: Whose stored accounts have what others claim.
        entering: Places of accounts that count for the user limit anew.
        remembered: See `Plan.remembered`.
        conflicts: Accounts that are protected and would have changed.
        bared: Live accounts whose entries show none of their addresses any more.
    """

    letters: bytearray
    changed: Spool[Pair] = field(default_factory=_pairs)
    index: ClaimIndex = field(default_factory=ClaimIndex)
    contested: set[int] = field(default_factory=set)
    touched: set[DirectoryId] = field(default_factory=set)
    entering: array[int] = field(default_factory=lambda: array("I"))
    remembered: dict[int, bytes] = field(default_factory=dict)
    conflicts: list[Change] = field(default_factory=list)
    bared: set[DirectoryId] = field(default_factory=set)

    def still(self, letter: Letter) -> Iterator[Pair]:
        """Yield changed accounts of which nothing else was decided since."""
        return (pair for pair in self.changed if self.letters[pair[0]] == letter)


def id_claim(who: DirectoryId) -> Claim:
    """Return what two drafts of one entry have in common."""
    return ("id", who)


def draft_all(policy: Policy, view: StoreView, read: Read, now: datetime) -> Drafts:
    """Compare everything that was mapped with the store.

    Args:
        policy: The domain's settings.
        view: What the store has.
        read: What was read.
        now: The time of the plan (UTC).
    """
    drafts = Drafts(bytearray(len(read.mapped)))
    work = _Work(policy, view, now, drafts)
    for portion in portions(enumerate(read.mapped)):
        work.compare(portion)
    return drafts


@dataclass(frozen=True, slots=True)
class _Work:
    policy: Policy
    view: StoreView
    now: datetime
    drafts: Drafts

    def compare(self, portion: Collection[tuple[int, Mapped]]) -> None:
        """Compare some entries with the store, and note what they claim."""
        stored = self._stored(one.values.directory_id for _, one in portion)
        asked: dict[int, set[Claim]] = {}
        for place, mapped in portion:
            old = stored.get(mapped.values.directory_id)
            if old is None:
                asked[place] = self._new(place, mapped.values)
            elif claims := self._known(place, old, mapped):
                asked[place] = claims
        for place, claims in asked.items():
            self.drafts.index.add(place, claims)
        self._meet(asked)

    def _stored(self, ids: Iterable[DirectoryId]) -> dict[DirectoryId, Account]:
        if self.view.version == 0:  # nobody is stored
            return {}
        return self.view.by_id(self.policy.domain, self.policy.source, tuple(ids))

    def _new(self, place: int, values: AccountValues) -> set[Claim]:
        self.drafts.letters[place] = Letter.CREATE
        if values.kind is EntryKind.ACCOUNT:
            self.drafts.entering.append(place)
        claims = {id_claim(values.directory_id)}
        claims.update(name_claims(values))
        claims.update(given_addresses(values))
        claims.update(mailbox_claims(values, self.policy.domain))
        return claims

    def _known(self, place: int, old: Account, mapped: Mapped) -> set[Claim]:
        """Judge an entry that has an account; nothing comes back where it is as was."""
        draft = as_mapped(self.policy, old, mapped, self.now)
        if draft is old or not (fields := differences(old, draft)[1]):
            if old.digest != mapped.digest:
                self.drafts.remembered[old.number] = mapped.digest
            return set()
        if conflict := self._hands_off(old, draft):
            self._leave(old, conflict)
            return set()
        if old.state in LIVE and is_bared(old.values, draft.values):
            self.drafts.bared.add(old.values.directory_id)
        op = operation(old, draft, fields.keys())
        self.drafts.letters[place] = OPS[op]
        self.drafts.changed.add((place, old, draft))
        if draft.kind is EntryKind.ACCOUNT and not _is_live(old):
            self.drafts.entering.append(place)
        own = id_claim(old.values.directory_id)
        claims = {own, *name_claims(draft.values), *address_claims(draft)}
        if needs_mailbox(draft):
            self.drafts.contested.add(place)
            claims.update(mailbox_claims(draft.values, self.policy.domain))
        return claims

    def _hands_off(self, old: Account, draft: Account) -> Change | None:
        if self.policy.protects(old):
            return protected_conflict(old)
        if old.mailbox and draft.kind is not EntryKind.ACCOUNT:
            return kind_conflict(old, draft.kind)
        return None

    def _leave(self, old: Account, conflict: Change) -> None:
        self.drafts.conflicts.append(conflict)
        if old.digest:
            self.drafts.remembered[old.number] = b""

    def _meet(self, asked: dict[int, set[Claim]]) -> None:
        """Find out which stored accounts have what some drafts claim."""
        if self.view.version == 0 or not asked:
            return
        wanting: defaultdict[Claim, list[int]] = defaultdict(list)
        for place, claims in asked.items():
            for claim in claims:
                wanting[claim].append(place)
        for holder in meet(self.view, self.policy.domain, wanting):
            self._note(holder, wanting)

    def _note(self, holder: Account, wanting: dict[Claim, list[int]]) -> None:
        ours = self.policy.owns(holder)
        own = wanting.get(id_claim(holder.values.directory_id), ()) if ours else ()
        here = holder.domain == self.policy.domain
        for claim in stored_claims(holder, here=here) & wanting.keys():
            others = [place for place in wanting[claim] if place not in own]
            self.drafts.contested.update(others)
            if others and ours:
                self.drafts.touched.add(holder.values.directory_id)


def meet(view: StoreView, domain: str, claims: Iterable[Claim]) -> tuple[Account, ...]:
    """Return every stored account that has one of these claims.

    Args:
        view: What the store has.
        domain: The mail domain whose names are meant.
        claims: What is looked for.
    """
    names, addresses = set(), set()
    for kind, name in claims:
        if kind == "address":
            addresses.add(name)
        elif kind in {"login", "upn"}:
            names.add(name)
    return view.holders(domain, names, addresses)  # type: ignore[arg-type]


def _is_live(account: Account) -> bool:
    return account.kind is EntryKind.ACCOUNT and account.state in LIVE


def new_account(
    policy: Policy, mapped: Mapped, now: datetime, mailbox: str = ""
) -> Account:
    """Return the account that a new entry becomes.

    Args:
        policy: The domain's settings.
        mapped: The entry's values.
        now: The time of the plan (UTC).
        mailbox: Its mailbox name, "" where that is not settled yet.
    """
    values = mapped.values
    return _account(
        number=0,
        domain=policy.domain,
        source=policy.source,
        mailbox=mailbox,
        origin=Origin.MAPPED,
        state=values.state,
        state_reason=values.state_reason,
        state_since=now,
        values=values,
        digest=mapped.digest,
    )


def as_mapped(policy: Policy, old: Account, mapped: Mapped, now: datetime) -> Account:
    """Return what a stored account would become by newly mapped values.

    Args:
        policy: The domain's settings.
        old: The account as stored.
        mapped: What the directory says now.
        now: The time of the plan (UTC).

    Returns:
        The very same object where the directory says what is stored.
    """
    values = mapped.values
    same_state = (old.state, old.state_reason) == (values.state, values.state_reason)
    if same_state and old.values == values:
        return old
    return replace(
        old,
        values=values,
        state=values.state,
        state_reason=values.state_reason,
        state_since=old.state_since if same_state else now,
        kept=_kept(policy, old, values, now),
        digest=mapped.digest,
    )


def _kept(
    policy: Policy, old: Account, values: AccountValues, now: datetime
) -> tuple[KeptAddress, ...]:
    """Return the old addresses that go on: those still in time, and a new one.

    Those whose time is over are only swept away when a new one comes, so that time
    alone changes nobody: they hold nothing and reach nobody.
    """
    if has_lapsed(old, now):  # what is not reserved any more may be somebody else's
        return ()
    mine = {fold(text) for text in (values.primary_address, *values.aliases) if text}
    kept = {fold(one.address): one for one in old.kept}
    previous = old.values.primary_address
    if previous and fold(previous) != fold(values.primary_address or ""):
        until = now + policy.keep_old_address
        kept = {key: one for key, one in kept.items() if one.until > now}
        kept.setdefault(fold(previous), KeptAddress(previous, until))
    return tuple(one for key, one in sorted(kept.items()) if key not in mine)
