"""Damage samples cheaply, so that every decoder can be fed thousands of times.

One hypothesis example is a short tape of octets. For each decoder it says which of
its samples to take and what to do to it: hypothesis is asked once for all of them,
which is what takes the time.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from itertools import count
from pathlib import Path

FOUND = Path(__file__).parent.parent / "data" / "fuzz"

_EDIT = 3
_RAW = 7

# What parsers trip over: NUL, lengths that lie, signs of many syntaxes, digits that
# are none, half a character, numbers beyond every type.
_NASTY = (
    *(b"\0", b"\xff\xff\xff\xff", b"\x80", b"\x84\x7f\xff\xff\xff", b"\xc0\x0c"),
    *(b"0\x80", b"\t", b"\n", b"\r", b" ", b";", b":", b",", b"=", b"@", b"/", b"\\"),
    *(b"<", b">", b"(", b")", b"{", b"}", b"[", b"]", b'"', b"'", b"*", b"&", b"#"),
    *(b"-", b"+", b".", b"%", b"_", b"\\0", b"\\ff", b"\x01", b"\xc3", b"\xed\xa0\x80"),
    *(b"9" * 25, b"1e9", b"0x", b"nan", b"\xef\xbb\xbf", b"LKDC:", b"(" * 99),
    *("²".encode(), "٣".encode(), "\u2024".encode(), "ß".encode(), "İ".encode()),
)


def _set(sample: bytes, at: int, what: int) -> bytes:
    return sample[:at] + bytes((what,)) + sample[at + 1 :]


def _flip(sample: bytes, at: int, what: int) -> bytes:
    turned = sample[at] ^ 1 << what % 8 if at < len(sample) else what
    return _set(sample, at, turned)


def _drop(sample: bytes, at: int, what: int) -> bytes:
    return sample[:at] + sample[at + 1 + what % 16 :]


def _repeat(sample: bytes, at: int, what: int) -> bytes:
    return (
        sample[:at] + sample[at : at + 1 + what % 32] * (1 + what // 32) + sample[at:]
    )


def _insert(sample: bytes, at: int, what: int) -> bytes:
    return sample[:at] + _NASTY[what % len(_NASTY)] + sample[at:]


def _cut(sample: bytes, at: int, _what: int) -> bytes:
    return sample[:at]


def _behead(sample: bytes, at: int, _what: int) -> bytes:
    return sample[at:]


_EDITS: tuple[Callable[[bytes, int, int], bytes], ...] = (
    *(_set, _flip, _flip, _drop, _repeat, _insert, _insert, _cut, _behead),
)


def damaged(sample: bytes, tape: bytes) -> bytes:
    """Do to a sample what each three octets of the tape say: how, where, with what."""
    for at in range(0, len(tape) - _EDIT + 1, _EDIT):
        how, where, what = tape[at : at + _EDIT]
        edit = _EDITS[how % len(_EDITS)]
        sample = edit(sample, where * len(sample) // 255, what)
    return sample


@dataclass(frozen=True)
class Fed:
    """A decoder with what it is fed.

    Attributes:
        name: Module and function.
        read: The decoder.
        samples: What it takes.
        own: The only error that it may raise.
        kinds: Whether it takes octets, text or both.
    """

    name: str
    read: Callable[..., object]
    samples: tuple[bytes, ...]
    own: type[Exception] | tuple[type[Exception], ...]
    kinds: tuple[type, ...] = (bytes,)

    def feed(self, tape: bytes) -> None:
        """Feed it one damaged sample or, now and then, the tape itself.

        Raises:
            AssertionError: It raised anything but its own error; the octets are kept.
        """
        first, rest = tape[0], tape[1:]
        if first % 8 == _RAW:
            self.take(rest)
        else:
            samples = self.all_samples
            self.take(damaged(samples[first // 8 % len(samples)], rest))

    def take(self, data: bytes) -> None:
        """Feed it these octets, as all that it takes."""
        for kind in self.kinds:
            given = data if kind is bytes else data.decode("utf-8", "surrogateescape")
            try:
                self.read(given)
            except self.own:
                pass
            except Exception as error:
                file = self._keep(data)
                raise AssertionError(
                    f"{self.name} raised {error!r} for {given!r}, kept in {file}"
                ) from error

    @cached_property
    def kept(self) -> tuple[bytes, ...]:
        """What it failed on in earlier runs."""
        return tuple(file.read_bytes() for file in sorted(self._folder.glob("*")))

    @cached_property
    def all_samples(self) -> tuple[bytes, ...]:
        """Every sample that it may be fed."""
        return self.samples + self.kept

    @property
    def _folder(self) -> Path:
        return FOUND / self.name

    @cached_property
    def _new_file(self) -> Path:
        names = (self._folder / f"{number}.bin" for number in count(1))
        return next(name for name in names if not name.exists())

    def _keep(self, data: bytes) -> Path:
        """Write what failed; hypothesis ends with the smallest, which stays."""
        for file in self._folder.glob("*.bin"):
            if file.read_bytes() == data:
                return file
        self._folder.mkdir(parents=True, exist_ok=True)
        self._new_file.write_bytes(data)
        return self._new_file
