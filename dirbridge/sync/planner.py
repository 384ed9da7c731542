"""Decide what a run does: pure, whole, before the first write.

Theory. The directory is the truth about who is there and what they are called;
the store is the truth about who has which mailbox. An account is its
directory's stable id, so a rename, a move and a new address of the same id are
followed, and an old name on a new id is a conflict for a person to settle.

The plan is made in this order, and never looks at accounts that have nothing to do
with what was read, so that a delta costs the same whatever the size of the store:

1. Only a complete full read, or a delta's own word, shows who vanished: those are
   deactivated, and removed once they have been so for the quarantine (`departures`).
2. Each mapped entry is compared with its account (`drafts`). Who is not in the read,
   or unchanged in it, stands as stored.
3. New and returning accounts beyond the user limit stay out, the oldest entries
   first, whatever their names are: so the same ones stay out in the next run.
4. `claims` says who loses which name or address, in `ground` for those who meet
   anybody. Everything else of an account follows the directory, also where its new
   name is refused: above all its state.
5. New accounts get their mailbox names.

The same input gives the same plan; the clock comes in as an argument.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from itertools import chain

from dirbridge.model.account import Account
from dirbridge.model.entry import EntryKind
from dirbridge.model.mapping import Mapped
from dirbridge.model.names import DirectoryId
from dirbridge.model.plan import APPLY_ORDER, Change, Changes, Op, Plan
from dirbridge.store.base import StoreView
from dirbridge.sync.access import admit
from dirbridge.sync.changes import (
    apply_order,
    clash_conflict,
    creation,
    difference,
    limit_conflict,
)
from dirbridge.sync.claims import Claim, address_claim
from dirbridge.sync.departures import (
    VANISHED,
    Departures,
    deactivation,
    departures,
    removal,
)
from dirbridge.sync.drafts import (
    OPS,
    Drafts,
    Letter,
    as_mapped,
    draft_all,
    id_claim,
    new_account,
)
from dirbridge.sync.ground import Settled, ground_of, keeps_names, settle
from dirbridge.sync.mailboxes import entry_age, mailbox_name
from dirbridge.sync.policy import Policy
from dirbridge.sync.read import Read
from dirbridge.sync.rights import darkened
from dirbridge.sync.spool import pick

__all__ = ["Policy", "Read", "as_mapped", "make_plan"]

FEW = 4000
"""Up to so many changes are kept, and stand in the order of names: people read them.
More are made anew each time that somebody walks through them, in the read's order."""


def make_plan(
    policy: Policy, view: StoreView, read: Read, now: datetime, few: int = FEW
) -> Plan:
    """Compare what was read with what the store has.

    Args:
        policy: The domain's settings.
        view: What the store has, at one moment.
        read: What the directory said.
        now: The time of the plan (UTC).
        few: Up to how many changes are kept and sorted.

    Returns:
        The plan; without changes where nothing differs. Large ones go on reading
        `read.mapped`, and never the view.
    """
    read = admit(policy, view, read)
    going = departures(policy, view, read, now)
    drafts = draft_all(policy, view, read, now)
    draw = _Draw(policy, read, now, going, drafts)
    late = _late(draw, view)
    for place in late:
        drafts.letters[place] = Letter.LATE
    met = _settle(draw, view)
    changes = _changes(draw, met, few)
    drafts.remembered |= met.remembered(draw.now)
    dark = {a.values.directory_id: a.number for a in darkened(policy, view, read)}
    drafts.remembered |= dict.fromkeys(dark.values(), b"")
    less = drafts.bared.union(dark)
    wholes = _wholes(policy, view) if going.vanished or less else {}
    return Plan(
        domain=policy.domain,
        source=policy.source,
        server=read.finished.server,
        kind=read.finished.kind,
        complete=read.finished.complete,
        base=read.finished.base,
        made_at=now,
        read=read.count,
        wholes=wholes,
        containers=view.containers(policy.domain, policy.source) if wholes else {},
        unchanged=read.unchanged + _same(draw, met),
        changes=changes,
        cursor=read.finished.cursor,
        based_on=view.version,
        remembered=drafts.remembered,
        unreadable=tuple(sorted(less)),
        unmapped=read.unmapped,
    )


