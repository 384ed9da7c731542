"""Why an OpenLDAP or a 389 Directory Server refuses an account."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime

import pytest
from hypothesis import given

from dirbridge.directory import plain_ldap_state as state
from dirbridge.directory.account_state import barriers
from dirbridge.directory.errors import Undecodable
from dirbridge.model.entry import Entry
from dirbridge.model.login import Reason
from dirbridge.model.names import DirectoryId
from tests.garbage import mutated

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


def entry(name: str, value: bytes) -> Entry:
    return Entry(DirectoryId("1"), "uid=a,dc=b", {name.lower(): (value,)})


@pytest.mark.parametrize(
    ("name", "value", "reasons"),
    [
        ("nsAccountLock", b"TRUE", (Reason.DISABLED,)),
        ("nsAccountLock", b"false", ()),
        ("nsAccountLock", b"perhaps", ()),
        ("accountUnlockTime", b"20261122120100Z", (Reason.LOCKED,)),
        ("accountUnlockTime", b"20261122115900Z", ()),
        ("accountUnlockTime", b"19700101000000Z", (Reason.LOCKED,)),
        ("passwordExpirationTime", b"20261122115900Z", (Reason.PASSWORD_EXPIRED,)),
        ("passwordExpirationTime", b"20381122115900Z", ()),
        ("passwordExpirationTime", b"19700101000000Z", (Reason.MUST_CHANGE,)),
        ("pwdAccountLockedTime", b"000001010000Z", (Reason.LOCKED,)),
        ("pwdAccountLockedTime", b"20261122115900Z", (Reason.LOCKED,)),
        ("pwdAccountLockedTime", b"soon", ()),
        ("pwdReset", b"TRUE", (Reason.MUST_CHANGE,)),
        ("pwdReset", b"FALSE", ()),
        ("loginShell", b"/bin/false", ()),
    ],
)
def test_signs(name: str, value: bytes, reasons: tuple[Reason, ...]) -> None:
    assert state.reasons(entry(name, value), NOW) == reasons
    assert barriers(entry(name, value), NOW) == reasons


@pytest.mark.parametrize(
    ("text", "locked"), [("TRUE", True), (" true", True), ("FALSE", False)]
)
def test_lock(text: str, locked: bool) -> None:
    assert state.is_locked(text) is locked


@given(mutated(b"20261122115900Z", b"000001010000Z", b"TRUE"))
def test_garbage_says_nothing_and_raises_nothing(raw: bytes) -> None:
    whole = {name.lower(): (raw,) for name in state.ATTRIBUTES}
    state.reasons(Entry(DirectoryId("1"), "uid=a", whole), NOW)
    with contextlib.suppress(Undecodable):
        state.is_locked(raw.decode("latin-1"))
