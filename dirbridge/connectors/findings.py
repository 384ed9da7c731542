"""Findings for failures of a directory server."""

from __future__ import annotations

from dirbridge.errors import DirectoryError
from dirbridge.model.finding import Finding, Outcome
from dirbridge.model.sentences import problems_of

_STEPS = {"connect": "connect", "bind": "bind", "read": "base"}


def finding_of(error: DirectoryError, where: str) -> Finding:
    """Return the finding for a server's failure, with its mend."""
    problem = problems_of(error)[0]
    return Finding(
        where=where,
        what=_step(error),
        outcome=Outcome.FAILED,
        text=problem.text,
        next=problem.next,
        code=error.code,
    )


def _step(error: DirectoryError) -> str:
    if error.code == "dns":
        return "name"
    if error.code.startswith("certificate"):
        return "certificate"
    return _STEPS.get(error.operation, "connect")
