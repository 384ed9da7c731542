"""What a run leaves for the next one of the same directory.

The store keeps one cursor for each directory. It holds two things: which entries
were read, so that a changed base, filter or mapping is noticed, and how far the
directory's servers were, so that one that is behind is not believed.
"""

from __future__ import annotations

from dataclasses import dataclass

from dirbridge.model.entry import Cursor

KIND = "scope"


@dataclass(frozen=True, slots=True)
class Bookmark:
    """What was read last, and where the directory stood then.

    Attributes:
        scope: Fingerprint of what decides which entries are read, with the base.
        cursor: The connector's own, None where it gave none.
    """

    scope: str
    cursor: Cursor | None = None

    def kept(self) -> Cursor:
        """Return it as the one cursor that a store keeps."""
        own = [] if self.cursor is None else [self.cursor.kind.encode()]
        value = [] if self.cursor is None else [self.cursor.value]
        return Cursor(KIND, b"\n".join((self.scope.encode(), *own, *value)))


def opened(kept: Cursor | None) -> Bookmark | None:
    """Return what an earlier run left, None where there was none."""
    if kept is None:
        return None
    scope, *rest = kept.value.split(b"\n", 2)
    own = Cursor(rest[0].decode(), rest[1]) if rest[1:] else None
    return Bookmark(scope.decode("utf-8", "replace"), own)
