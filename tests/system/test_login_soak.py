"""Twenty thousand logins by every method leave nothing behind in the bridge."""

from __future__ import annotations

import itertools
import os
import secrets
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from testbed.bed import Bed
from testbed.kdc import Kdc
from testbed.password_server import of_bed
from testbed.process import wait_until
from testbed.samba import Dc1
from testbed.slapd import Od1
from tests.system.bridge import AD, OD, Serve, Site
from tests.system.every_method import Person, with_every_method
from tests.system.hook_serving import AuthClient

LOGINS, WARM_UP = 20_000, 10_000
THREADS = 100
GROWTH = 5 * 1024 * 1024
POOLED = 8
"""Connections to servers that are kept, of a few hundred that were made."""
EACH_AT_LEAST = 2
CHEAP = {f"bob@{AD}", f"o'brien@{AD}"}
"""One comes from the cache, the other from the digest of an app password."""
CACHED = ("jürgen", "zoe vdb", "foreign", "rename.me", "delete.me")
"""More of the first kind: not all may come at once when an entry has lapsed."""


@dataclass(frozen=True)
class Kind:
    """What one client does over and over.

    Attributes:
        name: Who it logs in as; `{}` stands for something new each time.
        password: With what.
        pause: Seconds between two of its logins, so that the cheap ones get on.
    """

    name: str
    password: str
    pause: float = 0.0


def kinds(bed: Bed, people: tuple[Person, ...]) -> list[Kind]:
    """One for each client: a few for what costs much, the rest for the cheap ones."""
    dear = [
        Kind(one.name, one.password, 0.3 if one.method == "local" else 0.0)
        for one in people
        if one.name not in CHEAP
    ]
    wrong = [Kind(one.name, "surely wrong", 0.2) for one in people]
    unknown = [Kind(f"nobody-{{}}@{domain}", "guess {}", 0.2) for domain in (AD, OD)]
    known = [(one.name, one.password) for one in people if one.name in CHEAP]
    known += [(f"{name}@{AD}", bed.password(name)) for name in CACHED]
    cheap = [Kind(*each, pause=0.1) for each in known]
    few = [*dear, *dear, *wrong, *unknown]
    return [*few, *itertools.islice(itertools.cycle(cheap), THREADS - len(few))]


class Clients:
    """A hundred mail programs at one socket."""

    def __init__(self, socket: Path, jobs: list[Kind]) -> None:
        self._socket = socket
        self._jobs = jobs
        self._done = [0] * len(jobs)
        self._stop = threading.Event()

    def log_in(self, times: int) -> None:
        """Log in so many times in all, and some times for each kind."""
        self._done = [0] * len(self._jobs)
        self._stop.clear()
        with ThreadPoolExecutor(len(self._jobs)) as pool:
            clients = [pool.submit(self._client, at) for at in range(len(self._jobs))]
            while not self._enough(times) and not any(one.done() for one in clients):
                self._stop.wait(0.1)
            self._stop.set()
            for client in clients:
                client.result()

    def _enough(self, times: int) -> bool:
        return sum(self._done) >= times and min(self._done) >= EACH_AT_LEAST

    def _client(self, at: int) -> None:
        job, client = self._jobs[at], AuthClient(self._socket)
        try:
            while not self._stop.is_set():
                if not _login(client, self._done[at] + 1, job):  # it was closed
                    client.close()
                    client = AuthClient(self._socket)
                self._done[at] += 1
                self._stop.wait(job.pause)
        finally:
            client.close()


def _login(client: AuthClient, number: int, job: Kind) -> bool:
    new = secrets.token_hex(4)
    name, password = job.name.format(new), job.password.format(new)
    client.plain(number, name.encode(), password.encode())
    return client.line().startswith((b"OK\t", b"FAIL\t"))


@dataclass(frozen=True)
class Held:
    """What a process holds: bytes of memory, descriptors, and files."""

    memory: int
    descriptors: int
    files: frozenset[Path]


def held(pid: int, site: Site) -> Held:
    fields = Path(f"/proc/{pid}/status").read_text().splitlines()
    told = dict(line.split(":", 1) for line in fields if ":" in line)
    return Held(
        int(told["VmRSS"].split()[0]) * 1024,
        len(list(Path(f"/proc/{pid}/fd").iterdir())),
        frozenset(files(site)),
    )


