"""Directory servers, KDC, Password Server and database, away in every combination."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

import psycopg
import pytest

from testbed import ldif
from testbed.bed import Bed
from testbed.cast import AD_BASE
from testbed.password_server import SILENCE, of_bed
from testbed.process import wait_until
from tests.system.bridge import AD, OD, Serve, Site, new_site
from tests.system.every_method import Person, with_every_method
from tests.system.sasl import ask

SECONDS = 3.0
DIRECTORY = ("dc1", "dc2", "od1", "od2")
TYPED = ("right", "wrong", "again")
KNOWN = "wrong every time"


@dataclass(frozen=True)
class Asked:
    """One login while something was away.

    Attributes:
        person: Who it was.
        typed: `right`, `wrong` for a new wrong password, `again` for a known one.
        away: The parts that were.
        answer: What the mail service was told.
        seconds: When.
        logged: The bridge's own line of it.
    """

    person: Person
    typed: str
    away: frozenset[str]
    answer: str
    seconds: float
    logged: dict[str, str]

    @property
    def lacks(self) -> frozenset[str]:
        """What nobody can answer without."""
        return self.away & self.person.needs


class Outage:
    """Takes parts of the bed away in one manner, and gives them back."""

    def __init__(self, bed: Bed, manner: str) -> None:
        self.bed = bed
        self.manner = manner
        self.away: frozenset[str] = frozenset()
        self._password_server = of_bed(bed.directory)
        # Else the guard would stay below the domain's threshold.
        for dc in (bed.dc1, bed.dc2):
            dc.modify(ldif.modify(AD_BASE, [("lockoutThreshold", "0")]))

    def take(self, away: frozenset[str]) -> frozenset[str]:
        """Let just these parts be away; gives those that were not."""
        for part in away ^ self.away:
            self._one(part, gone=part in away)
        new, self.away = away - self.away, away
        return new

    def _one(self, part: str, *, gone: bool) -> None:
        if part == "password-server":
            self._the_password_server(gone=gone)
            return
        names = {"directory": DIRECTORY, "database": ("postgresql",)}
        for name in names.get(part, (part,)):
            server = self.bed.servers[name]
            change: dict[tuple[str, bool], Callable[[], None]] = {
                ("stopped", True): server.stop,
                ("stopped", False): server.start,
                ("frozen", True): server.freeze,
                ("frozen", False): server.thaw,
            }
            change[self.manner, gone]()

    def _the_password_server(self, *, gone: bool) -> None:
        if self.manner == "frozen":
            steps = ("GREETING", "LIST", "USER", "AUTH2")
            silent = dict.fromkeys(steps, SILENCE) if gone else {}
            self._password_server.behave(instead=silent)
        elif gone:
            self._password_server.stop()
        else:
            self._password_server = of_bed(self.bed.directory)

    def end(self) -> None:
        self._password_server.stop()
        for name in (*DIRECTORY, "postgresql", "kdc"):
            self.bed.servers[name].heal()
        # Wrong tries lock people of both directories for a while.
        self.bed.reset("dc1", "od1")


@pytest.fixture(params=["stopped", "frozen"])
def outage(
    request: pytest.FixtureRequest, bed: Bed, everything: None, full_url: str
) -> Iterator[Outage]:
    made = Outage(bed, request.param)
    yield made
    made.end()


@pytest.fixture
def fresh(bed: Bed, outage: Outage, folder: Path, full_url: str) -> Site:
    """A synced site on PostgreSQL that keeps nothing in memory."""
    site = new_site(bed, folder / "a", AD, OD)
    site.on_postgresql(full_url)
    site.config["serve"]["deadline"] = f"{SECONDS:.0f}s"
    for domain in (AD, OD):
        # No try is to be refused because of the ones before it; see `Outage`.
        site.login_settings(domain)["wrong_tries"] = 10_000
    site.sync()
    return site


def remembering(site: Site, folder: Path) -> Site:
    """Another bridge of the fleet: one domain has a cache, one has offline logins."""
    config = copy.deepcopy(site.config)
    other = replace(site, folder=folder, config=config)
    folder.mkdir()
    config["serve"]["run_dir"] = str(folder / "run")
    config["hooks"][0]["socket"] = str(other.saslauthd)
    other.login_settings(AD)["cache"] = "1h"
    other.login_settings(OD)["offline_logins"] = "7d"
    return other


class Crowd:
    """Logs everybody in at the same time, at one bridge."""

    def __init__(
        self, site: Site, serve: Serve, tries: list[tuple[Person, str]]
    ) -> None:
        self.site, self.serve, self.tries = site, serve, tries
        self._number = 0

    def log_in(self, pool: ThreadPoolExecutor, away: frozenset[str]) -> list[Asked]:
        tries = self.tries
        self._number += 1
        return list(
            pool.map(
                lambda at: self._one(*tries[at], away, f"s{self._number}-{at}"),
                range(len(tries)),
            )
        )

    def wait_forgotten(self, pool: ThreadPoolExecutor, part: str) -> None:
        """Wait until nobody's known wrong password is answered without a part.

        The last look at an entry is good for two seconds.
        """
        names = {one.name for one, _ in self.tries if part in one.needs}

        def closed(name: str) -> bool:
            return ask(self.site.saslauthd, name, KNOWN) == "closed"

        wait_until(lambda: all(pool.map(closed, names)), "old looks still count")

    def _one(
        self, person: Person, typed: str, away: frozenset[str], service: str
    ) -> Asked:
        began = time.monotonic()
        passwords = {"right": person.password, "wrong": service, "again": KNOWN}
        answer = ask(
            self.site.saslauthd, person.name, passwords[typed], service=service
        )
        took = time.monotonic() - began
        return Asked(person, typed, away, answer, took, {"service": service})

    def with_lines(self, asked: list[Asked]) -> list[Asked]:
        """Put the log's lines to the logins."""
        lines = {line["service"]: line for line in self.serve.logins}
        return [replace(one, logged=lines[one.logged["service"]]) for one in asked]


