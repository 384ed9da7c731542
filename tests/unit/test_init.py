"""`init`: nothing is written before every answer is sound, and then all or nothing.

What it does with real servers stands in tests/system/test_init.py.
"""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.folders import open_home

# Many of these start processes or wait for a clock: not for every save.
pytestmark = pytest.mark.slow

PASSWORD = "geheim und lang"
NOBODY = 65534
root_only = pytest.mark.skipif(
    os.geteuid() != 0, reason="only root can give files to somebody else"
)


class Init:
    """`dirbridge init` in a folder of its own; its server answers nobody."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.output = folder / "etc"
        self.config = self.output / "dirbridge.toml"
        self.secret = self.output / "secrets" / "company.example"
        self.given: dict[str, str] = {
            "--domain": "company.example",
            "--type": "ldap",
            "--server": "127.0.0.1:1",
            "--username": "cn=bridge,dc=company,dc=example",
            "--store": f"sqlite:///{folder}/db/dirbridge.db",
            "--socket": f"{folder}/socket",
            "--output": str(self.output),
        }
        self.code = -1
        self.said = ""

    def run(self, stdin: bytes = f"{PASSWORD}\n".encode()) -> list[dict[str, str]]:
        words = [word for pair in self.given.items() for word in pair]
        done = subprocess.run(
            [sys.executable, "-m", "dirbridge", "init", "--json", *words],
            check=False,
            input=stdin,
            capture_output=True,
            cwd=self.folder,
        )
        self.code, self.said = done.returncode, (done.stdout + done.stderr).decode()
        assert PASSWORD not in self.said
        return json.loads(done.stdout.splitlines()[-1])["problems"]

    def files(self) -> list[Path]:
        return [path for path in self.folder.rglob("*") if not path.is_dir()]


@pytest.fixture
def init() -> Iterator[Init]:
    with open_home() as home:
        yield Init(home)


def test_all_is_given(init: Init) -> None:
    init.run()
    assert init.code == 1  # nobody answers
    assert stat.S_IMODE(init.secret.stat().st_mode) == 0o600
    assert stat.S_IMODE(init.secret.parent.stat().st_mode) == 0o700
    assert stat.S_IMODE(init.config.stat().st_mode) == 0o644
    assert init.secret.read_text() == f"{PASSWORD}\n"
    assert PASSWORD not in init.config.read_text()


def test_a_pipe_is_asked_nothing(init: Init) -> None:
    """The first line is the password; it never becomes a server's name."""
    for option in ("--type", "--server", "--username"):
        del init.given[option]
    init.given["--domain"] = "company.invalid"  # DNS names no server, RFC 6761
    (problem,) = init.run()
    assert init.code == 2
    assert problem["code"] == "missing-option"
    assert "not given: --type, --server, --username." in problem["text"]
    assert init.files() == []


def test_without_a_domain_all_else_is_checked_too(init: Init) -> None:
    del init.given["--domain"]
    init.given |= {"--server": "ldaps://dc1", "--username": " "}
    server, username, missing = init.run()
    assert init.code == 2
    assert server["text"].startswith('--server "ldaps://dc1" is not a server')
    assert username["text"] == '--username " " is empty.'
    assert missing["text"].endswith("not given: --domain.")
    assert init.files() == []


@pytest.mark.parametrize(
    ("option", "value", "where"),
    [
        ("--domain", "../../outside", "--domain"),
        ("--domain", "", "--domain"),
        ("--server", "dc1:70000", "--server"),
        ("--username", "a\nb", "--username"),
        ("--username", "a\x7fb", "--username"),
        ("--username", b"a\xffb", "--username"),
        ("--directory-domain", "corp company", "--directory-domain"),
        ("--ca-file", "", "--ca-file"),
        ("--socket", "a\tb", "--socket"),
        ("--store", "mysql://x", "dirbridge.toml: store: url"),
    ],
)
def test_every_answer_is_checked_first(
    init: Init, option: str, value, where: str
) -> None:
    init.given[option] = value
    (problem,) = init.run()
    assert init.code == 2
    assert problem["code"] == "wrong-value"
    assert problem["where"] == where
    assert problem["next"].endswith(".")
    assert init.files() == []


@pytest.mark.parametrize(
    ("stdin", "code"),
    [(b"", "no-password"), (b"\n", "no-password"), (b"a\0b\n", "bad-password")],
)
def test_a_password_that_is_none(init: Init, stdin: bytes, code: str) -> None:
    (problem,) = init.run(stdin)
    assert (init.code, problem["code"]) == (2, code)
    assert init.files() == []


def test_a_password_that_is_no_text(init: Init) -> None:
    (problem,) = init.run(b"a\xff\n")
    assert (init.code, problem["code"]) == (2, "bad-password")
    assert init.files() == []


def test_a_realm_file_that_is_broken_is_told_first(init: Init) -> None:
    realms = init.output / "realms"
    realms.mkdir(parents=True)
    (realms / "corp.toml").write_text("kdc = 1")
    init.run()
    assert init.code == 2
    assert init.files() == [realms / "corp.toml"]


def test_what_is_there_is_left_alone(init: Init) -> None:
    init.secret.parent.mkdir(parents=True)
    init.secret.write_text("mine")
    (problem,) = init.run()
    assert (init.code, problem["code"]) == (2, "exists")
    assert problem["where"] == str(init.secret)
    assert init.files() == [init.secret]
    assert init.secret.read_text() == "mine"


def test_a_folder_that_cannot_be_made(init: Init) -> None:
    """The configuration was written by then; it is taken back."""
    init.output.mkdir()
    (init.output / "secrets").write_text("a file")
    (problem,) = init.run()
    assert (init.code, problem["code"]) == (2, "cannot-write")
    assert problem["where"] == str(init.secret)
    assert "--output" in problem["next"]
    assert init.files() == [init.output / "secrets"]


def test_relative_paths_count_from_here(init: Init) -> None:
    init.given |= {"--output": "etc", "--ca-file": "ca.pem"}
    init.run()
    text = init.config.read_text()
    assert f'file = "{init.secret}"' in text
    assert f'ca_file = "{init.folder}/ca.pem"' in text


@root_only
def test_the_password_belongs_to_whoever_owns_the_store(init: Init) -> None:
    store = init.folder / "db"
    store.mkdir()
    store.chmod(0o755)
    os.chown(store, NOBODY, NOBODY)
    problems = init.run()
    for path in (init.secret, init.secret.parent):
        assert (path.stat().st_uid, path.stat().st_gid) == (NOBODY, NOBODY)
    assert init.config.stat().st_uid == 0
    assert "unreadable-secret" not in {problem["code"] for problem in problems}


def test_at_a_terminal_a_wrong_answer_is_asked_again(init: Init) -> None:
    for option in ("--domain", "--username"):
        del init.given[option]
    words = [word for pair in init.given.items() for word in pair]
    ours, theirs = os.openpty()
    typed = ["../x", "company.example", "cn=bridge", PASSWORD]
    with subprocess.Popen(
        [sys.executable, "-m", "dirbridge", "init", *words],
        stdin=theirs,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    ) as process:
        os.write(ours, "".join(f"{line}\n" for line in typed[:3]).encode())
        os.set_blocking(process.stderr.fileno(), True)
        said = b""
        while b"password: " not in said:
            said += process.stderr.read1()
        os.write(ours, f"{PASSWORD}\n".encode())
        process.communicate()
    os.close(ours)
    os.close(theirs)
    assert b"That is not a domain name" in said
    assert init.secret.read_text() == f"{PASSWORD}\n"
    assert 'username = "cn=bridge"' in init.config.read_text()
