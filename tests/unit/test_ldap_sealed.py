"""A sealed stream: nothing unsealed is believed, every wait ends."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator

import pytest

from dirbridge.config.settings import Security
from dirbridge.errors import Unreachable, Unsupported
from dirbridge.ldap.sealed import CHUNK, SealBroken, SealedStream
from dirbridge.ldap.spnego import MAX_LEGS, ExchangeFailed, NotSealed, negotiate
from dirbridge.ldap.transport import (
    Access,
    Endpoint,
    Transport,
    Unanswered,
    open_transport,
)
from dirbridge.model.deadline import Deadline
from dirbridge.protocols import ber, ldap_messages
from dirbridge.protocols.sasl_layer import frame
from tests.ldap_responder import Responder


class Mask:
    """A seal for tests: a mark, then every octet turned over."""

    def wrap(self, data: bytes) -> bytes:
        return b"!" + bytes(255 - octet for octet in data)

    def unwrap(self, token: bytes) -> bytes:
        if token[:1] != b"!":
            raise SealBroken("no mark")
        return bytes(255 - octet for octet in token[1:])


@pytest.fixture
def pair() -> Iterator[tuple[SealedStream, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield SealedStream(ours, Mask()), theirs


def sealed(data: bytes) -> bytes:
    return frame(Mask().wrap(data))


def soon() -> float:
    return 2.0


def test_what_is_sent_is_sealed(pair: tuple[SealedStream, socket.socket]) -> None:
    stream, peer = pair
    stream.sendall(b"mail=anna")
    assert peer.recv(100) == sealed(b"mail=anna")


def test_much_is_sent_in_pieces(pair: tuple[SealedStream, socket.socket]) -> None:
    stream, peer = pair
    data = bytes(range(256)) * 1024
    sender = threading.Thread(target=stream.sendall, args=(data,))
    sender.start()
    got = SealedStream(peer, Mask())
    received = b""
    while len(received) < len(data):
        piece = got.recv(1 << 20, soon)
        assert len(piece) <= CHUNK
        received += piece
    sender.join()
    assert received == data


def test_what_comes_is_unsealed_in_any_pieces(
    pair: tuple[SealedStream, socket.socket],
) -> None:
    stream, peer = pair
    peer.sendall(sealed(b"abcdef") + sealed(b"ghi")[:4])
    assert stream.recv(4, soon) == b"abcd"
    assert stream.pending()
    assert stream.recv(4, soon) == b"ef"
    assert stream.pending()
    peer.sendall(sealed(b"ghi")[4:])
    assert stream.recv(4, soon) == b"ghi"
    assert not stream.pending()
    peer.close()
    assert stream.recv(4, soon) == b""


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (frame(b"abc"), "seal-broken"),
        (b"\x30\x0c\x02\x01\x01abc", "protocol"),
        (b"\0\0\0\0", "protocol"),
        (sealed(b"abc")[:-1], "closed"),
    ],
)
def test_what_cannot_be_unsealed_ends_the_connection(
    data: bytes, code: str, pair: tuple[SealedStream, socket.socket]
) -> None:
    stream, peer = pair
    peer.sendall(data + sealed(b"more") if code == "seal-broken" else data)
    peer.shutdown(socket.SHUT_WR)
    with pytest.raises(SealBroken) as caught:
        stream.recv(100, soon)
    assert caught.value.code == code
    with pytest.raises(OSError):  # noqa: PT011 - whatever a closed socket raises
        stream.recv(100, soon)


def test_octets_that_drip_do_not_stretch_the_deadline(
    pair: tuple[SealedStream, socket.socket],
) -> None:
    stream, peer = pair
    deadline = Deadline.after(0.4)

    def left() -> float:
        if deadline.left() <= 0:
            raise TimeoutError
        return deadline.left()

    def drip() -> None:
        for octet in sealed(b"x" * 100)[:60]:
            peer.sendall(bytes((octet,)))
            time.sleep(0.02)

    dripping = threading.Thread(target=drip)
    dripping.start()
    start = time.monotonic()
    with pytest.raises(TimeoutError):
        stream.recv(100, left)
    assert time.monotonic() - start < 2
    dripping.join()


def connected(port: int) -> Transport:
    access = Access(domain="example.com", security=Security.SEALED)
    transport = open_transport(Endpoint("127.0.0.1", port), access, Deadline.after(3))
    transport.allow(Deadline.after(5))
    return transport


def bind_answer(number: int, code: int, credentials: bytes | None) -> bytes:
    given = b"" if credentials is None else ber.tlv(0x87, credentials)
    body = ber.tlv(0x61, ber.enumerated(code), ber.octets(b""), ber.octets(b""), given)
    return ldap_messages.message(number, body)


class Script:
    """An initiator that does what a test wants, and seals with a mask."""

    def __init__(
        self,
        legs: int = 1,
        *,
        proven: bool = True,
        counted: bool = False,
        error: Exception | None = None,
    ) -> None:
        self.taken: list[bytes | None] = []
        self._legs = legs
        self._proven = proven
        self.counted = counted
        self._error = error

    @property
    def complete(self) -> bool:
        return len(self.taken) > self._legs

    @property
    def proven(self) -> bool:
        return self.complete and self._proven

    def step(self, token: bytes | None) -> bytes | None:
        self.taken.append(token)
        if token is not None and self._error:
            raise self._error
        return f"ours {len(self.taken)}".encode()

    wrap = Mask.wrap
    unwrap = Mask.unwrap


def exchanged(script: Script, *answers: tuple[int, bytes | None]) -> Transport:
    """Negotiate with a server that answers this; leg 1 has message id 1."""

    def tell(_tag: int, before: int) -> bytes | None:
        if before >= len(answers):
            return None
        return bind_answer(before + 1, *answers[before])

    with Responder(tell) as server:
        transport = connected(server.port)
        assert negotiate(transport, script).code == 0
        return transport


def test_the_server_proves_itself_in_the_last_leg() -> None:
    script = Script(legs=2)
    exchanged(script, (14, b"challenge"), (0, b"proof"))
    assert script.taken == [None, b"challenge", b"proof"]


@pytest.mark.parametrize(
    ("script", "answers", "code"),
    [
        # Success without the server's own part, with a wrong one, without a seal.
        (Script(), ((0, None),), "server-not-proven"),
        (Script(), ((0, b""),), "server-not-proven"),
        (Script(proven=False), ((0, b"proof"),), "server-not-proven"),
        (Script(error=ExchangeFailed("x")), ((0, b"y"),), "server-not-proven"),
        (Script(error=NotSealed("x")), ((14, b"y"),), "not-sealed"),
    ],
)
def test_nothing_less_than_what_was_asked_for_is_taken(
    script: Script, answers: tuple[tuple[int, bytes | None], ...], code: str
) -> None:
    with pytest.raises(Unsupported) as caught:
        exchanged(script, *answers)
    assert caught.value.code == code


@pytest.mark.parametrize(
    "answers",
    [((14, b"more"),) * (MAX_LEGS + 1), ((14, None),), ((14, b"a"), (14, None))],
    ids=["no end", "nothing", "nothing in the second leg"],
)
def test_an_exchange_without_an_end_is_no_ldap(
    answers: tuple[tuple[int, bytes | None], ...],
) -> None:
    with pytest.raises(Unreachable) as caught:
        exchanged(Script(legs=100), *answers)
    assert caught.value.code == "protocol"


@pytest.mark.parametrize("counted", [False, True])
def test_silence_after_a_try_that_may_count(counted: bool) -> None:
    with pytest.raises(Unreachable) as caught:
        exchanged(Script(legs=2, counted=counted), (14, b"challenge"))
    assert isinstance(caught.value, Unanswered) == counted


def test_octets_after_the_binds_answer_are_not_believed() -> None:
    """Whoever sits in between could write an answer there, in clear."""

    def tell(_tag: int, _before: int) -> bytes:
        return bind_answer(1, 0, b"proof") + b"\x30\x0c\x02\x01\x02"

    script = Script()
    with Responder(tell) as server:
        transport = connected(server.port)
        assert negotiate(transport, script).code == 0
        with pytest.raises(Unreachable) as caught:
            transport.seal(script)
        assert caught.value.code == "seal-broken"
        assert not transport.idle()


def test_a_broken_seal_is_told_by_its_code() -> None:
    with Responder(lambda _tag, _before: frame(b"no mark")) as server:
        transport = connected(server.port)
        transport.sendall(ldap_messages.read_request(1, "", ("1.1",)))
        transport.seal(Mask())
        with pytest.raises(Unreachable) as caught:
            transport.read_entry("", ("1.1",))
        assert caught.value.code == "seal-broken"
        assert not transport.idle()


class Gone(Mask):
    """A seal whose ticket has come to its end."""

    def wrap(self, data: bytes) -> bytes:
        raise SealBroken("the context has expired")


def test_what_cannot_be_sealed_is_told_by_its_code() -> None:
    with Responder() as server:
        transport = connected(server.port)
        transport.seal(Gone())
        with pytest.raises(Unreachable) as caught:
            transport.read_entry("", ("1.1",))
        assert caught.value.code == "seal-broken"
        assert not transport.idle()
        with pytest.raises(OSError):  # noqa: PT011 - whatever a closed socket raises
            transport.recv(1)


def test_a_wait_that_ends_in_the_middle_of_a_token_loses_nothing() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        transport = connected(server.getsockname()[1])
        peer, _ = server.accept()
        with peer:
            transport.seal(Mask())
            token = sealed(b"an answer")
            assert transport.poll(100, 0.05) is None
            peer.sendall(token[:6])
            assert transport.poll(100, 0.2) is None
            assert not transport.idle()
            peer.sendall(token[6:])
            assert transport.poll(100, 2) == b"an answer"
            assert transport.idle()
            assert transport.failure == ""
        transport.close()
