"""`kerberos_file`: the realm must be the default_realm of edu.mit.Kerberos."""

from __future__ import annotations

from pathlib import Path

import pytest

from dirbridge.config.inspection import inspect, inspect_kerberos_file
from dirbridge.config.loading import load
from dirbridge.model.names import RealmName

COMPANY = RealmName("COMPANY.COM")

CONFIGURATION = """
[domains."company.com".directory]
type = "open-directory-kerberos"
server = "mail1.company.com"
username = "uid=diradmin,cn=users,dc=mail1,dc=company,dc=com"
password = { env = "SECRET" }
[domains."company.com".login]
kerberos_file = "edu.mit.Kerberos"
"""


def problems(folder: Path, text: str, realm: RealmName | None = COMPANY) -> list[str]:
    path = folder / "edu.mit.Kerberos"
    path.write_text(text)
    found = inspect_kerberos_file(path, realm, "x")
    assert all(each.next.endswith(".") for each in found)
    return [each.code for each in found]


def test_the_same_realm(tmp_path: Path) -> None:
    text = "[libdefaults]\n\tdefault_realm = COMPANY.COM\n"
    assert problems(tmp_path, text) == []


@pytest.mark.parametrize(
    "line",
    ["default_realm = OTHER.COM", "default_realm = LKDC:SHA1.AB", "", "default_realm =",
     "default_realm = company.com"],
)  # fmt: skip
def test_another_realm(tmp_path: Path, line: str) -> None:
    assert problems(tmp_path, f"[libdefaults]\n{line}\n") == ["realm-mismatch"]


def test_no_realm_here(tmp_path: Path) -> None:
    text = "[libdefaults]\ndefault_realm = COMPANY.COM\n"
    assert problems(tmp_path, text, None) == ["realm-mismatch"]


def test_a_realm_in_small_letters_is_to_be_mended_there(tmp_path: Path) -> None:
    path = tmp_path / "krb5.conf"
    path.write_text("[libdefaults]\ndefault_realm = company.com\n")
    (problem,) = inspect_kerberos_file(path, COMPANY, "x")
    assert "capitals" in problem.text
    assert "kerberos_realm" not in problem.next


def test_a_file_that_is_none(tmp_path: Path) -> None:
    assert problems(tmp_path, "bplist00") == ["bad-kerberos-file"]
    (problem,) = inspect_kerberos_file(tmp_path / "gone", COMPANY, "x")
    assert problem.code == "missing-file"
    (problem,) = inspect_kerberos_file(tmp_path, COMPANY, "x")
    assert problem.code == "unreadable-file"


def test_check_looks_at_it(tmp_path: Path) -> None:
    """Left out, the realm is made of the server's name."""
    (tmp_path / "dirbridge.toml").write_text(CONFIGURATION)
    file = tmp_path / "edu.mit.Kerberos"
    configuration = load(tmp_path / "dirbridge.toml")
    for realm, codes in (
        ("MAIL1.COMPANY.COM", []),
        ("COMPANY.COM", ["realm-mismatch"]),
    ):
        file.write_text(f"[libdefaults]\ndefault_realm = {realm}\n")
        found = inspect(configuration, {"SECRET": "x"})
        assert [each.code for each in found] == codes
    assert found[0].where.endswith("kerberos_file")
    assert "COMPANY.COM" in found[0].text
