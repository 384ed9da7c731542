"""Credentials in memory; see `store.credentials_base`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Protocol

from dirbridge.model.account import Account, AccountState
from dirbridge.model.credentials import AppPassword, Credentials, OfflineVerifier
from dirbridge.model.names import DomainName
from dirbridge.store.credentials import (
    Deed,
    app_password_added,
    app_password_revoked,
    methods_chosen,
    verifier_set,
)

Alter = Callable[[Credentials], tuple[Credentials, Deed | None]]
"""Changes what an account has, app passwords that were revoked among it."""


class _Holder(Protocol):
    """What a store in memory gives to the methods below."""

    def _credentials(self) -> Mapping[int, Credentials]: ...

    def accounts(self) -> Iterator[Account]: ...

    def _alter(self, account: Account, alter: Alter) -> None: ...


class MemoryCredentials:
    """What `MemoryStore` does for credentials."""

    def credentials(self: _Holder, account: Account) -> Credentials:
        """Return all that an account's logins may use."""
        held = self._credentials().get(account.number, Credentials())
        counting = (one for one in held.app_passwords if one.revoked_at is None)
        return replace(held, app_passwords=tuple(counting))

    def app_passwords(self: _Holder, account: Account) -> tuple[AppPassword, ...]:
        """Return an account's app passwords, also the revoked ones."""
        return self._credentials().get(account.number, Credentials()).app_passwords

    def switched(self: _Holder) -> Mapping[tuple[DomainName, str, str], int]:
        """Count who has a login method of their own choice."""
        held = self._credentials()
        return Counter(
            (one.domain, one.source, method)
            for one in self.accounts()
            if one.state is not AccountState.REMOVED
            for method in held.get(one.number, Credentials()).methods
        )

    def verifier(self: _Holder, account: Account) -> str | None:
        """Return an account's Argon2id verifier, or None."""
        return self._credentials().get(account.number, Credentials()).verifier

    def set_methods(self: _Holder, account: Account, methods: Collection[str]) -> None:
        """Choose an account's login methods."""
        new = tuple(methods)
        self._alter(
            account,
            lambda held: (
                replace(held, methods=new),
                methods_chosen(held.methods, new) if held.methods != new else None,
            ),
        )

    def set_verifier(self: _Holder, account: Account, verifier: str | None) -> None:
        """Keep an account's Argon2id verifier, or forget it."""
        self._alter(
            account,
            lambda held: (
                replace(held, verifier=verifier),
                verifier_set(held.verifier, verifier)
                if held.verifier != verifier
                else None,
            ),
        )

    def add_app_password(
        self: _Holder, account: Account, new: AppPassword
    ) -> AppPassword:
        """Keep an app password; its number is given by the store."""
        made: list[AppPassword] = []

        def alter(held: Credentials) -> tuple[Credentials, Deed | None]:
            everybody = self._credentials().values()
            last = max(
                (p.number for c in everybody for p in c.app_passwords), default=0
            )
            made.append(replace(new, number=last + 1))
            kept = replace(held, app_passwords=(*held.app_passwords, made[-1]))
            return kept, app_password_added(new.label)

        self._alter(account, alter)
        return made[-1]

    def revoke_app_password(
        self: _Holder, account: Account, number: int, at: datetime
    ) -> bool:
        """Let an app password count no more."""
        revoked: list[str] = []

        def one(held: AppPassword) -> AppPassword:
            if held.number != number or held.revoked_at is not None:
                return held
            revoked.append(held.label)
            return replace(held, revoked_at=at)

        def alter(held: Credentials) -> tuple[Credentials, Deed | None]:
            kept = replace(held, app_passwords=tuple(map(one, held.app_passwords)))
            return kept, app_password_revoked(revoked[0]) if revoked else None

        self._alter(account, alter)
        return bool(revoked)

    def set_offline(
        self: _Holder, account: Account, offline: OfflineVerifier | None
    ) -> None:
        """Keep what lets an account in during an outage, or forget it."""
        self._alter(account, lambda held: (replace(held, offline=offline), None))


def without_revoked(
    held: Mapping[int, Credentials], before: datetime | None
) -> dict[int, Credentials]:
    """Forget app passwords that were revoked before; none where that is None."""

    def stays(one: AppPassword) -> bool:
        return before is None or one.revoked_at is None or one.revoked_at >= before

    return {
        number: replace(own, app_passwords=tuple(filter(stays, own.app_passwords)))
        for number, own in held.items()
    }
