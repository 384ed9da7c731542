"""What needs a person is told by a running `serve`, and by `sync` from cron."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest

from testbed import cast, ldif
from testbed.slapd import Od1
from tests import schema
from tests.sinks import Sink, mail_server, running, web_server
from tests.system.bridge import OD, Site
from tests.system.sasl import ask

SEVERAL = ("anna", "carla", "siobhan", "maximilian", "fiona")


@pytest.fixture
def web() -> Iterator[Sink]:
    with running(web_server) as sink:
        yield sink


@pytest.fixture
def post() -> Iterator[Sink]:
    with running(mail_server) as sink:
        yield sink


@pytest.fixture
def told(od_site: Site, web: Sink, post: Sink) -> Site:
    """A site of Open Directory alone that tells by both ways, after its first sync.

    Two people with one address are among the cast, and people were told of that.
    """
    (od_site.folder / "token").touch(mode=0o600)
    (od_site.folder / "token").write_text("sesame\n")
    od_site.config["domains"][OD]["sync"] = {"interval": "1s", "full_every": "1s"}
    od_site.config["notices"] = {
        "webhook": f"http://127.0.0.1:{web.port}/hook",
        "webhook_token": {"file": str(od_site.folder / "token")},
        "mail_to": ["postmaster@example.net"],
        "smtp": f"127.0.0.1:{post.port}",
        "failures": 2,
    }
    assert od_site.sync().code == 1
    assert [one["code"] for one in web.bodies] == ["new-conflicts"]
    for got in (web.bodies, web.headers, post.mails):
        got.clear()
    return od_site


def eventually(holds: Callable[[], bool], said: Callable[[], object]) -> None:
    deadline = time.monotonic() + 40
    while not holds():
        assert time.monotonic() < deadline, said()
        time.sleep(0.1)


def test_a_stop_is_told_once_and_once_more_when_it_is_over(
    told: Site, web: Sink, post: Sink, changeable_od: Od1
) -> None:
    with told.serving() as serve:
        eventually(lambda: len(serve.syncs) >= 1, lambda: serve.log)
        # All at once: a run that sees some of them offers an approval of its own.
        gone = (ldif.delete(cast.od(uid).dn) for uid in SEVERAL)
        changeable_od.modify("".join(gone))
        eventually(lambda: len(post.mails) == 1, lambda: serve.log)
        (notice,) = web.bodies
        assert schema.faults(notice, schema.load("notice.json")) == []
        assert (notice["code"], notice["domain"]) == ("sync-stopped", OD)
        assert web.headers[0]["Authorization"] == "Bearer sesame"
        assert notice["text"] in post.mails[0].get_content()

        # Status says the same, and the very command; logins go on.
        status = told.run("status")
        assert status.code == 1
        problem = status.problem("sync-stopped")
        assert problem["next"] == notice["next"]
        (sync,) = status.data["domains"][0]["syncs"]
        assert sync["last_run"]["result"] == "stopped"
        assert sync["last_success"] is not None
        assert sync["running_since"] or sync["next_at"]
        assert ask(told.saslauthd, f"oscar@{OD}", "wrong") == "NO"

        # Other runs do not repeat it, and a run by hand beside `serve` is safe.
        time.sleep(3)
        command = notice["next"].rpartition("run `dirbridge ")[2].partition("`")[0]
        done = told.run(*command.split())
        assert done.code == 0, done.out
        eventually(lambda: len(post.mails) == 2, lambda: serve.log)
        assert [one["state"] for one in web.bodies] == ["open", "over"]
        assert post.mails[1]["Subject"].startswith(f"dirbridge: {OD}: over: ")
        codes = [one["code"] for one in told.run("status").data["notices"]]
        assert codes == ["new-conflicts"]
    assert "sesame" not in serve.log


def test_cron_tells_failures_and_a_service_account_that_is_refused(
    told: Site, web: Sink, post: Sink, od1: Od1
) -> None:
    told.directory(OD).pop("backup_server")
    od1.stop()
    for _ in range(3):
        assert told.sync().code == 4
    od1.start()
    assert [one["code"] for one in web.bodies] == ["sync-failing"]
    assert web.bodies[0]["text"].startswith("2 syncs have failed in a row")
    assert told.sync().code == 0
    assert [one["state"] for one in web.bodies] == ["open", "over"]

    right = told.directory(OD)["password"]
    told.directory(OD)["password"] = told.secret("wrong", "wrong")
    assert told.sync().code == 4
    assert told.sync("--dry-run").code == 4
    assert web.bodies[-1]["code"] == "service-account-refused"
    told.directory(OD)["password"] = right
    assert told.sync().code == 0
    assert [one["state"] for one in web.bodies] == ["open", "over"] * 2
    assert len(post.mails) == 4


def test_check_says_whether_people_can_be_told(
    told: Site, web: Sink, post: Sink, od1: Od1
) -> None:
    done = told.run("check")
    tried = {
        one["what"]: one["outcome"]
        for one in done.data["findings"]
        if one["where"].startswith("notices")
    }
    assert tried == {"webhook": "ok", "mail": "ok"}
    assert (web.bodies, post.mails) == ([], [])
    told.config["notices"]["smtp"] = "127.0.0.1:1"
    problem = told.run("check").problem("smtp-unreachable")
    assert "Connection refused" in problem["text"]
