"""The guard, on a directory in memory that locks as Active Directory does."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address

import pytest

from dirbridge.authenticators.live import Standing
from dirbridge.directory.lockout import Lockout
from dirbridge.errors import StoreError
from dirbridge.login.errands import Errands
from dirbridge.login.guard import Guard
from dirbridge.login.guard_addresses import KNOWN_FOR, UsualAddresses, place_of
from dirbridge.login.guard_budget import (
    DEFAULT_TRIES,
    DEFAULT_WINDOW,
    Budget,
    Budgets,
    Ledger,
    budget_of,
)
from dirbridge.login.guard_counted import EVERY, MOST, Counted
from dirbridge.login.guard_gate import WAITERS, Flight, Gate
from dirbridge.login.guard_looks import BELIEVED, Looks
from dirbridge.login.guard_memory import BLIND, LONGEST, WrongPasswords
from dirbridge.login.stage import Login
from dirbridge.model.account import Account, AccountValues, Origin
from dirbridge.model.deadline import Deadline
from dirbridge.model.entry import Entry
from dirbridge.model.login import (
    Accepted,
    Cause,
    IPAddress,
    LoginRequest,
    Reason,
    Rejected,
    Unavailable,
    Verdict,
)
from dirbridge.model.names import DirectoryId, DomainName
from dirbridge.model.secret import Secret
from dirbridge.store.memory import MemoryStore
from dirbridge.store.tries import MemoryTries
from dirbridge.store.tries_base import Tries

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
PHONE, LAPTOP = ip_address("192.0.2.7"), ip_address("192.0.2.8")
BUDGET = Budget(3, 30 * MINUTE)
ANNA = Account(
    number=1,
    domain=DomainName("company.com"),
    mailbox="anna",
    origin=Origin.MAPPED,
    state_since=NOW,
    values=AccountValues(directory_id=DirectoryId("id-anna")),
)


@dataclass
class World:
    """A clock, a directory with one account, and what the fleet has in common."""

    password: str = "right"
    threshold: int = 5
    seconds: float = 0.0
    bad_count: int = 0
    asked: int = 0
    looks: int = 0
    mark: str = "first"
    server: str = "dc1:636"
    methods: tuple[str, ...] | None = ("ldap-bind",)
    every: float = 0.0
    outage: Cause | None = None
    away: Cause | None = None
    store: MemoryTries = field(default_factory=MemoryStore)
    errands: Errands = field(default_factory=lambda: Errands("test"))

    def now(self) -> datetime:
        return NOW + timedelta(seconds=self.seconds)

    def clock(self) -> float:
        return self.seconds

    def look(self, account: Account, deadline: Deadline) -> Standing | Reason | Cause:
        self.looks += 1
        entry = Entry(account.values.directory_id, "cn=anna", {})
        return self.away or Standing(entry, (), self.mark)

    def bridge(self, budget: Budget = BUDGET) -> Bridge:
        usual = UsualAddresses(self.store, self.errands, self.now)
        counted = Counted(self.store, every=self.every, clock=self.clock)
        ledger = Ledger(self.store, lambda _a, _d: budget, usual, self.now, counted)
        looks = Looks(self.look, self.clock)
        wrong = WrongPasswords(self.clock)
        guard = Guard(
            looks, ledger, usual, methods=lambda _account: self.methods, wrong=wrong
        )
        return Bridge(self, guard, ledger)

    def ask(self, typed: str) -> Verdict:
        user = ANNA.canonical
        if self.outage is not None:
            return Unavailable(self.outage, user, "ldap-bind", self.server)
        self.asked += 1
        if self.bad_count >= self.threshold:
            return Rejected(Reason.LOCKED, user, "ldap-bind", self.server)
        if typed == self.password:
            self.bad_count = 0
            return Accepted(user, "ldap-bind", self.server)
        self.bad_count += 1
        return Rejected(Reason.WRONG_PASSWORD, user, "ldap-bind", self.server)


@dataclass
class Bridge:
    """One process: the guard before the directory."""

    world: World
    guard: Guard
    ledger: Ledger

    def login(
        self,
        typed: str,
        address: IPAddress | None = PHONE,
        ask: Callable[[str], Verdict] | None = None,
        account: Account = ANNA,
    ) -> Verdict:
        request = LoginRequest("anna", Secret(typed), remote_ip=address)
        login = Login(request, Deadline.after(9), account)
        verdict = self.guard.before(login)
        if verdict is None:
            verdict = self.guard.after(login, (ask or self.world.ask)(typed))
        self.world.errands.finish()
        return verdict


@pytest.fixture
def world() -> World:
    return World()


def reason(verdict: Verdict) -> str:
    return verdict.reason if isinstance(verdict, Rejected) else type(verdict).__name__


def test_a_wrong_password_is_asked_once(world: World) -> None:
    bridge = world.bridge()
    assert bridge.login("old") == Rejected(
        Reason.WRONG_PASSWORD, ANNA.canonical, "ldap-bind", "dc1:636"
    )
    for _ in range(200):
        verdict = bridge.login("old")
        assert (reason(verdict), verdict.method) == (Reason.WRONG_PASSWORD, "guard")
        world.seconds += 4
    assert (world.asked, world.bad_count) == (1, 1)
    assert isinstance(bridge.login("right"), Accepted)


class Racing(MemoryStore):
    """Lets another bridge count right after one has looked, and before it counts."""

    meanwhile: Callable[[], object] | None = None

    def count_try(
        self, account: Account, at: datetime, *, since: datetime, most: int
    ) -> bool:
        if self.meanwhile is not None:
            meanwhile, self.meanwhile = self.meanwhile, None
            meanwhile()
        return super().count_try(account, at, since=since, most=most)


@pytest.mark.parametrize("counted", range(BUDGET.anybody))
def test_two_bridges_at_once_do_not_take_the_same_try(counted: int) -> None:
    store = Racing()
    world = World(store=store)
    one, other = world.bridge(), world.bridge()
    for number in range(counted):
        one.login(f"guess {number}")

    def rest() -> None:
        for number in range(BUDGET.tries):
            other.login(f"theirs {number}")

    store.meanwhile = rest
    assert reason(one.login("ours")) == Reason.GUARDED
    assert world.bad_count == BUDGET.anybody


def test_after_a_while_one_try_may_pass(world: World) -> None:
    bridge = world.bridge()
    bridge.login("old")
    world.seconds += LONGEST + 1
    assert bridge.login("old").method == "ldap-bind"
    assert bridge.login("old").method == "guard"
    assert world.asked == 2


def test_a_change_of_the_password_or_the_lock_lets_a_try_pass(world: World) -> None:
    bridge = world.bridge()
    bridge.login("new")
    world.password, world.mark = "new", "second"
    world.seconds += BELIEVED + 0.1
    assert isinstance(bridge.login("new"), Accepted)


@pytest.mark.parametrize(
    "changed",
    [
        {"dn": "uid=anna,ou=new"},
        {"login_names": ("anna2",)},
        {"upn": "anna@new.org"},
        {"principal": "anna@NEW.ORG"},
    ],
)
def test_a_password_may_be_right_by_another_name(
    world: World, changed: dict[str, object]
) -> None:
    bridge = world.bridge()
    bridge.login("new")
    world.password = "new"  # of whom the directory knows by another name
    mended = replace(ANNA, values=replace(ANNA.values, **changed))
    assert bridge.login("new", account=ANNA).method == "guard"
    assert isinstance(bridge.login("new", account=mended), Accepted)


def test_a_password_may_be_right_by_another_method(world: World) -> None:
    bridge = world.bridge()
    bridge.login("new")
    world.password, world.methods = "new", ("kerberos",)
    assert isinstance(bridge.login("new"), Accepted)


def test_whoever_cannot_be_guarded_is_not_asked_for(world: World) -> None:
    bridge, world.methods = world.bridge(), None
    told = [bridge.login(f"wrong{n}") for n in range(9)]
    assert told == [Unavailable(Cause.STORE, ANNA.canonical, "guard")] * 9
    assert world.asked == 0
    world.methods = ("ldap-bind",)
    assert isinstance(bridge.login("right"), Accepted)


def test_where_no_change_is_told_less_is_remembered(world: World) -> None:
    world.mark = ""
    bridge = world.bridge()
    bridge.login("old")
    world.seconds += BLIND - 1
    assert bridge.login("old").method == "guard"
    world.seconds += 2
    assert bridge.login("old").method == "ldap-bind"


def test_without_a_look_nothing_is_answered_from_memory(world: World) -> None:
    bridge = world.bridge()
    bridge.login("old")
    world.seconds += BELIEVED + 0.1
    world.away = Cause.CONFIGURATION
    assert bridge.login("old").method == "ldap-bind"
    assert reason(bridge.login("old")) == Reason.GUARDED


def test_a_phone_costs_few_looks(world: World) -> None:
    bridge = world.bridge()
    for _ in range(100):
        bridge.login("old")
        world.seconds += BELIEVED / 20
    assert world.looks <= 7


@pytest.mark.parametrize(
    "verdict",
    [
        Rejected(Reason.LOCKED, method="kerberos"),
        Rejected(Reason.DISABLED, method="ldap-bind"),
        Rejected(Reason.WRONG_PASSWORD, method="local"),
        Unavailable(Cause.TIMEOUT, method="ldap-bind"),
    ],
)
def test_only_a_directorys_wrong_passwords_are_remembered_and_counted(
    world: World, verdict: Verdict
) -> None:
    bridge = world.bridge()
    for _ in range(10):
        assert bridge.login("old", ask=lambda _typed: verdict) is verdict
    assert world.store.tries(ANNA) is None


def test_different_wrong_ones_stay_below_the_threshold(world: World) -> None:
    bridges = [world.bridge(), world.bridge()]
    told = [
        reason(bridges[n % 2].login(f"wrong{n}", LAPTOP if n % 5 else PHONE))
        for n in range(200)
    ]
    assert told[:2] == [Reason.WRONG_PASSWORD] * 2
    assert set(told[2:]) == {Reason.GUARDED}
    assert world.bad_count == 2


def test_the_usual_address_keeps_one_try(world: World) -> None:
    bridges = [world.bridge(), world.bridge()]
    assert isinstance(bridges[0].login("right", LAPTOP), Accepted)
    for n in range(200):
        bridges[n % 2].login(f"wrong{n}", PHONE)
    assert reason(bridges[0].login("right", PHONE)) == Reason.GUARDED
    assert reason(bridges[0].login("right", None)) == Reason.GUARDED
    for bridge in bridges:
        assert isinstance(bridge.login("right", LAPTOP), Accepted)
    assert world.bad_count == 0


@pytest.mark.parametrize("away", [Cause.UNREACHABLE, Cause.TIMEOUT, Cause.BUSY])
def test_an_outage_is_told_as_one_though_the_budget_is_spent(
    world: World, away: Cause
) -> None:
    bridge = world.bridge()
    for n in range(9):
        bridge.login(f"wrong{n}", PHONE)
    world.outage = world.away = away
    assert reason(bridge.login("right", LAPTOP)) == Reason.GUARDED  # seen just now
    world.seconds += BELIEVED + 0.1
    told = bridge.login("right", LAPTOP)
    assert isinstance(told, Unavailable)
    assert (told.cause, told.method) == (away, "guard")
    world.away = Cause.CONFIGURATION
    assert reason(bridge.login("right", LAPTOP)) == Reason.GUARDED


def test_the_kept_try_is_one_for_each_window(world: World) -> None:
    bridge = world.bridge()
    bridge.login("right", LAPTOP)
    for n in range(9):
        bridge.login(f"wrong{n}", PHONE)
    assert reason(bridge.login("slip", LAPTOP)) == Reason.WRONG_PASSWORD
    assert reason(bridge.login("right", LAPTOP)) == Reason.GUARDED
    assert world.bad_count == BUDGET.tries < world.threshold
    world.seconds += 29 * 60
    assert reason(bridge.login("right", LAPTOP)) == Reason.GUARDED
    world.seconds += 2 * 60
    assert isinstance(bridge.login("right", LAPTOP), Accepted)


def test_an_address_of_long_ago_is_none(world: World) -> None:
    bridge = world.bridge()
    bridge.login("right", LAPTOP)
    world.seconds += KNOWN_FOR.total_seconds() + 1
    for n in range(3):
        bridge.login(f"wrong{n}", PHONE)
    assert reason(bridge.login("right", LAPTOP)) == Reason.GUARDED


def test_the_right_password_gives_its_try_back(world: World) -> None:
    bridge = world.bridge()
    bridge.login("wrong", PHONE)
    world.server = "dc2:636"
    for _ in range(5):
        assert isinstance(bridge.login("right", PHONE), Accepted)
    # The first server may go on counting.
    assert world.store.tries(ANNA) == Tries(1, NOW, "dc1")


def test_the_same_servers_acceptance_begins_anew(world: World) -> None:
    bridge = world.bridge()
    bridge.login("wrong", PHONE)
    world.server = "dc1:88"
    bridge.login("right", PHONE)
    assert world.store.tries(ANNA) is None


def test_an_outage_gives_the_try_back(world: World) -> None:
    bridge = world.bridge()
    bridge.login("wrong")
    world.outage = Cause.UNREACHABLE
    for n in range(20):
        assert isinstance(bridge.login(f"wrong{n}"), Unavailable)
    assert world.store.tries(ANNA) == Tries(1, NOW, "dc1")


class Recorded(MemoryStore):
    """A store that notes what is written for the guard."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[str] = []

    def count_try(self, *args: object, **named: object) -> bool:
        self.written.append("count")
        return super().count_try(*args, **named)

    def give_back_try(self, *args: object) -> None:
        self.written.append("give back")
        super().give_back_try(*args)

    def forget_tries(self, account: Account) -> None:
        self.written.append("forget")
        super().forget_tries(account)

    def note_address(self, *args: object) -> None:
        self.written.append("address")
        super().note_address(*args)


