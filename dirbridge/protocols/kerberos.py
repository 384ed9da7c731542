"""What a Kerberos request gives away (RFC 4120 sections 5.2.7 and 5.4.1).

Only one question is asked of a message: whether it holds a proof of a password. A KDC
that took such a request and froze may have counted a wrong password, so no other KDC
may get it. A login begins with a request that holds none.
"""

from __future__ import annotations

from dirbridge.errors import RemoteProtocolError
from dirbridge.protocols import ber

AS_REQ = 0x6A
"""[APPLICATION 10]: the request for a first ticket, the only one that needs a password.

[APPLICATION 12], for a further one, is proven by the first."""

_PADATA, _PADATA_TYPE = 0xA3, 0xA1
_VERSION, _KIND = 0xA1, 0xA2

WITHOUT_PROOF = frozenset(
    {
        128,  # PA-PAC-REQUEST (MS-KILE 2.2.3)
        133,  # PA-FX-COOKIE (RFC 6113 section 5.2)
        149,  # PA-REQ-ENC-PA-REP (RFC 6806 section 11)
        150,  # PA-AS-FRESHNESS (RFC 8070 section 4)
        165,  # PA-SUPPORTED-ENCTYPES (MS-KILE 2.2.8)
        167,  # PA-PAC-OPTIONS (MS-KILE 2.2.10)
    }
)
"""Padata that say nothing of the password; any other kind may prove it, such as
PA-ENC-TIMESTAMP (2), PA-FX-FAST (136), PA-ENCRYPTED-CHALLENGE (138) or SPAKE (151)."""


def holds_proof(message: bytes) -> bool:
    """Tell whether a request may hold a proof of a password.

    Args:
        message: One message, without the length that TCP puts in front.

    Returns:
        True also for a first request that cannot be read: better no answer than a
        wrong password that counts twice.
    """
    if message[:1] != bytes((AS_REQ,)):
        return False
    try:
        return not _padata_types(message) <= WITHOUT_PROOF
    except RemoteProtocolError:
        return True


def _padata_types(message: bytes) -> frozenset[int]:
    request = ber.only(ber.only(message, AS_REQ), ber.SEQUENCE)
    _, request = ber.take(request, _VERSION)
    _, request = ber.take(request, _KIND)
    padata, _ = ber.take_if(request, _PADATA)
    if padata is None:
        return frozenset()
    listed = ber.only(padata, ber.SEQUENCE)
    return frozenset(_type(one) for one in ber.each(listed, ber.SEQUENCE))


def _type(padata: bytes) -> int:
    value, _ = ber.take(padata, _PADATA_TYPE)
    number, _ = ber.take_integer(value)
    return number
