"""What a Password Server's refusals mean.

There are two lists of numbers, told apart by the word SASL: the policy's own
(AuthDBFileDefs.h of Apple's DSPasswordServerPlugin) and Cyrus SASL's. -13 is a wrong
password in one and a mechanism that is too weak in the other (facts: open-directory
4.6). Which of them comes at which step was never published, so each is understood at
each step; only a wrong password is not believed before there was one.
"""

from __future__ import annotations

from collections.abc import Mapping

from dirbridge.model.login import Cause, Reason

POLICY: Mapping[int, Reason | Cause] = {
    -1: Reason.WRONG_PASSWORD,  # kAuthFail; also words without a number
    -2: Reason.DISABLED,  # kAuthUserDisabled; by too many wrong tries as well
    -3: Cause.CONFIGURATION,  # kAuthNeedAdminPrivs
    -4: Reason.UNKNOWN,  # kAuthUserNotSet
    -5: Cause.INTERNAL,  # kAuthUserNotAuthenticated: we asked in the wrong order
    -6: Reason.EXPIRED,  # kAuthPasswordExpired; Apple's client says: the account
    -7: Reason.MUST_CHANGE,  # kAuthPasswordNeedsChange
    -13: Cause.CONFIGURATION,  # kAuthMethodTooWeak
}
"""What is not listed answers questions that are not asked here."""

SASL: Mapping[int, Reason | Cause] = {
    -1: Cause.UNREACHABLE,  # SASL_FAIL: the server failed in itself
    -4: Cause.CONFIGURATION,  # SASL_NOMECH
    -5: Cause.INTERNAL,  # SASL_BADPROT
    -13: Reason.WRONG_PASSWORD,  # SASL_BADAUTH
    -14: Cause.CONFIGURATION,  # SASL_NOAUTHZ
    -15: Cause.CONFIGURATION,  # SASL_TOOWEAK
    -16: Cause.CONFIGURATION,  # SASL_ENCRYPT
    -17: Cause.CONFIGURATION,  # SASL_TRANS: no secret of this mechanism yet
    -18: Reason.PASSWORD_EXPIRED,  # SASL_EXPIRED
    -19: Reason.DISABLED,  # SASL_DISABLED
    -20: Reason.UNKNOWN,  # SASL_NOUSER: no such slot, or no secret in it
    -21: Reason.LOCKED,  # SASL_PWLOCK
    -24: Cause.BUSY,  # SASL_UNAVAIL
    -26: Cause.CONFIGURATION,  # SASL_NOVERIFY
}

LAGGING = frozenset(
    {Reason.DISABLED, Reason.EXPIRED, Reason.PASSWORD_EXPIRED, Reason.LOCKED}
    | {Reason.MUST_CHANGE, Reason.UNKNOWN}
)
"""What a replica may say that is behind its master."""


def decode(number: int, *, sasl: bool, counted: bool) -> Reason | Cause:
    """Say what a refusal means.

    Args:
        number: The number.
        sasl: Whether it is one of SASL's.
        counted: Whether the server had the response to its challenge by then.

    Returns:
        Why the login is wrong, or why nobody can say.
    """
    meaning = (SASL if sasl else POLICY).get(number, Cause.INTERNAL)
    if meaning is Reason.WRONG_PASSWORD and not counted:
        return Cause.CONFIGURATION
    return meaning
