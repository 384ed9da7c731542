"""The Dovecot auth codec, with bytes of a real Postfix."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dirbridge.errors import LocalProtocolError, RemoteProtocolError
from dirbridge.protocols.dovecot_auth import (
    Auth,
    Cancel,
    Challenge,
    ClientPid,
    Closed,
    Continue,
    Fail,
    Greeting,
    Need,
    Ok,
    ServerConnection,
    Unanswerable,
    Version,
    Why,
)
from tests.wire.feeding import DATA, each_cut, events, pieces

HELLO = b"VERSION\t1\t0\nCPID\t30182\n"
GREETING = Greeting(["PLAIN", "LOGIN"], 11, 7, bytes(range(16)))
POSTFIX_FIELDS = {"service": "smtp", "lip": "127.0.1.10", "rip": "127.0.0.1"}


def postfix_auth(number: int, mechanism: str, response: bytes | None = None) -> Auth:
    flags = frozenset({"nologin"})
    return Auth(number, mechanism, POSTFIX_FIELDS, flags, response)


POSTFIX = [
    Version(1, 0),
    ClientPid(30182),
    postfix_auth(1, "PLAIN"),
    Continue(1, b"\0anna\0secret"),
    postfix_auth(2, "LOGIN"),
    Continue(2, "jürgen".encode()),
    Continue(2, "pässwört".encode()),
    postfix_auth(3, "PLAIN", b"\0anna\0secret"),
    postfix_auth(4, "PLAIN", b""),
    Continue(4, b"\0anna\0p"),
    postfix_auth(5, "PLAIN"),
    postfix_auth(6, "PLAIN"),
    postfix_auth(7, "LOGIN", b"anna"),
    Continue(7, b"pw"),
]


def greeted(**limits: int) -> ServerConnection:
    codec = ServerConnection(**limits)
    codec.send(GREETING)
    return codec


def ready(**limits: int) -> ServerConnection:
    codec = greeted(**limits)
    codec.receive_data(HELLO)
    assert list(events(codec)) == [Version(1, 0), ClientPid(30182)]
    return codec


def challenged(codec: ServerConnection, event: object) -> object:
    """Answer so that the client may go on."""
    if isinstance(event, Auth | Continue):
        codec.send(Challenge(event.id, b""))
    elif isinstance(event, Unanswerable):
        codec.send(Fail(event.id))
    return event


DOVEADM = [
    Version(1, 2),
    ClientPid(7094),
    Auth(
        1,
        "PLAIN",
        {"service": "imap", "lip": "192.0.2.1", "rip": "192.0.2.7"},
        frozenset(),
        b"anna\0anna\0secret",
    ),
]


@each_cut
@pytest.mark.parametrize("tail", [b"", b"CANC", b"AUTH\t8\tPLAIN", b"\0\xff\x01"])
@pytest.mark.parametrize(
    ("name", "expected"),
    [("dovecot-auth-postfix.bin", POSTFIX), ("dovecot-auth-doveadm.bin", DOVEADM)],
)
def test_captured_clients(name, expected, cut, tail):
    codec = greeted()
    seen = []
    for piece in cut((DATA / name).read_bytes() + tail):
        codec.receive_data(piece)
        seen += [challenged(codec, event) for event in events(codec)]
    assert seen == expected
    assert codec.next_event() is Need.DATA


def test_greeting_is_in_the_order_that_clients_need():
    assert ServerConnection().send(GREETING) == (
        b"VERSION\t1\t2\n"
        b"MECH\tPLAIN\tplaintext\n"
        b"MECH\tLOGIN\tplaintext\n"
        b"SPID\t11\n"
        b"CUID\t7\n"
        b"COOKIE\t000102030405060708090a0b0c0d0e0f\n"
        b"DONE\n"
    )


def test_greeting_comes_once_and_before_any_reply():
    codec = ServerConnection()
    codec.receive_data(HELLO + b"AUTH\t1\tPLAIN\tservice=smtp\n")
    assert len(list(events(codec))) == 3
    with pytest.raises(LocalProtocolError):
        codec.send(Fail(1))
    codec.send(GREETING)
    with pytest.raises(LocalProtocolError):
        codec.send(GREETING)
    assert codec.send(Fail(1)) == b"FAIL\t1\n"


AUTH_LINES = {
    b"PLAIN": Auth(1, "PLAIN", {}, frozenset(), None),
    b"plain\tresp": Auth(1, "PLAIN", {}, frozenset(), b""),
    b"PLAIN\tresp=": Auth(1, "PLAIN", {}, frozenset(), b""),
    b"PLAIN\tresp==": Auth(1, "PLAIN", {}, frozenset(), b""),
    b"PLAIN\tresp=YQ==": Auth(1, "PLAIN", {}, frozenset(), b"a"),
    b"PLAIN\tservice=smtp\tsecured\tresp=YWI=": Auth(
        1, "PLAIN", {"service": "smtp"}, frozenset({"secured"}), b"ab"
    ),
    b"X\tkey=a=b\tsecured=tls": Auth(
        1, "X", {"key": "a=b", "secured": "tls"}, frozenset(), None
    ),
    b"X\tkey=a\x01tb\x01nc\x011d\x01re\x010f\x01zg": Auth(
        1, "X", {"key": "a\tb\nc\x01d\re\0fzg"}, frozenset(), None
    ),
    b"X\tkey=\xff": Auth(1, "X", {"key": "\\xff"}, frozenset(), None),
    # A Dovecot login process, as the fact sheet has it.
    b"PLAIN\tservice=imap\tsecured=tls\tsession=abc\tlip=::1\trip=::1\tlport=143"
    b"\trport=5\tlocal_name=mx\tfinal-resp-ok\tresp=": Auth(
        1,
        "PLAIN",
        {
            "service": "imap",
            "secured": "tls",
            "session": "abc",
            "lip": "::1",
            "rip": "::1",
            "lport": "143",
            "rport": "5",
            "local_name": "mx",
        },
        frozenset({"final-resp-ok"}),
        b"",
    ),
}


@each_cut
@pytest.mark.parametrize(("line", "event"), AUTH_LINES.items())
def test_auth_lines(line, event, cut):
    codec = ready()
    for piece in cut(b"AUTH\t1\t" + line + b"\n"):
        codec.receive_data(piece)
    assert codec.next_event() == event


@pytest.mark.parametrize(
    ("line", "secured"),
    [(b"", False), (b"\tsecured", True), (b"\tsecured=tls", True)],
)
def test_secured(line, secured):
    codec = ready()
    codec.receive_data(b"AUTH\t1\tPLAIN" + line + b"\n")
    assert codec.next_event().secured is secured


REPLIES = {
    Ok(1, "anna@example.com"): b"OK\t1\tuser=anna@example.com\n",
    Ok(1, "jürgen@example.com"): "OK\t1\tuser=jürgen@example.com\n".encode(),
    Fail(1): b"FAIL\t1\n",
    Fail(1, user="anna"): b"FAIL\t1\tuser=anna\n",
    Fail(1, code="temp_fail"): b"FAIL\t1\tcode=temp_fail\n",
    Fail(1, "anna", "temp_fail", "failed"): (
        b"FAIL\t1\tuser=anna\tcode=temp_fail\treason=failed\n"
    ),
    Challenge(1, b""): b"CONT\t1\t\n",
    Challenge(1, b"Username:"): b"CONT\t1\tVXNlcm5hbWU6\n",
    Challenge(1, b"Password:"): b"CONT\t1\tUGFzc3dvcmQ6\n",
}


@pytest.mark.parametrize(("reply", "line"), REPLIES.items())
def test_replies(reply, line):
    codec = ready()
    codec.receive_data(b"AUTH\t1\tPLAIN\n")
    codec.next_event()
    assert codec.send(reply) == line


@pytest.mark.parametrize("control", ["\t", "\n", "\r", "\0", "\x01", "\x7f", "\ud800"])
def test_no_control_character_leaves(control):
    codec = ready()
    codec.receive_data(b"AUTH\t1\tPLAIN\n")
    codec.next_event()
    for reply in [
        Ok(1, f"anna{control}"),
        Fail(1, user=control),
        Fail(1, code=control),
        Fail(1, reason=control),
        Ok(1, ""),
    ]:
        with pytest.raises(LocalProtocolError):
            codec.send(reply)
    # What was refused has not changed whose turn it is.
    assert codec.send(Fail(1)) == b"FAIL\t1\n"


def test_exchanges_are_independent():
    codec = ready()
    codec.receive_data(b"".join(b"AUTH\t%d\tLOGIN\n" % n for n in range(1, 5)))
    assert [event.id for event in events(codec)] == [1, 2, 3, 4]
    assert codec.send(Ok(3, "c@example.com"))
    assert codec.send(Challenge(1, b"Username:"))
    assert codec.send(Fail(4))
    codec.receive_data(b"CONT\t1\tYQ==\nCANCEL\t2\n")
    assert list(events(codec)) == [Continue(1, b"a"), Cancel(2)]
    assert codec.send(Fail(1))
    for number in (1, 2, 3, 4, 5):
        with pytest.raises(LocalProtocolError):
            codec.send(Fail(number))


def test_no_reply_while_it_is_the_client_s_turn():
    codec = ready()
    codec.receive_data(b"AUTH\t1\tLOGIN\n")
    codec.next_event()
    codec.send(Challenge(1, b"Username:"))
    for reply in [Fail(1), Ok(1, "a@example.com"), Challenge(1, b"")]:
        with pytest.raises(LocalProtocolError):
            codec.send(reply)


def test_a_finished_id_may_be_used_again():
    codec = ready()
    for _ in range(3):
        codec.receive_data(b"AUTH\t1\tPLAIN\n")
        assert isinstance(codec.next_event(), Auth)
        codec.send(Fail(1))


def test_cancel_of_nothing_is_nothing_wrong():
    codec = ready()
    codec.receive_data(b"CANCEL\t9\n")
    assert list(events(codec)) == [Cancel(9)]


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (b"AUTH\t1\tPLAIN\tresp=!!!", Why.INVALID_BASE64),
        (b"AUTH\t1\tPLAIN\tresp=YQ", Why.INVALID_BASE64),
        (b"AUTH\t1\tPLAIN\tresp=\xff", Why.INVALID_BASE64),
        (b"CONT\t1\tYQ==", Why.UNKNOWN_ID),
        (b"CONT\t1\t!!!", Why.UNKNOWN_ID),
    ],
)
def test_what_one_person_did_breaks_no_connection(line, why):
    codec = ready()
    codec.receive_data(line + b"\nAUTH\t2\tPLAIN\n")
    assert codec.next_event() == Unanswerable(1, why)
    assert codec.send(Fail(1)) == b"FAIL\t1\n"
    assert isinstance(codec.next_event(), Auth)


def test_invalid_base64_in_a_response():
    codec = ready()
    codec.receive_data(b"AUTH\t1\tPLAIN\nCONT\t1\t!!!\n")
    codec.next_event()
    codec.send(Challenge(1, b""))
    assert codec.next_event() == Unanswerable(1, Why.INVALID_BASE64)
    assert codec.send(Fail(1))


BROKEN = [
    b"HELLO\n",
    b"\n",
    b"VERSION\n",
    b"VERSION\t1\n",
    b"VERSION\t1\t2\t3\n",
    b"VERSION\t2\t0\n",
    b"VERSION\tone\t0\n",
    b"VERSION\t1\t-1\n",
    b"CPID\t1\n",
    b"VERSION\t1\t0\r\n",
    b"VERSION\t1\t0\nVERSION\t1\t0\n",
    b"VERSION\t1\t0\nCPID\n",
    b"VERSION\t1\t0\nCPID\tx\n",
    b"VERSION\t1\t0\nAUTH\t1\tPLAIN\n",
    HELLO + b"CPID\t1\n",
    HELLO + b"auth\t1\tPLAIN\n",
    HELLO + b"AUTH\n",
    HELLO + b"AUTH\t1\n",
    HELLO + b"AUTH\tx\tPLAIN\n",
    HELLO + b"AUTH\t-1\tPLAIN\n",
    HELLO + b"AUTH\t4294967296\tPLAIN\n",
    HELLO + b"AUTH\t" + b"9" * 5000 + b"\tPLAIN\n",
    HELLO + b"AUTH\t1\tPLAIN\nAUTH\t1\tPLAIN\n",
    HELLO + b"AUTH\t1\tPLAIN\nCONT\t1\tYQ==\n",
    HELLO + b"CONT\t1\n",
    HELLO + b"CONT\n",
    HELLO + b"CANCEL\n",
    HELLO + b"CANCEL\tx\n",
    HELLO + b"a" * 16385,
    HELLO + b"AUTH\t1\tPLAIN\tresp=" + b"A" * 20000 + b"\n",
]


@each_cut
@pytest.mark.parametrize("tail", [b"", b"AUTH\t9\tPLAIN\n"])
@pytest.mark.parametrize("data", BROKEN, ids=lambda data: repr(data[:40]))
def test_a_broken_client(data, tail, cut):
    codec = greeted()
    seen = 0
    with pytest.raises(RemoteProtocolError):  # noqa: PT012 - at any piece
        for piece in [*cut(data + tail), b""]:
            codec.receive_data(piece)
            seen += len(list(events(codec)))
    assert seen <= 3
    with pytest.raises(RemoteProtocolError):
        codec.next_event()


@each_cut
def test_a_line_of_the_longest_length(cut):
    codec = ready()
    line = b"AUTH\t1\tPLAIN\tkey=" + b"a" * (16384 - 17)
    for piece in cut(line + b"\n"):
        codec.receive_data(piece)
    assert len(line) == 16384
    assert isinstance(codec.next_event(), Auth)


def test_the_end():
    codec = ready()
    codec.receive_data(b"AUTH\t1\tPLAIN\n")
    codec.receive_data(b"")
    assert [type(event) for event in events(codec)] == [Auth, Closed]
    with pytest.raises(LocalProtocolError):
        codec.send(Fail(1))
    with pytest.raises(LocalProtocolError):
        codec.receive_data(b"x")


def test_the_end_inside_a_line():
    codec = ready()
    codec.receive_data(b"AUTH\t1\tPLAIN")
    codec.receive_data(b"")
    with pytest.raises(RemoteProtocolError):
        codec.next_event()


def test_exchanges_that_nobody_takes_back_are_forgotten():
    codec = ready(max_exchanges=3)
    for number in range(1, 100):
        codec.receive_data(b"AUTH\t%d\tLOGIN\n" % number)
        auth, *forgotten = events(codec)
        assert auth.id == number
        assert forgotten == ([Cancel(number - 3)] if number > 3 else [])
        codec.send(Challenge(number, b"Username:"))


def test_too_many_exchanges_that_wait_for_us():
    codec = ready(max_exchanges=3)
    codec.receive_data(b"".join(b"AUTH\t%d\tLOGIN\n" % n for n in range(4)))
    with pytest.raises(RemoteProtocolError):
        list(events(codec))


def test_no_password_in_a_repr():
    codec = ready()
    password = base64.b64encode(b"\0anna\0secret")
    codec.receive_data(b"AUTH\t1\tPLAIN\tresp=" + password + b"\n")
    event = codec.next_event()
    assert event.response == b"\0anna\0secret"
    for shown in (repr(event), repr(Continue(1, b"secret"))):
        assert "secret" not in shown
        assert password.decode() not in shown


WORDS = [
    *(b"VERSION", b"CPID", b"AUTH", b"CONT", b"CANCEL", b"1", b"2", b"\t", b"\t"),
    *(b"\n", b"resp=", b"=", b"YQ==", b"\x01", b"PLAIN", b"\xff", HELLO),
]


@pytest.mark.fuzz
@given(st.binary(min_size=4, max_size=48), st.booleans())
def test_garbage_gives_only_the_remote_error(spelled, said_hello):
    assert_harmless(pieces(spelled, WORDS), said_hello)


def assert_harmless(pieces: list[bytes], said_hello: bool) -> None:
    codec = ready(max_line=60) if said_hello else greeted(max_line=60)
    try:
        for piece in [*filter(None, pieces), b""]:
            codec.receive_data(piece)
            for event in events(codec):
                challenged(codec, event)
    except RemoteProtocolError:
        return


def escape(text: str) -> bytes:
    """TAB-escape as src/lib/strescape.c does."""
    table = {"\0": "0", "\1": "1", "\t": "t", "\n": "n", "\r": "r"}
    return "".join(f"\1{table[c]}" if c in table else c for c in text).encode()


@given(
    st.integers(0, 2**32 - 1),
    st.dictionaries(
        st.text("abcdef_", min_size=1), st.text(st.characters(codec="utf-8"))
    ),
    st.none() | st.binary(),
)
def test_round_trip(number, fields, response):
    words = [b"AUTH", b"%d" % number, b"PLAIN"]
    words += [escape(key) + b"=" + escape(value) for key, value in fields.items()]
    if response is not None:
        words.append(b"resp=" + base64.b64encode(response))
    codec = ready()
    codec.receive_data(b"\t".join(words) + b"\n")
    assert codec.next_event() == Auth(number, "PLAIN", fields, frozenset(), response)
