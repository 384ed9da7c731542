"""The connection below: TLS verified, deadlines kept, errors named."""

from __future__ import annotations

import os
import resource
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256

from dirbridge.config.settings import Security
from dirbridge.config.types import HostPort
from dirbridge.errors import Unreachable, Unsupported
from dirbridge.ldap.certificate import certificate_of, read_certificate
from dirbridge.ldap.transport import Access, Endpoint, Transport, open_transport
from dirbridge.model.deadline import Deadline
from testbed import ca
from tests.ldap_responder import Responder, entry, result

# The certificate of `od1` holds this address, and the loopback has it.
ADDRESS = "127.0.0.20"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ca") / "ca"
    ca.build(folder)
    return folder


def tls(authority: Path, name: str = "od1") -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority / f"{name}.pem", authority / f"{name}.key")
    return context


def access(security: Security = Security.LDAPS, **more: object) -> Access:
    return Access(domain="example.com", security=security, **more)  # type: ignore[arg-type]


def open_at(port: int, how: Access, seconds: float = 3) -> Transport:
    return open_transport(Endpoint(ADDRESS, port), how, Deadline.after(seconds))


@contextmanager
def refused_with(code: str) -> Iterator[None]:
    with pytest.raises(Unreachable) as caught:
        yield
    assert caught.value.code == code, caught.value
    assert caught.value.operation in {"connect", "bind"}


def test_ldaps_with_the_right_certificate(authority: Path) -> None:
    how = access(ca_file=authority / "ca.pem")
    with Responder(tls=tls(authority), address=ADDRESS) as server:
        transport = open_at(server.port, how)
        transport.allow(Deadline.after(3))
        assert transport.simple_bind("cn=x", "y").code == 0
        assert transport.idle()
        certificate = certificate_of(transport)
        assert certificate is not None
        assert certificate.names == ("od.example.com", ADDRESS)
        assert certificate.days_left > 3000
        transport.close()
        transport.close()


@pytest.mark.parametrize(
    ("name", "code"),
    [
        (ca.WRONG_NAME, "certificate-name"),
        (ca.EXPIRED, "certificate-expired"),
        (ca.FOREIGN, "certificate-untrusted"),
        ("dc1", "certificate-name"),
    ],
)
def test_a_wrong_certificate_is_named(authority: Path, name: str, code: str) -> None:
    how = access(ca_file=authority / "ca.pem")
    with (
        Responder(tls=tls(authority, name), address=ADDRESS) as server,
        refused_with(code),
    ):
        open_at(server.port, how)


def test_the_systems_authorities_hold_without_a_file(authority: Path) -> None:
    with (
        Responder(tls=tls(authority), address=ADDRESS) as server,
        refused_with("certificate-untrusted"),
    ):
        open_at(server.port, access())


def test_a_file_of_authorities_that_is_none(tmp_path: Path, authority: Path) -> None:
    (tmp_path / "empty.pem").write_text("nothing")
    for path in (tmp_path / "nowhere.pem", tmp_path / "empty.pem"):
        with Responder(address=ADDRESS) as server, pytest.raises(Unsupported) as caught:
            open_at(server.port, access(ca_file=path))
        assert caught.value.code == "ca-file"


def test_a_pin_stands_for_authority_and_name(authority: Path) -> None:
    pem = (authority / f"{ca.WRONG_NAME}.pem").read_bytes()
    pin = x509.load_pem_x509_certificate(pem).fingerprint(SHA256()).hex()
    with Responder(tls=tls(authority, ca.WRONG_NAME), address=ADDRESS) as server:
        open_at(server.port, access(pins=(f"sha256:{pin}",))).close()
        with refused_with("certificate-pin"):
            open_at(server.port, access(pins=(f"sha256:{'0' * 64}",)))


def test_nobody_listens() -> None:
    with refused_with("refused"):
        open_at(9, access())


def test_a_name_that_is_none() -> None:
    for name in ("nowhere.invalid", "x" * 300, "a..b"):
        with refused_with("dns"):
            open_transport(Endpoint(name, 636), access(), Deadline.after(3))


@pytest.mark.parametrize("security", [Security.LDAPS, Security.STARTTLS])
def test_one_that_accepts_and_stays_silent(security: Security) -> None:
    with socket.create_server((ADDRESS, 0)) as server:
        start = time.monotonic()
        with refused_with("timeout"):
            open_at(server.getsockname()[1], access(security, connect_seconds=0.3))
        assert time.monotonic() - start < 1.5


def test_one_that_drips_is_held_to_the_whole_deadline() -> None:
    def drip(_tag: int, _before: int) -> bytes:
        time.sleep(0.2)
        return b"\x30\x84\x00\x00"

    with Responder(drip, address=ADDRESS) as server:
        transport = open_at(server.port, access(Security.NONE))
        transport.allow(Deadline.after(0.5))
        start = time.monotonic()
        with refused_with("timeout"):
            transport.simple_bind("cn=x", "y")
        assert time.monotonic() - start < 1.5


def test_one_that_speaks_something_else(authority: Path) -> None:
    greeting = b"220 mail.example.com ESMTP\r\n"
    with Responder(address=ADDRESS, greeting=greeting) as server:
        with refused_with("tls"):
            open_at(server.port, access())
        transport = open_at(server.port, access(Security.NONE))
        transport.allow(Deadline.after(3))
        with refused_with("protocol"):
            transport.simple_bind("cn=x", "y")


