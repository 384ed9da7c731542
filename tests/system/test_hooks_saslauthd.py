"""The saslauthd hook over its socket, and with the real testsaslauthd."""

from __future__ import annotations

import subprocess
import time
from ipaddress import ip_address

import pytest

from dirbridge.config.settings import HookSettings
from dirbridge.model.secret import Secret
from tests.system.hook_serving import Table, connect, read_to_end, serving


@pytest.fixture
def table():
    return Table(
        {
            "anna": "secret",
            "anna@example.com": "secret",
            "jürgen@b@example.com": "pässwört",
            "o'brien@example.com": 'p@ss:w%rd"\\ x',
        }
    )


@pytest.fixture
def hook(tmp_path):
    return HookSettings(
        type="saslauthd", socket=tmp_path / "mux", local_ip="192.0.2.10"
    )


@pytest.fixture
def served(table, hook):
    with serving(hook, answerer=table, deadline=5):
        yield hook.socket


def strings(*values: bytes) -> bytes:
    return b"".join(len(value).to_bytes(2, "big") + value for value in values)


def ask(path, *values: bytes) -> bytes:
    with connect(path) as one:
        one.sendall(strings(*values))
        return read_to_end(one)


def ask_testsaslauthd(path, name: str, password: str, *more: str) -> str:
    done = subprocess.run(
        ["testsaslauthd", "-f", path, "-u", name, "-p", password, *more],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
        env={"PATH": "/usr/sbin:/usr/bin", "LC_ALL": "C.UTF-8"},
    )
    return done.stdout.strip()


@pytest.mark.needs_saslauthd
@pytest.mark.parametrize(
    ("name", "password", "more", "reply"),
    [
        ("anna", "secret", (), '0: OK "Success."'),
        ("anna", "wrong", (), '0: NO "authentication failed"'),
        ("anna", "", (), '0: NO "authentication failed"'),
        ("", "", (), '0: NO "authentication failed"'),
        ("anna", "secret", ("-r", "example.com"), '0: OK "Success."'),
        ("anna@example.com", "secret", (), '0: OK "Success."'),
        ("anna@example.com", "secret", ("-r", "example.com"), '0: OK "Success."'),
        ("anna@example.org", "secret", (), '0: NO "authentication failed"'),
        ("jürgen@b", "pässwört", ("-r", "example.com"), '0: OK "Success."'),
        ("o'brien@example.com", 'p@ss:w%rd"\\ x', (), '0: OK "Success."'),
    ],
)
def test_testsaslauthd(served, name, password, more, reply):
    assert ask_testsaslauthd(served, name, password, *more) == reply


@pytest.mark.needs_saslauthd
def test_testsaslauthd_in_an_outage(served, table):
    table.outage = True
    reply = ask_testsaslauthd(served, "anna", "secret")
    assert "OK" not in reply
    assert '"authentication failed"' not in reply


def test_what_the_answerer_is_told(served, table):
    assert ask(served, b"anna", b"secret", b"imap", b"example.com") == b"\0\2OK"
    request = table.requests[0]
    assert request.name == "anna@example.com"
    assert request.password == Secret("secret")
    assert request.service == "imap"
    assert request.local_ip == ip_address("192.0.2.10")
    assert request.remote_ip is None
    assert request.hook == f"saslauthd:{served}"


def test_an_outage_closes_without_a_word(served, table):
    table.outage = True
    assert ask(served, b"anna", b"secret", b"smtp", b"") == b""


def test_an_outage_with_temp_failure_fail(table, tmp_path):
    path = tmp_path / "mux"
    hook = HookSettings(type="saslauthd", socket=path, temp_failure="fail")
    table.outage = True
    with serving(hook, answerer=table):
        assert ask(path, b"anna", b"secret", b"smtp", b"") == b"\0\2NO"


def test_a_bug_is_an_outage(served, table):
    table.bugs.add("anna")
    assert ask(served, b"anna", b"secret", b"smtp", b"") == b""


def test_the_deadline(table, hook):
    table.seconds["anna"] = 2
    with serving(hook, answerer=table, deadline=0.5):
        began = time.monotonic()
        assert ask(hook.socket, b"anna", b"secret", b"smtp", b"") == b""
        assert 0.4 < time.monotonic() - began < 1.5


def test_a_client_that_says_nothing_is_let_go(table, hook):
    with serving(hook, answerer=table, deadline=0.5), connect(hook.socket) as one:
        one.sendall(b"\0\4an")
        assert read_to_end(one) == b""


def test_a_client_that_closes_its_half_still_gets_its_reply(served, table):
    table.seconds["anna"] = 0.3
    with connect(served) as one:
        one.sendall(strings(b"anna", b"secret", b"smtp", b""))
        one.shutdown(1)
        assert read_to_end(one) == b"\0\2OK"


def test_hard_requests_harm_nobody(served):
    hard = [
        strings(b"a" * 8192, b"p" * 8192, b"s" * 8192, b"r" * 8192),
        strings(b"a" * 65535, b"p", b"s", b"r"),
        b"a" * 2**20,
        strings(b"\xff\xfe", b"\xff\0\xff", b"\0", b"\xff"),
        b"",
        b"\0",
    ]
    replies = []
    for data in hard:
        with connect(served) as one:
            try:
                one.sendall(data)
                one.shutdown(1)
                replies.append(read_to_end(one))
            except OSError:
                replies.append(b"")
    assert replies == [b"\0\2NO", b"", b"", b"\0\2NO", b"", b""]
    assert ask(served, b"anna", b"secret", b"smtp", b"") == b"\0\2OK"


def test_many_at_once(served, table):
    table.seconds["anna"] = 0.5
    began = time.monotonic()
    waiting = [connect(served) for _ in range(60)]
    for one in waiting:
        one.sendall(strings(b"anna", b"secret", b"smtp", b""))
    assert {read_to_end(one) for one in waiting} == {b"\0\2OK"}
    for one in waiting:
        one.close()
    assert time.monotonic() - began < 4


def test_the_end_of_serving_answers_what_is_in_flight(table, hook):
    table.seconds["anna"] = 0.5
    with serving(hook, answerer=table):
        silent, busy = connect(hook.socket), connect(hook.socket)
        busy.sendall(strings(b"anna", b"secret", b"smtp", b""))
        while not table.requests:
            time.sleep(0.01)
    assert read_to_end(silent) == b""
    assert read_to_end(busy) == b"\0\2OK"
    silent.close()
    busy.close()
