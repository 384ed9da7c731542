"""Which ways to reach a server and to bind go together."""

from __future__ import annotations

from pathlib import Path

import pytest

from dirbridge.config.connection_rules import is_nt_name, is_principal
from dirbridge.config.loading import Configuration, load
from dirbridge.config.settings import Bind, DirectorySettings, Security
from dirbridge.errors import ConfigError, Problem
from dirbridge.ldap.access import Access
from dirbridge.model.names import DomainName

HEAD = """
[domains."company.com".directory]
type = "active-directory"
server = "dc1.corp.company.com"
"""
PASSWORD = 'password = { file = "secret" }\n'
USER = 'username = "dirbridge@corp.company.com"\n'
KEYTAB = 'keytab = { file = "dirbridge.keytab" }\n'
PIN = f'certificate_pin = "sha256:{"ab" * 32}"\n'
CERT = 'cert_file = "client.pem"\nkey_file = "client.key"\n'


def loaded(folder: Path, lines: str, login: str = "") -> Configuration:
    path = folder / "dirbridge.toml"
    path.write_text(HEAD + lines + login)
    return load(path)


def problems_of(folder: Path, lines: str, login: str = "") -> list[Problem]:
    with pytest.raises(ConfigError) as caught:
        loaded(folder, lines, login)
    return list(caught.value.problems)


GOOD = {
    "sealed, Kerberos by password": 'security = "sealed"\n' + USER + PASSWORD,
    "sealed, NTLM": 'security = "sealed"\nusername = "CORP\\\\dirbridge"\n' + PASSWORD,
    "sealed, keytab": 'security = "sealed"\nbind = "kerberos"\n' + USER + KEYTAB,
    "keytab inside TLS": 'bind = "kerberos"\n' + USER + KEYTAB,
    "keytab inside StartTLS": 'security = "starttls"\nbind = "kerberos"\n'
    + USER
    + KEYTAB,
    "client certificate": 'bind = "external"\n' + CERT,
    "client certificate beside a password": USER + PASSWORD + CERT,
    "pin": USER + PASSWORD + PIN,
    "old TLS": USER + PASSWORD + "tls_legacy = true\n",
    "an address with TLS": USER + PASSWORD + 'backup_server = "192.0.2.1"\n',
}


@pytest.mark.parametrize("case", GOOD)
def test_what_goes_together(case: str, tmp_path: Path) -> None:
    loaded(tmp_path, GOOD[case])


