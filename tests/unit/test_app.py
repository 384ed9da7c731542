"""The composition root."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from dirbridge.app import App
from dirbridge.assembly.realms import relayed
from dirbridge.config.krb5_conf import Realm
from dirbridge.ldap import discovery, transport
from dirbridge.ldap.addresses import Address
from dirbridge.ldap.discovery import Record, Records
from dirbridge.ldap.failover import Failover
from dirbridge.model.account import Account, AccountValues, Origin
from dirbridge.model.deadline import Deadline
from dirbridge.model.finding import Outcome
from dirbridge.model.names import Address as EmailAddress
from dirbridge.model.names import DirectoryId, DomainName, RealmName
from dirbridge.model.secret import Secret
from dirbridge.store.memory import MemoryStore
from dirbridge.sync.local import local_plan
from tests.folders import open_home

# Many of these start processes or wait for a clock: not for every save.
pytestmark = pytest.mark.slow

NOBODY = 65534
root_only = pytest.mark.skipif(
    os.geteuid() != 0, reason="only root can become somebody else"
)

CONFIG = """
[store]
url = "sqlite:///{folder}/db/dirbridge.db"
[domains."company.com"]
"""


DIRECTORY = """
[[domains."company.com".directory]]
name = "{name}"
type = "ldap"
server = "127.0.0.1:{port}"
username = "cn=bridge"
password = {{ file = "secret" }}
"""


@pytest.fixture
def home() -> Iterator[Path]:
    """A folder that other users may pass."""
    with open_home() as home:
        yield home


@pytest.fixture
def config(home: Path) -> Path:
    """A configuration whose store belongs to nobody."""
    folder = home / "db"
    folder.mkdir()
    folder.chmod(0o755)
    if os.geteuid() == 0:
        os.chown(folder, NOBODY, NOBODY)
    config = home / "dirbridge.toml"
    config.write_text(CONFIG.format(folder=home))
    return config


def dirbridge(config: Path, *words: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "dirbridge", *words, "--config", config],
        check=False,
        capture_output=True,
    )


@root_only
def test_a_command_that_root_runs_becomes_the_stores_owner(config: Path) -> None:
    assert dirbridge(config, "accounts", "list").returncode == 0
    made = (config.parent / "db" / "dirbridge.db").stat()
    assert (made.st_uid, made.st_gid, made.st_mode & 0o777) == (NOBODY, NOBODY, 0o600)


@root_only
def test_what_check_passes_sync_can_do(config: Path) -> None:
    """Root may read every secret; the store's owner, who syncs, may not."""
    with config.open("a") as file:
        file.write(DIRECTORY.format(name="directory", port=1))
    secret = config.parent / "secret"
    secret.touch(mode=0o600)
    secret.write_text("geheim")
    done = dirbridge(config, "check", "--json")
    problems = json.loads(done.stdout)["problems"]
    assert "unreadable-secret" in {problem["code"] for problem in problems}
    os.chown(secret, NOBODY, NOBODY)
    done = dirbridge(config, "check", "--json")
    problems = json.loads(done.stdout)["problems"]
    assert {problem["code"] for problem in problems} == {"refused"}


@root_only
def test_the_stores_owner_gets_a_folder_to_run_in(config: Path) -> None:
    """A domain with a realm: its krb5.conf is written before anybody serves."""
    run_dir = config.parent / "run"
    text = DIRECTORY.format(name="directory", port=1).replace(
        '"ldap"', '"active-directory"'
    )
    with config.open("a") as file:
        file.write(f'{text}\n[serve]\nrun_dir = "{run_dir}"\n')
    done = dirbridge(config, "check", "--json")
    problems = json.loads(done.stdout)["problems"]
    assert done.returncode == 1
    assert "run-dir" not in {problem["code"] for problem in problems}
    assert run_dir.stat().st_uid == NOBODY


