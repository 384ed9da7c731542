"""The bench's harness: its figures, its choice of rows, and its file."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from bench import harness, writes
from bench.bridge import LAUNCHER
from bench.databases import SqliteFile
from bench.harness import select, show
from bench.row import BenchError, Bound, Pair, Row, result_of, take_round
from bench.rows import ROWS
from testbed import apple, scale

# Many of these start processes or wait for a clock: not for every save.
pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]


@contextmanager
def constant(_n: int, _folder: Path) -> Iterator[Pair]:
    yield Pair(lambda: 4.0, lambda: 2.0)


ROW = Row(id="example-10", what="one beside other", n=10, unit="s", prepare=constant)


def quiet() -> Console:
    return Console(file=io.StringIO(), width=200)


def test_the_ratio_is_the_median_of_the_rounds_ratios() -> None:
    # The medians of the columns (4 and 2) would give 2.
    rounds = [(4.0, 1.0), (9.0, 3.0), (2.0, 2.0)]
    result = result_of(ROW, 10, rounds)
    assert (result.ours, result.reference, result.ratio) == (4.0, 2.0, 3.0)
    assert result.number == 3.0


def test_without_a_reference_the_number_is_ours() -> None:
    row = replace(ROW, must=Bound("<=", 5))
    result = result_of(row, 10, [(3.0, None), (5.0, None), (4.0, None)])
    assert (result.reference, result.ratio, result.number) == (None, None, 4.0)
    assert result.ok is True


@pytest.mark.parametrize(
    ("must", "n", "ok"),
    [
        (None, 10, None),
        (None, 1, None),
        (Bound("<=", 2.0), 10, True),
        (Bound("<", 2.0), 10, False),
        (Bound(">=", 2.0), 10, True),
        (Bound(">", 2.0), 10, False),
        (Bound("==", 2.0), 10, True),
        (Bound("<=", 2.0), 9, False),
    ],
)
def test_ok(must: Bound | None, n: int, ok: bool | None) -> None:
    result = result_of(replace(ROW, must=must), n, [(4.0, 2.0)] * 3)
    assert result.ok is ok


def test_an_unknown_operator_is_refused() -> None:
    with pytest.raises(ValueError, match="is none of"):
        Bound("~", 1)


def test_fewer_than_three_rounds_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 3"):
        replace(ROW, rounds=2)


def test_who_goes_first_changes_from_round_to_round() -> None:
    order: list[str] = []

    def told(name: str) -> float:
        order.append(name)
        return 1.0

    pair = Pair(lambda: told("ours"), lambda: told("reference"))
    for number in range(2):
        take_round(pair, number)
    assert order == ["reference", "ours", "ours", "reference"]


def test_prefixes_choose_rows_in_their_order() -> None:
    rows = [replace(ROW, id=name) for name in ("sync-1", "login-1", "sync-2")]
    assert [row.id for row in select(rows, [])] == ["sync-1", "login-1", "sync-2"]
    assert [row.id for row in select(rows, ["sync"])] == ["sync-1", "sync-2"]
    assert [row.id for row in select(rows, ["sync-2", "l"])] == ["login-1", "sync-2"]


def test_an_unknown_prefix_is_told_with_all_ids() -> None:
    with pytest.raises(BenchError, match=r'"nothing"[^$]*example-10'):
        select([ROW], ["example", "nothing"])


def test_the_file_holds_one_object_for_each_row(tmp_path: Path) -> None:
    out = tmp_path / "build" / "bench.json"
    row = replace(ROW, must=Bound("<=", 3), aim=Bound("<=", 1))
    harness.run([row], out, scale=1, console=quiet())
    assert json.loads(out.read_text()) == [
        {
            "id": "example-10",
            "what": "one beside other",
            "n": 10,
            "ours": 4.0,
            "reference": 2.0,
            "unit": "s",
            "ratio": 2.0,
            "must": {"op": "<=", "value": 3},
            "aim": {"op": "<=", "value": 1},
            "ok": True,
        }
    ]
    assert [path.name for path in out.parent.iterdir()] == ["bench.json"]


def test_a_smaller_run_is_shown_as_such_and_never_ok(tmp_path: Path) -> None:
    row = replace(ROW, must=Bound("<=", 3))
    results = harness.run([row], tmp_path / "b.json", scale=0.5, console=quiet())
    assert [(one.n, one.ok) for one in results] == [(5, False)]
    console = quiet()
    show(results, [row], console)
    assert isinstance(console.file, io.StringIO)
    assert "of 10" in console.file.getvalue()


FAILING = """
import sys
from contextlib import contextmanager
from pathlib import Path
from bench import __main__ as bench
from bench.row import Pair, Row

