"""Why an Open Directory refuses an account, by all that its servers compute."""

from __future__ import annotations

import contextlib
import plistlib
from datetime import UTC, datetime

import pytest
from hypothesis import given

from dirbridge.directory import account_facts
from dirbridge.directory import open_directory_state as state
from dirbridge.directory.errors import Undecodable
from dirbridge.model.entry import Entry
from dirbridge.model.login import Reason
from dirbridge.model.names import DirectoryId
from tests.garbage import mutated


def entry(**values: bytes) -> Entry:
    attributes = {
        name.replace("_", "-").lower(): (value,) for name, value in values.items()
    }
    return Entry(DirectoryId("1"), "uid=a,dc=b", attributes)


def policy(**values: object) -> bytes:
    return plistlib.dumps(values)


@pytest.mark.parametrize(
    ("values", "reasons"),
    [
        ({"isDisabled": 0, "newPasswordRequired": 0}, ()),
        ({"isDisabled": 1}, (Reason.DISABLED,)),
        ({"isDisabled": True, "effectiveDisableReason": 2}, (Reason.EXPIRED,)),
        ({"isDisabled": True, "effectiveDisableReason": 3}, (Reason.DISABLED,)),
        ({"isDisabled": True, "effectiveDisableReason": "4"}, (Reason.LOCKED,)),
        ({"isDisabled": True, "effectiveDisableReason": 5}, (Reason.MUST_CHANGE,)),
        ({"isDisabled": True, "effectiveDisableReason": 77}, (Reason.DISABLED,)),
        ({"isDisabled": False, "effectiveDisableReason": 4}, ()),
        ({"effectiveDisableReason": 4}, (Reason.LOCKED,)),
        ({"isDisabled": 0, "newPasswordRequired": 1}, (Reason.MUST_CHANGE,)),
        ({}, ()),
    ],
)
def test_policy(values: dict[str, object], reasons: tuple[Reason, ...]) -> None:
    assert state.decode_policy(policy(**values)) == reasons


def test_the_effective_policy_has_the_say() -> None:
    both = entry(
        apple_user_passwordpolicy=policy(isDisabled=1),
        apple_user_passwordpolicy_effective=policy(isDisabled=0),
    )
    assert state.reasons(both) == ()
    alone = entry(apple_user_passwordpolicy=policy(isDisabled=1))
    assert state.signs(alone) == (("apple-user-passwordpolicy", Reason.DISABLED),)


@pytest.mark.parametrize(
    ("value", "reasons"),
    [
        (b"1", ()),
        (b"0", (Reason.DISABLED,)),
        (b"5301", (Reason.DISABLED,)),
        (b"5302", (Reason.EXPIRED,)),
        (b"5304", (Reason.LOCKED,)),
        (b"5401", (Reason.MUST_CHANGE,)),
        (b"-14", (Reason.DISABLED,)),
        (b"yes", ()),
    ],
)
def test_authentication_allowed(value: bytes, reasons: tuple[Reason, ...]) -> None:
    assert state.reasons(entry(apple_authenticationAllowed=value)) == reasons


def test_a_number_that_says_nothing_leaves_the_word_to_the_policy() -> None:
    both = entry(
        apple_authenticationAllowed=b"99",
        apple_user_passwordpolicy_effective=policy(newPasswordRequired=True),
    )
    assert state.reasons(both) == (Reason.MUST_CHANGE,)


def test_the_group_of_the_disabled() -> None:
    member = Entry(DirectoryId("1"), "uid=a", {state.DISABLED_GROUP: (b"cn=x",)})
    assert state.signs(member) == ((state.DISABLED_GROUP, Reason.DISABLED),)


def test_people_are_told_which_sign_it_is() -> None:
    alone = entry(apple_authenticationAllowed=b"5302")
    told = account_facts.facts(alone, datetime(2026, 11, 22, tzinfo=UTC))
    assert told == ((state.ALLOWED, f"says: {Reason.EXPIRED}"),)


def test_disabled_user() -> None:
    assert state.reasons(entry(authAuthority=b";DisabledUser;")) == (Reason.DISABLED,)


def test_a_shell_that_lets_nobody_in_is_not_disabled() -> None:
    assert state.reasons(entry(loginShell=b"/usr/bin/false")) == ()


@given(mutated(policy(isDisabled=1, effectiveDisableReason=4), b"5301"))
def test_garbage_says_nothing_and_raises_nothing(raw: bytes) -> None:
    values = entry(
        apple_authenticationAllowed=raw,
        apple_user_passwordpolicy_effective=raw,
        authAuthority=raw,
    )
    state.signs(values)
    for decode in (state.decode_policy, state.decode_allowed):
        with contextlib.suppress(Undecodable):
            decode(raw)
