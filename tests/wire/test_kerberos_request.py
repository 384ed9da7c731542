"""Which Kerberos requests hold a proof of a password."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dirbridge.protocols import ber
from dirbridge.protocols.kerberos import holds_proof


def kdc_request(tag: int, *padata: int, kind: int = 10) -> bytes:
    """A KDC-REQ (RFC 4120 section 5.4.1) with these padata and an empty body."""
    listed = (
        ber.sequence(ber.tlv(0xA1, ber.integer(one)), ber.tlv(0xA2, ber.octets(b"x")))
        for one in padata
    )
    body = ber.sequence(
        ber.tlv(0xA1, ber.integer(5)),
        ber.tlv(0xA2, ber.integer(kind)),
        *([ber.tlv(0xA3, ber.sequence(*listed))] if padata else []),
        ber.tlv(0xA4, ber.sequence()),
    )
    return ber.tlv(tag, body)


def as_request(*padata: int) -> bytes:
    return kdc_request(0x6A, *padata)


@pytest.mark.parametrize("padata", [(), (149,), (150, 149), (128, 133, 165, 167)])
def test_a_first_request_holds_none(padata: tuple[int, ...]) -> None:
    assert not holds_proof(as_request(*padata))


@pytest.mark.parametrize("padata", [(2,), (133, 2, 149), (136,), (138,), (151,)])
def test_encrypted_timestamps_and_the_like_are_proofs(
    padata: tuple[int, ...],
) -> None:
    assert holds_proof(as_request(*padata))


def test_a_further_ticket_is_proven_by_the_first() -> None:
    assert not holds_proof(kdc_request(0x6C, 1, kind=12))


@pytest.mark.parametrize("padata", [(), (149,), (2,)])
def test_what_is_cut_off_or_goes_on_counts_as_a_proof(padata: tuple[int, ...]) -> None:
    whole = as_request(*padata)
    for end in range(1, len(whole)):
        assert holds_proof(whole[:end])
    assert holds_proof(whole + b"\0")


@given(st.binary(max_size=200))
def test_garbage_is_no_crash(data: bytes) -> None:
    assert holds_proof(b"j" + data) in {True, False}
    assert not holds_proof(b"l" + data)
