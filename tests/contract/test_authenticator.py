"""The contract of all authenticators: memory, Samba, slapd, Samba's KDC, MIT's.

What each account of the cast is answered stands in `testbed.cast`, from the
tables of facts: ad-semantics 6 and testbed 3.
"""

from __future__ import annotations

import select
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType

import pytest

from dirbridge.authenticators.base import Authenticator, Next
from dirbridge.authenticators.kdc_relay import KdcRelay
from dirbridge.authenticators.kerberos import KerberosAuthenticator, Realm
from dirbridge.authenticators.ldap_bind import LdapBind, ldap_bind
from dirbridge.authenticators.live import Look, live_look
from dirbridge.authenticators.memory import MemoryAuthenticator
from dirbridge.config.settings import DirectoryType, Method
from dirbridge.config.types import HostPort
from dirbridge.model.account import Account
from dirbridge.model.deadline import Deadline
from dirbridge.model.finding import Finding, Outcome
from dirbridge.model.login import (
    Accepted,
    Cause,
    Reason,
    Rejected,
    Unavailable,
    Verdict,
)
from dirbridge.model.names import DirectoryId, RealmName
from dirbridge.model.secret import Secret
from testbed import cast
from testbed.bed import Bed
from testbed.cast import AdPerson, Answer, Condition, OdPerson
from testbed.kdc import Kdc
from testbed.process import run
from testbed.samba import Dc1, Dc2
from testbed.slapd import Od1
from tests.directories import (
    AD_MAIL,
    OD_MAIL,
    account,
    ad_connector,
    ad_ids,
    ad_settings,
    od_connector,
    od_settings,
)

SECONDS = 9.0

# What dirbridge makes of a server's answer.
REASONS: Mapping[Answer, set[Reason]] = {
    Answer.WRONG_PASSWORD: {Reason.WRONG_PASSWORD},
    Answer.UNKNOWN: {Reason.UNKNOWN, Reason.WRONG_PASSWORD},
    Answer.DISABLED: {Reason.DISABLED},
    Answer.LOCKED: {Reason.LOCKED},
    Answer.EXPIRED: {Reason.EXPIRED},
    Answer.MUST_CHANGE: {Reason.MUST_CHANGE},
    Answer.PASSWORD_EXPIRED: {Reason.PASSWORD_EXPIRED},
    Answer.LOGON_HOURS: {Reason.LOGON_HOURS},
    Answer.WORKSTATION: {Reason.WORKSTATION},
    Answer.REVOKED: {Reason.REVOKED},
    Answer.KEY_EXPIRED: {Reason.PASSWORD_EXPIRED, Reason.MUST_CHANGE},
}

# Wrong tries lock these for good: nobody may spend one on them.
SPARED = {"lockme"}


@dataclass
class Person:
    account: Account
    password: str
    right: Answer
    wrong: Answer


@dataclass
class Case:
    authenticator: Authenticator
    broken: Authenticator
    people: dict[str, Person] = field(default_factory=dict)

    def ask(self, name: str, password: str, seconds: float = SECONDS) -> Verdict:
        return self.judge(self.people[name].account, password, seconds)

    def judge(
        self, account: Account, password: str = "x", seconds: float = SECONDS
    ) -> Verdict:
        return self.authenticator.authenticate(
            account, Secret(password), Deadline.after(seconds)
        )


