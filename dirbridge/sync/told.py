"""What a run tells people of, and who lost what: so that the next one knows.

A conflict and an entry that cannot be mapped stay what they are until somebody mends
them, and are told as new only once. Each has a *key*, which the run remembers.

A delta does not read those who lost a name or an address. So it must notice when what
they lost becomes free, or is asked for by somebody else: then everything is read.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Set

from dirbridge.model.fields import Value
from dirbridge.model.mapping import Unmapped
from dirbridge.model.names import DirectoryId, fold
from dirbridge.model.plan import Change, Op, Plan
from dirbridge.sync.claims import address_claims, name_claims

Keys = frozenset[str]

_UNMAPPED = " unmapped "
_CLAIMS = ("login", "upn", "address", "mailbox")
_ABOUT = ("conflict", *_CLAIMS)
_FIELDS = ("login_names", "upn", "primary_address", "aliases", "kept_addresses")
_LIMIT = "user-limit"
_SAME_CLAIMS = frozenset({Op.UPDATE, Op.RENAME, Op.MOVE})
"""Operations that touch no other claims than those of the fields that they show."""


def keys(plan: Plan, unmapped: Iterable[Unmapped]) -> Keys:
    """Name each conflict and unmappable entry, so that new ones can be told."""
    conflicts = {key(change) for change in plan.of(Op.CONFLICT)}
    return frozenset(conflicts | {f"{u.id}{_UNMAPPED}{u.field}" for u in unmapped})


def key(conflict: Change) -> str:
    """Name one conflict; with whom it is does not make it another one."""
    about = {name: conflict.after[name] for name in _ABOUT if name in conflict.after}
    return f"{conflict.account} {json.dumps(about, ensure_ascii=False)}"


def owners(known: Keys) -> frozenset[DirectoryId]:
    """Return whom the keys are about."""
    return frozenset(map(_whose, known))


def carried(before: Keys, read: Set[DirectoryId]) -> Keys:
    """Return what is still so after a delta, of those whom it did not read."""
    return frozenset(one for one in before if _whose(one) not in read)


def only_new(plan: Plan, new: Keys) -> Plan:
    """Leave out the conflicts that an earlier run has audited already."""
    return plan.only(lambda conflict: key(conflict) in new, Op.CONFLICT)


def is_moot(plan: Plan, before: Keys, read: Set[DirectoryId]) -> bool:
    """Whether a delta's plan may be another one than that of a full read.

    Args:
        plan: The plan.
        before: The keys of the runs before.
        read: Whom the delta told something of.
    """
    conflicts = {key(change) for change in plan.of(Op.CONFLICT)}
    if any(_code(one) != _LIMIT for one in conflicts - before):
        return True  # who has what is settled among all
    waiting = [one for one in before if _is_open(one) and _whose(one) not in read]
    if not waiting:
        return False
    lost = {claim for one in waiting for claim in _claims(one)}
    dropped = {
        claim
        for one in before - conflicts
        if _whose(one) in read
        for claim in _claims(one)
    }
    if any(_code(one) == _LIMIT for one in waiting):
        # Who enters before whom is settled among all, those who clash among them.
        over = (one for one in before - conflicts if _is_open(one))
        if any(_whose(one) in read for one in over):
            return True
        if any(change.places for change in plan.changes):
            return True
    return bool(lost & dropped) or any(
        lost & _touched(change) for change in plan.changes
    )


def has_conflicts(known: Keys) -> bool:
    """Whether somebody waits for a name, an address or a place."""
    return any(map(_is_open, known))


def _touched(change: Change) -> set[str]:
    """Return the names and addresses that a change gives or takes, folded."""
    fields = (
        each.get(name) for each in (change.before, change.after) for name in _FIELDS
    )
    found = {fold(text) for value in fields for text in _texts(value)}
    if change.result is not None and change.op not in _SAME_CLAIMS:
        kept = (one.address for one in change.result.kept)
        own = name_claims(change.result.values) | address_claims(change.result)
        found |= {text for _, text in own} | set(map(fold, kept))
    return found


def _texts(value: Value) -> tuple[str, ...]:
    if isinstance(value, tuple):
        return value
    return (value,) if isinstance(value, str) else ()


def _whose(one: str) -> DirectoryId:
    mark = _UNMAPPED if _UNMAPPED in one else " {"
    return DirectoryId(one.partition(mark)[0])


def _is_open(one: str) -> bool:
    return _UNMAPPED not in one


def _after(one: str) -> dict[str, str]:
    """Return what a conflict's key says; nothing for an earlier release's."""
    _, brace, rest = one.partition(" {")
    try:
        return dict(json.loads(f"{{{rest}")) if brace else {}
    except ValueError:
        return {}


def _code(one: str) -> str:
    return _after(one).get("conflict", "")


def _claims(one: str) -> set[str]:
    after = _after(one)
    return {fold(after[kind]) for kind in _CLAIMS if kind in after}
