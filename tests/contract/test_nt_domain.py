"""The method `nt-domain` at both domain controllers, in each of its ways."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from dirbridge.authenticators.nt_domain import NtDomain, nt_domain
from dirbridge.config.settings import LoginSettings
from dirbridge.connectors.active_directory_checks import nt_domain_at
from dirbridge.connectors.nt_domain import NtDomainName
from dirbridge.model.deadline import Deadline
from dirbridge.model.finding import Outcome
from dirbridge.model.login import (
    Accepted,
    Cause,
    Reason,
    Rejected,
    Unavailable,
    Verdict,
)
from dirbridge.model.secret import Secret
from testbed import cast
from testbed.bed import Bed
from testbed.samba import Dc1, Dc2
from tests.contract.test_authenticator import AtSamba, Case, ad_people
from tests.directories import AD_MAIL, ad_account, ad_connector, ad_settings
from tests.ldap_responder import Responder

pytestmark = pytest.mark.needs_samba

DC1, DC2 = "dc1.corp.example.com", "dc2.corp.example.com"


def method(bed: Bed, name: str = "CORP", **changes: object) -> NtDomain:
    ntlm = changes.pop("ntlm", None)
    login = LoginSettings(ntlm=ntlm)
    values = {"server": DC1, "backup_server": ()} | changes
    return nt_domain(AD_MAIL, ad_settings(bed, **values), login, lambda: name)


class NtDomainContract(AtSamba):
    server = DC1
    security: str

    @pytest.fixture
    def case(self, bed: Bed, dc1: Dc1, dc2: Dc2) -> Iterator[Case]:
        authenticator = method(bed, server=self.server, security=self.security)
        broken = method(bed, server=f"{self.server}:9", security=self.security)
        yield Case(authenticator, broken, ad_people(bed, "ldap"))
        authenticator.close()

    def both(self, bed: Bed) -> NtDomain:
        return method(
            bed, server=self.server, backup_server=DC2, security=self.security
        )


class TestSealedAtDc1(NtDomainContract):
    security = "sealed"


class TestSealedAtDc2(NtDomainContract):
    server = DC2
    security = "sealed"


class TestSimpleAtDc1(NtDomainContract):
    security = "ldaps"


def asked(authenticator: NtDomain, bed: Bed, password: str = "") -> Verdict:
    person = ad_account(bed.dc1, cast.ad("anna"))
    secret = Secret(password or bed.password("anna", "ad"))
    return authenticator.authenticate(person, secret, Deadline.after(9))


def test_ntlm_inside_tls(bed: Bed, dc1: Dc1, dc2: Dc2) -> None:
    """Only DC 2 takes SASL there at all; DC 1's no is a fault of the set-up."""
    good = method(bed, server=DC2, ntlm=True)
    assert isinstance(asked(good, bed), Accepted)
    wrong = asked(good, bed, "surely wrong")
    assert isinstance(wrong, Rejected), wrong
    assert wrong.reason is Reason.WRONG_PASSWORD
    verdict = asked(method(bed, ntlm=True), bed)
    assert isinstance(verdict, Unavailable)
    assert verdict.cause is Cause.CONFIGURATION


def test_ntlm_switched_off_leaves_a_sealed_connection_without_a_way(bed: Bed) -> None:
    off = method(bed, security="sealed", ntlm=False)
    verdict = asked(off, bed)
    assert isinstance(verdict, Unavailable)
    assert verdict.cause is Cause.CONFIGURATION
    (finding,) = off.check()
    assert finding.outcome is Outcome.FAILED
    assert "ldaps" in finding.next


def test_a_controller_that_knows_no_such_domain_is_an_outage(
    bed: Bed, dc1: Dc1
) -> None:
    """Result 49 with `data 51f`: no logon server, not a wrong password."""
    verdict = asked(method(bed, "ELSEWHERE", security="sealed"), bed)
    assert isinstance(verdict, Unavailable), verdict
    assert verdict.cause is Cause.UNREACHABLE


def test_without_a_name_nobody_is_asked(bed: Bed) -> None:
    nameless = method(bed, "")
    verdict = asked(nameless, bed)
    assert isinstance(verdict, Unavailable)
    assert verdict.cause is Cause.CONFIGURATION
    assert [finding.code for finding in nameless.check()] == ["", "no-nt-domain"]


def test_the_directory_says_the_name(bed: Bed, dc1: Dc1) -> None:
    connector = ad_connector(bed, backup_server=())
    name = NtDomainName(lambda limit: connector.ask(nt_domain_at, limit), "GUESS")
    assert name() == "CORP"
    connector.close()


def test_a_frozen_controller_is_left_before_the_password_is_out(
    bed: Bed, dc1: Dc1
) -> None:
    """It accepts connections and says nothing, so it gets no answer to a challenge."""
    with socket.create_server(("127.0.0.1", 0)) as frozen:
        silent = f"127.0.0.1:{frozen.getsockname()[1]}"
        both = method(bed, security="sealed", server=silent, backup_server=DC1)
        verdict = asked(both, bed)
    assert isinstance(verdict, Accepted), verdict
    assert verdict.server.startswith(DC1)


def test_a_server_that_says_yes_to_everything_is_not_believed(bed: Bed) -> None:
    with Responder() as liar:
        server = f"127.0.0.1:{liar.port}"
        verdict = asked(method(bed, security="sealed", server=server), bed)
    assert isinstance(verdict, Unavailable)
    assert verdict.cause is Cause.SERVER_NOT_VERIFIED
