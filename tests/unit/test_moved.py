"""Binds of people whose entry was moved since the last sync."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from dirbridge.authenticators.base import Next
from dirbridge.authenticators.live import Standing
from dirbridge.authenticators.moved import FollowingBind
from dirbridge.model.account import Account, AccountValues, Origin
from dirbridge.model.deadline import Deadline
from dirbridge.model.entry import Entry
from dirbridge.model.login import (
    Accepted,
    Cause,
    Reason,
    Rejected,
    Unavailable,
    Verdict,
)
from dirbridge.model.names import DirectoryId, DomainName
from dirbridge.model.secret import Secret

OLD, NEW = "uid=anna,ou=old,dc=x", "uid=anna,ou=new,dc=x"
USER = "anna@company.com"
ANNA = Account(
    number=1,
    domain=DomainName("company.com"),
    mailbox="anna",
    origin=Origin.MAPPED,
    state_since=datetime(2026, 3, 1, tzinfo=UTC),
    values=AccountValues(directory_id=DirectoryId("id-anna"), dn=OLD),
)
RIGHT = Accepted(USER, "ldap-bind", "od1:636")
WRONG = Rejected(Reason.WRONG_PASSWORD, USER, "ldap-bind", "od1:636", "result 49")


class Server:
    """Binds as slapd does: a DN that is not there has a wrong password."""

    method = "ldap-bind"

    def __init__(self, stands: str = NEW) -> None:
        self.stands = stands
        self.asked: list[str] = []
        self.refusal: Verdict = WRONG

    def authenticate(
        self, account: Account, password: Secret, deadline: Deadline
    ) -> Verdict:
        assert deadline.left()
        self.asked.append(account.values.dn)
        there = account.values.dn == self.stands
        return RIGHT if there and password.reveal() == "right" else self.refusal

    def start(
        self,
        account: Account,
        password: Secret,
        deadline: Deadline,
        followed: Callable[[Verdict], Verdict],
    ) -> Begun:
        return Begun(self.authenticate(account, password, deadline), followed)

    def check(self) -> list[object]:
        return []


class Begun:
    def __init__(
        self, verdict: Verdict, followed: Callable[[Verdict], Verdict]
    ) -> None:
        self.verdict = verdict
        self.followed = followed

    def go_on(self) -> Accepted | Next:
        return self.verdict if isinstance(self.verdict, Accepted) else Next.FINISH

    def finish(self) -> Verdict:
        return self.followed(self.verdict)


class Directory:
    """Tells where the entry stands."""

    def __init__(self, says: object = NEW) -> None:
        self.says = says
        self.looks = 0

    def look(self, account: Account, deadline: Deadline) -> object:
        self.looks += 1
        own = account.values.directory_id
        if isinstance(self.says, str) and self.says.startswith("uid="):
            return Standing(Entry(own, self.says, {}))
        return self.says


def ask(server: Server, directory: Directory, typed: str = "right") -> Verdict:
    method = FollowingBind(server, directory.look)
    return method.authenticate(ANNA, Secret(typed), Deadline.after(5))


@pytest.mark.parametrize("reason", [Reason.WRONG_PASSWORD, Reason.UNKNOWN])
def test_whoever_was_moved_gets_in_where_the_entry_stands(reason: Reason) -> None:
    server = Server()
    server.refusal = replace(WRONG, reason=reason)
    assert ask(server, Directory()) == RIGHT
    assert server.asked == [OLD, NEW]


def test_a_wrong_password_is_wrong_there_as_well() -> None:
    server = Server()
    assert ask(server, Directory(), "wrong") == WRONG
    assert server.asked == [OLD, NEW]


@pytest.mark.parametrize(
    "says",
    [OLD, "UID=Anna, OU=old,DC=X", Reason.UNKNOWN, Cause.UNREACHABLE, "uid=,,no dn"],
)
def test_a_wrong_password_is_sent_once_where_nothing_moved(says: object) -> None:
    server = Server(stands=OLD)
    assert ask(server, Directory(says), "wrong") == WRONG
    assert server.asked == [OLD]


@pytest.mark.parametrize(
    "refusal",
    [
        replace(WRONG, reason=Reason.DISABLED),
        replace(WRONG, server=""),
        Unavailable(Cause.TIMEOUT, USER, "ldap-bind", "od1:636"),
    ],
)
def test_other_verdicts_need_no_look(refusal: Verdict) -> None:
    server, directory = Server(), Directory()
    server.refusal = refusal
    assert ask(server, directory, "wrong") == refusal
    server.stands = OLD
    assert ask(server, directory) == RIGHT
    assert directory.looks == 0


def test_a_bind_on_the_loop_is_followed_by_a_thread() -> None:
    server = Server()
    method = FollowingBind(server, Directory().look)
    begun = method.start(ANNA, Secret("right"), Deadline.after(5))
    assert begun.go_on() is Next.FINISH
    assert begun.finish() == RIGHT
