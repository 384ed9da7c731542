"""Collections that are too large for memory: written once, walked several times.

The first thousands stay in memory. What comes after goes to an unnamed temporary
file, in portions, as plain tuples: those pickle several times as fast as frozen
dataclasses. Nobody else can open the file, and it is gone with the process.
"""

from __future__ import annotations

import pickle
import tempfile
import weakref
from array import array
from bisect import bisect_right
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import fields
from itertools import islice
from operator import attrgetter
from typing import IO, Any, Generic, TypeVar

from dirbridge.model.account import Account, AccountValues, KeptAddress
from dirbridge.model.mapping import Mapped
from dirbridge.model.quick import remaker
from dirbridge.model.recipient import Reference

T = TypeVar("T")
Packed = tuple[Any, ...]
"""An item as a tuple of plain values."""

PORTION = 2000
"""Items that are written at once; as many stay in memory."""


class Spool(Collection[T], Generic[T]):
    """Items in the order in which they were added; first filled, then walked through.

    Args:
        pack: Turns an item into plain values.
        unpack: Turns them back.
        portion: How many items are written at once.
    """

    def __init__(
        self,
        pack: Callable[[T], Packed],
        unpack: Callable[[Packed], T],
        portion: int = PORTION,
    ) -> None:
        self._pack = pack
        self._unpack = unpack
        self._portion = portion
        self._tail: list[T] = []
        self._file: IO[bytes] | None = None
        self._starts, self._firsts = array("Q"), array("Q")
        self._count = 0

    def add(self, item: T) -> None:
        """Add an item behind all others."""
        self._tail.append(item)
        if len(self._tail) == 2 * self._portion:
            self._spill()

    def append(self, count: int, portion: bytes) -> None:
        """Add items that are packed and pickled already, behind all others.

        Args:
            count: How many they are.
            portion: A pickled list of them.
        """
        if self._tail:
            self._write(self._tail)
            self._tail = []
        if count:
            self._written(count, portion)

    def __len__(self) -> int:
        return self._count + len(self._tail)

    def __iter__(self) -> Iterator[T]:
        for number in range(len(self._starts)):
            yield from map(self._unpack, self._load(number))
        yield from tuple(self._tail)

    def __contains__(self, item: object) -> bool:
        return any(one == item for one in self)

    def pick(self, places: Iterable[int]) -> Iterator[tuple[int, T]]:
        """Yield the items at some places, which must rise, with their places."""
        loaded, packed = -1, []
        for place in places:
            if place >= self._count:
                yield place, self._tail[place - self._count]
                continue
            number = bisect_right(self._firsts, place) - 1
            if number != loaded:
                loaded, packed = number, self._load(number)
            yield place, self._unpack(packed[place - self._firsts[number]])

    def _spill(self) -> None:
        self._write(self._tail[: self._portion])
        del self._tail[: self._portion]

    def _write(self, items: Sequence[T]) -> None:
        portion = [self._pack(item) for item in items]
        self._written(len(portion), pickle.dumps(portion, pickle.HIGHEST_PROTOCOL))

    def _written(self, count: int, portion: bytes) -> None:
        if self._file is None:
            self._file = tempfile.TemporaryFile()  # noqa: SIM115  lives as we do
            weakref.finalize(self, self._file.close)
        self._starts.append(self._file.seek(0, 2))
        self._firsts.append(self._count)
        self._file.write(portion)
        self._count += count

    def _load(self, number: int) -> list[Packed]:
        if self._file is None:  # then nothing has been written
            return []
        self._file.seek(self._starts[number])
        packed: list[Packed] = unpickled(self._file)
        return packed


def unpickled(file: IO[bytes]) -> Any:
    """Read the next thing that this program itself has pickled.

    Raises:
        EOFError: There is nothing more.
    """
    return pickle.load(file)  # noqa: S301  our own


def pick(items: Collection[T], places: Iterable[int]) -> Iterator[tuple[int, T]]:
    """Yield the items at some places of a collection, with their places.

    Args:
        items: A spool, or anything that is small.
        places: In any order.
    """
    wanted = sorted(set(places))
    if isinstance(items, Spool):
        yield from items.pick(wanted)
        return
    chosen = set(wanted)
    yield from ((place, item) for place, item in enumerate(items) if place in chosen)


def portions(items: Iterable[T], size: int = PORTION) -> Iterator[list[T]]:
    """Yield items in lists of at most `size`."""
    left = iter(items)
    while portion := list(islice(left, size)):
        yield portion


_NAMES = tuple(one.name for one in fields(AccountValues))
_MEMBERS = _NAMES.index("members")
_OWN = tuple(one.name for one in fields(Account))
_VALUES, _KEPT = _OWN.index("values"), _OWN.index("kept")
_read_values, _read_account = attrgetter(*_NAMES), attrgetter(*_OWN)


_remade_values, _remade_account = remaker(AccountValues), remaker(Account)
_remade_mapped = remaker(Mapped)


def pack_values(values: AccountValues) -> Packed:
    """Return an account's values as a tuple."""
    packed: Packed = _read_values(values)
    if values.members:
        members = tuple((one.by, one.value) for one in values.members)
        packed = (*packed[:_MEMBERS], members, *packed[_MEMBERS + 1 :])
    return packed


def unpack_values(packed: Packed) -> AccountValues:
    """Return the values that `pack_values` packed."""
    if packed[_MEMBERS]:
        members = tuple(Reference(*one) for one in packed[_MEMBERS])
        packed = (*packed[:_MEMBERS], members, *packed[_MEMBERS + 1 :])
    return _remade_values(*packed)


def pack_account(account: Account) -> Packed:
    """Return an account as a tuple."""
    own = list(_read_account(account))
    own[_VALUES] = pack_values(account.values)
    own[_KEPT] = tuple((one.address, one.until) for one in account.kept)
    return tuple(own)


def unpack_account(packed: Packed) -> Account:
    """Return the account that `pack_account` packed."""
    own = list(packed)
    own[_VALUES] = unpack_values(own[_VALUES])
    own[_KEPT] = tuple(KeptAddress(*one) for one in own[_KEPT])
    return _remade_account(*own)


def mapped_spool() -> Spool[Mapped]:
    """Return a spool for what mapping yields."""
    return Spool(pack_mapped, _unpack_mapped)


def pack_mapped(mapped: Mapped) -> Packed:
    """Return a mapped entry as a tuple."""
    return (pack_values(mapped.values), mapped.digest, mapped.notes)


def _unpack_mapped(packed: Packed) -> Mapped:
    values, digest, notes = packed
    return _remade_mapped(unpack_values(values), digest, notes)
