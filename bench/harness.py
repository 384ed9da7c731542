"""Run rows, show them, and write the results down."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench.row import BenchError, Bound, Result, Row, result_of, take_round


def select(rows: Sequence[Row], prefixes: Sequence[str]) -> list[Row]:
    """Choose the rows whose id begins with one of the prefixes; all without any.

    Raises:
        BenchError: A prefix fits no row.
    """
    for prefix in prefixes:
        if not any(row.id.startswith(prefix) for row in rows):
            known = "\n".join(f"  {row.id:<20} {row.what}" for row in rows)
            raise BenchError(f'No row begins with "{prefix}". The rows are:\n{known}')
    return [row for row in rows if not prefixes or row.id.startswith(tuple(prefixes))]


def run(
    rows: Sequence[Row], out: Path, *, scale: float, console: Console
) -> list[Result]:
    """Measure rows and write the file, whole and at the end.

    Args:
        rows: The rows.
        out: The file; an older one is deleted first, so that a crash leaves none.
        scale: Share of each row's size to run, up to 1.
        console: Where progress is told.
    """
    out.unlink(missing_ok=True)
    results = [_measure(row, _size(row, scale), console) for row in rows]
    out.parent.mkdir(parents=True, exist_ok=True)
    unfinished = out.with_name(f".{out.name}")
    text = json.dumps([result.as_json() for result in results], indent=1)
    unfinished.write_text(f"{text}\n")
    unfinished.rename(out)
    return results


def _size(row: Row, scale: float) -> int:
    return max(1, min(row.n, round(row.n * scale)))


def _measure(row: Row, n: int, console: Console) -> Result:
    console.print(f"[bold]{row.id}[/]  {row.what}, n = {n:,}")
    rounds = []
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        Path(folder).chmod(0o711)
        with row.prepare(n, Path(folder)) as pair:
            for number in range(row.rounds):
                ours, reference = take_round(pair, number)
                rounds.append((ours, reference))
                beside = "" if reference is None else f", reference {reference:,.3g}"
                told = f"ours {ours:,.3g}{beside} {row.unit}"
                console.print(f"  [dim]round {number + 1}: {told}[/]")
    return result_of(row, n, rounds)


def show(results: Sequence[Result], rows: Sequence[Row], console: Console) -> None:
    """Print the table."""
    table = Table(title="dirbridge beside its references", title_justify="left")
    for column in ("row", "what"):
        table.add_column(column, overflow="fold")
    for column in ("n", "ours", "reference", "ratio", "must", "aim", "reached"):
        table.add_column(column, justify="right", no_wrap=column != "n")
    stated = {row.id: row.n for row in rows}
    for one in results:
        small = one.n < stated[one.id]
        table.add_row(
            one.id,
            one.what,
            f"{one.n:,}" + (f"\n[yellow]of {stated[one.id]:,}[/]" if small else ""),
            _figure(one.ours, one.unit),
            "-" if one.reference is None else _figure(one.reference, one.unit),
            "-" if one.ratio is None else f"{one.ratio:.2f}",
            _text(one.must),
            _text(one.aim),
            _reached(one),
        )
    console.print(table)


def _figure(value: float, unit: str) -> str:
    return f"{value:,.0f} {unit}" if value >= 100 else f"{value:.3g} {unit}"


def _text(bound: Bound | None) -> str:
    return "-" if bound is None else str(bound)


def _reached(one: Result) -> str:
    must = {True: "[green]must[/]", False: "[red]not the must[/]", None: ""}[one.ok]
    if one.aim is None or one.ok is False:
        return must or "-"
    return "[green]aim[/]" if one.aim.holds(one.number) else must or "not the aim"
