"""Rows about sync."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.bridge import Bridge, bridge
from bench.row import BenchError, Pair
from dirbridge.app import App
from dirbridge.connectors.reading import PAGE
from dirbridge.directory import filter as ldap_filter
from testbed.cast import OD_USERS
from testbed.process import environment, run

PROFILE = "open-directory"


@contextmanager
def full_sync(accounts: int, folder: Path) -> Iterator[Pair]:
    """A full sync in which nothing changed, against reading the same entries.

    The reference is `ldapsearch` with the same filter, attributes and page size,
    over LDAPS as well, to /dev/null.
    """
    with bridge(folder, accounts) as ours:
        search = _search(ours)
        _count(search, accounts)
        yield Pair(lambda: _sync(ours, accounts), lambda: _time(search))


def _sync(ours: Bridge, accounts: int) -> float:
    data, seconds = ours.run("sync", "--full")
    unchanged = [(run["unchanged"], len(run["changes"])) for run in data["runs"]]
    if unchanged != [(accounts, 0)]:
        raise BenchError(f"something changed: {unchanged} instead of {accounts}, 0")
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


def _count(search: list[str], accounts: int) -> None:
    text = run(search, env={"LDAPTLS_REQCERT": "never"})
    found = sum(line.startswith("dn:") for line in text.splitlines())
    if found != accounts:
        raise BenchError(f"ldapsearch read {found} entries, not {accounts}")


def _time(search: list[str]) -> float:
    started = time.monotonic()
    subprocess.run(search, env=_environment(), stdout=subprocess.DEVNULL, check=True)
    return time.monotonic() - started
