"""The channel binding of certificates with each kind of signature."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from functools import cache

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from dirbridge.ldap.channel_binding import PREFIX, NoBinding, tls_server_end_point

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@cache
def rsa_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)


def certificate(key, algorithm=None, **more) -> bytes:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "dc1.corp.example.com")])
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(17)
        .not_valid_before(NOW)
        .not_valid_after(NOW + timedelta(days=1))
    )
    return builder.sign(key, algorithm, **more).public_bytes(Encoding.DER)


HASHES = {
    "sha224": hashes.SHA224(),
    "sha256": hashes.SHA256(),
    "sha384": hashes.SHA384(),
    "sha512": hashes.SHA512(),
}


@pytest.mark.parametrize("name", HASHES)
def test_rsa_by_the_hash_of_its_signature(name: str) -> None:
    der = certificate(rsa_key(), HASHES[name])
    expected = b"tls-server-end-point:" + hashlib.new(name, der).digest()
    assert tls_server_end_point(der) == expected


@pytest.mark.parametrize("name", HASHES)
def test_ecdsa_by_the_hash_of_its_signature(name: str) -> None:
    der = certificate(ec.generate_private_key(ec.SECP256R1()), HASHES[name])
    assert tls_server_end_point(der) == PREFIX + hashlib.new(name, der).digest()


@pytest.mark.parametrize("name", ["sha256", "sha384"])
def test_rsa_pss_by_the_hash_in_its_parameters(name: str) -> None:
    pss = padding.PSS(padding.MGF1(HASHES[name]), padding.PSS.DIGEST_LENGTH)
    der = certificate(rsa_key(), HASHES[name], rsa_padding=pss)
    assert tls_server_end_point(der) == PREFIX + hashlib.new(name, der).digest()


# RFC 3279 section 2.2.1 and RFC 8017 appendix C; in both places of the certificate.
SHA256_RSA = bytes.fromhex("06092a864886f70d01010b")
MD5_RSA, SHA1_RSA = (
    bytes.fromhex("06092a864886f70d010104"),
    bytes.fromhex("06092a864886f70d010105"),
)


@pytest.mark.parametrize("weak", [MD5_RSA, SHA1_RSA], ids=["md5", "sha1"])
def test_md5_and_sha1_become_sha256(weak: bytes) -> None:
    """Nobody signs so any more: the algorithm's name is put in; nobody verifies it."""
    strong = certificate(rsa_key(), hashes.SHA256())
    assert strong.count(SHA256_RSA) == 2
    der = strong.replace(SHA256_RSA, weak)
    assert tls_server_end_point(der) == PREFIX + hashlib.sha256(der).digest()


@pytest.mark.parametrize(
    "key",
    [ed25519.Ed25519PrivateKey.generate(), ed448.Ed448PrivateKey.generate()],
    ids=["ed25519", "ed448"],
)
def test_a_signature_without_a_hash_function_has_none(key: object) -> None:
    with pytest.raises(NoBinding, match=r"1\.3\.101"):
        tls_server_end_point(certificate(key))


def test_an_unknown_signature_has_none() -> None:
    der = certificate(rsa_key(), hashes.SHA256())
    with pytest.raises(NoBinding):
        tls_server_end_point(der.replace(SHA256_RSA, SHA256_RSA[:-1] + b"\x7f"))
    with pytest.raises(NoBinding):
        tls_server_end_point(b"")


def test_a_certificate_of_no_known_version_has_none() -> None:
    der = certificate(rsa_key(), hashes.SHA256())
    with pytest.raises(NoBinding):
        tls_server_end_point(
            der.replace(b"\xa0\x03\x02\x01\x02", b"\xa0\x03\x02\x01\x01")
        )


@cache
def sample() -> bytes:
    return certificate(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256())


# Such as a serial number below zero.
@pytest.mark.filterwarnings("ignore::cryptography.utils.CryptographyDeprecationWarning")
@pytest.mark.fuzz
@given(st.binary(min_size=3, max_size=7))
def test_a_damaged_certificate_has_a_binding_or_none(damage: bytes) -> None:
    """Two octets say where, one how much is dropped; the others are put in."""
    at, drop = int.from_bytes(damage[:2], "big") % 400, damage[2] % 5
    der = sample()[:at] + damage[3:] + sample()[at + drop :]
    try:
        binding = tls_server_end_point(der)
    except NoBinding:
        return
    assert binding.startswith(PREFIX)
    assert len(binding) in {len(PREFIX) + size for size in (28, 32, 48, 64)}
