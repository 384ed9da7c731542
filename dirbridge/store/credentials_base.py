"""What a store keeps for logins beside accounts: its contract.

What an admin changes here is a run of its own in the history (`store.credentials`).
It changes no account and moves no version: no sync is outrun by it, and none reads
everything again because of it. But `Store.changed` tells of it.

Tested by `tests/contract/test_store_credentials.py`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Protocol

from dirbridge.model.account import Account
from dirbridge.model.credentials import AppPassword, Credentials, OfflineVerifier
from dirbridge.model.names import DomainName


class CredentialsReader(Protocol):
    """What may be asked; every method may raise `StoreError`."""

    def credentials(self, account: Account) -> Credentials:
        """Return all that an account's logins may use, in one look."""
        ...

    def app_passwords(self, account: Account) -> tuple[AppPassword, ...]:
        """Return an account's app passwords, also the revoked ones, oldest first."""
        ...

    def switched(self) -> Mapping[tuple[DomainName, str, str], int]:
        """Count who has a login method of their own choice, and is not removed.

        Returns:
            How many, by domain, directory within it, and method.
        """
        ...

    def verifier(self, account: Account) -> str | None:
        """Return an account's Argon2id verifier (PHC string), or None."""
        ...


class CredentialsStore(CredentialsReader, Protocol):
    """What may be written. They stay with an account that is removed, unused.

    Raises:
        StoreError: `refused` where there is no such account, among others.
    """

    def set_methods(self, account: Account, methods: Collection[str]) -> None:
        """Choose an account's login methods, in order; () gives it its domain's."""
        ...

    def set_verifier(self, account: Account, verifier: str | None) -> None:
        """Keep an account's Argon2id verifier, or forget it."""
        ...

    def add_app_password(self, account: Account, new: AppPassword) -> AppPassword:
        """Keep an app password; its number is given by the store."""
        ...

    def revoke_app_password(self, account: Account, number: int, at: datetime) -> bool:
        """Let an app password count no more.

        Returns:
            Whether the account had one with this number that still counted.
        """
        ...

    def set_offline(self, account: Account, offline: OfflineVerifier | None) -> None:
        """Keep what lets an account in during an outage, or forget it.

        No admin does this, but a login; so there is no run, and nobody is told.
        """
        ...
