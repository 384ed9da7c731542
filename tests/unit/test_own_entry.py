"""What is read of the person who has just bound, and how often."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest

from dirbridge.authenticators.own_entry import (
    SILENT,
    Doubt,
    Identify,
    open_directory_identity,
)
from dirbridge.directory.guid import decode_generated_uid
from dirbridge.directory.open_directory_state import ALLOWED, POLICY
from dirbridge.ldap.session import SUCCESS
from dirbridge.ldap.transport import Endpoint
from dirbridge.model.login import Cause, Reason
from dirbridge.protocols.ldap_messages import Entry, Reading, Result
from tests.contract.test_store import person

GUID = "0b1e8b3a-9d6c-4c1d-8f6e-2a52f7b1c001"
OUR_ID = decode_generated_uid(GUID.encode())
ANNA = replace(
    person("anna"),
    values=replace(
        person("anna").values, directory_id=OUR_ID, dn="uid=anna,cn=users,dc=example"
    ),
)
OWN = Reading(Result(1, SUCCESS, ""), {"apple-generateduid": (GUID.encode(),)})
DISABLED = (
    b'<?xml version="1.0"?><plist version="1.0"><dict><key>isDisabled</key>'
    b"<integer>1</integer></dict></plist>"
)


class Clock:
    seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


def reading(**values: bytes) -> Reading:
    found: Entry = {name.lower(): (value,) for name, value in values.items()}
    return Reading(Result(1, SUCCESS, ""), found)


NOTHING = reading()


@dataclass(frozen=True)
class Line:
    """A connection, of which only the other end counts here."""

    endpoint: Endpoint


OD1, OD2 = (Line(Endpoint(f"{name}.company.com", 636)) for name in ("od1", "od2"))


def asked(identify: Identify, line: Line = OD1) -> list[tuple[str, ...]]:
    return [attributes for _, attributes in identify.wanted(line, ANNA)]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def identify(clock: Clock) -> Identify:
    return open_directory_identity(clock)


def test_a_server_that_tells_no_policy_is_not_asked_for_it_for_a_minute(
    identify: Identify, clock: Clock
) -> None:
    own, *policies = asked(identify)
    assert policies == [(POLICY,), (ALLOWED,)]
    assert identify.judge(OD1, ANNA, (OWN, NOTHING, NOTHING)) is None
    assert asked(identify) == [own]
    assert identify.judge(OD1, ANNA, (OWN,)) is None
    clock.seconds += SILENT
    assert asked(identify) == [own, *policies]


def test_nobody_else_goes_unasked(identify: Identify) -> None:
    identify.judge(OD1, ANNA, (OWN, NOTHING, NOTHING))
    other = replace(ANNA, values=replace(ANNA.values, directory_id=OUR_ID[:-1] + "2"))
    assert len(identify.wanted(OD1, other)) == 3


def test_what_one_server_does_not_tell_another_may(identify: Identify) -> None:
    identify.judge(OD1, ANNA, (OWN, NOTHING, NOTHING))
    assert len(asked(identify, OD1)) == 1
    assert len(asked(identify, OD2)) == 3
    doubt = identify.judge(OD2, ANNA, (OWN, reading(**{POLICY: DISABLED}), NOTHING))
    assert doubt is not None
    assert doubt.verdict is Reason.DISABLED


def test_one_that_tells_is_asked_each_time(identify: Identify) -> None:
    told = reading(**{ALLOWED: b"1"})
    assert identify.judge(OD1, ANNA, (OWN, NOTHING, told)) is None
    assert len(asked(identify)) == 3
    doubt = identify.judge(OD1, ANNA, (OWN, reading(**{POLICY: DISABLED}), NOTHING))
    assert doubt == Doubt(Reason.DISABLED, f"{POLICY} of the own entry says so")
    assert len(asked(identify)) == 3


def test_who_may_not_read_it_is_asked_each_time(identify: Identify) -> None:
    refused = Reading(Result(1, 50, "insufficient access"), None)
    assert identify.judge(OD1, ANNA, (OWN, refused, NOTHING)) is None
    assert len(asked(identify)) == 3


def test_another_person_is_found_out_without_the_policy(identify: Identify) -> None:
    identify.judge(OD1, ANNA, (OWN, NOTHING, NOTHING))
    stranger = reading(**{"apple-generateduid": GUID[:-1].encode() + b"2"})
    doubt = identify.judge(OD1, ANNA, (stranger,))
    assert doubt is not None
    assert doubt.verdict is Reason.UNKNOWN
    hidden = identify.judge(OD1, ANNA, (NOTHING,))
    assert hidden is not None
    assert hidden.verdict is Cause.OWN_ENTRY
