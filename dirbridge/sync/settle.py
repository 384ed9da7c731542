"""What a person decides about one account: adopt, keep apart, restore. Pure.

A new entry with an old name is a conflict. A person has two answers to it: the new
entry *is* the old account (adopt), or it is somebody else (keep apart).
"""

from __future__ import annotations

from dataclasses import replace

from dirbridge.errors import Unsettled
from dirbridge.model.account import LIVE, Account, AccountState, Origin
from dirbridge.model.entry import EntryKind
from dirbridge.model.names import DirectoryId
from dirbridge.model.plan import Plan
from dirbridge.sync.by_hand import Ground, Wish, plan_by_hand
from dirbridge.sync.departures import VANISHED


def adopt(
    ground: Ground,
    account: Account,
    entry: DirectoryId,
    kind: EntryKind = EntryKind.ACCOUNT,
    *,
    gone: bool = False,
) -> Plan:
    """Give an account to a new entry: it is the same person, group or contact.

    The mailbox stays. Names, addresses and state come from the entry with the next
    full read.

    Args:
        ground: Where the plan is made; its source is the entry's directory.
        account: One that vanished from its directory, or a local one.
        entry: The stable id of the new entry.
        kind: What the new entry is.
        gone: Whether the directory said just now that the account's own entry is not
            there, which no sync wrote down yet.

    Raises:
        Unsettled: The account is somebody's or of another kind, or the entry has one.
    """
    if account.kind is not kind:
        raise Unsettled("other-kind", account.canonical)
    if account.origin is Origin.MAPPED and account.state in LIVE and not gone:
        raise Unsettled("still-there", account.canonical)
    taken = ground.view.by_id(ground.domain, ground.source, (entry,)).get(entry)
    if taken is not None:
        raise Unsettled("entry-taken", taken.canonical)
    new = replace(
        account,
        origin=Origin.MAPPED,
        source=ground.source,
        values=replace(account.values, directory_id=entry),
    )
    why = f"An admin said that the new entry is the same {_what(kind)}."
    return plan_by_hand(ground, [Wish(account, new, why)])


def keep_apart(ground: Ground, account: Account, *, gone: bool = False) -> Plan:
    """Take names and addresses from an account whose person is gone.

    A new entry with these names becomes an account of its own, with a mailbox of its
    own. The old account keeps its mailbox and `mailbox@domain`: nobody else gets the
    mail that is addressed there.

    Args:
        ground: Where the plan is made.
        account: One that vanished from its directory.
        gone: As for `adopt`; the account is then deactivated as well.

    Raises:
        Unsettled: The account is still in its directory, or local.
    """
    if account.origin is Origin.LOCAL:
        raise Unsettled("local", account.canonical)
    new = account
    if account.state in LIVE:
        if not gone:
            raise Unsettled("still-there", account.canonical)
        state, why = AccountState.DEACTIVATED, VANISHED.why
        new = replace(new, state=state, state_reason=why, state_since=ground.now)
    values = replace(
        account.values, login_names=(), upn=None, primary_address=None, aliases=()
    )
    why = f"An admin said that the new entry is another {_what(account.kind)}."
    return plan_by_hand(
        ground, [Wish(account, replace(new, values=values, kept=()), why)]
    )


def restore(ground: Ground, account: Account) -> Plan:
    """Bring an account back that was removed, or give a deactivated one more time.

    A mapped account becomes deactivated, with its quarantine beginning anew: mail
    reaches it again, and as soon as its entry is back, it logs in. A local account is
    active at once.

    Raises:
        Unsettled: The account is neither removed nor deactivated.
    """
    if account.state in LIVE:
        raise Unsettled("is-live", account.canonical)
    local = account.origin is Origin.LOCAL
    state = AccountState.ACTIVE if local else AccountState.DEACTIVATED
    reason = None if local else f"An admin restored it on {ground.now:%Y-%m-%d}."
    new = replace(account, state=state, state_reason=reason, state_since=ground.now)
    return plan_by_hand(ground, [Wish(account, new, "Restored by an admin.")])


def _what(kind: EntryKind) -> str:
    return "person" if kind is EntryKind.ACCOUNT else str(kind)