# The lines of the table; the key that is told, a part of the mend.
BAD = {
    "no name": (PASSWORD, "username", "account that may read"),
    "no password": (USER, "password", "secrets/NAME"),
    "no keytab": ('bind = "kerberos"\n' + USER, "keytab", ".keytab"),
    "a keytab for nothing": (USER + PASSWORD + KEYTAB, "keytab", '"kerberos"'),
    "a password for nothing": (
        'bind = "kerberos"\n' + USER + PASSWORD + KEYTAB,
        "password",
        '"simple"',
    ),
    "no principal": (
        'bind = "kerberos"\nusername = "cn=x,dc=company,dc=com"\n' + KEYTAB,
        "username",
        "dirbridge@CORP.COMPANY.COM",
    ),
    "sealed by a DN": (
        'security = "sealed"\nusername = "cn=x,dc=company,dc=com"\n' + PASSWORD,
        "username",
        "NTLM",
    ),
    "Kerberos in clear": (
        'bind = "kerberos"\nsecurity = "none"\nallow_cleartext_passwords = true\n'
        + USER
        + KEYTAB,
        "bind",
        '"sealed"',
    ),
    "sealed by certificate": (
        'bind = "external"\nsecurity = "sealed"\n',
        ("bind", "cert_file", "key_file"),
        '"ldaps"',
    ),
    "external in clear": (
        'bind = "external"\nsecurity = "none"\nallow_cleartext_passwords = true\n'
        + CERT,
        "bind",
        '"ldaps"',
    ),
    "external without its files": (
        'bind = "external"\n',
        ("cert_file", "key_file"),
        "client.pem",
    ),
    "a certificate without its key": (
        USER + PASSWORD + 'cert_file = "client.pem"\n',
        "key_file",
        "client.key",
    ),
    "a key without its certificate": (
        USER + PASSWORD + 'key_file = "client.key"\n',
        "cert_file",
        "client.pem",
    ),
    "sealed with a pin": (
        'security = "sealed"\n' + USER + PASSWORD + PIN,
        "certificate_pin",
        '"starttls"',
    ),
    "sealed, with passwords in clear text": (
        'security = "sealed"\nallow_cleartext_passwords = true\n' + USER + PASSWORD,
        "allow_cleartext_passwords",
        "Take",
    ),
    "a pin and an authority": (
        USER + PASSWORD + PIN + 'ca_file = "ca.pem"\n',
        "certificate_pin",
        "Keep one",
    ),
    "old TLS without TLS": (
        'security = "sealed"\ntls_legacy = true\n' + USER + PASSWORD,
        "tls_legacy",
        '"ldaps"',
    ),
    "sealed with an address": (
        'security = "sealed"\nbackup_server = "192.0.2.1:389"\n' + USER + PASSWORD,
        "backup_server",
        "DNS name",
    ),
    "Kerberos inside TLS with an address": (
        'bind = "kerberos"\nbackup_server = "2001:db8::1"\n' + USER + KEYTAB,
        "backup_server",
        "DNS name",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_what_does_not_go_together(case: str, tmp_path: Path) -> None:
    lines, keys, mend = BAD[case]
    problems = problems_of(tmp_path, lines)
    expected = {keys} if isinstance(keys, str) else set(keys)
    assert {each.where.rpartition(": ")[2] for each in problems} == expected
    assert any(mend in each.next for each in problems)
    for each in problems:
        assert each.text.endswith((".", ")"))
        assert each.next.endswith((".", ")."))


def test_no_password_of_a_person_goes_over_what_is_sealed_later(
    tmp_path: Path,
) -> None:
    lines = 'security = "sealed"\n' + USER + PASSWORD
    login = '[domains."company.com".login]\nmethods = ["kerberos", "ldap-bind"]\n'
    (problem,) = problems_of(tmp_path, lines, login)
    assert problem.where.endswith('domains."company.com".login: methods')
    assert '"kerberos"' in problem.next
    loaded(tmp_path, lines, login.replace(', "ldap-bind"', ""))


TWO = """
[[domains."company.com".directory]]
type = "active-directory"
server = "dc1.corp.company.com"
security = "sealed"
username = "dirbridge@corp.company.com"
password = { file = "secret" }

[[domains."company.com".directory]]
name = "other"
type = "ldap"
server = "ldap.company.com"
suffix = "dc=company,dc=com"
username = "cn=dirbridge"
password = { file = "secret" }
security = "SECURITY"

[domains."company.com".login]
methods = ["kerberos", "ldap-bind"]
"""


def test_passwords_go_to_a_directory_with_tls_beside_a_sealed_one(
    tmp_path: Path,
) -> None:
    path = tmp_path / "dirbridge.toml"
    path.write_text(TWO.replace("SECURITY", "ldaps"))
    domain = load(path).settings.domains[DomainName("company.com")]
    takes = [Access.of("x", each).takes_passwords for each in domain.directory]
    assert takes == [False, True]
    text = TWO.replace("SECURITY", "sealed").replace("cn=dirbridge", "d@company.com")
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load(path)
    assert [each.code for each in caught.value.problems] == ["contrary-keys"]


def test_a_sealed_connection_never_takes_a_password() -> None:
    access = Access(domain="x", security=Security.SEALED, cleartext=True)
    assert not access.takes_passwords


def test_a_broken_key_is_told_once(tmp_path: Path) -> None:
    lines = 'bind = "kerberos"\nkeytab = "dirbridge.keytab"\n' + USER
    (problem,) = problems_of(tmp_path, lines)
    assert problem.where.endswith("keytab")


def test_names_of_service_accounts() -> None:
    assert is_nt_name("CORP\\dirbridge")
    assert is_principal("dirbridge@corp.company.com")
    assert is_principal("host/mail.company.com@CORP.COMPANY.COM")
    for name in ("dirbridge", "", "@", "a@", "@b.com", "cn=a@b,dc=c", "a\\b@c.com"):
        assert not is_principal(name), name
    for name in ("dirbridge", "", "\\", "a\\", "\\b", "a\\b\\c", "a\\b@c"):
        assert not is_nt_name(name), name


def test_the_new_keys_arrive(tmp_path: Path) -> None:
    lines = 'security = "starttls"\nbind = "external"\ntls_legacy = true\n' + CERT + PIN
    domains = loaded(tmp_path, lines).settings.domains
    directory: DirectorySettings = domains[DomainName("company.com")].directory[0]
    assert (directory.security, directory.bind) == (Security.STARTTLS, Bind.EXTERNAL)
    assert directory.cert_file == tmp_path / "client.pem"
    assert directory.key_file == tmp_path / "client.key"
    assert directory.tls_legacy
    assert directory.certificate_pin == (f"sha256:{'ab' * 32}",)


def test_a_pin_for_each_server(tmp_path: Path) -> None:
    pins = f"sha256:{'ab' * 32}", f"sha256:{'cd' * 32}"
    lines = USER + PASSWORD + f"certificate_pin = {list(pins)}\n"
    directory = loaded(tmp_path, lines).settings.domains[DomainName("company.com")]
    assert directory.directory[0].certificate_pin == pins
    wrong = USER + PASSWORD + f'certificate_pin = ["{pins[0]}", "sha256:ab"]\n'
    (problem,) = problems_of(tmp_path, wrong)
    assert "certificate_pin" in problem.where


@pytest.mark.parametrize("key", ["connect_timeout", "read_timeout"])
def test_no_time_at_all_is_refused(key: str, tmp_path: Path) -> None:
    lines = USER + PASSWORD + f'{key} = "0s"\n'
    (problem,) = problems_of(tmp_path, lines)
    assert problem.where.endswith(key)
    assert "3s" in problem.text + problem.next
