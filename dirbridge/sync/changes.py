"""The lines of a plan, with their sentences."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import datetime

from dirbridge.model.account import LIVE, Account
from dirbridge.model.entry import EntryKind
from dirbridge.model.fields import NAMES, Value, differences, show
from dirbridge.model.plan import APPLY_ORDER, Change, Op
from dirbridge.model.quick import maker
from dirbridge.sync.claims import Clash
from dirbridge.sync.mailboxes import mailbox_name

_change = maker(Change)

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
    "kept-apart": "{what} is that of the mailbox {other}, whose person was kept apart "
    "from this one",
    "reserved": "{what} is reserved for the removed account {other}",
}


def difference(old: Account | None, new: Account, now: datetime) -> Change | None:
    """Return the change that makes the stored account the new one."""
    if old is None:
        return creation(new, mailbox_name(new.values))
    before, after = differences(old, new)
    if not after:
        return None
    op = operation(old, new, after.keys())
    if op is Op.REACTIVATE:
        new = replace(new, state_since=now)
    return Change(
        op=op,
        account=new.values.directory_id,
        name=new.canonical,
        before=before,
        after=after,
        why=_WHY[op],
        result=new,
        drafted=new,
        stored=old,
    )


def creation(new: Account, wanted: str = "") -> Change:
    """Return the change that makes a new account.

    Args:
        new: The account.
        wanted: The mailbox name that it would have liked, where that may not be its
            own.
    """
    why = _WHY[Op.CREATE]
    if new.mailbox and wanted not in {"", new.mailbox}:
        why = (
            f'New in the directory; the mailbox name "{wanted}" is taken, so it is '
            f'"{new.mailbox}".'
        )
    return _change(
        op=Op.CREATE,
        account=new.values.directory_id,
        name=new.canonical,
        after=show(new),
        why=why,
        result=new,
        drafted=new,
    )


def operation(old: Account, new: Account, fields: Collection[str]) -> Op:
    """Name what makes a stored account another one.

    Args:
        old: The account as stored.
        new: The account as it shall be.
        fields: Which fields differ.
    """
    if old.state not in LIVE and new.state in LIVE:
        return Op.REACTIVATE
    if not NAMES.isdisjoint(fields):
        return Op.RENAME
    return Op.MOVE if set(fields) == {"dn"} else Op.UPDATE


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
        why=why,
        result=new,
        stored=old,
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
        why=_clash_sentence(draft, clash, stays=stays),
        drafted=draft,
    )


def _clash_sentence(draft: Account, clash: Clash, *, stays: bool) -> str:
    kind, value = clash.claim
    word = {"login": "login name", "upn": "UPN"}.get(kind, kind)
    text = _CLASH[clash.code].format(what=f'The {word} "{value}"', other=clash.holder)
    effect = _effect(kind, stays=stays)
    mend = f"Give one of them another {word}."
    if clash.code == "recreated":
        mend = _two_answers(clash.holder, draft.values.directory_id, draft.kind)
    return f"{text}; this account {effect}. {mend}"


def _two_answers(account: str, entry: str, kind: EntryKind) -> str:
    account, entry = shlex.quote(account), shlex.quote(entry)
    if kind is not EntryKind.ACCOUNT:
        # It has no mailbox to keep, and is there already, without the address.
        return (
            f"Run `dirbridge accounts keep-apart {account}`, and this {kind} gets it "
            "with the next sync."
        )
    return (
        f"If it is the same person, run `dirbridge accounts adopt {account} {entry}`; "
        f"if not, `dirbridge accounts keep-apart {account}`."
    )


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
        drafted=draft,
        why=f"The domain's user limit of {limit} is reached. "
        "Raise user_limit, or take other accounts away.",
    )


def people_name(account: Account) -> str:
    """Return the account's name; what it is called while it has no mailbox."""
    if account.mailbox or account.kind is not EntryKind.ACCOUNT:
        return account.canonical
    names = account.values.login_names
    return f"{names[0] if names else account.values.dn}@{account.domain}"


def protected_conflict(account: Account, what: str = "changed") -> Change:
    """Return the report that a protected account was left as it is.

    Args:
        account: The account as stored.
        what: What became of its entry.
    """
    return _left_alone(
        account,
        {"conflict": "protected"},
        f"Its entry {what} in the directory, but the account is protected: nothing "
        "was done. To let the sync follow, take it out of `protected`.",
    )


def kind_conflict(account: Account, kind: EntryKind) -> Change:
    """Return the report that somebody's entry became a group or a contact.

    Args:
        account: The account as stored.
        kind: What its entry is now.
    """
    return _left_alone(
        account,
        {"conflict": "kind-changed", "kind": str(kind)},
        f"Its entry is a {kind} now, and an account with a mailbox here: nothing "
        f"was done. Give the {kind} an entry of its own.",
    )


def _left_alone(account: Account, after: Mapping[str, Value], why: str) -> Change:
    return Change(
        op=Op.CONFLICT,
        account=account.values.directory_id,
        name=people_name(account),
        after=after,
        why=why,
        stored=account,
    )


def apply_order(change: Change) -> tuple[int, str, str, str]:
    """Order changes so that names become free before others take them."""
    what = "" if change.result else repr(sorted(change.after.items()))
    return (APPLY_ORDER.index(change.op), change.name, change.account, what)
