"""Kept connections, the service account's hold-off, and binds that real servers
cannot be made to answer so."""

from __future__ import annotations

import os
import socket
import threading
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial

import pytest

from dirbridge.authenticators.ldap_bind import LdapBind, ldap_bind
from dirbridge.config.settings import DirectorySettings
from dirbridge.errors import BindRefused, Unreachable, Unsupported
from dirbridge.ldap.bounded import Bounded, Full, Overdue
from dirbridge.ldap.client import ANY, Client
from dirbridge.ldap.kept import KEEP_SECONDS, PRUNE_SECONDS, Kept
from dirbridge.ldap.refusals import Refusals
from dirbridge.ldap.refusals_shared import ROOM, SharedRefusals
from dirbridge.ldap.session import Query
from dirbridge.ldap.transport import Endpoint
from dirbridge.model.account import Account
from dirbridge.model.deadline import Deadline
from dirbridge.model.login import (
    Accepted,
    Cause,
    Reason,
    Rejected,
    Unavailable,
    Verdict,
)
from dirbridge.model.names import DomainName
from dirbridge.model.secret import Secret
from dirbridge.model.sentences import advice_on, problems_of
from testbed import cast
from tests.directories import account
from tests.ldap_responder import (
    BIND,
    SEARCH,
    Answer,
    Responder,
    operations,
    result,
)

# Many of these start processes or wait for a clock: not for every save.
pytestmark = pytest.mark.slow

AD = "active-directory"
OD = "open-directory-kerberos"
DATA = "80090308: LdapErr: DSID-0C0903A9, comment: AcceptSecurityContext error, data {}"


def settings(kind: str, *servers: Responder | int) -> DirectorySettings:
    ports = [each if isinstance(each, int) else each.port for each in servers]
    first, *others = [f"127.0.0.1:{port}" for port in ports]
    return DirectorySettings(
        type=kind,
        server=first,
        backup_server=tuple(others),
        security="none",
        allow_cleartext_passwords=True,
        username="cn=bridge",
        directory_domain="example.com",
        connect_timeout="1s",
        read_timeout="1s",
    )


def login(kind: str, *servers: Responder | int) -> LdapBind:
    return ldap_bind(DomainName("example.com"), settings(kind, *servers))


def ask(authenticator: LdapBind, seconds: float = 5, password: str = "pw") -> Verdict:
    return authenticator.authenticate(ANNA, Secret(password), Deadline.after(seconds))


ANNA: Account = account(cast.od("anna"))
ENTRY = {
    "apple-generateduid": [ANNA.values.directory_id.encode()],
    "objectGUID": [uuid.UUID(ANNA.values.directory_id).bytes_le],
    "objectSid": [b"\x01 anna"],
    "tokenGroups": [b"\x01 anna", b"\x01 users"],
}
served = partial(Responder, entry=ENTRY)
QUERY = Query(base="dc=example,dc=com", filter=ANY)


def binds(server: Responder) -> int:
    return server.seen.count(BIND)


def say(*answers: Answer) -> Callable[[int, int], Answer]:
    """Answer binds one after the other; the last answer stays."""
    return lambda _tag, before: answers[min(before, len(answers) - 1)]


def meaning(verdict: Verdict) -> Reason | Cause | None:
    match verdict:
        case Rejected(reason=reason):
            return reason
        case Unavailable(cause=cause):
            return cause
        case _:
            return None