@dataclass(frozen=True, slots=True)
class _Draw:
    """A plan in the making."""

    policy: Policy
    read: Read
    now: datetime
    going: Departures
    drafts: Drafts

    def placed(self, letter: Letter) -> Iterator[Mapped]:
        """Yield the mapped entries of which that becomes."""
        letters = zip(self.drafts.letters, self.read.mapped, strict=True)
        return (mapped for one, mapped in letters if one == letter)

    def count(self, letter: Letter) -> int:
        """Count the mapped entries of which that becomes."""
        return self.drafts.letters.count(letter)


@dataclass(frozen=True, slots=True)
class _Walk(Collection[Change]):
    """Changes that are made anew each time that somebody walks through them."""

    size: int
    start: Callable[[], Iterator[Change]]

    def __len__(self) -> int:
        return self.size

    def __iter__(self) -> Iterator[Change]:
        return self.start()

    def __contains__(self, change: object) -> bool:
        return any(one == change for one in self)


def _late(draw: _Draw, view: StoreView) -> list[int]:
    """Return the places of new and returning accounts beyond the user limit."""
    limit, entering = draw.policy.user_limit, draw.drafts.entering
    if limit is None or not entering:
        return []
    live = view.live(draw.policy.domain).items()
    count = sum(size for (_, kind), size in live if kind is EntryKind.ACCOUNT)
    leaving = (a.kind is EntryKind.ACCOUNT for a in draw.going.vanished)
    over = len(entering) - max(0, limit - count + sum(leaving))
    if over <= 0:
        return []
    placed = pick(draw.read.mapped, entering)
    ages = ((entry_age(mapped.values), place) for place, mapped in placed)
    return [place for _, place in heapq.nlargest(over, ages)]


@dataclass(frozen=True, slots=True)
class _Met:
    """What became of drafts that others stood in the way of.

    Attributes:
        asking: What they wanted to become.
        stored: Their accounts in the store.
        settled: What they become.
    """

    asking: Mapping[DirectoryId, Account]
    stored: Mapping[DirectoryId, Account]
    settled: Settled

    def changes(self, now: datetime) -> Iterator[Change]:
        """Yield what changes."""
        for who, account in self.settled.accounts.items():
            if change := difference(self.stored.get(who), account, now):
                yield change
        for account in self.settled.yielding:
            if change := difference(
                self.stored[account.values.directory_id], account, now
            ):
                yield change

    def conflicts(self) -> Iterator[Change]:
        """Yield what was lost."""
        for who, clashes in self.settled.clashes.items():
            draft = self.asking[who]
            stays = keeps_names(self.stored.get(who), draft)
            for clash in clashes:
                yield clash_conflict(draft, clash, stays=stays)

    def remembered(self, now: datetime) -> Iterator[tuple[int, bytes]]:
        """Yield the digests of stored accounts that stay as they are otherwise."""
        changing = {change.account for change in self.changes(now)}
        for who in self.asking.keys() - changing:
            old, new = self.stored.get(who), self.settled.accounts.get(who)
            digest = new.digest if new is not None else b""
            if old is not None and old.digest != digest:
                yield old.number, digest


def _settle(draw: _Draw, view: StoreView) -> _Met:
    """Settle contested drafts, and whom they touch, until nobody else is met."""
    drafts = draw.drafts
    places = drafts.contested | drafts.index.twice()
    places |= drafts.index.places(id_claim(who) for who in drafts.touched)
    met = _Met({}, {}, Settled({}, (), {}))
    while places := {p for p in places if drafts.letters[p] != Letter.LATE}:
        asking = _asking(draw, view, places)
        ground = ground_of(draw.policy, view, asking, draw.going.states, draw.now)
        met = _Met(asking, ground.ours(), settle(asking, ground))
        more = drafts.index.places(_given(met)) - places
        if more <= {p for p in more if drafts.letters[p] == Letter.LATE}:
            break
        places |= more
    for place in places:
        drafts.letters[place] = Letter.SETTLED
    return met


