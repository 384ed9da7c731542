"""App passwords: for mail programs of people whose directory login needs more.

Theory. An app password is 128 random bits and 12 bits of check, as 28 letters in four
groups. Each letter is one of 32 (Crockford's Base32), so that none is taken for
another. By the check nearly nothing that a person makes up looks like one: so a
password of the directory costs no look into the store, and an app password that was
revoked never reaches the directory, where a forgotten phone would lock the account.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from hashlib import blake2b
from hmac import compare_digest

from dirbridge.errors import StoreError
from dirbridge.login.domains import unwrap
from dirbridge.login.stage import Login
from dirbridge.model.account import Account
from dirbridge.model.credentials import AppPassword, Credentials
from dirbridge.model.login import (
    Accepted,
    Cause,
    IPAddress,
    IPNetwork,
    Reason,
    Rejected,
    Unavailable,
    Verdict,
)
from dirbridge.model.names import DomainName
from dirbridge.model.secret import Secret

METHOD = "app-password"
SERVER = "local"

_LETTERS = "0123456789abcdefghjkmnpqrstvwxyz"
"""Crockford's Base32: no i, l, o, u."""

_BITS = 5
_GROUP = 7
_LENGTH = 28
_RANDOM = 16
"""Octets."""

_CHECK = 12
"""Bits."""

# Digits as `int` takes them (0-9a-v), whatever people take for another letter, without
# what keeps groups apart. All else becomes what is no digit.
_NO_DIGIT = "!"
_DIGITS = dict.fromkeys(range(128), _NO_DIGIT) | str.maketrans(
    f"{_LETTERS}{_LETTERS.upper()}iloILO",
    "0123456789abcdefghijklmnopqrstuv" * 2 + "110110",
    " \t\u00a0-\u2010\u2011",
)


def new_app_password() -> Secret:
    """Make an app password, as it is shown once."""
    octets = secrets.token_bytes(_RANDOM)
    number = int.from_bytes(octets) << _CHECK | _check_of(octets)
    places = range(_BITS * (_LENGTH - 1), -1, -_BITS)
    letters = "".join(_LETTERS[number >> place & len(_LETTERS) - 1] for place in places)
    groups = (letters[n : n + _GROUP] for n in range(0, _LENGTH, _GROUP))
    return Secret("-".join(groups))


def digest_of(password: Secret) -> bytes | None:
    """Return what the store keeps of an app password.

    Args:
        password: What was typed; blanks, hyphens and capitals do not matter.

    Returns:
        BLAKE2b-256 of its random octets, or None where this is no app password.
    """
    letters = password.reveal().translate(_DIGITS)
    if len(letters) != _LENGTH or not letters.isascii() or _NO_DIGIT in letters:
        return None
    number = int(letters, 1 << _BITS)
    octets = (number >> _CHECK).to_bytes(_RANDOM)
    if number & (1 << _CHECK) - 1 != _check_of(octets):
        return None
    return blake2b(octets, digest_size=32).digest()


def kept(label: str, password: Secret, at: datetime) -> AppPassword:
    """Return what is kept of a new app password.

    Args:
        label: What the person calls the device.
        password: As `new_app_password` made it.
        at: Now (UTC).

    Raises:
        ValueError: It is no app password.
    """
    digest = digest_of(password)
    if digest is None:
        raise ValueError("this is no app password")
    return AppPassword(0, label, digest, at)


def server_of(one: AppPassword) -> str:
    """Return what the log names as the server: here, and which of them it was."""
    return f"{SERVER}#{one.number}"


def _check_of(octets: bytes) -> int:
    check = blake2b(octets, digest_size=2, person=b"dirbridge app").digest()
    return int.from_bytes(check) >> 16 - _CHECK


class AppPasswords:
    """The stage that knows app passwords, and from where nothing else will do."""

    def __init__(
        self,
        credentials: Callable[[Account], Credentials],
        required_from: Mapping[DomainName, tuple[IPNetwork, ...]],
    ) -> None:
        """Take the store's way to an account's credentials.

        Args:
            credentials: May raise `StoreError`.
            required_from: For each domain the clients' networks from which only app
                passwords are taken.
        """
        self._credentials = credentials
        self._required_from = required_from

    def before(self, login: Login) -> Verdict | None:
        """Answer what is an app password, and what would have to be one."""
        account = login.account
        if account is None:
            return None
        digest = digest_of(login.password)
        if digest is not None:
            return self._judged(account, digest)
        if self._is_required(login, account):
            return Rejected(Reason.APP_PASSWORD, account.canonical, METHOD, SERVER)
        return None

    def after(self, login: Login, verdict: Verdict) -> Verdict:
        """Leave what others said as it is."""
        del login
        return verdict

    def _judged(self, account: Account, digest: bytes) -> Verdict:
        user = account.canonical
        try:
            own = self._credentials(account).app_passwords
        except StoreError as error:
            return Unavailable(Cause.STORE, user, METHOD, SERVER, error.code)
        for one in own:
            if compare_digest(one.digest, digest):
                return Accepted(user, METHOD, server_of(one))
        detail = "no app password of this account, or one that was revoked"
        return Rejected(Reason.WRONG_PASSWORD, user, METHOD, SERVER, detail)

    def _is_required(self, login: Login, account: Account) -> bool:
        networks = self._required_from.get(account.domain, ())
        return is_within(login.request.remote_ip, networks)


def is_within(address: IPAddress | None, networks: Iterable[IPNetwork]) -> bool:
    """Whether an address is in one of these networks; IPv4 in IPv6 is unwrapped."""
    plain = unwrap(address)
    return plain is not None and any(plain in network for network in networks)
