"""Step: two bridges share one PostgreSQL, and the one that syncs is killed."""

from __future__ import annotations

import re
import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

from demo import command
from demo.stage import OD, ORCHARD, Stage
from demo.step import Scene
from demo.syncing import EXPECTED_READ
from testbed import cast, ldif
from testbed.postgresql import DATABASE, PASSWORD_KEY
from testbed.process import BedError, Daemon, run, wait_until
from testbed.process import members as processes

NAME = "fleet"
INTERVAL = 5
"""Seconds between two runs of a bridge."""

PERSON, PROMOTED, TITLE = "anna", cast.od("carla"), "Head of the orchard"

CONFIGURATION = """\
[store]
url = "postgresql+psycopg://{user}@{host}:{port}/{database}"
password = {{ file = "{folder}/secrets/store" }}

[serve]
run_dir = "{place}"

[[hooks]]
type = "saslauthd"
socket = "{place}/mux"

[domains."{od}"]
primary = true

[domains."{od}".sync]
interval = "{interval}s"

"""
CONFIGURATION += ORCHARD

HOLDER = """
SELECT a.client_port FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid
WHERE l.locktype = 'advisory' AND l.granted AND a.datname = current_database()
"""

Database = psycopg.Connection[tuple[Any, ...]]


@dataclass(frozen=True, slots=True)
class Member:
    """One bridge of the fleet, with a folder of its own."""

    folder: Path
    daemon: Daemon

    @property
    def name(self) -> str:
        """Its name for people."""
        return self.folder.name.replace("-", " ")

    @property
    def environment(self) -> Mapping[str, str]:
        """Where its configuration is."""
        return {"DIRBRIDGE_CONFIG": str(self.folder / "dirbridge.toml")}

    def has_socket(self, port: int) -> bool:
        """Whether a connection from this port is its own."""
        text = run(["ss", "-Htnp", f"sport = :{port}"])
        pids = {int(pid) for pid in re.findall(r"pid=(\d+)", text)}
        return not pids.isdisjoint(processes(self.daemon.pid))

    def start(self) -> None:
        """Start it and wait until it answers.

        Raises:
            BedError: It ended, or is not ready in time.
        """
        argv = [command.PROGRAM, "serve", "--json"]
        self.daemon.start(argv, env=self.environment)
        wait_until(
            lambda: '"ready"' in self.daemon.last_words() or not self.daemon.running,
            f"{self.name} is not ready",
        )
        if not self.daemon.running:
            raise BedError(f"{self.name} ended: {self.daemon.last_words()}")


def two_bridges(stage: Stage, scene: Scene) -> str:
    """Start two bridges on one database, and kill the one that is in mid-run."""
    with scene.screen.busy("PostgreSQL starts; the very first time takes longer"):
        stage.bed.start("postgresql")
        url = stage.bed.postgresql.create_database(NAME)
    with _member(stage, "bridge-1") as first, _member(stage, "bridge-2") as second:
        for one in (first, second):
            with scene.screen.busy(f"{one.name} starts"):
                one.start()
        with psycopg.connect(url, autocommit=True) as db:
            everybody = EXPECTED_READ[OD]
            wait_until(lambda: _accounts(db) == everybody, "nobody has synced")
            scene.check(f"one of them has read all {everybody} accounts", True)
            for one in (first, second):
                _login(stage, scene, one)
            return _take_over(stage, scene, db, (first, second))


def _take_over(
    stage: Stage, scene: Scene, db: Database, members: tuple[Member, Member]
) -> str:
    """Freeze the directory, kill whoever reads it then, and watch the other one."""
    before = _accounts(db)
    with scene.screen.busy("the directory freezes; a run hangs in the middle of it"):
        stage.bed.od1.freeze()
        stage.bed.od2.freeze()
        try:
            port = _holder(db)
            (victim,) = (one for one in members if one.has_socket(port))
            (other,) = (one for one in members if one is not victim)
            victim.daemon.signal(signal.SIGKILL)
            killed = time.monotonic()
        finally:
            stage.bed.od1.thaw()
            stage.bed.od2.thaw()
    scene.screen.note(f"{victim.name} is killed in the middle of its run")
    scene.check("nothing is half done", _accounts(db), before)
    _login(stage, scene, other)
    stage.bed.od1.modify(ldif.modify(PROMOTED.dn, [("title", TITLE)]))
    with scene.screen.busy(f"{other.name} takes over"):
        seconds = _seen_after(db, killed)
    name = other.name
    synced = f"{name} has synced a change {seconds:.1f} s after the kill"
    due = f"a run is due every {INTERVAL} s"
    scene.check(f"{synced}; {due}", seconds < 2 * INTERVAL)
    scene.check(f"{victim.name} is gone", victim.daemon.running, False)
    return f"{victim.name} killed in mid-run; {name} went on in {seconds:.1f} s"


@contextmanager
def _member(stage: Stage, name: str) -> Iterator[Member]:
    folder = stage.folder / name
    folder.mkdir(mode=0o700)
    secret = stage.folder / "secrets" / "store"
    secret.touch(mode=0o600)
    cluster = stage.bed.postgresql
    secret.write_text(cluster.password(PASSWORD_KEY))
    text = CONFIGURATION.format(
        user=DATABASE,
        host=cluster.host,
        port=cluster.port,
        database=NAME,
        folder=stage.folder,
        place=folder,
        ca=stage.bed.ca_file,
        od=OD,
        interval=INTERVAL,
    )
    (folder / "dirbridge.toml").write_text(text)
    (folder / "realms").symlink_to(stage.folder / "realms")
    member = Member(folder, Daemon(name, folder / "serve.log"))
    try:
        yield member
    finally:
        member.daemon.stop()


def _login(stage: Stage, scene: Scene, one: Member) -> None:
    password = stage.password(f"{PERSON}@{OD}")
    asked = stage.saslauthd_at(one.folder / "mux", PERSON, password)
    rest = f"{asked.seconds:.2f} s"
    scene.row(asked.answer == "ok", f"{PERSON} → {one.name}", asked.answer, rest)


def _accounts(db: Database) -> int:
    there = db.execute("SELECT to_regclass('accounts')").fetchone()
    if there == (None,):
        return 0
    found = db.execute("SELECT count(*) FROM accounts WHERE kind = 'account'")
    return int((found.fetchone() or (0,))[0])


def _holder(db: Database) -> int:
    """Wait until somebody has the turn and keeps it, for the directory is frozen.

    Returns:
        The port from which that bridge talks to PostgreSQL.
    """
    ports = [0, 0]

    def same() -> bool:
        row = db.execute(HOLDER).fetchone()
        ports[:] = [ports[1], row[0] if row else 0]
        return ports[0] != 0 and ports[0] == ports[1]

    wait_until(same, "nobody begins a run")
    return ports[1]


def _seen_after(db: Database, started: float) -> float:
    sql = "SELECT 1 FROM accounts WHERE title = %s"
    what = "the other bridge has not synced"
    wait_until(lambda: db.execute(sql, (TITLE,)).fetchone() is not None, what)
    return time.monotonic() - started
