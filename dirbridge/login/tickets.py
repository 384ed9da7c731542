"""Logins by ticket: whose principal it is, and whether that account may log in."""

from __future__ import annotations

from collections.abc import Callable

from dirbridge.model.deadline import Deadline
from dirbridge.model.login import Cause, TicketRequest, Unavailable, Verdict

Tickets = Callable[[TicketRequest, Deadline], Verdict]
"""Judges a login by ticket."""


def no_tickets(_request: TicketRequest, _deadline: Deadline) -> Verdict:
    """Say that nothing is set up for tickets."""
    return Unavailable(Cause.CONFIGURATION, detail="no realm has a keytab")
