"""What the bridges of a fleet tell each other of wrong passwords: the contract.

The guard counts here how many wrong passwords of an account went to its directory, and
keeps from where its owner logs in. Tested by `tests/contract/test_store_tries.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from dirbridge.model.account import Account
from dirbridge.model.login import IPAddress

MOST_FAILING = 10
"""How many `TriesReader.failures` names."""


@dataclass(frozen=True, slots=True)
class Tries:
    """Wrong passwords of one account that went to its directory.

    Attributes:
        count: How many; some of them may still wait for their verdict.
        last_at: When the last one went there (UTC).
        server: The server that had all of them, "" where they went to several.
    """

    count: int
    last_at: datetime
    server: str


@dataclass(frozen=True, slots=True)
class Failing:
    """Who makes an account's logins fail.

    Attributes:
        address: The client's address, "" where it is not known.
        service: The mail service.
        hook: The hook.
        count: How many logins failed.
        last_at: When the last one did (UTC).
    """

    address: str
    service: str
    hook: str
    count: int
    last_at: datetime


class TriesReader(Protocol):
    """What may be asked; every method may raise `StoreError`."""

    def tries(self, account: Account) -> Tries | None:
        """Return what was counted of an account, None where nothing is."""
        ...

    def tried(self, most: int) -> frozenset[int] | None:
        """Return the numbers of all accounts of which something is counted.

        Args:
            most: How many may be listed; None is returned where there are more.
        """
        ...

    def came_from(self, account: Account, address: IPAddress) -> datetime | None:
        """Return when an account last logged in from an address, None if never."""
        ...

    def failures(self, name: str, since: datetime) -> tuple[Failing, ...]:
        """Return who made the logins of somebody fail, the most frequent first.

        Args:
            name: `mailbox@domain`, or what was typed; compared after `fold`.
            since: Only failures since then (UTC).
        """
        ...


class TriesStore(TriesReader, Protocol):
    """What may be written, all at once or not at all, for all bridges of a store.

    A login waits for these, so they give up soon where a sync holds the database:
    `StoreError` is `locked` then.
    """

    def count_try(
        self, account: Account, at: datetime, *, since: datetime, most: int
    ) -> bool:
        """Count one more try, unless there are that many already.

        Args:
            account: Whose.
            at: Now (UTC).
            since: What was counted last before that has lapsed.
            most: How many there may be, with this one.

        Returns:
            Whether it was counted.
        """
        ...

    def place_try(self, account: Account, at: datetime, server: str) -> None:
        """Note when and by which server the newest try was found wrong."""
        ...

    def give_back_try(
        self, account: Account, taken_at: datetime, last_at: datetime
    ) -> None:
        """Take back a try that was not found wrong.

        Args:
            account: Whose.
            taken_at: When it was counted.
            last_at: When the last one before it went to the directory; that counts as
                the last one again, unless another one came after `taken_at`.
        """
        ...

    def forget_tries(self, account: Account) -> None:
        """Forget them: the directory has done so, too."""
        ...

    def note_address(self, account: Account, address: IPAddress, at: datetime) -> None:
        """Note that an account logged in from an address."""
        ...

    def forget_addresses(self, account: Account) -> None:
        """Forget from where somebody logged in, for `accounts erase`."""
        ...

    def prune_addresses(self, before: datetime) -> int:
        """Forget addresses that nobody logged in from since then.

        Returns:
            How many were forgotten.
        """
        ...
