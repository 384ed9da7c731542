"""What a run leaves for the next one of the same directory.

The store keeps one cursor for each directory. It holds what was read and how it was
mapped, so that a changed base, filter or mapping is noticed; how far the directory's
servers were, so that the next run can read on and believes none that is behind; and
when everything was read last.
"""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from dirbridge.model.entry import Cursor
from dirbridge.store.base import RESTORED

KIND = "scope"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bookmark:
    """What was read last, and where the directory stood then.

    Attributes:
        scope: Fingerprint of what decides which entries are read.
        base: The DN that was read below.
        rules: Fingerprint of what decides what becomes of an entry.
        cursor: The connector's own, None where it gave none.
        full_at: When everything was read last (UTC), None where nobody knows.
        version: The store's version that the run's plan was made for.
        began: The store's version up to which it looked for what others changed; a
            full read looks until its plan is made.
    """

    scope: str
    base: str = ""
    rules: str = ""
    cursor: Cursor | None = None
    full_at: datetime | None = None
    version: int = 0
    began: int = 0

    def kept(self) -> Cursor:
        """Return it as the one cursor that a store keeps."""
        body = {
            "scope": self.scope,
            "base": self.base,
            "rules": self.rules,
            "full_at": None if self.full_at is None else self.full_at.isoformat(),
            "version": self.version,
            "began": self.began,
        }
        own = [] if self.cursor is None else [self.cursor.kind.encode()]
        value = [] if self.cursor is None else [self.cursor.value]
        return Cursor(KIND, b"\n".join((json.dumps(body).encode(), *own, *value)))


def opened(kept: Cursor | None) -> Bookmark | None:
    """Return what an earlier run left, None where there was none."""
    if kept is None:
        return None
    if kept.kind == RESTORED.kind:
        return Bookmark(scope=RESTORED.kind)
    head, *rest = kept.value.split(b"\n", 2)
    own = Cursor(rest[0].decode(), rest[1]) if rest[1:] else None
    body = _body(head)
    full_at = body.get("full_at")
    return Bookmark(
        scope=body["scope"],
        base=body["base"],
        rules=body.get("rules", ""),
        cursor=own,
        full_at=None if full_at is None else datetime.fromisoformat(full_at),
        version=body.get("version", 0),
        began=body.get("began", body.get("version", 0)),
    )


def _body(head: bytes) -> dict[str, Any]:
    with suppress(ValueError):
        found = json.loads(head)
        if isinstance(found, dict):
            return found
    # The first release kept two words.
    scope, _, base = head.decode("utf-8", "replace").partition(" ")
    return {"scope": scope, "base": base}
