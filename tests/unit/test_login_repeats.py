"""Requests that come again in the very same octets."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address

import pytest
from pytest_mock import MockerFixture

from dirbridge.login.attempts import together
from dirbridge.login.cache_names import LONGEST
from dirbridge.model.account import AccountState
from dirbridge.model.login import Attempt, LoginRequest, Verdict
from dirbridge.model.secret import Secret
from tests.unit.test_login_cache import CACHED, PASSWORD, RIGHT, WRONG, Deaf, House

HOOK = "saslauthd:/run/x"
OCTETS = b"\0\4anna..."


def ask(house: House, request: LoginRequest, octets: bytes = OCTETS) -> Verdict | None:
    """Ask as the saslauthd hook does."""
    told = house.service.quick(request)
    if isinstance(told, type(CACHED)):
        house.service.remember(octets, request, told)
        return told
    return None


def anna(**changes: object) -> LoginRequest:
    return replace(LoginRequest("anna", Secret(PASSWORD), "smtp", HOOK), **changes)


@pytest.fixture
def house() -> House:
    one = House(lifetime=LONGEST / 2)
    one.log_in()
    assert ask(one, anna()) == CACHED
    assert one.service.again(HOOK, OCTETS) == CACHED
    one.attempts.clear()
    return one


def test_it_is_accepted_and_noted_without_being_read(house: House) -> None:
    assert house.service.again(HOOK, OCTETS) is house.service.again(HOOK, OCTETS)
    first, second = house.attempts
    assert (first.verdict, first.request_name) == (CACHED, "anna")
    assert (first.service, first.hook, first.times) == ("smtp", HOOK, 1)
    assert second.verdict is first.verdict
    assert house.directory.asked == 1


def test_other_octets_are_another_request(house: House) -> None:
    assert house.service.again(HOOK, OCTETS + b"\0") is None


def test_another_hook_may_mean_somebody_else(house: House) -> None:
    assert house.service.again("saslauthd:/run/y", OCTETS) is None


def disable(house: House) -> None:
    house.sync(replace(house.anna, state=AccountState.DISABLED))


def let_the_cache_end(house: House) -> None:
    house.clock.now += house.lifetime


def be_refused(house: House) -> None:
    house.directory.verdict = replace(WRONG, reason="disabled")
    house.log_in("battery staple")


def be_accepted_with_another(house: House) -> None:
    house.directory.password = "new"
    assert house.log_in("new") == RIGHT


def hear_nothing(house: House) -> None:
    house.known._pulse = Deaf()


@pytest.mark.parametrize(
    "happens",
    [
        disable,
        let_the_cache_end,
        be_refused,
        be_accepted_with_another,
        hear_nothing,
    ],
)
def test_it_is_over_when(happens: Callable[[House], None], house: House) -> None:
    happens(house)
    house.attempts.clear()
    assert house.service.again(HOOK, OCTETS) is None
    assert house.attempts == []


def test_it_is_over_when_the_name_has_to_be_looked_up_anew() -> None:
    house = House(lifetime=2 * LONGEST)
    house.log_in()
    assert ask(house, anna()) == CACHED
    house.clock.now += LONGEST
    assert house.service.again(HOOK, OCTETS) is None
    house.known.resolve("anna")
    assert house.service.quick(anna()) == CACHED


def test_it_is_over_when_the_account_expires(mocker: MockerFixture) -> None:
    house, soon = House(), datetime.now(UTC) + timedelta(seconds=30)
    house.sync(replace(house.anna, values=replace(house.anna.values, expires_at=soon)))
    house.log_in()
    assert ask(house, anna()) == CACHED
    assert house.service.again(HOOK, OCTETS) == CACHED
    mocker.patch("dirbridge.login.refusals.datetime").now.return_value = soon
    assert house.service.quick(anna()) is None
    assert house.service.again(HOOK, OCTETS) is None


def test_it_is_over_for_good(house: House) -> None:
    pulse = house.known._pulse
    house.known._pulse = Deaf()
    assert house.service.again(HOOK, OCTETS) is None
    house.known._pulse = pulse
    assert house.service.again(HOOK, OCTETS) is None


def test_where_addresses_count_each_login_is_looked_at() -> None:
    house = House()
    house.log_in()
    assert ask(house, anna(remote_ip=ip_address("192.0.2.1"))) == CACHED
    assert house.service.again(HOOK, OCTETS) is None


def test_what_stands_no_more_is_not_taken_down() -> None:
    house = House()
    house.log_in()
    told = house.service.quick(anna())
    disable(house)
    house.service.remember(OCTETS, anna(), told)
    house.sync(replace(house.anna, state=AccountState.ACTIVE))
    assert house.service.again(HOOK, OCTETS) is None


def test_only_what_the_cache_accepted_is_taken_down() -> None:
    house = House()
    house.log_in()
    for other in (RIGHT, replace(CACHED), WRONG):
        house.service.remember(OCTETS, anna(), other)
        assert house.service.again(HOOK, OCTETS) is None


def test_who_came_first_is_forgotten_first(house: House) -> None:
    for number in range(2):
        assert ask(house, anna(), b"other %d" % number) == CACHED
    assert house.service.again(HOOK, OCTETS) is None
    assert house.service.again(HOOK, b"other 0") == CACHED


def test_no_password_is_kept(house: House) -> None:
    kept = repr(vars(house.service.repeats))
    assert "anna" in kept
    assert PASSWORD not in kept
    assert OCTETS not in {octets for _, octets in house.service.repeats._known}


def test_repetitions_are_put_together() -> None:
    alike = Attempt(CACHED, "anna", "imap", "hook")
    again = [replace(alike, milliseconds=taken) for taken in (1, 3, 2)]
    others = [
        Attempt(CACHED, "anna@company.com", "imap", "hook"),
        Attempt(CACHED, "anna", "smtp", "hook"),
        Attempt(CACHED, "anna", "imap", "hook", ip_address("192.0.2.1")),
        Attempt(replace(CACHED), "anna", "imap", "hook"),
    ]
    first, *rest = together([again[0], *others, *again[1:]])
    assert first == replace(again[1], times=3)
    assert rest == others


def test_no_rejection_is_put_together_with_another() -> None:
    wrong = [Attempt(WRONG, "anna", "imap", "hook") for _ in range(3)]
    assert list(together(wrong)) == wrong