@contextmanager
def breaks(n, folder):
    yield Pair(lambda: 1 / 0, lambda: 1.0)

@contextmanager
def works(n, folder):
    yield Pair(lambda: 1.0, lambda: 1.0)

def row(name, prepare):
    return Row(id=name, what="", n=1, unit="s", prepare=prepare)

rows = [row("works", works), row("breaks", breaks)]
sys.exit(bench.main(sys.argv[2:], rows, Path(sys.argv[1])))
"""


def bench(out: Path, *prefixes: str) -> subprocess.CompletedProcess[str]:
    """Run the bench with a row that works and one that does not."""
    return subprocess.run(
        [sys.executable, "-c", FAILING, out, *prefixes],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_crash_leaves_no_file(tmp_path: Path) -> None:
    out = tmp_path / "bench.json"
    out.write_text("of the last run")
    done = bench(out)
    assert done.returncode != 0
    assert "ZeroDivisionError" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_one_row_by_its_prefix(tmp_path: Path) -> None:
    out = tmp_path / "bench.json"
    assert bench(out, "wor").returncode == 0
    assert [row["id"] for row in json.loads(out.read_text())] == ["works"]


def test_an_unknown_prefix_ends_with_2_and_keeps_the_file(tmp_path: Path) -> None:
    out = tmp_path / "bench.json"
    out.write_text("of the last run")
    done = bench(out, "nothing")
    assert done.returncode == 2
    assert "works" in done.stderr
    assert out.read_text() == "of the last run"


def test_very_many_records_are_those_of_each_person() -> None:
    password, key = "{SSHA}100%sure==", "1024 65537 987654 root@od.example.com"
    made = list(scale.people(1234, password, key))
    people = map(scale.person, range(1, 1235))
    assert made == [apple.person_ldif(one, password, key) for one in people]


def peak_of(tmp_path: Path, *command: str) -> tuple[int, float]:
    """Run a command through the launcher: its exit code, and its peak in MB."""
    peak = tmp_path / "peak"
    done = subprocess.run(
        [sys.executable, "-I", "-S", LAUNCHER, peak, *command], check=False
    )
    return done.returncode, int(peak.read_text()) / 1024


def test_the_peak_is_that_of_the_command_and_not_ours(tmp_path: Path) -> None:
    ours = b"x" * (200 << 20)
    code, peak = peak_of(tmp_path, "/bin/sh", "-c", "exit 3")
    assert (code, peak < 50, len(ours)) == (3, True, 200 << 20)


def test_what_a_command_let_go_of_counts(tmp_path: Path) -> None:
    program = "x = b'x' * (100 << 20); del x"
    code, peak = peak_of(tmp_path, sys.executable, "-c", program)
    assert code == 0
    assert 100 < peak < 150


def test_both_ways_to_write_fill_the_same_tables(tmp_path: Path) -> None:
    with writes.into_sqlite(25, tmp_path) as pair:
        pair.ours()
        assert pair.reference is not None
        pair.reference()
    ours, theirs = SqliteFile(tmp_path / "ours"), SqliteFile(tmp_path / "theirs")
    for table in ("accounts", "names", "addresses", "changes", "runs", "domains"):
        rows = ours.query(f'SELECT * FROM "{table}"')
        assert rows
        assert set(rows) == set(theirs.query(f'SELECT * FROM "{table}"'))


def test_every_row_is_documented() -> None:
    text = (ROOT / "docs" / "benchmarks.md").read_text()
    assert [row.id for row in ROWS if f"`{row.id}`" not in text] == []
    assert len({row.id for row in ROWS}) == len(ROWS)
