"""PostgreSQL for the user database."""

from __future__ import annotations

import pwd
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path
from urllib.parse import quote

from testbed.process import BedError, run, wait_for_port, wait_until
from testbed.server import Server

DATABASE = "dirbridge"
PASSWORD_KEY = "postgresql"


class Postgresql(Server):
    """One cluster, reached by TCP and password only."""

    name = "postgresql"
    host = "db.example.com"
    address = "127.0.0.40"
    port = 54320

    @property
    def url(self) -> str:
        """Where the empty database is, with the password."""
        return self.url_of(DATABASE)

    def url_of(self, database: str) -> str:
        """The URL of a database of this cluster, with the password."""
        secret = quote(self.password(PASSWORD_KEY), safe="")
        return f"postgresql://{DATABASE}:{secret}@{self.host}:{self.port}/{database}"

    def create_database(self, name: str) -> str:
        """Make an empty database; gives its URL."""
        self._sql(f'CREATE DATABASE "{name}"')
        return self.url_of(name)

    def drop_database(self, name: str) -> None:
        """Drop a database, whoever is connected to it."""
        self._sql(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')

    def crash(self) -> None:
        """Let it fall without a shutdown, as `pg_ctl stop -m immediate` does."""
        for daemon in self._daemons:
            daemon.signal(signal.SIGQUIT)
        self.stop()

    def _sql(self, statement: str) -> None:
        argv = [program("psql"), "-X", "-q", "-d", self.url_of("postgres")]
        run([*argv, "-v", "ON_ERROR_STOP=1", "-c", statement], secret=True)

    def _launch(self) -> None:
        _require_way_in(self.folder)
        (self.folder / "log").mkdir(exist_ok=True)
        # INT is the fast shutdown; TERM would wait for every client.
        daemon = self._daemon(self.name, end=signal.SIGINT)
        daemon.start(
            [
                *(program("postgres"), "-D", self.folder / "data"),
                *("-h", self.address, "-p", str(self.port)),
                *("-c", "unix_socket_directories="),
                # What a test has stored need not outlive a power cut.
                *("-c", "fsync=off"),
            ],
            user=user(),
        )
        wait_for_port(self.address, self.port, daemon)
        # It accepts connections before it can serve them.
        wait_until(self._is_ready, "PostgreSQL is still starting up")

    def _is_ready(self) -> bool:
        ask = [program("pg_isready"), "-q", "-h", self.address, "-p", str(self.port)]
        return subprocess.run(ask, check=False).returncode == 0


def program(name: str) -> Path:
    """Where a program of the newest installed PostgreSQL is.

    Raises:
        BedError: There is none.
    """
    found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=_version)
    if not found:
        raise BedError(f"{name} is missing: apt-get install postgresql")
    return found[-1]


def user() -> str:
    """Who runs the cluster, for it refuses root."""
    names = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"


def build(directory: Path) -> None:
    """Make the cluster, in an empty bed directory."""
    cluster = Postgresql(directory)
    _require_way_in(directory)
    (cluster.folder / "data").mkdir(parents=True)
    shutil.chown(cluster.folder / "data", user())
    (cluster.folder / "data").chmod(0o700)
    with tempfile.NamedTemporaryFile("w") as secret:
        secret.write(cluster.password(PASSWORD_KEY))
        secret.flush()
        shutil.chown(secret.name, user())
        run(
            [
                *(program("initdb"), "-D", cluster.folder / "data", "-U", DATABASE),
                *("-A", "scram-sha-256", f"--pwfile={secret.name}", "-E", "UTF8"),
                *("--locale=C.UTF-8", "--no-sync"),
            ],
            user=user(),
        )


def _version(path: Path) -> float:
    return float(path.parts[4])


def _require_way_in(folder: Path) -> None:
    closed = [path for path in (folder, *folder.parents) if not _passable(path)]
    if closed:
        raise BedError(
            f"The user {user()} cannot pass {closed[-1]}, which PostgreSQL's data lie "
            "under: put the bed in a folder that everybody may pass (mode 711)."
        )


def _passable(path: Path) -> bool:
    return not path.exists() or bool(path.stat().st_mode & 0o001)
