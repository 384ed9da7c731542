"""What must hold in a domain's `login` table and in `[guard]`.

A slip of the unit is told instead of done: no time at all would let an attacker go on,
and days would keep people out. Each bound is a row of a table.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta

from dirbridge.config.broken import Broken
from dirbridge.config.problems import Location
from dirbridge.config.settings import (
    DIRECTORY_METHODS,
    GuardSettings,
    LoginSettings,
    Method,
    Settings,
    Table,
)
from dirbridge.model.finding import Finding, Outcome
from dirbridge.model.names import DomainName


@dataclass(frozen=True, slots=True)
class _Bound:
    """What a key may be at least and at most.

    Attributes:
        key: The key.
        least: The least that is allowed.
        most: The most that is allowed.
        mend: What to write instead.
    """

    key: str
    least: timedelta | int
    most: timedelta | int
    mend: str


_BOUNDS: Mapping[type[Table], tuple[_Bound, ...]] = {
    LoginSettings: (
        _Bound(
            "cache",
            timedelta(),
            timedelta(hours=1),
            'Write an hour at most, such as "60s"; who was let in stays so as long.',
        ),
        _Bound(
            "offline_logins",
            timedelta(seconds=1),
            timedelta(days=90),
            'Write "90d" at most, such as "7d", or leave it out for none.',
        ),
        _Bound(
            "wrong_tries",
            1,
            10_000,
            "Write less than the directory locks an account at, such as 4.",
        ),
        _Bound(
            "wrong_window",
            timedelta(seconds=1),
            timedelta(days=30),
            'Write what the directory has, such as "30m", or leave it out.',
        ),
    ),
    GuardSettings: (
        _Bound(
            "address_window",
            timedelta(seconds=1),
            timedelta(days=1),
            'Write a day at most, such as "15m"; accounts_per_address = 0 is no limit.',
        ),
        _Bound(
            "accounts_per_address",
            0,
            1000,
            "Write 1000 at most, or 0 for no limit.",
        ),
    ),
}


def logins(settings: Settings) -> Iterator[Broken]:
    """Yield every rule that does not hold."""
    yield from _bounds(settings.guard, ("guard",))
    for name, domain in settings.domains.items():
        keys: Location = ("domains", name, "login")
        yield from _bounds(domain.login, keys)
        yield from _methods(domain.login.methods, (*keys, "methods"))


def _bounds(table: Table, keys: Location) -> Iterator[Broken]:
    for bound in _BOUNDS[type(table)]:
        value = getattr(table, bound.key)
        if value is None or bound.least <= value <= bound.most:
            continue
        wrong = "too little" if value < bound.least else "too much"
        text = f'"{bound.key}" is {wrong}.'
        yield Broken("wrong-value", (*keys, bound.key), text, bound.mend)


def _methods(methods: tuple[Method, ...] | None, keys: Location) -> Iterator[Broken]:
    if methods == ():
        text = "With no method at all nobody could log in."
        mend = 'Leave "methods" out, or write one, such as ["ldap-bind"].'
        yield Broken("wrong-value", keys, text, mend)
    for method in dict.fromkeys(methods or ()):
        if methods is not None and methods.count(method) > 1:
            text = f'"{method}" stands there twice; a password is tried by it once.'
            yield Broken("wrong-value", keys, text, "Keep one of them.")


_USERS: Mapping[str, Collection[str]] = {
    "ntlm": {Method.NT_DOMAIN},
    "password_server_cram": {Method.PASSWORD_SERVER},
    "password_server_port": {Method.PASSWORD_SERVER},
    "offline_logins": DIRECTORY_METHODS,
    "wrong_tries": DIRECTORY_METHODS,
    "wrong_window": DIRECTORY_METHODS,
}
"""Keys of a login table, and the methods that look at them."""


def idle_keys(
    settings: Settings, methods: Mapping[DomainName, Collection[str]]
) -> Iterator[Finding]:
    """Warn of each key that no method looks at.

    Args:
        settings: The settings.
        methods: What each domain's accounts log in by, their own choices included.
    """
    for name, domain in settings.domains.items():
        used = frozenset(methods.get(name, ()))
        for key, users in _USERS.items():
            if key in domain.login.model_fields_set and used.isdisjoint(users):
                yield _idle(name, key, users)


def _idle(name: DomainName, key: str, users: Collection[str]) -> Finding:
    which = " or ".join(f'"{one}"' for one in sorted(users))
    return Finding(
        f'domains."{name}".login: {key}',
        "methods",
        Outcome.WARNING,
        f'"{key}" is written, and no login method of the domain looks at it.',
        f"Add {which} to methods, or take {key} out.",
        "idle-key",
    )
