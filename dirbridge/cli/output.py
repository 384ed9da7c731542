"""How commands speak: tables on a terminal, plain text in a pipe, JSON on demand.

Every command ends with one object of the form that product and `docs/json/`
promise: `{"format": 1, "command", "ok", "problems", "data"}`.
"""

from __future__ import annotations

import json
import re
import secrets
import sys
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from dirbridge.errors import (
    ConfigError,
    DirectoryError,
    Problem,
    StoreError,
    UnsafePlan,
)

DONE = 0
PROBLEMS = 1
USAGE = 2
STOPPED = 3
UNAVAILABLE = 4
STORE = 5
INTERRUPTED = 130

_EXIT = (
    (UnsafePlan, STOPPED),
    (ConfigError, USAGE),
    (DirectoryError, UNAVAILABLE),
    (StoreError, STORE),
)
"""Error class to exit code; the first match counts."""

_SHORT = 16
"""Characters of a cell that stays on one line."""

Json = dict[str, Any]


@dataclass(slots=True)
class Output:
    """What one command says.

    Attributes:
        command: The command's name, for the JSON object.
        json: Whether JSON is wanted instead of text.
        problems: What a person should know and mend.
    """

    command: str
    json: bool = False
    problems: list[Problem] = field(default_factory=list)

    @property
    def console(self) -> Console:
        """The terminal or pipe for text; wide in a pipe, so that nothing wraps."""
        width = None if sys.stdout.isatty() else 200
        return Console(width=width, highlight=False, soft_wrap=True)

    def say(self, text: str = "", *, style: str = "", hang: int = 0) -> None:
        """Print one line of text; with JSON nothing is printed.

        Args:
            text: The line.
            style: Its style on a terminal.
            hang: How far further lines are indented where a terminal is narrower; 0
                leaves that to the terminal.
        """
        if self.json:
            return
        console = self.console
        line = _safe(text)
        if hang and sys.stdout.isatty():
            line = _wrapped(line, console.width, hang)
        console.print(escape(line), style=style or None)

    def table(
        self, title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]
    ) -> None:
        """Print a table: ruled on a terminal, tab-separated in a pipe."""
        if self.json:
            return
        if not sys.stdout.isatty():
            self._plain_rows(columns, rows)
            return
        table = Table(title=title or None, title_justify="left", header_style="bold")
        texts = [[_text(cell) for cell in row] for row in rows]
        for place, column in enumerate(columns):
            # A time or a number that is cut in two is hard to read; what is long folds.
            whole = all(len(row[place]) <= _SHORT for row in texts)
            table.add_column(column, overflow="fold", no_wrap=whole)
        for row in texts:
            table.add_row(*map(escape, row))
        self.console.print(table, soft_wrap=False)

    def _plain_rows(
        self, columns: Sequence[str], rows: Iterable[Sequence[object]]
    ) -> None:
        sys.stdout.write("\t".join(columns) + "\n")
        for row in rows:
            cells = (_text(cell).replace("\t", " ").replace("\n", " ") for cell in row)
            sys.stdout.write("\t".join(cells) + "\n")

    def event(self, name: str, **fields: object) -> None:
        """Write one JSON line of a long command; nothing without JSON."""
        if self.json:
            _write_json({"event": name, **fields})

    def problem(self, *problems: Problem) -> None:
        """Remember problems; `finish` prints them."""
        self.problems.extend(problems)

    def finish(self, data: Json | None = None, *, ok: bool | None = None) -> None:
        """Print the problems, or the one JSON object that ends a command."""
        good = not self.problems if ok is None else ok
        if self.json:
            _write_json(
                {
                    "format": 1,
                    "command": self.command,
                    "ok": good,
                    "problems": [_problem_json(one) for one in self.problems],
                    "data": data or {},
                }
            )
            return
        show_problems(self.problems)


def _wrapped(text: str, width: int, hang: int) -> str:
    """Break a line between words; what has no blank is left to the terminal."""
    lines = textwrap.wrap(
        text[hang:],
        max(width - hang, 1),
        break_long_words=False,
        break_on_hyphens=False,
    )
    return text[:hang] + f"\n{' ' * hang}".join(lines)


def show_problems(problems: Iterable[Problem]) -> None:
    """Print problems to standard error: the place, what is wrong, what to do."""
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    for one in problems:
        where, text, then = (escape(_safe(t)) for t in (one.where, one.text, one.next))
        place = f"[bold]{where}[/bold]: " if where else ""
        console.print(f"[red]problem[/red] {place}{text}")
        console.print(f"        [dim]next:[/dim] {then}")


def _problem_json(one: Problem) -> Json:
    return {"code": one.code, "where": one.where, "text": one.text, "next": one.next}


class Streamed:
    """An array of JSON that is written item by item, and never stands in memory."""

    def __init__(self, items: Iterable[Json]) -> None:
        self._items = items

    def __iter__(self) -> Iterator[Json]:
        return iter(self._items)


def _write_json(value: Json) -> None:
    streams: list[Streamed] = []
    # No value of a directory can be the same: nobody knows it before.
    mark = secrets.token_hex(16)

    def default(one: object) -> object:
        if isinstance(one, Streamed):
            streams.append(one)
            return mark
        return _plain(one)

    text = json.dumps(value, ensure_ascii=False, default=default)
    first, *rest = text.split(f'"{mark}"')
    _write(first)
    for stream, after in zip(streams, rest, strict=True):
        _write("[")
        for number, item in enumerate(stream):
            _write(", " if number else "")
            _write(json.dumps(item, ensure_ascii=False, default=_plain))
        _write(f"]{after}")
    _write("\n")
    sys.stdout.flush()


def _write(text: str) -> None:
    # Octets that were no UTF-8 became lone surrogates; JSON escapes look the same.
    sys.stdout.write(text.encode("utf-8", "backslashreplace").decode())


def _plain(value: object) -> object:
    if isinstance(value, tuple | frozenset | set):
        return sorted(value) if not isinstance(value, tuple) else list(value)
    return str(value)


def _text(cell: object) -> str:
    if cell is None:
        return ""
    if isinstance(cell, tuple | list):
        return _safe(", ".join(str(one) for one in cell))
    return _safe(str(cell))


# All control characters but tab and line feed, and what was no UTF-8.
_UNSAFE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")


def _safe(text: str) -> str:
    """Escape what could steer the terminal: values come from directories."""
    return _UNSAFE.sub(lambda found: ascii(found[0])[1:-1], text)


def code_of(error: Exception) -> int:
    """Return the exit code of a command that ended with an error."""
    if isinstance(error, StoreError) and error.code.endswith("-schema"):
        return USAGE
    if isinstance(error, StoreError) and error.code in ("outrun", "turn-taken"):
        # The store is well; the run is only to be started again.
        return PROBLEMS
    return next((code for kind, code in _EXIT if isinstance(error, kind)), PROBLEMS)
