"""The Dovecot auth hook over its socket."""

from __future__ import annotations

import base64
import contextlib
import logging
import socket
import time

import pytest

from dirbridge.config.settings import HookSettings
from dirbridge.model.login import Reason
from tests.system.hook_serving import PLAIN, AuthClient, Table, connect, serving

AUTH = b"AUTH\t%d\tPLAIN\tservice=smtp\tlip=::ffff:192.0.2.10\trip=fe80::1%%eth0"


@pytest.fixture
def table():
    return Table({"anna": "secret", "jürgen": "pässwört", "slow": "secret"})


@pytest.fixture
def hook(tmp_path):
    return HookSettings(type="dovecot-auth", socket=tmp_path / "auth")


@pytest.fixture
def client(table, hook):
    with serving(hook, answerer=table):
        one = AuthClient(hook.socket)
        yield one
        one.close()


def test_greets_before_the_client_says_anything(table, hook):
    with serving(hook, answerer=table), connect(hook.socket) as one:
        lines = one.makefile("rb")
        words = [
            line.split(b"\t")[0].strip() for line in iter(lines.readline, b"DONE\n")
        ]
    assert words == [b"VERSION", b"MECH", b"MECH", b"SPID", b"CUID", b"COOKIE"]


def test_right_and_wrong(client, table):
    client.plain(1, b"anna")
    assert client.line() == b"OK\t1\tuser=anna@example.com\n"
    client.plain(2, b"anna", b"wrong")
    assert client.line() == b"FAIL\t2\tuser=anna\n"
    client.plain(3, b"nobody")
    assert client.line() == b"FAIL\t3\tuser=nobody\n"
    client.plain(4, b"anna", b"")
    assert client.line() == b"FAIL\t4\tuser=anna\n"
    for number, name in enumerate((b"tab\tbed", b"\x01", b"a" * 256), 5):
        client.plain(number, name)
        assert client.line() == b"FAIL\t%d\n" % number


def test_what_the_answerer_is_told(client, table, hook):
    client.send(AUTH % 1 + b"\tsecured=tls\tresp=" + PLAIN + b"\n")
    assert client.line().startswith(b"OK\t1")
    request = table.requests[0]
    assert str(request.local_ip) == "192.0.2.10"
    assert str(request.remote_ip) == "fe80::1%eth0"
    assert request.secured
    assert request.service == "smtp"
    assert request.hook == f"dovecot-auth:{hook.socket}"
    assert "secret" not in repr(request)


@pytest.mark.parametrize(
    ("name", "password"),
    [
        ("jürgen".encode(), "pässwört".encode()),
        ("jürgen".encode("latin-1"), "pässwört".encode("latin-1")),
    ],
)
def test_utf_8_else_latin_1(client, name, password):
    client.plain(1, name, password)
    assert client.line() == "OK\t1\tuser=jürgen@example.com\n".encode()


def test_login_and_unknown_mechanisms(client):
    client.send(b"AUTH\t1\tLOGIN\tservice=smtp\n")
    assert client.line() == b"CONT\t1\tVXNlcm5hbWU6\n"
    client.send(b"CONT\t1\t%s\n" % base64.b64encode(b"anna"))
    assert client.line() == b"CONT\t1\tUGFzc3dvcmQ6\n"
    client.send(b"CONT\t1\t%s\n" % base64.b64encode(b"secret"))
    assert client.line() == b"OK\t1\tuser=anna@example.com\n"
    client.send(b"AUTH\t2\tGSSAPI\tservice=smtp\n")
    assert client.line() == b"FAIL\t2\n"
    client.send(b"CONT\t99\t\nAUTH\t3\tPLAIN\tresp=!!!\n")
    assert [client.line(), client.line()] == [b"FAIL\t99\n", b"FAIL\t3\n"]


@pytest.mark.parametrize(
    ("response", "name", "reason"),
    [
        (b"boss\0anna\0secret", "anna", Reason.OTHER_IDENTITY),
        (b"anna\0secret", "", Reason.BAD_NAME),
        (b"anna\0secret\0", "", Reason.OTHER_IDENTITY),
    ],
)
def test_what_is_refused_without_asking_is_told(client, table, response, name, reason):
    client.send(AUTH % 1 + b"\tresp=" + base64.b64encode(response) + b"\n")
    assert client.line() == b"FAIL\t1\n"
    assert table.requests == []
    ((told, verdict),) = table.notes
    assert (told, verdict.reason) == (name, reason)
    assert "secret" not in repr(verdict)


def test_a_slow_login_holds_up_nobody(client, table):
    table.seconds["slow"] = 1
    client.plain(1, b"slow")
    client.plain(2, b"anna")
    assert client.line().startswith(b"OK\t2")
    assert client.line().startswith(b"OK\t1")


