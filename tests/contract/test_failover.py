"""Two real domain controllers, one of which is stopped, frozen, or cut off."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from dirbridge.authenticators.base import Next
from dirbridge.authenticators.ldap_bind import LdapBind, ldap_bind
from dirbridge.connectors.ldap_directory import LdapDirectory
from dirbridge.errors import Unreachable
from dirbridge.ldap.discovery import Discovered
from dirbridge.model.account import Account
from dirbridge.model.deadline import Deadline
from dirbridge.model.entry import Entry, Finished
from dirbridge.model.finding import Outcome
from dirbridge.model.login import Accepted, Cause, Unavailable, Verdict
from dirbridge.model.names import DirectoryId
from dirbridge.model.secret import Secret
from testbed import ca, cast
from testbed.bed import Bed
from testbed.samba import Dc1, Dc2
from testbed.slapd import Od1, Od2
from tests.directories import (
    AD_MAIL,
    ad_account,
    ad_connector,
    ad_settings,
    od_connector,
)
from tests.ldap_responder import Responder

DC1, DC2 = "dc1.corp.example.com:636", "dc2.corp.example.com:636"
NOBODY = DirectoryId("00000000-0000-4000-8000-000000000000")
OUTAGES = ["stop", "freeze", "cut_off"]


@pytest.fixture
def connector(bed: Bed, dc1: Dc1, dc2: Dc2) -> LdapDirectory:
    return ad_connector(bed)


@pytest.fixture
def binds(bed: Bed, dc1: Dc1, dc2: Dc2) -> Iterator[LdapBind]:
    authenticator = ldap_bind(AD_MAIL, ad_settings(bed))
    yield authenticator
    authenticator.close()


@pytest.fixture
def bob(dc1: Dc1, dc2: Dc2) -> Account:
    return ad_account(dc1, cast.ad("bob"))


def log_in(bed: Bed, binds: LdapBind, bob: Account, seconds: float = 9) -> Verdict:
    person = cast.ad("bob")
    return binds.authenticate(
        bob, Secret(bed.password(person)), Deadline.after(seconds)
    )


@pytest.mark.parametrize("outage", OUTAGES)
def test_a_login_goes_to_the_second_and_back(
    bed: Bed, binds: LdapBind, bob: Account, dc1: Dc1, outage: str
) -> None:
    binds._failover._cool_down = 1.0
    first = log_in(bed, binds, bob)
    assert isinstance(first, Accepted)
    assert first.server == DC1
    getattr(dc1, outage)()
    start = time.monotonic()
    second = log_in(bed, binds, bob)
    assert isinstance(second, Accepted), second
    assert second.server == DC2
    assert time.monotonic() - start < 6
    assert binds._failover.states()[0].up is False
    dc1.heal()
    binds._failover._cool_down = 30.0
    time.sleep(1.1)
    last = log_in(bed, binds, bob)
    assert isinstance(last, Accepted)
    assert last.server == DC1
    assert binds._failover.states()[0].up is True


@pytest.mark.parametrize("is_proven", [True, False])
def test_only_a_proven_password_goes_on_from_one_that_froze_with_it(
    bed: Bed, binds: LdapBind, bob: Account, dc1: Dc1, is_proven: bool
) -> None:
    underway = None
    for _ in range(30):
        assert isinstance(log_in(bed, binds, bob), Accepted)
        password = bed.password(cast.ad("bob")) if is_proven else "surely wrong"
        deadline = Deadline.after(9 if is_proven else 2)
        underway = binds.start(bob, Secret(password), deadline)
        if underway is not None:
            break
    assert underway is not None
    dc1.freeze()
    assert underway.go_on() is Next.WAIT
    verdict = underway.finish()
    if is_proven:
        assert isinstance(verdict, Accepted), verdict
        assert verdict.server == DC2
    else:
        assert isinstance(verdict, Unavailable), verdict
        assert verdict.sent
    assert binds._failover.states()[0].up is False


def test_with_nobody_left_nobody_knows(bed: Bed, binds: LdapBind, bob: Account) -> None:
    assert isinstance(log_in(bed, binds, bob), Accepted)
    bed.dc1.freeze()
    bed.dc2.freeze()
    start = time.monotonic()
    verdict = log_in(bed, binds, bob)
    assert time.monotonic() - start < 9.2
    assert isinstance(verdict, Unavailable)
    assert verdict.cause in {Cause.TIMEOUT, Cause.UNREACHABLE}
    assert DC1 in verdict.server
    assert DC2 in verdict.server


@pytest.mark.parametrize("outage", OUTAGES)
def test_kept_sessions_die_in_our_hands(
    connector: LdapDirectory, dc1: Dc1, outage: str
) -> None:
    assert connector.find(NOBODY) is None
    assert connector.states()[0].up
    getattr(dc1, outage)()
    start = time.monotonic()
    assert connector.lookup("anna")[0].server == DC2
    assert time.monotonic() - start < 6
    first, second = connector.states()
    assert (first.up, second.up) == (False, True)
    assert first.error


def test_a_read_that_is_cut_in_the_middle_is_incomplete(
    connector: LdapDirectory, dc1: Dc1
) -> None:
    reading = connector.read()
    items = [next(reading)]
    dc1.stop()
    items += reading
    *entries, last = items
    assert entries
    assert all(isinstance(entry, Entry) for entry in entries)
    assert isinstance(last, Finished)
    assert not last.complete
    assert last.server == DC1
    assert last.why
    assert not connector.states()[0].up
    *_, last = connector.read()
    assert isinstance(last, Finished)
    assert (last.complete, last.server) == (True, DC2)


def test_all_stopped_is_said_with_both_names(
    connector: LdapDirectory, dc1: Dc1, dc2: Dc2
) -> None:
    dc1.stop()
    dc2.stop()
    with pytest.raises(Unreachable) as caught:
        connector.read().__next__()
    assert caught.value.code == "refused"
    assert caught.value.server == f"{DC1}, {DC2}"
    findings = connector.check()
    assert {f.where for f in findings if f.outcome is Outcome.FAILED} == {DC1, DC2}
    assert all(f.next for f in findings if f.outcome is Outcome.FAILED)


@pytest.mark.parametrize(
    ("certificate", "code"),
    [
        (ca.WRONG_NAME, "certificate-name"),
        (ca.EXPIRED, "certificate-expired"),
        (ca.FOREIGN, "certificate-untrusted"),
    ],
)
def test_a_wrong_certificate_is_not_believed(
    bed: Bed, od1: Od1, od2: Od2, certificate: str, code: str
) -> None:
    both = od_connector(bed, backup_server="od2.example.com")
    od1.use_certificate(certificate)
    alone = od_connector(bed)
    with pytest.raises(Unreachable) as caught:
        alone.find(DirectoryId(cast.od("anna").guid))
    assert caught.value.code == code
    (failed,) = [f for f in alone.check() if f.outcome is Outcome.FAILED]
    assert (failed.what, failed.code) == ("certificate", code)
    assert failed.next
    found = both.lookup("anna")
    assert found[0].server == "od2.example.com:636"


@pytest.fixture
def found_by_dns(bed: Bed, dc1: Dc1, dc2: Dc2) -> LdapDirectory:
    return ad_connector(bed, server=None, backup_server=(), discover="dns")


def test_domain_controllers_are_found_by_dns(
    found_by_dns: LdapDirectory, dc1: Dc1
) -> None:
    """Samba's own DNS names them, and says which site we are in."""
    assert {str(one) for one in found_by_dns.failover.servers} == {DC1, DC2}
    source = found_by_dns.failover._source
    assert isinstance(source, Discovered)
    assert source.site == "Default-First-Site-Name"
    assert found_by_dns.find(NOBODY) is None
    dc1.stop()
    assert found_by_dns.lookup("anna")[0].server == DC2


