"""Logins that are kept from harm: by phones, by stopwatches, by outages."""

from __future__ import annotations

import base64
import contextlib
import sqlite3
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle, islice
from pathlib import Path
from statistics import median

import pytest

from testbed import cast
from testbed.bed import Bed
from testbed.ldap_proxy import LdapProxy
from testbed.process import wait_until
from testbed.samba import Dc1
from testbed.slapd import Od1
from tests.system.bridge import AD, OD, Serve, Site, copied
from tests.system.hook_serving import AuthClient
from tests.system.sasl import ask

PHONE, LAPTOP = "198.51.100.7", "198.51.100.8"
TRIES = 200
SLOW = 0.015
"""Seconds; three times what the medians may differ by."""
THRESHOLD = 5


class Device:
    """A mail program at some address, logging in through a hook."""

    def __init__(self, socket: Path, address: str) -> None:
        self._client = AuthClient(socket)
        self._address = address.encode()
        self._number = 0

    def login(self, name: str, password: str) -> bool:
        self._number += 1
        both = b"\0".join((b"", name.encode(), password.encode()))
        self._client.send(
            b"AUTH\t%d\tPLAIN\tservice=imap\trip=%s\tresp=%s\n"
            % (self._number, self._address, base64.b64encode(both))
        )
        answer = self._client.line()
        assert answer.startswith((b"OK\t", b"FAIL\t")), answer
        return answer.startswith(b"OK\t")

    def __enter__(self) -> Device:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()


def with_device_hook(site: Site) -> Path:
    """Let a site answer where devices' addresses are told; gives the socket."""
    socket = site.folder / "auth"
    site.config["hooks"] = [{"type": "dovecot-auth", "socket": str(socket)}]
    return socket


@contextlib.contextmanager
def served_by(site: Site, proxy: LdapProxy) -> Iterator[Serve]:
    """A bridge that asks a proxy alone."""
    site.directory(OD)["server"] = str(proxy)
    del site.directory(OD)["backup_server"]
    with site.serving() as serve:
        yield serve


@pytest.fixture
def fleet(site: Site, folder: Path) -> Iterator[tuple[Path, Path, Serve, Serve]]:
    """Two bridges over one store: their sockets, and what they log.

    One of them answers with two processes.
    """
    del site.config["domains"][OD]
    other = copied(site, folder / "o")
    other.config["serve"]["processes"] = 2
    other.config["store"] = site.config["store"]
    for one in (site, other):
        one.login_settings(AD)["cache"] = "0s"
    sockets = with_device_hook(site), with_device_hook(other)
    with site.serving("--no-sync") as one, other.serving("--no-sync") as two:
        yield *sockets, one, two


def bad_count(dc1: Dc1, name: str) -> int:
    text = dc1.search(f"(sAMAccountName={name})", "badPwdCount", "lockoutTime")
    told = dict(line.split(": ", 1) for line in text.splitlines() if ": " in line)
    assert told.get("lockoutTime", "0") == "0", text
    return int(told.get("badPwdCount", "0"))


def known_addresses(site: Site) -> int:
    with contextlib.closing(sqlite3.connect(site.database)) as store:
        return store.execute("SELECT count(*) FROM known_addresses").fetchone()[0]