def test_a_login_with_the_right_password_writes_nothing() -> None:
    world = World(store=Recorded())
    for _ in range(10):
        bridge = world.bridge()
        for _ in range(10):
            assert isinstance(bridge.login("right", LAPTOP), Accepted)
            world.seconds += 60
    # Each process sees it accepted for the first time once.
    once = ["count", "give back"]
    assert world.store.written == [*once, "address", *once * 9]
    assert world.store.tries(ANNA) is None
    world.store.written.clear()
    world.seconds += 86_400
    bridge.login("right", LAPTOP)
    assert world.store.written == ["address"]
    bridge.login("right", None)
    bridge.login("right", ip_address("192.0.2.99"))
    assert world.store.written == ["address", "address"]


def test_bridges_count_before_they_ask_for_a_stranger(world: World) -> None:
    bridges = [world.bridge() for _ in range(8)]
    begin = threading.Barrier(BUDGET.anybody)

    def slow(typed: str) -> Verdict:
        begin.wait(10)
        return world.ask(typed)

    with ThreadPoolExecutor(8) as pool:
        running = [
            pool.submit(each.login, f"wrong{n}", PHONE, slow)
            for n, each in enumerate(bridges)
        ]
        told = sorted(reason(one.result(20)) for one in running)
    assert told == [Reason.GUARDED] * 6 + [Reason.WRONG_PASSWORD] * 2
    assert world.bad_count == BUDGET.anybody


