"""What the demo looks like: colours on a terminal, plain text in a pipe."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

GOOD, BAD = "[bold green]✓[/]", "[bold red]✗[/]"
WIDTH_IN_A_PIPE = 110
WIDEST = 120


class Screen:
    """Where the demo shows itself."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(highlight=False)
        if not self.console.is_terminal:
            self.console.width = WIDTH_IN_A_PIPE
        self.console.width = min(self.console.width, WIDEST)

    def title(self, text: str, subtitle: str) -> None:
        """Open the demo."""
        self.console.print()
        self.console.print(
            Rule(f"[bold]{escape(text)}[/]", style="blue", characters="━")
        )
        self.console.print(f"[dim]{escape(subtitle)}[/]", justify="center")

    def heading(self, number: int, name: str, expected: str) -> None:
        """Begin a step: its name and what is expected of it."""
        self.console.print()
        head = Text.assemble(
            (f" {number} ", "bold white on blue"), (f" {name}", "bold")
        )
        self.console.print(head)
        self._inside(f"[italic dim]Expected: {escape(expected)}[/]")

    def command(self, text: str, seconds: float) -> None:
        """Show a command that was run."""
        self._inside(f"[cyan]$ {escape(text)}[/]  [dim]{seconds:.1f} s[/]")

    def check(self, what: str, seen: object, expected: object) -> None:
        """Show a comparison."""
        if seen == expected:
            self._marked(GOOD, escape(what))
            return
        self._marked(BAD, f"[bold red]{escape(what)}[/]")
        self._inside(f"[red]expected {escape(_short(expected))}[/]", 6)
        self._inside(f"[red]seen     {escape(_short(seen))}[/]", 6)

    def row(self, good: bool, name: str, middle: str, rest: str, why: str = "") -> None:
        """Show one line of a list that grows while one watches."""
        grid = Table.grid(padding=(0, 2, 0, 0))
        for width in (1, 25, 26):
            grid.add_column(width=width, overflow="fold")
        grid.add_column(overflow="fold")
        style = "" if good else "bold red"
        grid.add_row(
            GOOD if good else BAD,
            Text(name, style=style),
            Text(middle, style=style or _colour(middle)),
            Text(rest, style="dim"),
        )
        self.console.print(Padding(grid, (0, 0, 0, 4)))
        if why:
            self._inside(f"[dim italic]{escape(why)}[/]", 7)

    def note(self, text: str) -> None:
        """Show a line that is neither good nor bad."""
        self._marked("·", escape(text))

    def warn(self, text: str) -> None:
        """Show something that a person should settle."""
        self._marked("[bold yellow]![/]", escape(text))

    def problem(self, text: str) -> None:
        """Show what broke."""
        self._marked(BAD, f"[bold red]{escape(text)}[/]")

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Show a small table."""
        table = Table(box=box.SIMPLE_HEAD, header_style="bold", pad_edge=False)
        for column in columns:
            table.add_column(column, overflow="fold")
        for row in rows:
            table.add_row(*(Text(cell) for cell in row))
        self.console.print(Padding(table, (0, 0, 0, 4)))

    def summary(
        self, rows: Sequence[tuple[int, str, int, int, str, float]], seconds: float
    ) -> None:
        """End the demo: each step with its checks and what was seen."""
        self.console.print()
        self.console.print(Rule("[bold]What you have just seen[/]", style="blue"))
        table = Table(box=None, header_style="dim", padding=(0, 2, 0, 0))
        for column in ("", "", "step", "checks", "seen", "time"):
            right = column in ("checks", "time")
            table.add_column(
                column, justify="right" if right else "left", no_wrap=column == "step"
            )
        for number, name, good, checks, seen, time in rows:
            mark = GOOD if good == checks else BAD
            count = f"{good}/{checks}"
            cells = (mark, str(number), name, count, Text(seen), f"{time:.0f} s")
            table.add_row(*cells)
        self.console.print(table)
        self._verdict(sum(r[2] for r in rows), sum(r[3] for r in rows), seconds)

    def _verdict(self, good: int, checks: int, seconds: float) -> None:
        style, word = ("green", "✓") if good == checks else ("red", "✗")
        text = (
            f"{word} {good} of {checks} outcomes were as expected, in {seconds:.0f} s"
        )
        self.console.print()
        self.console.print(Text(text, style=f"bold {style}"))

    def to_try(self, head: str, lines: Sequence[str], foot: str) -> None:
        """Show commands that may be copied; nothing is wrapped or shortened."""
        self.console.print()
        self.console.print(Rule("[bold]Your turn[/]", style="blue"))
        self.console.print(escape(head))
        for line in lines:
            self.console.print(f"  [cyan]{escape(line)}[/]", soft_wrap=True)
        self.console.print(f"[dim]{escape(foot)}[/]", soft_wrap=True)

    @contextmanager
    def busy(self, text: str) -> Iterator[None]:
        """Turn a wheel while something is done; nothing in a pipe."""
        if not self.console.is_terminal:
            yield
            return
        with self.console.status(f"[dim]{escape(text)}[/]", spinner="dots"):
            yield

    def _marked(self, mark: str, text: str) -> None:
        grid = Table.grid(padding=(0, 2, 0, 0))
        grid.add_row(mark, text)
        self.console.print(Padding(grid, (0, 0, 0, 4)))

    def _inside(self, text: str, indent: int = 4) -> None:
        self.console.print(Padding(Text.from_markup(text), (0, 0, 0, indent)))


_COLOURS = {"accepted": "green", "rejected": "yellow", "refused": "yellow"}


def _colour(text: str) -> str:
    return _COLOURS.get(text.partition(":")[0], "")


def _short(value: object) -> str:
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= 400 else f"{text[:400]}…"
