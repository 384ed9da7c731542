"""A login method for which a directory lacks the set-up."""

from __future__ import annotations

from dirbridge.model.account import Account
from dirbridge.model.deadline import Deadline
from dirbridge.model.finding import Finding, Outcome
from dirbridge.model.login import Cause, Unavailable, Verdict
from dirbridge.model.secret import Secret


class MissingMethod:
    """Never says yes or no: an outage of configuration, not a wrong password."""

    def __init__(self, method: str) -> None:
        """Take the method's name in the configuration."""
        self._method = method

    @property
    def method(self) -> str:
        """The method's name in the configuration."""
        return self._method

    def authenticate(
        self, account: Account, password: Secret, deadline: Deadline
    ) -> Verdict:
        """Return Unavailable(configuration); the password is not looked at."""
        del password, deadline
        detail = f"{self._method} is not set up for this directory"
        return Unavailable(
            Cause.CONFIGURATION, account.canonical, self._method, detail=detail
        )

    def check(self) -> list[Finding]:
        """Say so."""
        return [
            Finding(
                f"login method {self._method}",
                "method",
                Outcome.FAILED,
                f"The login method {self._method} is not set up for this directory.",
                _MENDS.get(self._method, _OTHERWISE),
                "method-missing",
            )
        ]


_MENDS = {
    "kerberos": "Name its realm with `kerberos_realm`, and describe that in realms/.",
    "nt-domain": 'Only type = "active-directory" has it; use "ldap-bind".',
    "password-server": 'Only an Open Directory has it; use "ldap-bind".',
}
_OTHERWISE = 'Use "kerberos" or "ldap-bind" in `methods`.'
