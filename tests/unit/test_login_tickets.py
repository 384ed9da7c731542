"""Whose ticket it is, and whether that account may log in, on memory parts."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

import pytest

from dirbridge.authenticators.live import Standing
from dirbridge.errors import StoreError
from dirbridge.login.domains import MailDomain, Resolver
from dirbridge.login.log_line import log_line
from dirbridge.login.service import LoginService
from dirbridge.login.tickets import TicketJudge
from dirbridge.model.account import Account, AccountState, AccountValues, Origin
from dirbridge.model.deadline import Deadline
from dirbridge.model.entry import Entry
from dirbridge.model.login import (
    Accepted,
    Attempt,
    Cause,
    Reason,
    Rejected,
    TicketRequest,
    Unavailable,
    Verdict,
)
from dirbridge.model.names import Address, DirectoryId, DomainName, RealmName, fold
from dirbridge.store.base import NameKind

COM, ORG = DomainName("company.com"), DomainName("design.org")
CORP = RealmName("CORP.COMPANY.COM")
ELSEWHERE = RealmName("ELSEWHERE.EXAMPLE")
NOW = datetime(2026, 3, 1, tzinfo=UTC)
SID = b"\x01\x05anna"


def person(
    number: int, login: str, domain: DomainName = COM, **more: object
) -> Account:
    ours = {k: more.pop(k) for k in ("state", "origin", "source") if k in more}
    values = {"login_names": (login,), "primary_address": Address(f"{login}@{domain}")}
    return Account(
        number=number,
        domain=domain,
        mailbox=login,
        origin=ours.pop("origin", Origin.MAPPED),
        state_since=NOW,
        values=AccountValues(
            directory_id=DirectoryId(f"{domain}-{login}"),
            **(values | more),
        ),
        **ours,
    )


@dataclass
class Names:
    """Accounts by their names, as a store looks them up."""

    accounts: list[Account]
    away: bool = False

    def named(
        self, domain: DomainName, kind: NameKind, name: str
    ) -> tuple[Account, ...]:
        if self.away:
            raise StoreError("locked", "store")
        of = {
            NameKind.LOGIN: lambda one: one.values.login_names,
            NameKind.UPN: lambda one: (one.values.upn or "",),
            NameKind.PRIMARY: lambda one: (one.values.primary_address,),
            NameKind.ALIAS: lambda one: one.values.aliases,
        }[kind]
        return tuple(
            one
            for one in self.accounts
            if one.domain == domain and fold(name) in map(fold, of(one))
        )


@dataclass
class House:
    """A judge over memory; what the directory says is set by a test."""

    accounts: list[Account]
    says: Standing | Reason | Cause | None = None
    refreshes: Cause | None = None
    by_directory: bool | None = True
    comes: list[Account] = field(default_factory=list)
    refreshed: list[tuple[DomainName, ...]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.names = Names(self.accounts)
        domains = (MailDomain(COM, primary=True), MailDomain(ORG))
        self.judge = TicketJudge(
            places={CORP: ((COM, "directory"), (ORG, "directory"))},
            resolver=Resolver(domains, self.names),
            look=self.look,
            by_directory=lambda _account: self.by_directory,
            refresh=self.refresh,
        )

    def look(self, account: Account, _: Deadline) -> Standing | Reason | Cause:
        return entry(account) if self.says is None else self.says

    def refresh(self, domains: Collection[DomainName], _: Deadline) -> Cause | None:
        self.refreshed.append(tuple(sorted(domains)))
        self.accounts += self.comes
        return self.refreshes

    def ask(self, principal: str = f"anna@{CORP}", **more: object) -> Verdict:
        request = TicketRequest(principal, **more)
        return self.judge(request, Deadline.after(9))


def entry(account: Account, *reasons: Reason, sid: bytes = SID) -> Standing:
    name = account.values.login_names[0].encode()
    attributes = {"samaccountname": (name,), "objectsid": (sid,)}
    values = account.values
    return Standing(Entry(values.directory_id, values.dn, attributes), reasons)


ANNA = person(1, "anna", upn="anna.smith@company.com")


@pytest.fixture
def house() -> House:
    return House([ANNA, person(2, "bob")])


def test_the_ticket_of_an_account_lets_it_in(house: House) -> None:
    expected = Accepted("anna@company.com", "ticket", CORP)
    assert house.ask(sid=SID) == expected
    assert house.ask() == expected
    assert house.ask(f"ANNA@{CORP}") == expected


def test_no_ticket_is_no_login(house: House) -> None:
    bad = house.ask("", doubt=Reason.BAD_TICKET, detail="old")
    assert bad == Rejected(Reason.BAD_TICKET, method="ticket", detail="old")
    broken = house.ask("", doubt=Cause.CONFIGURATION, detail="no keytab")
    assert isinstance(broken, Unavailable)
    assert broken.cause is Cause.CONFIGURATION


@pytest.mark.parametrize(
    "principal",
    [
        f"nobody@{CORP}",
        f"anna@{ELSEWHERE}",
        "anna",
        "",
        f"anna/admin@{CORP}",
        f"@{CORP}",
    ],
)
def test_other_principals_are_unknown(house: House, principal: str) -> None:
    verdict = house.ask(principal)
    assert isinstance(verdict, Rejected)
    assert verdict.reason is Reason.UNKNOWN


def test_a_principal_by_upn(house: House) -> None:
    by_upn = person(3, "x300", upn="carla@corp.company.com")
    enterprise = person(4, "x400", upn="dora@elsewhere.example")
    house.accounts += [by_upn, enterprise]
    assert house.ask(f"carla@{CORP}").user == by_upn.canonical
    assert house.ask(f"dora\\@elsewhere.example@{CORP}").user == enterprise.canonical


def test_local_accounts_and_other_directories_have_no_tickets(house: House) -> None:
    house.accounts += [
        person(3, "local", origin=Origin.LOCAL),
        person(4, "branch", source="branch"),
    ]
    for name in ("local", "branch"):
        verdict = house.ask(f"{name}@{CORP}")
        assert isinstance(verdict, Rejected)
        assert verdict.reason is Reason.UNKNOWN


def test_one_name_of_two_accounts_is_ambiguous(house: House) -> None:
    house.accounts.append(person(3, "anna", ORG))
    verdict = house.ask()
    assert isinstance(verdict, Rejected)
    assert verdict.reason is Reason.AMBIGUOUS


def test_somebody_new_is_looked_for_in_the_directory(house: House) -> None:
    house.comes.append(person(3, "carla"))
    assert isinstance(house.ask(f"carla@{CORP}"), Accepted)
    assert house.refreshed == [(COM, ORG)]
    house.refreshes = Cause.UNREACHABLE
    verdict = house.ask(f"dora@{CORP}")
    assert isinstance(verdict, Unavailable)
    assert verdict.cause is Cause.UNREACHABLE


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        (AccountState.DISABLED, Reason.DISABLED),
        (AccountState.DEACTIVATED, Reason.DEACTIVATED),
        (AccountState.REMOVED, Reason.REMOVED),
    ],
)
def test_what_the_store_knows_bars(state: AccountState, reason: Reason) -> None:
    house = House([replace(ANNA, state=state)])
    verdict = house.ask()
    assert isinstance(verdict, Rejected)
    assert (verdict.reason, verdict.user) == (reason, "anna@company.com")


@pytest.mark.parametrize(
    "reason",
    [Reason.DISABLED, Reason.EXPIRED, Reason.LOCKED, Reason.LOGON_HOURS],
)
def test_what_the_entry_says_now_bars(house: House, reason: Reason) -> None:
    house.says = entry(ANNA, Reason.SMARTCARD, reason)
    verdict = house.ask()
    assert isinstance(verdict, Rejected)
    assert verdict.reason is reason
    # It is remembered for when the directory cannot be asked.
    house.says = Cause.UNREACHABLE
    assert isinstance(house.ask(), Unavailable)
    house.says = entry(ANNA, Reason.SMARTCARD)
    assert isinstance(house.ask(), Accepted)


def test_a_lock_of_a_plain_directory_may_be_stale(house: House) -> None:
    house.says = entry(ANNA, Reason.LOCKED)
    house.judge = replace(house.judge, stale_locks=((COM, "directory"),))
    assert isinstance(house.ask(), Accepted)


def test_without_the_directory_the_last_sync_counts(house: House) -> None:
    passing = {Cause.TIMEOUT, Cause.UNREACHABLE, Cause.BUSY}
    for cause in Cause:
        house.says = cause
        expected = Accepted if cause in passing else Unavailable
        assert isinstance(house.ask(), expected)


def test_a_ticket_with_anothers_sid_is_refused_without_the_directory(
    house: House,
) -> None:
    house.says = Cause.UNREACHABLE
    assert isinstance(house.ask(sid=SID), Accepted)
    house.says = entry(ANNA)
    assert isinstance(house.ask(sid=SID), Accepted)
    for cause in (Cause.UNREACHABLE, Cause.CONFIGURATION):
        house.says = cause
        verdict = house.ask(sid=b"another's")
        assert isinstance(verdict, Rejected)
        assert verdict.reason is Reason.UNKNOWN
    house.says = Cause.UNREACHABLE
    assert isinstance(house.ask(sid=SID), Accepted)
    assert isinstance(house.ask(), Accepted)


def test_an_entry_that_is_gone_or_another_lets_nobody_in(house: House) -> None:
    for says in (Reason.UNKNOWN, entry(ANNA, sid=b"another's")):
        house.says = says
        verdict = house.ask(sid=SID)
        assert isinstance(verdict, Rejected)
        assert verdict.reason is Reason.UNKNOWN
    house.says = entry(person(1, "renamed"), sid=b"another's")
    assert isinstance(house.ask(), Rejected)


@pytest.mark.parametrize(
    "own", ["", "anna", "ANNA@company.com", "anna.smith@company.com", f"anna@{CORP}"]
)
def test_one_may_name_oneself(house: House, own: str) -> None:
    assert isinstance(house.ask(identity=own), Accepted)


@pytest.mark.parametrize(
    "other", ["bob", "bob@company.com", "anna@design.org", " ", "\0"]
)
def test_nobody_acts_for_another(house: House, other: str) -> None:
    verdict = house.ask(identity=other)
    assert isinstance(verdict, Rejected)
    assert verdict.reason is Reason.OTHER_IDENTITY


def test_who_was_switched_away_from_the_directory_needs_the_password(
    house: House,
) -> None:
    house.by_directory = False
    assert isinstance(house.ask(), Rejected)
    house.by_directory = None
    verdict = house.ask()
    assert isinstance(verdict, Unavailable)
    assert verdict.cause is Cause.STORE


def test_a_store_that_is_away_is_an_outage(house: House) -> None:
    house.names.away = True
    verdict = house.ask()
    assert isinstance(verdict, Unavailable)
    assert verdict.cause is Cause.STORE


def test_the_service_hands_tickets_on_and_logs_them(house: House) -> None:
    told: list[Attempt] = []
    service = LoginService(
        resolver=house.judge.resolver,
        methods=lambda _account: (),
        tickets=house.judge,
        attempted=told.append,
    )
    request = TicketRequest(f"anna@{CORP}", service="smtp", hook="test")
    assert service.quick(request) is None
    verdict = service.answer(request)
    service.told(request, verdict, 0.01)
    assert "verdict=accepted" in log_line(told[0])
    assert "method=ticket" in log_line(told[0])


def test_the_service_without_tickets_lets_nobody_in(house: House) -> None:
    service = LoginService(resolver=house.judge.resolver, methods=lambda _account: ())
    verdict = service.answer(TicketRequest(f"anna@{CORP}"))
    assert isinstance(verdict, Unavailable)
    assert verdict.cause is Cause.CONFIGURATION
