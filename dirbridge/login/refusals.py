"""What is refused before anybody is asked."""

from __future__ import annotations

import unicodedata
from datetime import UTC, datetime

from dirbridge.model.account import Account, AccountState
from dirbridge.model.login import Reason
from dirbridge.model.secret import Secret

LONGEST_NAME = 1024
"""Characters; the longest address of RFC 5321 has 254."""

_STATE_REASONS = {
    AccountState.DISABLED: Reason.DISABLED,
    AccountState.DEACTIVATED: Reason.DEACTIVATED,
    AccountState.REMOVED: Reason.REMOVED,
}


def refuse(name: str, password: Secret) -> Reason | None:
    """Return why this login may not reach a directory, or None.

    An empty password would bind as anonymous and look accepted (RFC 4513 section
    5.1.2); one of control characters alone is what broken clients send for an
    empty one (facts: mail-hooks 5); a NUL ends it in C libraries.
    """
    text = password.reveal()
    if not text:
        return Reason.EMPTY_PASSWORD
    if "\0" in text or all(map(_is_control, text)):
        return Reason.BAD_PASSWORD
    return None if is_name(name) else Reason.BAD_NAME


def is_name(name: str) -> bool:
    """Whether a name may be looked for at all; blanks around it do not count."""
    typed = name.strip()
    # What can be printed holds no controls, and is told apart at once.
    broken = not typed.isprintable() and any(map(_is_control, typed))
    return bool(typed) and not broken and len(typed) <= LONGEST_NAME


def _is_control(letter: str) -> bool:
    return unicodedata.category(letter) == "Cc"


def barred_by(account: Account, now: datetime | None = None) -> Reason | None:
    """Return why the account may not log in whatever its password, or None.

    Args:
        account: The account.
        now: The time (UTC) by which it is judged; the present, if None.
    """
    expires = account.values.expires_at
    if account.state is AccountState.ACTIVE:
        over = expires is not None and expires <= (now or datetime.now(UTC))
        return Reason.EXPIRED if over else None
    return _STATE_REASONS.get(account.state)
