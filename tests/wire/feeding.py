"""Feed a codec whole, byte by byte, and with a tail."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from enum import Enum
from pathlib import Path
from typing import Protocol

import pytest

DATA = Path(__file__).parent.parent / "data" / "wire"


class Codec(Protocol):
    def receive_data(self, data: bytes) -> None: ...

    def next_event(self) -> object: ...


def events(codec: Codec) -> Iterator[object]:
    """All events that are there now; codecs say by an enum that there is none."""
    while not isinstance(event := codec.next_event(), Enum):
        yield event
        # A closed connection says so for ever.
        if type(event).__name__ == "Closed":
            return


_CUT = 0xE0
_LITERAL = 0xC0


def pieces(spelled: bytes, words: Sequence[bytes]) -> list[bytes]:
    """Read octets as words of a vocabulary: far cheaper to draw than lists of them.

    High octets mean a cut between pieces, or that the next counts as it stands.
    """
    found = [b""]
    octets = iter(spelled)
    for octet in octets:
        if octet >= _CUT:
            found.append(b"")
        elif octet >= _LITERAL:
            found[-1] += bytes((next(octets, 0),))
        else:
            found[-1] += words[octet % len(words)]
    return [piece for piece in found if piece]


Cut = Callable[[bytes], Iterable[bytes]]

CUTS: dict[str, Cut] = {
    "whole": lambda data: [data],
    "byte by byte": lambda data: [data[i : i + 1] for i in range(len(data))],
}

each_cut = pytest.mark.parametrize("cut", CUTS.values(), ids=CUTS.keys())
