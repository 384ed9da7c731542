"""What the guard has counted of an account, who made it fail, and offline logins."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from dirbridge.explain.credentials import is_local
from dirbridge.login.guard_addresses import is_usual
from dirbridge.login.guard_budget import Budget, later
from dirbridge.model.account import Account
from dirbridge.model.deadline import Deadline
from dirbridge.model.finding import Outcome, Step
from dirbridge.model.login import IPAddress, Reason
from dirbridge.model.names import DomainName
from dirbridge.model.sentences import REASONS
from dirbridge.store.base import StoreReader
from dirbridge.store.tries_base import Failing, Tries

LOOKED_BACK = timedelta(hours=24)
"""How far back failures are told."""

_RULE = (
    "The last of them is kept for addresses from which the account logged in within "
    "90 days. They lapse when the directory forgets wrong passwords."
)


@dataclass(frozen=True, slots=True)
class Guarding:
    """Tell what keeps an account from harm.

    Attributes:
        budgets: Gives how many wrong passwords of an account may reach its directory.
        lifetimes: How long offline logins last, for each domain that has them.
        now: The time (UTC).
    """

    budgets: Callable[[Account, Deadline], Budget] = lambda _account, _deadline: (
        Budget()
    )
    lifetimes: Mapping[DomainName, timedelta] = field(default_factory=dict)
    now: Callable[[], datetime] = lambda: datetime.now(UTC)

    def steps(
        self, store: StoreReader, account: Account, remote_ip: IPAddress | None
    ) -> Iterator[Step]:
        """Tell of one account.

        Args:
            store: The local user database.
            account: The account.
            remote_ip: From where it is to log in, where that was said.

        Raises:
            StoreError: It cannot be read.
        """
        if not is_local(store, account):
            yield from self._counted(store, account, remote_ip)
            yield from self._offline(store, account)
        yield from self._failing(store, account)

    def _counted(
        self, store: StoreReader, account: Account, remote_ip: IPAddress | None
    ) -> Iterator[Step]:
        tries = store.tries(account)
        if tries is None:
            return
        budget = self.budgets(account, Deadline.after(2.0))
        until = later(tries.last_at, budget.window)
        if until <= self.now():
            return
        found = (
            f"{tries.count} of {budget.tries} wrong passwords have gone to the "
            f"directory; all are forgotten on {_shown(until)}."
        )
        outcome = self._outcome(store, account, remote_ip, tries, budget)
        if outcome is Outcome.OK:
            yield Step("guard", found, _RULE, outcome)
            return
        advice = REASONS[Reason.GUARDED]
        whom = "Only usual addresses may log in until then."
        words = whom if outcome is Outcome.WARNING else f"{advice.text} {advice.next}"
        yield Step("guard", f"{found} {words}", _RULE, outcome, advice.who)

    def _outcome(
        self,
        store: StoreReader,
        account: Account,
        remote_ip: IPAddress | None,
        tries: Tries,
        budget: Budget,
    ) -> Outcome:
        if tries.count < budget.anybody:
            return Outcome.OK
        if tries.count >= budget.tries:
            return Outcome.FAILED
        if remote_ip is None:
            return Outcome.WARNING
        usual = is_usual(store, account, remote_ip, self.now())
        return Outcome.OK if usual else Outcome.FAILED

    def _offline(self, store: StoreReader, account: Account) -> Iterator[Step]:
        lifetime = self.lifetimes.get(account.domain)
        if lifetime is None:
            return
        held = store.credentials(account).offline
        until = held and later(held.proven_at, lifetime)
        if until and until > self.now():
            found = f"Until {_shown(until)} the last password does in an outage."
        else:
            found = "In an outage the account cannot log in: no login is kept for it."
        rule = "A login that the directory accepted is kept for `offline_logins`."
        yield Step("offline", found, rule, Outcome.OK)

    def _failing(self, store: StoreReader, account: Account) -> Iterator[Step]:
        failing = store.failures(account.canonical, self.now() - LOOKED_BACK)
        if failing:
            found = "These failed to log in within a day:"
            facts = tuple(map(_fact, failing))
            yield Step("failures", found, "", Outcome.OK, facts=facts)


def _fact(one: Failing) -> tuple[str, str]:
    times = "once" if one.count == 1 else f"{one.count} times"
    service = f" for {one.service}" if one.service else ""
    where = f"{times}{service} at {one.hook}, last on {_shown(one.last_at)}"
    return one.address or "an unknown address", where


def _shown(time: datetime) -> str:
    return f"{time.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
