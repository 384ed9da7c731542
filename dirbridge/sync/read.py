"""What a read and its mapping yielded, for a plan."""

from __future__ import annotations

from collections.abc import Collection
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from dirbridge.model.entry import Finished
from dirbridge.model.mapping import Mapped, Unmapped
from dirbridge.model.names import DirectoryId


@dataclass(frozen=True, slots=True)
class Read:
    """What a read and its mapping yielded.

    Attributes:
        mapped: Entries that became values; walked through several times, and of a
            large read kept on disk, see `spool.mapped_spool`.
        unmapped: Entries that could not; they are there, so nobody vanished.
        gone: Ids that a delta, or a sweep after it, says are gone.
        seen: Every id that was there: mapped, unmapped, unchanged, foreign.
        finished: How the read ended.
        unchanged: How many entries were as the store knows them.
    """

    mapped: Collection[Mapped]
    unmapped: tuple[Unmapped, ...]
    gone: frozenset[DirectoryId]
    seen: AbstractSet[DirectoryId]
    finished: Finished
    unchanged: int = 0

    @property
    def count(self) -> int:
        """How many entries were read."""
        return len(self.seen)


def read_of(
    finished: Finished,
    mapped: Collection[Mapped],
    unmapped: tuple[Unmapped, ...] = (),
    gone: frozenset[DirectoryId] = frozenset(),
) -> Read:
    """Return a read of which every entry was looked at.

    Args:
        finished: How it ended.
        mapped: Entries that became values.
        unmapped: Entries that could not.
        gone: Ids that are gone.
    """
    seen = {one.values.directory_id for one in mapped} | {one.id for one in unmapped}
    return Read(mapped, unmapped, gone, seen, finished)
