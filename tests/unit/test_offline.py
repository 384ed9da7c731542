"""Offline logins, with a directory that is told what to say."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from argon2 import PasswordHasher

from dirbridge.authenticators.live import Standing
from dirbridge.errors import StoreError
from dirbridge.login.domains import MailDomain, Resolver
from dirbridge.login.errands import Errands
from dirbridge.login.methods import first_to_know
from dirbridge.login.offline import (
    DOWN_SECONDS,
    LOOK_SECONDS,
    MISSES,
    RENEWED,
    RESERVE,
    SEEN,
    Downs,
    Offline,
)
from dirbridge.login.service import LoginService
from dirbridge.login.stage import Login
from dirbridge.model.account import Account, Origin
from dirbridge.model.credentials import OfflineVerifier
from dirbridge.model.deadline import Deadline
from dirbridge.model.entry import Entry
from dirbridge.model.login import (
    Accepted,
    Cause,
    LoginRequest,
    Reason,
    Rejected,
    Unavailable,
    Verdict,
)
from dirbridge.model.names import DirectoryId, DomainName
from dirbridge.model.secret import Secret
from dirbridge.store.memory import MemoryStore
from tests.contract import test_store as stores
from tests.unit.test_login import fill

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
WEEK = timedelta(days=7)
COM, ORG = DomainName("company.com"), DomainName("design.org")
FAST = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
USER = "anna@company.com"
AWAY = Unavailable(Cause.UNREACHABLE, USER, "ldap-bind", "dc1:636")
RIGHT = Accepted(USER, "ldap-bind", "dc1:636")
WRONG = Rejected(Reason.WRONG_PASSWORD, USER, "ldap-bind", "dc1:636")
IN = Accepted(USER, "offline", "offline")


class Hasher(PasswordHasher):
    """Counts how often it works."""

    def __init__(self) -> None:
        super().__init__(time_cost=1, memory_cost=8, parallelism=1)
        self.hashed = self.verified = 0

    def hash(self, *args: object, **named: object) -> str:
        self.hashed += 1
        return super().hash(*args, **named)

    def verify(self, *args: object) -> bool:
        self.verified += 1
        return super().verify(*args)


class World:
    def __init__(self) -> None:
        self.now = NOW
        self.down = True
        self.store = MemoryStore()
        fill(self.store, stores.person("anna", domain=COM))
        (self.anna,) = self.store.accounts()
        self.hasher = Hasher()
        self.errands = Errands("test")
        self.stage = self.bridge()

    def bridge(self, errands: Errands | None = None) -> Offline:
        return Offline(
            {COM: WEEK},
            self.store,
            lambda _account, _deadline: self.down,
            errands or self.errands,
            now=lambda: self.now,
            hasher=self.hasher,
        )

    def login(
        self, typed: str, verdict: Verdict, account: Account | None = None
    ) -> Verdict:
        request = LoginRequest("anna", Secret(typed))
        login = Login(request, Deadline.after(5), account or self.anna)
        assert self.stage.before(login) is None
        told = self.stage.after(login, verdict)
        self.errands.finish()
        return told

    @property
    def held(self) -> OfflineVerifier | None:
        return self.store.credentials(self.anna).offline


@pytest.fixture
def world() -> World:
    return World()


def test_who_was_accepted_gets_in_during_an_outage(world: World) -> None:
    assert world.login("right", AWAY) is AWAY
    assert world.login("right", RIGHT) is RIGHT
    for cause in (Cause.UNREACHABLE, Cause.TIMEOUT, Cause.BUSY):
        assert world.login("right", replace(AWAY, cause=cause)) == IN
    assert world.login("wrong", AWAY) is AWAY
    assert "right" not in repr(vars(world.stage))


@pytest.mark.parametrize(
    "cause", sorted({*Cause} - {Cause.UNREACHABLE, Cause.TIMEOUT, Cause.BUSY})
)
def test_only_an_outage_of_the_servers_counts(world: World, cause: Cause) -> None:
    world.login("right", RIGHT)
    verdict = replace(AWAY, cause=cause)
    assert world.login("right", verdict) is verdict


def test_a_server_that_answers_ends_it(world: World) -> None:
    world.login("right", RIGHT)
    world.down = False
    assert world.login("right", AWAY) is AWAY


def test_it_lapses(world: World) -> None:
    world.login("right", RIGHT)
    assert world.stage.until(world.anna) == NOW + WEEK
    world.now += WEEK - timedelta(seconds=1)
    assert world.login("right", AWAY) == IN
    world.now += timedelta(seconds=1)
    assert world.login("right", AWAY) is AWAY


def test_its_password_refused_ends_it(world: World) -> None:
    world.login("old", RIGHT)
    assert world.login("old", WRONG) is WRONG
    assert world.held is None
    assert world.login("old", AWAY) is AWAY
    world.login("old", RIGHT)
    assert world.login("old", AWAY) == IN


def test_another_password_refused_does_not(world: World) -> None:
    world.login("right", RIGHT)
    world.login("guess", WRONG)
    assert world.login("right", AWAY) == IN


@pytest.mark.parametrize(
    "reason",
    [
        Reason.DISABLED,
        Reason.LOCKED,
        Reason.EXPIRED,
        Reason.MUST_CHANGE,
        Reason.UNKNOWN,
    ],
)
def test_any_other_refusal_of_the_directory_ends_it(world: World, reason: str) -> None:
    world.login("right", RIGHT)
    world.login("whatever", replace(WRONG, reason=Reason(reason)))
    assert world.held is None
    assert world.login("right", AWAY) is AWAY


def test_a_new_password_replaces_the_old_one(world: World) -> None:
    world.login("old", RIGHT)
    world.login("new", RIGHT)
    assert world.login("old", AWAY) is AWAY
    assert world.login("new", AWAY) == IN


@pytest.mark.parametrize("method", ["local", "app-password", "offline"])
def test_only_a_directory_proves(world: World, method: str) -> None:
    world.login("right", replace(RIGHT, method=method))
    assert world.held is None
    world.login("right", RIGHT)
    world.login("right", replace(WRONG, method="guard"))
    assert world.login("right", AWAY) == IN


def test_other_domains_and_local_accounts_have_none(world: World) -> None:
    for account in (
        replace(world.anna, domain=ORG),
        replace(world.anna, origin=Origin.LOCAL),
    ):
        world.login("right", RIGHT, account)
        assert world.login("right", AWAY, account) is AWAY
        assert world.stage.until(account) is None
    assert world.held is None


def test_nobody_who_may_not_log_in_is_let_in(world: World) -> None:
    world.login("right", RIGHT)
    request = LoginRequest("anna", Secret("right"))
    barred = Login(request, Deadline.after(5))
    assert world.stage.after(barred, AWAY) is AWAY


def test_it_is_made_once_a_day(world: World) -> None:
    for _ in range(200):
        world.login("right", RIGHT)
        world.now += timedelta(minutes=5)
    assert (world.hasher.hashed, world.hasher.verified) == (1, 0)
    assert world.held is not None
    assert world.held.proven_at == NOW
    world.now = NOW + RENEWED
    world.login("right", RIGHT)
    assert world.held.proven_at == NOW + RENEWED


def test_a_new_process_looks_once_whether_it_fits(world: World) -> None:
    world.login("right", RIGHT)
    world.stage = world.bridge()
    for _ in range(20):
        world.login("right", RIGHT)
        world.now += SEEN
    assert (world.hasher.hashed, world.hasher.verified) == (1, 1)


def test_what_another_bridge_took_away_is_made_again(world: World) -> None:
    world.login("right", RIGHT)
    world.store.set_offline(world.anna, None)
    world.now += SEEN
    world.login("right", RIGHT)
    assert world.login("right", AWAY) == IN


def test_guessing_during_an_outage_ends_soon(world: World) -> None:
    world.login("right", RIGHT)
    for n in range(50):
        assert world.login(f"guess{n}", AWAY) is AWAY
    assert world.hasher.verified == MISSES
    assert world.login("right", AWAY) is AWAY
    world.now += timedelta(minutes=16)
    assert world.login("right", AWAY) == IN


class Full(Errands):
    """Takes nothing."""

    def add(self, errand: object) -> bool:
        return False


def test_a_refusal_that_cannot_be_looked_at_is_believed(world: World) -> None:
    world.login("right", RIGHT)
    world.stage._errands = Full("full")
    world.login("guess", WRONG)
    assert world.login("right", AWAY) is AWAY
    world.stage._errands = world.errands
    world.login("right", RIGHT)
    assert world.login("right", AWAY) == IN


def test_a_refusal_counts_before_it_was_looked_at(world: World) -> None:
    world.login("right", RIGHT)
    begun, go = threading.Event(), threading.Event()

    def block() -> None:
        begun.set()
        go.wait(10)

    world.errands.add(block)
    assert begun.wait(10)
    login = Login(LoginRequest("anna", Secret("guess")), Deadline.after(5), world.anna)
    world.stage.after(login, WRONG)
    assert world.stage.after(login, AWAY) is AWAY
    go.set()
    world.errands.finish()
    assert world.login("right", AWAY) == IN


class Broken(MemoryStore):
    """A store that is away when it is told to be."""

    away = False

    def credentials(self, account: Account) -> object:
        if self.away:
            raise StoreError("unreachable", "here")
        return super().credentials(account)


@pytest.fixture
def broken() -> World:
    world = World()
    world.store = Broken()
    fill(world.store, world.anna)
    world.stage = world.bridge()
    return world


def test_without_the_store_nobody_gets_in(broken: World) -> None:
    broken.login("right", RIGHT)
    broken.store.away = True
    assert broken.login("right", AWAY) is AWAY
    broken.login("right", WRONG)
    broken.store.away = False
    assert broken.login("right", AWAY) is AWAY
    broken.login("right", RIGHT)
    assert broken.login("right", AWAY) == IN


def test_a_directory_is_down_when_nobody_answers() -> None:
    world, now, asked = World(), [0.0], [0]
    entry = Entry(DirectoryId("id"), "cn=x", {})
    answers: list[object] = [
        Standing(entry),
        Reason.UNKNOWN,
        Cause.CONFIGURATION,
        Cause.OVERLOADED,
        Cause.UNREACHABLE,
        Standing(entry),
    ]

    def look(_account: Account, deadline: Deadline) -> object:
        asked[0] += 1
        assert deadline.left() <= 2
        return answers.pop(0)

    downs = Downs(look, lambda: now[0])
    told = [downs(world.anna, Deadline.after(9)) for _ in range(5)]
    assert told == [False] * 4 + [True]
    assert downs(world.anna, Deadline.after(9))
    assert asked == [5]
    now[0] += DOWN_SECONDS
    assert not downs(world.anna, Deadline.after(9))


def test_without_time_to_ask_nobody_is_down() -> None:
    world, asked = World(), []

    def look(_account: Account, deadline: Deadline) -> object:
        asked.append(deadline.left())
        return Cause.TIMEOUT

    downs = Downs(look)
    assert not downs(world.anna, Deadline.after(LOOK_SECONDS - 0.1))
    assert not downs(world.anna, Deadline.after(0))
    assert asked == []
    assert downs(world.anna, Deadline.after(LOOK_SECONDS + 1))
    # Once it is known, no time is needed.
    assert downs(world.anna, Deadline.after(0))


class Silent:
    """A method whose server is silent for as long as it gets."""

    method = "kerberos"

    def __init__(self) -> None:
        self.given: list[float] = []

    def authenticate(
        self, account: Account, password: Secret, deadline: Deadline
    ) -> Verdict:
        self.given.append(deadline.left())
        return Unavailable(Cause.TIMEOUT, account.canonical, self.method)

    def check(self) -> list[object]:
        return []


@pytest.mark.parametrize(
    ("seconds", "reserves", "expected"),
    [(9, {COM: RESERVE}, 9 - RESERVE), (2, {COM: RESERVE}, 1), (9, {ORG: RESERVE}, 9)],
)
def test_the_look_has_time_of_its_own(
    world: World, seconds: float, reserves: dict[DomainName, float], expected: float
) -> None:
    silent = Silent()
    service = LoginService(
        Resolver((MailDomain(COM, primary=True),), world.store),
        lambda _account: (silent,),
        reserves=reserves,
    )
    request = LoginRequest("anna", Secret("x"), deadline=Deadline.after(seconds))
    assert isinstance(service.answer(request), Unavailable)
    assert silent.given == [pytest.approx(expected, abs=0.5)]


class Says:
    """A method that gives one verdict."""

    def __init__(self, verdict: Verdict) -> None:
        self.method, self.verdict = verdict.method, verdict

    def authenticate(self, *_: object) -> Verdict:
        return self.verdict

    def check(self) -> list[object]:
        return []


@pytest.mark.parametrize("order", [1, -1])
def test_whom_a_kdc_does_not_know_is_out(world: World, order: int) -> None:
    world.login("right", RIGHT)
    gone = Rejected(Reason.UNKNOWN, USER, "kerberos", "COMPANY.COM")
    methods = [Says(gone), Says(AWAY)][::order]
    told = first_to_know(methods, world.anna, Secret("right"), Deadline.after(5))
    assert told == replace(AWAY, against=Reason.UNKNOWN)
    assert world.login("right", told) is told
    # Nor is that forgotten when the KDC is away as well.
    assert world.login("right", AWAY) is AWAY
    assert world.held is None


def test_a_lack_of_a_local_password_says_nothing_against_anybody(world: World) -> None:
    world.login("right", RIGHT)
    none = Rejected(Reason.NO_PASSWORD, USER, "local", "local")
    methods = [Says(none), Says(AWAY)]
    told = first_to_know(methods, world.anna, Secret("right"), Deadline.after(5))
    assert world.login("right", told) == IN


def test_what_a_sync_has_changed_ends_it_until_the_next_login(world: World) -> None:
    world.login("old", RIGHT)
    changed = replace(world.anna, digest=b"another pwdLastSet")
    assert world.stage.until(world.anna) == NOW + WEEK
    assert world.stage.until(changed) is None
    assert world.login("old", AWAY, changed) is AWAY
    world.login("new", RIGHT, changed)
    assert world.login("old", AWAY, changed) is AWAY
    assert world.login("new", AWAY, changed) == IN


def test_a_password_that_stayed_is_not_hashed_again(world: World) -> None:
    world.login("right", RIGHT)
    changed = replace(world.anna, digest=b"another telephone")
    world.now += timedelta(hours=1)
    world.login("right", RIGHT, changed)
    assert world.login("right", AWAY, changed) == IN
    assert world.stage.until(changed) == NOW + timedelta(hours=1) + WEEK
    assert world.hasher.hashed == 1


def test_its_checks_step_back_behind_other_logins(world: World) -> None:
    names: set[str] = set()
    hash_it, verify = world.hasher.hash, world.hasher.verify

    def noting(work: Callable[..., object]) -> Callable[..., object]:
        def noted(*args: object) -> object:
            names.add(threading.current_thread().name.partition("_")[0])
            return work(*args)

        return noted

    world.hasher.hash, world.hasher.verify = noting(hash_it), noting(verify)
    world.login("right", RIGHT)
    assert world.login("right", AWAY) == IN
    assert names == {"modest"}


def test_whom_the_guard_holds_back_gets_in_while_nobody_answers(world: World) -> None:
    """The guard tells an outage as such, though its budget is spent."""
    world.login("right", RIGHT)
    spent = Unavailable(Cause.UNREACHABLE, USER, "guard", "guard")
    assert world.login("right", spent) == IN
