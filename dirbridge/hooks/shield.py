"""The one net of the hooks: a bug breaks one request, not the service.

This is the place where a hook catches bare `Exception`.
"""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar, TypeVarTuple

from dirbridge.errors import RemoteProtocolError

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
        _tell(hook, error)
        return otherwise


def followed(hook: str, call: Callable[[*Ts], None], *arguments: *Ts) -> bool:
    """Call, and say whether the client followed the protocol and no bug was met.

    Args:
        hook: The hook, for the log.
        call: Takes what the client did; may raise `RemoteProtocolError`.
        *arguments: What it is called with.
    """
    try:
        call(*arguments)
    except RemoteProtocolError as error:
        log.warning(
            "%s: the client broke the protocol (%s) and was disconnected; "
            "let only mail services use this socket",
            hook,
            error,
        )
        return False
    except Exception as error:
        _tell(hook, error)
        return False
    return True


def _tell(hook: str, error: Exception) -> None:
    """Log type and place of an exception; its text could hold what a person typed."""
    log.error(
        "%s: %s at %s, told like an outage; please report this line as a bug",
        hook,
        type(error).__name__,
        _place(error),
    )


def _place(error: Exception) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    return " < ".join(
        f"{Path(frame.filename).name}:{frame.lineno} {frame.name}"
        for frame in reversed(frames[-3:])
    )
