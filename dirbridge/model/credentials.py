"""What the local user database keeps for an account's logins, beside the directory."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, slots=True)
class AppPassword:
    """A password of 128 random bits for one mail program of one person.

    Attributes:
        number: The store's own key, 0 before it is stored.
        label: What the person calls the device.
        digest: BLAKE2b-256 of the password: it is random, so no slow hash is needed.
        created_at: When it was made (UTC).
        revoked_at: Since when it counts no more (UTC), None while it counts.
    """

    number: int
    label: str
    digest: bytes = field(repr=False)
    created_at: datetime
    revoked_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class OfflineVerifier:
    """What lets an account in while no server of its domain can be reached.

    Attributes:
        verifier: Argon2id of the password that the directory accepted (PHC string).
        proven_at: When it did so last (UTC).
        mark: The account's digest at that time, which changes with a new password
            where the directory tells of one; see `Account.digest`.
    """

    verifier: str = field(repr=False)
    proven_at: datetime
    mark: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True)
class Credentials:
    """Everything that an account's logins may use of the store.

    Attributes:
        methods: The login methods that were chosen for this account; () stands for
            those of its domain, or `local` for a local account.
        verifier: Argon2id of a local password (PHC string), or None.
        app_passwords: The app passwords that count, oldest first.
        offline: The offline verifier, or None.
    """

    methods: tuple[str, ...] = ()
    verifier: str | None = field(default=None, repr=False)
    app_passwords: tuple[AppPassword, ...] = ()
    offline: OfflineVerifier | None = None
