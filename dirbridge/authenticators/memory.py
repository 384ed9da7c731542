"""An authenticator over passwords in memory: for tests of everything above one."""

from __future__ import annotations

from collections.abc import Mapping

from dirbridge.model.account import Account
from dirbridge.model.deadline import Deadline
from dirbridge.model.finding import Finding, Outcome
from dirbridge.model.login import (
    Accepted,
    Cause,
    Reason,
    Rejected,
    Unavailable,
    Verdict,
)
from dirbridge.model.names import DirectoryId
from dirbridge.model.secret import Secret


class MemoryAuthenticator:
    """Passwords in memory, with the refusals and outages of real servers on demand.

    Attributes:
        passwords: The right password of each account.
        refusals: What the right password of an account gets instead of acceptance.
        outage: While set, every answer is Unavailable with this cause.
        asked: How many passwords were looked at.
    """

    def __init__(
        self,
        passwords: Mapping[DirectoryId, Secret] | None = None,
        *,
        method: str = "ldap-bind",
        server: str = "memory:0",
    ) -> None:
        self.passwords = dict(passwords or {})
        self.refusals: dict[DirectoryId, Reason] = {}
        self.outage: Cause | None = None
        self.asked = 0
        self._method = method
        self._server = server

    @property
    def method(self) -> str:
        """The method's name."""
        return self._method

    def authenticate(
        self, account: Account, password: Secret, deadline: Deadline
    ) -> Verdict:
        """Check a password; see `Authenticator.authenticate`."""
        user = account.canonical
        if not password:
            return Rejected(Reason.EMPTY_PASSWORD, user, self._method)
        cause = Cause.TIMEOUT if deadline.left() <= 0 else self.outage
        if cause is not None:
            return Unavailable(cause, user, self._method, self._server)
        self.asked += 1
        reason = self._reason(account.values.directory_id, password)
        if reason is not None:
            return Rejected(reason, user, self._method, self._server)
        return Accepted(user, self._method, self._server)

    def check(self) -> list[Finding]:
        """Say whether it answers; see `Authenticator.check`."""
        if self.outage is None:
            text = "It is in memory."
            return [Finding(self._server, self._method, Outcome.OK, text)]
        text = f"It was told to be away: {self.outage}."
        mend = "Set outage to None."
        return [Finding(self._server, self._method, Outcome.FAILED, text, mend, "away")]

    def _reason(self, directory_id: DirectoryId, password: Secret) -> Reason | None:
        known = self.passwords.get(directory_id)
        if known is None:
            return Reason.UNKNOWN
        if known != password:
            return Reason.WRONG_PASSWORD
        return self.refusals.get(directory_id)
