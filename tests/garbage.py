"""Cheap strategies for fuzzing: one draw for each example, whatever it is made into."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from hypothesis import strategies as st


def spelled(raw: bytes, parts: Sequence[str]) -> str:
    """Write octets as a text of such parts."""
    return "".join(parts[octet % len(parts)] for octet in raw)


def pieces(parts: Sequence[str], size: int = 16) -> st.SearchStrategy[bytes]:
    """Texts made of these parts in any order, as UTF-8."""
    return st.binary(max_size=size).map(lambda raw: spelled(raw, parts).encode())


def mutated(*samples: bytes, size: int = 8) -> st.SearchStrategy[bytes]:
    """Samples with a few octets put in or written over somewhere."""
    return st.binary(min_size=4, max_size=size).map(_mutation(samples))


def _mutation(samples: tuple[bytes, ...]) -> Callable[[bytes], bytes]:
    def mutate(raw: bytes) -> bytes:
        sample = samples[raw[0] % len(samples)]
        at = int.from_bytes(raw[1:3], "big") % (len(sample) + 1)
        return sample[:at] + raw[4:] + sample[at + raw[3] % 8 :]

    return mutate
