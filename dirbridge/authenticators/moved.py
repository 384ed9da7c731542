"""Passwords of people whose entry was moved or renamed since the last sync.

A bind names the entry by its DN, and slapd refuses one that is not there as it refuses
a wrong password (result 49), so that nobody learns which there are. So
where a bind is refused, the entry is looked up by its id, which stays; and where it
stands elsewhere by now, the bind is made there. The first one counted nowhere, as no
entry was there to count it.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from dirbridge.authenticators.base import Underway
from dirbridge.authenticators.ldap_bind import LdapBind
from dirbridge.authenticators.live import Look, Standing
from dirbridge.directory import dn
from dirbridge.directory.errors import Undecodable
from dirbridge.model.account import Account
from dirbridge.model.deadline import Deadline
from dirbridge.model.finding import Finding
from dirbridge.model.login import Reason, Rejected, Verdict
from dirbridge.model.secret import Secret

LOOK_SECONDS = 3.0
"""Most seconds for the look at where an entry stands."""

_DOUBTFUL = frozenset({Reason.WRONG_PASSWORD, Reason.UNKNOWN})
"""How a bind at a DN that is not there is refused."""


class FollowingBind:
    """The method `ldap-bind` by DN, for entries that move.

    See `authenticators.base`.
    """

    def __init__(self, bind: LdapBind, look: Look) -> None:
        """Take what binds, and what looks where an entry stands."""
        self.method = bind.method
        """The method's name in the configuration."""
        self._bind = bind
        self._look = look

    def authenticate(
        self, account: Account, password: Secret, deadline: Deadline
    ) -> Verdict:
        """Check a password; see `Authenticator.authenticate`."""
        verdict = self._bind.authenticate(account, password, deadline)
        return self.followed(verdict, account, password, deadline)

    def start(
        self, account: Account, password: Secret, deadline: Deadline
    ) -> Underway | None:
        """Prepare a bind on a connection that is warm; see `Startable.start`."""
        followed = partial(
            self.followed, account=account, password=password, deadline=deadline
        )
        return self._bind.start(account, password, deadline, followed)

    def check(self) -> list[Finding]:
        """Say whether binds can be sent."""
        return self._bind.check()

    def close(self) -> None:
        """Close kept connections."""
        self._bind.close()

    def followed(
        self, verdict: Verdict, account: Account, password: Secret, deadline: Deadline
    ) -> Verdict:
        """Return the verdict on a bind where the entry stands now."""
        match verdict:
            case Rejected(reason=reason, server=server) if server:
                pass
            case _:
                return verdict
        if reason not in _DOUBTFUL:
            return verdict
        soon = Deadline.after(deadline.within(LOOK_SECONDS))
        standing = self._look(account, soon)
        if not isinstance(standing, Standing):
            return verdict
        now = standing.entry.dn
        if not now or _same(now, account.values.dn):
            return verdict
        moved = replace(account, values=replace(account.values, dn=now))
        return self._bind.authenticate(moved, password, deadline)


def _same(one: str, other: str) -> bool:
    """Whether two DNs are the same; of what is no DN nobody knows, so it may be."""
    try:
        return dn.comparable(one) == dn.comparable(other)
    except Undecodable:
        return True
