"""Verdicts on one account by one method."""

from __future__ import annotations

from dataclasses import dataclass

from dirbridge.model.login import Accepted, Cause, Reason, Rejected, Unavailable


@dataclass(frozen=True, slots=True)
class Answers:
    """Makes verdicts that all name the account, the method and the server.

    Attributes:
        user: `mailbox@domain`.
        method: The method's name.
        server: Who was asked, "" before anybody was.
    """

    user: str
    method: str
    server: str = ""

    def accepted(self) -> Accepted:
        """Return: the password is right."""
        return Accepted(self.user, self.method, self.server)

    def rejected(self, reason: Reason, detail: str = "") -> Rejected:
        """Return: somebody who may know said that it is wrong."""
        return Rejected(reason, self.user, self.method, self.server, detail)

    def unavailable(
        self, cause: Cause, detail: str = "", *, sent: bool = False
    ) -> Unavailable:
        """Return: nobody can say; `sent` says whether a server may have counted it."""
        return Unavailable(cause, self.user, self.method, self.server, detail, sent)

    def told(self, judged: Reason | Cause, detail: str = "") -> Rejected | Unavailable:
        """Return what a reason or a cause means."""
        if isinstance(judged, Reason):
            return self.rejected(judged, detail)
        return self.unavailable(judged, detail)
