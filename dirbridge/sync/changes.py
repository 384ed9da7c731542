"""The lines of a plan, with their sentences."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from dirbridge.model.account import LIVE, Account
from dirbridge.model.plan import Change, Op
from dirbridge.sync.claims import Clash
from dirbridge.sync.fields import NAMES, differences, fingerprint, show
from dirbridge.sync.mailboxes import mailbox_name

_WHY = {
    Op.CREATE: "New in the directory.",
    Op.UPDATE: "Changed in the directory.",
    Op.RENAME: "Renamed in the directory; the mailbox stays.",
    Op.MOVE: "Moved in the directory.",
    Op.REACTIVATE: "Back in the directory; it is the same account again.",
}


_CLASH = {
    "name-taken": "{what} belongs to {other}",
    "name-claimed-twice": "{what} is claimed by {other} as well",
    "local-account": "{what} belongs to the local account {other}",
    "recreated": "{what} belongs to {other}, which vanished from the directory, and "
    "this is a new entry with an old name",
    "reserved": "{what} is reserved for the removed account {other}",
}


def difference(old: Account | None, new: Account, now: datetime) -> Change | None:
    """Return the change that makes the stored account the new one."""
    if old is None:
        return _creation(new)
    before, after = differences(old, new)
    if not after:
        return None
    op = _operation(old, new, set(after))
    if op is Op.REACTIVATE:
        new = replace(new, state_since=now)
    return Change(
        op=op,
        account=new.values.directory_id,
        name=new.canonical,
        before=before,
        after=after,
        entry=fingerprint(new),
        row=fingerprint(old),
        why=_WHY[op],
        result=new,
    )


def _creation(new: Account) -> Change:
    wanted = mailbox_name(new.values)
    why = _WHY[Op.CREATE]
    if new.mailbox != wanted:
        why = (
            f'New in the directory; the mailbox name "{wanted}" is taken, so it is '
            f'"{new.mailbox}".'
        )
    return Change(
        op=Op.CREATE,
        account=new.values.directory_id,
        name=new.canonical,
        after=show(new),
        entry=fingerprint(new),
        why=why,
        result=new,
    )


def _operation(old: Account, new: Account, fields: set[str]) -> Op:
    if old.state not in LIVE and new.state in LIVE:
        return Op.REACTIVATE
    if fields & NAMES:
        return Op.RENAME
    return Op.MOVE if fields == {"dn"} else Op.UPDATE


def taken_away(op: Op, old: Account, new: Account, why: str) -> Change:
    """Return the change that deactivates or removes an account.

    Args:
        op: Which of the two.
        old: The account as stored.
        new: The account as it shall be.
        why: One sentence.
    """
    before, after = differences(old, new)
    return Change(
        op=op,
        account=old.values.directory_id,
        name=old.canonical,
        before=before,
        after=after,
        row=fingerprint(old),
        why=why,
        result=new,
    )


def clash_conflict(draft: Account, clash: Clash, *, stays: bool) -> Change:
    """Return the report of a claim that an account lost.

    Args:
        draft: The account as it would have been.
        clash: What it lost, and to whom.
        stays: Whether the account is there and goes on with its old names.
    """
    return Change(
        op=Op.CONFLICT,
        account=draft.values.directory_id,
        name=people_name(draft),
        after={
            "conflict": clash.code,
            clash.claim[0]: clash.claim[1],
            "other": clash.holder,
        },
        entry=fingerprint(draft),
        why=_clash_sentence(clash, stays=stays),
    )


def _clash_sentence(clash: Clash, *, stays: bool) -> str:
    kind, value = clash.claim
    word = {"login": "login name", "upn": "UPN"}.get(kind, kind)
    text = _CLASH[clash.code].format(what=f'The {word} "{value}"', other=clash.holder)
    effect = _effect(kind, stays=stays)
    return f"{text}; this account {effect}. Give one of them another {word}."


def _effect(kind: str, *, stays: bool) -> str:
    if kind == "address":
        return "stands without it"
    return "keeps its old names" if stays else "is not created"


def limit_conflict(draft: Account, limit: int) -> Change:
    """Return the report of an account beyond the user limit."""
    return Change(
        op=Op.CONFLICT,
        account=draft.values.directory_id,
        name=people_name(draft),
        after={"conflict": "user-limit"},
        entry=fingerprint(draft),
        why=f"The domain's user limit of {limit} is reached. "
        "Raise user_limit, or take other accounts away.",
    )


def people_name(account: Account) -> str:
    """Return the account's name; what it is called while it has no mailbox."""
    if account.mailbox:
        return account.canonical
    names = account.values.login_names
    return f"{names[0] if names else account.values.dn}@{account.domain}"


def apply_order(change: Change) -> tuple[int, str]:
    """Order changes so that names become free before others take them."""
    order = (Op.RENAME, Op.MOVE, Op.UPDATE, Op.REACTIVATE, Op.CREATE)
    return (order.index(change.op), change.name)
