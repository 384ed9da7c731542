"""What a row of the bench is, and how its figures become a result."""

from __future__ import annotations

import operator
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

LEAST_ROUNDS = 3

_OPS: dict[str, Callable[[float, float], bool]] = {
    "<=": operator.le,
    "<": operator.lt,
    ">=": operator.ge,
    ">": operator.gt,
    "==": operator.eq,
}


class BenchError(Exception):
    """A measurement cannot be had, or did not measure what it should."""


@dataclass(frozen=True, slots=True)
class Bound:
    """What a row's number is held against: `Bound("<=", 2.5)`."""

    op: str
    value: float

    def __post_init__(self) -> None:
        if self.op not in _OPS:
            raise ValueError(f"{self.op} is none of {' '.join(_OPS)}")

    def __str__(self) -> str:
        return f"{self.op} {self.value:g}"

    def holds(self, number: float) -> bool:
        """Whether a number is within the bound."""
        return _OPS[self.op](number, self.value)


@dataclass(frozen=True, slots=True)
class Pair:
    """Two measurements that are taken one after the other, round by round.

    Attributes:
        ours: Measures dirbridge once; gives a figure in the row's unit.
        reference: Measures what it is compared with; None where there is nothing.
    """

    ours: Callable[[], float]
    reference: Callable[[], float] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One row: one number.

    Attributes:
        id: Its name; `run bench ID` takes the beginning of it.
        what: What is measured against what, for people.
        n: The size: accounts, logins...
        unit: The unit of ours and reference.
        prepare: Starts what is needed in an empty folder, for a size; gives the
            pair, and stops everything in the end.
        must: What the number has to keep, or None.
        aim: What we would like it to be, or None.
        rounds: How often the pair is measured, at least three times.
    """

    id: str
    what: str
    n: int
    unit: str
    prepare: Callable[[int, Path], AbstractContextManager[Pair]]
    must: Bound | None = None
    aim: Bound | None = None
    rounds: int = LEAST_ROUNDS

    def __post_init__(self) -> None:
        if self.rounds < LEAST_ROUNDS:
            raise ValueError(f"{self.id}: at least {LEAST_ROUNDS} rounds")


@dataclass(frozen=True, slots=True)
class Result:
    """What came out; the fields of `build/bench.json`.

    Attributes:
        id: The row's.
        what: The row's.
        n: The size really run.
        ours: The median of our figures.
        reference: The median of the reference's.
        unit: The unit of both.
        ratio: The median of ours / reference within each round.
        must: The row's.
        aim: The row's.
        ok: Whether the number keeps the must; None without one.
    """

    id: str
    what: str
    n: int
    ours: float
    reference: float | None
    unit: str
    ratio: float | None
    must: Bound | None
    aim: Bound | None
    ok: bool | None

    @property
    def number(self) -> float:
        """The one number of the row: the ratio, or ours without a reference."""
        return self.ours if self.ratio is None else self.ratio

    def as_json(self) -> dict[str, Any]:
        """The object for `build/bench.json`."""
        return asdict(self)


Figures = tuple[float, float | None]


def take_round(pair: Pair, number: int) -> Figures:
    """Measure both once; who goes first changes from round to round."""
    if pair.reference is None:
        return pair.ours(), None
    if number % 2:
        ours = pair.ours()
        return ours, pair.reference()
    reference = pair.reference()
    return pair.ours(), reference


def result_of(row: Row, n: int, rounds: list[Figures]) -> Result:
    """Make a row's result of its rounds.

    Args:
        row: The row.
        n: The size really run; a smaller one than the row's is never ok.
        rounds: The figures of each round.
    """
    ours = median(figures[0] for figures in rounds)
    references = [figures[1] for figures in rounds if figures[1] is not None]
    ratios = [mine / other for mine, other in rounds if other is not None]
    ratio = median(ratios) if ratios else None
    return Result(
        id=row.id,
        what=row.what,
        n=n,
        ours=ours,
        reference=median(references) if references else None,
        unit=row.unit,
        ratio=ratio,
        must=row.must,
        aim=row.aim,
        ok=_ok(row, n, ours if ratio is None else ratio),
    )


def _ok(row: Row, n: int, number: float) -> bool | None:
    if row.must is None:
        return None
    return n >= row.n and row.must.holds(number)