def combinations() -> list[frozenset[str]]:
    """Every set of parts; what takes long goes away once only.

    The directory goes before the database: a bridge that lost its database believes
    nothing that it has cached.
    """
    slow = ((), ("directory",), ("directory", "database"), ("database",))
    quick = ((), ("password-server",), ("kdc",), ("kdc", "password-server"))
    return [frozenset({*some, *more}) for some, more in product(slow, quick)]


def test_an_outage_is_never_told_as_a_wrong_or_a_right_password(
    bed: Bed, outage: Outage, fresh: Site, folder: Path, full_url: str
) -> None:
    people = with_every_method(fresh, bed)
    keeps = remembering(fresh, folder / "b")
    kept = tuple(one for one in people if one.name in {f"bob@{AD}", f"fiona@{OD}"})
    all_tries = list(product(people, TYPED))
    # A wrong password that is asked about ends what the cache has.
    few = [(kept[0], "right"), *product(kept[1:], TYPED)]
    with fresh.serving("--no-sync") as one, keeps.serving("--no-sync") as two:
        forgetful, mindful = Crowd(fresh, one, all_tries), Crowd(keeps, two, few)
        for person in (*people, *kept):
            assert ask(fresh.saslauthd, person.name, person.password) == "OK", person
        for person in kept:
            assert ask(keeps.saslauthd, person.name, person.password) == "OK", person
        wait_until(lambda: verifiers(full_url) > 0, "no offline verifier is kept")
        asked: list[Asked] = []
        remembered: list[Asked] = []
        with ThreadPoolExecutor(3 * (len(people) + len(kept))) as pool:
            for away in combinations():
                if outage.take(away) >= {"directory"}:
                    forgetful.wait_forgotten(pool, "directory")
                other = pool.submit(mindful.log_in, pool, away)
                asked += forgetful.log_in(pool, away)
                remembered += other.result()
        asked = forgetful.with_lines(asked)
        remembered = mindful.with_lines(remembered)
    for each in asked:
        judge(each, outage.manner)
    for each in remembered:
        judge_remembered(each, outage.manner)
    assert_not_in_vain(asked, remembered, people)


def verifiers(full_url: str) -> int:
    with psycopg.connect(full_url) as session:
        row = session.execute("SELECT count(*) FROM offline_verifiers").fetchone()
    assert row is not None
    return int(row[0])


def judge(one: Asked, manner: str) -> None:
    """Look at a login at the bridge that keeps nothing."""
    on_time(one)
    allowed = {"closed"}
    # A database that is silent is not missed at once: who is known is known for a
    # minute, and the servers that are asked do answer.
    known = manner == "frozen" or "database" not in one.away
    if known and not one.lacks:
        allowed.add("OK" if one.typed == "right" else "NO")
    elif known and one.typed == "again" and "directory" not in one.away:
        # Refused before, and the entry says that the password is the same.
        allowed.add("NO" if one.logged["method"] == "guard" else "closed")
    assert one.answer in allowed, (one, one.logged)
    told = {"OK": "accepted", "NO": "rejected", "closed": "unavailable"}[one.answer]
    # At the very last moment one may be told, and the other logged.
    if one.seconds < SECONDS - 1:
        assert one.logged["verdict"] == told, (one, one.logged)


def judge_remembered(one: Asked, manner: str) -> None:
    """Look at one at the bridge that has a cache, or offline logins."""
    if one.typed == "right" and one.answer == "OK" and one.away:
        on_time(one)
        by_cache = one.logged["server"] == "cache" and one.person.name.endswith(AD)
        offline = one.logged["method"] == "offline" and "directory" in one.away
        if by_cache or offline:
            return
    judge(one, manner)


def on_time(one: Asked) -> None:
    assert one.seconds < SECONDS + 1, one


def assert_not_in_vain(
    asked: list[Asked], remembered: list[Asked], people: tuple[Person, ...]
) -> None:
    """Each method met an outage of its own, and got on through those of others."""
    for person in people:
        mine = [one for one in asked if one.person is person]
        accepted = [one for one in mine if one.answer == "OK"]
        assert any(one.away for one in accepted), person
        assert {one.logged["method"] for one in accepted} == {person.method}
        for part in person.needs:
            lacking = [one for one in mine if one.away == {part}]
            answers = {one.typed: one.answer for one in lacking}
            assert answers["right"] == answers["wrong"] == "closed", (person, part)
    without = [
        one for one in remembered if one.typed == "right" and "directory" in one.away
    ]
    methods = {one.logged["method"] for one in without if one.answer == "OK"}
    servers = {one.logged["server"] for one in without if one.answer == "OK"}
    assert "offline" in methods
    assert "cache" in servers
