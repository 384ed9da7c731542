"""The relay in front of KDCs: bytes pass unchanged, silent KDCs are left."""

from __future__ import annotations

import os
import re
import resource
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dirbridge.app import App
from dirbridge.authenticators.kdc_relay import FIRST_OCTETS, MAX_MESSAGE, KdcRelay
from dirbridge.authenticators.kerberos import KerberosAuthenticator
from dirbridge.authenticators.sent_proofs import SentProofs
from dirbridge.config.types import HostPort
from dirbridge.model.names import DomainName
from dirbridge.protocols import ber
from testbed.listening import Listening
from testbed.process import wait_until

pytestmark = pytest.mark.slow


def framed(data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + data


@contextmanager
def kdc(answer: bytes | None = b"answer to ") -> Iterator[HostPort]:
    """A KDC that puts something before the request, or is silent for None."""

    def talk(stream: socket.socket) -> None:
        request = message(stream)
        if answer is not None:
            stream.sendall(framed(answer + request))
        stream.recv(1)

    with Listening(talk) as made:
        yield HostPort(host=made.address, port=made.port)


def message(stream: socket.socket) -> bytes:
    head = stream.recv(4, socket.MSG_WAITALL)
    return stream.recv(int.from_bytes(head), socket.MSG_WAITALL)


@contextmanager
def relay(
    *kdcs: HostPort, limit: int = 64, proofs: SentProofs | None = None
) -> Iterator[tuple[str, int]]:
    made = KdcRelay("EXAMPLE.COM", kdcs, limit=limit, proofs=proofs)
    address = made.start()
    try:
        assert address.port is not None
        yield address.host, address.port
    finally:
        made.close()


def ask(address: tuple[str, int], request: bytes) -> bytes:
    """Send octets and return all that comes until the relay closes or is done."""
    with socket.create_connection(address, timeout=9) as stream:
        stream.sendall(request)
        head = stream.recv(4, socket.MSG_WAITALL)
        if len(head) < 4:
            return head
        return head + stream.recv(struct.unpack(">I", head)[0], socket.MSG_WAITALL)


@settings(max_examples=30)
@given(st.binary(min_size=1, max_size=5000))
def test_messages_pass_unchanged(message: bytes) -> None:
    with kdc() as only, relay(only) as address:
        assert ask(address, framed(message)) == framed(b"answer to " + message)


def test_a_silent_kdc_is_left_and_rests() -> None:
    with kdc(None) as silent, kdc() as second, relay(silent, second) as address:
        start = time.monotonic()
        assert ask(address, framed(b"x")) == framed(b"answer to x")
        assert 2.5 < time.monotonic() - start < 4
        start = time.monotonic()
        assert ask(address, framed(b"y")) == framed(b"answer to y")
        assert time.monotonic() - start < 1.5


def test_a_stopped_kdc_is_left_at_once() -> None:
    stopped = HostPort(host="127.0.0.1", port=9)
    with kdc() as second, relay(stopped, second) as address:
        start = time.monotonic()
        assert ask(address, framed(b"x")) == framed(b"answer to x")
        assert time.monotonic() - start < 1.5


def test_with_no_kdc_left_it_closes() -> None:
    with relay(HostPort(host="127.0.0.1", port=9)) as address:
        assert ask(address, framed(b"x")) == b""


@pytest.mark.parametrize("request_", [b"", b"\xff", struct.pack(">I", MAX_MESSAGE + 1)])
def test_what_is_no_message_is_not_passed_on(request_: bytes) -> None:
    with kdc() as only, relay(only) as address:
        with socket.create_connection(address, timeout=9) as stream:
            stream.sendall(request_)
            stream.shutdown(socket.SHUT_WR)
            assert stream.recv(10) == b""
        assert ask(address, framed(b"x")) == framed(b"answer to x")


def test_more_than_allowed_are_turned_away() -> None:
    with (
        kdc(None) as silent,
        relay(silent, limit=1) as address,
        socket.create_connection(address) as first,
    ):
        first.sendall(framed(b"x"))
        time.sleep(0.2)
        with suppress(ConnectionResetError):
            assert ask(address, framed(b"y")) == b""


def test_it_goes_on_when_there_were_too_many_open_files() -> None:
    with kdc() as only, relay(only) as address:
        assert ask(address, framed(b"x")) == framed(b"answer to x")
        waiting = socket.socket()
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        filling: list[int] = []
        resource.setrlimit(resource.RLIMIT_NOFILE, (waiting.fileno() + 20, hard))
        try:
            with suppress(OSError):
                while True:
                    filling.append(os.open(os.devnull, os.O_RDONLY))
            waiting.connect(address)
            time.sleep(0.3)
        finally:
            for number in filling:
                os.close(number)
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            waiting.close()
        assert ask(address, framed(b"y")) == framed(b"answer to y")


def test_it_goes_on_when_there_were_no_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    with kdc() as only, relay(only, limit=1) as address:
        start = threading.Thread.start

        def refuse(thread: threading.Thread) -> None:
            monkeypatch.setattr(threading.Thread, "start", start)
            raise RuntimeError("can't start new thread")

        monkeypatch.setattr(threading.Thread, "start", refuse)
        with suppress(ConnectionResetError):
            assert ask(address, framed(b"x")) == b""
        assert ask(address, framed(b"y")) == framed(b"answer to y")


def test_silent_clients_do_not_hold_the_places() -> None:
    with kdc() as only, relay(only, limit=2) as address, ExitStack() as silent:
        for _ in range(2):
            silent.enter_context(socket.create_connection(address))
        time.sleep(FIRST_OCTETS + 0.3)
        assert ask(address, framed(b"x")) == framed(b"answer to x")


def test_closing_stops_listening() -> None:
    made = KdcRelay("EXAMPLE.COM", [HostPort(host="127.0.0.1", port=9)])
    address = made.start()
    made.close()
    made.close()
    time.sleep(0.1)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((address.host, address.port), timeout=1)


def as_request(*padata: int) -> bytes:
    """An AS-REQ (RFC 4120 section 5.4.1) with these padata."""
    listed = (
        ber.sequence(ber.tlv(0xA1, ber.integer(one)), ber.tlv(0xA2, ber.octets(b"x")))
        for one in padata
    )
    return ber.tlv(
        0x6A,
        ber.sequence(
            ber.tlv(0xA1, ber.integer(5)),
            ber.tlv(0xA2, ber.integer(10)),
            ber.tlv(0xA3, ber.sequence(*listed)),
        ),
    )


@contextmanager
def closing_kdc() -> Iterator[tuple[HostPort, list[bytes]]]:
    """A KDC that takes a request and then closes, with what it took."""
    taken: list[bytes] = []
    with Listening(lambda stream: taken.append(message(stream))) as made:
        yield HostPort(host=made.address, port=made.port), taken


def test_a_proof_that_a_kdc_took_goes_to_no_other() -> None:
    proof, first = as_request(2, 149), as_request(149)
    with (
        closing_kdc() as (broken, taken),
        kdc() as second,
        relay(broken, second) as address,
    ):
        assert ask(address, framed(proof)) == b""
        assert taken == [proof]
        # It rests, so whoever comes next gets an answer.
        assert ask(address, framed(proof)) == framed(b"answer to " + proof)
        assert taken == [proof]
    with (
        closing_kdc() as (broken, taken),
        kdc() as second,
        relay(broken, second) as address,
    ):
        assert ask(address, framed(first)) == framed(b"answer to " + first)
        assert taken == [first]


def test_a_proof_goes_on_where_nobody_took_it() -> None:
    proof = as_request(2)
    stopped = HostPort(host="127.0.0.1", port=9)
    with kdc() as second, relay(stopped, second) as address:
        assert ask(address, framed(proof)) == framed(b"answer to " + proof)


def test_it_knows_which_proofs_are_unanswered() -> None:
    proof, first = framed(as_request(2, 149)), framed(as_request(149))
    proofs = SentProofs()
    begun = proofs.now()
    with kdc() as only, relay(only, proofs=proofs) as address:
        assert ask(address, proof)
        assert not proofs.unanswered(begun)
    with closing_kdc() as (closing, _), relay(closing, proofs=proofs) as address:
        assert ask(address, first) == b""
        assert not proofs.unanswered(begun)
        assert ask(address, proof) == b""
        assert proofs.unanswered(begun)
        assert not proofs.unanswered(proofs.now())


def test_a_proof_that_is_waited_for_is_unanswered() -> None:
    proofs = SentProofs()
    begun = proofs.now()
    with (
        kdc(None) as silent,
        relay(silent, proofs=proofs) as address,
        socket.create_connection(address) as stream,
    ):
        stream.sendall(framed(as_request(2)))
        wait_until(lambda: proofs.unanswered(begun), "a proof on its way")
        assert not proofs.unanswered(proofs.now())


CONFIG = """
[store]
url = "sqlite:///{folder}/db/dirbridge.db"
[serve]
run_dir = "{folder}"
[domains."company.com".directory]
type = "ldap"
server = "127.0.0.1:9"
username = "cn=bridge"
password = {{ file = "secret" }}
[domains."company.com".login]
methods = ["kerberos"]
kerberos_realm = "EXAMPLE.COM"
"""


def test_the_method_hears_of_it_from_the_relay_of_its_realm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KRB5_CONFIG", "")
    (tmp_path / "realms").mkdir()
    file = tmp_path / "dirbridge.toml"
    file.write_text(CONFIG.format(folder=tmp_path))
    with closing_kdc() as (closing, taken):
        realm = f'name = "EXAMPLE.COM"\nkdcs = ["{closing}"]\n'
        (tmp_path / "realms" / "example.toml").write_text(realm)
        app = App.load(file)
        (method,) = app._methods.by_directory[DomainName("company.com"), "directory"]
        assert isinstance(method, KerberosAuthenticator)
        begun = method._proofs.now()
        port = re.findall(
            r"127\.0\.0\.1:(\d+)", Path(os.environ["KRB5_CONFIG"]).read_text()
        )
        assert ask(("127.0.0.1", int(port[0])), framed(as_request(2))) == b""
        assert len(taken) == 1
        assert method._proofs.unanswered(begun)