class Locked(MemoryStore):
    """A store that cannot be written, or not even read."""

    readable = True
    writable = False

    def count_try(self, *args: object, **named: object) -> bool:
        if self.writable:
            return super().count_try(*args, **named)
        raise StoreError("locked", "here")

    def tries(self, account: Account) -> Tries | None:
        if self.readable:
            return super().tries(account)
        raise StoreError("unreachable", "here")


@pytest.mark.parametrize("readable", [True, False])
def test_without_the_store_each_bridge_counts_for_itself(readable: bool) -> None:
    world = World(store=Locked())
    world.store.readable = readable
    bridge = world.bridge()
    for n in range(20):
        bridge.login(f"wrong{n}")
    assert world.bad_count == BUDGET.anybody
    assert reason(bridge.login("right")) == Reason.GUARDED


def test_what_one_bridge_counted_for_itself_counts_beside_the_fleets() -> None:
    world = World(store=Locked())
    bridge = world.bridge()
    bridge.login("wrong")
    world.store.writable = True
    for n in range(20):
        bridge.login(f"wrong{n}")
    assert world.bad_count == BUDGET.anybody


class Slow(MemoryStore):
    """Counts how often it is asked."""

    def __init__(self) -> None:
        super().__init__()
        self.lists = self.reads = 0

    def tried(self, most: int) -> frozenset[int] | None:
        self.lists += 1
        return super().tried(most)

    def tries(self, account: Account) -> Tries | None:
        self.reads += 1
        return super().tries(account)


