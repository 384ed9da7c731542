"""What connectors compare: the clock, the suffix, the names that people type."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dirbridge.config.settings import DirectorySettings
from dirbridge.connectors import active_directory as ad
from dirbridge.connectors import active_directory_checks as ad_checks
from dirbridge.connectors import open_directory as od
from dirbridge.connectors.findings import finding_of
from dirbridge.connectors.ldap_directory import Mismatch, Naming
from dirbridge.directory import filter as ldap_filter
from dirbridge.directory import generalized_time
from dirbridge.errors import BindRefused, Unreachable, Unsupported
from dirbridge.ldap.client import RootDse
from dirbridge.model.finding import Outcome
from dirbridge.model.names import DomainName

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
    finding = ad_checks.clock_finding("dc1:636", there, HERE)
    assert finding.outcome is outcome
    assert bool(finding.next) is (outcome is not Outcome.OK)


def test_a_clock_that_is_not_told() -> None:
    assert ad_checks.clock_finding("dc1:636", "", HERE).outcome is Outcome.UNKNOWN


def root(**attributes: str | tuple[str, ...]) -> RootDse:
    return RootDse(
        "server:636",
        {
            name.lower(): value if isinstance(value, tuple) else (value,)
            for name, value in attributes.items()
        },
    )


def partition(**values: str | list[str]) -> dict[str, tuple[bytes, ...]]:
    return {
        name.lower(): tuple(
            each.encode() for each in (value if isinstance(value, list) else [value])
        )
        for name, value in values.items()
    }


class TestActiveDirectoryNames:
    corp = partition(
        nETBIOSName="CORP",
        dnsRoot="Corp.Example.com",
        nCName="DC=corp,DC=example,DC=com",
    )
    asia = partition(
        nETBIOSName="ASIA", dnsRoot="asia.corp.example.com", nCName="DC=asia,DC=corp"
    )
    container = partition(uPNSuffixes=["Example.com", "example.net"])
    zones = partition(dnsRoot="corp.example.com", nCName="DC=DomainDnsZones,DC=corp")

    def test_partitions(self) -> None:
        read = ad_checks.partitions_of([self.container, self.zones, self.corp])
        found = read.domain("dc=CORP, dc=example,dc=com")
        assert found is not None
        assert (found.nt_domain, found.dns_name) == ("CORP", "corp.example.com")
        assert read.suffixes == ("example.com", "example.net")
        assert read.domain("DC=example,DC=com") is None
        assert read.domain("no dn") is None
        for suffix in ("CORP.example.com", "example.com", "Example.NET"):
            assert read.is_suffix(suffix)
        assert not read.is_suffix("example.org")

    def test_what_people_may_type(self) -> None:
        mail, own = DomainName("example.com"), "corp.example.com"
        with_suffix = ad_checks.partitions_of([self.container, self.corp])
        told = ad_checks.logins_finding("dc", mail, own, "CORP", with_suffix)
        assert told.text == (
            "People may log in here as name, name@example.com, "
            "name@corp.example.com, CORP\\name."
        )
        without = ad_checks.partitions_of([self.corp])
        told = ad_checks.logins_finding("dc", mail, own, "CORP", without)
        assert told.outcome is Outcome.OK
        assert "example.com is no UPN suffix of the forest" in told.text
        same = ad_checks.logins_finding("dc", DomainName(own), own, "", without)
        assert same.text == "People may log in here as name, name@corp.example.com."

    def test_names_of_mail_domain_and_forest(self) -> None:
        mail, own = DomainName("example.com"), "corp.example.com"
        one = ad_checks.partitions_of([self.corp])
        told = ad_checks.names_finding("dc", mail, own, one)
        assert "own name is corp.example.com, the mail domain is example.com" in (
            told.text
        )
        told = ad_checks.names_finding("dc", DomainName(own), own, one)
        assert told.text == (
            "Active Directory's own name is the mail domain, corp.example.com."
        )
        many = ad_checks.partitions_of([self.corp, self.asia])
        told = ad_checks.names_finding("dc", mail, own, many)
        assert "asia.corp.example.com (ASIA)" in told.text

    @pytest.mark.parametrize(
        ("ours", "theirs", "outcome"),
        [
            ("CORP", "CORP", Outcome.OK),
            ("corp", "CORP", Outcome.OK),
            (None, "CORP", Outcome.OK),
            ("EXAMPLE", "CORP", Outcome.FAILED),
            ("CORP", "", Outcome.UNKNOWN),
        ],
    )
    def test_the_nt_domain(
        self, ours: str | None, theirs: str, outcome: Outcome
    ) -> None:
        found = ad_checks._same("dc", "nt-domain", "nt_domain", ours, theirs)
        assert found.outcome is outcome
        if outcome is Outcome.FAILED:
            assert found.next == 'Write nt_domain = "CORP".'


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