@pytest.mark.parametrize(
    ("kind", "code", "text", "expected"),
    [
        (AD, 49, DATA.format("52e"), Reason.WRONG_PASSWORD),
        (AD, 49, DATA.format("525"), Reason.UNKNOWN),
        (AD, 49, DATA.format("533"), Reason.DISABLED),
        (AD, 49, DATA.format("775"), Reason.LOCKED),
        (AD, 49, DATA.format("773"), Reason.MUST_CHANGE),
        (AD, 49, "no data", Reason.WRONG_PASSWORD),
        (AD, 49, DATA.format("6f"), Cause.INTERNAL),
        (AD, 49, DATA.format("80090346"), Cause.CONFIGURATION),
        (AD, 49, DATA.format("80090302"), Cause.CONFIGURATION),
        (AD, 8, "Transport encryption required.", Cause.CONFIGURATION),
        (AD, 53, "unwilling", Cause.CONFIGURATION),
        (OD, 49, "", Reason.WRONG_PASSWORD),
        (OD, 50, "", Reason.WRONG_PASSWORD),
        (OD, 19, "1 Account disabled", Reason.DISABLED),
        (OD, 19, "2 Account expired", Reason.EXPIRED),
        (OD, 19, "4 Too many failed logins", Reason.LOCKED),
        (OD, 19, "5 New password required", Reason.MUST_CHANGE),
        (OD, 19, "Policy violation", Reason.REVOKED),
        (OD, 13, "confidentiality required", Cause.CONFIGURATION),
    ],
)
def test_each_result_is_a_verdict_or_an_outage(
    kind: str, code: int, text: str, expected: Reason | Cause
) -> None:
    with served(say((code, text))) as server:
        verdict = ask(login(kind, server))
    assert meaning(verdict) is expected
    assert str(code) in verdict.detail


@pytest.mark.parametrize("code", [51, 52])
@pytest.mark.parametrize("kind", [AD, OD])
def test_busy_and_unavailable_go_to_the_next(kind: str, code: int) -> None:
    with served(say((code, "later"))) as first, served() as second:
        verdict = ask(login(kind, first, second))
        assert isinstance(verdict, Accepted)
        assert verdict.server == f"127.0.0.1:{second.port}"
    with served(say((code, "later"))) as only:
        verdict = ask(login(kind, only))
        assert isinstance(verdict, Unavailable)
        assert verdict.cause is Cause.BUSY


def test_a_wrong_password_is_asked_of_one_server_once() -> None:
    with served(say((49, DATA.format("52e")))) as first, served() as second:
        assert isinstance(ask(login(AD, first, second)), Rejected)
        assert binds(first) == 1
        assert second.seen == []


def test_an_empty_password_is_sent_to_nobody() -> None:
    with served() as server:
        for password in ("", "\0", "a\0b"):
            assert isinstance(ask(login(OD, server), password=password), Rejected)
        assert isinstance(ask(login(OD, server), password="********"), Rejected)
        assert server.seen == []
        assert isinstance(ask(login(AD, server), password="********"), Accepted)


def test_an_account_without_a_name_is_no_wrong_password() -> None:
    with served() as server:
        nameless = replace(ANNA, values=replace(ANNA.values, login_names=(), dn=""))
        for kind in (AD, OD):
            verdict = login(kind, server).authenticate(
                nameless, Secret("pw"), Deadline.after(5)
            )
            assert isinstance(verdict, Unavailable)
        assert server.seen == []


def test_connections_are_kept_and_replaced_when_the_server_closed_them() -> None:
    with served() as server:
        authenticator = login(OD, server)
        for _ in range(5):
            assert isinstance(ask(authenticator), Accepted)
        assert server.connections == 1
        server.hang_up()
        time.sleep(0.05)
        assert isinstance(ask(authenticator), Accepted)
        assert server.connections == 2


def on_binds(*answers: Answer) -> Callable[[int, int], Answer]:
    """Answer binds one after the other, and everything else with success."""
    told = say(*answers)
    return lambda tag, before: told(tag, before) if tag == BIND else (0, "")


def test_a_password_that_was_sent_is_not_sent_again() -> None:
    """The server may have counted it before it closed."""
    answers = on_binds((0, ""), None, (0, ""))
    with served(answers) as first, served() as second:
        authenticator = login(OD, first, second)
        assert isinstance(ask(authenticator), Accepted)
        verdict = ask(authenticator, password="wrong, perhaps")
        assert isinstance(verdict, Unavailable)
        assert (binds(first), binds(second)) == (2, 0)
        assert authenticator._failover.states()[0].up is False


def test_a_password_that_was_right_before_is_sent_again() -> None:
    with served(on_binds((0, ""), None, (0, ""))) as server:
        authenticator = login(OD, server)
        assert isinstance(ask(authenticator), Accepted)
        assert isinstance(ask(authenticator), Accepted)
        assert (server.connections, binds(server)) == (2, 3)


