"""Which lock-out policy holds for whom, asked of a real domain controller."""

from __future__ import annotations

from datetime import timedelta

import pytest

from dirbridge.app import App
from dirbridge.connectors.ldap_directory import LdapDirectory
from dirbridge.connectors.lockout import lockout_at
from dirbridge.directory.lockout import Lockout
from dirbridge.model.deadline import Deadline
from dirbridge.model.names import DirectoryId
from testbed.bed import Bed
from testbed.samba import Dc1
from testbed.samba_provision import TEN_YEARS_IN_MINUTES
from tests.system.bridge import AD, Site, new_site

OF_DOMAIN = Lockout(10, timedelta(minutes=1))
OWN = Lockout(5, timedelta(minutes=int(TEN_YEARS_IN_MINUTES)))


@pytest.fixture
def site(bed: Bed, dc1: Dc1, tmp_path) -> Site:
    return new_site(bed, tmp_path / "s", AD)


def connector(site: Site) -> LdapDirectory:
    site.write()
    (directory,) = App.load(site.file).directories[AD]
    assert isinstance(directory.connector, LdapDirectory)
    return directory.connector


def policy(directory: LdapDirectory, name: str) -> Lockout | None:
    found = directory.lookup(name)[0].entry.id
    return directory.ask(lockout_at(found), Deadline.after(10))


def test_who_may_not_read_more_takes_the_domains(site: Site) -> None:
    directory = connector(site)
    assert policy(directory, "bob") == OF_DOMAIN
    assert policy(directory, "lockme") == OF_DOMAIN
    unknown = DirectoryId("00000000-0000-0000-0000-000000000001")
    assert directory.ask(lockout_at(unknown), Deadline.after(10)) == OF_DOMAIN


def test_somebodys_own_comes_first_where_it_may_be_read(
    site: Site, bed: Bed, dc1: Dc1
) -> None:
    site.directory(AD)["username"] = "Administrator@corp.example.com"
    password = site.secret("admin", dc1.password("ad:Administrator"))
    site.directory(AD)["password"] = password
    directory = connector(site)
    assert policy(directory, "lockme") == OWN
    assert policy(directory, "bob") == OF_DOMAIN
