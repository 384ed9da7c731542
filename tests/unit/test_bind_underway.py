"""A bind by steps: where it waits, and what becomes of one that fails."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from dirbridge.authenticators.base import Next
from dirbridge.authenticators.bind_underway import BindUnderway, Steps, Wait
from dirbridge.errors import DirectoryError, Unreachable
from dirbridge.ldap.transport import Unanswered
from dirbridge.model.deadline import Deadline
from dirbridge.model.login import (
    Accepted,
    Cause,
    Reason,
    Rejected,
    Unavailable,
    Verdict,
)

RIGHT = Accepted("anna@company.com", "ldap-bind", "dc1")
WRONG = Rejected(Reason.WRONG_PASSWORD, "anna@company.com", "ldap-bind", "dc1")
OUTAGE = Unavailable(Cause.UNREACHABLE)
LATE = Unreachable(domain="d", server="dc1", operation="bind", code="timeout")
UNTIL = Deadline(17.0)


class Line:
    """A connection on which whoever waits finds what the test has put there."""

    def __init__(self, fails: Unreachable | None = None) -> None:
        self.fails = fails
        self.waited: list[str] = []
        self.allowed: list[Deadline] = []
        self.closed = False

    def fileno(self) -> int:
        return 17

    def allow(self, deadline: Deadline) -> None:
        self.allowed.append(deadline)

    def await_more(self, operation: str) -> None:
        self.waited.append(operation)
        if self.fails is not None:
            raise self.fails

    def close(self) -> None:
        self.closed = True


class Bind:
    """One whose steps a test has written."""

    def __init__(self, steps: Callable[[], Steps], line: Line) -> None:
        self.line = line
        self.given_back = 0
        self.errors: list[DirectoryError] = []
        self.followed: list[Verdict] = []
        self.underway = BindUnderway(
            line,
            steps(),
            ended=self._ended,
            failed=self._failed,
            followed=self._follow,
        )

    def _ended(self) -> None:
        self.given_back += 1

    def _follow(self, verdict: Verdict) -> Verdict:
        self.followed.append(verdict)
        return verdict

    def _failed(self, error: DirectoryError) -> Unavailable:
        self.errors.append(error)
        return OUTAGE


def accepted() -> Steps:
    yield Wait("bind", UNTIL)
    yield Wait("read", UNTIL)
    return RIGHT


def rejected() -> Steps:
    yield Wait("bind", UNTIL)
    return WRONG


def unanswered() -> Steps:
    try:
        yield Wait("bind", UNTIL)
    except Unreachable as error:
        raise Unanswered.of(error) from error
    return RIGHT


def test_an_acceptance_comes_step_by_step() -> None:
    bind = Bind(accepted, Line())
    steps = [bind.underway.go_on() for _ in range(3)]
    assert steps == [Next.WAIT, Next.WAIT, RIGHT]
    assert bind.line.waited == []
    assert bind.given_back == 1
    assert bind.underway.finish() == RIGHT
    assert bind.given_back == 1


def test_a_rejection_is_for_a_thread() -> None:
    bind = Bind(rejected, Line())
    assert [bind.underway.go_on() for _ in range(2)] == [Next.WAIT, Next.FINISH]
    assert bind.followed == []
    assert bind.underway.finish() == WRONG
    assert bind.given_back == 1
    assert bind.followed == [WRONG]


def test_a_thread_waits_for_what_is_left() -> None:
    bind = Bind(accepted, Line())
    bind.underway.go_on()
    assert bind.underway.finish() == RIGHT
    assert bind.line.waited == ["bind", "read"]
    assert bind.line.allowed == [UNTIL, UNTIL]


def test_one_that_was_never_begun_is_done_by_a_thread() -> None:
    bind = Bind(accepted, Line())
    assert bind.underway.finish() == RIGHT
    assert bind.line.waited == ["bind", "read"]


def test_a_silent_server_fails_where_the_steps_wait() -> None:
    bind = Bind(unanswered, Line(LATE))
    assert bind.underway.go_on() is Next.WAIT
    assert bind.underway.finish() == OUTAGE
    assert [type(error) for error in bind.errors] == [Unanswered]
    assert bind.line.closed
    assert bind.given_back == 0


def test_what_fails_on_the_loop_is_judged_by_a_thread() -> None:
    def broken() -> Steps:
        yield Wait("bind", UNTIL)
        raise LATE

    bind = Bind(broken, Line())
    assert [bind.underway.go_on() for _ in range(2)] == [Next.WAIT, Next.FINISH]
    assert bind.errors == []
    assert bind.underway.finish() == OUTAGE
    assert bind.errors == [LATE]
    assert bind.followed == [OUTAGE]
    assert bind.line.closed


def test_a_bug_in_a_step_is_told_at_once() -> None:
    def buggy() -> Steps:
        yield Wait("bind", UNTIL)
        raise ZeroDivisionError

    bind = Bind(buggy, Line())
    assert bind.underway.go_on() is Next.WAIT
    with pytest.raises(ZeroDivisionError):
        bind.underway.go_on()
    with pytest.raises(RuntimeError, match="without a verdict"):
        bind.underway.finish()
    assert bind.line.waited == []
    assert bind.line.closed
    assert bind.given_back == 0


def test_one_that_is_dropped_is_given_back() -> None:
    bind = Bind(accepted, Line())
    bind.underway.drop()
    assert bind.given_back == 1
    assert not bind.line.closed