def test_nearly_no_login_asks_the_store() -> None:
    world = World(store=Slow(), every=EVERY)
    bridge, other = world.bridge(), world.bridge()
    for _ in range(100):
        assert isinstance(bridge.login("right", None), Accepted)
    assert (world.store.lists, world.store.reads) == (1, 1)
    # What it has counted itself, it knows at once; what another one has, soon.
    bridge.login("wrong", None)
    bridge.login("right", None)
    assert world.store.reads == 3
    other.login("wrong1", None)
    world.seconds += EVERY
    bridge.login("right", None)
    assert world.store.reads == 5


@pytest.mark.parametrize("bridges", [1, 2, 3, 8])
@pytest.mark.parametrize("threshold", [2, 3, 4, 5, 10])
def test_a_fleet_stays_below_every_threshold(bridges: int, threshold: int) -> None:
    world = World(threshold=threshold, every=EVERY)
    budget = budget_of(Lockout(threshold, 30 * MINUTE))
    fleet = [world.bridge(budget) for _ in range(bridges)]
    for each in fleet:
        assert isinstance(each.login("right"), Accepted)
    # All within the time for which a list of the counted ones is believed.
    for n in range(40):
        world.seconds += 0.005
        fleet[n % bridges].login(f"wrong{n}", None if n % 3 else PHONE)
    assert world.bad_count == budget.tries < threshold


