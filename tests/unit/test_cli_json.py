"""What `--json` promises: the schemas themselves, and commands that need no server."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from dirbridge.cli.main import exit_code
from tests import schema

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
COMMANDS = {
    "accounts list": 0,
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
    file = tmp_path / "dirbridge.toml"
    file.write_text(CONFIG.format(folder=tmp_path))
    (tmp_path / "secret").write_text("sesame\n")
    return file


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


def test_a_local_account_from_beginning_to_end(
    config: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(*words: str, stdin: str = "") -> tuple[int, dict]:
        monkeypatch.setattr("sys.stdin", _Pipe(stdin))
        code = exit_code([*words, "--json", "--config", str(config)])
        answer = json.loads(capsys.readouterr().out.splitlines()[-1])
        assert schema.faults(answer, schema.load("envelope.json")) == []
        name = f"{answer['command'].replace(' ', '-')}.json"
        if answer["data"] or answer["ok"]:
            assert schema.faults(answer["data"], schema.load(name)) == []
        return code, answer

    code, added = run("accounts", "add", "--admin", "post", stdin="a long secret\n")
    assert code == 0
    assert added["data"]["account"]["account"] == "post@example.com"
    assert added["data"]["account"]["role"] == "admin"
    assert run("accounts", "show", "post")[0] == 0
    assert run("login", "post", stdin="a long secret\n")[0] == 0
    assert run("login", "post", stdin="another\n")[0] == 1
    assert run("accounts", "passwd", "post", stdin="another\n")[0] == 0
    assert run("login", "post", stdin="another\n")[0] == 0
    assert run("explain", "post")[0] == 0
    code, answer = run("accounts", "add", "POST", stdin="x\n")
    assert (code, answer["problems"][0]["code"]) == (1, "name-taken")
    code, answer = run("accounts", "add", "anna", stdin="\n")
    assert (code, answer["problems"][0]["code"]) == (2, "no-password")
    for name in ("an\x1b[31mna", "an\udcff", "an na", "a" * 100, "@example.com"):
        code, answer = run("accounts", "add", name, stdin="x\n")
        assert (code, answer["problems"][0]["code"]) == (2, "bad-name")
    code, answer = run("accounts", "show", "nobody")
    assert (code, answer["problems"][0]["code"]) == (1, "unknown")


class _Pipe:
    """Standard input of a command in a pipe."""

    def __init__(self, text: str) -> None:
        self.buffer = io.BytesIO(text.encode())

    def isatty(self) -> bool:
        return False

    def readline(self) -> str:
        return self.buffer.readline().decode()
