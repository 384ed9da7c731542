"""What rows measure with: a large slapd, and dirbridge configured for it."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.row import BenchError
from testbed import namespace, scale
from testbed.cast import OD_BASE, OD_MAIL_DOMAIN, OD_USERS
from testbed.process import Daemon, run, wait_until

DIRBRIDGE = Path(sys.executable).with_name("dirbridge")
DOMAIN = OD_MAIL_DOMAIN

CONFIGURATION = """\
[store]
url = "sqlite:///{folder}/dirbridge.db"

[serve]
run_dir = "{folder}/run"

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
"""


class Monitored(scale.Scale):
    """The large slapd, which also counts its operations."""

    def write_conf(self) -> None:
        """Write slapd.conf with the monitor."""
        super().write_conf()
        with self.conf.open("a") as conf:
            conf.write("\ndatabase monitor\n")

    def binds(self) -> int:
        """How many binds it has answered; asking is one of them."""
        base = "cn=Bind,cn=Operations,cn=Monitor"
        text = run(
            [
                *("ldapsearch", "-x", "-LLL", "-H", f"ldap://{self.address}"),
                *("-b", base, "-s", "base", "monitorOpCompleted"),
            ]
        )
        return int(text.rpartition("monitorOpCompleted:")[2])


@dataclass(frozen=True, slots=True)
class Bridge:
    """dirbridge with a configuration for the large slapd."""

    folder: Path
    server: Monitored

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

    @contextmanager
    def serving(self) -> Iterator[Daemon]:
        """Run `dirbridge serve`, without syncs."""
        daemon = Daemon("dirbridge serve", self.folder / "serve.log")
        argv: list[str | Path] = [DIRBRIDGE, "serve", "--no-sync", "--json"]
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
def bridge(folder: Path, accounts: int) -> Iterator[Bridge]:
    """Give a bridge whose store has all accounts of a running slapd."""
    namespace.enter()
    bed = folder / "bed"
    scale.load(bed, accounts)
    server = Monitored(bed)
    made = Bridge(folder, server)
    _configure(made)
    try:
        server.start()
        _check_read(made.run("sync")[0], accounts)
        yield made
    finally:
        server.stop()


def _configure(made: Bridge) -> None:
    secret = made.folder / "secret"
    secret.touch(mode=0o600)
    secret.write_text(made.server.password(scale.PASSWORD_KEY))
    text = CONFIGURATION.format(
        folder=made.folder,
        domain=DOMAIN,
        host=made.server.host,
        suffix=OD_BASE,
        users=OD_USERS,
        ca=made.server.ca_file,
    )
    made.config.write_text(text)


def _check_read(data: dict[str, Any], accounts: int) -> None:
    read = sum(one["read"] for one in data["runs"])
    if read != accounts:
        raise BenchError(f"the sync read {read} entries, not {accounts}")
