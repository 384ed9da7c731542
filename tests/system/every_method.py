"""One site whose people log in by every method there is, side by side."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field

from testbed.bed import Bed
from tests.system.bridge import AD, OD, Site, use_kerberos


@dataclass(frozen=True)
class Person:
    """Somebody who logs in by one method.

    Attributes:
        name: As typed.
        method: What the verdict of an acceptance names.
        password: The right one.
        needs: The parts of the bed without which nobody can tell.
    """

    name: str
    method: str
    password: str = field(repr=False)
    needs: frozenset[str] = frozenset()


AD_METHODS = {"bob": "ldap-bind", "anna": "kerberos", "emoji": "nt-domain"}
OD_METHODS = {
    "fiona": "ldap-bind",
    "anna": "kerberos",
    "siobhan": "password-server",
    "maximilian": "local",
}
NEEDS = {
    (OD, "kerberos"): {"kdc"},
    (OD, "password-server"): {"directory", "password-server"},
    (OD, "local"): set(),
}
LOCAL, PHONE = f"postmaster@{AD}", f"o'brien@{AD}"


def with_every_method(site: Site, bed: Bed) -> tuple[Person, ...]:
    """Let people of a synced site log in by all methods; their passwords are new.

    Those of the directories are as new as the bed is. Gives everybody in it.
    """
    for domain in (AD, OD):
        use_kerberos(site, domain)
    people = [_switched(site, bed, AD, *one) for one in AD_METHODS.items()]
    people += [_switched(site, bed, OD, *one) for one in OD_METHODS.items()]
    password = secrets.token_urlsafe(12)
    done = site.run("accounts", "add", "--admin", LOCAL, stdin=f"{password}\n")
    assert done.code == 0, done.out + done.err
    people.append(Person(LOCAL, "local", password))
    words = ("accounts", "app-password", "add", PHONE, "--label", "phone")
    phone = str(site.run(*words).data["password"])
    people.append(Person(PHONE, "app-password", phone))
    return tuple(people)


def _switched(site: Site, bed: Bed, domain: str, name: str, method: str) -> Person:
    where = "ad" if domain == AD else "od"
    password = bed.password(name, where)
    if method == "local":
        password = secrets.token_urlsafe(12)
    account = f"{name}@{domain}"
    words = ("accounts", "switch", account, "--method", method)
    done = site.run(*words, stdin=f"{password}\n")
    assert done.code == 0, done.out + done.err
    needs = NEEDS.get((domain, method), {"directory"})
    return Person(account, method, password, frozenset(needs))
