"""What a read and its mapping yielded, for a plan."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

from dirbridge.model.entry import Finished
from dirbridge.model.mapping import Mapped, Unmapped
from dirbridge.model.names import DirectoryId


@dataclass(frozen=True, slots=True)
class Outside:
    """Why an entry that is there gets no mailbox in this domain.

    Attributes:
        why: One sentence for people.
        gives_up: Whether an account of it gives its addresses in other domains up,
            as it goes on in one of those.
    """

    why: str
    gives_up: bool = False


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
        outside: Who is there and gets no mailbox here; none of them is in `seen`.
        missing: Who was active or disabled in the store's `version` and is not in
            `seen`; None where nobody looked.
        version: See `missing`.
    """

    mapped: Collection[Mapped]
    unmapped: tuple[Unmapped, ...]
    gone: frozenset[DirectoryId]
    seen: AbstractSet[DirectoryId]
    finished: Finished
    unchanged: int = 0
    outside: Mapping[DirectoryId, Outside] = field(default_factory=dict)
    missing: Collection[DirectoryId] | None = None
    version: int | None = None

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
