"""Rows about reading a whole directory: `Connector.read` against ldapsearch."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.read_child import TWELVE
from bench.row import BenchError, Pair
from dirbridge.connectors.reading import PAGE
from testbed import namespace, scale
from testbed.cast import OD_BASE, OD_USERS
from testbed.process import environment, run

ACCOUNTS = "(uid=u*)"
_TRUST = {"LDAPTLS_REQCERT": "never"}  # only the encryption shall cost what it costs

Prepare = Callable[[int, Path], AbstractContextManager[Pair]]


@dataclass(frozen=True, slots=True)
class Reader:
    """The large slapd, and who reads it."""

    server: scale.Scale
    accounts: int

    def ours(self, way: str, text: str = ACCOUNTS) -> dict[str, Any]:
        """Read in a process of its own; see `bench.read_child`."""
        settings = {
            "type": "open-directory-kerberos",
            "server": self.server.host,
            "suffix": OD_BASE,
            "ca_file": str(self.server.ca_file),
            "username": f"uid=diradmin,{OD_USERS}",
        }
        argv = [sys.executable, "-m", "bench.read_child", way, json.dumps(settings)]
        done = subprocess.run(
            [*argv, text],
            input=self.server.password(scale.PASSWORD_KEY),
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise BenchError(f"the read failed: {done.stderr.strip()}")
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    def search(self, *options: str) -> list[str]:
        """Return the same search for ldapsearch."""
        return [
            *("ldapsearch", "-x", "-LLL", "-H", f"ldaps://{self.server.host}"),
            *options,
            *("-E", f"pr={PAGE}/noprompt", "-b", OD_USERS, ACCOUNTS, *TWELVE),
        ]

    def theirs(self) -> float:
        """Return the seconds of ldapsearch, its output thrown away."""
        started = time.monotonic()
        subprocess.run(
            self.search(),
            env=environment(_TRUST),
            stdout=subprocess.DEVNULL,
            check=True,
        )
        return time.monotonic() - started

    def compare(self) -> None:
        """Demand that both find the same entries, with as many octets of values."""
        text = run(self.search("-o", "ldif-wrap=no"), env=_TRUST)
        theirs = _counted(text)
        found = self.ours("sum")
        ours = found["entries"], found["octets"]
        if ours != theirs or theirs[0] != self.accounts:
            raise BenchError(
                f"entries and octets differ: {ours} instead of {theirs}, "
                f"{self.accounts} accounts"
            )


def read_in(way: str) -> Prepare:
    """Return a row's preparation: read in one way, against ldapsearch to null."""

    @contextmanager
    def prepare(accounts: int, folder: Path) -> Iterator[Pair]:
        with _reader(accounts, folder) as reader:
            reader.compare()
            yield Pair(lambda: _seconds(reader, way), reader.theirs)

    return prepare


@contextmanager
def memory(accounts: int, folder: Path) -> Iterator[Pair]:
    """The growth of a reading process from a tenth of the accounts to all."""
    with _reader(accounts, folder) as reader:
        # Names have six digits; the lowest are a tenth of a power of ten.
        few = f"(uid=u{'0' * (8 - len(str(accounts)))}*)"
        yield Pair(lambda: _growth(reader, few))


def _seconds(reader: Reader, way: str) -> float:
    found = reader.ours(way)
    decoded = 0 if way == "skip" else reader.accounts
    if (found["entries"], found["decoded"]) != (reader.accounts, decoded):
        raise BenchError(f"not all was read: {found}")
    return float(found["seconds"])


def _growth(reader: Reader, few: str) -> float:
    """Return MB for each thousand entries more."""
    small, large = reader.ours("bytes", few), reader.ours("bytes")
    more = large["entries"] - small["entries"]
    if large["entries"] != reader.accounts or more < reader.accounts / 2:
        raise BenchError(f"not all was read: {small}, {large}")
    return float((large["peak"] - small["peak"]) / 1024 / more * 1000)


def _counted(text: str) -> tuple[int, int]:
    """Return how many entries an LDIF has, and the lengths of their values."""
    entries = octets = 0
    for line in text.splitlines():
        name, _, value = line.partition(":")
        if name.startswith("#"):
            continue  # what ldapsearch says of pages
        if name == "dn":
            entries += 1
        elif value.startswith(":"):
            octets += len(base64.b64decode(value[1:]))
        elif name:
            octets += len(value.removeprefix(" ").encode())
    return entries, octets


@contextmanager
def _reader(accounts: int, folder: Path) -> Iterator[Reader]:
    namespace.enter()
    server = scale.load(folder / "bed", accounts)
    try:
        server.start()
        yield Reader(server, accounts)
    finally:
        server.stop()
