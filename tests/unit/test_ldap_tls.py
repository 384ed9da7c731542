"""Self-signed and old servers: what is pinned, what is admitted, what is said."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import NameOID
from gssapi.raw.misc import GSSError
from hypothesis import given
from hypothesis import strategies as st

from dirbridge.cli.domains import note
from dirbridge.config.settings import DirectorySettings, DomainSettings, LoginSettings
from dirbridge.connectors.open_directory import open_directory
from dirbridge.errors import Unreachable, Unsupported
from dirbridge.ldap import gss
from dirbridge.ldap.access import Access, Endpoint
from dirbridge.ldap.certificate import shown_pin
from dirbridge.ldap.tls import _told_in_clear
from dirbridge.ldap.transport import Transport, open_transport
from dirbridge.mapping.profile import load_profile
from dirbridge.model.deadline import Deadline
from dirbridge.model.finding import Finding, Outcome
from dirbridge.model.names import DomainName
from dirbridge.model.secret import Secret
from testbed.listening import Listening
from testbed.process import wait_until
from tests.certificates import Pair, make
from tests.ldap_responder import Responder

ADDRESS = "127.0.0.1"


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    """A certificate that its server has signed itself, with the right address."""
    return make(tmp_path_factory.mktemp("own"), "own", addresses=[ADDRESS])


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    """A key of 1024 bits, as servers of 2007 had them."""
    return make(tmp_path_factory.mktemp("small"), "s", addresses=[ADDRESS], bits=1024)


def tls(pair: Pair, *, old: bool = False, seclevel: int = 1) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_ciphers(f"DEFAULT:@SECLEVEL={seclevel}")
    if old:
        context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
        # Setting a version that is out of use is a warning for programmers.
        with pytest.warns(DeprecationWarning, match="TLSv1_1"):
            context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.load_cert_chain(pair.cert_file, pair.key_file)
    return context


def settings(port: int, **changes: Any) -> DirectorySettings:
    values = {
        "type": "ldap",
        "server": f"{ADDRESS}:{port}",
        "suffix": "dc=x",
        "username": "cn=bridge",
    }
    return DirectorySettings.model_validate(values | changes)


def opened(port: int, **changes: Any) -> Transport:
    access = Access.of("example.com", settings(port, **changes))
    return open_transport(Endpoint(ADDRESS, port), access, Deadline.after(5))


def checked(port: int, **changes: Any) -> list[Finding]:
    connector = open_directory(
        DomainName("example.com"),
        settings(port, **changes),
        load_profile("openldap"),
        lambda: Secret("x"),
        login=LoginSettings(),
    )
    return connector.check()


@pytest.mark.parametrize("security", ["ldaps", "starttls"])
def test_check_names_what_to_pin(security: str, own: Pair) -> None:
    start_tls = security == "starttls"
    with Responder(tls=tls(own), start_tls=start_tls) as server:
        failed = [
            each
            for each in checked(server.port, security=security)
            if each.outcome is Outcome.FAILED
        ]
        (finding,) = failed
        assert (finding.what, finding.code) == (
            "certificate",
            "certificate-self-signed",
        )
        assert own.pin in finding.text
        assert "certificate_pin" in finding.next
        # What it names is what lets it in.
        transport = opened(server.port, security=security, certificate_pin=own.pin)
        transport.close()


def test_a_pin_in_the_way_that_openssl_writes_it(own: Pair) -> None:
    text = own.pin.removeprefix("sha256:").upper()
    colons = ":".join(text[at : at + 2] for at in range(0, len(text), 2))
    with Responder(tls=tls(own)) as server:
        opened(server.port, certificate_pin=f"sha256:{colons}").close()


@contextmanager
def curious(
    pair: Pair, version: ssl.TLSVersion, trusted: Pair
) -> Iterator[tuple[int, list[bytes]]]:
    """A server that demands certificates, and a list of those that it was shown."""
    shown: list[bytes] = []
    context = tls(pair, seclevel=0)
    context.maximum_version = version
    context.load_verify_locations(trusted.cert_file)
    context.verify_mode = ssl.CERT_REQUIRED

    def talk(stream: socket.socket) -> None:
        with context.wrap_socket(stream, server_side=True) as secured:
            shown.append(secured.getpeercert(binary_form=True) or b"")
            secured.recv(1)

    with Listening(talk, ADDRESS) as made:
        yield made.port, shown


VERSIONS = pytest.mark.parametrize(
    "version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]
)


@VERSIONS
def test_our_certificate_is_shown_to_the_pinned_server_only(
    version: ssl.TLSVersion, own: Pair, tmp_path: Path
) -> None:
    """Even where another one answers after the pinned one was seen."""
    other = make(tmp_path, "other", addresses=[ADDRESS])
    mine = {"cert_file": own.cert_file, "key_file": own.key_file}
    pins = [f"sha256:{'1' * 64}", own.pin]
    with curious(own, version, own) as (port, shown):
        for _ in range(2):
            opened(port, certificate_pin=pins, **mine).close()
        # With TLS 1.3 we are done before the server has looked at it.
        wait_until(lambda: len(list(filter(None, shown))) == 2, "it was not shown")
    with curious(other, version, own) as (port, shown):
        with pytest.raises(Unreachable) as known:
            opened(port, certificate_pin=pins, **mine)
        with pytest.raises(Unreachable) as unknown:
            opened(port, certificate_pin=pins, **mine)
        assert known.value.code.startswith("certificate-")
        assert unknown.value.code == "certificate-pin"
        access = Access.of("example.com", settings(port, **mine))
        assert shown_pin(Endpoint(ADDRESS, port), access) == other.pin
    assert shown == []


@pytest.mark.fuzz
@given(st.binary(max_size=60), st.binary(max_size=6))
def test_a_certificate_is_found_whatever_stands_around_it(
    der: bytes, after: bytes
) -> None:
    body = len(der).to_bytes(3, "big") + der
    body = len(body).to_bytes(3, "big") + body
    hello, message = b"\2\0\0\1x", b"\x0b" + len(body).to_bytes(3, "big") + body
    records = b"".join(
        b"\x16\3\3" + len(part).to_bytes(2, "big") + part
        for part in (hello, message[:7], message[7:])
    )
    assert _told_in_clear(records + after) == der
    assert len(_told_in_clear(records[:-1])) < max(1, len(der))
    _told_in_clear(b"\x16\3\3" + after + der)


def test_a_pin_stands_for_the_end_too_where_our_certificate_is_shown(
    own: Pair, tmp_path: Path
) -> None:
    over = make(tmp_path, "over", days=-1)
    mine = {"cert_file": own.cert_file, "key_file": own.key_file}
    with Responder(tls=tls(over)) as server:
        for _ in range(2):
            opened(server.port, certificate_pin=over.pin, **mine).close()


def ed25519_pair(folder: Path) -> ssl.SSLContext:
    key = Ed25519PrivateKey.generate()
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "dc1")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(17)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=90))
        .sign(key, None)
    )
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path = folder / "ed25519.pem"
    path.write_bytes(certificate.public_bytes(Encoding.PEM) + pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    return context


def test_a_bind_that_cannot_be_tied_to_the_certificate_is_made_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ed25519 has no hash function of its own; who wants the binding will say so."""
    bindings: list[bytes | None] = []

    def with_keytab(*_args: object, binding: bytes | None, **_more: object) -> None:
        bindings.append(binding)
        raise gss.GssFailure(GSSError(0x70000, 0x96C73A00 + 7))

    monkeypatch.setattr(gss, "with_keytab", with_keytab)
    (tmp_path / "k").write_bytes(b"keys")
    with Responder(tls=ed25519_pair(tmp_path)) as server:
        pin = shown_pin(
            Endpoint(ADDRESS, server.port),
            Access.of("example.com", settings(server.port)),
        )
        changes = {
            "bind": "kerberos",
            "username": "a@b.example",
            "keytab": {"file": str(tmp_path / "k")},
            "certificate_pin": pin,
        }
        found = {each.code: each for each in checked(server.port, **changes)}
    assert found["no-channel-binding"].outcome is Outcome.WARNING
    assert found["spn-unknown"].outcome is Outcome.FAILED
    assert bindings == [None]


