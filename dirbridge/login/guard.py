"""The guard: wrong passwords neither lock an account nor its owner out.

Theory. A phone with an old password tries it all day. Three things keep it from harm:

* A password that the directory refused is refused here (`guard_memory`), for as long as
  a live look at the account says that nothing changed.
* Different wrong ones reach the directory only up to a budget (`guard_budget`).
* One unproven password of an account is on its way at a time (`guard_gate`, among
  processes `guard_locks`), as a burst would overshoot the budget.

Only wrong-password verdicts of a directory are remembered and counted: a lock or an
outage may be over with the next try, and local accounts lock nobody out.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

from dirbridge.authenticators.live import Look, Standing
from dirbridge.config.settings import DIRECTORY_METHODS
from dirbridge.login.guard_addresses import UsualAddresses
from dirbridge.login.guard_budget import Ledger, Passage
from dirbridge.login.guard_gate import Flight, Gate, crowded
from dirbridge.login.guard_locks import AccountLocks
from dirbridge.login.guard_memory import RightPasswords, WrongPasswords
from dirbridge.login.stage import Login
from dirbridge.model.account import Account, Origin
from dirbridge.model.login import (
    AWAY,
    Accepted,
    Cause,
    Reason,
    Rejected,
    Unavailable,
    Verdict,
)

METHOD = "guard"
"""What a verdict says that was given from memory."""


@dataclass(frozen=True, slots=True)
class _Passing:
    """A login that was let pass."""

    digest: bytes
    flight: Flight
    passage: Passage
    locked: bool = False


class Guard:
    """Answer wrong passwords that are known; see `login.stage`."""

    def __init__(
        self,
        looks: Look,
        ledger: Ledger,
        usual: UsualAddresses,
        *,
        methods: Callable[[Account], tuple[str, ...] | None],
        wrong: WrongPasswords | None = None,
        gate: Gate | None = None,
    ) -> None:
        """Take what the guard needs.

        Args:
            looks: Looks at accounts.
            ledger: Counts tries.
            usual: Knows from where people come.
            methods: Names the methods that ask a directory about an account's password;
                () where none is asked, None where that cannot be read.
            wrong: Remembers wrong passwords.
            gate: Lets them pass one by one.
        """
        self._methods = methods
        self._looks = looks
        self._ledger = ledger
        self._usual = usual
        self._wrong = wrong or WrongPasswords()
        self._right = RightPasswords()
        self._gate = gate or Gate()
        self._lock = threading.Lock()
        self._passing: dict[int, _Passing] = {}

    def before(self, login: Login) -> Verdict | None:
        """Answer what is known to be wrong, or beyond the budget."""
        account = login.account
        if account is None or account.origin is Origin.LOCAL:
            return None
        methods = self._methods(account)
        if methods is None:
            # Asked without a count, the directory might lock the account.
            return Unavailable(Cause.STORE, account.canonical, METHOD)
        return self._checked(account, login, methods) if methods else None

    def _checked(
        self, account: Account, login: Login, methods: tuple[str, ...]
    ) -> Verdict | None:
        digest = self._wrong.digest(account, login.password, methods)
        if self._is_wrong(account, login, digest):
            return _known(account)
        proven = self._right.has(digest)
        flight = self._gate.enter(account.number, digest, login.deadline)
        if flight is None:
            return self._crowded(account, login, proven=proven)
        if not isinstance(flight, Flight):
            return flight
        locks = None if proven else self._gate.locks
        refused = None if locks is None else self._alone(account, login, digest, locks)
        if refused is not None:
            self._gate.leave(account.number, flight, refused)
            return refused
        locked = locks is not None
        passage = self._ledger.begin(account, login, proven=proven)
        if passage is None:
            spent = self._spent(account, login)
            self._leave(account, flight, spent, locked=locked)
            return spent
        with self._lock:
            passing = _Passing(digest, flight, passage, locked)
            self._passing[id(login)] = passing
        return None

    def _alone(
        self, account: Account, login: Login, digest: bytes, locks: AccountLocks
    ) -> Verdict | None:
        """Take an account's lock; or say what is told instead, and leave it free."""
        if not locks.wait(account.number, login.deadline):
            return crowded()
        # Another process may have asked since we looked.
        if not self._is_wrong(account, login, digest):
            return None
        locks.give_back(account.number)
        return _known(account)

    def _leave(
        self, account: Account, flight: Flight, verdict: Verdict, *, locked: bool
    ) -> None:
        """Let the next password of an account pass."""
        # Who has the gate has the lock: so it is free before the gate is.
        if locked and self._gate.locks is not None:
            self._gate.locks.give_back(account.number)
        self._gate.leave(account.number, flight, verdict)

    def _crowded(self, account: Account, login: Login, *, proven: bool) -> Verdict:
        """Say what is told where too many passwords of an account wait.

        An outage would tell whoever tries a dozen at once that there is the account: a
        name that nobody has is refused each time. So is this, but for its owner.
        """
        if proven:
            detail = "other logins of this account wait"
            return Unavailable(Cause.OVERLOADED, account.canonical, detail=detail)
        return self._spent(account, login)

    def _spent(self, account: Account, login: Login) -> Verdict:
        """Say what is told where no password may be asked; an outage stays one."""
        standing = self._looks(account, login.deadline)
        if isinstance(standing, Cause) and standing in AWAY:
            detail = "the budget is spent, and no server answers a look"
            return Unavailable(standing, account.canonical, METHOD, METHOD, detail)
        return Rejected(Reason.GUARDED, account.canonical, METHOD, METHOD)

    def passes(self, login: Login) -> bool:
        """Let a login pass that `before` lets pass without a wait; see `Swift`."""
        account = login.account
        if account is None:
            return False
        methods = () if account.origin is Origin.LOCAL else self._methods(account)
        if not methods:
            return methods is not None
        digest = self._wrong.digest(account, login.password, methods)
        known = self._right.has(digest) and self._wrong.find(digest) is None
        passage = self._ledger.begin_at_once(account) if known else None
        if passage is None:
            return False
        flight = self._gate.enter_at_once(account.number, digest, login.deadline)
        if flight is None:
            return False
        with self._lock:
            self._passing[id(login)] = _Passing(digest, flight, passage)
        return True

    def after(self, login: Login, verdict: Verdict) -> Verdict:
        """Learn from the directory's verdict."""
        with self._lock:
            passing = self._passing.pop(id(login), None)
        account = login.account
        if passing is None or account is None:
            return verdict
        try:
            self._ledger.end(account, login, passing.passage, verdict)
            self._learn(account, login, passing.digest, verdict)
        finally:
            flight, locked = passing.flight, passing.locked
            self._leave(account, flight, verdict, locked=locked)
        return verdict

    def _is_wrong(self, account: Account, login: Login, digest: bytes) -> bool:
        """Whether a password is remembered, and nothing changed since."""
        wrong = self._wrong.find(digest)
        if wrong is None:
            return False
        standing = self._looks(account, login.deadline)
        if not isinstance(standing, Standing):
            return False
        if self._wrong.mark(standing.password_mark) == wrong.mark:
            return True
        self._wrong.forget(digest)
        return False

    def _learn(
        self, account: Account, login: Login, digest: bytes, verdict: Verdict
    ) -> None:
        match verdict:
            case Rejected(Reason.WRONG_PASSWORD, method=method) if (
                method in DIRECTORY_METHODS
            ):
                self._right.forget(digest)
                standing = self._looks(account, login.deadline)
                if isinstance(standing, Standing):
                    self._wrong.keep(digest, standing.password_mark)
            case Accepted(method=method) if method in DIRECTORY_METHODS:
                self._wrong.forget(digest)
                self._right.add(digest)
                self._usual.saw(account, login.request.remote_ip)


def _known(account: Account) -> Rejected:
    detail = "the same password as before; nothing changed in the directory"
    return Rejected(Reason.WRONG_PASSWORD, account.canonical, METHOD, METHOD, detail)
