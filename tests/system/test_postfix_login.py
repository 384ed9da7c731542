"""A real Postfix and saslauthd's own client log people in through `dirbridge serve`."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from testbed.bed import Bed
from testbed.postfix import Postfix, smtp_login
from tests.system.bridge import AD, OD, Serve, Site, copied, use_kerberos
from tests.system.conftest import FirstSync

# One address for each domain; both smtpd are the same Postfix.
AD_PORT, OD_PORT = "127.0.1.10:2525", "127.0.1.20:2525"
OTHER_PORT = "127.0.1.10:2526"
AD_IP, OD_IP = "127.0.1.10", "127.0.1.20"

pytestmark = [pytest.mark.needs_postfix]

ACCEPTED, REFUSED, LATER = 235, 535, 454


@pytest.fixture(scope="module")
def shared() -> Iterator[Path]:
    """The module's folder; smtpd, which is not root, must pass it."""
    path = Path(tempfile.mkdtemp(prefix="s-"))
    path.chmod(0o711)
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(scope="module")
def postfix(first_sync: FirstSync, shared: Path) -> Iterator[tuple[Site, Serve]]:
    """Postfix on both addresses, and the bridge behind it."""
    site = bound(copied(first_sync.site, shared / "s"))
    server = Postfix(shared / "postfix", (AD_PORT, OD_PORT), "private/dirbridge")
    server.prepare()
    with site.serving("--no-sync") as serve:  # before Postfix
        try:
            server.start()
            yield site, serve
        finally:
            server.stop()


def bound(site: Site) -> Site:
    """Bind each domain to an address; saslauthd has a socket for each."""
    for domain, address in ((AD, AD_IP), (OD, OD_IP)):
        site.config["domains"][domain]["bound_ip"] = address
    folder = site.folder.parent
    site.config["hooks"] = [
        {
            "type": "dovecot-auth",
            "socket": str(folder / "postfix/queue/private/dirbridge"),
            "owner": "postfix",
            "group": "postfix",
            "mode": "0660",
        },
        {"type": "saslauthd", "socket": str(folder / "mux-ad"), "local_ip": AD_IP},
        {"type": "saslauthd", "socket": str(folder / "mux-od"), "local_ip": OD_IP},
    ]
    return site


def test_people_of_both_directories_log_in(
    postfix: tuple[Site, Serve], bed: Bed
) -> None:
    _, serve = postfix
    before = len(serve.logins)
    for name, password in (
        (f"bob@{AD}", bed.password("bob")),
        (f"jürgen@{AD}", bed.password("jürgen")),
        ("CORP\\bob", bed.password("bob")),
        ("bob@corp.example.com", bed.password("bob")),
        (f"carla@{OD}", bed.password("carla")),
        (f"siobhan@{OD}", bed.password("siobhan")),
    ):
        for mechanism in ("PLAIN", "LOGIN"):
            code, text = smtp_login(AD_PORT, name, password, mechanism=mechanism)
            assert code == ACCEPTED, (name, text, serve.log)
        code, text = smtp_login(AD_PORT, name, f"{password}x")
        assert code == REFUSED, (name, text)
    first = serve.logins[before]
    assert first["verdict"] == "accepted"
    assert first["user"] == f"bob@{AD}"
    assert first["lip"] == AD_IP
    assert first["service"] == "smtp"
    assert first["method"] == "ldap-bind"
    assert first["server"].startswith("dc1.corp.example.com")


def test_one_bare_name_is_two_people_by_the_address_connected_to(
    postfix: tuple[Site, Serve], bed: Bed
) -> None:
    """Each anna gets in with her own password at her own address, and only there."""
    _, serve = postfix
    before = len(serve.logins)
    in_ad, in_od = bed.password("anna", "ad"), bed.password("anna", "od")

    assert smtp_login(AD_PORT, "anna", in_ad)[0] == ACCEPTED
    assert smtp_login(OD_PORT, "anna", in_od)[0] == ACCEPTED
    assert smtp_login(AD_PORT, "anna", in_od)[0] == REFUSED
    assert smtp_login(OD_PORT, "anna", in_ad)[0] == REFUSED

    users = [line["user"] for line in serve.logins[before:]]
    assert users == [f"anna@{AD}", f"anna@{OD}", f"anna@{AD}", f"anna@{OD}"]


def test_a_full_name_needs_no_address(postfix: tuple[Site, Serve], bed: Bed) -> None:
    in_od = bed.password("anna", "od")
    assert smtp_login(AD_PORT, f"anna@{OD}", in_od)[0] == ACCEPTED


@pytest.mark.needs_saslauthd
def test_saslauthd_has_a_socket_for_each_address(
    postfix: tuple[Site, Serve], bed: Bed, shared: Path
) -> None:
    in_ad, in_od = bed.password("anna", "ad"), bed.password("anna", "od")
    assert _testsaslauthd(shared / "mux-ad", "anna", in_ad)
    assert _testsaslauthd(shared / "mux-od", "anna", in_od)
    assert not _testsaslauthd(shared / "mux-ad", "anna", in_od)
    assert not _testsaslauthd(shared / "mux-od", "anna", in_ad)


def _testsaslauthd(socket: Path, name: str, password: str) -> bool:
    program = shutil.which("testsaslauthd", path="/usr/sbin:/usr/bin")
    argv = [program, "-u", name, "-p", password, "-s", "smtp", "-f", str(socket)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    return done.returncode == 0


def test_kerberos_alone_then_a_restart_of_the_bridge(
    site: Site, bed: Bed, everything: None
) -> None:
    """The same smtpd processes go on with the new bridge, and no login fails."""
    bound(site)
    use_kerberos(site, AD)
    use_kerberos(site, OD)
    folder = site.folder.parent / "postfix"
    server = Postfix(folder, (OTHER_PORT,), "private/dirbridge")
    people = (
        (f"bob@{AD}", bed.password("bob")),
        (f"carla@{OD}", bed.password("carla")),
    )
    server.prepare()
    try:
        with site.serving("--no-sync") as serve:
            server.start()
            for name, password in people:
                assert smtp_login(OTHER_PORT, name, password)[0] == ACCEPTED, serve.log
                assert smtp_login(OTHER_PORT, name, f"{password}x")[0] == REFUSED
            assert {line["method"] for line in serve.logins} == {"kerberos"}
        with site.serving("--no-sync"):
            for name, password in people:
                assert smtp_login(OTHER_PORT, name, password)[0] == ACCEPTED
    finally:
        server.stop()


def test_an_outage_is_454_and_never_a_wrong_password(
    postfix: tuple[Site, Serve], bed: Bed, everything: None
) -> None:
    for server in (bed.dc1, bed.dc2, bed.od1, bed.od2):
        server.stop()
    for name, password in (
        (f"bob@{AD}", bed.password("bob")),
        (f"bob@{AD}", "wrong"),
        (f"carla@{OD}", bed.password("carla")),
        (f"carla@{OD}", "wrong"),
    ):
        code, text = smtp_login(AD_PORT, name, password)
        assert code == LATER, text