def test_a_password_that_was_right_once_and_is_wrong_now_is_forgotten() -> None:
    answers = on_binds((0, ""), (49, ""), None)
    with served(answers) as first, served() as second:
        authenticator = login(OD, first, second)
        verdicts = [type(ask(authenticator)) for _ in range(3)]
        assert verdicts == [Accepted, Rejected, Unavailable]
        assert (binds(first), binds(second)) == (3, 0)


def test_a_slow_server_gets_the_time_that_is_left() -> None:
    def slow(tag: int, _before: int) -> Answer:
        if tag != BIND:
            return 0, ""
        time.sleep(3.5)
        return 49, ""

    with served(slow) as first, served() as second:
        verdict = ask(login(OD, first, second), seconds=6)
        assert isinstance(verdict, Rejected)
        assert verdict.server == f"127.0.0.1:{first.port}"
        assert (binds(first), binds(second)) == (1, 0)


def test_a_rested_connection_is_proven_before_the_password_goes_out() -> None:
    frozen = threading.Event()

    def freeze(tag: int, _before: int) -> Answer:
        if frozen.is_set() and tag == SEARCH:
            time.sleep(6)
        return 0, ""

    with served(freeze) as first, served() as second:
        authenticator = login(OD, first, second)
        assert isinstance(ask(authenticator), Accepted)
        frozen.set()
        time.sleep(1.1)
        start = time.monotonic()
        verdict = ask(authenticator, seconds=9, password="perhaps wrong")
        assert isinstance(verdict, Accepted)
        assert 1.3 < time.monotonic() - start < 4
        assert (binds(first), binds(second)) == (1, 1)


def test_a_busy_connection_needs_no_proof() -> None:
    with served() as server:
        authenticator = login(OD, server)
        for _ in range(4):
            assert isinstance(ask(authenticator), Accepted)
        # Without TLS the first proves itself; then each bind reads its own entry, and
        # the two values that an Open Directory makes up for it.
        assert server.seen == [SEARCH, *[BIND, SEARCH, SEARCH, SEARCH] * 4]


@pytest.mark.parametrize(
    ("kind", "answer", "expected"),
    [
        (AD, (32, "no such object"), Reason.UNKNOWN),
        # Its DN has just bound: it is there and hidden from itself.
        (OD, (32, "no such object"), Cause.OWN_ENTRY),
        *(
            (kind, answer, expected)
            for kind in (AD, OD)
            for answer, expected in (
                ((50, "no"), Cause.OWN_ENTRY),
                ((1, "operations error"), Cause.OWN_ENTRY),
                ((51, "busy"), Cause.BUSY),
                (None, Cause.UNREACHABLE),
                (b"garbage", Cause.CONFIGURATION),
            )
        ),
    ],
)
def test_whoever_cannot_be_identified_is_not_let_in(
    kind: str, answer: Answer, expected: Reason | Cause
) -> None:
    def tell(tag: int, before: int) -> Answer:
        return answer if tag == SEARCH and before else (0, "")

    with served(tell) as server:
        verdict = ask(login(kind, server))
    assert meaning(verdict) is expected


@pytest.mark.parametrize(
    ("kind", "changes", "expected"),
    [
        (OD, {"apple-generateduid": [b"11111111-2222-3333-4444-555555555555"]}, 1),
        (OD, {"authAuthority": [b";basic;", b";disableduser;;x;"]}, 2),
        (OD, {"apple-generateduid": [], "objectGUID": []}, 0),
        (AD, {"tokenGroups": [b"\x01 somebody else"]}, 1),
        (AD, {"tokenGroups": []}, 0),
        (AD, {"objectSid": []}, 0),
        (AD, {"objectGUID": [b"short"], "apple-generateduid": []}, 0),
    ],
)
def test_a_bind_as_somebody_else_is_no_login(
    kind: str, changes: dict[str, list[bytes]], expected: int
) -> None:
    with Responder(entry=ENTRY | changes) as server:
        verdict = ask(login(kind, server))
    if expected == 0:
        assert isinstance(verdict, Unavailable)
        assert verdict.cause is Cause.OWN_ENTRY
        assert "read the id of their own entry" in advice_on(verdict).next
    else:
        assert isinstance(verdict, Rejected)
        assert verdict.reason is (Reason.UNKNOWN, Reason.DISABLED)[expected - 1]


