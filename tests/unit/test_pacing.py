"""Rejections take the same time, on a clock of the tests' own."""

from __future__ import annotations

import threading
from itertools import cycle
from statistics import median

import pytest

from dirbridge.login.pacing import FIRST, FRESH, LONGEST, Pacing
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
from dirbridge.model.names import DomainName
from dirbridge.model.secret import Secret

COM, ORG = DomainName("company.com"), DomainName("design.org")
UNKNOWN = Rejected(Reason.UNKNOWN)
DISABLED = Rejected(Reason.DISABLED, "off@company.com")
WRONG = Rejected(Reason.WRONG_PASSWORD, "anna@company.com", "ldap-bind", "dc1")


class World:
    """A clock that a login and a wait move on."""

    def __init__(self, waiters: int = 24) -> None:
        self.now = 1000.0
        self.pacing = Pacing(waiters=waiters, clock=lambda: self.now, sleep=self.sleep)

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def took(
        self,
        verdict: Verdict,
        seconds: float,
        domains: tuple[DomainName, ...] = (COM,),
        left: float = 9,
    ) -> float:
        """How long a login takes outside that takes some seconds inside."""
        begun = self.now
        request = LoginRequest("x", Secret("y"))
        login = Login(request, Deadline.after(left), None, domains, begun)
        assert self.pacing.before(login) is None
        self.now += seconds
        assert self.pacing.after(login, verdict) is verdict
        return self.now - begun


def test_the_first_ones_take_the_same() -> None:
    world = World()
    for verdict in (UNKNOWN, DISABLED, UNKNOWN):
        assert world.took(verdict, 0.001) == pytest.approx(FIRST)


@pytest.mark.parametrize(
    ("wrong", "unknown"),
    [((0.02, 0.03, 0.025), (0.001,)), ((0.01,), (0.001, 0.3, 0.002, 0.3))],
)
def test_medians_do_not_tell_a_name(
    wrong: tuple[float, ...], unknown: tuple[float, ...]
) -> None:
    world = World()
    told: dict[str, list[float]] = {"wrong": [], "unknown": [], "disabled": []}
    inside = zip(cycle(wrong), cycle(unknown), range(200), strict=False)
    for asked, not_asked, _ in inside:
        told["wrong"].append(world.took(WRONG, asked))
        told["unknown"].append(world.took(UNKNOWN, not_asked))
        told["disabled"].append(world.took(DISABLED, 0.001))
    medians = [median(one) for one in told.values()]
    assert max(medians) - min(medians) < 0.005


def test_a_slow_domain_does_not_slow_another_one() -> None:
    world = World()
    for _ in range(20):
        world.took(WRONG, 0.7)
        world.took(WRONG, 0.01, (ORG,))
    assert world.took(UNKNOWN, 0.001, (ORG,)) == pytest.approx(0.01)
    assert world.took(UNKNOWN, 0.001, (COM, ORG)) == pytest.approx(0.7)


def test_nobody_waits_for_long_or_past_the_deadline() -> None:
    world = World()
    for _ in range(20):
        world.took(WRONG, 5)
    assert world.took(UNKNOWN, 0.001) == pytest.approx(LONGEST)
    assert world.took(UNKNOWN, 0.001, left=0.5) < 0.5


@pytest.mark.parametrize(
    "unasked",
    [
        Rejected(Reason.ADDRESS_GUARDED, "anna@company.com", "limits", "limits"),
        Rejected(Reason.APP_PASSWORD, "anna@company.com", "app-password", "local"),
        Rejected(Reason.GUARDED, "anna@company.com", "guard", "guard"),
    ],
)
def test_what_asked_nobody_waits_and_is_no_measure_for_others(
    unasked: Rejected,
) -> None:
    world = World()
    told = [world.took(unasked, 0.001) for _ in range(20)]
    assert told == [pytest.approx(FIRST)] * 20
    assert world.took(UNKNOWN, 0.001) == pytest.approx(FIRST)


def test_the_first_ones_slow_nobody_down() -> None:
    world = World()
    for _ in range(4):
        world.took(WRONG, 0.9)
    assert world.took(UNKNOWN, 0.001) == pytest.approx(FIRST)


def test_what_is_long_ago_does_not_count() -> None:
    world = World()
    for _ in range(10):
        world.took(WRONG, 0.9)
    world.now += FRESH + 1
    assert world.took(UNKNOWN, 0.001) == pytest.approx(FIRST)


@pytest.mark.parametrize(
    "verdict",
    [Accepted("anna@company.com", "ldap-bind", "dc1"), Unavailable(Cause.TIMEOUT)],
)
def test_what_tells_nothing_of_a_name_does_not_wait(verdict: Verdict) -> None:
    assert World().took(verdict, 0.001) == pytest.approx(0.001)


def test_few_wait_at_once() -> None:
    waiting, go = threading.Semaphore(0), threading.Event()

    def sleep(_seconds: float) -> None:
        waiting.release()
        go.wait(10)

    pacing = Pacing(waiters=2, sleep=sleep)

    def reject() -> None:
        login = Login(LoginRequest("x", Secret("y")), Deadline.after(9), None, (COM,))
        pacing.after(login, UNKNOWN)

    threads = [threading.Thread(target=reject) for _ in range(2)]
    for one in threads:
        one.start()
    for _ in threads:
        assert waiting.acquire(timeout=10)
    reject()
    go.set()
    for one in threads:
        one.join(10)
        assert not one.is_alive()
