"""What a store remembers of one person beside their account: the contract.

Tested by `tests/contract/test_store_personal.py`.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

from dirbridge.model.account import Account
from dirbridge.model.names import DirectoryId

if TYPE_CHECKING:
    from dirbridge.store.base import RecordedAttempt


@dataclass(frozen=True, slots=True)
class Erased:
    """How much was stripped of personal values.

    Attributes:
        changes: Audit rows.
        attempts: Login attempts.
    """

    changes: int
    attempts: int


@dataclass(frozen=True, slots=True)
class Place:
    """From where somebody logs in.

    Attributes:
        address: The client's address; of IPv6, its network's first one.
        last_at: When they did so last (UTC), to a day.
    """

    address: str
    last_at: datetime


class PersonalReader(Protocol):
    """What may be asked; every method may raise `StoreError`."""

    def places(self, account: Account) -> tuple[Place, ...]:
        """Return from where an account logs in, the newest first."""
        ...

    def last_accepted(
        self, account: Account, method: str
    ) -> tuple[RecordedAttempt, ...]:
        """Return the newest attempts that a method accepted, one for each server.

        Args:
            account: Whose.
            method: The login method.
        """
        ...


class PersonalStore(PersonalReader, Protocol):
    """What may be written, all at once or not at all."""

    def erase(
        self,
        account: Account,
        ids: Collection[DirectoryId],
        suffixes: Collection[str] = (),
    ) -> Erased:
        """Strip personal values from history and attempts, for good.

        What is left is what the numbers need: when something happened to which id,
        which fields changed, and how a login ended. Other accounts' rows lose what
        names this one. Revoked app passwords go, and of a removed account all of its
        credentials. The account itself stays, and with a living one the count of wrong
        passwords that went to its directory: the directory has not forgotten them, and
        would lock it.

        Args:
            account: Whose.
            ids: Its stable id, and those that it had before.
            suffixes: What people of its domain may write behind the `@`. An attempt
                of nobody that is known is theirs by one of their names, with one of
                these, an NT domain, or nothing.
        """
        ...
