"""How many wrong passwords of an account may reach its directory.

Theory. Active Directory counts the wrong passwords of an account and forgets them when
the last one is longer ago than its window; at the threshold it locks the account, for
Windows too. So the bridges of a fleet count the same way in their common store, and
stop below the threshold. The rest is left to its owner, who may mistype at the door as
well. The last try of a window is kept for addresses from which the owner logged in
before: who uses up the others from elsewhere does not lock the owner out of their mail.

A try is taken before the directory is asked, and given back unless the password is
wrong, or may be: a server that had it and did not answer may have counted it. So
however many bridges there are, no more wrong ones reach the directory than the budget.
But nothing is read and written for a password that the directory accepted before, as
long as nothing is counted; nearly all are such. Where that is wrong by now it is
counted afterwards, so at most one for each bridge that has seen it accepted is late.

A login at another server does not make the one that counted forget. Kerberos does not
say which KDC it was, so its tries are forgotten with the window only.

Where the store cannot be written in time (a first import holds SQLite for minutes),
this process counts for itself until then.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from dirbridge.config.settings import DIRECTORY_METHODS, Method
from dirbridge.directory.lockout import Lockout
from dirbridge.errors import StoreError
from dirbridge.login.guard_addresses import UsualAddresses
from dirbridge.login.guard_counted import Counted
from dirbridge.login.stage import Login
from dirbridge.model.account import Account
from dirbridge.model.deadline import Deadline
from dirbridge.model.login import Accepted, Reason, Rejected, Unavailable, Verdict
from dirbridge.store.tries import MemoryTries
from dirbridge.store.tries_base import Tries, TriesStore

DEFAULT_TRIES = 4
"""The most unless the configuration says otherwise: somebody may have a stricter policy
of their own, which a service account may usually not read. Below five is rare."""

DEFAULT_WINDOW = timedelta(minutes=30)
"""The least, for the same reason; Active Directory's own default."""

BELIEVED = 600.0
"""Seconds for which a directory's policy is believed."""

ROOM = 1000
"""How many accounts' policies are kept."""

_COUNTED = 10**6

_EVER = datetime(1970, 1, 1, tzinfo=UTC)
"""Nothing was counted before that."""


@dataclass(frozen=True, slots=True)
class Budget:
    """What may be tried with an account's passwords.

    Attributes:
        tries: How many wrong ones may reach the directory within a window.
        window: How long after a wrong one the directory forgets it.
    """

    tries: int = DEFAULT_TRIES
    window: timedelta = DEFAULT_WINDOW

    @property
    def anybody(self) -> int:
        """How many of them are for any address; one is for the usual ones."""
        return max(1, self.tries - 1)


