"""Who waits for a long check, and that it holds up nobody else."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

from dirbridge.authenticators.local import LocalAuthenticator, make_verifier
from dirbridge.authenticators.turns import Turns
from dirbridge.login.domains import MailDomain, Resolver
from dirbridge.login.service import AT_ONCE, LoginService
from dirbridge.model.account import Account, AccountValues, Origin
from dirbridge.model.deadline import Deadline
from dirbridge.model.login import Accepted, Cause, LoginRequest, Unavailable, Verdict
from dirbridge.model.names import DirectoryId, DomainName
from dirbridge.model.secret import Secret
from tests.unit.test_login import filled

COM = DomainName("company.com")
NOW = datetime(2026, 3, 1, tzinfo=UTC)


def person(name: str) -> Account:
    return Account(
        number=0,
        domain=COM,
        mailbox=name,
        origin=Origin.MAPPED,
        state_since=NOW,
        values=AccountValues(directory_id=DirectoryId(name), login_names=(name,)),
    )


class Held(Turns):
    """Keeps everybody who has a turn until it is opened."""

    def __init__(self, at_once: int, most: int, each: int) -> None:
        super().__init__(at_once, most=most, each=each)
        self.let_go = threading.Event()
        self.told: list[tuple[int, bool]] = []

    def have(self, number: int) -> None:
        with self.turn(number, Deadline.after(20)) as free:
            if free:
                self.let_go.wait(20)
            self.told.append((number, free))


def test_one_account_and_all_of_them_have_room_for_so_many() -> None:
    turns = Held(1, most=5, each=3)
    with ThreadPoolExecutor(9) as pool:
        running = [pool.submit(turns.have, number) for number in (1, 1, 1)]
        while turns._all < 3:
            assert not any(one.done() for one in running)
        # Told at once, while the others wait.
        turns.have(1)
        assert turns.told == [(1, False)]
        running += [pool.submit(turns.have, number) for number in (2, 3)]
        while turns._all < 5:
            assert not any(one.done() for one in running)
        turns.have(4)
        turns.let_go.set()
        for one in running:
            one.result(20)
    assert sorted(turns.told) == [
        *[(1, False), (1, True), (1, True), (1, True)],
        *[(2, True), (3, True), (4, False)],
    ]
    turns.have(4)
    assert turns.told[-1] == (4, True)


def test_who_waits_in_vain_leaves() -> None:
    turns = Turns(1, most=2)
    with turns.turn(1, Deadline.after(5)) as first:
        for _ in range(5):
            with turns.turn(1, Deadline.after(0)) as second:
                assert (first, second) == (True, False)


def test_local_passwords_wait_in_such_a_queue() -> None:
    verifier = make_verifier(Secret("right"))
    local = LocalAuthenticator(lambda _account: verifier)
    local._turns = Turns(1, each=1)
    anna = person("anna")
    with local._turns.turn(anna.number, Deadline.after(5)):
        told = local.authenticate(anna, Secret("right"), Deadline.after(5))
    assert isinstance(told, Unavailable)
    assert told.cause is Cause.OVERLOADED
    told = local.authenticate(anna, Secret("right"), Deadline.after(5))
    assert isinstance(told, Accepted)


class Slow:
    """The store's own method, in a queue."""

    method = "local"

    def __init__(self) -> None:
        self.come = threading.Semaphore(0)
        self.let_go = threading.Event()

    def authenticate(
        self, account: Account, password: Secret, deadline: Deadline
    ) -> Verdict:
        self.come.release()
        self.let_go.wait(20)
        return Accepted(account.canonical, self.method, "local")

    def check(self) -> list[object]:
        return []


class Directory(Slow):
    method = "ldap-bind"


def test_who_is_checked_here_takes_no_place_at_the_directory() -> None:
    slow, directory = Slow(), Directory()
    directory.let_go.set()
    service = LoginService(
        Resolver((MailDomain(COM, primary=True),), filled(*map(person, ("a", "b")))),
        lambda account: (slow,) if account.mailbox == "a" else (directory,),
    )

    def ask(name: str) -> Verdict:
        return service.answer(LoginRequest(name, Secret("x")))

    with ThreadPoolExecutor(AT_ONCE + 1) as pool:
        running = [pool.submit(ask, "a") for _ in range(AT_ONCE + 1)]
        for _ in running:
            assert slow.come.acquire(timeout=20)
        assert isinstance(ask("b"), Accepted)
        slow.let_go.set()
        assert all(isinstance(one.result(20), Accepted) for one in running)