@pytest.mark.parametrize("code", ["51f", "774", "6ba", "700"])
def test_a_server_without_its_domain_is_left_for_the_next(code: str) -> None:
    with served(on_binds((49, DATA.format(code)))) as first, served() as second:
        verdict = ask(login(AD, first, second))
        assert isinstance(verdict, Accepted)
        assert verdict.server == f"127.0.0.1:{second.port}"
        assert binds(first) == 1


def test_a_kept_connection_to_a_frozen_server_moves_on_in_time() -> None:
    def freeze(_tag: int, before: int) -> Answer:
        time.sleep(6 if before else 0)
        return 0, ""

    with served(freeze) as first, served() as second:
        authenticator = login(OD, first, second)
        assert isinstance(ask(authenticator), Accepted)
        start = time.monotonic()
        verdict = ask(authenticator, seconds=3)
        assert isinstance(verdict, Accepted)
        assert verdict.server == f"127.0.0.1:{second.port}"
        assert time.monotonic() - start < 2.5
        start = time.monotonic()
        assert isinstance(ask(authenticator), Accepted)
        assert time.monotonic() - start < 1.5


def test_frozen_everywhere_ends_by_the_deadline() -> None:
    def freeze(_tag: int, _before: int) -> Answer:
        time.sleep(3)
        return None

    with served(freeze) as first, served(freeze) as second:
        start = time.monotonic()
        verdict = ask(login(OD, first, second), seconds=1)
        assert time.monotonic() - start < 2
        assert isinstance(verdict, Unavailable)
        assert verdict.cause is Cause.TIMEOUT


