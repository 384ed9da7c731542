"""What stands between a resolved name and the login methods.

Each stage sees a login before the methods are asked, where it may answer by itself,
and afterwards, where it learns from the verdict or replaces it: caches, the guard,
app passwords, offline logins. So the order of everything that decides a login is one
tuple, in the composition root.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from functools import cache
from typing import Protocol, TypeGuard, runtime_checkable

from dirbridge.model.account import Account
from dirbridge.model.deadline import Deadline
from dirbridge.model.login import LoginRequest, Verdict
from dirbridge.model.names import DomainName
from dirbridge.model.secret import Secret


@dataclass(frozen=True, slots=True)
class Login:
    """One login by password, on its way to a verdict.

    Attributes:
        request: What the mail service asks.
        deadline: When the answer must be there.
        account: Who is meant; None where nobody was found, and for an account that
            may not log in whatever its password. So no stage can let those in.
        domains: The mail domains in which the name was looked for.
        begun: When the login began (`time.monotonic()`), before its name was looked up.
        notes: What stages note in `before` for their `after`, each by its own name.
    """

    request: LoginRequest
    deadline: Deadline
    account: Account | None = None
    domains: tuple[DomainName, ...] = ()
    begun: float = field(default_factory=time.monotonic)
    notes: dict[str, object] = field(default_factory=dict, compare=False, repr=False)

    @property
    def password(self) -> Secret:
        """What was typed."""
        return self.request.password


class Stage(Protocol):
    """One step of a login; used by many threads at once.

    It never raises: a stage that cannot do its work (the store is away) lets the
    login pass, or answers `Unavailable`. Nothing it keeps shows a password.
    """

    def before(self, login: Login) -> Verdict | None:
        """Answer by itself, or let the login pass (None).

        Also asked where `login.account` is None, which only limits look at; and of a
        second `Login` of the same question, if an event loop could not end the first.
        """
        ...

    def after(self, login: Login, verdict: Verdict) -> Verdict:
        """Learn from what stood behind it, and return what is to be told.

        Called for each login that this stage let pass, in the reverse order. A
        verdict without a method was given before anybody was asked.
        """
        ...


def is_swift(stage: Stage) -> TypeGuard[Swift]:
    """Whether logins may pass a stage without a wait."""
    return _has_passes(type(stage))


@cache  # a look at a Protocol costs as much as all of a stage
def _has_passes(kind: type) -> bool:
    return issubclass(kind, Swift)


@runtime_checkable
class Swift(Stage, Protocol):
    """A stage that most logins pass without a wait, even on an event loop.

    The `after` of such a stage waits for nobody where a directory's acceptance
    follows on `passes`.
    """

    def passes(self, login: Login) -> bool:
        """Let a login pass like `before` that gives None, if that waits for nobody.

        False: it may have to wait, or to be answered, so `before` is to be asked;
        nothing has happened yet.
        """
        ...
