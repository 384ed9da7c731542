"""Who vanished from the directory, and whose quarantine is over."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime

from dirbridge.model.account import LIVE, Account, AccountState, AccountValues
from dirbridge.model.entry import ReadKind
from dirbridge.model.names import DirectoryId, domain_of
from dirbridge.model.plan import Change, Op
from dirbridge.store.base import StoreView
from dirbridge.sync.changes import protected_conflict, taken_away
from dirbridge.sync.policy import Policy
from dirbridge.sync.read import Outside, Read
from dirbridge.sync.spool import Spool, pack_account, portions, unpack_account

VANISHED = Outside("It vanished from the directory.")


def _accounts() -> Spool[Account]:
    return Spool(pack_account, unpack_account)


@dataclass(slots=True)
class Departures:
    """Accounts that go.

    Attributes:
        vanished: Those that are deactivated, as they are stored.
        ended: Those that are removed, as they are stored.
        states: What each of them will be.
        conflicts: Those that stay, as they are protected.
    """

    vanished: Spool[Account] = field(default_factory=_accounts)
    ended: Spool[Account] = field(default_factory=_accounts)
    states: dict[DirectoryId, AccountState] = field(default_factory=dict)
    conflicts: list[Change] = field(default_factory=list)


def departures(
    policy: Policy, view: StoreView, read: Read, now: datetime
) -> Departures:
    """Find out who goes; nobody does on any doubt.

    Args:
        policy: The domain's settings.
        view: What the store has.
        read: What was read.
        now: The time of the plan (UTC).
    """
    found = Departures()
    for account in _vanished(policy, view, read):
        if policy.protects(account):
            found.conflicts.append(protected_conflict(account, "vanished"))
            continue
        found.vanished.add(account)
        found.states[account.values.directory_id] = AccountState.DEACTIVATED
    for account in _ended(policy, view, read, now):
        found.ended.add(account)
        found.states[account.values.directory_id] = AccountState.REMOVED
    return found


def _vanished(policy: Policy, view: StoreView, read: Read) -> Iterator[Account]:
    """Yield live accounts that the read proves gone."""
    for ids in portions(dict.fromkeys(_missing(policy, view, read))):
        found = view.by_id(policy.domain, policy.source, ids)
        yield from (account for account in found.values() if account.state in LIVE)


def _missing(policy: Policy, view: StoreView, read: Read) -> Iterable[DirectoryId]:
    yield from sorted(read.gone - read.seen)
    if not _tells_everything(read) or view.version == 0:
        return
    if read.missing is not None and read.version == view.version:
        yield from read.missing
        return
    for one in view.remembered(policy.domain, policy.source):
        if one.state in LIVE and one.id not in read.seen:
            yield one.id


def _tells_everything(read: Read) -> bool:
    return read.finished.kind is ReadKind.FULL and read.finished.complete


def _ended(
    policy: Policy, view: StoreView, read: Read, now: datetime
) -> Iterator[Account]:
    """Yield accounts that stayed deactivated for the quarantine."""
    if not _tells_everything(read):
        return
    due = view.due(policy.domain, policy.source, now - policy.quarantine)
    for account in due:
        if account.values.directory_id not in read.seen and not policy.protects(
            account
        ):
            yield account


def deactivation(
    policy: Policy, account: Account, now: datetime, outside: Outside = VANISHED
) -> Change:
    """Return the change that deactivates an account.

    Args:
        policy: The domain's settings.
        account: The account as stored.
        now: The time of the plan (UTC).
        outside: Why it has no place here.
    """
    left = _without_others(policy, account) if outside.gives_up else account.values
    state = AccountState.DEACTIVATED
    return _taken_away(Op.DEACTIVATE, account, left, state, now, outside.why)


def _without_others(policy: Policy, account: Account) -> AccountValues:
    """Return the values without addresses in other domains, which go on there."""
    values, own = account.values, policy.addresses
    primary = values.primary_address
    return replace(
        values,
        primary_address=primary if primary and domain_of(primary) in own else None,
        aliases=tuple(one for one in values.aliases if domain_of(one) in own),
    )


def removal(policy: Policy, account: Account, now: datetime) -> Change:
    """Return the change that removes an account.

    Args:
        policy: The domain's settings.
        account: The account as stored.
        now: The time of the plan (UTC).
    """
    why = f"It was deactivated for {policy.quarantine.days} days."
    state = AccountState.REMOVED
    return _taken_away(Op.REMOVE, account, account.values, state, now, why)


def _taken_away(
    op: Op,
    account: Account,
    values: AccountValues,
    state: AccountState,
    now: datetime,
    why: str,
) -> Change:
    new = replace(
        account,
        values=values,
        state=state,
        state_reason=why,
        state_since=now,
        digest=b"",  # its entry is mapped again when it comes back as it was
    )
    return taken_away(op, account, new, why)
