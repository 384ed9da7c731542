"""The live look at one account's entry, over the connector in memory."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from dirbridge.authenticators.live import Look, Standing, live_look
from dirbridge.connectors.memory import MemoryConnector
from dirbridge.errors import BindRefused, ConfigError, DirectoryError, Unreachable
from dirbridge.model.account import Account
from dirbridge.model.deadline import Deadline
from dirbridge.model.entry import Entry
from dirbridge.model.login import Cause, Reason
from dirbridge.model.names import DirectoryId
from testbed import cast
from tests.directories import account

ANNA = account(cast.ad("anna"), "6d0e38c2-5d35-4d0c-a6d4-111111111111")
NOW = datetime(2026, 11, 22, 19, tzinfo=UTC)


def entry(**attributes: bytes) -> Entry:
    values = {name.lower().replace("_", "-"): (v,) for name, v in attributes.items()}
    return Entry(ANNA.values.directory_id, ANNA.values.dn, values)


def look_at(found: Entry, computer: str = "") -> Standing:
    look = live_look(MemoryConnector([found]), computer=computer, now=lambda: NOW)
    standing = look(ANNA, Deadline.after(1))
    assert isinstance(standing, Standing)
    return standing


def test_tells_why_the_directory_would_refuse() -> None:
    found = entry(userAccountControl=b"514", userWorkstations=b"PC1,PC2")
    assert look_at(found).reasons == (Reason.DISABLED, Reason.WORKSTATION)
    assert look_at(found).entry == found
    smartcard = entry(userAccountControl=str(0x200 | 0x40000).encode())
    assert look_at(smartcard).reasons == (Reason.SMARTCARD,)


@pytest.mark.parametrize(
    ("listed", "computer", "may"),
    [
        (b"PC1,MAIL", "mail.example.com", True),
        (b"PC1,mail.example.com", "MAIL.example.com", True),
        (b"PC1,A-VERY-LONG-MAI", "a-very-long-mail-name.example.com", True),
        (b"PC1,PC2", "mail.example.com", False),
        (b"PC1,PC2", "", False),
        (b"", "mail.example.com", True),
    ],
)
def test_workstations_may_name_this_machine(
    listed: bytes, computer: str, may: bool
) -> None:
    reasons = look_at(entry(userWorkstations=listed), computer).reasons
    assert reasons == (() if may else (Reason.WORKSTATION,))


def test_who_is_gone_is_unknown() -> None:
    look = live_look(MemoryConnector())
    assert look(ANNA, Deadline.after(1)) is Reason.UNKNOWN


def test_an_outage_is_a_cause() -> None:
    connector = MemoryConnector([entry()])
    look = live_look(connector)
    assert look(ANNA, Deadline.after(-1)) is Cause.TIMEOUT
    connector.unreachable = True
    assert look(ANNA, Deadline.after(1)) is Cause.UNREACHABLE


class Failing:
    def __init__(self, error: Exception) -> None:
        self.error = error

    def find(
        self, directory_id: DirectoryId, deadline: Deadline | None = None
    ) -> Entry | None:
        raise self.error


def failure(kind: type[DirectoryError], code: str) -> DirectoryError:
    return kind(domain="example.com", server="dc1:636", operation="find", code=code)


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (failure(Unreachable, "timeout"), Cause.TIMEOUT),
        (failure(Unreachable, "busy"), Cause.BUSY),
        (failure(Unreachable, "kdc-unreachable"), Cause.UNREACHABLE),
        (failure(BindRefused, "credentials"), Cause.CONFIGURATION),
        (ConfigError(()), Cause.CONFIGURATION),
    ],
)
def test_whatever_keeps_us_from_knowing_is_a_cause(
    error: Exception, cause: Cause
) -> None:
    look = live_look(Failing(error))
    for _ in range(20):  # no place is lost by a failure
        assert look(ANNA, Deadline.after(1)) is cause


@pytest.mark.parametrize(
    "changed",
    [
        entry(pwdLastSet=b"133", lockoutTime=b"7"),
        entry(pwdLastSet=b"132", lockoutTime=b"0"),
        entry(pwdLastSet=b"132"),
        entry(
            pwdLastSet=b"132",
            lockoutTime=b"7",
            msDS_User_Account_Control_Computed=b"0",
        ),
        entry(pwdChangedTime=b"20261122190000Z"),
        entry(pwdAccountLockedTime=b"000001010000Z"),
    ],
)
def test_the_mark_changes_with_password_and_lock(changed: Entry) -> None:
    first = entry(pwdLastSet=b"132", lockoutTime=b"7")
    assert look_at(first).password_mark != look_at(changed).password_mark


def test_the_mark_stays_with_all_else_and_is_none_where_nothing_is_told() -> None:
    first = entry(pwdLastSet=b"132", title=b"A")
    second = entry(pwdLastSet=b"132", title=b"B", badPwdCount=b"3")
    mark = look_at(first).password_mark
    assert mark == look_at(second).password_mark
    assert "132" not in mark
    assert look_at(entry(title=b"A")).password_mark == ""


def test_only_the_account_of_the_id_is_read() -> None:
    look: Look = live_look(MemoryConnector([entry()]))
    values = replace(ANNA.values, directory_id=DirectoryId("other"))
    other: Account = replace(ANNA, values=values)
    assert look(other, Deadline.after(1)) is Reason.UNKNOWN
