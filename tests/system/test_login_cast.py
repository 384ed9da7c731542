"""`login` and `explain` agree about everybody, whoever is called what.

Asked about are all people of the cast, and people whose names, states and passwords
were drawn for this run, so that nothing of them can be known beforehand.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from random import Random

import pytest

from dirbridge.model.login import Reason
from dirbridge.model.sentences import REASONS
from testbed import cast
from testbed.bed import Bed
from testbed.cast import AdPerson, Answer, Condition, OdPerson
from testbed.kdc import Kdc
from testbed.samba import Dc1
from testbed.slapd import Od1
from tests.contract.test_authenticator import REASONS as MEANT
from tests.system.bridge import AD, OD, Done, Json, Site, use_kerberos

AD_STATES = (
    *(Condition.NORMAL, Condition.DISABLED, Condition.EXPIRED),
    *(Condition.MUST_CHANGE, Condition.LOGON_HOURS, Condition.WORKSTATION),
)
OD_STATES = (Condition.NORMAL, Condition.DISABLED_USER, Condition.KDC_EXPIRED)
FLAGS = {Condition.KDC_EXPIRED: ("-expire", "2020-01-01")}
SYLLABLES = ("an", "zö", "li", "ğa", "o'", "mé", "ŝi", "ren", "ko", "-bu", "ü", "tar")


@dataclass(frozen=True)
class Someone:
    """Who is asked about, and what a directory says to the right password."""

    name: str
    answer: Answer
    condition: Condition
    password: str = field(repr=False)


def drawn(dice: Random) -> str:
    """A short name that nobody had before."""
    return "x" + "".join(dice.sample(SYLLABLES, 3)) + secrets.token_hex(2)


def newcomers_of_ad(bed: Bed, dice: Random) -> Iterator[Someone]:
    for number, condition in enumerate(AD_STATES):
        name, password = drawn(dice), f"{secrets.token_urlsafe(12)}-aB1"
        address = f"drawn{number}-{secrets.token_hex(3)}@{AD}"
        person = AdPerson(
            sam=name,
            cn=f"Drawn, {name}",
            ou=cast.AD_EDGE,
            surname=name,
            upn=f"{name}@{AD}",
            mail=address,
            condition=condition,
        )
        bed.dc1.create(person, password)
        yield Someone(f"{name}@{AD}", person.verdicts.ldap, condition, password)


def newcomers_of_od(bed: Bed, dice: Random) -> Iterator[Someone]:
    for number, condition in enumerate(OD_STATES):
        name, password = f"y{secrets.token_hex(4)}", secrets.token_urlsafe(12)
        person = OdPerson(
            uids=(name,),
            cn=f"{drawn(dice)} {name}",
            uid_number=5000 + number,
            mails=(f"{name}@{OD}",),
            condition=condition,
        )
        bed.od1.create(person, password)
        bed.kdc.add_principal(name, password, *FLAGS.get(condition, ()))
        yield Someone(f"{name}@{OD}", person.verdicts.kerberos, condition, password)


def everybody(bed: Bed) -> Iterator[Someone]:
    for person in cast.AD_PEOPLE:
        name, answer = f"{person.sam}@{AD}", person.verdicts.ldap
        yield Someone(name, answer, person.condition, bed.password(person))
    for one in cast.OD_PEOPLE:
        name, answer = f"{one.uid}@{OD}", one.verdicts.kerberos
        yield Someone(name, answer, one.condition, bed.password(one))


@pytest.fixture
def people(
    site: Site, bed: Bed, kdc: Kdc, changeable_ad: Dc1, changeable_od: Od1
) -> Iterator[list[Someone]]:
    """The cast and the newcomers, all synced."""
    use_kerberos(site, OD)
    dice = Random(secrets.randbits(64))
    new = [*newcomers_of_ad(bed, dice), *newcomers_of_od(bed, dice)]
    assert site.sync().code in {0, 1}
    yield [*everybody(bed), *new]
    for one in new:
        if one.name.endswith(OD):
            kdc.delete_principal(one.name.partition("@")[0])


def test_login_and_explain_agree(site: Site, people: list[Someone]) -> None:
    known = {**site.accounts(AD), **site.accounts(OD)}
    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(lambda one: ask_both(site, one), people))
    assert [one.name for one in people if one.name not in known] != people
    for one, (login, explained) in zip(people, answers, strict=True):
        agree(one, login, explained)
        if one.name in known:
            as_the_directory_says(one, login, known[one.name])
    reasons = {login.data["reason"] for login, _ in answers}
    assert len(reasons) >= 9, reasons


def ask_both(site: Site, one: Someone) -> tuple[Done, Done]:
    """Log in with the right password, then ask for the reasons."""
    stdin = f"{one.password}\n"
    return (
        site.run("login", one.name, stdin=stdin, written=True),
        site.run("explain", one.name, written=True),
    )


def agree(one: Someone, login: Done, explained: Done) -> None:
    """What `login` said stands in `explain`, among the steps that found fault."""
    steps: list[Json] = explained.data["steps"]
    faults = [step for step in steps if step["outcome"] in {"failed", "warning"}]
    if login.code == 0:
        assert explained.data["outcome"] in {"ok", "warning"}, (one, explained.out)
        return
    assert login.code == 1, (one, login.out)
    reason = Reason(login.data["reason"])
    if only_the_kdc_knows(one):
        # Of what LDAP does not show, the attempt itself is the only sign.
        faults = [step for step in steps if step["name"] == "attempts"]
    elif reason is not Reason.WORKSTATION:  # of which `explain` cannot be sure
        assert explained.code == 1, (one, explained.out)
    assert any(names(step, reason) for step in faults), (one, reason, explained.out)


def names(step: Json, reason: Reason) -> bool:
    """Whether a step tells this reason, in its sentence or by its word."""
    told = [step["found"], *(word for fact in step["facts"] for word in fact)]
    words = (REASONS[reason].text, str(reason))
    return any(word in text for text in told for word in words)


def only_the_kdc_knows(one: Someone) -> bool:
    return one.condition in {
        *(Condition.KDC_DISABLED, Condition.KDC_EXPIRED, Condition.KDC_MUST_CHANGE),
    }


def as_the_directory_says(one: Someone, login: Done, account: Json) -> None:
    """An account that is active here is judged by what its directory answers."""
    if account["state"] != "active":
        assert login.data["reason"] == account["state"], (one, login.out)
    elif one.answer is Answer.ACCEPTED:
        assert login.code == 0, (one, login.out)
    else:
        assert Reason(login.data["reason"]) in MEANT[one.answer], (one, login.out)