class AuthenticatorContract:
    def test_the_right_password_gets_the_expected_answer(self, case: Case) -> None:
        for name, person in case.people.items():
            verdict = case.ask(name, person.password)
            expect(verdict, person.right, person.account, case.authenticator)

    def test_a_wrong_password_gets_the_expected_answer(self, case: Case) -> None:
        for name, person in case.people.items():
            if name not in SPARED:
                verdict = case.ask(name, "surely wrong")
                expect(verdict, person.wrong, person.account, case.authenticator)

    def test_nearly_right_is_wrong(self, case: Case) -> None:
        person = case.people["anna"]
        for password in (
            person.password + " ",
            person.password.swapcase(),
            person.password + "\0more",
            "é" * 300,
        ):
            assert isinstance(case.ask("anna", password), Rejected)

    def test_an_empty_password_is_never_right(self, case: Case) -> None:
        for name in case.people:
            verdict = case.ask(name, "")
            assert isinstance(verdict, Rejected)
            assert verdict.reason is Reason.EMPTY_PASSWORD

    def test_an_outage_is_no_verdict(self, case: Case) -> None:
        for password in ("surely wrong", case.people["anna"].password):
            verdict = case.broken.authenticate(
                case.people["anna"].account, Secret(password), Deadline.after(SECONDS)
            )
            assert isinstance(verdict, Unavailable)
            assert verdict.user == case.people["anna"].account.canonical
            assert verdict.method == case.broken.method

    def test_who_is_gone_is_unknown(self, case: Case) -> None:
        anna = case.people["anna"]
        gone = DirectoryId("00000000-0000-4000-8000-000000000000")
        values = replace(anna.account.values, directory_id=gone)
        verdict = case.judge(replace(anna.account, values=values), anna.password)
        assert isinstance(verdict, Rejected), verdict
        assert verdict.reason is Reason.UNKNOWN

    def test_no_time_is_no_verdict(self, case: Case) -> None:
        assert isinstance(
            case.ask("anna", case.people["anna"].password, seconds=0), Unavailable
        )
        # Nobody was taken for dead because of it.
        assert isinstance(case.ask("anna", case.people["anna"].password), Accepted)

    def test_serves_several_threads(self, case: Case) -> None:
        right = case.people["anna"].password
        with ThreadPoolExecutor(4) as pool:
            tries = [right, "surely wrong"] * 6
            verdicts = list(
                pool.map(lambda password: case.ask("anna", password), tries)
            )
        assert [type(verdict) for verdict in verdicts] == [Accepted, Rejected] * 6

    def test_no_password_shows_anywhere(
        self, case: Case, caplog: pytest.LogCaptureFixture
    ) -> None:
        secret = "Tell-Nobody-17"
        caplog.set_level(0)
        verdict = case.ask("anna", secret)
        assert secret not in repr(verdict)
        assert secret not in repr(vars(case.authenticator))
        assert secret not in caplog.text

    def test_check_is_content(self, case: Case) -> None:
        findings = case.authenticator.check()
        assert findings
        assert {finding.outcome for finding in findings} == {Outcome.OK}

    def test_method_is_one_of_the_configuration(self, case: Case) -> None:
        assert case.authenticator.method in set(Method)


def expect(
    verdict: Verdict, answer: Answer, account: Account, asked: Authenticator
) -> None:
    assert verdict.user == account.canonical
    assert verdict.method == asked.method
    assert verdict.server
    if answer is Answer.ACCEPTED:
        assert isinstance(verdict, Accepted), (account.mailbox, verdict)
    else:
        assert isinstance(verdict, Rejected), (account.mailbox, verdict)
        assert verdict.reason in REASONS[answer], (account.mailbox, verdict)


def ad_people(bed: Bed, kind: str) -> dict[str, Person]:
    return people_of(bed, cast.AD_PEOPLE, kind, ad_ids(bed.dc1))


def people_of(
    bed: Bed,
    people: tuple[AdPerson, ...] | tuple[OdPerson, ...],
    kind: str,
    ids: Mapping[str, DirectoryId] = MappingProxyType({}),
) -> dict[str, Person]:
    found = {}
    for one in people:
        # A reset bed may unlock it; its reason is looked at by the login tests.
        verdicts = one.verdicts
        name = account(one).mailbox
        found[name] = Person(
            account(one, ids.get(name, "")),
            bed.password(one),
            getattr(verdicts, kind),
            getattr(verdicts, f"{kind}_wrong"),
        )
    return found


class TestMemory(AuthenticatorContract):
    @pytest.fixture
    def case(self) -> Case:
        anna, bob = account(cast.ad("anna")), account(cast.ad("disabled"))
        authenticator, broken = MemoryAuthenticator(), MemoryAuthenticator()
        broken.outage = Cause.UNREACHABLE
        authenticator.passwords = {
            anna.values.directory_id: Secret("Right-1"),
            bob.values.directory_id: Secret("Right-2"),
        }
        authenticator.refusals[bob.values.directory_id] = Reason.DISABLED
        wrong = Answer.WRONG_PASSWORD
        people = {
            "anna": Person(anna, "Right-1", Answer.ACCEPTED, wrong),
            "disabled": Person(bob, "Right-2", Answer.DISABLED, wrong),
        }
        return Case(authenticator, broken, people)

    def test_a_stranger_is_unknown(self, case: Case) -> None:
        verdict = case.judge(account(cast.ad("bob")))
        assert isinstance(verdict, Rejected)
        assert verdict.reason is Reason.UNKNOWN


