"""Limits for one client address: distinct names that fail, within a window."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from ipaddress import ip_address, ip_network

import pytest

from dirbridge.login.limits import AddressLimit, AddressLimits
from dirbridge.login.stage import Login
from dirbridge.model.deadline import Deadline
from dirbridge.model.login import (
    Accepted,
    Cause,
    LoginRequest,
    Reason,
    Rejected,
    Unavailable,
    Verdict,
)
from dirbridge.model.secret import Secret

NOW = datetime(2026, 3, 1, tzinfo=UTC)
BAD = ip_address("198.51.100.7")
LIMIT = AddressLimit(
    accounts=3,
    window=timedelta(minutes=15),
    trusted=(ip_network("192.0.2.0/24"), ip_network("2001:db8:1::/48")),
)


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Door:
    """The limits before a directory that says what it is told to."""

    def __init__(self, room: int = 100, limit: AddressLimit = LIMIT) -> None:
        self.clock = Clock()
        self.limits = AddressLimits(limit, self.clock, room)

    def login(self, name: str, verdict: Verdict, address: object = BAD) -> Verdict:
        request = LoginRequest(name, Secret("x"), remote_ip=address)
        login = Login(request, Deadline.after(9))
        stopped = self.limits.before(login)
        return stopped or self.limits.after(login, verdict)

    def fail(self, name: str, address: object = BAD) -> str:
        wrong = Rejected(Reason.WRONG_PASSWORD, f"{name.lower()}@company.com")
        verdict = self.login(name, wrong, address)
        assert isinstance(verdict, Rejected)
        return verdict.reason

    def succeed(self, name: str, address: object = BAD) -> Verdict:
        return self.login(name, Accepted(f"{name}@company.com", "x", "y"), address)


def test_too_many_distinct_accounts_close_the_door() -> None:
    door = Door()
    assert [door.fail(name) for name in ("a", "b", "c")] == [Reason.WRONG_PASSWORD] * 3
    assert door.fail("d") == Reason.ADDRESS_GUARDED
    assert isinstance(door.succeed("e"), Rejected)
    assert isinstance(door.succeed("e", ip_address("198.51.100.8")), Accepted)


def test_one_phone_that_fails_all_day_is_one_account() -> None:
    door = Door()
    assert {door.fail("Anna") for _ in range(200)} == {Reason.WRONG_PASSWORD}


def test_unknown_names_count_as_well() -> None:
    door = Door()
    unknown = Rejected(Reason.UNKNOWN)
    for name in ("a", "A ", "b", "c"):
        assert door.login(name, unknown) is unknown
    assert door.fail("d") == Reason.ADDRESS_GUARDED


def test_the_window_moves_on() -> None:
    door = Door()
    for name in ("a", "b", "c"):
        door.fail(name)
        door.clock.now += 300
    assert door.fail("d") == Reason.WRONG_PASSWORD
    assert door.fail("e") == Reason.ADDRESS_GUARDED
    door.clock.now += 300
    assert isinstance(door.succeed("e"), Accepted)


def test_who_mistyped_and_got_in_does_not_count() -> None:
    door = Door()
    for name in ("a", "b", "c", "d", "e", "f"):
        assert door.fail(name) == Reason.WRONG_PASSWORD
        door.succeed(name)


@pytest.mark.parametrize(
    "told",
    [
        Rejected(Reason.WRONG_PASSWORD, "anna@company.com", "ldap-bind", "dc1"),
        Rejected(Reason.DISABLED, "anna@company.com"),
        Rejected(Reason.GUARDED, "anna@company.com", "guard", "guard"),
        Rejected(Reason.APP_PASSWORD, "anna@company.com", "app-password", "local"),
    ],
    ids=lambda one: one.reason,
)
def test_a_name_that_there_is_counts_like_one_that_nobody_has(told: Verdict) -> None:
    answers = []
    for verdict in (told, Rejected(Reason.UNKNOWN)):
        door = Door()
        for name in ("anna", "anna@company.com", " ANNA", "Anna@company.com"):
            assert door.login(name, verdict) is verdict
        assert door.login("carla", verdict) is verdict
        answers.append(door.fail("dora"))
    assert answers == [Reason.ADDRESS_GUARDED] * 2


def test_outages_do_not_count() -> None:
    door, outage = Door(), Unavailable(Cause.TIMEOUT)
    for name in "abcdefgh":
        assert door.login(name, outage) is outage


def test_who_gets_in_counts_by_none_of_their_names() -> None:
    door = Door()
    wrong = Rejected(Reason.WRONG_PASSWORD, "anna@company.com", "ldap-bind", "dc1")
    for name in ("anna", "a.berg"):
        door.login(name, wrong)
    door.succeed("anna")
    assert [door.fail(name) for name in ("b", "c", "d")] == [Reason.WRONG_PASSWORD] * 3
    assert door.fail("e") == Reason.ADDRESS_GUARDED


@pytest.mark.parametrize(
    "address",
    [
        None,
        ip_address("192.0.2.9"),
        ip_address("::ffff:192.0.2.9"),
        ip_address("2001:db8:1::9"),
    ],
)
def test_trusted_networks_and_unknown_addresses_have_no_limit(address: object) -> None:
    door = Door()
    assert {door.fail(f"p{n}", address) for n in range(50)} == {Reason.WRONG_PASSWORD}


def test_no_limit_at_all() -> None:
    door = Door(limit=AddressLimit(accounts=0))
    assert {door.fail(f"p{n}") for n in range(50)} == {Reason.WRONG_PASSWORD}


def test_one_ipv6_site_is_one_address() -> None:
    door = Door()
    told = [door.fail(f"p{n}", ip_address(f"2001:db8::{n:x}")) for n in range(5)]
    assert told[3:] == [Reason.ADDRESS_GUARDED] * 2


def test_what_is_counted_is_bounded() -> None:
    door = Door(room=10)
    for n in range(40):
        for name in "abcdef":
            door.fail(name, ip_address(f"198.51.100.{n}"))
    assert len(door.limits._failing) == 10
    assert max(map(len, door.limits._failing.values())) == LIMIT.accounts
