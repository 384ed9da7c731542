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
}


def cause_of(error: DirectoryError) -> Cause:
    """Return why nobody can say whether the login is right."""
    if not isinstance(error, Unreachable) or error.code.startswith("certificate"):
        return Cause.CONFIGURATION
    return _CAUSES.get(error.code, Cause.UNREACHABLE)
