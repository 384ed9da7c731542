"""What the codes of Kerberos mean: the KDC's answers and libkrb5's own.

A code is the number within libkrb5's error table; the first 128 are those of RFC 4120
section 7.5.9; which of them come was measured on Samba 4.17 and MIT 1.20.
"""

from __future__ import annotations

from collections.abc import Mapping

from dirbridge.model.login import Cause, Reason

SERVER_UNKNOWN = 7
"""KDC_ERR_S_PRINCIPAL_UNKNOWN: the KDC knows no service of this name."""

REALM_UNKNOWN, WRONG_REALM = 0x9A, 0x44
"""KRB5_REALM_UNKNOWN (no KDC for the realm is known here), KDC_ERR_WRONG_REALM."""

KEY_MISSING, KEYTAB_MISSING = 0xB5, 0xCA
"""KRB5_KT_NOTFOUND, KRB5_KT_IOERR or the like: the keytab does not serve."""

REASONS: Mapping[int, Reason] = {
    1: Reason.EXPIRED,  # KDC_ERR_NAME_EXP: MIT, the account has ended
    6: Reason.UNKNOWN,  # KDC_ERR_C_PRINCIPAL_UNKNOWN
    12: Reason.REVOKED,  # KDC_ERR_POLICY: Windows, hours or workstation
    18: Reason.REVOKED,  # KDC_ERR_CLIENT_REVOKED: disabled, expired, locked, hours
    # MIT says so before it looks at the password: never "the password is right".
    23: Reason.PASSWORD_EXPIRED,  # KDC_ERR_KEY_EXPIRED: expired or must change
    24: Reason.WRONG_PASSWORD,  # KDC_ERR_PREAUTH_FAILED
    31: Reason.WRONG_PASSWORD,  # KRB_AP_ERR_BAD_INTEGRITY: a realm without preauth
}
"""Answers of the KDC about whoever asks for a ticket."""

BLURRED: Mapping[int, frozenset[Reason]] = {
    12: frozenset({Reason.LOGON_HOURS, Reason.WORKSTATION, Reason.SMARTCARD}),
    18: frozenset(
        {
            Reason.DISABLED,
            Reason.EXPIRED,
            Reason.LOCKED,
            Reason.LOGON_HOURS,
            Reason.SMARTCARD,
        }
    ),
    23: frozenset({Reason.MUST_CHANGE, Reason.PASSWORD_EXPIRED}),
}
"""What a code may stand for that means several things; the account's entry tells."""

CAUSES: Mapping[int, Cause] = {
    SERVER_UNKNOWN: Cause.CONFIGURATION,
    0x0E: Cause.CONFIGURATION,  # KDC_ERR_ETYPE_NOSUPP
    0x10: Cause.CONFIGURATION,  # KDC_ERR_PADATA_TYPE_NOSUPP: a smart card is wanted
    0x19: Cause.CONFIGURATION,  # KDC_ERR_PREAUTH_REQUIRED: a way we do not have
    0x1D: Cause.BUSY,  # KDC_ERR_SVC_UNAVAILABLE
    # Of a ticket that was issued a moment ago, only a wrong clock can say these.
    0x20: Cause.CLOCK,  # KRB_AP_ERR_TKT_EXPIRED
    0x21: Cause.CLOCK,  # KRB_AP_ERR_TKT_NYV: not yet valid
    0x25: Cause.CLOCK,  # KRB_AP_ERR_SKEW
    0x3C: Cause.UNREACHABLE,  # KRB_ERR_GENERIC: the KDC failed in itself
    WRONG_REALM: Cause.CONFIGURATION,
    REALM_UNKNOWN: Cause.CONFIGURATION,
    0x9C: Cause.UNREACHABLE,  # KRB5_KDC_UNREACH
    0xA4: Cause.UNREACHABLE,  # KRB5_REALM_CANT_RESOLVE
}
"""Whatever keeps us from knowing; what is not listed is a fault of ours."""
