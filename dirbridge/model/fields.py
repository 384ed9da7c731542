"""The fields of an account that a plan compares, and how they are shown."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from operator import attrgetter
from typing import Any

from dirbridge.model.account import Account, KeptAddress
from dirbridge.model.entry import EntryKind
from dirbridge.model.recipient import Reference

Value = str | int | bool | None | tuple[str, ...]
"""What a field holds in a change, an audit row, a preview and in JSON."""

Show = Callable[[Any], Value]
"""Makes a field's value one that is shown."""


def _time(value: datetime | None) -> str | None:
    return None if value is None else value.isoformat()


def _kind(kind: EntryKind) -> str | None:
    return None if kind is EntryKind.ACCOUNT else str(kind)


def _login_names(names: tuple[str, ...]) -> tuple[str, ...]:
    return names if len(names) == 1 else (*names[:1], *sorted(names[1:]))


def _sorted(texts: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(texts))


def _aliases(texts: tuple[str, ...]) -> tuple[str, ...]:
    return texts if len(texts) == 1 else _sorted(texts)


def _addresses(kept: Iterable[KeptAddress]) -> tuple[str, ...]:
    return _sorted(one.address for one in kept)


def _members(members: Iterable[Reference]) -> tuple[str, ...]:
    return _sorted(f"{one.by}:{one.value}" for one in members)


# Of `AccountValues`, in the order of every preview.
_OF_VALUES: Mapping[str, Show | None] = {
    # Of somebody who logs in, nothing is said.
    "kind": _kind,
    "name": None,
    # Beyond the first, servers give several names in any order.
    "login_names": _login_names,
    "upn": None,
    "principal": None,
    "display_name": None,
    "given_name": None,
    "surname": None,
    "primary_address": None,
    "aliases": _aliases,
    "forward": None,
    "forward_dn": None,
    "forward_keep": None,
    "quota": None,
    "title": None,
    "department": None,
    "phone": None,
    "number": None,
    "primary_group": None,
    "members": _members,
    "expires_at": _time,
    "dn": None,
}

# Of `Account` itself; these come last.
_OF_ACCOUNT: Mapping[str, Show | None] = {
    "kept": _addresses,
    "state": str,
    "state_reason": None,
}

_CALLED = {"kind": "entry_kind", "kept": "kept_addresses"}

FIELDS: Mapping[str, Show | None] = {
    _CALLED.get(name, name): shown
    for name, shown in (*_OF_VALUES.items(), *_OF_ACCOUNT.items())
}
"""Field name to what makes its value shown; None where it is shown as it is."""

# Asked of every account of a first import: two calls read all fields.
_values = attrgetter(*_OF_VALUES)
_own = attrgetter(*_OF_ACCOUNT)
_NAMES = tuple(FIELDS)
_SHOWN = tuple(FIELDS.values())

NAMES = frozenset({"login_names", "upn", "primary_address"})
"""The fields whose change is a rename."""


def show(account: Account) -> dict[str, Value]:
    """Return all fields of an account that hold something."""
    held: dict[str, Value] = {
        name: value if shown is None else shown(value)
        for name, shown, value in zip(_NAMES, _SHOWN, _read(account), strict=True)
        if value
    }
    if account.kind is EntryKind.ACCOUNT:
        del held["entry_kind"]
    return held


def _read(account: Account) -> tuple[Any, ...]:
    """Return all fields as they are held."""
    read: tuple[Any, ...] = _values(account.values) + _own(account)
    return read


def differences(
    before: Account, after: Account
) -> tuple[dict[str, Value], dict[str, Value]]:
    """Return the fields that differ, as they were and as they shall be.

    Of a group's members only those stand there that are taken out (before) and
    added (after): it may have very many.
    """
    changed = [
        (name, *both)
        for name, old, new in zip(_NAMES, _read(before), _read(after), strict=True)
        if old is not new and old != new
        for both in _exchanged(name, old, new)
    ]
    return (
        {name: old for name, old, _ in changed},
        {name: new for name, _, new in changed},
    )


def _exchanged(name: str, old: Any, new: Any) -> Iterator[tuple[Value, Value]]:
    """Yield what is shown of a field that differs; lists come in any order."""
    show_it = FIELDS[name]
    if name == "members":
        was, is_now = set(_members(old)), set(_members(new))
        old, new, show_it = was - is_now, is_now - was, _sorted
    shown = (show_it(old), show_it(new)) if show_it else (old, new)
    if shown[0] != shown[1]:
        yield shown


def fingerprint(account: Account | None) -> str:
    """Return a short hash of all fields, to tell later whether one moved.

    Args:
        account: The account; None stands for none, whose hash is "".
    """
    if account is None:
        return ""
    text = json.dumps(show(account), ensure_ascii=False, sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=12).hexdigest()
