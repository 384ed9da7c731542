"""What the directory says of an account at this moment.

Kerberos blurs an account's state, a ticket outlives a disabling, and the guard must
see that a password was changed: so the one entry is read live, by the service
account, where a login needs it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Protocol

from dirbridge.authenticators.outages import cause_of
from dirbridge.directory.account_state import barriers
from dirbridge.errors import ConfigError, DirectoryError
from dirbridge.model.account import Account
from dirbridge.model.deadline import Deadline
from dirbridge.model.entry import Entry
from dirbridge.model.login import Cause, Reason
from dirbridge.model.names import DirectoryId

LOOKS = 8
"""Most looks at one directory at once: as many sessions as its client keeps open."""

MARKS = (
    "pwdLastSet",
    "lockoutTime",
    "pwdChangedTime",
    "pwdAccountLockedTime",
    "accountUnlockTime",
    "passwordExpirationTime",
    "krbLastPwdChange",
)
"""Attributes of which one changes with the password or its lock-out, of Active
Directory, OpenLDAP (draft-behera-ldap-password-policy) and 389 Directory Servers."""


@dataclass(frozen=True, slots=True)
class Standing:
    """What was read of an account's entry.

    Attributes:
        entry: The entry with its account-state attributes.
        reasons: Every reason for which the directory would refuse a right password.
        password_mark: Changes whenever the password or its lock-out state does, and
            says nothing of the password; "" where the directory does not tell it.
    """

    entry: Entry
    reasons: tuple[Reason, ...] = ()
    password_mark: str = ""


Look = Callable[[Account, Deadline], Standing | Reason | Cause]
"""Reads an account's entry now.

Returns what was read; `Reason.UNKNOWN` where the directory has no entry with the
account's id any more; a cause where nobody could be asked in time. Never raises.
"""


class Finder(Protocol):
    """What a look needs of a connector; see `connectors.base`."""

    def find(
        self, directory_id: DirectoryId, deadline: Deadline | None = None
    ) -> Entry | None:
        """Read one account's entry, live; see `Connector.find`."""
        ...


def live_look(
    connector: Finder,
    *,
    computer: str = "",
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> Look:
    """Return what looks at the accounts of one directory.

    Args:
        connector: Reads the directory.
        computer: This machine's name, for accounts that may log in from some
            computers only.
        now: The time to judge by (UTC).
    """
    places = threading.BoundedSemaphore(LOOKS)

    def look(account: Account, deadline: Deadline) -> Standing | Reason | Cause:
        if not places.acquire(timeout=deadline.left()):
            return Cause.OVERLOADED
        try:
            entry = connector.find(account.values.directory_id, deadline)
        except DirectoryError as error:
            return cause_of(error)
        except ConfigError:
            return Cause.CONFIGURATION
        finally:
            places.release()
        if entry is None:
            return Reason.UNKNOWN
        reasons = barriers(entry, now(), computer)
        return Standing(entry, reasons, password_mark(entry, reasons))

    return look


def password_mark(entry: Entry, reasons: tuple[Reason, ...]) -> str:
    """Return what changes with the password or its lock-out, "" where none is told.

    Whether an account is locked counts as well: in Active Directory `lockoutTime`
    stays as it is when the lock runs out.
    """
    parts = list(_marks(entry))
    if not parts:
        return ""
    parts.append(b"locked" if Reason.LOCKED in reasons else b"")
    return blake2b(b"\0".join(parts), digest_size=16).hexdigest()


def _marks(entry: Entry) -> Iterator[bytes]:
    for name in MARKS:
        for value in entry.values(name):
            yield name.encode() + b"=" + value