@root_only
def test_a_folder_that_cannot_be_written_hides_nothing_else(config: Path) -> None:
    run_dir = config.parent / "run"
    run_dir.mkdir(mode=0o755)
    text = DIRECTORY.format(name="directory", port=1).replace(
        '"ldap"', '"active-directory"'
    )
    with config.open("a") as file:
        file.write(f'{text}\n[serve]\nrun_dir = "{run_dir}"\n')
    done = dirbridge(config, "check", "--json")
    codes = {problem["code"] for problem in json.loads(done.stdout)["problems"]}
    assert done.returncode == 1
    assert {"run-dir", "refused"} <= codes


def test_a_directory_goes_by_its_name_wherever_it_stands(config: Path) -> None:
    tables = [
        DIRECTORY.format(name="directory", port=1),
        DIRECTORY.format(name="branch", port=2),
    ]
    before = config.read_text()
    for order in (tables, tables[::-1]):
        config.write_text(before + "".join(order))
        directories = App.load(config).directories["company.com"]
        ports = {
            each.policy.source: str(each.connector.failover.servers[0])
            for each in directories
        }
        assert ports == {"directory": "127.0.0.1:1", "branch": "127.0.0.1:2"}


def assert_belongs_to_nobody(config: Path) -> None:
    made = (config.parent / "db" / "dirbridge.db").stat()
    assert (made.st_uid, made.st_gid, made.st_mode & 0o777) == (NOBODY, NOBODY, 0o600)


@root_only
def test_a_database_made_as_root_belongs_to_its_folders_owner(config: Path) -> None:
    dirbridge(config, "store", "upgrade")
    assert_belongs_to_nobody(config)


@root_only
@pytest.mark.parametrize("processes", [1, 2])
def test_so_does_one_that_serve_makes(config: Path, processes: int) -> None:
    with config.open("a") as file:
        file.write(f"\n[serve]\nprocesses = {processes}\nrun_dir = 'run'\n")
        file.write("\n[[hooks]]\ntype = 'saslauthd'\nsocket = 'mux'\n")
    words = ["serve", "--no-sync", "--config", config]
    with subprocess.Popen(
        [sys.executable, "-m", "dirbridge", *words], stderr=subprocess.PIPE
    ) as serve:
        assert serve.stderr is not None
        assert serve.stderr.readline() == b"ready\n"
        serve.terminate()
    assert serve.returncode == 0
    assert_belongs_to_nobody(config)
    assert not (config.parent / "mux").exists()


FOUND_BY_DNS = """
[store]
url = "sqlite:///{folder}/dirbridge.db"
[serve]
run_dir = "{folder}/run"
[domains."company.com"]
[domains."company.com".login]
kerberos_realm = "COMPANY.COM"
[domains."company.com".directory]
type = "ldap"
suffix = "dc=company,dc=com"
discover = "dns"
username = "cn=bridge"
password = {{ file = "secret" }}
"""


def test_a_host_that_forged_dns_names_is_told_and_not_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Forged:
        """DNS in which somebody else answers."""

        def srv(self, name: str, seconds: float) -> Records:
            asked.append(name)
            return Records((Record(0, 0, f"{name[1:5]}.attacker.example", 389),))

    asked: list[str] = []
    monkeypatch.setattr(discovery, "SystemDns", Forged)
    monkeypatch.setenv("KRB5_CONFIG", "/nowhere")  # `install` sets it
    file = tmp_path / "dirbridge.toml"
    file.write_text(FOUND_BY_DNS.format(folder=tmp_path))
    secret = tmp_path / "secret"
    secret.write_text("password")
    secret.chmod(0o600)
    app = App.load(file)
    everything = app.findings()
    (nobody,) = [one for one in everything if one.code == "no-servers"]
    assert (nobody.where, nobody.outcome) == ("company.com", Outcome.FAILED)
    found = [one for one in everything if one.code == "server-foreign"]
    assert [one.where for one in found] == [
        "ldap.attacker.example",
        "kerb.attacker.example",
    ]
    assert {one.outcome for one in found} == {Outcome.WARNING}
    assert "`server`" in found[0].next
    assert set(asked) == {"_ldap._tcp.company.com", "_kerberos._tcp.company.com"}
    assert app.servers() == ()


