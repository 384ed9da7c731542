"""The contract of all authenticators: `tests/contract/test_authenticator.py`."""

from __future__ import annotations

from enum import Enum
from functools import cache
from typing import Protocol, TypeGuard, runtime_checkable

from dirbridge.model.account import Account
from dirbridge.model.deadline import Deadline
from dirbridge.model.finding import Finding
from dirbridge.model.login import Accepted, Verdict
from dirbridge.model.secret import Secret


class Authenticator(Protocol):
    """Say whether a password is right, or that nobody can say.

    Used by several threads at once. A wrong password is `Rejected`, whatever
    keeps us from knowing is `Unavailable`; an exception is a bug. The caller has
    already refused empty and control-only passwords, but an authenticator
    refuses an empty one as well (RFC 4513 section 5.1.2: a bind without a
    password succeeds as anonymous).
    """

    @property
    def method(self) -> str:
        """The method's name in the configuration, such as `ldap-bind`."""
        ...

    def authenticate(
        self, account: Account, password: Secret, deadline: Deadline
    ) -> Verdict:
        """Check the password of an account.

        Asks one server after another on outages only; a verdict of the first
        server that answers stands, and a wrong password is never tried twice.

        Args:
            account: The account, as the store has it.
            password: What the person typed.
            deadline: When the answer must be there; past it, `Unavailable`.
        """
        ...

    def check(self) -> list[Finding]:
        """Say whether the method has what it needs (keytab, realm, servers)."""
        ...


class Next(Enum):
    """What to do with a check that is under way."""

    WAIT = "wait"
    FINISH = "finish"


class Underway(Protocol):
    """A check of a password that an event loop goes on with; one caller at a time."""

    def fileno(self) -> int:
        """Return the number of the socket on which the next answer comes."""
        ...

    def go_on(self) -> Accepted | Next:
        """Begin, or go on with what has come; never waits.

        Returns:
            `WAIT` until something can be read. `FINISH` where it is no acceptance:
            `finish` tells what, and is to be called from a thread.
        """
        ...

    def finish(self) -> Verdict:
        """Do all that is left, as `Authenticator.authenticate`; may wait."""
        ...

    def drop(self) -> None:
        """Leave it; only before the first `go_on`."""
        ...


def is_startable(authenticator: Authenticator) -> TypeGuard[Startable]:
    """Whether an authenticator can be asked without a thread."""
    return _has_start(type(authenticator))


@cache  # a look at a Protocol costs as much as all of a stage
def _has_start(kind: type) -> bool:
    return issubclass(kind, Startable)


@runtime_checkable
class Startable(Protocol):
    """An authenticator that needs no thread to wait, most of the time."""

    def start(
        self, account: Account, password: Secret, deadline: Deadline
    ) -> Underway | None:
        """Prepare a check, as of `authenticate`; waits for nobody, sends nothing.

        None: `authenticate` has to be asked.
        """
        ...
