"""What needs a person, and how people are told: over real HTTP and SMTP."""

from __future__ import annotations

import contextlib
import logging
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from dirbridge.connectors.memory import MemoryConnector
from dirbridge.errors import (
    BindRefused,
    ConfigError,
    DirbridgeError,
    Problem,
    StoreError,
    Unreachable,
    UnsafePlan,
)
from dirbridge.model.account import AccountValues
from dirbridge.model.entry import Entry
from dirbridge.model.finding import Outcome
from dirbridge.model.mapping import Mapped
from dirbridge.model.names import DirectoryId, DomainName
from dirbridge.model.secret import Secret
from dirbridge.notices import base
from dirbridge.notices.base import Message
from dirbridge.notices.board import Noticeboard
from dirbridge.notices.mail import Mail
from dirbridge.notices.rules import Code, Ended, judge
from dirbridge.notices.webhook import Webhook
from dirbridge.store.base import Notice, Run, RunResult
from dirbridge.store.memory import MemoryStore
from dirbridge.sync.job import SyncJob
from dirbridge.sync.limits import Limits
from dirbridge.sync.planner import Policy
from tests import certificates, schema
from tests.sinks import Sink, mail_server, running, web_server

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
LATER = NOW + timedelta(minutes=5)
COM = DomainName("company.com")
CONFLICT = 'id-1 {"address": "a@company.com", "conflict": "address-taken"}'
OTHER = 'id-2 {"address": "b@company.com", "conflict": "address-taken"}'
LIMIT = 'id-3 {"conflict": "user-limit"}'
UNMAPPED = "id-4 unmapped login_names"


def away() -> DirbridgeError:
    return Unreachable(
        domain=COM, server="dc1:636", operation="connect", code="refused"
    )


def ended(
    result: RunResult = RunResult.UNCHANGED,
    error: DirbridgeError | None = None,
    **fields: frozenset[str] | None,
) -> Ended:
    known = fields.pop("known", frozenset())
    return Ended(
        domain=COM, source="corp", result=result, error=error, known=known, **fields
    )


STOPPED = ended(
    RunResult.STOPPED,
    UnsafePlan("absolute", {"away": 60, "accounts": 100}, "abc123"),
    known=None,
)
FAILED = ended(RunResult.FAILED, away(), known=None)
REFUSED = ended(
    RunResult.FAILED,
    BindRefused(domain=COM, server="dc1:636", operation="bind", code="credentials"),
    known=None,
)
WELL = ended()


