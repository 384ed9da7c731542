"""The guard of several processes, forked from one that made what they share."""

from __future__ import annotations

import mmap
import os
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pytest

from dirbridge.authenticators.live import Look, Standing
from dirbridge.login.errands import Errands
from dirbridge.login.guard import Guard
from dirbridge.login.guard_addresses import UsualAddresses
from dirbridge.login.guard_budget import Budget, Ledger
from dirbridge.login.guard_gate import Gate
from dirbridge.login.guard_locks import AccountLocks
from dirbridge.login.guard_memory import LONGEST, Wrong, WrongPasswords
from dirbridge.login.stage import Login
from dirbridge.model.account import Account, AccountValues, Origin
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

ANNA = Account(
    number=7,
    domain=DomainName("company.com"),
    mailbox="anna",
    origin=Origin.MAPPED,
    state_since=datetime(2026, 3, 1, tzinfo=UTC),
    values=AccountValues(directory_id=DirectoryId("id-anna")),
)
RIGHT = Accepted(ANNA.canonical, "ldap-bind", "dc1:636")
SECONDS = 0.05
"""How long the directory thinks."""


@dataclass
class Directory:
    """Takes its time; all processes see the same figures."""

    figures: mmap.mmap = field(default_factory=lambda: mmap.mmap(-1, 4096))

    def ask(self, typed: str) -> Verdict:
        place = os.getpid() % 4096
        busy = sum(self.figures[1:])
        self.figures[place or 1] = 1
        # Whoever else is here now is one too many.
        self.figures[0] = max(self.figures[0], busy + 1)
        time.sleep(SECONDS)
        self.figures[place or 1] = 0
        if typed == "right":
            return RIGHT
        return Rejected(Reason.WRONG_PASSWORD, ANNA.canonical, "ldap-bind", "dc1:636")

    @property
    def at_once(self) -> int:
        return self.figures[0]


def look(account: Account, deadline: Deadline) -> Standing | Reason | Cause:
    return Standing(Entry(account.values.directory_id, "cn=anna", {}), (), "mark")


class Shared:
    """What is made before the fork."""

    def __init__(self) -> None:
        self.directory = Directory()
        self.wrong = WrongPasswords()
        self.locks = AccountLocks()

    def guard(self, look: Look = look) -> Guard:
        """Make the guard of a process."""
        store = MemoryStore()
        usual = UsualAddresses(store, Errands("test"))
        ledger = Ledger(store, lambda _a, _d: Budget(4), usual)
        return Guard(
            look,
            ledger,
            usual,
            methods=lambda _account: ("ldap-bind",),
            wrong=self.wrong,
            gate=Gate(locks=self.locks),
        )

    def login(
        self, typed: str, seconds: float = 20, guard: Guard | None = None
    ) -> Verdict:
        """Log in through a guard of this process."""
        guard = guard or self.guard()
        login = login_with(typed, seconds)
        told = guard.before(login)
        if told is not None:
            return told
        return guard.after(login, self.directory.ask(typed))


def login_with(typed: str, seconds: float = 20) -> Login:
    request = LoginRequest("anna", Secret(typed))
    return Login(request, Deadline.after(seconds), ANNA)


def forked(work: Callable[[], int]) -> int:
    """Run a function in a process of its own; gives its id."""
    pid = os.fork()
    if pid == 0:
        code = 99
        try:
            code = work()
        finally:
            os._exit(code)
    return pid