class AtSamba(AuthenticatorContract):
    """What holds where a domain controller is sent the password itself."""

    def both(self, bed: Bed) -> Authenticator:
        """Ask the one domain controller, then the other."""
        raise NotImplementedError

    def test_an_unknown_name_is_rejected(self, case: Case) -> None:
        verdict = case.judge(account(AdPerson(sam="nobody", cn="Nobody")))
        assert isinstance(verdict, Rejected)
        assert verdict.reason in REASONS[Answer.UNKNOWN]

    def test_a_wrong_password_is_counted_once(self, bed: Bed, case: Case) -> None:
        before = bad_passwords(bed, "bob")
        verdict = self.both(bed).authenticate(
            account(cast.ad("bob")), Secret("surely wrong"), Deadline.after(9)
        )
        assert isinstance(verdict, Rejected)
        assert sum(bad_passwords(bed, "bob")) - sum(before) == 1


class SambaBind(AuthenticatorContract):
    server = ""

    def asking(self, bind: LdapBind) -> Authenticator:
        return bind

    @pytest.fixture
    def case(self, bed: Bed, dc1: Dc1, dc2: Dc2) -> Iterator[Case]:
        settings = ad_settings(bed, server=self.server, backup_server=())
        nowhere = ad_settings(bed, server=f"{self.server}:9", backup_server=())
        bind, broken = ldap_bind(AD_MAIL, settings), ldap_bind(AD_MAIL, nowhere)
        yield Case(self.asking(bind), self.asking(broken), ad_people(bed, "ldap"))
        bind.close()


class TestDc1(SambaBind, AtSamba):
    server = "dc1.corp.example.com"

    def both(self, bed: Bed) -> Authenticator:
        settings = ad_settings(bed, backup_server="dc2.corp.example.com")
        return ldap_bind(AD_MAIL, settings)

    def test_a_new_person_under_an_old_name_is_not_let_in(
        self, bed: Bed, case: Case, changeable_ad: Dc1
    ) -> None:
        changeable_ad.rename(cast.ad("bob"), sam="robert", upn="robert@x.example")
        namesake = AdPerson(sam="bob", cn="Another Bob")
        password = bed.password(cast.ad("anna"))
        changeable_ad.create(namesake, password)
        verdict = case.ask("bob", password)
        assert isinstance(verdict, Rejected), verdict
        assert verdict.reason is Reason.UNKNOWN

    def test_without_encryption_nothing_is_sent(self, bed: Bed, case: Case) -> None:
        bare = ldap_bind(AD_MAIL, ad_settings(bed, security="none"))
        person = case.people["anna"]
        verdict = bare.authenticate(
            person.account, Secret(person.password), Deadline.after(9)
        )
        assert isinstance(verdict, Unavailable)
        assert verdict.cause is Cause.CONFIGURATION
        assert bare.check()[0].outcome is Outcome.FAILED


@dataclass
class Stepped:
    """Asks as an event loop does, wherever that is possible."""

    bind: LdapBind
    started: int = 0

    @property
    def method(self) -> str:
        return self.bind.method

    def check(self) -> list[Finding]:
        return self.bind.check()

    def authenticate(
        self, account: Account, password: Secret, deadline: Deadline
    ) -> Verdict:
        underway = self.bind.start(account, password, deadline)
        if underway is None:
            return self.bind.authenticate(account, password, deadline)
        self.started += 1
        while underway.go_on() is Next.WAIT:
            if not select.select([underway], [], [], deadline.left())[0]:
                break
        return underway.finish()


class BySteps:
    def asking(self, bind: LdapBind) -> Authenticator:
        return Stepped(bind)

    def test_it_needs_no_thread_once_it_is_warm(self, case: Case) -> None:
        asked = case.authenticator
        assert isinstance(asked, Stepped)
        for _ in range(30):
            assert isinstance(case.ask("anna", case.people["anna"].password), Accepted)
            if asked.started == 3:
                return
        pytest.fail(f"only {asked.started} of 30 binds went by steps")


class TestDc1BySteps(BySteps, SambaBind):
    server = "dc1.corp.example.com"


class TestDc2(SambaBind):
    server = "dc2.corp.example.com"


def bad_passwords(bed: Bed, sam: str) -> list[int]:
    found = []
    for dc in (bed.dc1, bed.dc2):
        lines = dc.search(f"(sAMAccountName={sam})", "badPwdCount").splitlines()
        counts = [line for line in lines if line.startswith("badPwdCount")]
        found.append(int(counts[0].split()[1]) if counts else 0)
    return found