class TestServiceAccount:
    def client(self, password: list[str], *servers: Responder | int) -> Client:
        return Client.of(
            "example.com", settings(AD, *servers), lambda: Secret(password[0])
        )

    def bind(self, client: Client) -> None:
        client.open(client.failover.servers[0], Deadline.after(3)).close()

    def test_a_refused_password_waits_until_it_changes(self) -> None:
        password = ["wrong"]
        with served(say((49, DATA.format("52e")), (0, ""))) as server:
            client = self.client(password, server)
            for _ in range(3):
                with pytest.raises(BindRefused) as caught:
                    self.bind(client)
                assert (caught.value.code, caught.value.operation) == (
                    "credentials",
                    "bind",
                )
            assert binds(server) == 1
            password[0] = "right"
            self.bind(client)
            assert binds(server) == 2

    def test_many_threads_try_a_wrong_password_once(self) -> None:
        def slow(_tag: int, _before: int) -> Answer:
            time.sleep(0.1)
            return 49, DATA.format("52e")

        with served(slow) as server:
            client = self.client(["wrong"], server)
            with ThreadPoolExecutor(6) as pool:
                tries = [pool.submit(self.bind, client) for _ in range(6)]
            assert {type(one.exception()) for one in tries} == {BindRefused}
            assert binds(server) == 1

    def test_a_wait_for_the_first_try_is_no_outage(self) -> None:
        def slow(tag: int, before: int) -> Answer:
            if tag == BIND and not before:
                trying.set()
                time.sleep(2.5)
            return 0, ""

        trying = threading.Event()
        with served(slow) as server, ThreadPoolExecutor(1) as pool:
            client = self.client(["right"], server)
            first = pool.submit(self.bind, client)
            assert trying.wait(2)
            with pytest.raises(Unreachable) as caught:
                client.run(lambda _session, _deadline: None)
            assert caught.value.code == "waiting"
            assert client.states()[0].up is None
            assert binds(server) == 1
            first.result()
            client.run(lambda _session, _deadline: None)
            assert client.states()[0].up is True

    @pytest.mark.parametrize(
        ("code", "text", "seconds"),
        [
            (49, DATA.format("52e"), 24 * 3600),
            (49, "", 24 * 3600),
            (50, "", 24 * 3600),
            (49, DATA.format("525"), 300),  # nobody of this name to lock
            (49, DATA.format("775"), 300),  # locked: a try counts nowhere
            (49, DATA.format("532"), 300),
            (19, "4 Too many failed logins", 300),
            (53, "unwilling", 300),
        ],
    )
    def test_a_refused_password_is_tried_again_after_a_while(
        self, code: int, text: str, seconds: int
    ) -> None:
        with served(say((code, text), (0, ""))) as server:
            client = self.client(["same"], server)
            now = [1000.0]
            client.account._record._clock = lambda: now[0]
            for passed in (0, seconds - 1):
                now[0] = 1000.0 + passed
                with pytest.raises(BindRefused):
                    self.bind(client)
            now[0] += 2
            self.bind(client)
            assert binds(server) == 2

    def test_a_refused_password_says_when_it_is_tried_again(self) -> None:
        refusing = served(say((49, DATA.format("52e"))))
        with refusing as server, pytest.raises(BindRefused) as caught:
            self.bind(self.client(["wrong"], server))
        (problem,) = problems_of(caught.value)
        for event in ("after a day", "restarted", "another one as soon as the file"):
            assert event in problem.next

    def test_a_password_that_comes_back_is_still_known_to_be_wrong(self) -> None:
        password = ["wrong"]
        with served(say((49, ""))) as server:
            client = self.client(password, server)
            for text in ("wrong", "wrong too", "wrong", "wrong too"):
                password[0] = text
                with pytest.raises(BindRefused):
                    self.bind(client)
            assert binds(server) == 2

    def test_directories_of_one_account_share_what_is_known(self) -> None:
        refusals = Refusals()

        def client(server: Responder, **changes: object) -> Client:
            of_it = settings(AD, server).model_copy(update=changes)
            return Client.of("example.com", of_it, lambda: Secret("wrong"), refusals)

        with served(say((49, DATA.format("52e")))) as server, served() as other:
            for number, one in enumerate(
                (client(server), client(server), client(other))
            ):
                domain = f"d{number}.example"
                one.access = replace(one.access, domain=domain)
                with pytest.raises(BindRefused) as caught:
                    self.bind(one)
                assert caught.value.server == f"127.0.0.1:{server.port}"
                assert caught.value.domain == domain
            assert (binds(server), binds(other)) == (1, 0)
            # An account of the same name in another directory is another one.
            self.bind(client(other, directory_domain="example.org"))
            self.bind(client(other, directory_domain=None))

    def test_processes_of_one_bridge_share_what_is_known(self) -> None:
        shared = SharedRefusals()
        with served(say((49, DATA.format("52e")))) as server:
            for password in ("wrong", "wrong", "wrong too", "wrong", "wrong too"):
                # Each has its own, as if it were another process.
                of_it, known = settings(AD, server), Refusals(shared)
                client = Client.of(
                    "example.com", of_it, lambda text=password: Secret(text), known
                )
                with pytest.raises(BindRefused) as caught:
                    self.bind(client)
                assert caught.value.domain == "example.com"
                assert caught.value.server == f"127.0.0.1:{server.port}"
                assert caught.value.code == "credentials"
            assert binds(server) == 2

    def test_what_was_refused_elsewhere_is_forgotten_when_it_is_accepted(self) -> None:
        shared = SharedRefusals()
        records = [Refusals(shared).record("d", "bridge") for _ in range(2)]
        error = BindRefused(domain="d", server="s:1", operation="bind", code="c")
        records[0].refuse(Secret("new"), 60, error)
        other = records[1].refusal(Secret("new"))
        assert other is not None
        assert (other.server, other.operation, other.code) == ("s:1", "bind", "c")
        assert Refusals(shared).record("e", "bridge").refusal(Secret("new")) is None
        records[0].accept(Secret("new"))
        assert records[1].refusal(Secret("new")) is None
        for number in range(2 * ROOM):
            records[0].refuse(Secret(f"n{number}"), 60 + number, error)
        newest = [records[1].refusal(Secret(f"n{n}")) for n in range(2 * ROOM)]
        assert [one is not None for one in newest] == [False] * ROOM + [True] * ROOM

    def test_one_process_at_a_time_tries_a_password(self) -> None:
        shared = SharedRefusals()
        record = Refusals(shared).record("d", "bridge")
        assert record.first.acquire(timeout=1)
        pid = os.fork()
        if pid == 0:
            other = Refusals(shared)
            waits = not other.record("d", "bridge").first.acquire(timeout=0.05)
            passes = other.record("e", "bridge").first.acquire(timeout=0.05)
            os._exit(2 * waits + passes)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 3
        assert not record.first.acquire(timeout=0.01)
        record.first.release()
        assert record.first.acquire(timeout=1)

    def test_a_password_that_was_sent_goes_to_no_other_server(self) -> None:
        with served(on_binds(None)) as first, served() as second:
            client = self.client(["perhaps wrong"], first, second)
            with pytest.raises(Unreachable):
                client.run(lambda _session, _deadline: None)
            assert (binds(first), binds(second)) == (1, 0)
            assert client.run(lambda session, _deadline: session.server) == (
                f"127.0.0.1:{second.port}"
            )

    def test_a_password_that_works_may_go_to_the_next_server(self) -> None:
        with served(on_binds((0, ""), None)) as first, served() as second:
            client = self.client(["right"], first, second)
            self.bind(client)
            client.close()
            assert client.run(lambda session, _deadline: session.server) == (
                f"127.0.0.1:{second.port}"
            )
            assert (binds(first), binds(second)) == (2, 1)

    def test_without_tls_a_frozen_server_gets_no_password(self) -> None:
        """Nobody knows the password to be right yet, as in each `dirbridge sync`."""
        with socket.create_server(("127.0.0.1", 0)) as frozen, served() as second:
            client = self.client(["pw"], frozen.getsockname()[1], second)
            assert client.run(lambda session, _deadline: session.server) == (
                f"127.0.0.1:{second.port}"
            )
            assert [state.up for state in client.states()] == [False, True]
            assert second.seen == [SEARCH, BIND]
            frozen.settimeout(1)
            accepted, _ = frozen.accept()
            with accepted:
                accepted.settimeout(1)
                assert [tag for _, tag in operations(accepted)] == [SEARCH]

    @pytest.mark.parametrize("code", ["6ba", "774"])
    def test_a_server_without_its_domain_is_no_refusal(self, code: str) -> None:
        with served(say((49, DATA.format(code)))) as first, served() as second:
            client = self.client(["pw"], first, second)
            assert client.run(lambda session, _deadline: session.server) == (
                f"127.0.0.1:{second.port}"
            )

    def test_a_refusal_goes_to_no_other_server(self) -> None:
        with served(say((49, ""))) as first, served() as second:
            client = self.client(["wrong"], first, second)
            with pytest.raises(BindRefused):
                client.run(lambda _session, _deadline: None)
            assert second.seen == []

    def test_channel_binding_is_no_wrong_password(self) -> None:
        with served(say((49, DATA.format("80090346")))) as server:
            client = self.client(["pw"], server)
            for _ in range(2):
                with pytest.raises(Unsupported):
                    self.bind(client)
            assert binds(server) == 2

    def test_busy_is_an_outage(self) -> None:
        with served(say((51, ""))) as server, pytest.raises(Unreachable) as caught:
            self.bind(self.client(["pw"], server))
        assert caught.value.code == "busy"

    def test_an_empty_password_is_not_sent(self) -> None:
        with served() as server, pytest.raises(BindRefused) as caught:
            self.bind(self.client([""], server))
        assert caught.value.code == "no-password"
        assert binds(server) == 0

    def test_a_busy_search_goes_to_the_next(self) -> None:
        def busy(tag: int, _before: int) -> Answer:
            return (0, "") if tag == BIND else (51, "busy")

        with served(busy) as only:
            client = self.client(["pw"], only)
            with pytest.raises(Unreachable) as caught:
                client.run(lambda session, d: session.search(QUERY, d))
            assert caught.value.code == "busy"
            assert client.states()[0].up is False

    @pytest.mark.parametrize(
        "garbage",
        [
            b"\x30\x05\x02\x01\x07\x65\x00",
            result(99, 0x65, 0),
            result(1, 0x61, 0),
            b"\x30\x03\x02\x01\x01",
            b"\x30\x0c\x02\x01\x01\x64\x07\x04\x01x\x30\x02\x30\x00",
            b"\xff" * 40,
            b"HTTP/1.1 400 Bad Request\r\n\r\n",
            None,
        ],
    )
    def test_garbage_for_an_answer_is_an_outage(self, garbage: bytes | None) -> None:
        def tell(tag: int, _before: int) -> Answer:
            return (0, "") if tag == BIND else garbage

        with served(tell) as server:
            client = self.client(["pw"], server)
            start = time.monotonic()
            with pytest.raises(Unreachable):
                client.run(lambda session, d: session.search(QUERY, d))
            assert time.monotonic() - start < 4

    def test_a_filter_that_is_none_is_our_fault(self) -> None:
        with served() as server:
            client = self.client(["pw"], server)
            with pytest.raises(Unsupported) as caught:
                client.run(
                    lambda session, d: session.search(replace(QUERY, filter="("), d)
                )
            assert caught.value.code == "bad-request"


