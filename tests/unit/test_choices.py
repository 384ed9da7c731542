"""Which methods an account's logins use, and when the next one is asked."""

from __future__ import annotations

from itertools import permutations

import pytest

from dirbridge.authenticators.base import Authenticator
from dirbridge.authenticators.local import LocalAuthenticator, make_verifier
from dirbridge.config.settings import Method
from dirbridge.errors import StoreError
from dirbridge.login.choices import Choices
from dirbridge.login.methods import first_to_know
from dirbridge.model.account import Account, Origin
from dirbridge.model.credentials import Credentials
from dirbridge.model.deadline import Deadline
from dirbridge.model.login import (
    Accepted,
    Cause,
    Reason,
    Rejected,
    Unavailable,
    Verdict,
)
from dirbridge.model.names import DomainName
from dirbridge.model.secret import Secret
from dirbridge.store.memory import MemoryStore
from tests.unit.test_login import Answers, account, filled

COM = DomainName("company.com")
ANNA = account(COM, "anna")
NOT_KNOWN_HERE = {Reason.UNKNOWN, Reason.NO_PASSWORD}
PASSWORD = Secret("gåsfjäder 3")


def answered(*methods: Authenticator, who: Account = ANNA) -> Verdict:
    return first_to_know(methods, who, PASSWORD, Deadline.after(60))


@pytest.mark.parametrize(("one", "two"), list(permutations(Method, 2)))
def test_of_each_pair_the_second_is_asked_only_where_the_first_cannot_know(
    one: Method, two: Method
) -> None:
    for said in (*Reason, *Cause, None):
        first, second = Answers(one, said), Answers(two, None)
        verdict = answered(first, second)
        passed_on = isinstance(said, Cause) or said in NOT_KNOWN_HERE
        assert second.asked == passed_on
        if passed_on:
            assert verdict == Accepted("anna@company.com", two, "dc1")
        else:
            assert getattr(verdict, "reason", None) == said


class Setting:
    """A store with one account, and a directory that has all methods."""

    def __init__(self, one: Account = ANNA, usual: tuple[str, ...] = ()) -> None:
        self.store: MemoryStore = filled(one)
        (self.account,) = self.store.accounts()
        self.directory = {method: Answers(method, None) for method in Method}
        self.local = LocalAuthenticator(self.store.verifier)
        self.choices = Choices(
            self.store.credentials,
            lambda _account: tuple(self.directory[Method(name)] for name in usual),
            lambda _account, name: self.directory[Method(name)],
            self.local,
        )

    def answered(self) -> Verdict:
        return answered(*self.choices(self.account), who=self.account)

    def methods(self) -> list[str]:
        return [one.method for one in self.choices(self.account)]


def test_an_account_has_its_domains_methods_until_others_are_chosen() -> None:
    setting = Setting(usual=("kerberos", "ldap-bind"))
    assert setting.methods() == ["kerberos", "ldap-bind"]
    setting.store.set_methods(setting.account, ("nt-domain", "password-server"))
    assert setting.methods() == ["nt-domain", "password-server"]
    setting.store.set_methods(setting.account, ())
    assert setting.methods() == ["kerberos", "ldap-bind"]


def test_a_local_account_is_checked_here_whatever_was_chosen() -> None:
    setting = Setting(account(COM, "root", origin=Origin.LOCAL), ("ldap-bind",))
    assert setting.choices(setting.account) == (setting.local,)
    setting.store.set_methods(setting.account, ("kerberos",))
    assert setting.choices(setting.account) == (setting.local,)


@pytest.mark.parametrize("switched", [True, False])
def test_who_is_in_a_directory_may_have_a_local_password(switched: bool) -> None:
    setting = Setting(usual=("ldap-bind",) if switched else ("local",))
    if switched:
        setting.store.set_methods(setting.account, ("local",))
    assert setting.choices(setting.account) == (setting.local,)
    none_yet = Rejected(Reason.NO_PASSWORD, "anna@company.com", "local", "local")
    assert setting.answered() == none_yet
    setting.store.set_verifier(setting.account, make_verifier(PASSWORD))
    right = Accepted("anna@company.com", "local", "local")
    assert setting.answered() == right


def test_a_domain_with_local_behind_its_directory_knows_both() -> None:
    setting = Setting(usual=("local", "ldap-bind"))
    ours = setting.answered()
    assert ours == Accepted("anna@company.com", "ldap-bind", "dc1")
    setting.store.set_verifier(setting.account, make_verifier(Secret("another")))
    wrong = setting.answered()
    assert getattr(wrong, "reason", None) is Reason.WRONG_PASSWORD
    assert setting.directory[Method.LDAP_BIND].asked == 1


def test_nobody_is_asked_while_the_choice_cannot_be_read() -> None:
    def failing(_account: Account) -> Credentials:
        raise StoreError("unreachable", "postgresql://x")

    directory = Answers("ldap-bind", None)
    local = LocalAuthenticator(lambda _account: None)
    choices = Choices(
        failing, lambda _a: (directory,), lambda _a, _name: directory, local
    )
    verdict = answered(*choices(ANNA))
    assert verdict == Unavailable(Cause.STORE, "anna@company.com", detail="unreachable")
    assert directory.asked == 0