@pytest.mark.parametrize("address", [PHONE, None])
def test_a_fleet_at_once_stays_below_the_threshold(
    world: World, address: IPAddress | None
) -> None:
    budget = budget_of(Lockout(2, 30 * MINUTE))
    fleet = [world.bridge(budget) for _ in range(4)]
    fleet[0].login("right", address)
    with ThreadPoolExecutor(4) as pool:
        told = [
            pool.submit(each.login, f"wrong{n}", address)
            for n, each in enumerate(fleet)
        ]
        reasons = sorted(reason(one.result(20)) for one in told)
    assert reasons == [Reason.GUARDED] * 3 + [Reason.WRONG_PASSWORD]
    assert world.bad_count == 1


def test_a_server_that_does_not_answer_may_have_counted(world: World) -> None:
    bridge = world.bridge()
    user = ANNA.canonical

    def silent(_typed: str) -> Verdict:
        world.bad_count += 1
        return Unavailable(
            Cause.TIMEOUT, user, "ldap-bind", "dc1:636", "timeout", sent=True
        )

    for _ in range(8):
        bridge.login("old", None, ask=silent)
        world.seconds += 60
    assert world.bad_count == BUDGET.anybody
    assert world.store.tries(ANNA) == Tries(2, NOW + MINUTE, "dc1")


def test_what_was_right_before_is_not_counted_where_nobody_answers(
    world: World,
) -> None:
    bridge = world.bridge()
    bridge.login("right", PHONE)
    bridge.login("wrong", PHONE)
    silent = Unavailable(Cause.TIMEOUT, method="ldap-bind", server="dc1", sent=True)
    for _ in range(8):
        assert bridge.login("right", PHONE, ask=lambda _typed: silent) is silent
    assert world.store.tries(ANNA) == Tries(1, NOW, "dc1")


