"""What explain tells of the guard, of failures and of offline logins."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address

import pytest

from dirbridge.explain.guarding import Guarding
from dirbridge.login.guard_budget import Budget
from dirbridge.model.account import Account
from dirbridge.model.credentials import OfflineVerifier
from dirbridge.model.finding import Outcome, Step
from dirbridge.model.login import Attempt, IPAddress, Reason, Rejected
from dirbridge.model.names import DomainName
from dirbridge.store.memory import MemoryStore
from tests.contract import test_store as stores
from tests.unit.test_login import fill

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
WEEK = timedelta(days=7)
COM = DomainName("company.com")
PHONE, LAPTOP = ip_address("192.0.2.7"), ip_address("192.0.2.8")


@pytest.fixture
def store() -> MemoryStore:
    store = MemoryStore()
    fill(store, stores.person("anna", domain=COM))
    return store


@pytest.fixture
def anna(store: MemoryStore) -> Account:
    (anna,) = store.accounts()
    return anna


def steps(
    store: MemoryStore,
    account: Account,
    address: IPAddress | None = None,
    lifetimes: dict[DomainName, timedelta] | None = None,
) -> dict[str, Step]:
    guarding = Guarding(
        lambda _account, _deadline: Budget(3, 30 * MINUTE), lifetimes or {}, lambda: NOW
    )
    return {one.name: one for one in guarding.steps(store, account, address)}


def spend(store: MemoryStore, account: Account, tries: int) -> None:
    for _ in range(tries):
        store.count_try(account, NOW - 10 * MINUTE, since=NOW - WEEK, most=99)


def test_nothing_to_tell(store: MemoryStore, anna: Account) -> None:
    assert steps(store, anna) == {}


@pytest.mark.parametrize(
    ("tries", "address", "outcome"),
    [
        (1, None, Outcome.OK),
        (2, None, Outcome.WARNING),
        (2, PHONE, Outcome.FAILED),
        (2, LAPTOP, Outcome.OK),
        (3, LAPTOP, Outcome.FAILED),
        (3, None, Outcome.FAILED),
    ],
)
def test_what_is_counted(
    store: MemoryStore,
    anna: Account,
    tries: int,
    address: IPAddress | None,
    outcome: Outcome,
) -> None:
    store.note_address(anna, LAPTOP, NOW - WEEK)
    spend(store, anna, tries)
    step = steps(store, anna, address)["guard"]
    assert step.outcome is outcome
    assert step.found.startswith(
        f"{tries} of 3 wrong passwords have gone to the directory; all are forgotten "
        "on 2026-03-01 12:20 UTC."
    )
    assert bool(step.who_can_fix) is (outcome is not Outcome.OK)


def test_what_has_lapsed_is_not_told(store: MemoryStore, anna: Account) -> None:
    store.count_try(anna, NOW - 31 * MINUTE, since=NOW - WEEK, most=9)
    assert steps(store, anna) == {}


def test_who_fails_is_named(store: MemoryStore, anna: Account) -> None:
    wrong = Rejected(Reason.WRONG_PASSWORD, anna.canonical)
    by_phone = Attempt(wrong, "anna", "imap", "dovecot-auth", PHONE)
    store.record([by_phone] * 7, NOW - MINUTE)
    store.record([Attempt(wrong, "anna", "", "saslauthd")], NOW)
    store.record([replace(by_phone, remote_ip=LAPTOP)], NOW - timedelta(days=2))
    assert steps(store, anna)["failures"].facts == (
        ("192.0.2.7", "7 times for imap at dovecot-auth, last on 2026-03-01 11:59 UTC"),
        ("an unknown address", "once at saslauthd, last on 2026-03-01 12:00 UTC"),
    )


def test_offline_logins(store: MemoryStore, anna: Account) -> None:
    lifetimes = {COM: WEEK}
    none = steps(store, anna, lifetimes=lifetimes)["offline"]
    assert none.found.startswith("In an outage the account cannot log in")
    for days, word in ((1, "Until 2026-03-07 12:00 UTC"), (8, "In an outage")):
        verifier = OfflineVerifier("$argon2id$x", NOW - timedelta(days=days))
        store.set_offline(anna, verifier)
        step = steps(store, anna, lifetimes=lifetimes)["offline"]
        assert step.found.startswith(word)
        assert step.outcome is Outcome.OK
        assert "$" not in repr(step)


def test_of_a_local_password_only_failures_are_told(
    store: MemoryStore, anna: Account
) -> None:
    spend(store, anna, 3)
    store.set_methods(anna, ["local"])
    wrong = Rejected(Reason.WRONG_PASSWORD, anna.canonical)
    store.record([Attempt(wrong, "anna", "imap", "x", PHONE)], NOW)
    assert steps(store, anna, lifetimes={COM: WEEK}).keys() == {"failures"}