def files(site: Site) -> Iterator[Path]:
    """Where a ticket could be left: the site's folders, and what libkrb5 proposes."""
    yield from (path for path in site.folder.rglob("*") if path.is_file())
    yield from Path("/tmp").glob(f"krb5cc_{os.getuid()}*")


def parent(pid: int) -> int:
    """Who forked a process: for the bridge, a program that has all of it loaded."""
    stat = Path(f"/proc/{pid}/stat").read_text()
    return int(stat.rpartition(")")[2].split()[1])


def loads_gssapi(pid: int) -> bool:
    return "libgssapi_krb5" in Path(f"/proc/{pid}/maps").read_text()


@pytest.fixture
def crowded(
    site: Site, bed: Bed, dc1: Dc1, od1: Od1, kdc: Kdc
) -> Iterator[tuple[Site, list[Kind]]]:
    """A site of all methods, with a cache for one domain that soon forgets."""
    socket = site.folder / "auth"
    site.config["hooks"] = [{"type": "dovecot-auth", "socket": str(socket)}]
    (site.folder / "tmp").mkdir()
    site.env["TMPDIR"] = str(site.folder / "tmp")
    people = with_every_method(site, bed)
    site.login_settings(AD)["cache"] = "1s"
    with of_bed(bed.directory):
        yield site, kinds(bed, people)


def test_twenty_thousand_logins_leave_nothing_behind(
    crowded: tuple[Site, list[Kind]],
) -> None:
    site, jobs = crowded
    assert len(jobs) == THREADS
    with site.serving("--no-sync") as serve:
        pid = serve.process.pid
        assert not loads_gssapi(parent(pid))
        assert not loads_gssapi(pid)
        clients = Clients(site.folder / "auth", jobs)
        clients.log_in(WARM_UP)
        before, first = rested(serve, site), len(serve.logins)
        clients.log_in(LOGINS)
        after = rested(serve, site)
        logins = serve.logins[first:]
        assert loads_gssapi(pid)
    assert after.memory - before.memory <= GROWTH, after.memory - before.memory
    assert after.descriptors <= before.descriptors + POOLED
    assert after.files <= before.files, after.files - before.files
    assert len(logins) >= LOGINS
    judge(logins, jobs)


def rested(serve: Serve, site: Site) -> Held:
    """What the bridge holds once its clients are gone and its log is written."""
    pid, logged = serve.process.pid, -1

    def quiet() -> bool:
        nonlocal logged
        before, logged = logged, len(serve.logins)
        return logged == before and held(pid, site).descriptors < THREADS

    wait_until(quiet, "clients stay connected")
    return held(pid, site)


def judge(logins: list[dict[str, str]], jobs: list[Kind]) -> None:
    """Every kind of login was there, and none was an outage or wrong."""
    verdicts = Counter(line["verdict"] for line in logins)
    away = Counter(
        (line["user"], line["reason"])
        for line in logins
        if line["verdict"] == "unavailable"
    )
    assert verdicts["unavailable"] <= len(logins) / 1000, away
    by = Counter(
        (line["user"], "cache" if line["server"] == "cache" else line["method"])
        for line in logins
        if line["verdict"] == "accepted"
    )
    methods = Counter[tuple[str, str]]()
    for (user, method), times in by.items():
        methods[user.partition("@")[2], method] += times
    for domain, method in (
        *((AD, "ldap-bind"), (AD, "kerberos"), (AD, "nt-domain"), (AD, "cache")),
        *((OD, "ldap-bind"), (OD, "kerberos"), (OD, "password-server")),
        *((OD, "local"), (AD, "local"), (AD, "app-password")),
    ):
        assert methods[domain, method] >= EACH_AT_LEAST, (domain, method, methods)
    reasons = Counter(
        line["reason"] for line in logins if line["verdict"] == "rejected"
    )
    assert reasons["wrong-password"] >= EACH_AT_LEAST, reasons
    assert reasons["unknown"] >= EACH_AT_LEAST, reasons
