"""Local accounts: Argon2id verifiers in the local user database."""

from __future__ import annotations

from collections.abc import Callable

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError, VerifyMismatchError

from dirbridge.authenticators.modest import Modest
from dirbridge.authenticators.turns import Turns
from dirbridge.errors import StoreError
from dirbridge.model.account import Account
from dirbridge.model.deadline import Deadline
from dirbridge.model.finding import Finding
from dirbridge.model.login import (
    Accepted,
    Cause,
    Reason,
    Rejected,
    Unavailable,
    Verdict,
)
from dirbridge.model.secret import Secret

HASHER = PasswordHasher()
"""RFC 9106's second recommended choice, the library's default: 64 MiB each."""

AT_ONCE = 2
"""How many checks run at once: each takes 64 MiB (facts: performance 5)."""


def make_verifier(password: Secret) -> str:
    """Return the Argon2id verifier (PHC string) of a new local password."""
    return HASHER.hash(password.reveal())


class LocalAuthenticator:
    """Check passwords of local accounts; needs no directory."""

    method = "local"

    def __init__(self, verifier_of: Callable[[Account], str | None]) -> None:
        """Take the store's way to a local account's verifier."""
        self._verifier_of = verifier_of
        self._turns = Turns(AT_ONCE)
        self._modest = Modest(AT_ONCE)

    def authenticate(
        self, account: Account, password: Secret, deadline: Deadline
    ) -> Verdict:
        """Check the password against the account's verifier."""
        user = account.canonical
        if not password:
            return Rejected(Reason.EMPTY_PASSWORD, user, self.method)
        try:
            verifier = self._verifier_of(account)
        except StoreError as error:
            return Unavailable(Cause.STORE, user, self.method, "local", error.code)
        if verifier is None:
            return Rejected(Reason.NO_PASSWORD, user, self.method, "local")
        with self._turns.turn(account.number, deadline) as free:
            if free:
                return self._verified(verifier, password, user)
        detail = "too many local logins wait for their check"
        return Unavailable(Cause.OVERLOADED, user, self.method, "local", detail)

    def _verified(self, verifier: str, password: Secret, user: str) -> Verdict:
        try:
            self._modest.run(HASHER.verify, verifier, password.reveal())
        except VerifyMismatchError:
            return Rejected(Reason.WRONG_PASSWORD, user, self.method, "local")
        except (InvalidHashError, VerificationError):
            detail = "the stored verifier is broken"
            return Unavailable(Cause.STORE, user, self.method, "local", detail)
        return Accepted(user, self.method, "local")

    def check(self) -> list[Finding]:
        """Return nothing: a local account needs only the store."""
        return []