class Line:
    """A connection that is open until it is closed."""

    def __init__(self, lines: set[Line]) -> None:
        self._lines = lines
        lines.add(self)

    def idle(self) -> bool:
        return True

    def close(self) -> None:
        self._lines.discard(self)


class TestPruning:
    def test_nothing_old_stays_open_to_servers_that_nobody_asks(self) -> None:
        lines: set[Line] = set()
        now = [0.0]
        kept = Kept(lambda _server, _limit: Line(lines), clock=lambda: now[0])
        for number in range(20):
            server = Endpoint(f"dc{number}", 636)
            kept.run(server, Deadline.after(1), lambda _line, _limit: None)
            now[0] += KEEP_SECONDS / 2
        assert len(lines) == 3
        now[0] += KEEP_SECONDS
        kept.run(Endpoint("dc1", 636), Deadline.after(1), lambda _line, _limit: None)
        assert len(lines) == 1

    def test_who_is_taken_off_the_list_is_closed_soon(self) -> None:
        now = [100.0]
        lines: set[Line] = set()
        servers = [Endpoint(f"dc{number}", 636) for number in range(3)]
        kept = Kept(
            lambda _server, _limit: Line(lines),
            listed=lambda one: one in servers,
            clock=lambda: now[0],
        )
        for server in servers:
            kept.run(server, Deadline.after(1), lambda _line, _limit: None)
        assert len(lines) == 3
        del servers[:2]
        now[0] += PRUNE_SECONDS
        kept.run(servers[0], Deadline.after(1), lambda _line, _limit: None)
        assert len(lines) == 1

    def test_what_is_in_use_or_fresh_is_left_alone(self) -> None:
        lines: set[Line] = set()
        one, two = Endpoint("dc1", 636), Endpoint("dc2", 636)
        kept = Kept(lambda _server, _limit: Line(lines))

        def work(line: Line, _limit: Deadline) -> Line:
            kept.run(two, Deadline.after(1), lambda _line, _limit: None)
            assert line in lines
            return line

        first = kept.run(one, Deadline.after(1), work)
        assert kept.run(one, Deadline.after(1), work) is first
        assert len(lines) == 2


