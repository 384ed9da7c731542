"""What `--json` promises: the schemas themselves, and commands that need no server."""

from __future__ import annotations

import contextlib
import io
import json
import sqlite3
import threading
from pathlib import Path

import pytest

from dirbridge.app import App
from dirbridge.cli import runs
from dirbridge.cli.main import exit_code
from dirbridge.model.names import DomainName
from dirbridge.model.plan import Op
from tests import schema
from tests.command_line import CommandLine, Pipe, configured
from tests.contract import test_store as stores

CONFIG = """\
[store]
url = "sqlite:///{folder}/dirbridge.db"
[[hooks]]
type = "dovecot-auth"
socket = "{folder}/auth"
[domains."example.com"]
description = "Head office"
bound_ip = "192.0.2.10"
[domains."example.com".directory]
type = "active-directory"
server = "dc1.corp.example.com"
backup_server = "dc2.corp.example.com"
username = "svc@corp.example.com"
password = {{ file = "{folder}/secret" }}
[domains."example.com".login]
kerberos_realm = "corp.example.com"
"""
EXAMPLE = DomainName("example.com")
COMMANDS = {
    "accounts list": 0,
    "sync runs": 0,
    "domains list": 0,
    "mappings list": 0,
    "mappings lint": 0,
    "realms list": 0,
    "realms krb5-conf": 0,
    "connect postfix": 0,
    "store upgrade": 0,
    "status": 1,  # nobody listens on the hook
}


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return configured(tmp_path, CONFIG)


