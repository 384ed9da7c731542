"""A running `serve` lets somebody log in who was hired a moment ago."""

from __future__ import annotations

import time

import pytest

from testbed import cast
from testbed.samba import Dc1
from testbed.slapd import Od1
from tests.system.bridge import AD, OD, Serve, Site
from tests.system.sasl import ask

NINA = cast.OdPerson(
    uids=("newcomer",),
    cn="Nina Newcomer",
    uid_number=3000,
    mails=(f"newcomer@{OD}",),
)
NILS = cast.AdPerson("newcomer", "Nils Newcomer", mail=f"newcomer@{AD}")
PASSWORD = "A first Passw0rd!"


@pytest.fixture
def hourly(site: Site) -> Site:
    """A site that syncs once an hour, but for who is unknown."""
    for domain in (AD, OD):
        site.config["domains"][domain]["sync"] = {"interval": "1h"}
    return site


def wait_for_the_first_runs(serve: Serve) -> None:
    deadline = time.monotonic() + 60
    while sum(run["source"] == "directory" for run in serve.syncs) < 2:
        assert time.monotonic() < deadline, serve.log
        time.sleep(0.1)


def test_who_was_hired_at_nine_logs_in_at_nine(
    hourly: Site, changeable_od: Od1, changeable_ad: Dc1
) -> None:
    with hourly.serving() as serve:
        wait_for_the_first_runs(serve)
        changeable_od.create(NINA, PASSWORD)
        changeable_ad.create(NILS, PASSWORD)
        for name in (f"newcomer@{OD}", f"newcomer@{AD}"):
            assert ask(hourly.saslauthd, name, PASSWORD) == "OK", serve.log
            assert ask(hourly.saslauthd, name, "wrong") == "NO", serve.log
        assert [run["result"] for run in serve.syncs] == [
            *("unchanged", "unchanged"),
            *("applied", "applied"),
        ]


def test_a_flood_of_unknown_names_makes_one_run(hourly: Site, od1: Od1) -> None:
    with hourly.serving() as serve:
        wait_for_the_first_runs(serve)
        for number in range(30):
            assert ask(hourly.saslauthd, f"nobody{number}@{OD}", "x") == "NO"
        runs = [run for run in serve.syncs if run["domain"] == OD]
        assert len(runs) == 2


def test_an_unknown_name_is_no_wrong_password_while_the_directory_is_down(
    hourly: Site, od1: Od1
) -> None:
    hourly.directory(OD).pop("backup_server")
    with hourly.serving() as serve:
        wait_for_the_first_runs(serve)
        od1.stop()
        for number in range(5):
            name = f"newcomer{number}@{OD}"
            assert ask(hourly.saslauthd, name, PASSWORD) == "closed"
        failed = [run for run in serve.syncs if run["result"] == "failed"]
        assert len(failed) == 1
        assert {line["verdict"] for line in serve.logins} == {"unavailable"}