class AtOpenDirectory(AuthenticatorContract):
    """What holds where the account's entry is read in Open Directory."""

    def test_a_new_person_under_an_old_name_is_not_let_in(
        self, case: Case, changeable_od: Od1
    ) -> None:
        """Whoever has the name by now is not the account's person."""
        changeable_od.modify(
            f"dn: {cast.od('carla').dn}\nchangetype: modify\n"
            "replace: apple-generateduid\n"
            "apple-generateduid: 11111111-2222-3333-4444-555555555555\n\n"
        )
        verdict = case.ask("carla", case.people["carla"].password)
        assert isinstance(verdict, Rejected), verdict
        assert verdict.reason is Reason.UNKNOWN


class TestSlapd(AtOpenDirectory):
    def asking(self, bind: LdapBind) -> Authenticator:
        return bind

    @pytest.fixture
    def case(self, bed: Bed, od1: Od1) -> Iterator[Case]:
        bind = ldap_bind(OD_MAIL, od_settings(bed))
        broken = ldap_bind(OD_MAIL, od_settings(bed, server="od.example.com:9"))
        people = people_of(bed, cast.OD_PEOPLE, "ldap")
        # slapd lets her in; her authAuthority says DisabledUser.
        people["dora"].right = Answer.DISABLED
        yield Case(self.asking(bind), self.asking(broken), people)
        bind.close()

    def test_a_disabled_user_is_not_let_in(
        self, bed: Bed, case: Case, changeable_od: Od1
    ) -> None:
        """slapd does not look at authAuthority itself."""
        changeable_od.modify(
            f"dn: {cast.od('carla').dn}\nchangetype: modify\nreplace: authAuthority\n"
            "authAuthority: ;DisabledUser;;ShadowHash;\n\n"
        )
        verdict = case.ask("carla", case.people["carla"].password)
        assert isinstance(verdict, Rejected), verdict
        assert verdict.reason is Reason.DISABLED

    def test_eight_asterisks_are_no_password(
        self, bed: Bed, case: Case, changeable_od: Od1
    ) -> None:
        changeable_od.set_password(cast.od("carla").dn, "********")
        verdict = case.ask("carla", "********")
        assert isinstance(verdict, Rejected)
        assert verdict.reason is Reason.WRONG_PASSWORD


class TestSlapdBySteps(BySteps, TestSlapd):
    pass


