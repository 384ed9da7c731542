"""What the directory says of an account at this moment.

Kerberos blurs an account's state, a ticket outlives a disabling, and the guard must
see that a password was changed: so the one entry is read live, by the service
account, where a login needs it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from dirbridge.model.account import Account
from dirbridge.model.deadline import Deadline
from dirbridge.model.entry import Entry
from dirbridge.model.login import Cause, Reason


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
