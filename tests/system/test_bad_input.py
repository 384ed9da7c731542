"""Bad input: one clear sentence with the place and the mend, and no other harm."""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from testbed import ca, cast, ldif
from testbed.bed import Bed
from testbed.slapd import Od1
from tests.system.bridge import AD, OD, Done, Json, Site, use_kerberos
from tests.system.sasl import answer, ask, counted

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Fault:
    """A fault in the configuration, and what must be said of it."""

    name: str
    code: str
    where: str
    text: str
    make: Callable[[Json], object]


def _directory(config: Json) -> Json:
    return config["domains"][AD]["directory"]


FAULTS = (
    Fault(
        "a key that is not known",
        "unknown-key",
        f'dirbridge.toml: domains."{AD}".directory: backup_servers',
        "backup_servers",
        lambda config: _directory(config).update(backup_servers="dc2"),
    ),
    Fault(
        "a wrong type",
        "wrong-type",
        f'dirbridge.toml: domains."{AD}": user_limit',
        "whole number",
        lambda config: config["domains"][AD].update(user_limit="many"),
    ),
    Fault(
        "a bound address used twice",
        "bound-ip-twice",
        f'dirbridge.toml: domains."{OD}": bound_ip',
        AD,
        lambda config: [
            table.update(bound_ip="192.0.2.10") for table in config["domains"].values()
        ],
    ),
    Fault(
        "two primary domains",
        "two-primary-domains",
        f'dirbridge.toml: domains."{OD}": primary',
        f"{AD} and {OD}",
        lambda config: [
            table.update(primary=True) for table in config["domains"].values()
        ],
    ),
    Fault(
        "a server that is no server",
        "wrong-value",
        f'dirbridge.toml: domains."{AD}".directory: server',
        "server",
        lambda config: _directory(config).update(server="ldaps://dc1/"),
    ),
    Fault(
        "a filter that is no filter",
        "wrong-value",
        f'dirbridge.toml: domains."{AD}".directory: filter',
        "filter",
        lambda config: _directory(config).update(filter="(department=Sales"),
    ),
    Fault(
        "a base that is no DN",
        "wrong-value",
        f'dirbridge.toml: domains."{AD}".directory: base',
        "base",
        lambda config: _directory(config).update(base="the staff"),
    ),
    Fault(
        "clear text that nobody admits",
        "cleartext",
        f'dirbridge.toml: domains."{AD}".directory: security',
        "clear text",
        lambda config: _directory(config).update(security="none"),
    ),
    Fault(
        "a password within the url of the database",
        "wrong-value",
        "dirbridge.toml: store: url",
        "password",
        lambda config: config["store"].update(url="postgresql://me:sesame@db/x"),
    ),
)


@pytest.fixture
def unbuilt(folder: Path) -> Json:
    """A configuration that needs no server, for what is found before one is asked."""
    directory = {
        "type": "active-directory",
        "server": "dc1.corp.example.com",
        "username": "svc@corp.example.com",
        "password": {"file": str(folder / "secret")},
    }
    (folder / "secret").write_text("x\n")
    return {
        "store": {"url": f"sqlite:///{folder}/dirbridge.db"},
        "domains": {
            AD: {"primary": True, "directory": dict(directory)},
            OD: {"directory": {**directory, "server": "dc1.other.example.net"}},
        },
    }


def offline(config: Json, folder: Path) -> Site:
    return Site(None, folder, config)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_fault_in_the_configuration(
    fault: Fault, unbuilt: Json, folder: Path
) -> None:
    fault.make(unbuilt)
    done = offline(unbuilt, folder).run("check")
    assert done.code == 2
    problem = done.problem(fault.code)
    assert problem["where"] == fault.where
    assert fault.text in problem["text"]
    assert "sesame" not in done.out
    assert not (folder / "dirbridge.db").exists()


def test_all_faults_are_told_at_once(unbuilt: Json, folder: Path) -> None:
    for fault in FAULTS[:4]:
        fault.make(unbuilt)
    done = offline(unbuilt, folder).run("check")
    assert {fault.code for fault in FAULTS[:4]} <= set(done.codes)


