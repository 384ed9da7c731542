"""What a refused LDAP bind says about the reason.

Active Directory hides the reason in result 49's text as `data XXX`, a Win32 error
in hex (facts: ad-semantics 6). Only a right password shows any code but 52e, save
lock-out. Open Directory says result 19 with a leading digit (facts:
open-directory 5).
"""

from __future__ import annotations

import re

from dirbridge.model.login import Cause, Reason

INVALID_CREDENTIALS = 49
INSUFFICIENT_ACCESS = 50
CONSTRAINT_VIOLATION = 19
UNWILLING = 53

BAD_BINDINGS = 0x80090346
"""SEC_E_BAD_BINDINGS: the server wants a channel binding, or another one."""

_DATA = re.compile(r"\bdata ([0-9a-fA-F]{1,8})\b")

_WIN32: dict[int, Reason | Cause] = {
    0x525: Reason.UNKNOWN,  # documented; Samba and often AD say 52e
    0x52E: Reason.WRONG_PASSWORD,
    0x52F: Reason.REVOKED,  # ERROR_ACCOUNT_RESTRICTION
    0x530: Reason.LOGON_HOURS,
    0x531: Reason.WORKSTATION,
    0x532: Reason.PASSWORD_EXPIRED,
    0x533: Reason.DISABLED,
    0x569: Reason.REVOKED,  # ERROR_LOGON_TYPE_NOT_GRANTED
    0x701: Reason.EXPIRED,
    0x773: Reason.MUST_CHANGE,
    0x775: Reason.LOCKED,
    # Faults of the set-up or of the server: never a wrong password.
    0x51F: Cause.UNREACHABLE,  # ERROR_NO_LOGON_SERVERS
    0x6BA: Cause.UNREACHABLE,  # RPC_S_SERVER_UNAVAILABLE
    0x700: Cause.UNREACHABLE,  # ERROR_NETLOGON_NOT_STARTED
    0x774: Cause.UNREACHABLE,  # ERROR_DOMAIN_CONTROLLER_NOT_FOUND
    BAD_BINDINGS: Cause.CONFIGURATION,
}
_WIN32_LIMIT = 0xFFFF

_POLICY: tuple[tuple[str, Reason], ...] = (
    (r"\s*1\b|.*\bdisabled", Reason.DISABLED),
    (r"\s*2\b|.*\bexpired", Reason.EXPIRED),
    (r"\s*3\b|.*\binactive", Reason.DISABLED),
    (r"\s*4\b|.*\b(too many|retry limit)", Reason.LOCKED),
    (r"\s*5\b|.*\bnew password", Reason.MUST_CHANGE),
)


def win32_error(message: str) -> int | None:
    """Return the number after `data` in a server's text, or None."""
    match = _DATA.search(message)
    return int(match[1], 16) if match else None


def decode_active_directory(message: str) -> Reason | Cause:
    """Say what result 49 of an Active Directory means.

    Only a listed code refuses: any other may be the server's own trouble, such as
    too little memory, and an outage never looks like a wrong password.

    Args:
        message: The server's diagnostic text.

    Returns:
        Why the login is wrong, or why nobody can say. A text without `data` is a
        wrong password; `UNREACHABLE` means that another server may know.
    """
    code = win32_error(message)
    if code is None:
        return Reason.WRONG_PASSWORD
    # Above the Win32 codes are those of the security packages: the set-up's faults.
    unknown = Cause.CONFIGURATION if code > _WIN32_LIMIT else Cause.INTERNAL
    return _WIN32.get(code, unknown)


def decode_open_directory(code: int, message: str) -> Reason | None:
    """Say what a refused simple bind to an Open Directory means.

    Open Directory 10.8 and later answers 50 for a wrong password. Result 19 is
    the password policy, told by its leading digit or its words. A 389 Directory
    Server answers a disabled account with 53 and `Account inactivated`.

    Args:
        code: The LDAP result code.
        message: The server's diagnostic text.

    Returns:
        Why the login is wrong; None where this result says nothing of it.
    """
    if code in {INVALID_CREDENTIALS, INSUFFICIENT_ACCESS}:
        return Reason.WRONG_PASSWORD
    if code == UNWILLING and "account inactivated" in message.lower():
        return Reason.DISABLED
    if code != CONSTRAINT_VIOLATION:
        return None
    found = (
        reason for form, reason in _POLICY if re.match(form, message, re.IGNORECASE)
    )
    return next(found, Reason.REVOKED)
