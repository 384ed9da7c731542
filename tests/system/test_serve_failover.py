"""A running `serve` outlives its domain controllers, and never says a wrong no."""

from __future__ import annotations

import itertools
import shutil
import subprocess
import threading
import time
from dataclasses import dataclass, field

import pytest

from testbed import cast
from testbed.bed import Bed
from testbed.samba import Dc1, Dc2
from tests.system.bridge import AD, OD, Site, use_kerberos
from tests.system.sasl import ask

LOGINS = 100


@dataclass
class Loop:
    """Logs in again and again through the socket, and remembers the answers."""

    site: Site
    right: str
    phase: str = "well"
    answers: list[tuple[str, str, str]] = field(default_factory=list)
    end: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        for kind in itertools.cycle(("right", "right", "right", "wrong")):
            if self.end.is_set():
                return
            password = self.right if kind == "right" else "wrong password"
            phase = self.phase
            name = "bob" if kind == "right" else "emoji"  # nobody gets locked
            answer = ask(self.site.saslauthd, f"{name}@{AD}", password)
            self.answers.append((phase, kind, answer))
            if kind == "wrong":
                self.end.wait(0.2)

    def wait_for(self, number: int) -> None:
        """Wait until there are that many more answers."""
        wanted = len(self.answers) + number
        deadline = time.monotonic() + 60
        while len(self.answers) < wanted and time.monotonic() < deadline:
            time.sleep(0.02)


@pytest.mark.parametrize("method", ["ldap-bind", "kerberos"])
def test_no_login_is_wrongly_refused_while_dc_1_comes_and_goes(
    site: Site, bed: Bed, dc1: Dc1, dc2: Dc2, method: str
) -> None:
    if method == "kerberos":
        use_kerberos(site, AD)
    loop = Loop(site, bed.password("bob"))
    thread = threading.Thread(target=loop.run)
    with site.serving("--no-sync") as serve:
        thread.start()
        try:
            _come_and_go(loop, dc1)
        finally:
            loop.end.set()
            thread.join()
        log = serve.log
    right = [answer for _, kind, answer in loop.answers if kind == "right"]
    wrong = [answer for _, kind, answer in loop.answers if kind == "wrong"]
    assert len(loop.answers) >= LOGINS
    assert "NO" not in right, loop.answers
    assert "OK" not in wrong, loop.answers
    # An outage may close one or another connection; it must not become the rule.
    assert right.count("OK") >= 0.9 * len(right), loop.answers
    assert "NO" in wrong
    assert "dc2.corp.example.com" in log or method == "kerberos"


def _come_and_go(loop: Loop, dc1: Dc1) -> None:
    loop.wait_for(LOGINS // 5)
    for phase, change in (
        ("stopped", dc1.stop),
        ("back", dc1.start),
        ("frozen", dc1.freeze),
        ("thawed", dc1.thaw),
    ):
        loop.phase = phase
        change()
        loop.wait_for(LOGINS // 5)


def test_with_every_directory_server_gone_nobody_is_refused(
    site: Site, bed: Bed, everything: None
) -> None:
    site.run("accounts", "add", "--admin", "postmaster", stdin="the way in\n")
    with site.serving("--no-sync") as serve:
        for server in (bed.dc1, bed.dc2, bed.od1, bed.od2):
            server.stop()
        for name, password in (
            (f"bob@{AD}", bed.password("bob")),
            (f"bob@{AD}", "wrong"),
            (f"carla@{OD}", bed.password("carla")),
            (f"carla@{OD}", "wrong"),
        ):
            assert ask(site.saslauthd, name, password) == "closed"
        # What needs no directory goes on.
        assert ask(site.saslauthd, "postmaster", "the way in") == "OK"
        assert ask(site.saslauthd, "postmaster", "not the way in") == "NO"
        assert ask(site.saslauthd, f"nobody-at-all@{AD}", "x") == "NO"
        verdicts = [line["verdict"] for line in serve.logins]
        bed.dc1.start()
        bed.od1.start()
        _comes_back(site, f"bob@{AD}", bed.password("bob"))
        _comes_back(site, f"carla@{OD}", bed.password("carla"))
    assert verdicts[:4] == ["unavailable"] * 4


def _comes_back(site: Site, name: str, password: str) -> None:
    deadline = time.monotonic() + 45
    while (answer := ask(site.saslauthd, name, password)) != "OK":
        assert answer == "closed"
        assert time.monotonic() < deadline
        time.sleep(0.5)


def test_frozen_servers_are_answered_within_the_deadline(
    site: Site, bed: Bed, everything: None
) -> None:
    """Postfix gives up after 10 s; every answer is there before, also the first."""
    with site.serving("--no-sync"):
        bed.dc1.freeze()
        bed.dc2.freeze()
        started = time.monotonic()
        assert ask(site.saslauthd, f"bob@{AD}", bed.password("bob")) == "closed"
        assert time.monotonic() - started < 9.9


@pytest.mark.needs_saslauthd
def test_testsaslauthd_logs_people_of_both_directories_in(site: Site, bed: Bed) -> None:
    with site.serving("--no-sync"):
        for name, password, realm in (
            ("bob", bed.password("bob"), AD),
            ("jürgen", bed.password("jürgen"), AD),
            ("carla", bed.password("carla"), OD),
            ("siobhan", bed.password("siobhan"), OD),
            ("m.berg", bed.password("maximilian"), OD),
        ):
            assert _testsaslauthd(site, name, password, realm) == 0
            assert _testsaslauthd(site, name, f"{password}x", realm) != 0
        # The same short name is another person in each domain.
        for realm, where, other in ((AD, "ad", "od"), (OD, "od", "ad")):
            right, wrong = bed.password("anna", where), bed.password("anna", other)
            assert _testsaslauthd(site, "anna", right, realm) == 0
            assert _testsaslauthd(site, "anna", wrong, realm) != 0


def _testsaslauthd(site: Site, name: str, password: str, realm: str) -> int:
    program = shutil.which("testsaslauthd", path="/usr/sbin:/usr/bin")
    argv = [program, "-u", name, "-p", password, "-r", realm, "-s", "smtp"]
    done = subprocess.run(
        [*argv, "-f", str(site.saslauthd)], capture_output=True, check=False
    )
    return done.returncode


def test_a_running_bridge_syncs_by_itself(site: Site, changeable_od: object) -> None:
    site.config["domains"][OD]["sync"] = {"interval": "1s"}
    newcomer = cast.od("carla")
    with site.serving():
        changeable_od.delete(newcomer.dn)
        deadline = time.monotonic() + 30
        while site.account(f"carla@{OD}")["state"] != "deactivated":
            assert time.monotonic() < deadline
            time.sleep(0.5)
        assert ask(site.saslauthd, f"carla@{OD}", "whatever") == "NO"
