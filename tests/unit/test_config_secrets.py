"""Secrets by reference."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from dirbridge.config.inspection import inspect, inspect_keytab
from dirbridge.config.loading import load
from dirbridge.config.secrets import Secrets, read_secret
from dirbridge.config.secrets import inspect as inspect_secret
from dirbridge.config.types import SecretReference
from dirbridge.errors import ConfigError, Problem

WHERE = 'dirbridge.toml: domains."company.com".directory: password'


def problem_of(reference: SecretReference, environment=None) -> Problem:
    with pytest.raises(ConfigError) as caught:
        read_secret(reference, WHERE, environment or {})
    (problem,) = caught.value.problems
    assert problem.where == WHERE
    assert problem.next.endswith(".")
    return problem


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "secret"
    path.write_text("first one\r\nsecond line\n")
    path.chmod(0o600)
    return path


def test_first_line_without_its_end(file: Path) -> None:
    assert read_secret(SecretReference(file=file), WHERE).reveal() == "first one"


def test_read_again_when_the_file_changes(file: Path) -> None:
    secrets = Secrets()
    reference = SecretReference(file=file)
    assert secrets.get(reference, WHERE).reveal() == "first one"
    file.write_text("another\n")
    assert secrets.get(reference, WHERE).reveal() == "another"


def test_read_again_when_the_file_is_replaced(file: Path, tmp_path: Path) -> None:
    secrets = Secrets()
    reference = SecretReference(file=file)
    before = secrets.get(reference, WHERE)
    assert secrets.get(reference, WHERE) is before
    new = tmp_path / "new"
    new.write_text("other one\r\nsecond line\n")
    status = file.stat()
    os.utime(new, ns=(status.st_atime_ns, status.st_mtime_ns))
    new.replace(file)
    assert secrets.get(reference, WHERE).reveal() == "other one"


def test_a_file_that_vanished_is_told(file: Path) -> None:
    secrets = Secrets()
    reference = SecretReference(file=file)
    secrets.get(reference, WHERE)
    file.unlink()
    with pytest.raises(ConfigError):
        secrets.get(reference, WHERE)


def test_environment() -> None:
    reference = SecretReference(env="DIRBRIDGE_PASSWORD")
    secret = read_secret(reference, WHERE, {"DIRBRIDGE_PASSWORD": "x y"})
    assert secret.reveal() == "x y"
    problem = problem_of(reference)
    assert problem.code == "missing-secret"
    assert "DIRBRIDGE_PASSWORD" in problem.text


def test_credential(file: Path) -> None:
    reference = SecretReference(credential="secret")
    environment = {"CREDENTIALS_DIRECTORY": str(file.parent)}
    assert read_secret(reference, WHERE, environment).reveal() == "first one"
    problem = problem_of(reference)
    assert problem.code == "missing-secret"
    assert "LoadCredential=" in problem.next


def test_a_credential_stays_in_its_folder(file: Path) -> None:
    folder = file.parent / "credentials"
    folder.mkdir()
    reference = SecretReference(credential="../secret")
    environment = {"CREDENTIALS_DIRECTORY": str(folder)}
    assert problem_of(reference, environment).code == "missing-secret"


def test_missing_file(tmp_path: Path) -> None:
    problem = problem_of(SecretReference(file=tmp_path / "none"))
    assert problem.code == "missing-secret"
    assert str(tmp_path / "none") in problem.text
    assert "0600" in problem.next


@pytest.mark.parametrize(
    ("content", "code"),
    [(b"", "missing-secret"), (b"\nx", "missing-secret"), (b"\xff", "bad-secret"),
     (b"a\0b", "bad-secret")],
)  # fmt: skip
def test_bad_content(file: Path, content: bytes, code: str) -> None:
    file.write_bytes(content)
    assert problem_of(SecretReference(file=file)).code == code


def test_a_folder(tmp_path: Path) -> None:
    assert problem_of(SecretReference(file=tmp_path)).code == "unreadable-secret"


@pytest.mark.parametrize("mode", [0o604, 0o620, 0o644])
def test_open_to_others(file: Path, mode: int) -> None:
    file.chmod(mode)
    (problem,) = inspect_secret(SecretReference(file=file), WHERE, {})
    assert problem.code == "open-secret"
    assert f"{mode:04o}" in problem.text
    assert "chmod" in problem.next


@pytest.mark.parametrize("mode", [0o600, 0o400, 0o640])
def test_closed_to_others(file: Path, mode: int) -> None:
    file.chmod(mode)
    assert inspect_secret(SecretReference(file=file), WHERE, {}) == ()


def test_keytab(file: Path, tmp_path: Path) -> None:
    reference = SecretReference(file=file)
    (problem,) = inspect_keytab(reference, WHERE)
    assert problem.code == "bad-keytab"
    file.write_bytes(b"\x05\x02rest")
    assert inspect_keytab(reference, WHERE) == ()
    (problem,) = inspect_keytab(SecretReference(file=tmp_path / "none"), WHERE)
    assert problem.code == "missing-file"


def test_all_files_of_a_configuration(tmp_path: Path) -> None:
    (tmp_path / "realms").mkdir()
    (tmp_path / "realms" / "mine.toml").write_text(
        'name = "corp.company.com"\nkeytab = { file = "none.keytab" }\n'
    )
    path = tmp_path / "dirbridge.toml"
    path.write_text(
        '[store]\npassword = { env = "NONE" }\n'
        '[domains."company.com".directory]\n'
        'type = "active-directory"\nserver = "dc1"\nusername = "u"\n'
        'directory_domain = "corp.company.com"\n'
        'password = { file = "none" }\nca_file = "none.pem"\n'
    )
    found = [(each.code, each.where) for each in inspect(load(path), {})]
    directory = 'dirbridge.toml: domains."company.com".directory'
    assert found == [
        ("missing-secret", "dirbridge.toml: store: password"),
        ("missing-secret", f"{directory}: password"),
        ("missing-file", f"{directory}: ca_file"),
        ("missing-file", "realms: CORP.COMPANY.COM: keytab"),
    ]