class TestBounded:
    def test_gives_the_result_or_the_error(self) -> None:
        bounded = Bounded("test", 2)
        assert bounded.call(lambda: 17, 1) == 17
        with pytest.raises(ZeroDivisionError):
            bounded.call(lambda: 1 // 0, 1)

    @pytest.mark.parametrize("seconds", [0.0, -1.0])
    def test_without_time_nothing_is_begun(self, seconds: float) -> None:
        begun: list[int] = []
        with pytest.raises(Overdue):
            Bounded("test", 2).call(lambda: begun.append(1), seconds)
        time.sleep(0.1)
        assert not begun

    def test_without_a_thread_the_place_is_free_again(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuse(_thread: threading.Thread) -> None:
            raise RuntimeError("can't start new thread")

        bounded = Bounded("test", 1)
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", refuse)
            with pytest.raises(Full):
                bounded.call(lambda: 1, 1)
        assert bounded.call(lambda: 1, 1) == 1

    def test_leaves_the_late_behind_and_no_more_than_allowed(self) -> None:
        bounded = Bounded("test", 1)
        with pytest.raises(Overdue):
            bounded.call(lambda: time.sleep(0.4), 0.05)
        with pytest.raises(Full):
            bounded.call(lambda: 1, 0.05)
        time.sleep(0.5)
        assert bounded.call(lambda: 1, 1) == 1
