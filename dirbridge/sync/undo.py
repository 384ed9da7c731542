"""Take a run back: pure, by a plan that is the inverse of what the run did.

Theory. The audit rows of a run say which fields had which values before it and after
it. A field that still is as the run left it goes back to what it was. A field that a
later run changed stays as that run left it, and is told: it is a *clash*, and a person
has to say what is right. An account that the run created is removed again, unless it
was changed since.

What goes back is only what the run changed here; the directory is as it was. So the
next read brings the same changes again, unless what caused them is mended first.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import datetime, timedelta
from typing import Any

from dirbridge.model.account import (
    LIVE,
    Account,
    AccountState,
    AccountValues,
    KeptAddress,
    Origin,
    Role,
)
from dirbridge.model.entry import EntryKind
from dirbridge.model.fields import show
from dirbridge.model.names import Address, DirectoryId, fold
from dirbridge.model.plan import Change, Op, Plan
from dirbridge.model.recipient import By, Reference
from dirbridge.store.base import AuditRow
from dirbridge.sync.by_hand import Ground, Wish, plan_by_hand
from dirbridge.sync.changes import people_name

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Rules:
    """How values go back.

    Attributes:
        now: The time of the undo (UTC).
        keep: How long an old address that comes back is kept.
    """

    now: datetime
    keep: timedelta = timedelta(days=365)


def undo_plan(
    ground: Ground,
    number: int,
    rows: Sequence[AuditRow],
    stored: Mapping[DirectoryId, Account],
    keep: timedelta = timedelta(days=365),
) -> Plan:
    """Plan to take a run back.

    Args:
        ground: Where the plan is made.
        number: The run's number, for the sentences.
        rows: What the run changed, in its order.
        stored: The accounts with these ids, as they are now.
        keep: How long an old address that comes back is kept.

    Returns:
        The plan; its conflicts are the clashes with later runs.
    """
    rules = Rules(ground.now, keep)
    undone = [
        _undone(rows, stored.get(who), number, rules) for who, rows in _by_account(rows)
    ]
    wishes = [wish for wish, _ in undone if wish is not None]
    clashes = [clash for _, found in undone for clash in found]
    return plan_by_hand(ground, wishes, clashes)


def touched(rows: Iterable[AuditRow]) -> frozenset[DirectoryId]:
    """Return whose accounts a run changed, under the ids that they got by it."""
    return frozenset(DirectoryId(r.account) for r in rows if r.op in _UNDONE)


_UNDONE = frozenset(str(op) for op in Op if op is not Op.CONFLICT)
"""Operations on accounts. No password comes back, and nothing that was erased."""


def _by_account(
    rows: Iterable[AuditRow],
) -> Iterable[tuple[DirectoryId, list[AuditRow]]]:
    """Group what was done to each account, the last thing first."""
    found: dict[DirectoryId, list[AuditRow]] = {}
    for row in rows:
        if row.op in _UNDONE:
            found.setdefault(DirectoryId(row.account), []).insert(0, row)
    return found.items()


@dataclass(slots=True)
class _Undoing:
    account: Account
    clashes: list[tuple[str, Any, Any]] = field(default_factory=list)


def _undone(
    rows: Sequence[AuditRow], stored: Account | None, number: int, rules: Rules
) -> tuple[Wish | None, list[Change]]:
    if stored is None:
        return None, [_nobody(rows[0], number)]
    work = _Undoing(stored)
    for row in rows:
        if row.op == Op.CREATE:
            _uncreate(work, _values(row.after), number, rules)
        else:
            _revert(work, _values(row.before), _values(row.after), rules)
    wish = Wish(stored, work.account, f"Run {number} was undone by an admin.")
    return wish, [_clash(stored, one, number) for one in work.clashes]


def _values(text: str) -> Json:
    found: Json = json.loads(text)
    return found


def _uncreate(work: _Undoing, after: Json, number: int, rules: Rules) -> None:
    """Remove an account that is still what it was when it was created."""
    if work.account.state is AccountState.REMOVED:
        return
    now = _plain(show(work.account))
    differing = [
        name
        for name in sorted({*now, *after} - _APART)
        if not _same(now.get(name), after.get(name))
    ]
    if differing:
        work.clashes += [(n, after.get(n), now.get(n)) for n in differing]
        return
    work.account = replace(
        work.account,
        state=AccountState.REMOVED,
        state_reason=f"Run {number}, which created it, was undone.",
        state_since=rules.now,
    )


_STATE = frozenset({"state", "state_reason"})
"""One thing in two fields: a state goes back with its reason, or neither does."""

_APART = frozenset({"members"})
"""Fields of which a change names only what was added and what was taken out."""


def _revert(work: _Undoing, before: Json, after: Json, rules: Rules) -> None:
    old, shown = work.account, _shown(work.account)
    for name in after:
        if name in _APART:
            work.account = _members_back(work.account, before, after)
            continue
        now = shown.get(name)
        whole = _STATE & after.keys() if name in _STATE else {name}
        if all(_same(shown.get(one), after[one]) for one in whole):
            work.account = _set(work.account, name, before.get(name), rules)
        elif any(_same(now, as_it_was.get(name)) for as_it_was in (before, after)):
            continue
        else:
            work.clashes.append((name, after[name], now))
    if work.account.state is not old.state:
        work.account = replace(work.account, state_since=rules.now)


_IDENTITY: Mapping[str, Callable[[Account], str]] = {
    "directory_id": lambda a: a.values.directory_id,
    "origin": lambda a: str(a.origin),
    "directory": lambda a: a.source,
    "role": lambda a: str(a.role),
}


def _shown(account: Account) -> Json:
    """Return the fields that hold something, as JSON gives them."""
    own = {name: read(account) for name, read in _IDENTITY.items()}
    return _plain({**show(account), **own})


def _same(one: Any, other: Any) -> bool:
    """Whether two values are the same; what holds nothing is left out somewhere."""
    return (one or None) == (other or None)


def _plain(values: Mapping[str, Any]) -> Json:
    return {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in values.items()
    }


def _set(account: Account, name: str, value: Any, rules: Rules) -> Account:
    """Return the account with one field as a change told it."""
    if name in _SET:
        return _SET[name](account, value, rules)
    if name not in _VALUES:
        return account
    if isinstance(value, list):
        value = tuple(value)
    elif value is None:
        value = _NOTHING.get(name)
    return replace(account, values=replace(account.values, **{name: value}))


_VALUES = frozenset(one.name for one in fields(AccountValues))
_NOTHING: Json = {"login_names": (), "aliases": (), "forward_keep": False}


def _state(account: Account, value: Any, _rules: Rules) -> Account:
    state = AccountState(value)
    values = account.values
    if state in LIVE:
        values = replace(values, state=state)
    return replace(account, state=state, values=values)


def _state_reason(account: Account, value: Any, _rules: Rules) -> Account:
    return replace(account, state_reason=value)


def _expiry(account: Account, value: Any, _rules: Rules) -> Account:
    end = None if value is None else datetime.fromisoformat(value)
    return replace(account, values=replace(account.values, expires_at=end))


def _kept(account: Account, value: Any, rules: Rules) -> Account:
    """Keep old addresses again; those that had lapsed anew."""
    now = {fold(one.address): one for one in account.kept}
    kept = (
        now.get(fold(text)) or KeptAddress(Address(text), rules.now + rules.keep)
        for text in value or ()
    )
    return replace(account, kept=tuple(kept))


def _id(account: Account, value: Any, _rules: Rules) -> Account:
    values = replace(account.values, directory_id=DirectoryId(value))
    return replace(account, values=values)


def _origin(account: Account, value: Any, _rules: Rules) -> Account:
    return replace(account, origin=Origin(value))


def _source(account: Account, value: Any, _rules: Rules) -> Account:
    return replace(account, source=value)


def _role(account: Account, value: Any, _rules: Rules) -> Account:
    return replace(account, role=Role(value))


def _kind(account: Account, value: Any, _rules: Rules) -> Account:
    kind = EntryKind(value) if value else EntryKind.ACCOUNT
    return replace(account, values=replace(account.values, kind=kind))


_SET: Mapping[str, Callable[[Account, Any, Rules], Account]] = {
    "entry_kind": _kind,
    "state": _state,
    "state_reason": _state_reason,
    "expires_at": _expiry,
    "kept_addresses": _kept,
    "directory_id": _id,
    "origin": _origin,
    "directory": _source,
    "role": _role,
}
"""Fields that are not simply the value of that name."""


def _members_back(account: Account, before: Json, after: Json) -> Account:
    """Take out the members that a change added, and add those that it took out.

    What later runs did to other members stays.
    """
    added = set(_references(after.get("members") or ()))
    gone = tuple(_references(before.get("members") or ()))
    stay = tuple(m for m in account.values.members if m not in added)
    new = (*stay, *(one for one in gone if one not in stay))
    return replace(account, values=replace(account.values, members=new))


def _references(texts: Collection[str]) -> Iterator[Reference]:
    for text in texts:
        by, _, value = text.partition(":")
        yield Reference(By(by), value)


def _nobody(row: AuditRow, number: int) -> Change:
    return Change(
        op=Op.CONFLICT,
        account=DirectoryId(row.account),
        name=row.name,
        after={"conflict": "undo-gone", "other": row.op},
        why=f"The account that run {number} changed has another entry by now, or is "
        "not there. Undo the later runs first.",
    )


def _clash(account: Account, found: tuple[str, Any, Any], number: int) -> Change:
    name, left, now = found
    return Change(
        op=Op.CONFLICT,
        account=account.values.directory_id,
        name=people_name(account),
        after={
            "conflict": "undo-clash",
            "field": name,
            "left": _text(left),
            "now": _text(now),
        },
        stored=account,
        why=f'The field "{name}" was changed again after run {number}, so it stays as '
        "it is. Undo the later run first, or leave it so.",
    )


def _text(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return "" if value is None else str(value)
