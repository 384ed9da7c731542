"""The real command line on a real configuration, in a folder of its own."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from testbed import cast
from testbed.bed import Bed
from testbed.process import BedError, wait_until
from tests import schema
from tests.stores import parted
from tests.system.warm_program import Command, Files, warm_program

AD = cast.AD_MAIL_DOMAIN
OD = cast.OD_MAIL_DOMAIN
PROGRAM = (sys.executable, "-m", "dirbridge")

NO_CROWD = "(!(sAMAccountName=crowd*))"
"""Leaves out the 2,000 of the crowd, so that a test's sync is short."""

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Done:
    """A command that ended."""

    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[Json]:
        """All JSON lines."""
        return [json.loads(line) for line in self.out.splitlines()]

    @property
    def result(self) -> Json:
        """The object that ends every command."""
        assert self.out, self.err
        return self.lines[-1]

    @property
    def data(self) -> Json:
        return self.result["data"]

    @property
    def problems(self) -> list[Json]:
        return self.result["problems"]

    @property
    def codes(self) -> list[str]:
        return [problem["code"] for problem in self.problems]

    def problem(self, code: str) -> Json:
        """The one problem with this code; every problem has its place and mend."""
        found = [problem for problem in self.problems if problem["code"] == code]
        assert len(found) == 1, self.out + self.err
        assert found[0]["where"]
        assert found[0]["text"].endswith(".")
        assert found[0]["next"].endswith(".")
        return found[0]

    def assert_promised(self) -> None:
        """Each line has the form that docs/json/ promises."""
        *events, result = self.lines
        event = schema.load("event.json")
        assert not [fault for one in events for fault in schema.faults(one, event)]
        assert schema.faults(result, schema.load("envelope.json")) == []
        if result["data"]:
            own = schema.load(f"{result['command'].replace(' ', '-')}.json")
            assert schema.faults(result["data"], own) == []

    def changes(self, domain: str, *ops: str) -> dict[str, Json]:
        """The changes of a sync's run, by the account's name."""
        return {
            change["name"]: change
            for run in self.data["runs"]
            if run["domain"] == domain
            for change in run["changes"]
            if not ops or change["op"] in ops
        }