def test_faults_in_words_have_the_place_and_the_mend(
    unbuilt: Json, folder: Path
) -> None:
    FAULTS[0].make(unbuilt)
    done = offline(unbuilt, folder).run("check", json=False)
    assert done.code == 2
    assert FAULTS[0].where in done.err
    assert 'next: Write "backup_server"' in done.err
    assert "Traceback" not in done.err


def test_a_configuration_that_is_missing(folder: Path) -> None:
    site = offline({}, folder)
    done = site.run("check", written=True)
    assert done.code == 2
    assert done.problem("missing-file")["where"] == str(site.file)


def test_a_configuration_that_is_not_utf_8(unbuilt: Json, folder: Path) -> None:
    site = offline(unbuilt, folder)
    site.write()
    site.file.write_bytes(site.file.read_bytes() + b"# M\xfcller\n")
    done = site.run("check", written=True)
    assert done.code == 2
    problem = done.problem("not-utf-8")
    assert f"line {len(site.file.read_bytes().splitlines())}" in problem["where"]


def test_a_configuration_that_is_no_toml(unbuilt: Json, folder: Path) -> None:
    site = offline(unbuilt, folder)
    site.write()
    site.file.write_text(site.file.read_text() + 'password = "sesame\n')
    done = site.run("check", written=True)
    assert done.code == 2
    assert "line" in done.problem("toml-syntax")["where"]
    assert "sesame" not in done.out


@pytest.mark.parametrize("words", [("sync",), ("mappings", "lint")])
def test_a_transform_that_is_not_known(
    words: tuple[str, ...], unbuilt: Json, folder: Path
) -> None:
    site = offline(unbuilt, folder)
    text = (ROOT / "mappings/active-directory.toml").read_text()
    (folder / "mappings").mkdir()
    (folder / "mappings/active-directory.toml").write_text(
        text.replace('"smtp-primary"', '"smtp-primery"', 1)
    )
    done = site.run(*words)
    assert done.code == 2
    (problem,) = done.problems
    assert "mappings/active-directory.toml" in problem["where"]
    assert "account.primary_address" in problem["where"]
    assert "smtp-primery" in problem["text"]
    assert "smtp-primary" in problem["next"]


def test_a_secret_that_is_missing(site: Site) -> None:
    before = site.accounts(OD)
    path = Path(site.directory(AD)["password"]["file"])
    path.unlink()

    done = site.sync()

    assert done.code == 2
    problem = done.problem("missing-secret")
    assert str(path) in problem["text"]
    assert AD in problem["where"]
    # The other domain is synced all the same.
    assert [run["domain"] for run in done.data["runs"]] == [OD]
    assert site.accounts(OD) == before
    assert site.login(f"carla@{OD}", site.bed.password("carla")).code == 0
    # Checking a password needs no service account.
    assert site.login(f"bob@{AD}", site.bed.password("bob")).code == 0


def other_domain_is_well(site: Site, done: Done) -> None:
    """AD was synced in the same run, and its people log in."""
    assert [run["domain"] for run in done.data["runs"]] == [AD]
    assert site.login(f"bob@{AD}", site.bed.password("bob")).code == 0


def test_a_base_that_is_not_there(site: Site) -> None:
    before = site.accounts(OD)
    site.directory(OD)["base"] = f"cn=nowhere,{cast.OD_BASE}"

    done = site.sync()

    assert done.code == 4
    problem = done.problem("base-missing")
    assert "od.example.com" in problem["where"]
    assert "cn=nowhere" in problem["text"]
    assert site.accounts(OD) == before
    other_domain_is_well(site, done)


def test_a_base_of_another_directory(site: Site) -> None:
    site.directory(OD)["base"] = "cn=users,dc=elsewhere,dc=example,dc=net"
    done = site.sync(OD)
    assert done.code == 4
    assert cast.OD_BASE in done.problem("base-mismatch")["text"]


