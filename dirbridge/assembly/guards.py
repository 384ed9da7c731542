"""The stages that stand before the methods, and what they know of each domain."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property

from dirbridge.assembly.directories import Directories
from dirbridge.authenticators.live import Look
from dirbridge.config.settings import DirectoryType, Settings
from dirbridge.connectors.lockout import lockout_at
from dirbridge.directory.lockout import Lockout
from dirbridge.errors import ConfigError, DirectoryError
from dirbridge.login.app_passwords import AppPasswords
from dirbridge.login.cache import PositiveCache
from dirbridge.login.choices import Choices
from dirbridge.login.errands import Errands
from dirbridge.login.guard import Guard
from dirbridge.login.guard_addresses import UsualAddresses
from dirbridge.login.guard_budget import Budget, Budgets, Ledger, budget_of
from dirbridge.login.guard_gate import Gate
from dirbridge.login.guard_locks import AccountLocks
from dirbridge.login.guard_looks import Looks
from dirbridge.login.guard_memory import WrongPasswords
from dirbridge.login.limits import AddressLimit, AddressLimits
from dirbridge.login.offline import RESERVE, Downs, Offline
from dirbridge.login.pacing import Pacing
from dirbridge.login.stage import Stage
from dirbridge.model.account import Account
from dirbridge.model.credentials import Credentials
from dirbridge.model.deadline import Deadline
from dirbridge.model.login import IPNetwork
from dirbridge.model.names import DomainName
from dirbridge.store.base import Store

_A_MOMENT = 2.0
"""Most seconds of a login to ask for a directory's lock-out policy."""


@dataclass(frozen=True, slots=True)
class Shared:
    """What the guards of all processes of one bridge have in common.

    Attributes:
        wrong: Wrong passwords.
        locks: See `guard_locks`; None where there is one process.
    """

    wrong: WrongPasswords
    locks: AccountLocks | None

    @classmethod
    def among(cls, processes: int) -> Shared:
        """Make it, before the processes are forked."""
        return cls(WrongPasswords(), AccountLocks() if processes > 1 else None)


@dataclass(frozen=True)
class Guards:
    """Makes stages.

    Attributes:
        settings: The settings of `dirbridge.toml`.
        directories: Are asked for their lock-out policies.
        look: Reads an account's entry live.
        shared: What all processes have in common.
    """

    settings: Settings
    directories: Directories
    look: Look
    shared: Shared

    def instant(
        self, credentials: Callable[[Account], Credentials], cache: PositiveCache
    ) -> tuple[Stage, ...]:
        """Return the outer stages, outermost first; they wait for nobody."""
        return (
            Pacing(),
            self._address_limits(),
            AppPasswords(credentials, self.app_passwords_from),
            cache,
        )

    def inner(self, store: Store, choices: Choices) -> tuple[Stage, ...]:
        """Return the stages that stand right before the directory."""
        errands = Errands("login-errands")
        usual = UsualAddresses(store, errands)
        ledger = Ledger(store, self.budgets, usual)
        guard = Guard(
            Looks(self.look),
            ledger,
            usual,
            methods=choices.in_directory,
            wrong=self.shared.wrong,
            gate=Gate(locks=self.shared.locks),
        )
        # What the guard tells as an outage, an offline login may stand in for.
        return Offline(self.offline_logins, store, Downs(self.look), errands), guard

    def _address_limits(self) -> AddressLimits:
        guard = self.settings.guard
        limit = AddressLimit(
            guard.accounts_per_address, guard.address_window, guard.trusted_networks
        )
        return AddressLimits(limit)

    @cached_property
    def app_passwords_from(self) -> dict[DomainName, tuple[IPNetwork, ...]]:
        """From where nothing but app passwords is taken, by domain."""
        domains = self.settings.domains.items()
        return {name: one.login.require_app_password_from for name, one in domains}

    def positive_cache(
        self, credentials: Callable[[Account], Credentials]
    ) -> PositiveCache:
        """Return the stage that remembers what a directory accepted."""
        domains = self.settings.domains
        lifetimes = {n: one.login.cache.total_seconds() for n, one in domains.items()}
        # pwdLastSet and lockoutTime are among what is read of an entry.
        told = {
            (name, directory.name)
            for name, one in domains.items()
            for directory in one.directory
            if directory.type is DirectoryType.ACTIVE_DIRECTORY
        }
        return PositiveCache(lifetimes, credentials, told=told)

    @property
    def reserves(self) -> dict[DomainName, float]:
        """Seconds of a login that are kept for an offline one, where there are such."""
        return dict.fromkeys(self.offline_logins, RESERVE)

    @cached_property
    def offline_logins(self) -> dict[DomainName, timedelta]:
        """For how long accounts log in without their directory, where they may."""
        return {
            name: domain.login.offline_logins
            for name, domain in self.settings.domains.items()
            if domain.login.offline_logins is not None
        }

    @cached_property
    def budgets(self) -> Budgets:
        """How many wrong passwords may reach each account's directory."""
        return Budgets(self._budget_by_directory, lambda a: self._budget(a, None))

    def _budget_by_directory(
        self, account: Account, deadline: Deadline
    ) -> Budget | None:
        """Return the budget below what the directory allows; None if it cannot tell."""
        connector = self.directories.active.get((account.domain, account.source))
        if connector is None:
            return self._budget(account, None)
        question = lockout_at(account.values.directory_id)
        try:
            found = connector.ask(question, Deadline.after(deadline.within(_A_MOMENT)))
        except (ConfigError, DirectoryError):
            return None
        return self._budget(account, found)

    def _budget(self, account: Account, lockout: Lockout | None) -> Budget:
        login = self.settings.domains[account.domain].login
        return budget_of(lockout, login.wrong_tries, login.wrong_window)
