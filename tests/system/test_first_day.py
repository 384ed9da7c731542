"""From nothing to a login, walked as README says it."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from testbed import cast
from testbed.bed import Bed
from testbed.postfix import Postfix, smtp_login
from testbed.samba import Dc1
from testbed.slapd import Od1
from tests.system.bridge import AD, OD, Done, Site


@pytest.fixture
def empty(bed: Bed, folder: Path) -> Site:
    """A folder with nothing in it: `init` writes what the others then read."""
    return Site(bed, folder)


def run(site: Site, *words: str, stdin: str = "", json: bool = True) -> Done:
    return site.run(*words, stdin=stdin, json=json, written=True)


def init_ad(site: Site, *more: str, stdin: str | None = None) -> Done:
    password = site.bed.password("svc-dirbridge") + "\n"
    return run_init(
        site,
        *("--domain", AD),
        *("--server", "dc1.corp.example.com", "--server", "dc2.corp.example.com"),
        *("--directory-domain", cast.AD_DOMAIN),
        *("--username", "svc-dirbridge@corp.example.com"),
        *more,
        stdin=password if stdin is None else stdin,
    )


def run_init(site: Site, *words: str, stdin: str) -> Done:
    return run(
        site,
        "init",
        *("--ca-file", str(site.bed.ca_file)),
        *("--store", f"sqlite:///{site.folder}/dirbridge.db"),
        *("--socket", str(site.folder / "postfix/queue/private/dirbridge")),
        *("--output", str(site.folder)),
        *words,
        stdin=stdin,
    )


@pytest.mark.needs_postfix
def test_the_way_from_nothing_to_a_login(
    empty: Site, bed: Bed, everything: None
) -> None:
    site = empty
    done = init_ad(site)
    assert done.code == 0, done.out
    assert done.data["config"] == str(site.file)
    _files_are_private(site, bed)

    check = run(site, "check")
    assert check.code == 0, check.out

    dry = run(site, "sync", "--dry-run")
    assert dry.code == 1  # two people share an address
    assert run(site, "sync").code == 1
    listed = run(site, "accounts", "list")
    assert len(listed.data["accounts"]) > len(cast.CROWD)

    login = run(site, "login", f"anna@{AD}", stdin=bed.password("anna", "ad") + "\n")
    assert login.code == 0, login.out
    assert login.data["method"] == "ldap-bind"  # there is no keytab yet
    assert run(site, "explain", f"anna@{AD}").code == 0
    _connects_postfix(site, bed)
    _keeps_a_way_in(site, bed)


def _files_are_private(site: Site, bed: Bed) -> None:
    secret = site.folder / "secrets" / AD
    assert stat.S_IMODE(secret.stat().st_mode) == 0o600
    text = site.file.read_text()
    assert bed.password("svc-dirbridge") not in text
    assert text.count("#") > 5  # commented
    assert f'[domains."{AD}".directory]' in text


def _connects_postfix(site: Site, bed: Bed) -> None:
    """The printed lines, in a real Postfix, log Anna in."""
    shown = run(site, "connect", "postfix")
    lines = [line for line in shown.data["lines"] if line and line[0] != "#"]
    settings = dict(line.split(" = ", 1) for line in lines)
    assert settings["smtpd_sasl_type"] == "dovecot"
    # The bed's Postfix has no certificate; passwords stay on this machine.
    del settings["smtpd_tls_auth_only"]
    postfix = Postfix(
        site.folder / "postfix",
        ("127.0.1.10:2525",),
        settings.pop("smtpd_sasl_path"),
        settings=settings,
    )
    postfix.prepare()
    with site.serving("--no-sync", written=True):
        try:
            postfix.start()
            password = bed.password("anna", "ad")
            code, text = smtp_login("127.0.1.10:2525", "anna", password)
            assert code == 235, text
            assert smtp_login("127.0.1.10:2525", "anna", "wrong")[0] == 535
        finally:
            postfix.stop()


def _keeps_a_way_in(site: Site, bed: Bed) -> None:
    added = run(site, "accounts", "add", "--admin", "postmaster", stdin="a way in\n")
    assert added.code == 0
    bed.dc1.stop()
    bed.dc2.stop()
    assert run(site, "login", "postmaster", stdin="a way in\n").code == 0
    assert run(site, "login", "postmaster", stdin="another\n").code == 1
    anna = run(site, "login", f"anna@{AD}", stdin=bed.password("anna", "ad") + "\n")
    assert anna.code == 4
    assert run(site, "sync").code == 4
    assert run(site, "status").code == 1  # nobody serves


def test_open_directory_too(empty: Site, bed: Bed, od1: Od1) -> None:
    done = run_init(
        empty,
        *("--domain", OD, "--type", "open-directory-kerberos"),
        *("--server", "od.example.com"),
        *("--username", f"uid=diradmin,{cast.OD_USERS}"),
        stdin=bed.password("diradmin", "od") + "\n",
    )
    assert (empty.folder / "dirbridge.toml").exists()
    assert "keytab" in done.out or done.code == 0
    assert run(empty, "sync").code == 1
    login = run(empty, "login", "carla", stdin=bed.password("carla") + "\n")
    assert login.code == 0, login.out


def test_servers_are_found_by_dns(empty: Site, bed: Bed, dc1: Dc1, dc2: Dc1) -> None:
    done = run_init(
        empty,
        *("--domain", AD, "--directory-domain", cast.AD_DOMAIN),
        *("--username", "svc-dirbridge@corp.example.com"),
        stdin=bed.password("svc-dirbridge") + "\n",
    )
    assert done.code == 0, done.out
    text = empty.file.read_text()
    assert "dc1.corp.example.com" in text
    assert "dc2.corp.example.com" in text
    assert 'type = "active-directory"' in text


def test_nothing_is_overwritten(empty: Site, bed: Bed, dc1: Dc1) -> None:
    assert init_ad(empty).code in {0, 1}
    before = {path: path.read_bytes() for path in _files(empty)}

    again = init_ad(empty, stdin="another password\n")

    assert again.code == 2
    assert again.problem("exists")["where"] == str(empty.file)
    after = {path: path.read_bytes() for path in _files(empty)}
    assert after == before


def _files(site: Site) -> list[Path]:
    return [path for path in site.folder.rglob("*") if path.is_file()]


def test_a_secret_that_is_there_already_is_not_overwritten(
    empty: Site, bed: Bed, dc1: Dc1
) -> None:
    secret = empty.folder / "secrets" / AD
    secret.parent.mkdir()
    secret.write_text("mine\n")
    done = init_ad(empty)
    assert done.code == 2
    assert done.problem("exists")["where"] == str(secret)
    assert secret.read_text() == "mine\n"
    assert not empty.file.exists()


@pytest.mark.parametrize("stdin", ["", "\n"])
def test_without_a_password_nothing_is_written(
    empty: Site, dc1: Dc1, stdin: str
) -> None:
    done = init_ad(empty, stdin=stdin)
    assert done.code == 2
    assert done.codes == ["no-password"]
    assert _files(empty) == []


def test_a_wrong_password_is_told_with_the_mend(
    empty: Site, bed: Bed, dc1: Dc1
) -> None:
    done = init_ad(empty, stdin="not the password\n")
    assert done.code == 1
    credentials = [one for one in done.problems if one["code"] == "credentials"]
    assert credentials
    assert credentials[0]["next"]
    assert "not the password" not in done.out


def test_a_domain_that_is_none_is_a_usage_error(empty: Site, bed: Bed) -> None:
    done = init_ad(empty, "--domain", "not a domain")
    assert done.code == 2
    assert done.problems[0]["text"]
    assert _files(empty) == []


def test_a_ca_file_that_is_missing_is_told_with_the_mend(
    empty: Site, bed: Bed, dc1: Dc1
) -> None:
    done = init_ad(empty, "--ca-file", str(empty.folder / "none.pem"))
    assert done.code in {1, 2}
    assert any("none.pem" in one["text"] + one["where"] for one in done.problems)
