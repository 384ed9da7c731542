"""Exchanges of several steps over the Dovecot auth hook's socket."""

from __future__ import annotations

import base64
import threading
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path

import pytest
from pytest_mock import MockerFixture

from dirbridge.config.settings import HookSettings
from dirbridge.model.login import (
    Accepted,
    Cause,
    LoginRequest,
    Reason,
    Rejected,
    TicketRequest,
    Unavailable,
    Verdict,
)
from dirbridge.protocols import sasl
from dirbridge.protocols.sasl import Challenge, Failed, Proven, Refused
from tests.system.hook_serving import AuthClient, Table, serving

OK = b"OK\t1\tuser=anna@example.com\n"
FAIL = b"FAIL\t1\n"


class Judge(Table):
    """Lets everybody in who has a ticket."""

    def __init__(self) -> None:
        super().__init__({"anna": "secret"})
        self.tickets: list[TicketRequest] = []

    def answer(self, request: LoginRequest | TicketRequest) -> Verdict:
        if isinstance(request, LoginRequest):
            return super().answer(request)
        self.tickets.append(request)
        if isinstance(request.doubt, Cause):
            return Unavailable(request.doubt, method="ticket")
        if request.doubt is not None:
            return Rejected(request.doubt, method="ticket")
        return Accepted("anna@example.com", "ticket", "REALM")


class Steps:
    """A mechanism that does what each response says, in a thread.

    Attributes:
        held: While it is clear, the response `wait` is not answered.
    """

    works = True
    held = threading.Event()

    def step(self, response: bytes | None) -> sasl.Outcome:
        said = response or b""
        assert threading.current_thread().name.startswith("sasl")
        if said == b"wait":
            assert self.held.wait(10)
        if said == b"bug":
            raise ZeroDivisionError
        known: dict[bytes, sasl.Outcome] = {
            b"done": Proven("anna@REALM", b"", b"sid"),
            b"for bob": Proven("anna@REALM", b"bob"),
            b"refuse": Refused("malformed"),
            b"fail": Failed("not for us"),
            b"ours": Failed("no keytab", ours=True),
        }
        return known.get(said, Challenge(said))


@pytest.fixture
def judge() -> Judge:
    return Judge()


@pytest.fixture
def client(judge: Judge, tmp_path: Path) -> Iterator[AuthClient]:
    Steps.held.clear()
    hook = HookSettings(type="dovecot-auth", socket=tmp_path / "auth")
    offered = {**sasl.MECHANISMS, "GSSAPI": Steps}
    with serving(hook, answerer=judge, mechanisms=offered):
        one = AuthClient(tmp_path / "auth")
        yield one
        Steps.held.set()
        one.close()


def begin(client: AuthClient, response: bytes, number: int = 1) -> None:
    encoded = base64.b64encode(response)
    fields = b"service=smtp\tlip=192.0.2.10\trip=192.0.2.99\tsecured"
    client.send(b"AUTH\t%d\tGSSAPI\t%s\tresp=%s\n" % (number, fields, encoded))


def go_on(client: AuthClient, response: bytes, number: int = 1) -> None:
    client.send(b"CONT\t%d\t%s\n" % (number, base64.b64encode(response)))


def test_kerberos_is_not_offered_as_a_clear_password(client: AuthClient) -> None:
    assert b"MECH\tPLAIN\tplaintext\n" in client.greeting
    assert b"MECH\tGSSAPI\tmutual-auth\n" in client.greeting


def test_an_exchange_of_several_steps(client: AuthClient, judge: Judge) -> None:
    begin(client, b"")
    assert client.line() == b"CONT\t1\t\n"
    go_on(client, b"one")
    assert client.line() == b"CONT\t1\tb25l\n"
    go_on(client, b"done")
    assert client.line() == OK
    (asked,) = judge.tickets
    assert (asked.principal, asked.sid, asked.mechanism) == (
        "anna@REALM",
        b"sid",
        "GSSAPI",
    )
    assert (asked.service, asked.secured) == ("smtp", True)
    assert asked.local_ip == ip_address("192.0.2.10")
    assert asked.remote_ip == ip_address("192.0.2.99")
    assert asked.deadline is not None


def test_whom_the_client_wants_to_be_is_told(client: AuthClient, judge: Judge) -> None:
    begin(client, b"for bob")
    assert client.line() == OK
    assert judge.tickets[0].identity == "bob"


def test_a_token_of_any_size_that_the_line_carries(client: AuthClient) -> None:
    """Tickets with many groups have some 12 kB."""
    token = b"t" * 12_000
    begin(client, token)
    assert client.line() == b"CONT\t1\t%s\n" % base64.b64encode(token)


def test_a_bad_ticket_fails_and_is_noted(client: AuthClient, judge: Judge) -> None:
    begin(client, b"fail")
    assert client.line() == FAIL
    assert judge.tickets[0].doubt is Reason.BAD_TICKET
    assert judge.tickets[0].detail == "not for us"
    assert judge.notes[0][1].method == "ticket"
    begin(client, b"refuse")
    assert client.line() == FAIL
    name, verdict = judge.notes[1]
    assert name == ""
    assert verdict == Rejected(Reason.BAD_TICKET, detail="GSSAPI: malformed")


def test_a_fault_of_ours_is_an_outage(client: AuthClient) -> None:
    begin(client, b"ours")
    assert client.line() == b""


def test_a_bug_in_a_step_is_an_outage(client: AuthClient) -> None:
    begin(client, b"bug")
    assert client.line() == b""


def test_a_step_that_takes_long_holds_up_nobody(client: AuthClient) -> None:
    begin(client, b"wait")
    client.plain(2, b"anna")
    assert client.line() == b"OK\t2\tuser=anna@example.com\n"
    begin(client, b"done", 3)
    assert client.line().startswith(b"OK\t3")
    Steps.held.set()
    assert client.line() == b"CONT\t1\td2FpdA==\n"


def test_what_comes_of_a_cancelled_exchange_is_dropped(client: AuthClient) -> None:
    begin(client, b"wait")
    client.send(b"CANCEL\t1\n")
    # The number is free again.
    begin(client, b"one")
    assert client.line() == b"CONT\t1\tb25l\n"
    Steps.held.set()
    go_on(client, b"done")
    assert client.line() == OK


def test_who_leaves_in_the_middle_breaks_nothing(
    client: AuthClient, judge: Judge, tmp_path: Path
) -> None:
    other = AuthClient(tmp_path / "auth")
    begin(other, b"wait")
    other.close()
    Steps.held.set()
    begin(client, b"done")
    assert client.line() == OK
    assert len(judge.tickets) == 1


def test_an_exchange_that_nobody_goes_on_with_is_forgotten(
    client: AuthClient, mocker: MockerFixture
) -> None:
    mocker.patch("dirbridge.hooks.dovecot_auth.PATIENCE", 0.0)
    begin(client, b"one")
    assert client.line() == b"CONT\t1\tb25l\n"
    client.plain(2, b"anna")
    assert client.line().startswith(b"OK\t2")
    go_on(client, b"done")
    assert client.line() == FAIL