def test_a_realm_is_no_server(world: World) -> None:
    bridge = world.bridge()
    user, realm = ANNA.canonical, "COMPANY.COM"
    right = Accepted(user, "kerberos", realm)
    wrong = Rejected(Reason.WRONG_PASSWORD, user, "kerberos", realm)
    bridge.login("wrong", PHONE, ask=lambda _typed: wrong)
    for _ in range(3):
        assert bridge.login("right", PHONE, ask=lambda _typed: right) is right
    # It may have been another KDC, which counts for itself.
    assert world.store.tries(ANNA) == Tries(1, NOW, "")


def test_in_a_flood_each_account_is_looked_up(world: World) -> None:
    store = world.store
    for number in range(MOST + 1):
        one = replace(ANNA, number=number + 10)
        store.count_try(one, NOW, since=NOW, most=1)
    counted = Counted(store)
    assert counted.may_be(ANNA)
    assert store.tried(MOST) is None
    assert store.tried(MOST + 1) == frozenset(range(10, MOST + 11))


def test_local_accounts_and_unknown_names_pass(world: World) -> None:
    bridge = world.bridge()
    local = replace(ANNA, origin=Origin.LOCAL)
    for account in (None, local):
        request = LoginRequest("x", Secret("y"), remote_ip=PHONE)
        login = Login(request, Deadline.after(9), account)
        assert bridge.guard.before(login) is None
        wrong = Rejected(Reason.WRONG_PASSWORD, method="local")
        assert bridge.guard.after(login, wrong) is wrong


def test_who_was_switched_to_a_local_password_passes(world: World) -> None:
    bridge = world.bridge()
    for n in range(5):
        bridge.login(f"wrong{n}")
    world.methods = ()
    assert isinstance(bridge.login("right"), Accepted)


def test_a_burst_of_one_password_is_one_try(world: World) -> None:
    bridge, told = world.bridge(), threading.Event()

    def slow(typed: str) -> Verdict:
        told.wait(10)
        return world.ask(typed)

    with ThreadPoolExecutor(10) as pool:
        running = [pool.submit(bridge.login, "old", PHONE, slow) for _ in range(10)]
        until(lambda: len(bridge.guard._gate._waiting.get(1, ())) == 9)
        told.set()
        verdicts = [one.result(10) for one in running]
    assert {reason(one) for one in verdicts} == {Reason.WRONG_PASSWORD}
    assert world.bad_count == 1


@contextmanager
def burst(world: World, bridge: Bridge) -> Iterator[list[Future[Verdict]]]:
    """30 wrong passwords, all of which that may do wait until the block ends."""
    told = threading.Event()

    def slow(typed: str) -> Verdict:
        told.wait(10)
        return world.ask(typed)

    with ThreadPoolExecutor(30) as pool:
        running = [
            pool.submit(bridge.login, f"wrong{n}", PHONE, slow) for n in range(30)
        ]
        until(lambda: len(bridge.guard._gate._waiting.get(1, ())) == WAITERS)
        try:
            yield running
        finally:
            told.set()


def test_a_burst_of_different_passwords_does_not_overshoot(world: World) -> None:
    bridge = world.bridge()
    with burst(world, bridge) as running:
        pass
    verdicts = [one.result() for one in running]
    assert world.bad_count == BUDGET.anybody
    # As for a name that nobody has: no outage tells that there is the account.
    assert {reason(one) for one in verdicts} == {Reason.WRONG_PASSWORD, Reason.GUARDED}


def test_the_owner_is_told_that_others_wait(world: World) -> None:
    bridge = world.bridge()
    assert isinstance(bridge.login("right"), Accepted)
    with burst(world, bridge):
        assert reason(bridge.login("other")) == Reason.GUARDED
        owner = bridge.login("right")
    assert isinstance(owner, Unavailable)
    assert owner.cause is Cause.OVERLOADED


