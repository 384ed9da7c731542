"""The guard of several processes, forked from one that made what they share."""

from __future__ import annotations

import mmap
import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from dirbridge.authenticators.live import Standing
from dirbridge.login.errands import Errands
from dirbridge.login.guard import Guard
from dirbridge.login.guard_addresses import UsualAddresses
from dirbridge.login.guard_budget import Budget, Ledger
from dirbridge.login.guard_gate import Gate
from dirbridge.login.guard_locks import AccountLocks
from dirbridge.login.guard_memory import LONGEST, WrongPasswords
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
            return Accepted(ANNA.canonical, "ldap-bind", "dc1:636")
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

    def login(self, typed: str, seconds: float = 20) -> Verdict:
        """Log in through a guard of this process."""
        store = MemoryStore()
        usual = UsualAddresses(store, Errands("test"))
        ledger = Ledger(store, lambda _a, _d: Budget(4), usual)
        guard = Guard(
            look,
            ledger,
            usual,
            methods=lambda _account: ("ldap-bind",),
            wrong=self.wrong,
            gate=Gate(locks=self.locks),
        )
        request = LoginRequest("anna", Secret(typed))
        login = Login(request, Deadline.after(seconds), ANNA)
        told = guard.before(login)
        if told is not None:
            return told
        return guard.after(login, self.directory.ask(typed))


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
    assert shared.locks.take(ANNA.number)

    def other() -> int:
        told = shared.login("wrong", seconds=0.1)
        return int(isinstance(told, Unavailable) and told.cause is Cause.OVERLOADED)

    assert ended(forked(other)) == 1
    shared.locks.give_back(ANNA.number)
    assert ended(forked(lambda: asked(shared.login("wrong")))) == 1


def test_an_account_waits_for_no_other_one() -> None:
    locks = AccountLocks()
    assert locks.take(7)
    assert ended(forked(lambda: int(locks.take(8)))) == 1
    assert ended(forked(lambda: int(locks.take(7)))) == 0


def test_a_process_that_is_killed_holds_nothing() -> None:
    locks = AccountLocks()
    reader, writer = os.pipe()

    def holder() -> int:
        os.write(writer, b"%d" % locks.take(7))
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