@pytest.mark.parametrize(
    ("certificate", "code"),
    [
        (ca.WRONG_NAME, "certificate-name"),
        (ca.EXPIRED, "certificate-expired"),
        (ca.FOREIGN, "certificate-untrusted"),
    ],
)
def test_a_certificate_that_is_wrong(
    site: Site, bed: Bed, od1: Od1, certificate: str, code: str
) -> None:
    del site.directory(OD)["backup_server"]
    before = site.accounts(OD)
    od1.use_certificate(certificate)

    done, check = site.sync(), site.run("check")
    login = site.login(f"carla@{OD}", bed.password("carla"))

    assert done.code == 4
    assert "od.example.com" in done.problem(code)["where"]
    assert site.accounts(OD) == before
    assert check.code == 1
    assert check.problem(code)["where"].startswith("od.example.com")
    assert login.code == 4
    assert login.data["verdict"] == "unavailable"
    other_domain_is_well(site, done)


@pytest.mark.parametrize("off", ["+10m", "-10m"])
def test_a_clock_ten_minutes_off(
    site: Site, bed: Bed, everything: None, off: str
) -> None:
    """Kerberos cannot work then: it is told as the clock's fault, never as a no."""
    use_kerberos(site, AD)
    use_kerberos(site, OD)
    site.program = ("faketime", "-f", off, *site.program)

    for name, password in ((f"bob@{AD}", "bob"), (f"carla@{OD}", "carla")):
        login = site.login(name, bed.password(password))
        assert login.code == 4, login.out
        assert login.data["verdict"] == "unavailable"
        problem = login.problem("clock")
        assert "clock" in problem["text"]
        assert login.codes == ["clock"]

    check = site.run("check")
    assert check.code == 1
    # A bed that was built a moment ago has certificates that are not valid yet for
    # a clock that is slow; then that is told, with the clock in its mend.
    clocks = [one for one in check.problems if "clock" in one["code"] + one["next"]]
    assert {"dc1.corp.example.com:636", "dc2.corp.example.com:636"} <= {
        one["where"] for one in clocks
    }
    realms = {one["where"] for one in clocks if one["code"] == "clock"}
    if off == "+10m":
        assert "dc1.corp.example.com:636" in realms
        assert site.sync(OD).code == 0  # a sync needs no Kerberos


@pytest.mark.parametrize("domain", [AD, OD])
@pytest.mark.parametrize("password", ["", "\0", "\r", "\x01\x02"])
def test_an_empty_password_is_refused_here(
    site: Site, domain: str, password: str
) -> None:
    """An LDAP bind with an empty password would be let in as anonymous."""
    name = {AD: f"bob@{AD}", OD: f"carla@{OD}"}[domain]
    done = site.login(name, password)
    assert done.code == 1
    assert done.data["server"] == ""
    assert done.codes[0] in {"empty-password", "bad-password"}
    assert done.problems[0]["next"].endswith(".")


@pytest.mark.parametrize("name", ["", "  ", "anna\nbob", "a" * 100_000, "\x7f"])
def test_a_name_that_is_none_is_refused(site: Site, name: str) -> None:
    done = site.login(name, "x")
    assert done.code == 1
    assert done.codes == ["bad-name"]
    assert len(done.out) < 10_000 + len(name)
    assert site.run("explain", name).code == 1


@pytest.fixture
def both_hooks(site: Site) -> Site:
    site.config["hooks"].append(
        {"type": "dovecot-auth", "socket": str(site.folder / "auth")}
    )
    return site


def test_bad_bytes_on_the_wire_harm_nobody_else(both_hooks: Site, bed: Bed) -> None:
    site = both_hooks
    with site.serving("--no-sync") as serve:
        for name in (b"an\xffna@example.com", b"a" * 65_000, b"\0", b"bob\xc3"):
            assert ask(site.saslauthd, name, b"x") in {"NO", "closed"}
        for password in (b"", b"\0", b"\xff\xfe"):
            assert ask(site.saslauthd, "bob@example.com", password) == "NO"
        assert ask(site.saslauthd, "bob@example.com", b"p" * 65_000) == "closed"
        _a_mebibyte(site.folder / "auth", b"AUTH\t1\tPLAIN\tservice=smtp\tresp=")
        _a_mebibyte(site.saslauthd, b"\xff\xff")
        _half_a_request(site.saslauthd)
        assert ask(site.saslauthd, "bob@example.com", bed.password("bob")) == "OK"
        assert serve.process.poll() is None
        assert "Traceback" not in serve.log
        assert all(line.isprintable() for line in serve.log.splitlines())