def until(condition: Callable[[], bool]) -> None:
    limit = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < limit
        time.sleep(0.002)


def test_the_gate_gives_up_a_login_that_never_came_back() -> None:
    now = [0.0]
    gate = Gate(lambda: now[0])
    assert isinstance(gate.enter(1, b"a", Deadline.after(2)), Flight)
    assert isinstance(gate.enter(1, b"b", Deadline.after(0.05)), Unavailable)
    assert isinstance(gate.enter(2, b"b", Deadline.after(2)), Flight)
    now[0] += 4
    assert isinstance(gate.enter(1, b"b", Deadline.after(2)), Flight)


def test_what_is_remembered_is_bounded_and_shows_no_password() -> None:
    now = [0.0]
    wrong = WrongPasswords(lambda: now[0], room=8)
    digests = [wrong.digest(ANNA, Secret(f"pass{n}")) for n in range(20)]
    for one in digests:
        now[0] += 1
        wrong.keep(one, "m")
    assert [wrong.find(one) is not None for one in digests] == [False] * 12 + [True] * 8
    other = WrongPasswords()
    assert other.digest(ANNA, Secret("pass1")) != digests[1]
    assert wrong.digest(ANNA, Secret("\ud800")) != wrong.digest(ANNA, Secret("?"))


@pytest.mark.parametrize(
    ("threshold", "tries", "expected"),
    [
        (1, None, 1),
        (2, None, 1),
        (3, None, 2),
        (4, None, 3),
        (5, None, 3),
        (6, None, 4),
        (50, None, DEFAULT_TRIES),
        (0, None, DEFAULT_TRIES),
        (10, 9, 9),
        (5, 9, 4),
        (0, 9, 9),
    ],
)
def test_a_budget_stays_below_the_threshold(
    threshold: int, tries: int | None, expected: int
) -> None:
    budget = budget_of(Lockout(threshold, MINUTE), tries)
    assert budget.tries == expected
    assert budget.window == DEFAULT_WINDOW
    assert 1 <= budget.anybody <= budget.tries


def test_a_budget_takes_the_longer_window() -> None:
    lockout = Lockout(5, 40 * MINUTE)
    assert budget_of(lockout).window == 40 * MINUTE
    assert budget_of(lockout, window=MINUTE).window == 40 * MINUTE
    assert budget_of(Lockout(5, MINUTE), window=2 * MINUTE).window == 2 * MINUTE
    assert budget_of(lockout, window=60 * MINUTE).window == 60 * MINUTE
    assert budget_of(None, 3, MINUTE) == Budget(3, MINUTE)
    assert budget_of(None) == Budget(DEFAULT_TRIES, DEFAULT_WINDOW)


def test_a_directorys_policy_is_asked_now_and_then() -> None:
    now = [0.0]
    answers: list[Budget | None] = [None, BUDGET, None, Budget(9)]
    budgets = Budgets(
        lambda _account, _deadline: answers.pop(0),
        lambda _account: Budget(1),
        clock=lambda: now[0],
    )
    soon = Deadline.after(1)
    assert budgets(ANNA, soon) == Budget(1)
    for _ in range(3):
        assert budgets(ANNA, soon) == BUDGET
    now[0] += 3600
    assert budgets(ANNA, soon) == BUDGET
    assert budgets(ANNA, soon) == Budget(9)
    assert answers == []


def test_a_window_without_end_is_no_error(world: World) -> None:
    bridge = world.bridge(Budget(2, timedelta.max))
    bridge.login("wrong1")
    world.seconds += 10**9
    assert reason(bridge.login("wrong2")) == Reason.GUARDED


def test_clients_are_told_apart_by_site() -> None:
    assert place_of(None) is None
    assert place_of(PHONE) == PHONE
    assert place_of(ip_address("::ffff:192.0.2.7")) == PHONE
    one, two = ip_address("2001:db8::1"), ip_address("2001:db8::ffff:1")
    assert place_of(one) == place_of(two) == ip_address("2001:db8::")
    assert place_of(ip_address("2001:db8:0:1::1")) != place_of(one)