def test_a_protected_name_that_nobody_has_is_told(tmp_path: Path) -> None:
    (tmp_path / "db").mkdir()
    file = tmp_path / "dirbridge.toml"
    names = '["Anna@company.com", "post", "ana@company.com"]'
    file.write_text(CONFIG.format(folder=tmp_path) + f"protected = {names}\n")
    app = App.load(file)
    assert [one for one in app.findings() if one.what == "protected"] == []
    # It only looks: the first sync makes the store.
    assert list((tmp_path / "db").iterdir()) == []
    values = AccountValues(
        directory_id=DirectoryId("local:1"),
        login_names=("post",),
        primary_address=EmailAddress("anna@company.com"),
    )
    account = Account(
        number=0,
        domain=DomainName("company.com"),
        mailbox="",
        origin=Origin.LOCAL,
        state_since=datetime.now(UTC),
        values=values,
        source="local",
    )
    with app.open_store() as store:
        store.apply(*local_plan(account, (), datetime.now(UTC)))

    (found,) = [one for one in app.findings() if one.what == "protected"]

    assert (found.outcome, found.code) == (Outcome.WARNING, "protects-nobody")
    assert '"ana@company.com"' in found.text
    assert found.next


def test_a_key_that_no_method_looks_at_is_told_by_check(tmp_path: Path) -> None:
    file = tmp_path / "dirbridge.toml"
    table = '[domains."company.com".login]\nmethods = ["local"]\nntlm = true\n'
    directory = DIRECTORY.format(name="directory", port=1)
    file.write_text(CONFIG.format(folder=tmp_path) + directory + table)
    (tmp_path / "db").mkdir()

    (found,) = [one for one in App.load(file).findings() if one.code == "idle-key"]

    assert (found.outcome, '"nt-domain"' in found.next) == (Outcome.WARNING, True)
    assert list((tmp_path / "db").iterdir()) == []


def test_kdcs_that_nobody_named_are_relayed_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A frozen one must not hold libkrb5, and DNS may not name just anybody."""
    with socket.create_server(("127.0.0.1", 0)) as kdc:
        port = kdc.getsockname()[1]

        class Zone:
            """DNS that names the KDC, and somebody else's before it."""

            def srv(self, name: str, seconds: float) -> Records:
                assert name == "_kerberos._tcp.example.com"
                forged = Record(0, 0, "ldap.attacker.example", port)
                return Records((forged, Record(5, 0, "kdc.example.com", port)))

        def resolve(host: str, seconds: float) -> list[Address]:
            asked.append(host)
            return [(socket.AF_INET, "127.0.0.1")]

        asked: list[str] = []
        monkeypatch.setattr(discovery, "SystemDns", Zone)
        monkeypatch.setattr(transport, "resolve", resolve)
        name = RealmName("EXAMPLE.COM")
        by_dns = Failover(name, discovery.discovered_kdcs(name))
        (relay,) = relayed(Realm(name, (), (), ()), by_dns).kdcs
        assert relay.port is not None
        with socket.create_connection((relay.host, relay.port), timeout=5) as client:
            client.sendall(b"\0\0\0\4ping")
            kdc.settimeout(5)
            stream, _ = kdc.accept()
            with stream:
                assert stream.recv(8, socket.MSG_WAITALL) == b"\0\0\0\4ping"
                stream.sendall(b"\0\0\0\4pong")
            assert client.recv(8, socket.MSG_WAITALL) == b"\0\0\0\4pong"
        assert asked == ["kdc.example.com"]