@pytest.fixture
def run(
    config: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> CommandLine:
    return CommandLine(config, capsys, monkeypatch)


class _Looking(io.StringIO):
    """Somebody who looks at the first page, while others go on writing."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self.busy: list[int] = []
        self._file = file

    def write(self, text: str) -> int:
        if "p7@" in text:
            other = sqlite3.connect(self._file, timeout=0, isolation_level=None)
            with contextlib.closing(other):
                other.execute("DELETE FROM notices")
                (busy, *_) = other.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            self.busy.append(busy)
        return super().write(text)


@pytest.mark.parametrize("words", [[], ["--json"]])
def test_nothing_is_open_while_somebody_looks_at_the_list(
    config: Path, words: list[str]
) -> None:
    with App.load(config).open_store() as store:
        people = [stores.person(f"p{n}", domain=EXAMPLE) for n in range(1500)]
        new = (stores.change(Op.CREATE, one) for one in people)
        store.apply(stores.plan(*new, domain=EXAMPLE), stores.a_run(EXAMPLE))
    looking = _Looking(config.with_name("dirbridge.db"))
    with contextlib.redirect_stdout(looking):
        assert exit_code(["accounts", "list", *words, "--config", str(config)]) == 0
    assert set(looking.busy) == {0}
    assert "p1499@" in looking.getvalue()


def test_the_check_knows_right_from_wrong() -> None:
    problem = {"code": "x", "where": "y", "text": "z", "next": "w"}
    good = {
        "format": 1,
        "command": "sync",
        "ok": True,
        "problems": [problem],
        "data": {},
    }
    envelope = schema.load("envelope.json")
    assert schema.faults(good, envelope) == []
    for change in (
        {"format": 2},
        {"ok": "yes"},
        {"problems": [{**problem, "code": "Not A Word"}]},
        {"problems": [{"code": "x"}]},
        {"more": 1},
    ):
        assert schema.faults({**good, **change}, envelope), change


@pytest.mark.parametrize(
    "path", sorted(schema.FOLDER.glob("*.json")), ids=lambda path: path.stem
)
def test_each_schema_is_sound(path: Path) -> None:
    text = path.read_text()
    found = json.loads(text)
    assert found["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert found["title"]
    schema.faults({}, found)  # no word in it is unknown


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_without_a_server(
    command: str, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = exit_code([*command.split(), "--json", "--config", str(config)])

    out = capsys.readouterr().out
    (line,) = out.splitlines()
    answer = json.loads(line)
    assert code == COMMANDS[command], out
    assert answer["command"] == command
    assert schema.faults(answer, schema.load("envelope.json")) == []
    own = schema.load(f"{command.replace(' ', '-')}.json")
    assert schema.faults(answer["data"], own) == []
    assert "sesame" not in out


def test_a_local_account_from_beginning_to_end(run: CommandLine) -> None:
    code, added = run("accounts", "add", "--admin", "post", stdin="a long secret\n")
    assert code == 0
    assert added["data"]["account"]["account"] == "post@example.com"
    assert added["data"]["account"]["role"] == "admin"
    assert run("accounts", "show", "post")[0] == 0
    assert run("login", "post", stdin="a long secret\n")[0] == 0
    code, answer = run("login", "post", stdin="another one\n")
    assert (code, answer["problems"][0]["code"]) == (1, "wrong-password")
    # No directory was asked, so there is none that hides anything.
    assert "directory" not in json.dumps(answer["problems"])
    assert run("accounts", "passwd", "post", stdin="another one\n")[0] == 0
    assert run("login", "post", stdin="another one\n")[0] == 0
    assert run("explain", "post")[0] == 0
    code, answer = run("accounts", "add", "POST", stdin="a long secret\n")
    assert (code, answer["problems"][0]["code"]) == (1, "name-taken")
    code, answer = run("accounts", "add", "anna", stdin="\n")
    assert (code, answer["problems"][0]["code"]) == (2, "no-password")
    for name in ("an\x1b[31mna", "an\udcff", "an na", "a" * 100, "@example.com"):
        code, answer = run("accounts", "add", name, stdin="x\n")
        assert (code, answer["problems"][0]["code"]) == (2, "bad-name")
    code, answer = run("accounts", "show", "nobody")
    assert (code, answer["problems"][0]["code"]) == (1, "unknown")


def test_runs_accounts_and_histories_without_a_directory(run: CommandLine) -> None:
    run("accounts", "add", "post", stdin="a long secret\n")
    (given, added) = run("sync", "runs")[1]["data"]["runs"]
    assert (given["server"], given["changes"]) == ("accounts", {"credentials": 1})
    assert (added["server"], added["changes"]) == ("admin", {"create": 1})
    number = str(added["run"])
    shown = run("sync", "show", number)[1]["data"]
    assert shown["changes"][0]["op"] == "create"
    told = run("accounts", "history", "post")[1]["data"]["changes"]
    assert told[1:] == shown["changes"]
    assert (told[0]["op"], told[0]["after"]) == ("credentials", {"password": "set"})
    code, nothing = run("sync", "undo", str(given["run"]))
    assert (code, nothing["problems"][0]["code"]) == (1, "nothing-to-undo")

    code, undone = run("sync", "undo", number)

    assert code == 0
    (change,) = undone["data"]["runs"][0]["changes"]
    assert (change["op"], change["after"]["state"]) == ("remove", "removed")
    code, answer = run("login", "post", stdin="a long secret\n")
    assert (code, answer["data"]["reason"]) == (1, "unknown")
    assert run("accounts", "show", "post@example.com")[0] == 0
    assert run("accounts", "restore", "post@example.com")[0] == 0
    assert run("login", "post", stdin="a long secret\n")[0] == 0
    assert "a long secret" not in json.dumps(run("accounts", "export", "post"))
    code, answer = run("accounts", "keep-apart", "post")
    assert (code, answer["problems"][0]["code"]) == (1, "local")
    code, answer = run("accounts", "restore", "post")
    assert (code, answer["problems"][0]["code"]) == (1, "is-live")
    assert run("sync", "show", "77")[1]["problems"][0]["code"] == "no-run"
    assert run("sync", "nowhere.example")[1]["problems"][0]["code"] == "unknown-domain"
    assert run("sync", "--out", "x")[1]["problems"][0]["code"] == "usage"


@pytest.mark.parametrize("wait", [None, 0.1])
def test_a_run_waits_for_the_one_that_is_going_on(
    config: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    wait: float | None,
) -> None:
    """It waits for a minute; a test has less time."""
    monkeypatch.setattr("sys.stdin", Pipe("a long secret\n"))
    exit_code(["accounts", "add", "post", "--config", str(config)])
    monkeypatch.setattr(runs, "WAIT", wait or 60)
    with App.load(config).open_store() as store:
        turn = contextlib.ExitStack()
        turn.enter_context(store.turn(DomainName("example.com")))
        if wait is None:
            threading.Timer(0.5, turn.close).start()
        code = exit_code(["sync", "undo", "1", "--json", "--config", str(config)])
        turn.close()
    answer = json.loads(capsys.readouterr().out.splitlines()[-1])
    codes = [problem["code"] for problem in answer["problems"]]
    assert (code, codes) == ((0, []) if wait is None else (1, ["store-turn-taken"]))
