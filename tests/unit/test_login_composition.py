"""Every stage stands in the composed service, in its place: told by what it does."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from ipaddress import ip_address
from pathlib import Path

import pytest

from dirbridge.app import App
from dirbridge.login.pacing import FIRST
from dirbridge.login.service import LoginService
from dirbridge.model.account import Account
from dirbridge.model.deadline import Deadline
from dirbridge.model.finding import Finding
from dirbridge.model.login import (
    Accepted,
    LoginRequest,
    Reason,
    Rejected,
    Verdict,
)
from dirbridge.model.names import DomainName
from dirbridge.model.plan import Op
from dirbridge.model.secret import Secret
from tests.command_line import configured
from tests.contract import test_store as stores

COMPANY = DomainName("company.com")
PASSWORD = "correct horse"
HOME, OUTSIDE = "192.0.2.7", "198.51.100.7"
CONFIG = """
[store]
url = "sqlite:///{folder}/dirbridge.db"
[serve]
run_dir = "{folder}/run"
[domains."company.com".directory]
type = "ldap"
server = "127.0.0.1:9"
suffix = "dc=company,dc=com"
username = "cn=bridge"
password = {{ file = "{folder}/secret" }}
connect_timeout = "1s"
[domains."company.com".login]
methods = ["ldap-bind"]
require_app_password_from = "198.51.100.0/24"
[guard]
accounts_per_address = 3
"""


@dataclass
class Directory:
    """Knows one password, and remembers what it was asked."""

    asked: list[str] = field(default_factory=list)
    method: str = "ldap-bind"

    def authenticate(
        self, account: Account, password: Secret, deadline: Deadline
    ) -> Verdict:
        user = account.canonical
        self.asked.append(password.reveal())
        if password.reveal() == PASSWORD:
            return Accepted(user, self.method, "dc1")
        return Rejected(Reason.WRONG_PASSWORD, user, self.method, "dc1")

    def check(self) -> list[Finding]:
        return []


@dataclass
class Bridge:
    """The service of a configuration; only its directory is one of the tests' own."""

    service: LoginService
    directory: Directory

    def login(
        self, password: str = PASSWORD, name: str = "anna", address: str = HOME
    ) -> Verdict:
        """Log in as a hook does."""
        request = LoginRequest(name, Secret(password), remote_ip=ip_address(address))
        found = self.service.quick(request)
        return found if isinstance(found, Accepted) else self.service.answer(request)

    def reason(self, password: str, name: str = "anna", address: str = HOME) -> str:
        verdict = self.login(password, name, address)
        return verdict.reason if isinstance(verdict, Rejected) else str(verdict)


@pytest.fixture
def bridge(tmp_path: Path) -> Iterator[Bridge]:
    app, directory = App.load(configured(tmp_path, CONFIG)), Directory()
    with app.open_store() as store, store.pulse() as pulse:
        people = [
            stores.person(name, domain=COMPANY, primary_address=f"{name}@company.com")
            for name in ("anna", "berta", "carla", "dora")
        ]
        new = [stores.change(Op.CREATE, one) for one in people]
        store.apply(stores.plan(*new), stores.a_run())
        service = app.login_service(store, pulse=pulse)
        yield Bridge(replace(service, methods=lambda _account: (directory,)), directory)


def test_what_is_remembered_does_not_stand_for_an_app_password(bridge: Bridge) -> None:
    told = [bridge.login() for _ in range(2)]
    assert [getattr(one, "server", "") for one in told] == ["dc1", "cache"]
    assert bridge.reason(PASSWORD, address=OUTSIDE) == Reason.APP_PASSWORD
    assert getattr(bridge.login(), "server", "") == "cache"


def test_an_address_with_too_many_failures_gets_nothing_from_memory(
    bridge: Bridge,
) -> None:
    assert isinstance(bridge.login(), Accepted)
    for name in ("nobody", "nobody2", "nobody3"):
        assert bridge.reason("guess", name) == Reason.UNKNOWN
    assert bridge.reason(PASSWORD) == Reason.ADDRESS_GUARDED
    assert isinstance(bridge.login(address="192.0.2.8"), Accepted)


def test_every_rejection_waits(bridge: Bridge) -> None:
    told = []
    for name, address in (
        ("nobody", HOME),
        ("anna", OUTSIDE),
        ("nobody2", HOME),
        ("nobody3", HOME),
        ("berta", HOME),
    ):
        begun = time.monotonic()
        told.append(bridge.reason("guess", name, address))
        assert time.monotonic() - begun > FIRST * 0.9
    assert told == [
        *(Reason.UNKNOWN, Reason.APP_PASSWORD, Reason.UNKNOWN, Reason.UNKNOWN),
        Reason.ADDRESS_GUARDED,
    ]


def test_wrong_passwords_of_an_account_end_at_the_guard(bridge: Bridge) -> None:
    told = [bridge.login(f"guess {number}") for number in range(8)]
    asked = len(bridge.directory.asked)
    assert 0 < asked < 5
    by = [one.method for one in told]
    assert by == ["ldap-bind"] * asked + ["guard"] * (8 - asked)
    assert bridge.login().method == "guard"
