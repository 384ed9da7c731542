"""A rule between keys that does not hold."""

from __future__ import annotations

from dataclasses import dataclass

from dirbridge.config.problems import Location


@dataclass(frozen=True, slots=True)
class Broken:
    """A rule that does not hold.

    Attributes:
        code: Stable word for programs.
        keys: The place.
        text: What is wrong, one sentence.
        next: The mend, one sentence.
        needs: Places that the rule found missing. Where one of them was there but
            broken, the rule says nothing new.
    """

    code: str
    keys: Location
    text: str
    next: str
    needs: tuple[Location, ...] = ()