def test_no_dns_takes_no_server_away(
    found_by_dns: LdapDirectory, dc1: Dc1, dc2: Dc2
) -> None:
    assert found_by_dns.find(NOBODY) is None
    source = found_by_dns.failover._source
    assert isinstance(source, Discovered)
    for dc in (dc1, dc2):
        dc.stop()
    source._last_look = source._next_look = float("-inf")
    with pytest.raises(Unreachable):
        found_by_dns.find(NOBODY)
    assert {str(one) for one in found_by_dns.failover.servers} == {DC1, DC2}


def test_a_domain_that_dns_does_not_know_has_no_server(
    bed: Bed, dc1: Dc1, dc2: Dc2
) -> None:
    nowhere = ad_connector(
        bed,
        server=None,
        backup_server=(),
        discover="dns",
        directory_domain="nowhere.example.com",
    )
    with pytest.raises(Unreachable) as caught:
        nowhere.find(NOBODY)
    assert caught.value.code == "no-servers"


def test_a_server_whose_tls_is_broken_is_passed_by(
    bed: Bed, dc1: Dc1, dc2: Dc2
) -> None:
    with Responder(address=dc1.address, greeting=b"220 no TLS here\r\n") as broken:
        connector = ad_connector(bed, server=f"{dc1.host}:{broken.port}")
        assert connector.lookup("anna")[0].server == DC2
        assert connector.states()[0].error.startswith("tls")


def test_what_is_seen_of_a_server_is_told(connector: LdapDirectory) -> None:
    assert connector.find(NOBODY) is None
    state = connector.states()[0]
    assert state.certificate_days is not None
    assert state.certificate_days > 3000
    assert state.clock_offset is not None
    assert abs(state.clock_offset) <= 5
    assert state.round_trip is not None
    assert 0 < state.round_trip < 15
    speeds = [one for one in connector.check() if one.what == "speed"]
    assert [one.where for one in speeds] == [DC1, DC2]
