"""Who is the directory's KDC, whose a ticket is, and what only the entry says."""

from __future__ import annotations

import inspect
import os
import re
import socket
import sys
import threading
import types
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import gssapi
import pytest

from dirbridge.authenticators import gss
from dirbridge.authenticators.kdc_proofs import ByBind, by_bind
from dirbridge.authenticators.kdc_relay import KdcRelay
from dirbridge.authenticators.kerberos import KerberosAuthenticator, Realm
from dirbridge.authenticators.keytab import read_keytab
from dirbridge.authenticators.live import Look, Standing, live_look
from dirbridge.authenticators.sent_proofs import SentProofs
from dirbridge.config.settings import DirectoryType
from dirbridge.config.types import HostPort
from dirbridge.ldap.failover import Failover
from dirbridge.ldap.transport import Endpoint
from dirbridge.model.account import Account
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
from dirbridge.model.names import RealmName
from dirbridge.model.secret import Secret
from testbed import cast
from testbed.bed import Bed
from testbed.cast import AdPerson
from testbed.kdc import SERVICES, Kdc
from testbed.listening import Listening
from testbed.process import run
from testbed.samba import Dc1, Dc2, DomainController
from testbed.slapd import Od1
from testbed.spoofed_kdc import SpoofedKdc
from tests.directories import (
    AD_MAIL,
    account,
    ad_account,
    ad_connector,
    ad_settings,
    od_connector,
)

SECONDS = 9.0
AD, OD = RealmName(cast.AD_REALM), RealmName(cast.OD_REALM)
MADE_UP = "Made-Up-By-The-Spoofer-1"


def ask(
    asked: KerberosAuthenticator, who: Account, password: str, seconds: float = SECONDS
) -> Verdict:
    return asked.authenticate(who, Secret(password), Deadline.after(seconds))


def reason_of(verdict: Verdict) -> Reason:
    assert isinstance(verdict, Rejected), verdict
    return verdict.reason


def cause_of(verdict: Verdict) -> Cause:
    assert isinstance(verdict, Unavailable), verdict
    return verdict.cause