def _asking(
    draw: _Draw, view: StoreView, places: Collection[int]
) -> dict[DirectoryId, Account]:
    policy, now = draw.policy, draw.now
    mapped = {m.values.directory_id: m for _, m in pick(draw.read.mapped, places)}
    stored = view.by_id(policy.domain, policy.source, tuple(mapped))
    return {
        who: as_mapped(policy, stored[who], one, now)
        if who in stored
        else new_account(policy, one, now)
        for who, one in mapped.items()
    }


def _given(met: _Met) -> Iterator[Claim]:
    """Yield the addresses of mailboxes that newcomers get."""
    for who, account in met.settled.accounts.items():
        if account.mailbox and not met.asking[who].mailbox:
            yield address_claim(account.canonical)


def _changes(draw: _Draw, met: _Met, most: int) -> Collection[Change]:
    """Return all changes: sorted where they are few, else made by walking."""
    few = (*met.changes(draw.now), *met.conflicts())
    few = (*few, *draw.drafts.conflicts, *draw.going.conflicts)
    parts: dict[Op, Collection[Change]] = {}
    for op, made in _made(draw).items():
        more = tuple(change for change in few if change.op is op)
        parts[op] = _joined(made, more)
    changes = Changes({op: part for op, part in parts.items() if part})
    return tuple(sorted(changes, key=apply_order)) if len(changes) <= most else changes


def _joined(made: _Walk, more: tuple[Change, ...]) -> _Walk:
    return _Walk(made.size + len(more), lambda: chain(made, more))


def _made(draw: _Draw) -> dict[Op, _Walk]:
    """Return, for each operation, what it is done to without a look at others."""
    policy, now, going = draw.policy, draw.now, draw.going
    walks: dict[Op, _Walk] = {
        Op.DEACTIVATE: _Walk(len(going.vanished), lambda: _deactivations(draw)),
        Op.REMOVE: _Walk(
            len(going.ended), lambda: (removal(policy, a, now) for a in going.ended)
        ),
        Op.CREATE: _Walk(draw.count(Letter.CREATE), lambda: _creations(draw)),
        Op.CONFLICT: _Walk(draw.count(Letter.LATE), lambda: _beyond(draw)),
    }
    for op in (Op.RENAME, Op.MOVE, Op.UPDATE, Op.REACTIVATE):
        walks[op] = _Walk(draw.count(OPS[op]), partial(_altered, draw, OPS[op]))
    return {op: walks[op] for op in APPLY_ORDER}


def _deactivations(draw: _Draw) -> Iterator[Change]:
    outside = draw.read.outside
    for account in draw.going.vanished:
        why = outside.get(account.values.directory_id, VANISHED)
        yield deactivation(draw.policy, account, draw.now, why)


def _creations(draw: _Draw) -> Iterator[Change]:
    for mapped in draw.placed(Letter.CREATE):
        values = mapped.values
        person = values.kind is EntryKind.ACCOUNT
        mailbox = mailbox_name(values) if person else ""
        yield creation(new_account(draw.policy, mapped, draw.now, mailbox))


def _altered(draw: _Draw, letter: Letter) -> Iterator[Change]:
    for _, old, new in draw.drafts.still(letter):
        if change := difference(old, new, draw.now):  # else it had another letter
            yield change


def _beyond(draw: _Draw) -> Iterator[Change]:
    limit = draw.policy.user_limit or 0
    returning = {place: new for place, _, new in draw.drafts.still(Letter.LATE)}
    places = (p for p, one in enumerate(draw.drafts.letters) if one == Letter.LATE)
    for place, mapped in pick(draw.read.mapped, places):
        draft = returning.get(place) or new_account(draw.policy, mapped, draw.now)
        yield limit_conflict(draft, limit)


def _same(draw: _Draw, met: _Met) -> int:
    """Count the mapped entries whose accounts stay as they are."""
    stays = sum(
        difference(met.stored.get(who), account, draw.now) is None
        for who, account in met.settled.accounts.items()
    )
    return draw.count(Letter.SAME) + stays


def _wholes(policy: Policy, view: StoreView) -> dict[EntryKind, int]:
    """Count the directory's live accounts, which limits are shares of."""
    live = view.live(policy.domain).items()
    return {kind: count for (source, kind), count in live if source == policy.source}
