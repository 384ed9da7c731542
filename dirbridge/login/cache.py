"""Logins that a directory accepted a moment ago, answered from memory.

Mail programs log in every few minutes, some of them many times at once. What a
directory accepted is accepted again for a short time, if nothing says that it may be
otherwise by now:

- another password of the same account is a login like any other, and where it is wrong
  that says nothing of the right one;
- a sync that found anything of the account changed ends it, and Active Directory
  tells the date of the password and of a lock-out among what is read;
- of a directory that tells no such date, any run of the domain's store ends it;
- so does whatever an admin changes of the account or its credentials, also while the
  directory is being asked, and whatever a directory says against the account.

Only a keyed hash of the password is kept, in memory; the key is this process's own.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from hmac import compare_digest

from dirbridge.config.settings import DIRECTORY_METHODS
from dirbridge.errors import StoreError
from dirbridge.login.stage import Login
from dirbridge.model.account import Account
from dirbridge.model.credentials import Credentials
from dirbridge.model.login import Accepted, Reason, Rejected, Verdict
from dirbridge.model.names import DomainName
from dirbridge.model.secret import Secret

_METHODS = "cache methods"
"""The note of the methods that an account had before they were asked."""

SERVER = "cache"
"""What a verdict names in the place of a server."""

LIMIT = 50_000
"""Most accounts that are known; who was accepted longest ago is forgotten."""


@dataclass(frozen=True, slots=True)
class _Known:
    """What was accepted of one account, and all that it depends on."""

    account: Account
    methods: tuple[str, ...]
    until: float
    digest: bytes = field(repr=False)
    verdict: Accepted


class PositiveCache:
    """The stage that remembers what was accepted; used by many threads."""

    def __init__(
        self,
        lifetimes: Mapping[DomainName, float],
        credentials: Callable[[Account], Credentials],
        *,
        told: Collection[tuple[DomainName, str]] = (),
        limit: int = LIMIT,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Know nobody yet.

        Args:
            lifetimes: For each domain, seconds for which it is remembered; 0 for not.
            credentials: Gives an account's credentials; may raise `StoreError`.
            told: The directories, by domain and name, of which a sync sees that
                somebody has another password.
            limit: Most accounts to know.
            clock: Seconds.
        """
        self._lifetimes = lifetimes
        self._credentials = credentials
        self._told = frozenset(told)
        self._limit = limit
        self._clock = clock
        self._key = os.urandom(32)
        self._lock = threading.Lock()
        self._known: dict[int, _Known] = {}

    @property
    def remembers(self) -> bool:
        """Whether anybody is ever remembered."""
        return any(self._lifetimes.values())

    def before(self, login: Login) -> Verdict | None:
        """Accept what was accepted a moment ago."""
        account = login.account
        if account is None:
            return None
        known = self._known.get(account.number)
        if known is not None and self._stands(known, account):
            typed = self._digest(account, login.password)
            if compare_digest(known.digest, typed):
                return known.verdict
        if self._lifetimes.get(account.domain):
            login.notes[_METHODS] = self._methods(account)
        return None

    def after(self, login: Login, verdict: Verdict) -> Verdict:
        """Remember what a directory accepted; forget whom it rejected."""
        account = login.account
        if account is None or verdict.method not in DIRECTORY_METHODS:
            return verdict
        if isinstance(verdict, Accepted):
            self._learn(account, login, verdict)
        elif isinstance(verdict, Rejected):
            self._forget(account, login.password, verdict.reason)
        return verdict

    def lasts(self, account: Account, verdict: Accepted) -> float | None:
        """Return until when an acceptance of `before` stands, if nothing happens.

        Args:
            account: As it is now.
            verdict: The acceptance.

        Returns:
            The time on the clock; None where it does not stand any more.
        """
        known = self._known.get(account.number)
        if known is None or known.verdict is not verdict:
            return None
        return known.until if self._stands(known, account) else None

    def stands_by(self, number: int, verdict: Accepted) -> bool:
        """Whether an acceptance that stood is still the newest word of an account.

        Args:
            number: The account's number.
            verdict: The acceptance.
        """
        known = self._known.get(number)
        return known is not None and known.verdict is verdict

    def _forget(self, account: Account, password: Secret, reason: Reason) -> None:
        """Forget whom a directory rejected, but for another password that was wrong."""
        digest = self._digest(account, password)
        with self._lock:
            known = self._known.get(account.number)
            other = known is not None and known.digest != digest
            if not (other and reason is Reason.WRONG_PASSWORD):
                self._known.pop(account.number, None)

    def _stands(self, known: _Known, account: Account) -> bool:
        """Whether nothing of an account has changed since it was accepted."""
        if known.until <= self._clock():
            return False
        if known.account is not account and not self._is_same(known, account):
            return False
        return known.methods == self._methods(account)

    def _is_same(self, known: _Known, account: Account) -> bool:
        """Whether an account that was read again is what it was.

        Where a directory tells of no new password, it may have one.
        """
        if (account.domain, account.source) not in self._told:
            return False
        return known.account == account

    def _learn(self, account: Account, login: Login, verdict: Accepted) -> None:
        lifetime = self._lifetimes.get(account.domain, 0)
        methods = self._methods(account)
        if not lifetime or methods is None:
            return
        if login.notes.get(_METHODS) != methods:
            return
        known = _Known(
            account,
            methods,
            self._clock() + lifetime,
            self._digest(account, login.password),
            Accepted(verdict.user, verdict.method, SERVER),
        )
        with self._lock:
            # Who is put in last stands last.
            self._known.pop(account.number, None)
            self._known[account.number] = known
            if len(self._known) > self._limit:
                del self._known[next(iter(self._known))]

    def _methods(self, account: Account) -> tuple[str, ...] | None:
        try:
            return self._credentials(account).methods
        except StoreError:
            return None

    def _digest(self, account: Account, password: Secret) -> bytes:
        text = f"{account.number}\0{password.reveal()}"
        octets = text.encode("utf-8", "surrogatepass")
        return blake2b(octets, key=self._key, digest_size=32).digest()
