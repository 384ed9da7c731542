"""Servers that only pretend: refused, and called what they are, through a hook."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest

from testbed import cast
from testbed.bed import Bed
from testbed.ca import EXPIRED, FOREIGN, WRONG_NAME
from testbed.kdc import SERVICES, Kdc
from testbed.password_server import BELIEVE, new_key, of_bed
from testbed.slapd import Od1
from testbed.spoofed_kdc import SpoofedKdc
from tests.system.bridge import AD, OD, Site, use_kerberos
from tests.system.sasl import ask

NAME = f"anna@{OD}"
MADE_UP = "whatever the spoofer likes"

SpoofedBy = Callable[[Site, Bed], AbstractContextManager[None]]


def a_ldap_server(certificate: str) -> SpoofedBy:
    @contextmanager
    def spoofed(site: Site, bed: Bed) -> Iterator[None]:
        """At the directory's own address, with all that anybody else can show."""
        del site.directory(OD)["backup_server"]
        bed.od1.use_certificate(certificate)
        yield

    return spoofed


@contextmanager
def a_password_server(site: Site, bed: Bed) -> Iterator[None]:
    """Another key than the directory's, and any password is right."""
    site.login_settings(OD)["methods"] = ["password-server"]
    with of_bed(bed.directory) as spoofed:
        spoofed.key = new_key()
        spoofed.behave(instead={"AUTH2": BELIEVE})
        yield


@contextmanager
def a_kdc(site: Site, bed: Bed) -> Iterator[None]:
    """The realm's name, other keys, and tickets for whomever it likes."""
    use_kerberos(site, OD)
    made = SpoofedKdc(site.folder, cast.OD_REALM)
    made.address = "127.0.0.33"
    made.build({"anna": MADE_UP}, SERVICES)
    site.realms["od"]["kdcs"] = [f"{made.address}:{made.port}"]
    made.start()
    try:
        yield
    finally:
        made.stop()


@pytest.mark.parametrize(
    ("spoofed", "cause"),
    [
        (a_ldap_server(FOREIGN), "server-not-verified"),
        (a_ldap_server(WRONG_NAME), "server-not-verified"),
        (a_ldap_server(EXPIRED), "server-not-verified"),
        (a_password_server, "server-not-verified"),
        (a_kdc, "kdc-not-verified"),
    ],
    ids=["foreign-ldap", "misnamed-ldap", "expired-ldap", "password-server", "kdc"],
)
def test_who_only_pretends_is_called_that(
    site: Site, bed: Bed, od1: Od1, kdc: Kdc, spoofed: SpoofedBy, cause: str
) -> None:
    del site.config["domains"][AD]
    site.config["domains"][OD]["primary"] = True
    # The real password shows that it is not called a wrong one. Only a KDC may say that
    # with no proof; what it has made up itself, it would accept.
    real = () if spoofed is a_kdc else (bed.password("anna", "od"),)
    with spoofed(site, bed), site.serving("--no-sync") as serve:
        for password in (MADE_UP, *real):
            assert ask(site.saslauthd, NAME, password) == "closed"
            done = site.login(NAME, password)
            assert done.code == 4
            assert done.problem(cause)["next"]
            assert done.data["verdict"] == "unavailable"
        logged = [(line["verdict"], line["reason"]) for line in serve.logins]
    assert logged == [("unavailable", cause)] * (1 + len(real))
