"""`python -m bench [ID ...]`: measure rows; exit code 1 where a must is missed."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from bench import harness
from bench.row import BenchError, Row
from bench.rows import ROWS
from testbed import namespace
from testbed.process import BedError

OUT = Path(__file__).resolve().parent.parent / "build" / "bench.json"
DONE, MISSED, USAGE, INTERRUPTED = 0, 1, 2, 130
USAGE_TEXT = """\
usage: ./run bench [ID ...]     the beginning of an id is enough; none means all
  BENCH_SCALE=0.1 ./run bench   a tenth of each size, to try things out: never ok
"""


def main(arguments: Sequence[str], rows: Sequence[Row] = ROWS, out: Path = OUT) -> int:
    """Measure the rows that are named and return the exit code."""
    if {"-h", "--help"} & set(arguments):
        print(USAGE_TEXT, end="")
        return DONE
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        chosen = harness.select(rows, arguments)
        scale = _scale()
    except BenchError as error:
        print(error, file=sys.stderr)
        return USAGE
    return _run(chosen, out, scale)


def _run(rows: Sequence[Row], out: Path, scale: float) -> int:
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = 160
    try:
        results = harness.run(rows, out, scale=scale, console=console)
    except (BenchError, BedError, namespace.NamespaceError, PermissionError) as error:
        print(error, file=sys.stderr)
        return MISSED
    except KeyboardInterrupt:
        return INTERRUPTED
    harness.show(results, rows, console)
    console.print(f"written to {out}")
    return MISSED if any(one.ok is False for one in results) else DONE


def _scale() -> float:
    text = os.environ.get("BENCH_SCALE", "1")
    try:
        scale = float(text)
    except ValueError:
        scale = 0
    if not 0 < scale <= 1:
        raise BenchError(f"BENCH_SCALE is {text}: write a share such as 0.1, up to 1.")
    return scale


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