class TestRules:
    def test_a_run_that_goes_well_needs_nobody(self) -> None:
        assert judge(WELL, 0, 3, {}, NOW).keep == ()

    def test_a_stop_is_told_with_the_very_approval(self) -> None:
        (notice,) = judge(STOPPED, 0, 3, {}, NOW).keep
        assert (notice.code, notice.domain) == (Code.STOPPED, COM)
        assert notice.since == NOW
        assert notice.told_at is None
        assert "60 of 100" in notice.text
        assert "`dirbridge sync company.com --approve abc123`" in notice.next

    def test_one_cause_is_one_notice_until_it_is_over(self) -> None:
        held = told(judge(STOPPED, 0, 3, {}, NOW).keep)
        assert judge(STOPPED, 0, 3, held, LATER).keep == ()
        (over,) = judge(WELL, 0, 3, held, LATER).keep
        assert over.over_at == LATER
        held = {over.key: over}
        assert judge(WELL, 0, 3, held, LATER) == judge(WELL, 0, 3, {}, NOW)

    def test_what_nobody_was_told_of_ends_in_silence(self) -> None:
        (notice,) = judge(STOPPED, 0, 3, {}, NOW).keep
        outcome = judge(WELL, 0, 3, {notice.key: notice}, LATER)
        assert (outcome.keep, outcome.forget) == ((), (notice.key,))

    def test_what_comes_back_before_its_end_was_told_goes_on(self) -> None:
        held = told(judge(STOPPED, 0, 3, {}, NOW).keep)
        over = judge(WELL, 0, 3, held, LATER).keep
        (again,) = judge(STOPPED, 0, 3, {one.key: one for one in over}, LATER).keep
        assert (again.since, again.told_at, again.over_at) == (NOW, NOW, None)

    @pytest.mark.parametrize(("failures", "said"), [(1, 0), (2, 0), (3, 1), (9, 1)])
    def test_one_failure_is_none_yet(self, failures: int, said: int) -> None:
        keep = judge(FAILED, failures, 3, {}, NOW).keep
        assert len(keep) == said
        for notice in keep:
            assert notice.code == Code.FAILING
            assert f"{failures} syncs have failed" in notice.text
            assert "refused the connection" in notice.text
            assert notice.next.endswith(".")

    def test_failures_end_with_a_run_that_is_stopped_too(self) -> None:
        held = told(judge(FAILED, 3, 3, {}, NOW).keep)
        codes = {(n.code, n.over_at) for n in judge(STOPPED, 0, 3, held, LATER).keep}
        assert codes == {(Code.FAILING, LATER), (Code.STOPPED, None)}

    def test_a_failure_ends_no_stop(self) -> None:
        held = told(judge(STOPPED, 0, 3, {}, NOW).keep)
        assert judge(FAILED, 1, 3, held, LATER) == judge(FAILED, 1, 3, {}, NOW)

    def test_a_service_account_that_is_refused_is_told_at_once(self) -> None:
        (notice,) = judge(REFUSED, 1, 3, {}, NOW).keep
        assert notice.code == Code.REFUSED
        assert "refused the service account" in notice.text

    def test_conflicts_are_told_when_there_are_new_ones(self) -> None:
        both = frozenset({CONFLICT, OTHER})
        first = ended(new=frozenset({CONFLICT}), known=frozenset({CONFLICT}))
        held = told(judge(first, 0, 3, {}, NOW).keep)
        (notice,) = held.values()
        assert notice.code == Code.CONFLICTS
        assert notice.text == "1 new conflict of accounts."
        known = ended(known=frozenset({CONFLICT}))
        assert judge(known, 0, 3, held, LATER).keep == ()
        more = ended(new=frozenset({OTHER}), known=both)
        (again,) = judge(more, 0, 3, held, LATER).keep
        assert again.text == "1 new conflict of accounts; there are 2 now."
        assert (again.since, again.told_at) == (NOW, None)
        (over,) = judge(WELL, 0, 3, told((again,)), LATER).keep
        assert over.over_at == LATER

    def test_an_entry_that_cannot_be_mapped_is_no_conflict(self) -> None:
        run = ended(new=frozenset({UNMAPPED}), known=frozenset({UNMAPPED}))
        assert judge(run, 0, 3, {}, NOW).keep == ()

    def test_the_user_limit_is_a_cause_of_its_own(self) -> None:
        hit = frozenset({LIMIT})
        (notice,) = judge(ended(new=hit, known=hit), 0, 3, {}, NOW).keep
        assert notice.code == Code.USER_LIMIT
        assert notice.text == "The user limit is reached: 1 entry got no account."
        held = told((notice,))
        assert judge(ended(known=hit), 0, 3, held, LATER).keep == ()
        (over,) = judge(WELL, 0, 3, held, LATER).keep
        assert over.over_at == LATER

    def test_a_run_that_says_nothing_of_conflicts_ends_none(self) -> None:
        hit = frozenset({LIMIT, CONFLICT})
        held = told(judge(ended(new=hit, known=hit), 0, 3, {}, NOW).keep)
        assert len(held) == 2
        assert judge(ended(known=None), 0, 3, held, LATER).keep == ()

    def test_directories_have_causes_of_their_own(self) -> None:
        held = told(judge(STOPPED, 0, 3, {}, NOW).keep)
        other = replace(WELL, source="branch")
        assert judge(other, 0, 3, held, LATER).keep == ()


def told(notices: tuple[Notice, ...]) -> dict[str, Notice]:
    return {one.key: replace(one, told_at=NOW) for one in notices}


Serving = Callable[..., Sink]


@pytest.fixture
def serving() -> Iterator[Serving]:
    with contextlib.ExitStack() as stack:
        yield lambda *how: stack.enter_context(running(*how))


@pytest.fixture
def pair(tmp_path: Path) -> certificates.Pair:
    return certificates.make(tmp_path, "hooks.test", addresses=["127.0.0.1"])