@pytest.fixture
def krb5(bed: Bed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KRB5_CONFIG", str(bed.krb5_conf))


def ad_realm(bed: Bed, **changes: object) -> Realm:
    values = {"name": AD, "keytab": bed.keytab("corp")} | changes
    return Realm(**values)


def od_realm(bed: Bed, **changes: object) -> Realm:
    kind = DirectoryType.OPEN_DIRECTORY_KERBEROS
    values = {"name": OD, "keytab": bed.keytab("od"), "kind": kind} | changes
    return Realm(**values)


def bind_to(
    bed: Bed, server: str = "dc1.corp.example.com", **changes: object
) -> ByBind:
    settings = ad_settings(bed, server=server, backup_server=(), **changes)
    servers = [Endpoint.of(each, settings.security) for each in settings.servers]
    made = by_bind(AD_MAIL, settings, Failover(AD_MAIL, servers))
    assert made is not None
    return made


@pytest.fixture(scope="module")
def spoofed(bed: Bed, kdc: Kdc) -> Iterator[SpoofedKdc]:
    made = SpoofedKdc(bed.directory, cast.OD_REALM)
    made.build({"anna": MADE_UP}, SERVICES)
    made.start()
    yield made
    made.stop()


@pytest.fixture(scope="module")
def spoofed_ad(bed: Bed, dc1: Dc1, dc2: Dc2) -> Iterator[SpoofedKdc]:
    made = SpoofedKdc(bed.directory, cast.AD_REALM)
    made.address = "127.0.0.32"
    made.build({"anna": MADE_UP}, [f"ldap/{one.host}" for one in (dc1, dc2)])
    made.start()
    yield made
    made.stop()


@pytest.fixture
def led_astray(spoofed: SpoofedKdc, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KRB5_CONFIG", str(spoofed.krb5_conf))


class TestSpoofedKdc:
    """It takes a password that it has made up, for people of the realm."""

    @pytest.mark.usefixtures("led_astray")
    def test_is_refused_and_told_as_what_it_is(self, bed: Bed) -> None:
        verdict = ask(
            KerberosAuthenticator(od_realm(bed)), account(cast.od("anna")), MADE_UP
        )
        assert cause_of(verdict) is Cause.KDC_NOT_VERIFIED

    @pytest.mark.usefixtures("led_astray")
    def test_is_believed_where_nobody_looks(self, bed: Bed) -> None:
        """What the proof is for: it does let the made-up password in."""
        asked = KerberosAuthenticator(od_realm(bed, verify=False))
        assert isinstance(ask(asked, account(cast.od("anna")), MADE_UP), Accepted)

    @pytest.mark.usefixtures("led_astray")
    def test_is_believed_without_the_checks_of_the_ticket(
        self, bed: Bed, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The same code with its checks taken out lets the made-up password in."""
        mutated = without_checks()
        monkeypatch.setattr("dirbridge.authenticators.gss", mutated)
        asked = KerberosAuthenticator(od_realm(bed))
        assert isinstance(ask(asked, account(cast.od("anna")), MADE_UP), Accepted)

    @pytest.mark.usefixtures("led_astray")
    def test_is_refused_though_another_realms_key_is_its_own(
        self, bed: Bed, spoofed: SpoofedKdc, tmp_path: Path
    ) -> None:
        """Two companies' keys in one file: the one's admin is not the other's KDC."""
        theirs = tmp_path / "theirs"
        spoofed.write_keytab(theirs, SERVICES[0])
        renamed = theirs.read_bytes().replace(OD.encode(), b"XY.EXAMPLE.COM")
        both = tmp_path / "both"
        header = 2
        both.write_bytes(bed.keytab("od").read_bytes() + renamed[header:])
        assert {key.realm for key in read_keytab(both)} == {OD, "XY.EXAMPLE.COM"}
        asked = KerberosAuthenticator(od_realm(bed, keytab=both, service=SERVICES[0]))
        verdict = ask(asked, account(cast.od("anna")), MADE_UP)
        assert cause_of(verdict) is Cause.KDC_NOT_VERIFIED

    def test_the_ticket_must_be_for_whoever_was_asked_for(
        self, bed: Bed, kdc: Kdc, krb5: None
    ) -> None:
        """The true KDC, the right password: but another person's."""
        anna = cast.od("anna")
        own = gss.acquire(anna.principal, Secret(bed.password(anna)))
        service, keytab = f"{SERVICES[0]}@{OD}", bed.keytab("od")
        assert gss.verify(own, gss.Asked(anna.principal), service, keytab).name
        other = gss.Asked(cast.od("carla").principal)
        with pytest.raises(gss.NotVerified):
            gss.verify(own, other, service, keytab)
        assert without_checks().verify(own, other, service, keytab).name


CHECKS = {
    "        if not acceptor.complete:\n": "        if False:\n",
    "not asked.enterprise and fold(str(name)) !=": "False and fold('') !=",
    "= acceptor.initiator_name\n": "= gssapi.Name(asked.text, _PRINCIPAL)\n",
}


def without_checks() -> types.ModuleType:
    """The module that verifies tickets, without `.complete` and the name's check."""
    text = inspect.getsource(gss)
    for check, nothing in CHECKS.items():
        assert text.count(check) == 1, check
        text = text.replace(check, nothing)
    mutated = types.ModuleType("mutated_gss")
    exec(compile(text, "mutated_gss", "exec"), vars(mutated))
    # python-gssapi's own: its steps raise nothing (facts of `ldap.gss.Context`).
    vars(mutated)["Context"] = gssapi.SecurityContext
    return mutated


@pytest.fixture
def ad_look(bed: Bed, dc1: Dc1) -> Iterator[Look]:
    connector = ad_connector(bed, server=dc1.host, backup_server=())
    yield live_look(connector)
    connector.close()


class TestProofByBind:
    """Without a keytab: the person's own ticket opens the directory."""

    def asked(self, bed: Bed, proof: ByBind) -> KerberosAuthenticator:
        return KerberosAuthenticator(ad_realm(bed, keytab=None), by_bind=proof)

    def test_sealed(self, bed: Bed, dc1: Dc1, krb5: None) -> None:
        asked = self.asked(bed, bind_to(bed, security="sealed"))
        anna = cast.ad("anna")
        who, right = ad_account(dc1, anna), bed.password(anna)
        assert isinstance(ask(asked, who, right), Accepted)
        assert reason_of(ask(asked, who, "surely wrong")) is Reason.WRONG_PASSWORD
        finding = asked.check()[0]
        assert (finding.code, finding.outcome) == ("by-bind", Outcome.WARNING)
        assert "sealed" in finding.text

    def test_inside_tls_with_the_channel_binding(
        self, bed: Bed, dc1: Dc1, dc2: Dc2, krb5: None
    ) -> None:
        """DC 2 admits it, DC 1 has Samba's default and does not."""
        anna = cast.ad("anna")
        who, right = ad_account(dc1, anna), bed.password(anna)
        asked = self.asked(bed, bind_to(bed, dc2.host))
        assert isinstance(ask(asked, who, right), Accepted)
        finding = asked.check()[0]
        assert (finding.code, finding.outcome) == ("by-bind", Outcome.WARNING)
        verdict = ask(self.asked(bed, bind_to(bed, dc1.host)), who, right)
        assert cause_of(verdict) is Cause.CONFIGURATION

    @pytest.mark.parametrize(
        ("security", "server"),
        [("sealed", "dc1.corp.example.com"), ("ldaps", "dc2.corp.example.com")],
    )
    def test_a_spoofed_kdc_is_refused(
        self,
        security: str,
        server: str,
        bed: Bed,
        dc1: Dc1,
        spoofed_ad: SpoofedKdc,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setenv("KRB5_CONFIG", str(spoofed_ad.krb5_conf))
        who = ad_account(dc1, cast.ad("anna"))
        asked = self.asked(bed, bind_to(bed, server, security=security))
        assert cause_of(ask(asked, who, MADE_UP)) is Cause.KDC_NOT_VERIFIED
        believing = KerberosAuthenticator(ad_realm(bed, keytab=None, verify=False))
        assert isinstance(ask(believing, who, MADE_UP), Accepted)

    def test_people_at_the_same_time_are_kept_apart(
        self, bed: Bed, dc1: Dc1, krb5: None
    ) -> None:
        """Their tickets lie in caches that are used over and over."""
        asked = self.asked(bed, bind_to(bed, security="sealed"))
        people = [cast.ad("anna"), cast.ad("bob")]
        logins = [(ad_account(dc1, one), bed.password(one)) for one in people]
        with ThreadPoolExecutor(4) as pool:
            verdicts = pool.map(lambda one: ask(asked, *one), logins * 6)
        assert [type(one) for one in verdicts] == [Accepted] * 12

    def test_the_bind_must_be_the_accounts(
        self, bed: Bed, dc1: Dc1, krb5: None
    ) -> None:
        anna, bob = cast.ad("anna"), cast.ad("bob")
        own, other = ad_account(dc1, anna), ad_account(dc1, bob)
        id_of_bob = other.values.directory_id
        renamed = replace(own, values=replace(own.values, directory_id=id_of_bob))
        asked = self.asked(bed, bind_to(bed, security="sealed"))
        assert reason_of(ask(asked, renamed, bed.password(anna))) is Reason.UNKNOWN

    def test_an_outage_of_the_directory_is_no_verdict(
        self, bed: Bed, dc1: Dc1, krb5: None
    ) -> None:
        asked = self.asked(bed, bind_to(bed, f"{dc1.host}:9"))
        anna = cast.ad("anna")
        verdict = ask(asked, ad_account(dc1, anna), bed.password(anna))
        assert cause_of(verdict) is Cause.UNREACHABLE
        assert asked.check()[0].outcome is Outcome.FAILED


class TestIdentity:
    """A principal may have gone to somebody else."""

    def test_a_login_name_and_a_upn_of_somebody_else(
        self, bed: Bed, changeable_ad: Dc1, ad_look: Look, krb5: None
    ) -> None:
        asked = KerberosAuthenticator(ad_realm(bed), look=ad_look)
        believing = KerberosAuthenticator(ad_realm(bed, verify=False), look=ad_look)
        blind = KerberosAuthenticator(ad_realm(bed))
        bob, password = cast.ad("bob"), bed.password(cast.ad("anna"))
        who = ad_account(changeable_ad, bob)
        changeable_ad.rename(bob, sam="robert", upn="robert@x.example")
        # A KDC takes `name@REALM` for a user principal name first.
        upn = f"bob@{cast.AD_DOMAIN}"
        mallory = AdPerson(sam="mallory", cn="Mallory", upn=upn)
        changeable_ad.create(mallory, password)
        assert isinstance(ask(blind, who, password), Accepted)
        assert reason_of(ask(asked, who, password)) is Reason.UNKNOWN
        changeable_ad.delete(mallory.dn)
        changeable_ad.create(AdPerson(sam="bob", cn="Another Bob"), password)
        assert isinstance(ask(blind, who, password), Accepted)
        for each in (asked, believing):
            assert reason_of(ask(each, who, password)) is Reason.UNKNOWN

    def test_somebody_who_is_gone(
        self, bed: Bed, dc1: Dc1, ad_look: Look, krb5: None
    ) -> None:
        asked = KerberosAuthenticator(ad_realm(bed), look=ad_look)
        bob = cast.ad("bob")
        gone = account(bob, "00000000-0000-4000-8000-000000000000")
        assert reason_of(ask(asked, gone, bed.password(bob))) is Reason.UNKNOWN

    def test_enterprise_names(
        self, bed: Bed, dc1: Dc1, ad_look: Look, krb5: None
    ) -> None:
        """A mapping may know the user principal name only, its suffix being foreign."""
        anna = cast.ad("anna")
        own = ad_account(dc1, anna)
        right = bed.password(anna)
        asked = KerberosAuthenticator(ad_realm(bed), look=ad_look)
        for values in (
            replace(own.values, login_names=(), upn="anna@example.com"),
            replace(own.values, login_names=("Anna@Example.COM",)),
        ):
            who = replace(own, values=values)
            assert isinstance(ask(asked, who, right), Accepted)
            assert reason_of(ask(asked, who, "surely wrong")) is Reason.WRONG_PASSWORD
            # Whose it is stands in the entry only.
            assert isinstance(
                ask(KerberosAuthenticator(ad_realm(bed), look=away), who, right),
                Unavailable,
            )
        bob = ad_account(dc1, cast.ad("bob")).values.directory_id
        stolen = replace(own.values, login_names=(anna.upn or "",), directory_id=bob)
        verdict = ask(asked, replace(own, values=stolen), right)
        assert reason_of(verdict) is Reason.UNKNOWN
        nobody = replace(own.values, login_names=("nobody@example.com",))
        verdict = ask(asked, replace(own, values=nobody), right)
        assert reason_of(verdict) is Reason.UNKNOWN


def away(_account: Account, _deadline: Deadline) -> Standing | Reason | Cause:
    return Cause.UNREACHABLE


@dataclass
class Coming:
    """A look at a directory that comes and goes."""

    look: Look
    cause: Cause = Cause.UNREACHABLE
    there: bool = True

    def __call__(self, who: Account, deadline: Deadline) -> Standing | Reason | Cause:
        return self.look(who, deadline) if self.there else self.cause


class TestWithoutTheDirectory:
    """Its LDAP servers are away while the KDC answers."""

    def test_the_kdcs_word_counts(
        self, bed: Bed, dc1: Dc1, ad_look: Look, krb5: None
    ) -> None:
        look = Coming(ad_look)
        asked = KerberosAuthenticator(ad_realm(bed), look=look)
        people = {one.sam: one for one in cast.AD_PEOPLE}
        limited = next(
            one for one in cast.AD_PEOPLE if one.condition is cast.Condition.WORKSTATION
        )
        disabled = next(
            one for one in cast.AD_PEOPLE if one.condition is cast.Condition.DISABLED
        )

        def login(person: AdPerson) -> Verdict:
            return ask(asked, ad_account(dc1, person), bed.password(person))

        assert reason_of(login(limited)) is Reason.WORKSTATION
        look.there = False
        assert isinstance(login(people["anna"]), Accepted)
        assert reason_of(login(disabled)) is Reason.REVOKED
        assert cause_of(login(limited)) is Cause.UNREACHABLE
        look.there = True
        assert reason_of(login(disabled)) is Reason.DISABLED

    @pytest.mark.parametrize("cause", [Cause.CONFIGURATION, Cause.SERVER_NOT_VERIFIED])
    def test_a_fault_that_may_last_gives_no_name_away(
        self, cause: Cause, bed: Bed, dc1: Dc1, ad_look: Look, krb5: None
    ) -> None:
        """The service account is refused; meanwhile somebody may be hired."""
        look = Coming(ad_look, cause, there=False)
        asked = KerberosAuthenticator(ad_realm(bed), look=look)
        anna = cast.ad("anna")
        who, right = ad_account(dc1, anna), bed.password(anna)
        assert cause_of(ask(asked, who, right)) is cause
        look.there = True
        assert isinstance(ask(asked, who, right), Accepted)
        look.there = False
        assert isinstance(ask(asked, who, right), Accepted)
        assert reason_of(ask(asked, who, "surely wrong")) is Reason.WRONG_PASSWORD

    def test_a_name_that_is_known_to_be_somebody_elses(
        self, bed: Bed, dc1: Dc1, ad_look: Look, krb5: None
    ) -> None:
        look = Coming(ad_look)
        asked = KerberosAuthenticator(ad_realm(bed), look=look)
        anna, bob = cast.ad("anna"), cast.ad("bob")
        right = bed.password(anna)
        own, other = ad_account(dc1, anna), ad_account(dc1, bob)
        id_of_bob = other.values.directory_id
        stolen = replace(own, values=replace(own.values, directory_id=id_of_bob))
        assert reason_of(ask(asked, stolen, right)) is Reason.UNKNOWN
        look.there = False
        assert reason_of(ask(asked, stolen, right)) is Reason.UNKNOWN

    def test_a_bind_tells_whose_ticket_it_is(
        self, bed: Bed, dc1: Dc1, krb5: None
    ) -> None:
        """Though the service account is refused: the person's own bind was not."""
        anna = cast.ad("anna")
        asked = KerberosAuthenticator(
            ad_realm(bed, keytab=None),
            by_bind=bind_to(bed, security="sealed"),
            look=lambda _account, _deadline: Cause.CONFIGURATION,
        )
        verdict = ask(asked, ad_account(dc1, anna), bed.password(anna))
        assert isinstance(verdict, Accepted)

    def test_our_own_overload_lifts_no_restriction(
        self, bed: Bed, kdc: Kdc, krb5: None
    ) -> None:
        def look(_who: Account, _deadline: Deadline) -> Standing | Reason | Cause:
            return Cause.OVERLOADED

        anna = cast.od("anna")
        asked = KerberosAuthenticator(od_realm(bed), look=look)
        verdict = ask(asked, account(anna), bed.password(anna))
        assert cause_of(verdict) is Cause.OVERLOADED

    def test_a_frozen_server_costs_the_look_only(
        self, bed: Bed, kdc: Kdc, od1: Od1, krb5: None
    ) -> None:
        connector = od_connector(bed)
        asked = KerberosAuthenticator(od_realm(bed), look=live_look(connector))
        anna = cast.od("anna")
        right = bed.password(anna)
        assert isinstance(ask(asked, account(anna), right), Accepted)
        od1.freeze()
        assert isinstance(ask(asked, account(anna), right, 6), Accepted)
        connector.close()


class TestFrozenInTheMiddle:
    """A KDC that froze once it had the proof of a password."""

    def test_no_other_kdc_gets_the_proof(
        self, bed: Bed, kdc: Kdc, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        true = HostPort(host=kdc.address, port=kdc.port)
        with Between(true, answers=1) as first, Between(true) as second:
            proofs = SentProofs()
            relay = KdcRelay(OD, [first.place, second.place], proofs=proofs)
            text = bed.krb5_conf.read_text()
            text = text.replace("kdc.od.example.com:8888", str(relay.start()))
            (tmp_path / "krb5.conf").write_text(text)
            monkeypatch.setenv("KRB5_CONFIG", str(tmp_path / "krb5.conf"))
            asked = KerberosAuthenticator(od_realm(bed), proofs=proofs)
            anna = account(cast.od("anna"))
            verdict = ask(asked, anna, "surely wrong")
            assert isinstance(verdict, Unavailable)
            assert verdict.sent
            assert (first.asked, second.asked) == (2, 0)
            # The next login finds the other one.
            assert reason_of(ask(asked, anna, "wrong too")) is Reason.WRONG_PASSWORD
            assert (first.asked, second.asked) == (2, 2)
            relay.close()


class Between(Listening):
    """Stands before a KDC, answers some requests and closes upon the others.

    Attributes:
        asked: How many requests have come.
    """

    def __init__(self, true: HostPort, answers: int = 1000) -> None:
        self.asked = 0
        self._true = true
        self._answers = answers
        super().__init__(self._talk)

    @property
    def place(self) -> HostPort:
        return HostPort(host=self.address, port=self.port)

    def _talk(self, client: socket.socket) -> None:
        request = message(client)
        self.asked += 1
        if self.asked <= self._answers:
            client.sendall(self._passed_on(request))

    def _passed_on(self, request: bytes) -> bytes:
        assert self._true.port is not None
        with socket.create_connection((self._true.host, self._true.port)) as kdc:
            kdc.sendall(request)
            return message(kdc)


def message(stream: socket.socket) -> bytes:
    head = stream.recv(4, socket.MSG_WAITALL)
    return head + stream.recv(int.from_bytes(head, "big"), socket.MSG_WAITALL)


class TestCounting:
    """What a directory counts, and what changes with a password."""

    def test_a_wrong_password_is_counted_once(
        self,
        bed: Bed,
        dc1: Dc1,
        dc2: Dc2,
        ad_look: Look,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        relay = KdcRelay(AD, [HostPort(host=each.host) for each in (dc1, dc2)])
        text = bed.krb5_conf.read_text()
        text = text.replace("    kdc = dc2.corp.example.com\n", "")
        text = text.replace("kdc = dc1.corp.example.com", f"kdc = {relay.start()}")
        (tmp_path / "krb5.conf").write_text(text)
        monkeypatch.setenv("KRB5_CONFIG", str(tmp_path / "krb5.conf"))
        asked = KerberosAuthenticator(ad_realm(bed), look=ad_look)
        bob = cast.ad("bob")
        before = sum(bad_passwords(each, bob) for each in (dc1, dc2))
        verdict = ask(asked, ad_account(dc1, bob), "surely wrong")
        assert reason_of(verdict) is Reason.WRONG_PASSWORD
        after = sum(bad_passwords(each, bob) for each in (dc1, dc2))
        assert after - before == 1
        relay.close()

    def test_the_mark_changes_with_the_password_and_not_with_wrong_tries(
        self, bed: Bed, dc1: Dc1, ad_look: Look, krb5: None
    ) -> None:
        marked, password = AdPerson(sam="marked", cn="Marked"), bed.password("bob")
        dc1.create(marked, password)
        who = ad_account(dc1, marked)

        def mark() -> str:
            standing = ad_look(who, Deadline.after(SECONDS))
            assert isinstance(standing, Standing)
            return standing.password_mark

        first = mark()
        ask(KerberosAuthenticator(ad_realm(bed)), who, "surely wrong")
        assert first
        assert mark() == first
        dc1.set_password(marked.dn, f"{password}-2")
        assert mark() != first
        dc1.delete(marked.dn)
        assert ad_look(who, Deadline.after(SECONDS)) is Reason.UNKNOWN


def bad_passwords(dc: DomainController, person: AdPerson) -> int:
    """How many tries a domain controller has counted (`badPwdCount`)."""
    found = dc.search(f"(sAMAccountName={person.sam})", "badPwdCount")
    counts = re.findall(r"^badPwdCount: (\d+)$", found, re.MULTILINE)
    return int(counts[0]) if counts else 0


class TestOneProcess:
    """What stays behind, and what must not be there before a fork."""

    def test_several_realms_side_by_side(
        self, bed: Bed, dc1: Dc1, kdc: Kdc, krb5: None
    ) -> None:
        first, second = (
            KerberosAuthenticator(ad_realm(bed)),
            KerberosAuthenticator(od_realm(bed)),
        )
        anna, carla = cast.ad("anna"), cast.od("carla")
        logins = [
            (first, account(anna), bed.password(anna)),
            (second, account(carla), bed.password(carla)),
        ]
        with ThreadPoolExecutor(4) as pool:
            verdicts = pool.map(lambda one: ask(*one), logins * 4)
        assert {type(one) for one in verdicts} == {Accepted}

    def test_hundreds_of_checks_leave_nothing_behind(
        self, bed: Bed, kdc: Kdc, od1: Od1, krb5: None
    ) -> None:
        connector = od_connector(bed)
        asked = KerberosAuthenticator(od_realm(bed), look=live_look(connector))
        anna = cast.od("anna")
        tries = [bed.password(anna), "surely wrong", bed.password(anna)]

        def some(number: int) -> None:
            with ThreadPoolExecutor(4) as pool:
                verdicts = pool.map(
                    lambda password: ask(asked, account(anna), password),
                    tries * number,
                )
                kinds = [type(one) for one in verdicts]
            assert kinds == [Accepted, Rejected, Accepted] * number

        some(8)
        connector.close()  # what it keeps
        before = open_files(), temporary_files(), threading.active_count()
        some(70)
        connector.close()
        after = open_files(), temporary_files(), threading.active_count()
        assert after[0] <= before[0]
        assert after[1] == before[1]
        assert after[2] <= before[2]

    def test_gssapi_is_loaded_by_the_first_check_only(
        self, bed: Bed, kdc: Kdc, krb5: None
    ) -> None:
        """A parent that has initialised it would break its children."""
        anna = cast.od("anna")
        said = run(
            [sys.executable, "-c", FORKED, OD],
            stdin=f"{bed.keytab('od')}\n{bed.password(anna)}\n",
            env={
                "PYTHONPATH": str(Path(__file__).parents[2]),
                "KRB5_CONFIG": os.environ["KRB5_CONFIG"],
            },
        )
        assert said.split() == ["Accepted", "Accepted", "Accepted"]


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def temporary_files() -> set[Path]:
    places = (Path("/tmp"), Path("/var/tmp"))
    return {path for each in places for path in each.glob("krb5*")}


FORKED = """
import os, pathlib, sys
from dirbridge.app import App
from dirbridge.authenticators.kerberos import KerberosAuthenticator, Realm
from dirbridge.authenticators.keytab import read_keytab
from dirbridge.model.deadline import Deadline
from dirbridge.model.secret import Secret
from testbed import cast
from tests.directories import account

keytab, password = sys.stdin.read().splitlines()
asked = KerberosAuthenticator(Realm(name=sys.argv[1], keytab=pathlib.Path(keytab)))
assert "gssapi" not in sys.modules, "loaded before the fork"
assert App
for _ in range(2):
    child = os.fork()
    if not child:
        break
    assert os.waitpid(child, 0)[1] == 0
verdict = asked.authenticate(
    account(cast.od("anna")), Secret(password), Deadline.after(9)
)
print(type(verdict).__name__, flush=True)
"""
