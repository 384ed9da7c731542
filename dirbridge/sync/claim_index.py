"""Find who claims what another one claims too, among a million, in little memory."""

from __future__ import annotations

from array import array
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

_BUCKETS = 64


class ClaimIndex:
    """Which place claims what, as hashes: twelve bytes for each claim.

    Two claims may share a hash. Whoever asks gets a few places too many then, and
    must look at what is really there.
    """

    def __init__(self) -> None:
        self._hashes = tuple(array("q") for _ in range(_BUCKETS))
        self._places = tuple(array("I") for _ in range(_BUCKETS))

    def add(self, place: int, claims: Iterable[Any]) -> None:
        """Note what one place claims, each claim once."""
        for claim in claims:
            hashed = hash(claim)
            bucket = hashed % _BUCKETS
            self._hashes[bucket].append(hashed)
            self._places[bucket].append(place)

    def twice(self) -> set[int]:
        """Return the places that claim what another place claims."""
        found: set[int] = set()
        for hashes, places in zip(self._hashes, self._places, strict=True):
            known = set(hashes)
            if len(known) == len(hashes):
                continue
            again = _again(hashes)
            found.update(
                place for one, place in zip(hashes, places, strict=True) if one in again
            )
        return found

    def places(self, claims: Iterable[Any]) -> set[int]:
        """Return the places that claim one of these."""
        wanted: defaultdict[int, set[int]] = defaultdict(set)
        for claim in claims:
            hashed = hash(claim)
            wanted[hashed % _BUCKETS].add(hashed)
        return {
            place
            for bucket, here in wanted.items()
            for one, place in zip(
                self._hashes[bucket], self._places[bucket], strict=True
            )
            if one in here
        }


def _again(hashes: Iterable[int]) -> set[int]:
    known: set[int] = set()
    again: set[int] = set()
    for one in hashes:
        (again if one in known else known).add(one)
    return again
