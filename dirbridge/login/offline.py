"""Offline logins: who logged in lately gets in while their directory is away.

Theory. A password that the directory accepted is kept as an Argon2id verifier. It
counts only while no server of the account's directory answers, which is looked at for
each such login, and for a time that an admin has chosen. Whatever the directory rejects
ends it at once: its password where that was the wrong one, and for any other reason
whatever was typed.

A method that waits for a silent server would use up the time, and a look without time
says nothing. So `RESERVE` seconds of each login are kept for it.

It counts for the account as the last sync knows it, as its password may be another one
where anything of the entry changed since; the next accepted login renews it.

Argon2 takes a tenth of a second and 64 MiB, so verifiers are made behind the logins, by
one thread, once a day for each account. Until that thread has looked at a rejected
password, its account has no offline login.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from hashlib import blake2b

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from dirbridge.authenticators.live import Look
from dirbridge.authenticators.local import HASHER
from dirbridge.authenticators.modest import Modest
from dirbridge.config.settings import DIRECTORY_METHODS
from dirbridge.errors import StoreError
from dirbridge.login.errands import Errands
from dirbridge.login.stage import Login
from dirbridge.model.account import Account, Origin
from dirbridge.model.credentials import OfflineVerifier
from dirbridge.model.deadline import Deadline
from dirbridge.model.login import (
    AWAY,
    Accepted,
    Cause,
    Reason,
    Rejected,
    Unavailable,
    Verdict,
)
from dirbridge.model.names import DomainName
from dirbridge.model.secret import Secret
from dirbridge.store.credentials_base import CredentialsStore

METHOD = "offline"
"""What a verdict says that a verifier gave."""

RENEWED = timedelta(days=1)
"""How often a verifier is made anew."""

SEEN = timedelta(minutes=10)
"""How often it is looked whether another bridge of the fleet has taken it away."""

AT_ONCE = 2
"""How many passwords are verified at once."""

MISSES = 5
"""How many wrong passwords of an account are verified within `MISSED` seconds."""
MISSED = 900.0

LOOK_SECONDS = 2.0
"""Most seconds to find out whether any server answers."""

RESERVE = LOOK_SECONDS + 0.5
"""Seconds of a login that are kept for that look, and for Argon2 after it."""

DOWN_SECONDS = 3.0
"""Seconds for which a directory that was away is believed to be."""

ROOM = 50_000
"""How many accounts are known to have a verifier of their password."""


class Downs:
    """Know whether a directory is away: none of its servers answers the bridge."""

    def __init__(self, look: Look, clock: Callable[[], float] = time.monotonic) -> None:
        """Take what looks at accounts, and a clock of seconds."""
        self._look = look
        self._clock = clock
        self._until: dict[tuple[DomainName, str], float] = {}

    def __call__(self, account: Account, deadline: Deadline) -> bool:
        """Whether no server of an account's directory answers.

        Where there is not the time to ask them, nobody knows: False.
        """
        which = (account.domain, account.source)
        if self._clock() < self._until.get(which, 0.0):
            return True
        if deadline.left() < LOOK_SECONDS:
            return False
        soon = Deadline.after(deadline.within(LOOK_SECONDS))
        found = self._look(account, soon)
        down = isinstance(found, Cause) and found in AWAY
        if down:
            self._until[which] = self._clock() + DOWN_SECONDS
        return down


@dataclass(frozen=True, slots=True)
class _Kept:
    """What this process knows of an account's verifier.

    Attributes:
        digest: What stands for the password that the directory accepted last.
        at: When it was looked whether its verifier is still there.
        mark: The account's digest then.
        verifier: The verifier of that very password, "" while none is known.
    """

    digest: bytes = field(repr=False)
    at: datetime
    mark: bytes = field(repr=False)
    verifier: str = field(default="", repr=False)


class Offline:
    """Accept during an outage what the directory accepted before; see `login.stage`."""

    def __init__(
        self,
        lifetimes: Mapping[DomainName, timedelta],
        store: CredentialsStore,
        is_down: Callable[[Account, Deadline], bool],
        errands: Errands,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        hasher: PasswordHasher = HASHER,
    ) -> None:
        """Take what is allowed, and what it needs.

        Args:
            lifetimes: How long after its last proof a password is accepted, for each
                domain that has offline logins.
            store: Keeps the verifiers.
            is_down: Whether no server of an account's directory answers.
            errands: Makes verifiers.
            now: The time (UTC).
            hasher: Argon2id.
        """
        self._lifetimes = lifetimes
        self._store = store
        self._is_down = is_down
        self._errands = errands
        self._now = now
        self._hasher = hasher
        self._key = secrets.token_bytes(32)
        self._slots = threading.BoundedSemaphore(AT_ONCE)
        # And one for the errands.
        self._modest = Modest(AT_ONCE + 1)
        self._lock = threading.Lock()
        self._kept: OrderedDict[int, _Kept] = OrderedDict()
        self._doubted: dict[int, int] = {}
        # Doubted until the directory accepts a password again.
        self._lost: set[int] = set()
        self._missed: dict[int, list[datetime]] = {}

    def before(self, login: Login) -> Verdict | None:
        """Let every login pass: the directory is asked first."""
        del login
        return None

    def passes(self, login: Login) -> bool:
        """Let every login pass; see `Swift`."""
        del login
        return True

    def after(self, login: Login, verdict: Verdict) -> Verdict:
        """Learn from the directory, or stand in for it."""
        account = login.account
        if account is None or account.origin is Origin.LOCAL:
            return verdict
        lifetime = self._lifetimes.get(account.domain)
        if lifetime is None:
            return verdict
        match verdict:
            case Accepted(method=method) if method in DIRECTORY_METHODS:
                self._proven(account, login.password)
            case Rejected(reason=reason, method=method) if method in DIRECTORY_METHODS:
                self._refused(account, login.password, reason)
            case Unavailable(against=Reason() as reason):
                self._refused(account, login.password, reason)
            case Unavailable(cause=cause) if cause in AWAY:
                if self._stands_in(account, login, lifetime):
                    return Accepted(account.canonical, METHOD, METHOD)
            case _:
                pass
        return verdict

    def until(self, account: Account) -> datetime | None:
        """Return until when an offline login may be accepted, None where none may.

        Raises:
            StoreError: It cannot be read.
        """
        lifetime = self._lifetimes.get(account.domain)
        if lifetime is None or account.origin is Origin.LOCAL:
            return None
        held = self._store.credentials(account).offline
        counts = held is not None and held.mark == account.digest
        return held.proven_at + lifetime if held is not None and counts else None

    def _proven(self, account: Account, password: Secret) -> None:
        digest, now, mark = self._digest(account, password), self._now(), account.digest
        kept = self._kept.get(account.number)
        same = kept if kept and kept.digest == digest else None
        seen = same and same.mark == mark and now - same.at < SEEN
        if seen and account.number not in self._lost:
            return
        # At once, or two logins at the same time would make it twice.
        self._keep(account, _Kept(digest, now, mark, same.verifier if same else ""))
        if not self._errands.add(lambda: self._prove(account, password, digest, now)):
            self._forget(account)

    def _prove(
        self, account: Account, password: Secret, digest: bytes, now: datetime
    ) -> None:
        """Make a verifier, unless the one that is kept will do."""
        try:
            held = self._store.credentials(account).offline
            if held is None or not self._will_do(account, held, password, digest, now):
                verifier = self._modest.run(self._hasher.hash, password.reveal())
                held = OfflineVerifier(verifier, now, account.digest)
                self._store.set_offline(account, held)
            elif held.mark != account.digest:
                held = replace(held, proven_at=now, mark=account.digest)
                self._store.set_offline(account, held)
        except StoreError:
            self._forget(account)
            return
        self._keep(account, _Kept(digest, now, held.mark, held.verifier))
        self._lost.discard(account.number)

    def _will_do(
        self,
        account: Account,
        held: OfflineVerifier,
        password: Secret,
        digest: bytes,
        now: datetime,
    ) -> bool:
        if now - held.proven_at >= RENEWED:
            return False
        kept = self._kept.get(account.number)
        known = kept and (kept.digest, kept.verifier) == (digest, held.verifier)
        return bool(known) or self._fits(held, password)

    def _refused(self, account: Account, password: Secret, reason: Reason) -> None:
        """Doubt the account until it is known whether its password was refused."""
        own = account.number
        with self._lock:
            self._doubted[own] = self._doubted.get(own, 0) + 1
        wrong = password if reason is Reason.WRONG_PASSWORD else None
        if not self._errands.add(lambda: self._doubt(account, wrong)):
            self._lost.add(own)
            self._trust(account)

    def _doubt(self, account: Account, password: Secret | None) -> None:
        try:
            held = self._store.credentials(account).offline
            if held and (password is None or self._fits(held, password)):
                self._store.set_offline(account, None)
                self._forget(account)
        except StoreError:
            self._lost.add(account.number)
        self._trust(account)

    def _trust(self, account: Account) -> None:
        with self._lock:
            left = self._doubted.get(account.number, 0) - 1
            if left > 0:
                self._doubted[account.number] = left
            else:
                self._doubted.pop(account.number, None)

    def _stands_in(self, account: Account, login: Login, lifetime: timedelta) -> bool:
        """Whether the password is the one that the directory accepted last."""
        held = self._counting(account, lifetime)
        if held is None or not self._is_down(account, login.deadline):
            return False
        with self._slot(login.deadline) as free:
            # Others may have guessed while this one waited.
            if not free or self._missed_often(account):
                return False
            if self._fits(held, login.password):
                return True
            self._missed[account.number] = [*self._misses(account), self._now()]
            return False

    def _counting(
        self, account: Account, lifetime: timedelta
    ) -> OfflineVerifier | None:
        """Return the verifier if it counts during an outage."""
        doubted = account.number in self._doubted or account.number in self._lost
        if doubted or self._missed_often(account):
            return None
        try:
            held = self._store.credentials(account).offline
        except StoreError:
            return None
        if held is None or self._now() - held.proven_at >= lifetime:
            return None
        return held if held.mark == account.digest else None

    @contextmanager
    def _slot(self, deadline: Deadline) -> Iterator[bool]:
        free = self._slots.acquire(timeout=deadline.left())
        try:
            yield free
        finally:
            if free:
                self._slots.release()

    def _missed_often(self, account: Account) -> bool:
        """Whether somebody guesses while nobody counts."""
        return len(self._misses(account)) >= MISSES

    def _misses(self, account: Account) -> list[datetime]:
        since = self._now() - timedelta(seconds=MISSED)
        return [at for at in self._missed.get(account.number, ()) if at > since]

    def _fits(self, held: OfflineVerifier, password: Secret) -> bool:
        with suppress(VerificationError, InvalidHashError):
            verify, typed = self._hasher.verify, password.reveal()
            return self._modest.run(verify, held.verifier, typed)
        return False

    def _digest(self, account: Account, password: Secret) -> bytes:
        typed = password.reveal().encode("utf-8", "surrogatepass")
        whose = account.number.to_bytes(8, "big")
        return blake2b(typed, key=self._key, salt=whose, digest_size=16).digest()

    def _keep(self, account: Account, kept: _Kept) -> None:
        with self._lock:
            self._kept[account.number] = kept
            self._kept.move_to_end(account.number)
            while len(self._kept) > ROOM:
                self._kept.popitem(last=False)

    def _forget(self, account: Account) -> None:
        with self._lock:
            self._kept.pop(account.number, None)
