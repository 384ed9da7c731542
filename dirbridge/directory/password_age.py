"""When a password was set, and when it expires: pwdLastSet and its computed kin."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from dirbridge.directory import filetime
from dirbridge.directory.errors import as_text


@dataclass(frozen=True, slots=True)
class PasswordExpiry:
    """When a password expires.

    Attributes:
        must_change: It must be changed before the next login.
        at: When it expires (UTC); None where it must be changed, or never expires.
    """

    must_change: bool = False
    at: datetime | None = None

    @property
    def never(self) -> bool:
        """Whether it never expires."""
        return not self.must_change and self.at is None


def decode_last_set(raw: bytes | str) -> datetime | None:
    """Read pwdLastSet (MS-ADA3 2.175).

    0 means that the password must be changed at the next login, unless it never
    expires: look at `AccountControl.DONT_EXPIRE_PASSWORD`.

    Returns:
        When the password was set (UTC), or None where it must be changed.

    Raises:
        Undecodable: It is no FILETIME.
    """
    return filetime.decode(raw)


def decode_expiry(raw: bytes | str) -> PasswordExpiry:
    """Read msDS-UserPasswordExpiryTimeComputed (MS-ADTS 3.1.1.4.5.35).

    0 means that the password must be changed, 0x7FFFFFFFFFFFFFFF that it never
    expires. The server has looked at the fine-grained policies.

    Raises:
        Undecodable: It is no FILETIME.
    """
    at = filetime.decode(raw)
    return PasswordExpiry(must_change=int(as_text(raw).strip()) == 0, at=at)
