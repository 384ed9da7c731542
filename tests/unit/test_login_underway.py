"""Logins that an event loop goes on with take the same way as all others."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from ipaddress import ip_address

import pytest

from dirbridge.authenticators.base import Next
from dirbridge.login.cache import PositiveCache
from dirbridge.login.cache_names import KnownNames
from dirbridge.login.domains import MailDomain, Resolver
from dirbridge.login.service import AT_ONCE, LoginService
from dirbridge.login.stage import Login
from dirbridge.login.underway import LoginUnderway
from dirbridge.model.account import Account
from dirbridge.model.deadline import Deadline
from dirbridge.model.finding import Finding
from dirbridge.model.login import (
    Accepted,
    Cause,
    IPAddress,
    LoginRequest,
    Question,
    Reason,
    Rejected,
    TicketRequest,
    Unavailable,
    Verdict,
)
from dirbridge.model.plan import Op
from dirbridge.model.secret import Secret
from tests.contract.test_store import COMPANY, a_run, change, person, plan
from tests.unit.test_guard import World

PHONE = ip_address("192.0.2.7")
USER = "anna@company.com"
RIGHT = Accepted(USER, "ldap-bind", "dc1:636")
WRONG = Rejected(Reason.WRONG_PASSWORD, USER, "ldap-bind", "dc1:636")


@dataclass
class Check:
    """Waits once, then says what it was told to say."""

    verdict: Verdict
    waits: int = 1
    dropped: bool = False

    def fileno(self) -> int:
        return 17

    def go_on(self) -> Accepted | Next:
        self.waits -= 1
        if self.waits >= 0:
            return Next.WAIT
        return self.verdict if isinstance(self.verdict, Accepted) else Next.FINISH

    def finish(self) -> Verdict:
        return self.verdict

    def drop(self) -> None:
        self.dropped = True


@dataclass
class Directory:
    """Knows one password; counts how it was asked."""

    method: str = "ldap-bind"
    password: str = "right"
    outage: Verdict | None = None
    is_warm: bool = True
    asked: int = 0
    checks: list[Check] = field(default_factory=list)

    def authenticate(
        self, account: Account, password: Secret, deadline: Deadline
    ) -> Verdict:
        self.asked += 1
        return self._verdict(password)

    def start(
        self, account: Account, password: Secret, deadline: Deadline
    ) -> Check | None:
        if not self.is_warm:
            return None
        self.checks.append(Check(self._verdict(password)))
        return self.checks[-1]

    def check(self) -> list[Finding]:
        return []

    def _verdict(self, password: Secret) -> Verdict:
        if self.outage is not None:
            return self.outage
        return RIGHT if password.reveal() == self.password else WRONG


class House:
    """A login service with a cache and the guard."""

    def __init__(self) -> None:
        self.lifetimes = {COMPANY: 0.0}
        self.world = World(every=1.0)
        self.directory = Directory()
        self.second = Directory("kerberos")
        store = self.world.store
        anna = person("anna", login_names=("anna",), primary_address=USER)
        store.apply(plan(change(Op.CREATE, anna)), a_run())
        resolver = Resolver((MailDomain(COMPANY, primary=True),), store)
        with store.pulse() as pulse:
            known = KnownNames(resolver, store.credentials, pulse)
        self.guard = self.world.bridge().guard
        cache = PositiveCache(self.lifetimes, known.credentials)
        self.service = LoginService(
            resolver=resolver,
            known=known,
            stages=(cache, self.guard),
            instant=1,
            methods=lambda _account: (self.directory, self.second),
        )

    def request(
        self, password: str = "right", address: IPAddress | None = PHONE
    ) -> LoginRequest:
        return LoginRequest("anna", Secret(password), remote_ip=address)

    def answer(self, password: str = "right") -> Verdict:
        verdict = self.service.answer(self.request(password))
        self.world.errands.finish()
        return verdict

    def start(
        self, password: str = "right", address: IPAddress | None = PHONE
    ) -> LoginUnderway | None:
        return started(self.service, self.request(password, address))

    def begun(self, password: str = "right") -> LoginUnderway:
        underway = self.start(password)
        assert underway is not None
        assert underway.go_on() is Next.WAIT
        return underway


def started(service: LoginService, request: Question) -> LoginUnderway | None:
    """Begin a login as the desk does: only where it was not answered at once."""
    found = service.quick(request)
    return service.start(found) if isinstance(found, Login) else None


@pytest.fixture
def house() -> House:
    """One where somebody has logged in, and nothing is answered from memory."""
    house = House()
    assert house.answer() == RIGHT
    # The try that a stranger's address cost is forgotten by then.
    house.world.seconds += 2
    assert house.answer() == RIGHT
    house.directory.asked = 0
    return house


def test_an_acceptance_needs_no_thread(house: House) -> None:
    for _ in range(AT_ONCE + 1):
        assert house.begun().go_on() == RIGHT
    assert house.directory.asked == 0


def test_what_was_accepted_so_is_known_from_then_on(house: House) -> None:
    house.lifetimes[COMPANY] = 60.0
    assert house.begun().go_on() == RIGHT
    assert house.service.quick(house.request()) == replace(RIGHT, server="cache")
    assert house.start() is None


def test_a_password_that_is_wrong_by_now_is_counted_and_remembered(
    house: House,
) -> None:
    house.directory.password = "changed"
    underway = house.begun()
    assert underway.go_on() is Next.FINISH
    assert underway.finish() == WRONG
    (counted,) = house.world.store._tries.values()
    assert counted.count == 1
    assert house.start() is None
    assert house.answer().method == "guard"
    assert house.directory.asked == 0


def test_the_next_method_is_asked_after_an_outage(house: House) -> None:
    house.directory.outage = Unavailable(Cause.UNREACHABLE, USER, "ldap-bind")
    underway = house.begun()
    assert underway.go_on() is Next.FINISH
    assert underway.finish() == RIGHT
    assert (house.directory.asked, house.second.asked) == (0, 1)


def test_the_next_method_gets_no_password_that_may_have_counted(house: House) -> None:
    out = Unavailable(Cause.TIMEOUT, USER, "ldap-bind", sent=True)
    house.directory.outage = out
    underway = house.begun()
    assert underway.go_on() is Next.FINISH
    assert underway.finish() == out
    assert (house.directory.asked, house.second.asked) == (0, 0)


def test_a_bug_leaves_nobody_waiting(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_check: Check) -> Verdict:
        raise ZeroDivisionError

    underway = house.begun()
    with monkeypatch.context() as patched:
        patched.setattr(Check, "finish", broken)
        with pytest.raises(ZeroDivisionError):
            underway.finish()
    assert house.begun().go_on() == RIGHT


def test_one_password_of_an_account_at_a_time(house: House) -> None:
    first = house.begun()
    assert house.start() is None
    assert house.directory.checks[-1].dropped
    assert first.go_on() == RIGHT
    assert house.begun().go_on() == RIGHT


def test_whoever_has_to_be_looked_up_is_for_a_thread(house: House) -> None:
    assert house.start("never seen") is None
    assert house.start("") is None
    assert started(house.service, LoginRequest("nobody", Secret("right"))) is None
    assert started(house.service, TicketRequest("anna@COMPANY.COM")) is None
    house.world.seconds += 2
    assert house.start() is None
    assert house.answer() == RIGHT
    assert house.begun().go_on() == RIGHT


def test_a_directory_that_is_not_warm_is_for_a_thread(house: House) -> None:
    house.directory.is_warm = False
    for _ in range(AT_ONCE + 1):
        assert house.start() is None
    house.directory.is_warm = True
    assert house.begun().go_on() == RIGHT


def test_no_more_than_so_many_wait_for_a_domain(house: House) -> None:
    service = replace(house.service, stages=(), instant=0)
    begun = [started(service, house.request()) for _ in range(AT_ONCE)]
    assert started(service, house.request()) is None
    assert begun[0] is not None
    assert begun[0].finish() == RIGHT
    assert started(service, house.request()) is not None


def test_a_bug_at_the_start_keeps_no_place(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError

    with monkeypatch.context() as patched:
        patched.setattr(Directory, "start", broken)
        for _ in range(AT_ONCE + 1):
            with pytest.raises(ZeroDivisionError):
                house.start()
    assert house.begun().go_on() == RIGHT


def test_a_bug_of_a_stage_keeps_nothing_at_all(house: House) -> None:
    class Broken:
        def before(self, login: Login) -> None: ...

        def after(self, login: Login, verdict: Verdict) -> Verdict:
            return verdict

        def passes(self, login: Login) -> bool:
            raise ZeroDivisionError

    service = replace(house.service, stages=(*house.service.stages, Broken()))
    for _ in range(AT_ONCE + 1):
        with pytest.raises(ZeroDivisionError):
            started(service, house.request())
        assert house.directory.checks[-1].dropped
    assert house.begun().go_on() == RIGHT


def test_a_stage_that_may_wait_is_for_a_thread(house: House) -> None:
    class Slow:
        def before(self, login: Login) -> None: ...

        def after(self, login: Login, verdict: Verdict) -> Verdict:
            return verdict

    service = replace(house.service, stages=(*house.service.stages, Slow()))
    assert started(service, house.request()) is None
    assert house.directory.checks[-1].dropped
    assert house.begun().go_on() == RIGHT
