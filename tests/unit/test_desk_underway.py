"""What the desk does with logins that it goes on with on the event loop."""

from __future__ import annotations

import asyncio
import gc
import socket
import threading
from collections.abc import Awaitable, Callable

import pytest

from dirbridge.authenticators.base import Next
from dirbridge.hooks.desk import Desk, Question
from dirbridge.login import stage
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

RIGHT = Accepted("anna@company.com", "ldap-bind", "dc1")
WRONG = Rejected(Reason.WRONG_PASSWORD, "anna@company.com", "ldap-bind", "dc1")


def on_the_loop() -> bool:
    return threading.current_thread() is threading.main_thread()


class Login:
    """One that is under way; what a directory says are octets in a socket."""

    def __init__(self, *steps: Verdict | Next, says: int = 9) -> None:
        self.here, self.there = socket.socketpair()
        self.steps = list(steps)
        self.there.send(b"x" * says)
        self.finished = threading.Event()

    def fileno(self) -> int:
        return self.here.fileno()

    def go_on(self) -> Verdict | Next:
        assert on_the_loop()
        if not self.steps:
            raise ZeroDivisionError
        return self.steps.pop(0)

    def finish(self) -> Verdict:
        assert not on_the_loop()
        self.finished.set()
        return WRONG

    def close(self) -> None:
        self.here.close()
        self.there.close()


class Answers:
    """Begins the one login; notes who was told, and whether by the loop."""

    def __init__(self, login: Login) -> None:
        self.login = login
        self.notes: list[tuple[Verdict, bool]] = []

    def answer(self, _request: LoginRequest) -> Verdict:
        raise AssertionError("it is under way already")

    def again(self, _hook: str, _octets: bytes) -> None:
        raise AssertionError("no octets are given to the desk here")

    def quick(self, request: LoginRequest) -> stage.Login:
        return stage.Login(request, request.deadline)

    def start(self, _login: stage.Login) -> Login:
        return self.login

    def told(self, _request: LoginRequest, verdict: Verdict, _seconds: float) -> None:
        self.notes.append((verdict, False))

    def noted(self, _request: LoginRequest, verdict: Verdict, _seconds: float) -> None:
        self.notes.append((verdict, True))


async def settled(desk: Desk, _question: Question) -> None:
    await desk.drained()


def ask(
    login: Login, until: Callable[[Desk, Question], Awaitable[None]] = settled
) -> tuple[list[Verdict], list[tuple[Verdict, bool]]]:
    """Ask the desk; give what the client was told, and what was noted."""
    answers = Answers(login)
    told: list[Verdict] = []

    async def main() -> None:
        desk = Desk(answers, deadline=5, threads=2)
        question = desk.ask(LoginRequest("anna", Secret("x")), told.append)
        assert told == []
        await until(desk, question)
        assert len(desk._watched) == 0
        desk.close()

    asyncio.run(main())
    login.close()
    return told, answers.notes


def test_an_acceptance_is_told_from_the_loop() -> None:
    login = Login(Next.WAIT, Next.WAIT, RIGHT)
    assert ask(login) == ([RIGHT], [(RIGHT, True)])
    assert not login.finished.is_set()


def test_all_else_is_finished_by_a_thread() -> None:
    assert ask(Login(Next.WAIT, Next.FINISH)) == ([WRONG], [(WRONG, False)])


def test_one_that_cannot_even_begin_is_finished_by_a_thread() -> None:
    assert ask(Login(Next.FINISH)) == ([WRONG], [(WRONG, False)])


def test_a_silent_directory_is_waited_for_by_a_thread() -> None:
    assert ask(Login(Next.WAIT, says=0)) == ([WRONG], [(WRONG, False)])


def test_a_bug_on_the_loop_leads_to_a_thread(caplog: pytest.LogCaptureFixture) -> None:
    assert ask(Login(Next.WAIT)) == ([WRONG], [(WRONG, False)])
    assert "ZeroDivisionError" in caplog.text


def test_one_whose_client_went_away_gives_back_what_it_took() -> None:
    login = Login(Next.WAIT, says=0)

    async def withdrawn(_desk: Desk, question: Question) -> None:
        await asyncio.sleep(0)
        question.withdraw()
        # What a thread gets later must tell nobody of an outage.
        question.start(asyncio.get_running_loop())
        assert question._timer is None
        await asyncio.to_thread(login.finished.wait, 5)

    told, _ = ask(login, withdrawn)
    assert told == []
    assert login.finished.is_set()


def test_an_outage_beside_it_is_told_as_ever() -> None:
    class Nothing(Answers):
        def start(self, _login: stage.Login) -> None:
            return None

        def answer(self, _request: LoginRequest) -> Verdict:
            return Unavailable(Cause.UNREACHABLE)

    answers = Nothing(login := Login())
    told: list[Verdict] = []

    async def main() -> None:
        desk = Desk(answers, deadline=5, threads=2)
        desk.ask(LoginRequest("anna", Secret("x")), told.append)
        await desk.drained()
        desk.close()

    asyncio.run(main())
    login.close()
    assert told == [Unavailable(Cause.UNREACHABLE)]


def test_no_password_waits_for_the_next_login() -> None:
    class Slow(Answers):
        def quick(self, request: LoginRequest) -> None:
            return None

        def answer(self, request: LoginRequest) -> Verdict:
            return RIGHT

    def kept() -> bool:
        every = (one for one in gc.get_objects() if isinstance(one, LoginRequest))
        return any(one.name == "nobody else" for one in every)

    login = Login()

    async def main() -> None:
        desk = Desk(Slow(login), deadline=5, threads=1)
        told = asyncio.Event()
        desk.ask(LoginRequest("nobody else", Secret("x")), lambda _: told.set())
        assert kept()
        await told.wait()
        # The thread has a line left to do.
        for _ in range(100):
            if not kept():
                break
            await asyncio.sleep(0.02)
        desk.close()

    asyncio.run(main())
    login.close()
    assert not kept()
