"""The contract of all authenticators: `tests/contract/test_authenticator.py`."""

from __future__ import annotations

from typing import Protocol

from dirbridge.model.account import Account
from dirbridge.model.deadline import Deadline
from dirbridge.model.finding import Finding
from dirbridge.model.login import Verdict
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
