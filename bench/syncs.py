"""Rows about whole sync commands: their time, and their memory."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from itertools import count
from pathlib import Path

from bench.bridge import Bridge, bridge
from bench.databases import Database, postgresql
from bench.row import BenchError, Pair
from dirbridge.app import App
from dirbridge.connectors.reading import PAGE
from dirbridge.directory import filter as ldap_filter
from testbed import ldif, scale
from testbed.cast import OD_USERS
from testbed.process import environment, run

PROFILE = "open-directory"
ONE_IN = 100
"""One account of so many gets new values in the row about one per cent."""

Prepare = Callable[[int, Path], AbstractContextManager[Pair]]


@contextmanager
def unchanged(accounts: int, folder: Path) -> Iterator[Pair]:
    """A full sync in which nothing changed, against reading the same entries.

    The reference is `ldapsearch` with the same filter, attributes and page size,
    over LDAPS as well, to /dev/null.
    """
    with bridge(folder, accounts) as ours:
        _count(ours)
        yield Pair(lambda: nothing_changed(ours), lambda: read_all(ours))


@contextmanager
def one_per_cent(accounts: int, folder: Path) -> Iterator[Pair]:
    """A full sync in which one account of a hundred has new values, likewise.

    Others each round; the store is asked afterwards whether it has them.
    """
    numbers = count(1)
    with bridge(folder, accounts) as ours:
        _count(ours)
        yield Pair(lambda: _changed(ours, next(numbers)), lambda: read_all(ours))


def first_import(
    database: Callable[[Path], AbstractContextManager[Database | None]],
) -> Prepare:
    """Return a row's preparation: a first sync, against reading the same entries."""

    @contextmanager
    def prepare(accounts: int, folder: Path) -> Iterator[Pair]:
        with (
            database(folder) as store,
            bridge(folder, accounts, database=store, synced=False) as ours,
        ):
            _count(ours)
            yield Pair(lambda: _first(ours), lambda: read_all(ours))

    return prepare


def on_sqlite(folder: Path) -> AbstractContextManager[Database | None]:
    """Give what makes a bridge take a SQLite file."""
    del folder
    return nullcontext()


first_into_sqlite = first_import(on_sqlite)
first_into_postgresql = first_import(postgresql)


@contextmanager
def memory(accounts: int, folder: Path) -> Iterator[Pair]:
    """The peak of the first import, or of a full sync in which nothing changed.

    The larger one counts. A million takes long: the first import is run once.
    """
    with bridge(folder, accounts, synced=False) as ours:
        first = ours.peak_of_sync()
        ours.check_stored()

        def larger() -> float:
            return max(first, ours.peak_of_sync("--full"))

        yield Pair(larger)


def nothing_changed(ours: Bridge) -> float:
    """Return the seconds of a full sync in which nothing changed."""
    data, seconds = ours.run("sync", "--full")
    found = [(run["unchanged"], len(run["changes"])) for run in data["runs"]]
    if found != [(ours.accounts, 0)]:
        raise BenchError(f"something changed: {found}, not {ours.accounts}, 0")
    return seconds


def _changed(ours: Bridge, number: int) -> float:
    title = f"Round {number}"
    chosen = range(1 + number % ONE_IN, ours.accounts + 1, ONE_IN)
    change(ours, chosen, title)
    seconds = ours.sync("--full")
    check_titles(ours, chosen, title)
    ours.check_stored()
    return seconds


def change(ours: Bridge, numbers: range, title: str) -> None:
    """Give accounts a new title and telephone number in the directory."""
    ours.server.modify(
        "".join(
            ldif.modify(
                scale.person(number).dn,
                [("title", title), ("telephoneNumber", f"+49 {number} {title[6:]}")],
            )
            for number in numbers
        )
    )


def check_titles(ours: Bridge, numbers: range, title: str) -> None:
    """Demand that just these accounts have the title in the store."""
    sql = "SELECT mailbox, phone FROM accounts WHERE title = ?"
    wanted = {(scale.person(n).uid, f"+49 {n} {title[6:]}") for n in numbers}
    found = set(ours.database.query(sql, title))
    if found != wanted:
        text = f"{len(found - wanted)} too many, {len(wanted - found)} too few"
        raise BenchError(f"new titles in the store: {text}")


def _first(ours: Bridge) -> float:
    ours.database.empty()
    seconds = ours.sync()
    ours.check_stored()
    return seconds


def _search(ours: Bridge) -> list[str]:
    profile = App.load(ours.config).profiles[PROFILE]
    wanted = {*profile.attributes, profile.id, "entryUUID"}
    flt = ldap_filter.all_of(
        profile.base_filter, *(ldap_filter.negate(x.filter) for x in profile.exclude)
    )
    return [
        *("ldapsearch", "-x", "-LLL", "-H", f"ldaps://{ours.server.host}"),
        *("-E", f"pr={PAGE}/noprompt", "-b", OD_USERS, flt, *sorted(wanted)),
    ]


def _environment() -> dict[str, str]:
    # The server is ours; only the encryption shall cost what it costs.
    return environment({"LDAPTLS_REQCERT": "never"})


def _count(ours: Bridge) -> None:
    text = run(_search(ours), env={"LDAPTLS_REQCERT": "never"})
    found = sum(line.startswith("dn:") for line in text.splitlines())
    if found != ours.accounts:
        raise BenchError(f"ldapsearch read {found} entries, not {ours.accounts}")


def read_all(ours: Bridge) -> float:
    """Return the seconds of ldapsearch, its output thrown away."""
    search = _search(ours)
    started = time.monotonic()
    subprocess.run(search, env=_environment(), stdout=subprocess.DEVNULL, check=True)
    return time.monotonic() - started