def test_one_that_closes(authority: Path) -> None:
    with Responder(lambda _tag, _before: None, address=ADDRESS) as server:
        transport = open_at(server.port, access(Security.NONE))
        transport.allow(Deadline.after(3))
        with refused_with("closed"):
            transport.simple_bind("cn=x", "y")
        assert not transport.idle()


@pytest.mark.parametrize(
    ("code", "word"), [(51, "busy"), (52, "unavailable"), (2, "closed")]
)
def test_a_notice_of_disconnection_says_why(code: int, word: str) -> None:
    notice = result(0, 0x78, code, "shutting down")
    with Responder(lambda _tag, _before: notice, address=ADDRESS) as server:
        transport = open_at(server.port, access(Security.NONE))
        transport.allow(Deadline.after(3))
        with refused_with(word):
            transport.simple_bind("cn=x", "y")


def test_a_server_without_starttls() -> None:
    def tell(_tag: int, _before: int) -> tuple[int, str]:
        return 2, "unsupported extended operation"

    with (
        Responder(tell, address=ADDRESS) as server,
        pytest.raises(Unsupported) as error,
    ):
        open_at(server.port, access(Security.STARTTLS))
    assert error.value.code == "no-starttls"


def test_octets_after_the_starttls_answer_are_not_believed(authority: Path) -> None:
    """They came in clear: somebody in between may have written the bind's answer."""
    forged = result(1, 0x78, 0) + result(2, 0x61, 0)
    how = access(Security.STARTTLS, ca_file=authority / "ca.pem")
    with (
        Responder(
            lambda *_: forged, tls=tls(authority), address=ADDRESS, start_tls=True
        ) as server,
        refused_with("tls"),
    ):
        open_at(server.port, how)


def test_starttls_then_the_bind(authority: Path) -> None:
    how = access(Security.STARTTLS, ca_file=authority / "ca.pem")
    with Responder(tls=tls(authority), address=ADDRESS, start_tls=True) as server:
        transport = open_at(server.port, how)
        transport.allow(Deadline.after(3))
        assert transport.simple_bind("cn=x", "y").code == 0


@pytest.mark.parametrize("number", [1, 7])
def test_an_answer_of_another_kind_is_none(number: int) -> None:
    with Responder(lambda *_: result(number, 0x78, 0), address=ADDRESS) as server:
        transport = open_at(server.port, access(Security.NONE))
        transport.allow(Deadline.after(3))
        with refused_with("protocol" if number == 1 else "closed"):
            transport.simple_bind("cn=x", "y")


def test_a_connection_with_a_high_number_can_be_kept() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(4096, hard), hard))
    filling: list[int] = []
    try:
        while not filling or filling[-1] < 1024:
            filling.append(os.open(os.devnull, os.O_RDONLY))
        with Responder(address=ADDRESS) as server:
            transport = open_at(server.port, access(Security.NONE))
            assert transport._socket.fileno() > 1023
            transport.allow(Deadline.after(3))
            transport.simple_bind("cn=x", "y")
            assert transport.idle()
            server.hang_up()
            time.sleep(0.05)
            assert not transport.idle()
            transport.close()
    finally:
        for number in filling:
            os.close(number)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_server_that_never_stops_leaves_others_their_turn(
    authority: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    coming = iter([entry(1, {"cn": [b"x"]})] * 100)
    with Responder(tls=tls(authority), address=ADDRESS) as server:
        transport = open_at(server.port, access(ca_file=authority / "ca.pem"))
        transport.allow(Deadline.after(3))
        reads = transport.ask_entries(("cn=x", ("cn",)))
        monkeypatch.setattr(transport, "_here", lambda: next(coming))
        assert [transport.entries_of(reads) for _ in range(2)] == [None, None]
        transport.close()
    assert len(list(coming)) == 100 - 2 * 16


def test_a_busy_server_at_starttls_is_an_outage() -> None:
    with (
        Responder(lambda *_: (51, "busy"), address=ADDRESS) as server,
        refused_with("busy"),
    ):
        open_at(server.port, access(Security.STARTTLS))


def test_an_error_shows_no_password(authority: Path) -> None:
    with Responder(lambda *_: None, address=ADDRESS) as server:
        transport = open_at(server.port, access(Security.NONE))
        transport.allow(Deadline.after(3))
        with pytest.raises(Unreachable) as caught:
            transport.simple_bind("cn=x", "Tell-Nobody-17")
        assert "Tell-Nobody" not in str(caught.value) + repr(vars(caught.value))


def test_small_messages_leave_at_once() -> None:
    with Responder(address=ADDRESS) as server:
        transport = open_at(server.port, access(Security.NONE))
        option = transport._socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert option
        transport.close()


def test_ports_are_filled_in() -> None:
    plain, other = HostPort(host="dc1"), HostPort(host="::1", port=12345)
    assert str(Endpoint.of(plain, Security.LDAPS)) == "dc1:636"
    assert str(Endpoint.of(plain, Security.STARTTLS)) == "dc1:389"
    assert str(Endpoint.of(other, Security.LDAPS)) == "[::1]:12345"


def test_a_certificate_that_cannot_be_read_is_none() -> None:
    assert read_certificate(b"garbage", datetime.now(UTC)) is None
