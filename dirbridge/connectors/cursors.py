"""Cursors: where a delta goes on, bound to what was read when it was made.

A cursor that was made for another filter, attribute list, base or service account
would leave out who came into view since, so it never holds there. What is inside is
the mechanism's own; a store keeps it as octets and gives them back.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping

from dirbridge.model.entry import Cursor

VERSION = 1
MAX_OCTETS = 256 * 1024
"""Ours are below a few kilobytes; a longer one is not ours."""


def fingerprint(*parts: str) -> str:
    """Return a short text that changes with each of the parts and their borders."""
    text = json.dumps(parts)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def seal(kind: str, scope: str, state: Mapping[str, str]) -> Cursor:
    """Make a cursor.

    Args:
        kind: The mechanism.
        scope: The `fingerprint` of what is read, and by whom.
        state: Where the mechanism goes on.
    """
    body = {"version": VERSION, "scope": scope, "state": dict(state)}
    return Cursor(kind, json.dumps(body, sort_keys=True).encode())


def unseal(
    cursor: Cursor | None, kind: str, scope: str | None
) -> Mapping[str, str] | None:
    """Open a cursor.

    Args:
        cursor: What a store gave back.
        kind: The mechanism that shall go on.
        scope: The fingerprint that it must have; None takes any, for questions that
            are about the server and not about who is read.

    Returns:
        Its state, or None where it does not hold.
    """
    if cursor is None or cursor.kind != kind or len(cursor.value) > MAX_OCTETS:
        return None
    try:
        body = json.loads(cursor.value)
    except (ValueError, RecursionError):
        return None
    if not isinstance(body, dict) or body.get("version") != VERSION:
        return None
    state = body.get("state")
    if scope is not None and body.get("scope") != scope:
        return None
    return state if _is_state(state) else None


def _is_state(state: object) -> bool:
    return isinstance(state, dict) and all(
        isinstance(value, str) for value in state.values()
    )
