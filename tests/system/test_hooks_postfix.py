"""A real Postfix in front of the Dovecot auth hook."""

from __future__ import annotations

import smtplib
import time

import pytest

from dirbridge.config.settings import HookSettings
from testbed.postfix import Postfix, encoded, login, smtp_login, split
from tests.system.hook_serving import Table, serving

pytestmark = pytest.mark.needs_postfix

OFFICE = "127.0.1.10:26025"
BRANCH = "127.0.1.20:26025"


@pytest.fixture(scope="module")
def postfix(tmp_path_factory):
    """One Postfix for all tests; the tests put their socket where it looks."""
    directory = tmp_path_factory.mktemp("postfix")
    server = Postfix(directory, [OFFICE, BRANCH], "private/dirbridge")
    server.prepare()
    hook = hook_of(server)
    # smtpd ends where it meets no socket at its start.
    with serving(hook, answerer=Table({})):
        server.start()
    yield server
    server.stop()


def hook_of(postfix: Postfix, **more: str) -> HookSettings:
    return HookSettings(
        type="dovecot-auth",
        socket=postfix.queue / "private" / "dirbridge",
        owner="postfix",
        group="postfix",
        **more,
    )


@pytest.fixture
def table():
    return Table({"anna": "secret", "jürgen": "pässwört", "o'brien": 'p@ss:w%rd"\\ x'})


@pytest.fixture
def served(postfix, table):
    with serving(hook_of(postfix), answerer=table):
        yield


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
@pytest.mark.parametrize(
    ("name", "password", "code"),
    [
        ("anna", "secret", 235),
        ("jürgen", "pässwört", 235),
        ("o'brien", 'p@ss:w%rd"\\ x', 235),
        ("anna", "wrong", 535),
        ("nobody", "secret", 535),
    ],
)
@pytest.mark.usefixtures("served")
def test_right_and_wrong(name, password, code, mechanism):
    assert smtp_login(OFFICE, name, password, mechanism=mechanism)[0] == code


@pytest.mark.usefixtures("served")
def test_the_outside_learns_only_that_it_failed(postfix):
    wrong = smtp_login(OFFICE, "anna", "wrong")
    assert wrong == smtp_login(OFFICE, "nobody", "wrong")
    assert wrong[1].startswith("5.7.8 Error: authentication failed")
    assert "sasl_username=nobody" in postfix.log_text()


@pytest.mark.usefixtures("served")
def test_an_outage_is_454(table):
    table.outage = True
    code, text = smtp_login(OFFICE, "anna", "secret")
    assert (code, text[:5]) == (454, "4.7.0")
    table.outage = False
    assert smtp_login(OFFICE, "anna", "secret")[0] == 235


def test_an_outage_with_temp_failure_fail_is_535(postfix, table):
    table.outage = True
    with serving(hook_of(postfix, temp_failure="fail"), answerer=table):
        assert smtp_login(OFFICE, "anna", "secret")[0] == 535


def test_a_hanging_login_is_454_before_postfix_gives_up(postfix, table):
    table.seconds["anna"] = 12
    with serving(hook_of(postfix), answerer=table, deadline=9):
        began = time.monotonic()
        code, _ = smtp_login(OFFICE, "anna", "secret")
        assert code == 454
        assert 8.5 < time.monotonic() - began < 9.9


@pytest.mark.usefixtures("served")
def test_the_address_that_the_client_came_to(table):
    table.users["anna", "127.0.1.10"] = "anna@example.com"
    table.users["anna", "127.0.1.20"] = "anna@example.org"
    for address in (OFFICE, BRANCH):
        assert smtp_login(address, "anna", "secret", source="127.0.0.77")[0] == 235
    came_to = [str(request.local_ip) for request in table.requests]
    assert came_to == ["127.0.1.10", "127.0.1.20"]
    assert {str(request.remote_ip) for request in table.requests} == {"127.0.0.77"}
    assert {request.service for request in table.requests} == {"smtp"}


@pytest.mark.usefixtures("served")
def test_the_user_that_we_say_is_the_user(postfix, table):
    table.users["anna", "127.0.1.10"] = "renamed@example.com"
    with smtplib.SMTP(*split(OFFICE)) as client:
        client.ehlo()
        assert login(client, "anna", "secret")[0] == 235
        client.docmd("MAIL FROM:<a@example.com>")
        client.docmd("RCPT TO:<b@example.net>")
    assert "sasl_username=renamed@example.com" in postfix.log_text()


@pytest.mark.usefixtures("served")
def test_hard_input_harms_nobody(table):
    with smtplib.SMTP(*split(OFFICE)) as client:
        client.ehlo()
        assert client.docmd("AUTH PLAIN " + encoded(b"\0anna\0"))[0] == 535
        assert client.docmd("AUTH PLAIN " + encoded(b"\0\xff\xfe\0\xff"))[0] == 535
        assert client.docmd("AUTH PLAIN " + encoded(b"bob\0anna\0secret"))[0] == 535
        assert client.docmd("AUTH PLAIN " + encoded(b"\0a\tb\nc\1d\0secret"))[0] == 535
        assert client.docmd("AUTH PLAIN !!!")[0] in (501, 535)
        assert client.docmd("AUTH PLAIN " + encoded(b"a" * 2**20))[0] in (500, 535)
        assert client.docmd("AUTH PLAIN")[0] == 334
        assert client.docmd("*")[0] == 501
        assert client.docmd("AUTH PLAIN")[0] == 334
        assert client.docmd(encoded(b"\0anna\0secret"))[0] == 235
    names = {request.name for request in table.requests}
    assert {"ÿþ", "a\tb\nc\1d"} <= names


@pytest.mark.usefixtures("served")
def test_a_name_of_1_mib_in_a_response():
    with smtplib.SMTP(*split(OFFICE)) as client:
        client.ehlo()
        assert client.docmd("AUTH LOGIN")[0] == 334
        assert client.docmd(encoded(b"a" * 2**20))[0] in (500, 535)
    assert smtp_login(OFFICE, "anna", "secret")[0] == 235


def test_a_restart_fails_no_login(postfix, table):
    """The smtpd that is connected finds out when it writes, and comes again."""
    clients = []
    with serving(hook_of(postfix), answerer=table):
        for _ in range(5):
            client = smtplib.SMTP(*split(OFFICE))
            client.ehlo()
            assert login(client, "anna", "wrong")[0] == 535
            clients.append(client)
    with serving(hook_of(postfix), answerer=table):
        for client in clients:
            assert login(client, "anna", "secret")[0] == 235
            client.quit()
