"""What connectors compare: the clock, the suffix, the names that people type."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dirbridge.config.settings import DirectorySettings
from dirbridge.connectors import active_directory as ad
from dirbridge.connectors import open_directory as od
from dirbridge.connectors.findings import finding_of
from dirbridge.connectors.ldap_directory import Mismatch, Naming
from dirbridge.directory import filter as ldap_filter
from dirbridge.directory import generalized_time
from dirbridge.errors import BindRefused, Unreachable, Unsupported
from dirbridge.ldap.client import RootDse
from dirbridge.model.finding import Outcome

HERE = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("seconds", "outcome"),
    [
        (0, Outcome.OK),
        (-119, Outcome.OK),
        (121, Outcome.WARNING),
        (-299, Outcome.WARNING),
        (600, Outcome.FAILED),
        (-600, Outcome.FAILED),
    ],
)
def test_the_clock(seconds: int, outcome: Outcome) -> None:
    there = generalized_time.encode(HERE + timedelta(seconds=seconds))
    finding = ad.clock_finding("dc1:636", there, HERE)
    assert finding.outcome is outcome
    assert bool(finding.next) is (outcome is not Outcome.OK)


def test_a_clock_that_is_not_told() -> None:
    assert ad.clock_finding("dc1:636", "", HERE).outcome is Outcome.UNKNOWN


def root(**attributes: str | tuple[str, ...]) -> RootDse:
    return RootDse(
        "server:636",
        {
            name.lower(): value if isinstance(value, tuple) else (value,)
            for name, value in attributes.items()
        },
    )


class TestActiveDirectoryBase:
    corp = root(defaultNamingContext="DC=corp,DC=example,DC=com")

    def test_the_domain_is_the_base(self) -> None:
        naming = ad._naming("Corp.Example.COM", None, self.corp)
        assert naming == Naming(
            "DC=corp,DC=example,DC=com", "DC=corp,DC=example,DC=com"
        )

    def test_a_base_must_stand_in_the_domain(self) -> None:
        inside = "ou=Staff, dc=CORP,dc=example,dc=com"
        naming = ad._naming("corp.example.com", inside, self.corp)
        assert isinstance(naming, Naming)
        assert naming.base == inside
        for other in ("OU=Staff,DC=example,DC=com", "not a dn"):
            assert isinstance(
                ad._naming("corp.example.com", other, self.corp), Mismatch
            )

    def test_another_domain_is_a_mismatch(self) -> None:
        assert isinstance(ad._naming("example.com", None, self.corp), Mismatch)
        assert isinstance(ad._naming("example.com", None, root()), Mismatch)


def settings(kind: str = "open-directory-kerberos", **more: str) -> DirectorySettings:
    values = {"type": kind, "server": "mail1.company.com", "username": "uid=x"}
    return DirectorySettings(**(values | more))


class TestOpenDirectorySuffix:
    both = root(namingContexts=("cn=authdata", "DC=Mail1,dc=company,dc=com"))

    def find(self, how: DirectorySettings, dse: RootDse) -> Naming | Mismatch:
        apple = how.type != "ldap"
        return od._naming(od._expected(how, apple=apple), how.base, apple, dse)

    def test_it_is_made_of_the_whole_server_name(self) -> None:
        naming = self.find(settings(), self.both)
        assert isinstance(naming, Naming)
        assert naming.suffix == "DC=Mail1,dc=company,dc=com"
        assert naming.base == "cn=users,DC=Mail1,dc=company,dc=com"

    def test_it_may_be_written(self) -> None:
        bartol = root(namingContexts="dc=bartol")
        assert isinstance(self.find(settings(), bartol), Mismatch)
        assert isinstance(self.find(settings(suffix="dc=bartol"), bartol), Naming)

    def test_an_address_takes_the_servers_and_never_authdata(self) -> None:
        naming = self.find(settings(server="10.0.0.5"), self.both)
        assert isinstance(naming, Naming)
        assert naming.suffix == "DC=Mail1,dc=company,dc=com"

    def test_plain_ldap_reads_the_whole_suffix(self) -> None:
        naming = self.find(settings("ldap"), root(namingContexts="o=Company"))
        assert naming == Naming("o=Company", "o=Company")

    def test_a_server_that_tells_nothing(self) -> None:
        assert isinstance(self.find(settings(), root()), Mismatch)
        assert isinstance(self.find(settings("ldap"), root()), Mismatch)


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=40))
def test_what_people_type_never_leaves_its_place_in_the_filter(name: str) -> None:
    for build in (partial(ad._names, "example.com", "corp.example.com"), od._names):
        text = build(name)
        ldap_filter.check(text)
        assert "*" not in text


@pytest.mark.parametrize("kind", [Unreachable, BindRefused, Unsupported])
@pytest.mark.parametrize(
    "code", ["refused", "certificate-name", "ca-file", "base-missing", "never heard of"]
)
def test_every_failure_ends_with_its_mend(
    kind: type[Unreachable | BindRefused | Unsupported], code: str
) -> None:
    error = kind(domain="d", server="s:636", operation="bind", code=code, detail="x")
    finding = finding_of(error, "s:636")
    assert finding.outcome is Outcome.FAILED
    assert finding.next.endswith((".", "!"))
    assert finding.code == code
