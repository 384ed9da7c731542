"""How many domains sync at the same time.

A run that hangs, or imports very many, must not keep others from theirs: so its place
is another one's after a while, although it goes on.
"""

from __future__ import annotations


class Places:
    """A few places for runs; the times are seconds of any one clock."""

    def __init__(self, most: int, patience: float) -> None:
        """Begin with all of them free.

        Args:
            most: How many there are.
            patience: Seconds after which a run no longer needs one.
        """
        self._most = most
        self._patience = patience
        self._taken: dict[str, float] = {}

    def take(self, who: str, now: float) -> bool:
        """Take a place until `leave`; False where none is free."""
        held = sum(now - since < self._patience for since in self._taken.values())
        if held >= self._most:
            return False
        self._taken[who] = now
        return True

    def leave(self, who: str) -> None:
        """Give a place back, where one was taken."""
        self._taken.pop(who, None)
