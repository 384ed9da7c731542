"""`dirbridge login` and `check` on an Open Directory with Password Servers."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from testbed import apple, cast
from testbed.bed import Bed
from testbed.password_server import BELIEVE, PORT, PasswordServer, new_key, of_bed
from tests.system.bridge import OD, Site

MASTER = f"{apple.MASTER_ADDRESS}:{PORT}"
NAME = f"carla@{OD}"


@pytest.fixture
def master(bed: Bed) -> Iterator[PasswordServer]:
    with of_bed(bed.directory) as server:
        yield server


@pytest.fixture
def at_password_servers(od_site: Site) -> Site:
    od_site.directory(OD)["type"] = "open-directory-password-server"
    od_site.realms.clear()
    od_site.config["domains"][OD]["login"] = {"cache": "0s"}
    assert od_site.run("sync").code == 1  # of two with one address one goes without
    return od_site


def test_logins(at_password_servers: Site, bed: Bed, master: PasswordServer) -> None:
    site = at_password_servers
    password = bed.password(cast.od("carla"))
    right = site.login(NAME, password)
    assert right.code == 0, right.out + right.err
    assert right.data["method"] == "password-server"
    assert right.data["server"] == MASTER
    wrong = site.login(NAME, "surely wrong")
    assert (wrong.code, wrong.codes) == (1, ["wrong-password"])
    disabled = site.login(f"kdcdisabled@{OD}", bed.password(cast.od("kdcdisabled")))
    assert (disabled.code, disabled.codes) == (1, ["disabled"])
    assert master.tries[apple.slot("carla")] == 2

    found = {each["where"]: each for each in site.run("check").data["findings"]}
    assert found[MASTER]["code"] == ""
    assert "not tried against Apple's own server" in found[MASTER]["next"]

    # Somebody else answers at its address, and takes any password.
    master.key = new_key()
    master.behave(instead={"AUTH2": BELIEVE})
    spoofed = site.login(NAME, "anything")
    assert (spoofed.code, spoofed.codes) == (4, ["server-not-verified"])
    master.stop()
    away = site.login(NAME, password)
    assert (away.code, away.codes) == (4, ["unreachable"])
    for secret in (password, "surely wrong"):
        assert secret not in site.file.read_text()
        for done in (right, wrong, spoofed, away):
            assert secret not in done.out + done.err