class KerberosContract(AuthenticatorContract):
    realm: str
    keytab_of: str
    kind = DirectoryType.ACTIVE_DIRECTORY

    @pytest.fixture(autouse=True)
    def krb5_config(self, bed: Bed, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("KRB5_CONFIG", str(bed.krb5_conf))

    def authenticator(
        self, bed: Bed, look: Look | None = None, **changes: object
    ) -> KerberosAuthenticator:
        values = {
            "name": RealmName(self.realm),
            "keytab": bed.keytab(self.keytab_of),
            "kind": self.kind,
        }
        realm = Realm(**(values | changes))
        return KerberosAuthenticator(realm, look=look)

    def verdict(self, case: Case, asked: KerberosAuthenticator) -> Verdict:
        person = case.people["anna"]
        return asked.authenticate(
            person.account, Secret(person.password), Deadline.after(SECONDS)
        )

    def test_without_a_keytab_nobody_is_accepted(self, bed: Bed, case: Case) -> None:
        asked = self.authenticator(bed, keytab=None)
        verdict = self.verdict(case, asked)
        assert isinstance(verdict, Unavailable)
        assert verdict.cause is Cause.CONFIGURATION
        (finding, _) = asked.check()
        assert finding.outcome is Outcome.FAILED
        assert ("ktpass" if self.keytab_of == "corp" else "kadmin") in finding.next

    def test_without_verification_the_kdc_is_believed(
        self, bed: Bed, case: Case
    ) -> None:
        asked = self.authenticator(bed, keytab=None, verify=False)
        assert isinstance(self.verdict(case, asked), Accepted)
        assert asked.check()[0].outcome is Outcome.WARNING

    def test_another_keytab_does_not_verify(
        self, bed: Bed, case: Case, tmp_path: Path
    ) -> None:
        data = bytearray(bed.keytab(self.keytab_of).read_bytes())
        for broken in (wrong_keys(bytes(data)), b"\x05\x02", b"garbage", b""):
            path = tmp_path / "other.keytab"
            path.write_bytes(broken)
            asked = self.authenticator(
                bed, keytab=path, service="smtp/mail.example.com"
            )
            verdict = self.verdict(case, asked)
            assert isinstance(verdict, Unavailable), broken
            assert verdict.cause in {Cause.KDC_NOT_VERIFIED, Cause.CONFIGURATION}

    def test_a_missing_keytab_file(self, bed: Bed, case: Case, tmp_path: Path) -> None:
        asked = self.authenticator(bed, keytab=tmp_path / "nowhere")
        assert isinstance(self.verdict(case, asked), Unavailable)
        assert asked.check()[0].code == "keytab-unreadable"

    def test_a_service_that_the_realm_does_not_know(self, bed: Bed, case: Case) -> None:
        asked = self.authenticator(bed, service="smtp/other.example.com")
        verdict = self.verdict(case, asked)
        assert isinstance(verdict, Unavailable)
        assert verdict.cause is Cause.KDC_NOT_VERIFIED
        assert asked.check()[0].code == "keytab-other"

    def test_a_realm_that_nobody_knows(self, bed: Bed, case: Case) -> None:
        asked = self.authenticator(bed, name=RealmName("NOWHERE.EXAMPLE.NET"))
        verdict = self.verdict(case, asked)
        assert isinstance(verdict, Unavailable)
        assert verdict.cause is Cause.CONFIGURATION
        assert asked.check()[1].outcome is Outcome.FAILED

    def test_nothing_is_written_to_disk(self, bed: Bed, case: Case) -> None:
        before = set(temporary_files())
        assert isinstance(self.verdict(case, self.authenticator(bed)), Accepted)
        made = set(temporary_files()) - before
        assert not [path for path in made if path.name.startswith("krb5")]


# In a process of its own, because the clock is the whole process's.
LATER = """
import pathlib, sys
from dirbridge.authenticators.kerberos import KerberosAuthenticator, Realm
from dirbridge.model.deadline import Deadline
from dirbridge.model.secret import Secret
from testbed import cast
from tests.directories import account

keytab, password = sys.stdin.read().splitlines()
asked = KerberosAuthenticator(Realm(name=sys.argv[1], keytab=pathlib.Path(keytab)))
person = account(cast.od("anna"))
verdict = asked.authenticate(person, Secret(password), Deadline.after(9))
print(type(verdict).__name__, getattr(verdict, "cause", verdict))
"""


def temporary_files() -> list[Path]:
    return [*Path("/tmp").iterdir(), *Path("/var/tmp").iterdir()]


def wrong_keys(keytab: bytes) -> bytes:
    """The same keytab with an octet of each key changed."""
    data, at = bytearray(keytab), 2
    while at + 4 <= len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        # after the key come the long version number and, of Samba, flags
        data[at + 4 + size - 9] ^= 0xFF
        at += 4 + size
    return bytes(data)


class TestSambaKdc(KerberosContract):
    realm = cast.AD_REALM
    keytab_of = "corp"

    @pytest.fixture
    def case(self, bed: Bed, dc1: Dc1, dc2: Dc2) -> Iterator[Case]:
        broken = self.authenticator(bed, name=RealmName("NOWHERE.EXAMPLE.NET"))
        connector = ad_connector(bed)
        asked = self.authenticator(bed, live_look(connector))
        # What the KDC blurs stands in the entry, and is told as a bind tells it.
        yield Case(asked, broken, ad_people(bed, "ldap"))
        connector.close()

    def test_a_frozen_dc_is_passed_by(
        self,
        bed: Bed,
        case: Case,
        dc1: Dc1,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        kdcs = [HostPort(host=each.host) for each in (dc1, bed.dc2)]
        relay = KdcRelay(self.realm, kdcs)
        text = bed.krb5_conf.read_text()
        text = text.replace("    kdc = dc2.corp.example.com\n", "")
        text = text.replace("kdc = dc1.corp.example.com", f"kdc = {relay.start()}")
        (tmp_path / "krb5.conf").write_text(text)
        monkeypatch.setenv("KRB5_CONFIG", str(tmp_path / "krb5.conf"))
        assert isinstance(self.verdict(case, self.authenticator(bed)), Accepted)
        assert relay.states()[1].up is None
        dc1.freeze()
        start = time.monotonic()
        assert isinstance(self.verdict(case, self.authenticator(bed)), Accepted)
        assert time.monotonic() - start < 6
        start = time.monotonic()
        assert isinstance(self.verdict(case, self.authenticator(bed)), Accepted)
        assert time.monotonic() - start < 3  # DC 1 rests
        bed.dc2.stop()
        dc1.stop()
        verdict = self.verdict(case, self.authenticator(bed))
        assert isinstance(verdict, Unavailable)
        assert verdict.cause is Cause.UNREACHABLE
        relay.close()


class TestSecondSambaKdc(AuthenticatorContract):
    """DC 2 alone: its KDC, and its LDAP server for the look."""

    @pytest.fixture
    def case(
        self,
        bed: Bed,
        dc1: Dc1,
        dc2: Dc2,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> Iterator[Case]:
        text = bed.krb5_conf.read_text()
        text = text.replace("    kdc = dc1.corp.example.com\n", "")
        (tmp_path / "krb5.conf").write_text(text)
        monkeypatch.setenv("KRB5_CONFIG", str(tmp_path / "krb5.conf"))
        connector = ad_connector(bed, server=dc2.host, backup_server=())
        known = Realm(name=RealmName(cast.AD_REALM), keytab=bed.keytab("corp"))
        unknown = replace(known, name=RealmName("NOWHERE.EXAMPLE.NET"))
        look = live_look(connector)
        yield Case(
            KerberosAuthenticator(known, look=look),
            KerberosAuthenticator(unknown, look=look),
            ad_people(bed, "ldap"),
        )
        connector.close()


class TestMitKdc(KerberosContract):
    realm = cast.OD_REALM
    keytab_of = "od"
    kind = DirectoryType.OPEN_DIRECTORY_KERBEROS

    @pytest.fixture
    def case(self, bed: Bed, kdc: Kdc, od1: Od1) -> Iterator[Case]:
        broken = self.authenticator(bed, name=RealmName("NOWHERE.EXAMPLE.NET"))
        people = people_of(bed, cast.OD_PEOPLE, "kerberos")
        # The KDC lets her in; her authAuthority says DisabledUser.
        people["dora"].right = Answer.DISABLED
        connector = od_connector(bed)
        yield Case(self.authenticator(bed, live_look(connector)), broken, people)
        connector.close()

    def test_an_unknown_name_is_rejected(self, bed: Bed, case: Case) -> None:
        nobody = account(OdPerson(uids=("nobody",), cn="Nobody", uid_number=1))
        verdict = case.judge(nobody)
        assert isinstance(verdict, Rejected)
        assert verdict.reason is Reason.UNKNOWN

    def test_a_clock_ten_minutes_off_is_told_as_that(
        self, bed: Bed, case: Case, kdc: Kdc
    ) -> None:
        person = case.people["anna"]
        verdict = run(
            ["faketime", "-f", "+10m", sys.executable, "-c", LATER, self.realm],
            stdin=f"{bed.keytab('od')}\n{person.password}\n",
            env={"PYTHONPATH": str(Path(__file__).parents[2])},
        )
        assert verdict.strip() == "Unavailable clock"

    def test_a_stopped_kdc_is_an_outage(self, bed: Bed, case: Case, kdc: Kdc) -> None:
        kdc.stop()
        verdict = self.verdict(case, self.authenticator(bed))
        assert isinstance(verdict, Unavailable)
        assert verdict.cause is Cause.UNREACHABLE

    def test_a_frozen_kdc_holds_nobody(self, bed: Bed, case: Case, kdc: Kdc) -> None:
        kdc.freeze()
        person, asked = case.people["anna"], self.authenticator(bed)
        start = time.monotonic()
        verdict = asked.authenticate(
            person.account, Secret(person.password), Deadline.after(2)
        )
        assert time.monotonic() - start < 2.5
        assert isinstance(verdict, Unavailable)
        assert verdict.cause is Cause.TIMEOUT
        assert threading.active_count() < 50

    def test_a_principal_of_another_realm_is_not_asked(
        self, bed: Bed, case: Case
    ) -> None:
        person = case.people["anna"].account
        values = replace(person.values, principal="anna@LKDC:SHA1.00FF")
        verdict = case.judge(replace(person, values=values))
        assert isinstance(verdict, Unavailable)
        assert verdict.cause is Cause.CONFIGURATION

    def test_names_with_separators_are_quoted(self, bed: Bed, case: Case) -> None:
        tricky = account(OdPerson(uids=("a@b/c\\d",), cn="Tricky", uid_number=1))
        verdict = case.judge(tricky)
        assert isinstance(verdict, Rejected)
        assert verdict.reason is Reason.UNKNOWN


def test_the_cast_has_every_condition() -> None:
    conditions = {person.condition for person in (*cast.AD_PEOPLE, *cast.OD_PEOPLE)}
    assert conditions == set(Condition) - {Condition.NO_PASSWORD}