def ended(pid: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def asked(verdict: Verdict) -> int:
    assert isinstance(verdict, Rejected)
    assert verdict.reason is Reason.WRONG_PASSWORD
    return int(verdict.method == "ldap-bind")


def test_a_burst_of_one_password_at_all_processes_is_one_try() -> None:
    shared = Shared()
    pids = [forked(lambda: asked(shared.login("wrong"))) for _ in range(6)]
    assert sorted(ended(pid) for pid in pids) == [0, 0, 0, 0, 0, 1]
    # A process that begins later knows it as well.
    assert ended(forked(lambda: asked(shared.login("wrong")))) == 0


def test_a_burst_of_different_passwords_asks_one_by_one() -> None:
    shared = Shared()
    pids = [forked(lambda n=n: asked(shared.login(f"guess {n}"))) for n in range(4)]
    assert [ended(pid) for pid in pids] == [1, 1, 1, 1]
    assert shared.directory.at_once == 1


def test_who_waits_too_long_is_told_an_outage() -> None:
    shared = Shared()
    taken = shared.locks.take(ANNA.number)

    def other() -> int:
        told = shared.login("wrong", seconds=0.1)
        return int(isinstance(told, Unavailable) and told.cause is Cause.OVERLOADED)

    assert ended(forked(other)) == 1
    shared.locks.give_back(taken)
    assert ended(forked(lambda: asked(shared.login("wrong")))) == 1


def test_a_password_that_was_right_before_is_asked_once_as_well() -> None:
    shared = Shared()
    reader, writer = os.pipe()

    def child() -> int:
        guard = shared.guard()
        guard._right.add(guard._wrong.digest(ANNA, Secret("old"), ("ldap-bind",)))
        os.read(reader, 1)
        return asked(shared.login("old", guard=guard))

    pids = [forked(child) for _ in range(4)]
    os.write(writer, b"xxxx")
    assert sorted(ended(pid) for pid in pids) == [0, 0, 0, 1]
    for descriptor in (reader, writer):
        os.close(descriptor)


def test_one_that_another_process_asks_is_for_a_thread() -> None:
    shared = Shared()
    guard = shared.guard()
    guard._right.add(guard._wrong.digest(ANNA, Secret("right"), ("ldap-bind",)))
    assert shared.login("right", guard=guard) == RIGHT
    ready, go = os.pipe(), os.pipe()

    def other() -> int:
        shared.locks.take(ANNA.number)
        os.write(ready[1], b"x")
        os.read(go[0], 1)
        return 0

    pid = forked(other)
    os.read(ready[0], 1)
    login = login_with("right")
    assert not guard.passes(login)
    # It is the lock that is in its way.
    assert guard._ledger.begin_at_once(ANNA) is not None
    os.write(go[1], b"x")
    assert ended(pid) == 0
    assert guard.passes(login)
    # Nobody else can have it before the verdict is there.
    assert ended(forked(lambda: int(shared.locks.take(ANNA.number) is not None))) == 0
    guard.after(login, RIGHT)
    assert ended(forked(lambda: int(shared.locks.take(ANNA.number) is not None))) == 1
    for descriptor in (*ready, *go):
        os.close(descriptor)


def test_a_bug_of_the_count_keeps_no_lock(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    shared = Shared()
    guard = shared.guard()
    with monkeypatch.context() as patched:
        patched.setattr(Ledger, "begin", broken)
        with pytest.raises(ZeroDivisionError):
            guard.before(login_with("wrong"))
    # Neither in another process nor in this one.
    assert ended(forked(lambda: asked(shared.login("other")))) == 1
    assert asked(shared.login("wrong", 1, guard)) == 1


def test_a_bug_keeps_no_lock() -> None:
    shared = Shared()

    def broken(_account: Account, _deadline: Deadline) -> Standing | Reason | Cause:
        raise ZeroDivisionError

    guard = shared.guard(broken)
    digest = guard._wrong.digest(ANNA, Secret("wrong"), ("ldap-bind",))
    found = iter([None, Wrong(0.0, b"mark")])
    guard._wrong.find = lambda _digest: next(found)
    with pytest.raises(ZeroDivisionError):
        guard.before(login_with("wrong"))
    del guard._wrong.find
    assert guard._wrong.find(digest) is None
    assert ended(forked(lambda: asked(shared.login("wrong")))) == 1


def test_an_account_waits_for_no_other_one() -> None:
    locks = AccountLocks()
    assert locks.take(7)
    assert ended(forked(lambda: int(locks.take(8) is not None))) == 1
    assert ended(forked(lambda: int(locks.take(7) is not None))) == 0


def test_a_process_that_is_killed_holds_nothing() -> None:
    locks = AccountLocks()
    reader, writer = os.pipe()

    def holder() -> int:
        os.write(writer, b"%d" % (locks.take(7) is not None))
        signal.pause()
        return 0

    pid = forked(holder)
    assert os.read(reader, 1) == b"1"
    assert not locks.wait(7, Deadline.after(0.02))
    os.kill(pid, signal.SIGKILL)
    assert ended(pid) == -signal.SIGKILL
    assert locks.wait(7, Deadline.after(5))
    for descriptor in (reader, writer):
        os.close(descriptor)


def test_who_was_given_up_does_not_free_the_lock_of_the_next_one() -> None:
    locks = AccountLocks()
    late, taken = threading.Event(), threading.Event()

    def given_up() -> None:
        one = locks.take(7)
        taken.set()
        late.wait(20)
        locks.give_back(one)

    first = threading.Thread(target=given_up)
    first.start()
    assert taken.wait(20)
    # The gate lets the next one pass though the first one never came back.
    mine = locks.take(7)
    assert mine is not None
    late.set()
    first.join()
    assert ended(forked(lambda: int(locks.take(7) is not None))) == 0
    locks.give_back(mine)
    assert ended(forked(lambda: int(locks.take(7) is not None))) == 1


def test_what_two_have_kept_at_once_is_forgotten_at_once() -> None:
    wrong = WrongPasswords(room=8)
    digest = wrong.digest(ANNA, Secret("old"))
    wrong.keep(digest, "")
    slot = bytes(wrong._slots[wrong._place(digest) :][:40])
    # Who looked before the other one wrote takes the next slot of the shelf.
    wrong._slots[40:80] = slot
    wrong.forget(digest)
    assert wrong.find(digest) is None


def test_a_slot_that_is_given_away_meanwhile_tells_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given = [Secret("one"), Secret("two")]
    wrong = WrongPasswords(room=8)
    first, second = (wrong.digest(ANNA, one) for one in given)
    wrong.keep(first, "")
    place = wrong._place(first)
    wrong.forget(first)
    wrong.keep(second, "")
    # What the look found, before another process wrote there.
    monkeypatch.setattr(wrong, "_place", lambda _digest: place)
    assert wrong.find(first) is None
    assert wrong.find(second) is not None


def test_a_changed_password_is_forgotten_by_all() -> None:
    wrong = WrongPasswords()
    digest = wrong.digest(ANNA, Secret("old"))
    wrong.keep(digest, "mark")

    def child() -> int:
        found = wrong.find(digest)
        assert found is not None
        assert found.mark == wrong.mark("mark") != wrong.mark("other")
        wrong.forget(digest)
        wrong.keep(wrong.digest(ANNA, Secret("new")), "")
        return 0

    assert ended(forked(child)) == 0
    assert wrong.find(digest) is None
    found = wrong.find(wrong.digest(ANNA, Secret("new")))
    assert found is not None
    assert found.mark == b""


def test_a_record_that_two_wrote_at_once_refuses_nobody_for_long() -> None:
    now = [1000.0]
    wrong = WrongPasswords(lambda: now[0], room=8)
    first, second = (wrong.digest(ANNA, Secret(one)) for one in ("one", "two"))
    wrong.keep(first, "mark")
    half = bytes(wrong._slots)
    # The digest of the one, the time and the mark of the other one.
    wrong.forget(first)
    now[0] += 60
    wrong.keep(second, "other")
    mixed = half[:16] + bytes(wrong._slots)[16:]
    wrong._slots[:] = mixed
    found = wrong.find(first)
    assert found is not None
    assert found.mark != wrong.mark("mark")
    assert wrong.find(second) is None
    now[0] += LONGEST
    assert wrong.find(first) is None