TWO_DOMAINS = """
[store]
url = "sqlite:///{folder}/dirbridge.db"
[domains."company.com"]
primary = true
aliases = [{company}]
[domains."company.com".directory]
type = "ldap"
server = "127.0.0.1:389"
username = "cn=bridge"
password = {{ env = "BRIDGE_PASSWORD" }}
base = "dc=x"
take = "by-address"
[domains."other.org"]
aliases = [{other}]
[domains."other.org".directory]
type = "ldap"
server = "127.0.0.1:389"
username = "cn=bridge"
password = {{ env = "BRIDGE_PASSWORD" }}
base = "dc=x"
take = "by-address"
"""


def test_an_alias_that_goes_to_another_domain_has_everybody_mapped_again(
    tmp_path: Path,
) -> None:
    """Though all served domains together are the same ones."""

    def rules(company: str, other: str) -> list[str]:
        file = tmp_path / "dirbridge.toml"
        text = TWO_DOMAINS.format(folder=tmp_path, company=company, other=other)
        file.write_text(text)
        return [job.rules for job in App.load(file).jobs(MemoryStore())]

    before, after = rules('"x.org"', ""), rules("", '"x.org"')
    assert before[0] != after[0]
    assert before[1] != after[1]
    assert rules("", '"x.org"') == after


FOREST = """
[serve]
run_dir = "{folder}/run"
[domains."company.com"]
primary = true
[domains."company.com".login]
methods = ["kerberos"]
kerberos_realm = "first.org"
[[domains."company.com".directory]]
name = "one"
type = "active-directory"
server = "127.0.0.1"
username = "u@first.org"
password = {{ file = "secret" }}
[[domains."company.com".directory]]
name = "two"
type = "active-directory"
directory_domain = "second.org"
server = "127.0.0.2"
username = "u@second.org"
password = {{ file = "secret" }}
"""


def test_each_directory_of_a_domain_has_its_own_realm_in_one_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KRB5_CONFIG", "before")
    path = tmp_path / "dirbridge.toml"
    path.write_text(FOREST.format(folder=tmp_path))
    app = App.load(path)
    domain = DomainName("company.com")
    for source, realm in (("one", "FIRST.ORG"), ("two", "SECOND.ORG")):
        (method,) = app.methods[domain, source]
        values = AccountValues(directory_id=DirectoryId("1"), login_names=("anna",))
        anna = Account(
            number=1,
            domain=domain,
            mailbox="anna",
            origin=Origin.MAPPED,
            state_since=datetime.now(UTC),
            values=values,
            source=source,
        )
        verdict = method.authenticate(anna, Secret(""), Deadline.after(1))
        assert (verdict.method, verdict.server) == ("kerberos", realm)
    text = Path(os.environ["KRB5_CONFIG"]).read_text()
    assert "FIRST.ORG = {\n        kdc = 127.0.0.1:" in text
    assert "SECOND.ORG = {\n        kdc = 127.0.0.1:" in text
    assert "default_realm = FIRST.ORG\n" in text


def test_a_sync_loads_nothing_of_logins(tmp_path: Path) -> None:
    """Their libraries take long to load, and first imports are many."""
    file = tmp_path / "dirbridge.toml"
    file.write_text(TWO_DOMAINS.format(folder=tmp_path, company="", other=""))
    program = (
        "import json, pathlib, sys\n"
        "import dirbridge.cli.sync\n"
        "from dirbridge.app import App\n"
        "from dirbridge.store.memory import MemoryStore\n"
        "app, store = App.load(pathlib.Path(sys.argv[1])), MemoryStore()\n"
        "assert app.jobs(store) and app.noticeboard(store)\n"
        "print(json.dumps([*sys.modules]))\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program, file], check=True, capture_output=True
    )
    loaded = set(json.loads(ran.stdout))
    assert "dirbridge.assembly.jobs" in loaded
    logins = ("methods", "guards", "tickets", "logins", "checks", "upkeep")
    assert not loaded & {f"dirbridge.assembly.{name}" for name in logins}
    unwanted = {"login.service", "authenticators.kerberos", "explain.service"}
    assert not loaded & {f"dirbridge.{name}" for name in unwanted}
    assert not loaded & {"gssapi", "spnego", "ldap3"}