@dataclass
class Site:
    """A folder with a configuration for the test bed, and the program on it.

    Attributes:
        folder: Holds the configuration, the secrets, the store and the sockets.
        config: What stands in dirbridge.toml; a test changes it before `run`.
        realms: The files of `realms/`.
        env: Variables on top of ours.
        program: The command; a test may lay another clock around it.
        warm: Fork the command from one that is loaded, where it is ours alone.
    """

    bed: Bed
    folder: Path
    config: Json = field(default_factory=dict)
    realms: dict[str, Json] = field(default_factory=dict)
    env: dict[str, str] = field(default_factory=dict)
    program: tuple[str, ...] = PROGRAM
    warm: bool = True

    @property
    def file(self) -> Path:
        return self.folder / "dirbridge.toml"

    @property
    def database(self) -> Path:
        return self.folder / "dirbridge.db"

    @property
    def saslauthd(self) -> Path:
        return self.folder / "mux"

    def directory(self, domain: str) -> Json:
        return self.config["domains"][domain]["directory"]

    def login_settings(self, domain: str) -> Json:
        return self.config["domains"][domain].setdefault("login", {})

    def secret(self, name: str, password: str) -> Json:
        """Write a password to a file; gives the reference to it."""
        path = self.folder / "secrets" / name
        path.parent.mkdir(exist_ok=True)
        path.touch(mode=0o600)
        path.write_text(password + "\n")
        return {"file": str(path)}

    def on_postgresql(self, full_url: str) -> None:
        """Keep the user database there; the url's password goes to a file."""
        url, password = parted(full_url)
        self.config["store"] = {
            "url": url.replace("postgresql", "postgresql+psycopg", 1),
            "password": self.secret("store", password.reveal()),
        }

    def write(self) -> None:
        """Write dirbridge.toml and realms/."""
        self.file.write_text(toml(self.config))
        for name, realm in self.realms.items():
            path = self.folder / "realms" / f"{name}.toml"
            path.parent.mkdir(exist_ok=True)
            path.write_text(toml(realm))

    def start(
        self, *words: str, stdin: int | None = subprocess.PIPE
    ) -> subprocess.Popen[bytes]:
        """Start a command and do not wait for it."""
        self.write()
        return subprocess.Popen(
            [*self.program, *words, "--config", str(self.file)],
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=self.environment(),
            cwd=self.folder,
        )

    def launch(
        self, words: tuple[str, ...], files: Files
    ) -> Command | subprocess.Popen[bytes]:
        """Start a command whose input, output and errors are these files."""
        words = (*words, "--config", str(self.file))
        if self.warm and self.program == PROGRAM:
            return warm_program().start(words, files, self.environment(), self.folder)
        stdin, out, err = files
        return subprocess.Popen(
            [*self.program, *words],
            stdin=stdin,
            stdout=out,
            stderr=err,
            env=self.environment(),
            cwd=self.folder,
        )

    def environment(self) -> dict[str, str]:
        root = str(Path(__file__).resolve().parents[2])
        return {**os.environ, "PYTHONPATH": root, **self.env}

    def run(
        self,
        *words: str,
        stdin: str | bytes = b"",
        json: bool = True,
        written: bool = False,
        timeout: float = 120,
    ) -> Done:
        """Run a command to its end.

        Args:
            words: The command and its arguments.
            stdin: What it may read, such as a password.
            json: Whether to ask for JSON.
            written: Leave the configuration as a test wrote it.
            timeout: Seconds.
        """
        if not written:
            self.write()
        extra = ("--json",) if json else ()
        data = stdin.encode() if isinstance(stdin, str) else stdin
        with contextlib.ExitStack() as open_files:
            stdin_file, out, err = (
                open_files.enter_context(tempfile.TemporaryFile()) for _ in range(3)
            )
            stdin_file.write(data)
            stdin_file.seek(0)
            process = self.launch((*words, *extra), (stdin_file, out, err))
            try:
                code = process.wait(timeout)
            except BaseException:
                process.kill()
                process.wait()
                raise
            said, complained = (file.seek(0) or file.read() for file in (out, err))
        done = Done(code, said.decode(), complained.decode(errors="replace"))
        if json:
            done.assert_promised()
        return done

    def sync(self, *words: str) -> Done:
        return self.run("sync", *words)

    def login(self, name: str, password: str | bytes, *words: str) -> Done:
        secret = password.encode() if isinstance(password, str) else password
        return self.run("login", name, *words, stdin=secret + b"\n")

    def accounts(self, domain: str) -> dict[str, Json]:
        """The accounts of a domain, by their canonical names."""
        listed = self.run("accounts", "list", domain).data["accounts"]
        return {account["account"]: account for account in listed}

    def account(self, name: str) -> Json:
        return self.run("accounts", "show", name).data["account"]

    @contextlib.contextmanager
    def serving(self, *words: str, written: bool = False) -> Iterator[Serve]:
        """A running `serve` that is ready, and is ended afterwards."""
        if not written:
            self.write()
        serve = Serve(self, words)
        try:
            serve.wait_ready()
            yield serve
        finally:
            serve.stop()

    def dump(self) -> str:
        """Everything that the SQLite store holds, as SQL."""
        with contextlib.closing(sqlite3.connect(self.database)) as database:
            return "\n".join(database.iterdump())


class Serve:
    """A running `dirbridge serve`; what it writes goes to files."""

    def __init__(self, site: Site, words: tuple[str, ...]) -> None:
        self.log_file = site.folder / "serve.log"
        nothing = Path(os.devnull)
        with self.log_file.open("wb") as log, nothing.open("rb") as stdin:
            self.process = site.launch(("serve", *words), (stdin, log, log))

    @property
    def log(self) -> str:
        return self.log_file.read_text(errors="replace")

    @property
    def logins(self) -> list[dict[str, str]]:
        """The stable lines of logins, as fields."""
        return self._lines("login verdict=")

    @property
    def syncs(self) -> list[dict[str, str]]:
        """The stable lines of runs, as fields."""
        return [line for line in self._lines("sync domain=") if "ms" in line]

    def _lines(self, start: str) -> list[dict[str, str]]:
        return [
            dict(word.split("=", 1) for word in line.split(" ")[1:] if "=" in word)
            for line in self.log.splitlines()
            if line.startswith(start)
        ]

    def wait_ready(self) -> None:
        def ready() -> bool:
            if self.process.poll() is not None:
                raise BedError(f"serve ended at its start:\n{self.log}")
            return "ready" in self.log.splitlines()

        wait_until(ready, "serve does not get ready", timeout=30)

    def stop(self) -> int:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(timeout=15)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise


def new_site(bed: Bed, folder: Path, *domains: str) -> Site:
    """A site for one or both domains of the bed, the first one primary."""
    folder.mkdir(parents=True, exist_ok=True)
    site = Site(bed, folder)
    tables = {AD: _active_directory, OD: _open_directory}
    site.config = {
        "store": {"url": f"sqlite:///{site.database}"},
        "serve": {"run_dir": str(folder / "run")},
        "hooks": [{"type": "saslauthd", "socket": str(site.saslauthd)}],
        "domains": {name: tables[name](site) for name in domains},
    }
    site.config["domains"][domains[0]]["primary"] = True
    return site


