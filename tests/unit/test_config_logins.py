"""What a domain's login table and the guard's may say."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from dirbridge.config.loading import load
from dirbridge.config.login_rules import idle_keys
from dirbridge.config.settings import Settings
from dirbridge.errors import ConfigError, Problem
from dirbridge.model.names import DomainName

COMPANY = DomainName("company.com")
CONFIG = """
[domains."company.com".directory]
type = "active-directory"
server = "dc1.corp.company.com"
username = "dirbridge@corp.company.com"
password = {{ file = "secret" }}
[domains."company.com".login]
{login}
[guard]
{guard}
"""


def loaded(folder: Path, login: str = "", guard: str = "") -> Settings:
    path = folder / "dirbridge.toml"
    path.write_text(CONFIG.format(login=login, guard=guard))
    return load(path).settings


def problem_of(folder: Path, login: str = "", guard: str = "") -> Problem:
    with pytest.raises(ConfigError) as caught:
        loaded(folder, login, guard)
    (problem,) = caught.value.problems
    return problem


@pytest.mark.parametrize(
    ("line", "text", "mend"),
    [
        ("methods = []", "nobody could log in", 'Leave "methods" out'),
        ('methods = ["ldap-bind", "local", "ldap-bind"]', "twice", "Keep one"),
        ('cache = "2h"', "too much", "an hour"),
        ('offline_logins = "0s"', "too little", "leave it out"),
        ('offline_logins = "91d"', "too much", "90d"),
        ("wrong_tries = 0", "too little", "such as 4"),
        ("wrong_tries = 10001", "too much", "such as 4"),
        ('wrong_window = "0s"', "too little", "leave it out"),
        ('wrong_window = "31d"', "too much", '"30m"'),
    ],
)
def test_what_no_login_table_may_say(
    line: str, text: str, mend: str, tmp_path: Path
) -> None:
    found = problem_of(tmp_path, login=line)
    assert (found.code, text in found.text, mend in found.next) == (
        "wrong-value",
        True,
        True,
    )
    assert line.partition(" ")[0] in found.where


@pytest.mark.parametrize(
    ("line", "mend"),
    [
        ('address_window = "0s"', "accounts_per_address = 0"),
        ('address_window = "25h"', "a day"),
        ("accounts_per_address = -1", "0 for no limit"),
        ("accounts_per_address = 1001", "1000"),
    ],
)
def test_what_the_guards_table_may_not_say(
    line: str, mend: str, tmp_path: Path
) -> None:
    found = problem_of(tmp_path, guard=line)
    assert (found.code, mend in found.next) == ("wrong-value", True)


@pytest.mark.parametrize("off", ["0", '"0"', '"0s"'])
def test_a_cache_of_no_time_is_none(off: str, tmp_path: Path) -> None:
    settings = loaded(tmp_path, login=f"cache = {off}")
    assert settings.domains[COMPANY].login.cache == timedelta()


def test_the_ends_of_what_is_allowed(tmp_path: Path) -> None:
    loaded(
        tmp_path,
        'cache = "1h"\noffline_logins = "90d"\n'
        'wrong_tries = 10000\nwrong_window = "30d"',
        'address_window = "24h"\naccounts_per_address = 0',
    )


@pytest.mark.parametrize(
    ("line", "method"),
    [
        ("ntlm = false", "nt-domain"),
        ("password_server_cram = true", "password-server"),
        ("password_server_port = 106", "password-server"),
        ('offline_logins = "7d"', "kerberos"),
        ("wrong_tries = 3", "ldap-bind"),
    ],
)
def test_a_key_that_no_method_looks_at_is_told(
    line: str, method: str, tmp_path: Path
) -> None:
    settings = loaded(tmp_path, login=line)
    (found,) = idle_keys(settings, {COMPANY: {"local"}})
    key = line.partition(" ")[0]
    assert (found.outcome, found.code, key in found.where) == (
        "warning",
        "idle-key",
        True,
    )
    assert method in found.next
    assert not list(idle_keys(settings, {COMPANY: {"local", method}}))
