"""Whom a KDC is asked for, and whose a ticket is."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dirbridge.authenticators.principals import Asked, Ticket, is_for, principal_of
from dirbridge.authenticators.vetoes import Vetoes
from dirbridge.directory import sid
from dirbridge.model.account import Account
from dirbridge.model.entry import Entry
from dirbridge.model.login import Reason
from dirbridge.model.names import DirectoryId
from testbed import cast
from tests.directories import account

REALM = "CORP.EXAMPLE.COM"


def named(*names: str, upn: str | None = None, principal: str | None = None) -> Account:
    made = account(cast.ad("anna"))
    values = replace(made.values, login_names=names, upn=upn, principal=principal)
    return replace(made, values=values)


@pytest.mark.parametrize(
    ("who", "asked"),
    [
        (named("anna", upn="anna@foreign.example"), Asked(f"anna@{REALM}")),
        (named("a/b\\c"), Asked(f"a\\/b\\\\c@{REALM}")),
        (named("anna@x.example"), Asked(f"anna@x.example@{REALM}", enterprise=True)),
        (
            named(upn="anna@x.example"),
            Asked(f"anna@x.example@{REALM}", enterprise=True),
        ),
        (named(upn="a\\b@x"), Asked(f"a\\\\b@x@{REALM}", enterprise=True)),
        (
            named("anna", principal="ann@corp.example.com"),
            Asked("ann@corp.example.com"),
        ),
        (named("anna", principal="anna@LKDC:SHA1.00FF"), None),
        (named(), None),
    ],
)
def test_whom_active_directory_is_asked_for(who: Account, asked: Asked | None) -> None:
    assert principal_of(who, REALM, lookup=True) == asked


@pytest.mark.parametrize(
    ("who", "asked"),
    [
        (named("a@b"), Asked(f"a\\@b@{REALM}")),
        (named("anna", upn="x@y"), Asked(f"anna@{REALM}")),
        (named(upn="anna@x.example"), None),
    ],
)
def test_whom_another_kdc_is_asked_for(who: Account, asked: Asked | None) -> None:
    assert principal_of(who, REALM, lookup=False) == asked


OWN, OTHER = (sid.encode(f"S-1-5-21-1-2-3-{rid}") for rid in (1103, 1104))


def entry(**attributes: bytes) -> Entry:
    values = {name.lower(): (value,) for name, value in attributes.items()}
    return Entry(DirectoryId("1"), "cn=anna", values)


@pytest.mark.parametrize(
    ("ticket", "found", "same"),
    [
        # The SID decides where both have one, whatever the names.
        (Ticket("x@Y", OWN), entry(objectSid=OWN, sAMAccountName=b"anna"), True),
        (Ticket(f"anna@{REALM}", OTHER), entry(objectSid=OWN), False),
        (Ticket(f"Anna@{REALM}"), entry(objectSid=OWN, sAMAccountName=b"anna"), True),
        (Ticket(f"anna@{REALM}"), entry(sAMAccountName=b"robert"), False),
        (Ticket(f"anna@{REALM}"), entry(uid=b"anna"), True),
        (Ticket(f"anna\\@x.org@{REALM}"), entry(userPrincipalName=b"anna@x.org"), True),
        (
            Ticket(f"anna@{REALM}"),
            entry(authAuthority=b"1.0;Kerberosv5;0x1;anna@CORP.EXAMPLE.COM;CORP;"),
            True,
        ),
        (
            Ticket(f"anna@{REALM}"),
            entry(krbPrincipalName=b"carla@CORP.EXAMPLE.COM"),
            False,
        ),
        (Ticket(f"anna@{REALM}", OWN), entry(cn=b"Anna"), None),
    ],
)
def test_whose_a_ticket_is(ticket: Ticket, found: Entry, same: bool | None) -> None:
    assert is_for(ticket, found, REALM) is same


def test_vetoes_are_kept_until_the_entry_says_otherwise_and_not_without_end() -> None:
    vetoes, one, two = Vetoes(limit=1), DirectoryId("1"), DirectoryId("2")
    vetoes.note(one, Reason.WORKSTATION)
    assert vetoes.of(one) is Reason.WORKSTATION
    vetoes.note(one, None)
    assert vetoes.of(one) is None
    vetoes.note(one, Reason.WORKSTATION)
    vetoes.note(two, Reason.DISABLED)
    assert (vetoes.of(one), vetoes.of(two)) == (None, Reason.DISABLED)
