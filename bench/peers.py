"""The row about a sync script of the usual kind."""

from __future__ import annotations

import sysconfig
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.bridge import Bridge, bridge
from bench.row import BenchError, Pair
from bench.syncs import nothing_changed
from testbed import scale
from testbed.cast import OD_USERS
from testbed.process import run

FEWER = 50
"""The script gets one account of so many: its time for each one is all that counts."""

SCRIPT = Path(__file__).with_name("peer_script.py")
PYTHON = "/usr/bin/python3"


@contextmanager
def script(accounts: int, folder: Path) -> Iterator[Pair]:
    """Microseconds for each account of a pass in which nothing changed."""
    with bridge(folder, accounts) as ours:
        yield Pair(lambda: _ours(ours), lambda: _theirs(ours))


def _ours(ours: Bridge) -> float:
    return nothing_changed(ours) / ours.accounts * 1e6


def _theirs(ours: Bridge) -> float:
    number = max(1, ours.accounts // FEWER)
    database = ours.folder / "script.db"
    database.unlink(missing_ok=True)
    text = run(
        [
            *(PYTHON, SCRIPT, sysconfig.get_path("purelib")),
            *(f"ldaps://{ours.server.host}", ours.server.ca_file),
            *(f"uid=diradmin,{OD_USERS}", OD_USERS, database, str(number)),
        ],
        stdin=ours.server.password(scale.PASSWORD_KEY),
    )
    try:
        return float(text) / number * 1e6
    except ValueError:
        raise BenchError(f"the script told no time: {text}") from None
