"""People whose names and passwords were drawn for this run, in every state.

The cast's own names stand in many tests. Nobody can know these ones beforehand, so
what is right for them hangs on no name.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from random import Random

import pytest

from dirbridge.authenticators.base import Authenticator
from dirbridge.authenticators.kerberos import KerberosAuthenticator, Realm
from dirbridge.authenticators.ldap_bind import ldap_bind
from dirbridge.authenticators.live import live_look
from dirbridge.authenticators.nt_domain import nt_domain
from dirbridge.authenticators.password_server import password_server
from dirbridge.config.settings import DirectoryType, LoginSettings
from dirbridge.connectors.open_directory_records import password_servers_at
from dirbridge.model.deadline import Deadline
from dirbridge.model.names import RealmName
from dirbridge.model.secret import Secret
from testbed import apple, cast, ldif
from testbed.bed import Bed
from testbed.cast import AdPerson, Answer, Condition, OdPerson
from testbed.kdc import Kdc
from testbed.password_server import User, of_bed
from testbed.samba import Dc1, Dc2
from testbed.slapd import Od1
from tests.contract.test_authenticator import Person, expect
from tests.contract.test_password_server_cast import ANSWERS
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
STRICT = f"CN=Strict Lockout,{cast.AD_GROUPS}"
THRESHOLD = 5
# Only a stopped domain controller can be given an old password.
AD_STATES = set(cast.AD_VERDICTS) - {Condition.PASSWORD_EXPIRED}
OD_STATES = set(cast.OD_VERDICTS)
KDC_FLAGS = {
    Condition.KDC_DISABLED: "-allow_tix",
    Condition.KDC_EXPIRED: "-expire 2020-01-01",
    Condition.KDC_MUST_CHANGE: "+needchange",
}
POLICY = {
    Condition.KDC_DISABLED: "-AUTHERR -2",
    Condition.KDC_EXPIRED: "-AUTHERR -6",
    Condition.KDC_MUST_CHANGE: "-AUTHERR -7",
}
LETTERS = "bdfglmnprstväöüéğŝ'"

Newcomers = dict[Condition, tuple[AdPerson | OdPerson, str]]
"""One for each state, with the right password."""


def drawn(dice: Random, letters: str) -> str:
    """A short name that nobody had before."""
    return "x" + "".join(dice.sample(letters, 4)) + secrets.token_hex(3)


@pytest.fixture(scope="module")
def in_ad(bed: Bed, dc1: Dc1, dc2: Dc2) -> Iterator[Newcomers]:
    dice, new = Random(secrets.randbits(64)), Newcomers()
    for condition in AD_STATES:
        name, password = drawn(dice, LETTERS), f"{secrets.token_urlsafe(9)}-aB1"
        person = AdPerson(
            sam=name, cn=name, ou=cast.AD_EDGE, upn=f"{name}@x", condition=condition
        )
        dc1.create(person, password)
        new[condition] = person, password
    lock(bed, new[Condition.LOCKED][0])
    bed.wait_replicated()
    yield new
    bed.reset("dc1")


def lock(bed: Bed, person: AdPerson | OdPerson) -> None:
    """Try wrong passwords until the directory lets nobody in any more."""
    bed.dc1.modify(ldif.modify(STRICT, [("member", person.dn)], how="add"))
    bind, own = at_dc("dc1.corp.example.com")(bed), Secret("surely wrong")
    for _ in range(THRESHOLD):
        bind.authenticate(account(person), own, Deadline.after(SECONDS))


@pytest.fixture(scope="module")
def in_od(bed: Bed, od1: Od1, kdc: Kdc) -> Iterator[Newcomers]:
    dice, new = Random(secrets.randbits(64)), Newcomers()
    for number, condition in enumerate(OD_STATES):
        name, password = drawn(dice, "bdfglmnprstv"), secrets.token_urlsafe(9)
        person = OdPerson((name,), name, 6000 + number, condition=condition)
        od1.create(person, password)
        kdc.add_principal(name, password, *KDC_FLAGS.get(condition, "").split())
        new[condition] = person, password
    yield new
    for person, _ in new.values():
        kdc.delete_principal(account(person).mailbox)
    bed.reset("od1")


def at_dc(server: str) -> Callable[[Bed], Authenticator]:
    def made(bed: Bed) -> Authenticator:
        return ldap_bind(AD_MAIL, ad_settings(bed, server=server, backup_server=()))

    return made


def by_ntlm(bed: Bed) -> Authenticator:
    settings = ad_settings(bed, security="sealed", backup_server=())
    return nt_domain(AD_MAIL, settings, LoginSettings(), lambda: cast.AD_NT_DOMAIN)


def by_samba_kdc(bed: Bed) -> Authenticator:
    realm = Realm(name=RealmName(cast.AD_REALM), keytab=bed.keytab("corp"))
    return KerberosAuthenticator(realm, look=live_look(ad_connector(bed)))


def at_slapd(bed: Bed) -> Authenticator:
    return ldap_bind(OD_MAIL, od_settings(bed))


def by_mit_kdc(bed: Bed) -> Authenticator:
    kind = DirectoryType.OPEN_DIRECTORY_KERBEROS
    realm = Realm(name=RealmName(cast.OD_REALM), keytab=bed.keytab("od"), kind=kind)
    return KerberosAuthenticator(realm, look=live_look(od_connector(bed)))


def by_password_server(bed: Bed) -> Authenticator:
    connector = od_connector(bed)
    return password_server(
        OD_MAIL,
        od_settings(bed),
        LoginSettings(),
        live_look(connector),
        partial(connector.ask, password_servers_at),
        connector.failover,
    )


BY_AD = {
    "dc1": at_dc("dc1.corp.example.com"),
    "dc2": at_dc("dc2.corp.example.com"),
    "ntlm": by_ntlm,
    "kdc": by_samba_kdc,
}


@pytest.mark.parametrize("made", BY_AD.values(), ids=BY_AD)
def test_in_active_directory(
    made: Callable[[Bed], Authenticator],
    bed: Bed,
    in_ad: Newcomers,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("KRB5_CONFIG", str(bed.krb5_conf))
    ids = ad_ids(bed.dc1)
    judge(
        made(bed),
        {
            condition: Person(
                account(person, ids[account(person).mailbox]),
                password,
                person.verdicts.ldap,
                person.verdicts.ldap_wrong,
            )
            for condition, (person, password) in in_ad.items()
        },
    )


@pytest.mark.parametrize(
    ("made", "kind"), [(at_slapd, "ldap"), (by_mit_kdc, "kerberos")]
)
def test_in_open_directory(
    made: Callable[[Bed], Authenticator],
    kind: str,
    bed: Bed,
    in_od: Newcomers,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("KRB5_CONFIG", str(bed.krb5_conf))
    people = {
        condition: Person(
            account(person),
            password,
            getattr(person.verdicts, kind),
            getattr(person.verdicts, f"{kind}_wrong"),
        )
        for condition, (person, password) in in_od.items()
    }
    # Neither server looks at authAuthority.
    tagged = people[Condition.DISABLED_USER]
    people[Condition.DISABLED_USER] = replace(tagged, right=Answer.DISABLED)
    judge(made(bed), people)


def test_at_the_password_server(bed: Bed, in_od: Newcomers) -> None:
    usual = Answer.ACCEPTED, Answer.WRONG_PASSWORD
    people = {
        condition: Person(account(person), password, *ANSWERS.get(condition, usual))
        for condition, (person, password) in in_od.items()
    }
    with of_bed(bed.directory) as server:
        for condition, person in people.items():
            slot = apple.slot(person.account.mailbox)
            server.users[slot] = User(
                person.password, at_auth2=POLICY.get(condition, "")
            )
        judge(by_password_server(bed), people)


def judge(asked: Authenticator, people: dict[Condition, Person]) -> None:
    """Each state is told, by the right password and by a wrong one."""
    for person in people.values():
        for password, answer in (
            (person.password, person.right),
            (secrets.token_urlsafe(9), person.wrong),
        ):
            deadline = Deadline.after(SECONDS)
            verdict = asked.authenticate(person.account, Secret(password), deadline)
            expect(verdict, answer, person.account, asked)
