"""What rows measure with: a large slapd, and dirbridge configured for it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from bench.databases import Database, SqliteFile
from bench.row import BenchError
from testbed import namespace, scale
from testbed.cast import OD_BASE, OD_MAIL_DOMAIN, OD_USERS
from testbed.process import Daemon, run, wait_until

DIRBRIDGE = Path(sys.executable).with_name("dirbridge")
LAUNCHER = Path(__file__).with_name("launch.py")
DOMAIN = OD_MAIL_DOMAIN

LONGEST = 3600.0
"""Seconds that a command may take."""

CONFIGURATION = """\
[store]
{store}

[serve]
run_dir = "{folder}/run"
{serve}

[[hooks]]
type = "saslauthd"
socket = "{folder}/mux"

[domains."{domain}"]
primary = true

[domains."{domain}".directory]
type = "open-directory-kerberos"
server = "{host}"
suffix = "{suffix}"
ca_file = "{ca}"
username = "uid=diradmin,{users}"
password = {{ file = "{folder}/secret" }}

[domains."{domain}".login]
methods = ["ldap-bind"]
{login}

[domains."{domain}".sync]
{sync}
"""


@dataclass(frozen=True, slots=True)
class Bridge:
    """dirbridge with a configuration for the large slapd.

    Attributes:
        folder: Holds everything of it.
        server: The slapd.
        accounts: How many accounts that has.
        database: Where its accounts go.
    """

    folder: Path
    server: scale.Scale
    accounts: int
    database: Database

    @property
    def environment(self) -> dict[str, str]:
        """The environment of its commands."""
        return {**os.environ, "DIRBRIDGE_CONFIG": str(self.config)}

    @property
    def config(self) -> Path:
        """Its configuration."""
        return self.folder / "dirbridge.toml"

    @property
    def socket(self) -> Path:
        """Its saslauthd socket."""
        return self.folder / "mux"

    def run(self, *arguments: str) -> tuple[dict[str, Any], float]:
        """Run a whole command; gives `data` of its JSON, and the seconds.

        Raises:
            BedError: It failed.
        """
        started = time.monotonic()
        text = run([DIRBRIDGE, *arguments, "--json"], env=self.environment)
        seconds = time.monotonic() - started
        data: dict[str, Any] = json.loads(text.splitlines()[-1])["data"]
        return data, seconds

    def sync(self, *arguments: str) -> float:
        """Run `dirbridge sync` as cron does; gives the seconds.

        Raises:
            BedError: It failed.
        """
        started = time.monotonic()
        run([DIRBRIDGE, "sync", *arguments], env=self.environment, timeout=LONGEST)
        return time.monotonic() - started

    def peak_of_sync(self, *arguments: str) -> float:
        """Run `dirbridge sync` as cron does; gives its peak of memory in MB.

        Raises:
            BedError: It failed.
        """
        peak = self.folder / "peak"
        launcher = [sys.executable, "-I", "-S", LAUNCHER, peak]
        argv = [*launcher, DIRBRIDGE, "sync", *arguments]
        run(argv, env=self.environment, timeout=LONGEST)
        return int(peak.read_text()) / 1024

    def check_stored(self) -> None:
        """Demand that the store has every account, and each one active."""
        sql = "SELECT state, count(*) FROM accounts GROUP BY state"
        found = self.database.query(sql)
        if found != [("active", self.accounts)]:
            raise BenchError(f"the store has {found}, not {self.accounts} active ones")

    @contextmanager
    def serving(self, *options: str) -> Iterator[Daemon]:
        """Run `dirbridge serve`."""
        daemon = Daemon("dirbridge serve", self.folder / "serve.log")
        argv: list[str | Path] = [DIRBRIDGE, "serve", *options, "--json"]
        try:
            daemon.start(argv, env=self.environment)
            wait_until(
                lambda: '"ready"' in daemon.last_words() or not daemon.running,
                "`dirbridge serve` is not ready",
            )
            if not daemon.running:
                raise BenchError(f"serve ended at its start: {daemon.last_words()}")
            yield daemon
        finally:
            daemon.stop()

    @contextmanager
    def jobs(self) -> Iterator[Callable[[str], dict[str, Any]]]:
        """Run the sync job in a process that is kept, see `bench.sync_child`.

        Gives a function that runs it once, `full` or `delta`, and tells how it went.
        """
        argv = [sys.executable, "-m", "bench.sync_child", str(self.config)]
        with subprocess.Popen(
            argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as child:
            assert child.stdin is not None
            assert child.stdout is not None
            _line(child.stdout)

            def once(kind: str) -> dict[str, Any]:
                print(kind, file=child.stdin, flush=True)
                return _line(child.stdout)

            try:
                yield once
            finally:
                child.stdin.close()


def _line(lines: IO[str] | None) -> dict[str, Any]:
    text = next(lines or iter(()), "")
    if not text:
        raise BenchError("the process that syncs has ended; see above")
    found: dict[str, Any] = json.loads(text)
    return found


@contextmanager
def bridge(
    folder: Path,
    accounts: int,
    *,
    kind: Callable[[Path], scale.Scale] = scale.Scale,
    database: Database | None = None,
    lines: Mapping[str, str] | None = None,
    synced: bool = True,
) -> Iterator[Bridge]:
    """Give a bridge whose store has all accounts of a running slapd.

    Args:
        folder: An empty folder.
        accounts: How many accounts the slapd has.
        kind: Which slapd; those of two kinds may run at once.
        database: Where the accounts go; a SQLite file in the folder if None.
        lines: More lines for the table `serve`, and the domain's `sync` and `login`.
        synced: Whether the store shall have the accounts, or be empty.
    """
    namespace.enter()
    server = scale.load(folder / "bed", accounts, kind)
    made = Bridge(folder, server, accounts, database or SqliteFile(folder))
    _configure(made, lines or {})
    try:
        server.start()
        if synced:
            made.sync()
            made.check_stored()
        yield made
    finally:
        server.stop()


def _configure(made: Bridge, lines: Mapping[str, str]) -> None:
    secret = made.folder / "secret"
    secret.touch(mode=0o600)
    secret.write_text(made.server.password(scale.PASSWORD_KEY))
    text = CONFIGURATION.format(
        folder=made.folder,
        store=made.database.settings,
        domain=DOMAIN,
        host=made.server.host,
        suffix=OD_BASE,
        users=OD_USERS,
        ca=made.server.ca_file,
        sync=lines.get("sync", ""),
        login=lines.get("login", ""),
        serve=lines.get("serve", ""),
    )
    made.config.write_text(text)
