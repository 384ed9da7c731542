"""What is kept of logins and names in memory, and all that ends it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address

import pytest
from pytest_mock import MockerFixture

from dirbridge.errors import StoreError
from dirbridge.login.attempts import LineLog
from dirbridge.login.cache import PositiveCache
from dirbridge.login.cache_names import LONGEST, KnownNames
from dirbridge.login.domains import MailDomain, Resolver
from dirbridge.login.repeats import Repeats
from dirbridge.login.service import LoginService
from dirbridge.login.stage import Login
from dirbridge.model.account import Account, AccountState, KeptAddress
from dirbridge.model.credentials import Credentials
from dirbridge.model.deadline import Deadline
from dirbridge.model.finding import Finding
from dirbridge.model.login import (
    Accepted,
    Attempt,
    Cause,
    LoginRequest,
    Reason,
    Rejected,
    Unavailable,
    Verdict,
)
from dirbridge.model.names import Address, DomainName
from dirbridge.model.plan import Op
from dirbridge.model.secret import Secret
from dirbridge.store.base import RunResult
from dirbridge.store.memory import MemoryStore
from tests.contract.test_store import COMPANY, a_run, change, person, plan

LIFETIME = 60.0
HOME = ip_address("192.0.2.10")
PASSWORD = "correct horse"
RIGHT = Accepted("anna@company.com", "ldap-bind", "dc1")
CACHED = replace(RIGHT, server="cache")
WRONG = Rejected(Reason.WRONG_PASSWORD, "anna@company.com", "ldap-bind", "dc1")


@dataclass
class Clock:
    """Seconds that tests move."""

    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Directory:
    """Knows one password, or gives a verdict, and counts how often it is asked."""

    verdict: Verdict | None = None
    password: str = PASSWORD
    method: str = "ldap-bind"
    asked: int = 0

    def authenticate(
        self, account: Account, password: Secret, deadline: Deadline
    ) -> Verdict:
        self.asked += 1
        if self.verdict is not None:
            return self.verdict
        return RIGHT if password.reveal() == self.password else WRONG

    def check(self) -> list[Finding]:
        return []


@dataclass
class House:
    """A login service with its caches over a memory store."""

    told: tuple[tuple[DomainName, str], ...] = ((COMPANY, "directory"),)
    lifetime: float = LIFETIME
    store: MemoryStore = field(default_factory=MemoryStore)
    clock: Clock = field(default_factory=Clock)
    directory: Directory = field(default_factory=Directory)
    attempts: list[Attempt] = field(default_factory=list)
    bound: tuple[object, ...] = ()

    def __post_init__(self) -> None:
        anna = person("anna", login_names=("anna",), primary_address="anna@company.com")
        self.store.apply(plan(change(Op.CREATE, anna)), a_run())
        domains = (MailDomain(COMPANY, primary=True, bound_ip=self.bound),)
        resolver = Resolver(domains, self.store)
        with self.store.pulse() as pulse:
            self.known = KnownNames(
                resolver, self.store.credentials, pulse, clock=self.clock
            )
        self.cache = PositiveCache(
            {COMPANY: self.lifetime},
            self.known.credentials,
            told=self.told,
            clock=self.clock,
        )
        self.service = LoginService(
            resolver=resolver,
            known=self.known,
            repeats=Repeats(self.known, self.cache, limit=2, clock=self.clock),
            stages=(self.cache,),
            instant=1,
            methods=lambda _account: (self.directory,),
            attempted=self.attempts.append,
            lines=lambda _attempt: None,
        )

    @property
    def anna(self) -> Account:
        (found,) = self.store.accounts()
        return found

    def log_in(self, password: str = PASSWORD, name: str = "anna") -> Verdict:
        """Log in as a hook does: on the loop if that is possible."""
        request = LoginRequest(name, Secret(password))
        return self.quick(password, name) or self.service.answer(request)

    def quick(self, password: str = PASSWORD, name: str = "anna") -> Verdict | None:
        found = self.service.quick(LoginRequest(name, Secret(password)))
        return None if isinstance(found, Login) else found

    def sync(self, account: Account) -> None:
        self.store.apply(plan(change(Op.UPDATE, account)), a_run())


@pytest.fixture
def house() -> House:
    return House()


def test_what_was_accepted_is_accepted_from_memory(house: House) -> None:
    assert house.quick() is None
    assert house.log_in() == RIGHT
    assert [house.log_in() for _ in range(3)] == [CACHED] * 3
    assert house.quick(name="ANNA@company.com") is None
    assert house.log_in(name="ANNA@company.com") == CACHED
    assert house.quick(name="ANNA@company.com") == CACHED
    assert house.directory.asked == 1


def test_another_password_is_a_login_like_any_other(house: House) -> None:
    house.log_in()
    assert house.log_in("battery staple") == WRONG
    assert house.directory.asked == 2


def test_a_new_password_takes_the_place_of_the_old_one(house: House) -> None:
    house.log_in()
    house.directory.password = "new"
    assert house.log_in("new") == RIGHT
    assert house.log_in() == WRONG


def test_it_ends_after_its_time(house: House) -> None:
    house.log_in()
    house.clock.now += LIFETIME - 1
    assert house.log_in() == CACHED
    house.clock.now += 1
    assert house.log_in() == RIGHT


def test_the_time_begins_with_what_the_directory_said(house: House) -> None:
    house.log_in()
    for _ in range(3):
        house.clock.now += LIFETIME / 3
        verdict = house.log_in()
    assert verdict == RIGHT


def test_nothing_is_kept_where_it_is_switched_off() -> None:
    house = House(lifetime=0)
    assert [house.log_in() for _ in range(3)] == [RIGHT] * 3


def test_a_rejection_ends_it(house: House) -> None:
    house.log_in()
    house.directory.verdict = Rejected(Reason.LOCKED, method="kerberos")
    assert house.log_in("other") != CACHED
    assert house.log_in() != CACHED


def test_another_password_that_is_wrong_does_not(house: House) -> None:
    wrong = Rejected(Reason.WRONG_PASSWORD, method="ldap-bind")
    house.log_in()
    house.directory.verdict = wrong
    assert house.log_in("other") != CACHED
    assert house.log_in() == CACHED
    # But the very one that is refused by now, on another bridge's word as well.
    login = Login(
        LoginRequest("anna", Secret(PASSWORD)),
        Deadline.after(9),
        house.known.resolve("anna").account,
    )
    house.cache.after(login, wrong)
    assert house.log_in() != CACHED


def test_methods_that_change_while_the_directory_is_asked_are_seen(
    house: House,
) -> None:
    ask = house.directory.authenticate

    def slow(*asked: object) -> Verdict:
        house.store.set_methods(house.anna, ("local",))
        house.known.resolve("anna")  # somebody else's login
        return ask(*asked)

    house.directory.authenticate = slow
    assert house.log_in() == RIGHT
    assert house.log_in() == RIGHT
    assert house.directory.asked == 2


@pytest.mark.parametrize("told", [(), ((COMPANY, "directory"),)])
def test_it_may_last_for_longer_than_a_name(told: object) -> None:
    house = House(told=told, lifetime=600.0)
    assert house.log_in() == RIGHT
    for _ in range(9):
        house.clock.now += LONGEST + 1
        house.log_in()
        assert house.log_in() == CACHED
    assert house.directory.asked == 1


@pytest.mark.parametrize(
    "verdict",
    [
        Rejected(Reason.WRONG_PASSWORD, method="guard"),
        Unavailable(Cause.UNREACHABLE, method="ldap-bind"),
    ],
)
def test_what_no_directory_said_does_not_end_it(house: House, verdict: Verdict) -> None:
    house.log_in()
    request = LoginRequest("anna", Secret("other"))
    login = Login(request, Deadline.after(9), house.known.resolve("anna").account)
    house.cache.after(login, verdict)
    assert house.log_in() == CACHED


@pytest.mark.parametrize("method", ["offline", "app-password", "local", "guard"])
def test_only_a_directorys_word_is_kept(house: House, method: str) -> None:
    house.directory.verdict = Accepted("anna@company.com", method, "x")
    house.log_in()
    house.log_in()
    assert house.directory.asked == 2


def test_an_outage_is_not_kept(house: House) -> None:
    house.directory.verdict = Unavailable(Cause.UNREACHABLE)
    house.log_in()
    house.directory.verdict = None
    assert house.log_in() == RIGHT


def test_a_disabled_account_is_out_when_the_sync_has_ended(house: House) -> None:
    house.log_in()
    house.sync(replace(house.anna, state=AccountState.DISABLED))
    assert house.quick() is None
    verdict = house.log_in()
    assert isinstance(verdict, Rejected)
    assert verdict.reason is Reason.DISABLED


def test_a_new_password_that_a_sync_has_seen_ends_it(house: House) -> None:
    house.log_in()
    noted = replace(plan(), remembered={house.anna.number: b"another pwdLastSet"})
    house.store.apply(noted, replace(a_run(), result=RunResult.UNCHANGED))
    assert house.log_in() == RIGHT


def test_other_peoples_changes_do_not_end_it(house: House) -> None:
    house.log_in()
    house.store.apply(plan(change(Op.CREATE, person("berta"))), a_run())
    assert house.quick() is None
    assert house.log_in() == CACHED
    assert house.quick() == CACHED


def test_any_run_ends_it_where_no_new_password_can_be_seen() -> None:
    house = House(told=())
    house.log_in()
    assert house.log_in() == CACHED
    house.store.apply(plan(), replace(a_run(), result=RunResult.UNCHANGED))
    assert house.log_in() == RIGHT


def test_other_methods_end_it(house: House) -> None:
    house.log_in()
    house.store.set_methods(house.anna, ("local",))
    assert house.log_in() == RIGHT
    assert house.directory.asked == 2


def test_an_account_that_has_expired_meanwhile_is_out(house: House) -> None:
    ends = datetime.now(UTC) + timedelta(hours=1)
    anna = house.anna
    house.sync(replace(anna, values=replace(anna.values, expires_at=ends)))
    house.log_in()
    assert house.quick() == CACHED
    over = datetime.now(UTC) - timedelta(seconds=1)
    house.sync(replace(anna, values=replace(anna.values, expires_at=over)))
    assert house.quick() is None


def test_who_expires_while_being_remembered_is_out_at_once(
    house: House, mocker: MockerFixture
) -> None:
    ends = datetime.now(UTC) + timedelta(hours=1)
    anna = house.anna
    house.sync(replace(anna, values=replace(anna.values, expires_at=ends)))
    house.log_in()
    assert house.quick() == CACHED
    clock = mocker.patch("dirbridge.login.refusals.datetime")
    clock.now.return_value = ends
    assert house.quick() is None
    verdict = house.log_in()
    assert (isinstance(verdict, Rejected), verdict.method) == (True, "")


def test_only_acceptances_are_given_at_once(house: House) -> None:
    house.log_in()

    class Refusing:
        def before(self, login: Login) -> Verdict | None:
            return Rejected(Reason.ADDRESS_GUARDED)

        def after(self, login: Login, verdict: Verdict) -> Verdict:
            return verdict

    house.service = replace(house.service, stages=(Refusing(), house.cache), instant=2)
    assert house.quick() is None
    assert house.quick("") is None


def test_stages_that_wait_are_not_asked_at_once(house: House) -> None:
    house.log_in()
    house.service = replace(house.service, instant=0)
    assert house.quick() is None


def test_outer_stages_see_what_is_accepted_at_once(house: House) -> None:
    house.log_in()
    seen: list[Verdict] = []

    class Outer:
        def before(self, login: Login) -> Verdict | None:
            return None

        def after(self, login: Login, verdict: Verdict) -> Verdict:
            seen.append(verdict)
            return verdict

    house.service = replace(house.service, stages=(Outer(), house.cache), instant=2)
    assert house.quick() == CACHED
    assert seen == [CACHED]


def test_what_is_answered_at_once_is_recorded(house: House) -> None:
    request = LoginRequest("anna", Secret(PASSWORD), "imap", "hook")
    house.service.noted(request, CACHED, 0.25)
    (attempt,) = house.attempts
    assert (attempt.verdict, attempt.milliseconds) == (CACHED, 250)


def test_the_accounts_that_were_accepted_longest_ago_are_forgotten() -> None:
    house = House()
    cache = PositiveCache({COMPANY: LIFETIME}, lambda _one: Credentials(), limit=2)
    logins = [
        Login(
            LoginRequest("x", Secret(PASSWORD)),
            Deadline.after(9),
            replace(house.anna, number=number),
        )
        for number in range(3)
    ]
    for login in logins:
        assert cache.before(login) is None
        cache.after(login, RIGHT)
    assert [cache.before(login) for login in logins] == [None, CACHED, CACHED]


def test_no_password_can_be_seen_in_it(house: House) -> None:
    house.log_in()
    kept = repr(house.cache._known)
    assert PASSWORD not in kept
    assert PASSWORD not in repr(vars(house.cache))
    octets = PASSWORD.encode()
    assert all(octets not in one.digest for one in house.cache._known.values())


def test_credentials_that_cannot_be_read_keep_nothing(house: House) -> None:
    def away(_account: Account) -> Credentials:
        raise StoreError("unreachable", "db")

    cache = PositiveCache({COMPANY: LIFETIME}, away)
    login = Login(LoginRequest("anna", Secret(PASSWORD)), Deadline.after(9), house.anna)
    assert cache.after(login, RIGHT) == RIGHT
    assert cache.before(login) is None


def test_a_known_name_asks_the_store_no_more(house: House) -> None:
    found = house.known.resolve("anna")
    house.store.named = None
    assert house.known.resolve("anna") is house.known.recall("anna").resolution
    assert house.known.recall("anna").resolution == found


def test_names_are_looked_up_again_after_their_time(house: House) -> None:
    house.known.resolve("anna")
    house.clock.now += LONGEST
    assert house.known.recall("anna") is None


def test_an_old_address_is_known_only_while_it_is_kept(house: House) -> None:
    until = datetime.now(UTC) + timedelta(seconds=20)
    kept = (KeptAddress(Address("old@company.com"), until),)
    house.sync(replace(house.anna, kept=kept))
    house.known.resolve("old@company.com")
    house.clock.now += 10
    assert house.known.recall("old@company.com") is not None
    house.clock.now += 11
    assert house.known.recall("old@company.com") is None


def test_unknown_names_are_not_remembered(house: House) -> None:
    house.known.resolve("berta")
    assert house.known.recall("berta") is None


def test_a_pulse_that_cannot_be_heard_lets_nothing_be_believed(house: House) -> None:
    house.known.resolve("anna")
    house.known._pulse = Deaf()
    assert house.known.recall("anna") is None
    assert house.known.resolve("anna").account == house.anna
    assert house.known.recall("anna") is None


class Deaf:
    def beat(self) -> int | None:
        return None


def test_bare_names_are_known_by_address_where_that_matters() -> None:
    house = House(bound=(HOME,))
    other = ip_address("198.51.100.7")
    house.known.resolve("anna", HOME)
    assert house.known.recall("anna") is None
    assert house.known.recall("anna", HOME) is not None
    assert house.known.recall("anna", HOME, other) is not None
    assert house.known.recall("anna", None, HOME) is None


def test_what_changes_while_it_is_read_is_not_believed(house: House) -> None:
    resolver = house.known._resolver

    class Slow:
        domains = resolver.domains

        def resolve(self, *wanted: object) -> object:
            found = resolver.resolve(*wanted)
            house.sync(replace(house.anna, state=AccountState.DISABLED))
            return found

    house.known._resolver = Slow()
    house.known.resolve("anna")
    assert house.known.recall("anna") is None


def test_lines_are_written_in_their_order_and_wait_for_nobody() -> None:
    written: list[str] = []
    attempts = [Attempt(CACHED, str(n), "imap", "hook") for n in range(5)]
    with LineLog(written.append, room=3, pause=60) as lines:
        for attempt in attempts:
            lines.add(attempt)
    text = "".join(written)
    assert text.count("\n") == len(text.splitlines()) == 3
    assert all(line.startswith("login verdict=accepted") for line in text.splitlines())
    assert lines.dropped == 2


def test_a_log_that_is_gone_is_no_harm() -> None:
    def gone(_text: str) -> None:
        raise BrokenPipeError

    with LineLog(gone) as lines:
        lines.add(Attempt(CACHED, "anna", "imap", "hook"))
    assert lines.dropped == 1