def test_a_cancelled_login_is_not_told(client, table):
    table.seconds["slow"] = 0.5
    client.plain(1, b"slow")
    client.send(b"CANCEL\t1\n")
    # The id is free again, and the first one's verdict must not answer it.
    client.plain(1, b"nobody")
    assert client.line() == b"FAIL\t1\tuser=nobody\n"
    time.sleep(0.7)
    client.plain(2, b"anna")
    assert client.line().startswith(b"OK\t2")


def test_a_client_that_leaves_breaks_no_other(client, table, hook):
    table.seconds["slow"] = 0.5
    other = AuthClient(hook.socket)
    other.plain(1, b"slow")
    other.close()
    client.plain(1, b"slow")
    assert client.line().startswith(b"OK\t1")


def test_an_outage_closes(client, table):
    table.outage = True
    client.plain(1, b"anna")
    assert client.line() == b""


def test_an_outage_waits_for_the_other_answers(client, table):
    table.seconds["slow"] = 0.5
    table.outages.add("bob")
    client.plain(1, b"slow")
    client.plain(2, b"bob")
    time.sleep(0.2)
    client.plain(3, b"anna")
    assert client.line().startswith(b"OK\t1")
    assert client.line() == b""
    assert sorted(request.name for request in table.requests) == ["bob", "slow"]


def test_an_outage_with_temp_failure_fail(table, tmp_path):
    path = tmp_path / "auth"
    hook = HookSettings(type="dovecot-auth", socket=path, temp_failure="fail")
    table.outages.add("bob")
    with serving(hook, answerer=table):
        client = AuthClient(path)
        client.plain(1, b"bob")
        client.plain(2, b"anna", b"wrong")
        lines = {client.line(), client.line()}
        client.close()
    assert lines == {
        b"FAIL\t1\tuser=bob\tcode=temp_fail\n",
        b"FAIL\t2\tuser=anna\n",
    }


def test_the_deadline(table, hook):
    table.seconds["slow"] = 3
    with serving(hook, answerer=table, deadline=0.5):
        client = AuthClient(hook.socket)
        began = time.monotonic()
        client.plain(1, b"slow")
        assert client.line() == b""
        assert 0.4 < time.monotonic() - began < 2
        client.close()


def test_the_deadline_holds_while_others_are_answered(table, hook):
    """Who is hit by the outage hears of it when its own time is up."""
    table.seconds["slow"] = 3
    table.outages.add("bob")
    with serving(hook, answerer=table, deadline=1):
        client = AuthClient(hook.socket)
        began = time.monotonic()
        client.plain(1, b"bob")
        client.plain(2, b"slow")
        assert client.line() == b""
        assert time.monotonic() - began < 2
        client.close()


def test_a_bug_is_an_outage_and_its_values_stay_inside(client, table, caplog):
    table.bugs.add("anna")
    with caplog.at_level(logging.ERROR):
        client.plain(1, b"anna", b"very secret")
        assert client.line() == b""
    assert "ZeroDivisionError" in caplog.text
    assert "hook_serving.py" in caplog.text
    assert "very secret" not in caplog.text


@pytest.mark.parametrize("name", ["tab\tbed", "line\nfeed", "nul\0", ""])
def test_a_user_that_the_wire_cannot_carry_is_an_outage(client, table, name):
    table.users["anna", "None"] = name
    client.plain(1, b"anna")
    assert client.line() == b""


def test_a_broken_client_is_disconnected(client, hook, caplog):
    broken = AuthClient(hook.socket)
    broken.send(b"GET / HTTP/1.0\n")
    assert broken.line() == b""
    broken.close()
    # A name of 1 MiB, in one line; the server may close while it is sent.
    big = AuthClient(hook.socket)
    with contextlib.suppress(ConnectionError):
        big.plain(1, b"a" * 2**20)
        assert big.line() == b""
    big.close()
    client.plain(1, b"anna")
    assert client.line().startswith(b"OK\t1")
    assert "only mail services" in caplog.text


def test_many_idle_connections(client, hook):
    idle = [AuthClient(hook.socket) for _ in range(1200)]
    for one in idle[::100]:
        one.plain(1, b"anna")
        assert one.line().startswith(b"OK\t1")
    for one in idle:
        one.close()


def test_tcp(table):
    hook = HookSettings.model_validate(
        {"type": "dovecot-auth", "listen": "127.0.0.1:26001"}
    )
    with (
        serving(hook, answerer=table),
        socket.create_connection(("127.0.0.1", 26001), timeout=10) as one,
    ):
        lines = one.makefile("rb")
        while lines.readline() != b"DONE\n":
            pass
        one.sendall(b"VERSION\t1\t0\nCPID\t1\nAUTH\t1\tPLAIN\tresp=" + PLAIN + b"\n")
        assert lines.readline() == b"OK\t1\tuser=anna@example.com\n"