def budget_of(
    lockout: Lockout | None, tries: int | None = None, window: timedelta | None = None
) -> Budget:
    """Return a budget that stays below a directory's threshold.

    Args:
        lockout: What the directory says, None where it does not tell.
        tries: What the configuration says, or None.
        window: What the configuration says, or None.
    """
    wanted, span = tries or DEFAULT_TRIES, window or DEFAULT_WINDOW
    if lockout is None or not lockout.threshold:
        return Budget(wanted, span)
    half = tries or min(DEFAULT_TRIES, lockout.threshold // 2 + 1)
    below = max(1, min(half, lockout.threshold - 1))
    return Budget(below, max(lockout.window, span))


class Budgets:
    """Each account's budget, by the directory's word; for many threads."""

    def __init__(
        self,
        ask: Callable[[Account, Deadline], Budget | None],
        otherwise: Callable[[Account], Budget] = lambda _account: Budget(),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Take what asks the directory.

        Args:
            ask: Gives an account's budget, None where the directory cannot be asked.
            otherwise: Gives the one that holds until it can.
            clock: Seconds.
        """
        self._ask = ask
        self._otherwise = otherwise
        self._clock = clock
        self._lock = threading.Lock()
        self._kept: OrderedDict[int, tuple[float, Budget]] = OrderedDict()

    def __call__(self, account: Account, deadline: Deadline) -> Budget:
        """Return an account's budget; the directory is asked now and then."""
        at, budget = self._kept.get(account.number, (0.0, None))
        if budget is not None and self._clock() - at < BELIEVED:
            return budget
        found = self._ask(account, deadline)
        if found is None:
            return budget or self._otherwise(account)
        with self._lock:
            self._kept[account.number] = (self._clock(), found)
            self._kept.move_to_end(account.number)
            while len(self._kept) > ROOM:
                self._kept.popitem(last=False)
        return found


@dataclass(frozen=True, slots=True)
class Passage:
    """A password on its way to the directory.

    Attributes:
        before: What had been counted, None where nothing was.
        taken: Where a try was taken for it; None where none was.
        taken_at: When it was taken.
        last_at: What then counts as the last one, if it is given back.
        proven: Whether the directory accepted the password before.
    """

    before: Tries | None = None
    taken: TriesStore | None = None
    taken_at: datetime = _EVER
    last_at: datetime = _EVER
    proven: bool = False


class Ledger:
    """Count wrong tries for the fleet; safe from any thread, never raises."""

    def __init__(
        self,
        store: TriesStore,
        budgets: Callable[[Account, Deadline], Budget],
        usual: UsualAddresses,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        counted: Counted | None = None,
    ) -> None:
        """Take what is counted in, and what may be counted.

        Args:
            store: The fleet's count.
            budgets: Gives an account's budget.
            usual: From where people usually come.
            now: The time (UTC).
            counted: Knows of whom something is counted.
        """
        self._counted = counted or Counted(store)
        self._store = store
        self._own = MemoryTries()
        self._budgets = budgets
        self._usual = usual
        self._now = now

    def begin(
        self, account: Account, login: Login, *, proven: bool = False
    ) -> Passage | None:
        """Let a password pass, taking a try for it where need be; None: none is left.

        Args:
            account: Whose.
            login: The login.
            proven: Whether the directory accepted this password before.
        """
        held = self._held(account, proven=proven)
        # Nearly all logins; the policy is not even looked up.
        if not held and proven:
            return Passage(proven=True)
        first = None if held else self._first(account)
        if first is not None:
            return first
        held = held or self._held(account, proven=False)
        return self._next(account, login, held, proven=proven)

    def _first(self, account: Account) -> Passage | None:
        """Take the first try, which every budget has; None: somebody else did."""
        now = self._now()
        taken = self._take(account, now, _EVER, 1, 1)
        return None if taken is None else Passage(None, taken, now, now)

    def _next(
        self, account: Account, login: Login, held: dict[int, Tries], *, proven: bool
    ) -> Passage | None:
        """Take a try where something is counted; None: none is left."""
        address = login.request.remote_ip
        budget = self._budgets(account, login.deadline)
        now = self._now()
        since = _before(now, budget.window)
        live = {k: one for k, one in held.items() if one.last_at >= since}
        count = sum(one.count for one in live.values())
        most = budget.anybody
        if count >= most and self._usual.has(account, address):
            most = budget.tries
        if count >= most:
            return None
        own = live.get(id(self._own))
        spent = own.count if own else 0
        taken = self._take(account, now, since, most - spent, most - (count - spent))
        if taken is None:
            return None
        before = live.get(id(taken))
        return Passage(before, taken, now, before.last_at if before else now, proven)

    def begin_at_once(self, account: Account) -> Passage | None:
        """Let a proven password pass as `begin` does most; None: a look is needed."""
        if self._own.tries(account) is not None or not self._counted.is_none(account):
            return None
        return Passage(proven=True)

    def end(
        self, account: Account, login: Login, passage: Passage, told: Verdict
    ) -> None:
        """Learn what became of a password that was let pass."""
        match told:
            case Rejected(Reason.WRONG_PASSWORD, method=method) if (
                method in DIRECTORY_METHODS
            ):
                self._wrong(account, login, passage, _server(told))
            case Unavailable(sent=True, method=method) if method in DIRECTORY_METHODS:
                self._unanswered(account, login, passage, _server(told))
            case Accepted(method=method) if method in DIRECTORY_METHODS:
                self._right(account, passage, _server(told))
            case _:
                self._give_back(account, passage)

    def _held(self, account: Account, *, proven: bool) -> dict[int, Tries]:
        """Return what was counted, by the place where it was.

        For a proven password it may be a moment old.
        """
        found: dict[int, Tries] = {}
        own = self._own.tries(account)
        if own is not None:
            found[id(self._own)] = own
        if proven and not self._counted.may_be(account):
            return found
        try:
            fleet = self._store.tries(account)
        except StoreError:
            return found
        if fleet is not None:
            found[id(self._store)] = fleet
        return found

    def _take(
        self, account: Account, now: datetime, since: datetime, fleet: int, own: int
    ) -> TriesStore | None:
        """Take a try where it can be counted; gives where, None where none is left."""
        place: TriesStore = self._store
        try:
            took = place.count_try(account, now, since=since, most=fleet)
            self._counted.note(account)
        except StoreError:
            place = self._own
            took = place.count_try(account, now, since=since, most=own)
        return place if took else None

    def _wrong(
        self, account: Account, login: Login, passage: Passage, server: str
    ) -> None:
        now, taken = self._now(), passage.taken
        if taken is None:
            since = _before(now, self._budgets(account, login.deadline).window)
            taken = self._take(account, now, since, _COUNTED, _COUNTED)
        if taken is None:
            return
        try:
            taken.place_try(account, now, server)
        except StoreError:
            # It is counted; only the server is not known, so no login at another one
            # will let us forget it.
            return

    def _unanswered(
        self, account: Account, login: Login, passage: Passage, server: str
    ) -> None:
        """Take an unproven password for wrong: the server may have done so."""
        if passage.proven:
            self._give_back(account, passage)
        else:
            self._wrong(account, login, passage, server)

    def _right(self, account: Account, passage: Passage, server: str) -> None:
        """Forget what the server forgets as well: another one may go on counting."""
        before = passage.before
        if before is None or not server or before.server != server:
            self._give_back(account, passage)
            return
        self._own.forget_tries(account)
        try:
            self._store.forget_tries(account)
        except StoreError:
            self._give_back(account, passage)

    def _give_back(self, account: Account, passage: Passage) -> None:
        taken = passage.taken
        if taken is None:
            return
        if passage.before is None:
            self._counted.forget(account)
        try:
            taken.give_back_try(account, passage.taken_at, passage.last_at)
        except StoreError:
            # It lapses with the window: too careful rather than an account locked.
            return


def later(time: datetime, span: timedelta) -> datetime:
    """Return a time that some span of time later, the last one there is at most."""
    try:
        return time + span
    except OverflowError:
        return datetime.max.replace(tzinfo=UTC)


def _before(now: datetime, window: timedelta) -> datetime:
    try:
        return now - window
    except OverflowError:
        return datetime.min.replace(tzinfo=UTC)


def _server(told: Verdict) -> str:
    """Return which server counts, "" where nobody can say.

    Without its port, as each method has one of its own. What `kerberos` names is its
    realm, of which one KDC was asked.
    """
    if told.method == Method.KERBEROS:
        return ""
    server = told.server
    host, _, port = server.rpartition(":")
    return host if host and port.isdigit() else server
