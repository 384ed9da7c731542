"""What a refused bind means."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dirbridge.directory import bind_codes
from dirbridge.model.login import Cause, Reason

SAMBA = (
    "80090308: LdapErr: DSID-0C0903A9, comment: AcceptSecurityContext error, "
    "data {}, v1db1"
)


@pytest.mark.parametrize(
    ("code", "meaning"),
    [
        ("52e", Reason.WRONG_PASSWORD),
        ("525", Reason.UNKNOWN),
        ("530", Reason.LOGON_HOURS),
        ("531", Reason.WORKSTATION),
        ("532", Reason.PASSWORD_EXPIRED),
        ("533", Reason.DISABLED),
        ("701", Reason.EXPIRED),
        ("773", Reason.MUST_CHANGE),
        ("775", Reason.LOCKED),
        ("51f", Cause.UNREACHABLE),
        ("80090346", Cause.CONFIGURATION),
        ("774", Cause.UNREACHABLE),
        ("6ba", Cause.UNREACHABLE),
        ("700", Cause.UNREACHABLE),
        ("52f", Reason.REVOKED),
        ("569", Reason.REVOKED),
        *((code, Cause.INTERNAL) for code in ("57", "abc", "6fd", "5aa", "54f", "8")),
        ("80090302", Cause.CONFIGURATION),
    ],
)
def test_active_directory(code: str, meaning: Reason | Cause) -> None:
    assert bind_codes.decode_active_directory(SAMBA.format(code)) is meaning


def test_without_data_it_is_the_password() -> None:
    assert bind_codes.decode_active_directory("") is Reason.WRONG_PASSWORD


@pytest.mark.parametrize(
    ("code", "message", "meaning"),
    [
        (49, "", Reason.WRONG_PASSWORD),
        (50, "", Reason.WRONG_PASSWORD),
        (19, "1 User is disabled", Reason.DISABLED),
        (19, "2 Account expired", Reason.EXPIRED),
        (19, "3 Account inactive", Reason.DISABLED),
        (19, "4 Too many failed logins", Reason.LOCKED),
        (19, "5 New password required", Reason.MUST_CHANGE),
        (19, "99 Account Policy Violation", Reason.REVOKED),
        (19, "Policy violation", Reason.REVOKED),
        (19, "Exceed password retry limit. Please try later.", Reason.LOCKED),
        (53, "Account inactivated. Contact system administrator.", Reason.DISABLED),
        (53, "", None),
        (51, "busy", None),
    ],
)
def test_open_directory(code: int, message: str, meaning: Reason | None) -> None:
    assert bind_codes.decode_open_directory(code, message) is meaning


@given(st.integers(0, 200), st.text(max_size=80))
def test_never_raises(code: int, message: str) -> None:
    bind_codes.decode_open_directory(code, message)
    bind_codes.decode_active_directory(message)
