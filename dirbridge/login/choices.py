"""Which login methods an account has: its own choice, else those of its domain."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from dirbridge.authenticators.base import Authenticator
from dirbridge.errors import StoreError
from dirbridge.model.account import Account, Origin
from dirbridge.model.credentials import Credentials
from dirbridge.model.deadline import Deadline
from dirbridge.model.finding import Finding
from dirbridge.model.login import Cause, Unavailable, Verdict
from dirbridge.model.secret import Secret

LOCAL = "local"


@dataclass(frozen=True, slots=True)
class Choices:
    """Give the authenticators of an account, in the order in which they are asked.

    Attributes:
        credentials: The store's way to an account's credentials; may raise
            `StoreError`.
        usual: Gives those of the account's domain.
        named: Gives a directory's authenticator of one method.
        local: Checks passwords that the store itself keeps.
    """

    credentials: Callable[[Account], Credentials]
    usual: Callable[[Account], tuple[Authenticator, ...]]
    named: Callable[[Account, str], Authenticator]
    local: Authenticator

    def __call__(self, account: Account) -> tuple[Authenticator, ...]:
        """Return the authenticators; raises nothing."""
        if account.origin is Origin.LOCAL:
            return (self.local,)
        try:
            chosen = self.credentials(account).methods
        except StoreError as error:
            # Who was switched away from the directory is not to be asked for there.
            return (_StoreAway(error.code),)
        if chosen:
            return tuple(self._named(account, method) for method in chosen)
        return tuple(map(self._filled_in, self.usual(account)))

    def by_directory(self, account: Account) -> bool | None:
        """Whether an account logs in by its directory; None where nobody can say."""
        methods = self.in_directory(account)
        return None if methods is None else bool(methods)

    def in_directory(self, account: Account) -> tuple[str, ...] | None:
        """Return the methods that ask a directory; None where nobody can say which."""
        methods = tuple(each.method for each in self(account))
        if methods == (_StoreAway.method,):
            return None
        return tuple(method for method in methods if method != LOCAL)

    def _named(self, account: Account, method: str) -> Authenticator:
        return self.local if method == LOCAL else self.named(account, method)

    def _filled_in(self, usual: Authenticator) -> Authenticator:
        """Return the one with the store in place of a domain's word `local`."""
        return self.local if usual.method == LOCAL else usual


class _StoreAway:
    """Stands for the methods of an account whose choice cannot be read."""

    method = ""

    def __init__(self, code: str) -> None:
        self._code = code

    def authenticate(
        self, account: Account, password: Secret, deadline: Deadline
    ) -> Verdict:
        """Return Unavailable(store)."""
        del password, deadline
        return Unavailable(Cause.STORE, account.canonical, detail=self._code)

    def check(self) -> list[Finding]:
        """Return nothing: the store is looked at by whoever opens it."""
        return []
