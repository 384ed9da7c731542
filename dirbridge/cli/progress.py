"""How far a run is: a bar on a terminal, lines in a pipe when asked, JSON events."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from time import monotonic

from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TextColumn,
)
from rich.table import Column
from rich.text import Text

from dirbridge.cli.output import Output

Told = Callable[[str, int, int | None], None]
"""Told the phase, how many items it has done, and of how many where that is known."""

WORDS = {
    "read": "reading",
    "plan": "planning",
    "apply": "writing",
}
"""Phase to what people read."""

_EVENTS_EVERY = 0.5
_LINES_EVERY = 5.0
_BAR_EVERY = 0.1


@contextmanager
def shown(out: Output, domain: str, *, lines: bool = False) -> Iterator[Told]:
    """Show how far a run is, for as long as the block lasts.

    Args:
        out: How the command speaks.
        domain: The mail domain.
        lines: Whether a pipe gets lines on standard error; else it gets nothing.
    """
    if out.json:
        yield _seldom(_events(out, domain), _EVENTS_EVERY)
    elif sys.stderr.isatty():
        with _bar() as bar:
            yield _seldom(_moving(bar, domain), _BAR_EVERY)
    elif lines:
        yield _seldom(_lines(domain), _LINES_EVERY)
    else:
        yield _silent


def _silent(_phase: str, _done: int, _total: int | None = None) -> None:
    """Nobody wants to know."""


def _seldom(told: Told, seconds: float) -> Told:
    """Pass on what begins a phase, what ends it, and else one word in a while.

    A run tells of every entry, and a million of them is no time to write lines.
    """
    phase, due = "", 0.0

    def tell(now: str, done: int, total: int | None = None) -> None:
        nonlocal phase, due
        time = monotonic()
        if now != phase or time >= due or done == total:
            phase, due = now, time + seconds
            told(now, done, total)

    return tell


def _events(out: Output, domain: str) -> Told:
    def told(phase: str, done: int, total: int | None) -> None:
        out.event("progress", domain=domain, phase=phase, done=done, total=total)

    return told


class _Rate(ProgressColumn):
    """Items in a second."""

    def render(self, task: Task) -> Text:
        """Return the rate, nothing while there is none."""
        speed = task.speed
        return Text("" if not speed else f"{speed:,.0f}/s")


class _Left(ProgressColumn):
    """The time left, once it can be known."""

    def render(self, task: Task) -> Text:
        """Return it in words, nothing while nobody knows."""
        left = task.time_remaining
        if left is None or task.total is None or task.finished:
            return Text("")
        return Text(f"{timedelta(seconds=int(left))} left", style="dim", no_wrap=True)


def _bar() -> Progress:
    return Progress(
        SpinnerColumn(),
        # The figures are what people look for: they fit into 80 columns, and where a
        # domain's name is too long for that, it is the name that is cut.
        TextColumn(
            "{task.description}", table_column=Column(no_wrap=True, overflow="ellipsis")
        ),
        BarColumn(bar_width=8),
        TextColumn("{task.fields[count]}", table_column=Column(no_wrap=True)),
        _Rate(table_column=Column(no_wrap=True)),
        _Left(table_column=Column(no_wrap=True)),
        transient=True,
    )


def _moving(bar: Progress, domain: str) -> Told:
    task = bar.add_task(f"{domain}: {WORDS['read']}", total=None, count="")
    current = "read"

    def told(phase: str, done: int, total: int | None) -> None:
        nonlocal current
        if phase != current:
            current = phase
            text = f"{domain}: {WORDS.get(phase, phase)}"
            bar.reset(task, description=text, total=total, count="")
        bar.update(task, completed=done, total=total, count=_count(done, total))

    return told


def _count(done: int, total: int | None) -> str:
    return f"{done:,}" if total is None else f"{done:,}/{total:,}"


def _lines(domain: str) -> Told:
    began: dict[str, float] = {}

    def told(phase: str, done: int, total: int | None) -> None:
        seconds = monotonic() - began.setdefault(phase, monotonic())
        line = f"{domain}: {WORDS.get(phase, phase)}: {_count(done, total)}"
        if seconds > 1:
            line += f", {done / seconds:,.0f}/s"
            if total is not None and 0 < done < total:
                line += f", about {seconds * (total - done) / done:,.0f} s left"
        sys.stderr.write(f"{line}\n")
        sys.stderr.flush()

    return told