def context_of(pair: certificates.Pair) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.cert_file, pair.key_file)
    return context


NOTICE = Notice(
    "sync-stopped company.com corp",
    COM,
    "sync-stopped",
    "The run would take away 60 of 100 accounts of Grün & Söhne.",
    "Run `dirbridge sync company.com --approve abc123`.",
    since=NOW,
)
OVER = replace(NOTICE, told_at=NOW, over_at=LATER)


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


class TestWebhook:
    def test_it_posts_one_object(self, serving: Serving) -> None:
        sink = serving(web_server)
        hook = Webhook(
            f"http://127.0.0.1:{sink.port}/a/b?c=1", lambda: Secret("sesame")
        )
        assert hook.send(Message(NOTICE, "mail1")) == ""
        assert hook.send(Message(OVER, "mail1")) == ""
        first, over = sink.bodies
        for body in sink.bodies:
            assert schema.faults(body, schema.load("notice.json")) == []
        assert first == {
            "format": 1,
            "key": NOTICE.key,
            "domain": "company.com",
            "code": "sync-stopped",
            "state": "open",
            "text": NOTICE.text,
            "next": NOTICE.next,
            "since": "2026-11-22T12:00:00+00:00",
            "over_at": None,
            "host": "mail1",
        }
        assert (over["state"], over["next"]) == ("over", "")
        assert over["over_at"] == "2026-11-22T12:05:00+00:00"
        assert sink.paths == ["/a/b?c=1"] * 2
        assert sink.headers[0]["Authorization"] == "Bearer sesame"

    def test_without_a_token_it_shows_none(self, serving: Serving) -> None:
        sink = serving(web_server)
        assert Webhook(f"http://127.0.0.1:{sink.port}").send(Message(NOTICE, "x")) == ""
        assert "Authorization" not in sink.headers[0]
        assert sink.paths == ["/"]

    @pytest.mark.parametrize("status", [302, 401, 404, 500])
    def test_anything_but_a_yes_is_a_no(self, serving: Serving, status: int) -> None:
        sink = serving(web_server)
        sink.status = status
        hook = Webhook(f"http://127.0.0.1:{sink.port}/", lambda: Secret("sesame"))
        why = hook.send(Message(NOTICE, "x"))
        assert why.startswith(str(status))
        # Where it was sent on to got neither notice nor token.
        assert len(sink.paths) == 1

    def test_https_is_verified(self, serving: Serving, pair: certificates.Pair) -> None:
        sink = serving(web_server, context_of(pair))
        url = f"https://127.0.0.1:{sink.port}/"
        assert Webhook(url, ca_file=pair.cert_file).send(Message(NOTICE, "x")) == ""
        assert "not trusted" in Webhook(url).send(Message(NOTICE, "x"))
        named = f"https://localhost:{sink.port}/"
        assert "not trusted" in Webhook(named, ca_file=pair.cert_file).send(
            Message(NOTICE, "x")
        )
        assert len(sink.bodies) == 1
        good = Webhook(url, ca_file=pair.cert_file).check()
        assert good.outcome is Outcome.OK
        bad = Webhook(url).check()
        assert (bad.outcome, bad.code) == (Outcome.FAILED, "webhook-unreachable")
        assert len(sink.bodies) == 1

    def test_nobody_there(self) -> None:
        hook = Webhook(f"http://127.0.0.1:{free_port()}/secret-path")
        assert hook.send(Message(NOTICE, "x")) == "Connection refused"
        found = hook.check()
        assert found.outcome is Outcome.FAILED
        assert "Connection refused" in found.text
        assert "secret-path" not in found.where + found.text + found.next

    def test_a_server_that_says_nothing_is_waited_for_for_a_time(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as silent:
            url = f"http://127.0.0.1:{silent.getsockname()[1]}/"
            hook = Webhook(url, timeout=0.1)
            why = hook.send(Message(NOTICE, "x"))
        assert why == "it did not answer in time"

    def test_a_name_that_no_resolver_takes(self) -> None:
        hook = Webhook("https://hooks..company.com/secret-path")
        assert hook.send(Message(NOTICE, "x")) == "its name cannot be resolved"
        found = hook.check()
        assert (found.outcome, found.code) == (Outcome.FAILED, "webhook-unreachable")
        assert "secret-path" not in found.where + found.text + found.next

    def test_a_token_that_cannot_be_read(self) -> None:
        def missing() -> Secret:
            problem = Problem("missing-file", "notices", "It is not there.", "Mend it.")
            raise ConfigError((problem,))

        hook = Webhook(f"http://127.0.0.1:{free_port()}/", missing)
        assert hook.send(Message(NOTICE, "x")) == "It is not there."
        assert hook.check().code == "missing-file"

    def test_a_token_that_is_no_header_is_not_shown(self, serving: Serving) -> None:
        sink = serving(web_server)
        hook = Webhook(f"http://127.0.0.1:{sink.port}/", lambda: Secret("ses\name"))
        why = hook.send(Message(NOTICE, "x"))
        assert why
        assert "ses" not in why
        assert sink.bodies == []


class TestMail:
    def test_it_sends_a_mail_that_no_robot_answers(self, serving: Serving) -> None:
        sink = serving(mail_server)
        way = mail_to(sink, "postmaster@company.com", "boss@company.com")
        assert way.send(Message(NOTICE, "mail1")) == ""
        assert way.send(Message(OVER, "mail1")) == ""
        first, over = sink.mails
        assert first["Subject"] == f"dirbridge: company.com: {NOTICE.text}"
        assert first["Auto-Submitted"] == "auto-generated"
        assert first["From"].addresses[0].addr_spec == "dirbridge@company.com"
        assert "boss@company.com" in first["To"]
        text = first.get_content()
        assert NOTICE.text in text
        assert NOTICE.next in text
        assert "told by mail1" in text
        assert over["Subject"].startswith("dirbridge: company.com: over: ")
        assert "2026-11-22 12:05:00" in over.get_content()
        assert NOTICE.next not in over.get_content()
        sender, recipients = sink.envelopes[0]
        assert "<dirbridge@company.com>" in sender
        assert len(recipients) == 2
        assert first["Message-ID"] != over["Message-ID"]

    def test_a_line_break_makes_no_header(self, serving: Serving) -> None:
        sink = serving(mail_server)
        forged = replace(NOTICE, text="Look\r\nBcc: evil@example.org\r\n\r\nhere.")
        assert mail_to(sink, "a@company.com").send(Message(forged, "x")) == ""
        (got,) = sink.mails
        assert got["Bcc"] is None
        assert len(sink.envelopes[0][1]) == 1

    def test_tls_is_used_where_it_is_offered(
        self, serving: Serving, pair: certificates.Pair
    ) -> None:
        sink = serving(mail_server, context_of(pair))
        way = mail_to(sink, "a@company.com")
        assert way.send(Message(NOTICE, "x")) == ""
        assert replace(way, ca_file=pair.cert_file).send(Message(NOTICE, "x")) == ""
        assert sink.encrypted == [True, True]

    def test_with_a_ca_file_it_is_verified(
        self, serving: Serving, pair: certificates.Pair, tmp_path: Path
    ) -> None:
        sink = serving(mail_server, context_of(pair))
        folder = tmp_path / "other"
        folder.mkdir()
        other = certificates.make(folder, "other.test")
        way = replace(mail_to(sink, "a@company.com"), ca_file=other.cert_file)
        assert "not trusted" in way.send(Message(NOTICE, "x"))
        assert way.check().outcome is Outcome.FAILED
        assert sink.mails == []

    def test_whom_the_server_does_not_know(self, serving: Serving) -> None:
        sink = serving(mail_server)
        sink.refuses = True
        why = mail_to(sink, "a@company.com").send(Message(NOTICE, "x"))
        assert why == "it takes no mail for a@company.com"

    def test_one_who_is_refused_makes_nobody_else_get_it_again(
        self, serving: Serving, caplog: pytest.LogCaptureFixture
    ) -> None:
        sink, store = serving(mail_server), MemoryStore()
        sink.unknown = "gone@"
        way = mail_to(sink, "a@company.com", "gone@company.com")
        board = Noticeboard(store, [way])
        board.ended(STOPPED)
        with caplog.at_level(logging.WARNING, "dirbridge.notices"):
            for _ in range(3):
                assert board.deliver()
        assert len(sink.mails) == 1
        assert store.notices()[0].told_at is not None
        (line,) = caplog.messages
        assert "no mail for gone@company.com" in line
        assert "nobody here" not in line

    @pytest.mark.parametrize(
        "way",
        [
            Mail("mail..company.com", 25, "a@company.com", ("b@company.com",)),
            Mail("a" * 64 + ".com", 25, "a@company.com", ("b@company.com",)),
        ],
        ids=["empty", "long"],
    )
    def test_a_name_that_no_resolver_takes(self, way: Mail) -> None:
        assert way.send(Message(NOTICE, "x")) == "its name cannot be resolved"
        found = way.check()
        assert (found.outcome, found.code) == (Outcome.FAILED, "smtp-unreachable")

    def test_an_address_that_no_header_takes(self, serving: Serving) -> None:
        way = mail_to(serving(mail_server), "jo..hn@docomo.ne.jp")
        assert way.send(Message(NOTICE, "x")) == "an address is none that mail can name"

    def test_nobody_there(self) -> None:
        way = Mail("127.0.0.1", free_port(), "a@company.com", ("b@company.com",))
        assert way.send(Message(NOTICE, "x")) == "Connection refused"
        found = way.check()
        assert (found.outcome, found.code) == (Outcome.FAILED, "smtp-unreachable")
        assert found.next.endswith(".")

    def test_check_sends_nothing(self, serving: Serving) -> None:
        sink = serving(mail_server)
        assert mail_to(sink, "a@company.com").check().outcome is Outcome.OK
        assert sink.greeted == 1
        assert sink.mails == []

    def test_a_server_that_says_nothing_is_waited_for_for_a_time(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as silent:
            port = silent.getsockname()[1]
            to = ("b@company.com",)
            way = Mail("127.0.0.1", port, "a@company.com", to, timeout=0.1)
            assert "timed out" in way.send(Message(NOTICE, "x"))


def mail_to(sink: Sink, *recipients: str) -> Mail:
    return Mail("127.0.0.1", sink.port, "dirbridge@company.com", recipients)


def failed_run(number: int = 0, result: RunResult = RunResult.FAILED) -> Run:
    return Run(
        number=number,
        domain=COM,
        source="corp",
        server="dc1",
        kind="full",
        started_at=NOW,
        finished_at=NOW,
        result=result,
    )


class BrokenStore(MemoryStore):
    """A store that is away when told so."""

    away = False

    def notices(self) -> tuple[Notice, ...]:
        if self.away:
            raise StoreError("unreachable", "the database")
        return super().notices()


class TestBoard:
    def test_each_cause_is_told_once_and_once_more_when_over(
        self, serving: Serving
    ) -> None:
        sink, store = serving(web_server), MemoryStore()
        board = Noticeboard(store, [hook(sink)])
        for _ in range(3):
            board.ended(STOPPED)
            assert board.deliver()
        for _ in range(3):
            board.ended(WELL)
            assert board.deliver()
        assert [one["state"] for one in sink.bodies] == ["open", "over"]
        assert store.notices() == ()

    def test_a_fleet_tells_once(self, serving: Serving) -> None:
        sink, store = serving(web_server), MemoryStore()
        boards = [Noticeboard(store, [hook(sink)]) for _ in range(4)]
        for board in boards:
            board.ended(STOPPED)
        threads = [threading.Thread(target=board.deliver) for board in boards]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for board in boards:
            assert board.deliver()
        assert len(sink.bodies) == 1

    def test_what_is_not_taken_is_tried_again(
        self, serving: Serving, caplog: pytest.LogCaptureFixture
    ) -> None:
        sink, store = serving(web_server), MemoryStore()
        board = Noticeboard(store, [hook(sink)])
        board.ended(STOPPED)
        sink.status = 503
        with caplog.at_level(logging.WARNING, "dirbridge.notices"):
            assert not board.deliver()
        assert "not taken by the webhook: 503" in caplog.text
        assert store.notices()[0].told_at is None
        sink.status = 204
        assert board.deliver()
        assert len(sink.bodies) == 1
        assert store.notices()[0].told_at is not None

    def test_one_way_that_is_broken_does_not_make_the_other_one_repeat(
        self, serving: Serving
    ) -> None:
        web, post, store = serving(web_server), serving(mail_server), MemoryStore()
        web.status = 500
        channels = [hook(web), mail_to(post, "a@company.com")]
        board = Noticeboard(store, channels)
        board.ended(STOPPED)
        for _ in range(3):
            assert not board.deliver()
        # Nor does another process, such as a sync from cron.
        Noticeboard(store, channels).deliver()
        assert len(post.mails) == 1
        web.status = 204
        assert board.deliver()
        assert (len(web.bodies), len(post.mails)) == (1, 1)
        board.ended(WELL)
        assert board.deliver()
        assert [one["state"] for one in web.bodies] == ["open", "over"]
        assert len(post.mails) == 2

    def test_failures_are_counted_over_processes(self, serving: Serving) -> None:
        sink, store = serving(web_server), MemoryStore()
        store.remember(failed_run(result=RunResult.UNCHANGED))
        for number in range(1, 4):
            store.remember(failed_run())
            board = Noticeboard(store, [hook(sink)], failures=3)
            board.ended(FAILED)
            board.deliver()
            assert len(sink.bodies) == (number == 3)

    def test_failures_that_no_run_remembers_are_counted_as_well(self) -> None:
        store = MemoryStore()
        board = Noticeboard(store, failures=2)
        broken = replace(FAILED, error=ConfigError(()))
        board.ended(broken)
        assert store.notices() == ()
        board.ended(broken)
        (notice,) = store.notices()
        assert notice.text.startswith("2 syncs have failed in a row")

    @pytest.mark.parametrize("remembered", [True, False])
    def test_a_good_run_of_another_bridge_ends_the_row(self, remembered: bool) -> None:
        store, channel = MemoryStore(), FakeChannel()
        ours, other = Noticeboard(store, [channel]), Noticeboard(store, [channel])
        for _ in range(6):
            if remembered:
                store.remember(failed_run())
            ours.ended(FAILED if remembered else replace(FAILED, error=ConfigError(())))
            ours.deliver()
            store.remember(failed_run(result=RunResult.UNCHANGED))
            other.ended(WELL)
            other.deliver()
        assert channel.sent == []
        assert store.notices() == ()

    def test_without_a_way_notices_are_kept_for_status(self) -> None:
        store = MemoryStore()
        board = Noticeboard(store)
        board.ended(STOPPED)
        assert board.deliver()
        assert [one.code for one in store.notices()] == ["sync-stopped"]
        board.ended(WELL)
        assert store.notices() == ()

    def test_what_ends_while_people_are_told_is_not_lost(self) -> None:
        store = MemoryStore()

        class Slow(FakeChannel):
            def send(self, message: Message) -> str:
                if not self.sent:
                    board.ended(WELL)
                return super().send(message)

        channel = Slow()
        board = Noticeboard(store, [channel])
        board.ended(STOPPED)
        board.deliver()
        board.ended(WELL)
        board.deliver()
        assert [one.over for one in channel.sent] == [False, True]
        assert store.notices() == ()

    def test_what_is_no_longer_configured_is_forgotten(self) -> None:
        store = MemoryStore()
        Noticeboard(store).ended(STOPPED)
        other = replace(WELL, source="branch")
        Noticeboard(store, served={(COM, "corp"), (COM, "branch")}).ended(other)
        assert [one.code for one in store.notices()] == ["sync-stopped"]
        Noticeboard(store, served={(COM, "branch")}).ended(other)
        assert store.notices() == ()

    def test_a_thread_tells_by_itself_and_goes_on_after_an_outage(
        self, serving: Serving
    ) -> None:
        sink, store = serving(web_server), BrokenStore()
        with Noticeboard(store, [hook(sink)], look=0.02) as board:
            store.away = True
            board.ended(STOPPED)
            time.sleep(0.1)
            store.away = False
            board.ended(STOPPED)
            eventually(lambda: len(sink.bodies) == 1)

    def test_a_bug_of_one_delivery_ends_no_other(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        class Broken(FakeChannel):
            def send(self, message: Message) -> str:
                super().send(message)
                if len(self.sent) == 1:
                    raise ZeroDivisionError("secret")
                return ""

        store, channel = MemoryStore(), Broken()
        board = Noticeboard(store, [channel], look=0.02)
        board.ended(STOPPED)
        with caplog.at_level(logging.ERROR, "dirbridge.notices"), board:
            eventually(lambda: store.notices()[0].told_at is not None)
        assert len(channel.sent) == 2
        (line,) = caplog.messages
        assert line.startswith("notices failed in themselves: ZeroDivisionError")
        assert "secret" not in caplog.text

    def test_a_side_that_hangs_holds_up_nobody(self) -> None:
        store, gate = MemoryStore(), threading.Event()

        class Hanging(FakeChannel):
            def send(self, message: Message) -> str:
                gate.wait(20)
                return super().send(message)

        board = Noticeboard(store, [Hanging()])
        begun = time.monotonic()
        board.ended(STOPPED)
        board.deliver_within(0.1)
        board.ended(WELL)
        assert time.monotonic() - begun < 10
        gate.set()

    def test_a_store_that_is_away_is_logged(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        store = BrokenStore()
        store.away = True
        board = Noticeboard(store, [FakeChannel()])
        board.ended(STOPPED)
        assert not board.deliver()
        assert "notices: The local user database cannot be reached" in caplog.text

    def test_a_store_that_stays_away_is_told_by_the_bridge_itself(self) -> None:
        store, channel = BrokenStore(), FakeChannel()
        board = Noticeboard(store, [channel], failures=2)
        store.away = True
        board.ended(FAILED)
        board.deliver()
        assert channel.sent == []
        for _ in range(3):
            board.ended(FAILED)
            board.deliver()
        store.away = False
        for _ in range(3):
            board.ended(WELL)
            assert board.deliver()
        away, back = channel.sent
        assert (away.notice.code, away.notice.domain) == ("store-away", "")
        assert "cannot be reached" in away.notice.text
        assert (away.over, back.over) == (False, True)
        assert away.subject.startswith("dirbridge: The local user database")
        for one in channel.sent:
            assert schema.faults(one.as_json(), schema.load("notice.json")) == []

    def test_a_store_that_is_back_before_anybody_was_told_is_no_news(self) -> None:
        store, channel = BrokenStore(), FakeChannel()
        board = Noticeboard(store, [channel], failures=1)
        store.away = True
        board.ended(FAILED)
        store.away = False
        board.ended(WELL)
        assert board.deliver()
        assert channel.sent == []


def test_a_run_tells_conflicts_and_the_user_limit_apart() -> None:
    """The keys of real runs are the ones that the rules know."""
    people = ("anna", "anna", "bob", "carla")
    entries = [
        Entry(DirectoryId(f"id-{number}"), f"cn={number}", {"uid": (name.encode(),)})
        for number, name in enumerate(people)
    ]
    policy = Policy(COM, "corp", user_limit=2)
    job = SyncJob(policy, Limits(), MemoryConnector(entries), by_uid, MemoryStore())
    report = job.run()
    seen = Ended.of(report.plan, report.run, report.stopped, report.new)
    notices = {one.code: one.text for one in judge(seen, 0, 3, {}, NOW).keep}
    assert set(notices) == {Code.CONFLICTS, Code.USER_LIMIT}
    assert notices[Code.USER_LIMIT].endswith("2 entries got no account.")
    again = job.run()
    seen = Ended.of(again.plan, again.run, again.stopped, again.new)
    held = {one.key: one for one in judge(seen, 0, 3, {}, NOW).keep}
    assert [one.code for one in held.values()] == [Code.USER_LIMIT]


def by_uid(entry: Entry) -> Mapped:
    (name,) = entry.values("uid")
    names = (name.decode(),)
    return Mapped(AccountValues(directory_id=entry.id, dn=entry.dn, login_names=names))


class FakeChannel:
    """Remembers what it was to send; there is no other side."""

    name = "webhook"

    def __init__(self) -> None:
        self.sent: list[Message] = []

    def send(self, message: Message) -> str:
        self.sent.append(message)
        return ""


def hook(sink: Sink) -> Webhook:
    return Webhook(f"http://127.0.0.1:{sink.port}/hook")


def eventually(holds: Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_every_code_stands_in_the_schema() -> None:
    known = schema.load("notice.json")["properties"]["code"]["enum"]
    assert known == [str(code) for code in Code]
    assert base.TIMEOUT <= 10