def _active_directory(site: Site) -> Json:
    site.realms["corp"] = {
        "name": cast.AD_REALM,
        "kdcs": ["dc1.corp.example.com", "dc2.corp.example.com"],
        "domain_realm": [".corp.example.com"],
    }
    password = site.bed.password("svc-dirbridge")
    return {
        "directory": {
            "type": "active-directory",
            "server": "dc1.corp.example.com",
            "backup_server": "dc2.corp.example.com",
            "ca_file": str(site.bed.ca_file),
            "username": "svc-dirbridge@corp.example.com",
            "password": site.secret("ad", password),
            "directory_domain": cast.AD_DOMAIN,
            "filter": NO_CROWD,
        },
        "login": {"methods": ["ldap-bind"], "cache": "0s"},
    }


def _open_directory(site: Site) -> Json:
    site.realms["od"] = {
        "name": cast.OD_REALM,
        "kdcs": ["kdc.od.example.com:8888"],
        "domain_realm": [".od.example.com"],
    }
    password = site.bed.password("diradmin", "od")
    return {
        "directory": {
            "type": "open-directory-kerberos",
            "server": "od.example.com",
            "backup_server": "od2.example.com",
            "ca_file": str(site.bed.ca_file),
            "username": f"uid=diradmin,{cast.OD_USERS}",
            "password": site.secret("od", password),
        },
        "login": {
            "methods": ["ldap-bind"],
            "kerberos_realm": cast.OD_REALM,
            # Tests ask what the servers say now.
            "cache": "0s",
        },
    }


def use_kerberos(site: Site, domain: str) -> None:
    """Let a domain check passwords by Kerberos alone, with its keytab."""
    realm = {AD: "corp", OD: "od"}[domain]
    keytab = site.folder / f"{realm}.keytab"
    shutil.copy(site.bed.keytab(realm), keytab)
    site.realms[realm] |= {
        "keytab": {"file": str(keytab)},
        "service": "smtp/mail.example.com",
    }
    site.login_settings(domain)["methods"] = ["kerberos"]


def copied(site: Site, folder: Path) -> Site:
    """A site of the same configuration with a copy of the store as it is.

    But for where the directories stood: the bed's go back in time between tests, and
    a server that did is not believed.
    """
    shutil.copytree(site.folder, folder, ignore=shutil.ignore_patterns("mux", "run"))
    if (folder / "dirbridge.db").exists():
        with contextlib.closing(sqlite3.connect(folder / "dirbridge.db")) as store:
            kept = store.execute("SELECT rowid, value FROM cursors").fetchall()
            for key, value in kept:
                scope = bytes(value).split(b"\n")[0]
                store.execute(
                    "UPDATE cursors SET value = ? WHERE rowid = ?", (scope, key)
                )
            store.commit()
    text = json.dumps([site.config, site.realms]).replace(str(site.folder), str(folder))
    config, realms = json.loads(text)
    return Site(site.bed, folder, config, realms, dict(site.env), site.program)


def toml(tables: Mapping[str, Any]) -> str:
    """Write TOML; JSON's strings are a part of TOML's."""
    return "\n".join(_table((), tables)) + "\n"


def _table(path: tuple[str, ...], table: Mapping[str, Any]) -> Iterator[str]:
    later = {k: v for k, v in table.items() if _is_table(path, k, v)}
    for key, value in table.items():
        if key not in later:
            yield f"{_text(key)} = {_value(value)}"
    for key, value in later.items():
        name = (*path, key)
        several = isinstance(value, list)
        for one in value if several else (value,):
            dotted = ".".join(_text(word) for word in name)
            yield f"[[{dotted}]]" if several else f"[{dotted}]"
            yield from _table(name, one)


def _is_table(path: tuple[str, ...], key: str, value: Any) -> bool:
    if isinstance(value, list):
        return bool(value) and all(isinstance(one, dict) for one in value)
    return isinstance(value, dict) and key not in {
        *("password", "keytab", "webhook_token"),
    }


def _value(value: Any) -> str:
    if isinstance(value, dict):
        inside = ", ".join(f"{_text(k)} = {_value(v)}" for k, v in value.items())
        return f"{{ {inside} }}"
    if isinstance(value, list):
        return f"[{', '.join(map(_value, value))}]"
    return _text(value)


def _text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