def test_what_cannot_be_seen_is_not_named(own: Pair) -> None:
    access = Access.of("example.com", settings(9))
    assert shown_pin(Endpoint(ADDRESS, 9), access) is None


@contextmanager
def old_server(pair: Pair) -> Iterator[int]:
    """A server that knows nothing newer than TLS 1.1, and says hello."""
    context = tls(pair, old=True, seclevel=0)

    def talk(stream: socket.socket) -> None:
        with context.wrap_socket(stream, server_side=True) as secured:
            secured.recv(1)

    with Listening(talk, ADDRESS) as made:
        yield made.port


def test_old_tls_and_small_keys_need_a_word(small: Pair) -> None:
    with old_server(small) as port:
        for changes in ({"ca_file": small.cert_file}, {"certificate_pin": small.pin}):
            with pytest.raises(Unreachable) as caught:
                opened(port, **changes)
            assert caught.value.code == "tls"  # its version is too old
            transport = opened(port, tls_legacy=True, **changes)
            assert transport._socket.version() in {"TLSv1", "TLSv1.1"}
            transport.close()


def test_a_small_key_is_named(small: Pair) -> None:
    context = tls(small, seclevel=0)
    with Responder(tls=context) as server:
        with pytest.raises(Unreachable) as caught:
            opened(server.port, ca_file=small.cert_file)
        assert caught.value.code == "certificate-weak"
        opened(server.port, ca_file=small.cert_file, tls_legacy=True).close()


def test_old_tls_still_verifies(small: Pair, own: Pair) -> None:
    with old_server(small) as port, pytest.raises(Unreachable) as caught:
        opened(port, tls_legacy=True, ca_file=own.cert_file)
    assert caught.value.code == "certificate-self-signed"


def test_old_tls_is_shown(own: Pair) -> None:
    with Responder(tls=tls(own)) as server:
        changes = {"tls_legacy": True, "ca_file": own.cert_file}
        found = {each.code: each for each in checked(server.port, **changes)}
        assert found["tls-legacy"].outcome is Outcome.WARNING
    domain = DomainSettings(directory=(settings(636, tls_legacy=True),))
    assert "tls_legacy" in note(domain)
    clear = settings(636, security="none", allow_cleartext_passwords=True)
    both = note(DomainSettings(directory=(clear, settings(636, tls_legacy=True))))
    assert "clear text" in both
    assert "tls_legacy" in both
    assert note(DomainSettings(directory=(settings(636),))) == ""


def test_a_client_key_with_a_password_asks_nobody(own: Pair, tmp_path: Path) -> None:
    path = tmp_path / "locked.key"
    path.write_bytes(
        own.key.private_bytes(
            Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret")
        )
    )
    changes = {
        "ca_file": own.cert_file,
        "cert_file": own.cert_file,
        "key_file": path,
    }
    with Responder(tls=tls(own)) as server, pytest.raises(Unsupported) as caught:
        opened(server.port, **changes)
    assert caught.value.code == "cert-file"
