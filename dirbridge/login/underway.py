"""A login by password that an event loop goes on with, in the place of a thread.

It takes the very way of `LoginService`: the same stages, the same methods, the same
order. Where anything of it may wait for more than the directory's next word, a thread
finishes it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from dirbridge.authenticators.base import Authenticator, Next, Underway
from dirbridge.login.methods import first_to_know
from dirbridge.login.stage import Login, Stage
from dirbridge.model.account import Account
from dirbridge.model.deadline import Deadline
from dirbridge.model.finding import Finding
from dirbridge.model.login import Accepted, Cause, Unavailable, Verdict
from dirbridge.model.secret import Secret


@dataclass(slots=True)
class LoginUnderway:
    """One login whose first method has been begun.

    Attributes:
        login: The login.
        account: Whose it is.
        deadline: Until when methods may be asked.
        passed: The stages that let it pass, outermost first.
        check: What its first method does.
        methods: All of them, the first included.
        ended: Called once, when no directory is waited for any more.
    """

    login: Login
    account: Account
    deadline: Deadline
    passed: Sequence[Stage]
    check: Underway
    methods: tuple[Authenticator, ...]
    ended: Callable[[], None]

    def fileno(self) -> int:
        """Return the number of the socket on which the next answer comes."""
        return self.check.fileno()

    def go_on(self) -> Verdict | Next:
        """Go on without a wait, with what has come.

        Returns:
            The verdict; `WAIT` where more must come first; `FINISH` where `finish`
            is to be called, from a thread.
        """
        found = self.check.go_on()
        if isinstance(found, Accepted):
            verdict = self._told(found)
            self.ended()
            return verdict
        return found

    def finish(self) -> Verdict:
        """Do all that is left; may wait until the deadline."""
        begun = _Begun(self.methods[0].method, self.check)
        methods = (begun, *self.methods[1:])
        # Stands where a method raises, a bug: no stage may be left waiting for it.
        verdict: Verdict = Unavailable(Cause.INTERNAL)
        try:
            verdict = first_to_know(
                methods, self.account, self.login.password, self.deadline
            )
        finally:
            self.ended()
            verdict = self._told(verdict)
        return verdict

    def _told(self, verdict: Verdict) -> Verdict:
        for stage in reversed(self.passed):
            verdict = stage.after(self.login, verdict)
        return verdict


@dataclass(frozen=True, slots=True)
class _Begun:
    """Stands for a method that has been asked already."""

    method: str
    underway: Underway

    def authenticate(
        self, account: Account, password: Secret, deadline: Deadline
    ) -> Verdict:
        """Return what the method says in the end."""
        del account, password, deadline
        return self.underway.finish()

    def check(self) -> list[Finding]:
        """Return nothing: the method itself is checked."""
        return []