def _a_mebibyte(path: Path, start: bytes) -> None:
    """A name of one mebibyte: no answer, and the connection is closed."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.settimeout(20)
        client.connect(str(path))
        received = b""
        try:
            client.sendall(start + b"A" * 1024 * 1024)
            while chunk := client.recv(4096):
                received += chunk
        except ConnectionError:
            pass
        assert b"OK" not in received.replace(b"COOKIE", b"")


def _half_a_request(path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.settimeout(20)
        client.connect(str(path))
        client.sendall(counted("bob@example.com") + b"\0")
        client.shutdown(socket.SHUT_WR)
        assert answer(client) == "closed"


def test_values_that_are_not_what_their_syntax_says(
    site: Site, changeable_od: Od1
) -> None:
    """The value is left out with a note; the person and everybody else are there."""
    carla = cast.od("carla").dn
    changeable_od.modify(ldif.modify(carla, [("mail", "not an address")]))
    broken = "<plist><dict><key>kUserDiskQuota</key>"
    pairs = [("apple-user-mailattribute", broken)]
    changeable_od.modify(ldif.modify(cast.od("fiona").dn, pairs))
    anna = cast.od("anna").dn
    pairs = [("authAuthority", ";Kerberosv5;;"), ("authAuthority", "nonsense")]
    changeable_od.modify(ldif.modify(anna, pairs))

    done = site.sync()

    assert done.code == 0, done.out
    notes = [
        (note["entry"], note["note"])
        for run in done.data["runs"]
        for note in run["notes"]
    ]
    (said,) = [note for entry, note in notes if entry == carla]
    assert "not an address" in said
    assert said.endswith("Mend it in the directory.")
    assert any(entry == cast.od("fiona").dn for entry, _ in notes)
    accounts = site.accounts(OD)
    assert accounts[f"carla@{OD}"]["primary_address"] == f"carla@{OD}"
    assert accounts[f"fiona@{OD}"]["state"] == "active"
    assert accounts[f"anna@{OD}"]["state"] == "active"


def test_a_value_that_is_not_utf_8(site: Site, changeable_od: Od1) -> None:
    """Through a mapping that takes text from an attribute of plain octets."""
    text = (ROOT / "mappings/open-directory.toml").read_text()
    mappings = site.folder / "mappings"
    mappings.mkdir()
    (mappings / "open-directory.toml").write_text(
        text.replace('attribute = "title"', 'attribute = "audio"')
    )
    carla = cast.od("carla").dn
    changeable_od.modify(ldif.modify(carla, [("audio", b"M\xfcller")]))

    done = site.sync()

    assert done.code == 0, done.out
    (said,) = [
        note["note"]
        for run in done.data["runs"]
        for note in run["notes"]
        if note["entry"] == carla
    ]
    assert "audio" in said
    assert "UTF-8" in said
    assert "title" not in site.account(f"carla@{OD}")
    assert [run["domain"] for run in done.data["runs"]] == [AD, OD]


def test_an_entry_that_cannot_be_mapped_blocks_nobody(
    site: Site, changeable_od: Od1
) -> None:
    text = (ROOT / "mappings/open-directory.toml").read_text()
    mappings = site.folder / "mappings"
    mappings.mkdir()
    (mappings / "open-directory.toml").write_text(
        text.replace(
            'sources = [{ attribute = "cn", transforms = ["trim"] }]',
            'sources = [{ attribute = "description" }]\nrequired = true',
        )
    )
    pairs = [("description", "somebody")]
    changeable_od.modify(ldif.modify(cast.od("carla").dn, pairs))

    # That so many cannot be mapped any more is stopped, and shown to a person.
    assert site.sync(OD).code == 3
    site.config["domains"][OD]["limits"] = {"share": 1.0}
    first, second = site.sync(OD), site.sync(OD)

    assert first.code == 1
    assert first.codes.count("unmapped") == len(site.accounts(OD)) - 1
    problem = next(one for one in first.problems if one["code"] == "unmapped")
    assert "display name" in problem["text"]
    assert second.code == 0  # known by now
    assert site.account(f"carla@{OD}")["display_name"] == "somebody"
    # They are still there, so nobody vanished.
    assert {one["state"] for one in site.accounts(OD).values()} == {
        "active",
        "disabled",
    }
