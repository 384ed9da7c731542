"""The one net of the hooks: a bug breaks one request, not the service.

This is the place where a hook catches bare `Exception`.
"""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar, TypeVarTuple

log = logging.getLogger(__name__)

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


def shielded(hook: str, otherwise: T, call: Callable[[*Ts], T], *arguments: *Ts) -> T:
    """Call, and give `otherwise` where the call raises.

    Type and place of the exception are logged, its text is not: it could hold
    what a person typed.

    Args:
        hook: The hook, for the log.
        otherwise: What is an outage to the caller.
        call: What may have a bug.
        *arguments: What it is called with.
    """
    try:
        return call(*arguments)
    except Exception as error:
        log.error(  # noqa: TRY400 - a traceback could show values
            "%s: %s at %s, told like an outage; please report this line as a bug",
            hook,
            type(error).__name__,
            _place(error),
        )
        return otherwise


def _place(error: Exception) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    return " < ".join(
        f"{Path(frame.filename).name}:{frame.lineno} {frame.name}"
        for frame in reversed(frames[-3:])
    )