def test_a_phone_locks_neither_the_account_nor_its_owner_out(
    fleet: tuple[Path, Path, Serve, Serve], site: Site, bed: Bed, dc1: Dc1
) -> None:
    first, second, one, two = fleet
    name, right = f"lockme@{AD}", bed.password("lockme")
    with Device(first, LAPTOP) as laptop:
        assert laptop.login(name, right)
    wait_until(lambda: known_addresses(site) == 1, "no address is kept")

    def hammer(socket: Path, password: str) -> list[bool]:
        with Device(socket, PHONE) as phone:
            return [phone.login(name, password.format(n)) for n in range(TRIES // 4)]

    try:
        with ThreadPoolExecutor(4) as pool:
            running = [
                pool.submit(hammer, socket, password)
                for socket in (first, second)
                for password in ("last year's", "guess {}")
            ]
            assert not any(got_in for each in running for got_in in each.result(120))
        assert 0 < bad_count(dc1, "lockme") < THRESHOLD
        with Device(second, PHONE) as phone:
            assert not phone.login(name, right)
        _names_the_phone(site, name)
        for socket in (first, second):
            with Device(socket, LAPTOP) as laptop:
                assert laptop.login(name, right)
        assert bad_count(dc1, "lockme") < THRESHOLD
    finally:
        dc1.unlock(cast.ad("lockme"))
    told = [line for each in (one, two) for line in each.logins]
    assert len(told) == TRIES + 4
    asked = [line for line in told if line["method"] == "ldap-bind"]
    assert len(asked) < THRESHOLD + 3
    reasons = {line["reason"] for line in told if line["verdict"] == "rejected"}
    assert reasons == {"wrong-password", "guarded"}


def _names_the_phone(site: Site, name: str) -> None:
    done = site.run("explain", name, "--from-ip", PHONE)
    steps = {step["name"]: step for step in done.data["steps"]}
    assert done.code == 1
    assert steps["guard"]["outcome"] == "failed"
    assert "3 of 4 wrong passwords" in steps["guard"]["found"]
    assert steps["failures"]["facts"][0][0] == PHONE
    assert "times for imap at dovecot-auth" in steps["failures"]["facts"][0][1]


def test_an_address_that_tries_many_accounts_is_refused(
    site: Site, bed: Bed, od1: Od1
) -> None:
    del site.config["domains"][AD]
    site.config["domains"][OD]["primary"] = True
    site.config["guard"] = {"accounts_per_address": 3}
    socket = with_device_hook(site)
    right = bed.password("carla", "od")
    with site.serving("--no-sync") as serve:
        with Device(socket, PHONE) as sprayer, Device(socket, LAPTOP) as laptop:
            for name in ("anna", "nobody-1", "fiona", "siobhan"):
                assert not sprayer.login(f"{name}@{OD}", "Summer2026")
            assert not sprayer.login(f"carla@{OD}", right)
            assert laptop.login(f"carla@{OD}", right)
        reasons = [line["reason"] for line in serve.logins]
    assert reasons[3:] == ["address-guarded", "address-guarded", ""]


def test_a_stopwatch_does_not_tell_which_names_there_are(
    site: Site, bed: Bed, changeable_od: Od1
) -> None:
    del site.config["domains"][AD]
    site.config["domains"][OD]["primary"] = True
    site.config["domains"][OD]["sync"] = {"interval": "1h"}
    # The server itself is to be asked each time.
    site.login_settings(OD)["wrong_tries"] = 10_000
    socket = with_device_hook(site)
    # Too many wrong tries lock there as well, for a minute.
    people = cycle(("anna", "siobhan", "maximilian"))
    took: dict[str, list[float]] = {"wrong": [], "unknown": []}
    site.config["guard"] = {"accounts_per_address": 0}
    proxy = LdapProxy.before(changeable_od)
    # Else it answers nearly as soon as a name is looked up.
    proxy.bind_delay = SLOW
    with (
        proxy,
        served_by(site, proxy) as serve,
        Device(socket, LAPTOP) as stopwatch,
    ):
        for number, person in enumerate(islice(people, TRIES)):
            for kind, name in (("wrong", person), ("unknown", f"nobody-{number}")):
                begun = time.monotonic()
                assert not stopwatch.login(f"{name}@{OD}", f"first {number}")
                took[kind].append(time.monotonic() - begun)
        reasons = {line["reason"] for line in serve.logins}
    assert {"wrong-password", "unknown"} <= reasons
    assert proxy.counts.binds >= TRIES
    wrong, unknown = median(took["wrong"]), median(took["unknown"])
    assert abs(wrong - unknown) < max(0.1 * wrong, 0.005), (wrong, unknown)


def test_an_outage_lets_in_whom_the_directory_accepted(
    site: Site, bed: Bed, everything: None
) -> None:
    for domain in (AD, OD):
        site.login_settings(domain)["cache"] = "0s"
    site.login_settings(OD)["offline_logins"] = "7d"
    carla, right = f"carla@{OD}", bed.password("carla", "od")
    bob = f"bob@{AD}", bed.password("bob")
    with site.serving("--no-sync") as serve:
        for name, password in ((carla, right), bob):
            assert ask(site.saslauthd, name, password) == "OK"
        wait_until(lambda: "$argon2id$" in site.dump(), "no verifier is kept")
        for server in (bed.dc1, bed.dc2, bed.od1, bed.od2):
            server.stop()
        wait_until(
            lambda: ask(site.saslauthd, carla, right) == "OK", "no offline login"
        )
        assert ask(site.saslauthd, carla, "not hers") == "closed"
        # Nobody opted in for the other domain, and she never logged in.
        assert ask(site.saslauthd, *bob) == "closed"
        fiona = bed.password("fiona", "od")
        assert ask(site.saslauthd, f"fiona@{OD}", fiona) == "closed"
        methods = [
            line["method"] for line in serve.logins if line["verdict"] == "accepted"
        ]
        bed.od1.start()
        wait_until(lambda: ask(site.saslauthd, carla, "not hers") == "NO", "no answer")
        assert serve.logins[-1]["method"] in {"ldap-bind", "guard"}
    assert methods[2:] == ["offline"]
    assert right not in site.dump()
