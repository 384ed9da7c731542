"""The fields of an account that a plan compares, and how they are shown."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime

from dirbridge.model.account import Account
from dirbridge.model.entry import EntryKind

Value = str | int | bool | None | tuple[str, ...]
"""What a field holds in a change, an audit row, a preview and in JSON."""


def _time(value: datetime | None) -> str | None:
    return None if value is None else value.isoformat()


def _members(account: Account) -> tuple[str, ...]:
    return tuple(sorted(f"{one.by}:{one.value}" for one in account.values.members))


def _kind(account: Account) -> str | None:
    return None if account.kind is EntryKind.ACCOUNT else str(account.kind)


FIELDS: Mapping[str, Callable[[Account], Value]] = {
    # Of somebody who logs in, nothing is said.
    "entry_kind": _kind,
    "name": lambda a: a.values.name,
    # Beyond the first, servers give several names in any order.
    "login_names": lambda a: (
        *a.values.login_names[:1],
        *sorted(a.values.login_names[1:]),
    ),
    "upn": lambda a: a.values.upn,
    "principal": lambda a: a.values.principal,
    "display_name": lambda a: a.values.display_name,
    "given_name": lambda a: a.values.given_name,
    "surname": lambda a: a.values.surname,
    "primary_address": lambda a: a.values.primary_address,
    "aliases": lambda a: tuple(sorted(a.values.aliases)),
    "kept_addresses": lambda a: tuple(sorted(kept.address for kept in a.kept)),
    "forward": lambda a: a.values.forward,
    "forward_dn": lambda a: a.values.forward_dn,
    "forward_keep": lambda a: a.values.forward_keep,
    "quota": lambda a: a.values.quota,
    "title": lambda a: a.values.title,
    "department": lambda a: a.values.department,
    "phone": lambda a: a.values.phone,
    "number": lambda a: a.values.number,
    "primary_group": lambda a: a.values.primary_group,
    "members": _members,
    "expires_at": lambda a: _time(a.values.expires_at),
    "dn": lambda a: a.values.dn,
    "state": lambda a: str(a.state),
    "state_reason": lambda a: a.state_reason,
}
"""Field name to its value; the order is the order of every preview."""

_READERS = tuple((name, read) for name, read in FIELDS.items() if name != "members")

NAMES = frozenset({"login_names", "upn", "primary_address"})
"""The fields whose change is a rename."""


def show(account: Account) -> dict[str, Value]:
    """Return all fields of an account that hold something."""
    values = [(name, read(account)) for name, read in FIELDS.items()]
    return {name: value for name, value in values if value not in (None, (), False)}


def differences(
    before: Account, after: Account
) -> tuple[dict[str, Value], dict[str, Value]]:
    """Return the fields that differ, as they were and as they shall be.

    Of a group's members only those stand there that are taken out (before) and
    added (after): it may have very many.
    """
    changed: list[tuple[str, Value, Value]] = [
        (name, old, new)
        for name, read in _READERS
        if (old := read(before)) != (new := read(after))
    ]
    if before.values.members != after.values.members:
        changed += _exchanged(before, after)
    return (
        {name: old for name, old, _ in changed},
        {name: new for name, _, new in changed},
    )


def _exchanged(
    before: Account, after: Account
) -> Iterator[tuple[str, tuple[str, ...], tuple[str, ...]]]:
    old, new = set(_members(before)), set(_members(after))
    if old != new:  # servers give them in any order
        yield "members", tuple(sorted(old - new)), tuple(sorted(new - old))


def fingerprint(account: Account | None) -> str:
    """Return a short hash of all fields, to tell later whether one moved.

    Args:
        account: The account; None stands for none, whose hash is "".
    """
    if account is None:
        return ""
    text = json.dumps(show(account), ensure_ascii=False, sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=12).hexdigest()
