"""Feed a codec whole, byte by byte, and with a tail."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
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


Cut = Callable[[bytes], Iterable[bytes]]

CUTS: dict[str, Cut] = {
    "whole": lambda data: [data],
    "byte by byte": lambda data: [data[i : i + 1] for i in range(len(data))],
}

each_cut = pytest.mark.parametrize("cut", CUTS.values(), ids=CUTS.keys())
