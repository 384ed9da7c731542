"""Which cause an unanswered question has, by the code of a directory error."""

from __future__ import annotations

from dirbridge.errors import DirectoryError, Unreachable
from dirbridge.model.login import Cause

_CAUSES = {
    "timeout": Cause.TIMEOUT,
    "busy": Cause.BUSY,
    "unavailable": Cause.BUSY,
    "tls": Cause.CONFIGURATION,
    "protocol": Cause.CONFIGURATION,
    "seal-broken": Cause.SERVER_NOT_VERIFIED,
    "server-not-proven": Cause.SERVER_NOT_VERIFIED,
}


def cause_of(error: DirectoryError) -> Cause:
    """Return why nobody can say whether the login is right."""
    if error.code.startswith("certificate"):
        return Cause.SERVER_NOT_VERIFIED
    other = isinstance(error, Unreachable)
    return _CAUSES.get(error.code, Cause.UNREACHABLE if other else Cause.CONFIGURATION)
