"""App passwords: how they are made and read, and the stage that knows them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dirbridge.errors import StoreError
from dirbridge.login.app_passwords import (
    AppPasswords,
    digest_of,
    kept,
    new_app_password,
)
from dirbridge.login.domains import Resolver
from dirbridge.login.service import LoginService
from dirbridge.model.account import Account, AccountState
from dirbridge.model.credentials import Credentials
from dirbridge.model.login import (
    Accepted,
    Cause,
    IPAddress,
    LoginRequest,
    Reason,
    Rejected,
    Unavailable,
    Verdict,
)
from dirbridge.model.names import DomainName
from dirbridge.model.secret import Secret
from tests.unit.test_login import DOMAINS, NOW, Answers, account, filled

COM, ORG = DomainName("company.com"), DomainName("design.org")
USER = "anna@company.com"
INSIDE, OUTSIDE = ip_address("192.0.2.9"), ip_address("198.51.100.7")
REQUIRED = {COM: (ip_network("198.51.100.0/24"), ip_network("2001:db8::/32"))}
UNKNOWN_ONE = "no app password of this account, or one that was revoked"

ACCEPTED = Accepted(USER, "app-password", "local#1")
WRONG = Rejected(
    Reason.WRONG_PASSWORD, USER, "app-password", "local", detail=UNKNOWN_ONE
)
REQUIRED_HERE = Rejected(Reason.APP_PASSWORD, USER, "app-password", "local")


def test_an_app_password_is_four_groups_of_letters_that_look_like_no_others() -> None:
    made = {new_app_password().reveal() for _ in range(200)}
    assert len(made) == 200
    for text in made:
        assert [len(group) for group in text.split("-")] == [7, 7, 7, 7]
        assert not set(text) & set("ilouILOU")
    # All 128 bits are drawn: each letter but those of the check is seen everywhere.
    letters = [text.replace("-", "") for text in made]
    assert min(len({text[place] for text in letters}) for place in range(28)) >= 8


@pytest.mark.parametrize(
    "typed",
    [
        str,
        str.upper,
        lambda text: text.replace("-", ""),
        lambda text: text.replace("-", " "),
        lambda text: f" {text}\t",
        lambda text: text.replace("-", "\u2011"),
        lambda text: " ".join(text.replace("-", "")),
        lambda text: text.replace("0", "O").replace("1", "l"),
        lambda text: text.replace("0", "o").replace("1", "I"),
    ],
)
def test_it_may_be_typed_as_people_type(typed: Callable[[str], str]) -> None:
    for _ in range(20):
        one = new_app_password()
        digest = digest_of(one)
        assert digest is not None
        assert digest_of(Secret(typed(one.reveal()))) == digest


@given(st.text(max_size=60))
def test_what_people_make_up_is_none(text: str) -> None:
    assert digest_of(Secret(text)) is None


@given(st.integers(0, 27), st.sampled_from("0123456789abcdefghjkmnpqrstvwxyz"))
def test_a_letter_that_was_mistyped_is_noticed_or_another_password(
    place: int, letter: str
) -> None:
    text = new_app_password().reveal().replace("-", "")
    other = text[:place] + letter + text[place + 1 :]
    same = other == text
    assert (digest_of(Secret(other)) == digest_of(Secret(text))) is same


def test_only_one_of_thousands_of_look_alikes_passes_the_check() -> None:
    alike = (Secret(f"{number:028}") for number in range(20_000))
    assert sum(digest_of(one) is not None for one in alike) < 30


def test_what_is_kept_shows_no_password_and_no_digest() -> None:
    password = new_app_password()
    one = kept("phone", password, NOW)
    assert (one.label, one.created_at, len(one.digest)) == ("phone", NOW, 32)
    assert password.reveal() not in repr(one)
    assert repr(one.digest) not in repr(one)
    with pytest.raises(ValueError, match="no app password"):
        kept("phone", Secret("secret"), NOW)


class Bridge:
    """A login service with this stage alone, in front of one directory method."""

    def __init__(self, *accounts: Account) -> None:
        self.store = filled(*(accounts or (account(COM, "anna"),)))
        self.directory = Answers("ldap-bind", None)
        self.service = LoginService(
            Resolver(DOMAINS, self.store),
            lambda _account: (self.directory,),
            stages=(AppPasswords(self.store.credentials, REQUIRED),),
        )

    def give(self, name: str = "anna", label: str = "phone") -> tuple[Secret, int]:
        """Give somebody an app password."""
        password = new_app_password()
        own = next(a for a in self.store.accounts() if a.mailbox == name)
        made = self.store.add_app_password(own, kept(label, password, NOW))
        return password, made.number

    def ask(
        self, password: Secret, name: str = "anna", ip: IPAddress | None = INSIDE
    ) -> Verdict:
        return self.service.answer(LoginRequest(name, password, remote_ip=ip))


def test_it_is_taken_without_asking_the_directory() -> None:
    bridge = Bridge()
    phone, _ = bridge.give()
    laptop, _ = bridge.give(label="laptop")
    assert bridge.ask(phone) == ACCEPTED
    assert bridge.ask(laptop) == replace(ACCEPTED, server="local#2")
    assert bridge.ask(Secret(phone.reveal().upper().replace("-", " "))) == ACCEPTED
    assert bridge.directory.asked == 0


def test_other_passwords_go_to_the_directory() -> None:
    bridge = Bridge()
    bridge.give()
    assert bridge.ask(Secret("secret")) == Accepted(USER, "ldap-bind", "dc1")
    assert bridge.directory.asked == 1


def test_a_revoked_one_and_anothers_never_reach_the_directory() -> None:
    bridge = Bridge(account(COM, "anna"), account(COM, "berta"))
    phone, number = bridge.give()
    bertas, _ = bridge.give("berta")
    anna = next(bridge.store.accounts())
    bridge.store.revoke_app_password(anna, number, NOW)
    assert bridge.ask(phone) == bridge.ask(bertas) == WRONG
    assert bridge.directory.asked == 0


@pytest.mark.parametrize("state", [s for s in AccountState if s != "active"])
def test_who_may_not_log_in_may_not_so_either(state: AccountState) -> None:
    barred = replace(account(COM, "anna"), state=state)
    bridge = Bridge(barred)
    phone, _ = bridge.give()
    verdict = bridge.ask(phone)
    assert isinstance(verdict, Rejected)
    assert verdict.reason in {state.value, "unknown"}
    assert bridge.directory.asked == 0


def test_whose_account_has_ended_may_not_so_either() -> None:
    bridge = Bridge(account(COM, "anna", expires_at=NOW))
    phone, _ = bridge.give()
    assert bridge.ask(phone) == Rejected(Reason.EXPIRED, USER)


@pytest.mark.parametrize(
    ("address", "required"),
    [
        ("198.51.100.7", True),
        ("::ffff:198.51.100.7", True),
        ("2001:db8::7", True),
        ("198.51.101.7", False),
        ("::1", False),
        (None, False),
    ],
)
def test_from_some_addresses_nothing_else_will_do(
    address: str | None, required: bool
) -> None:
    bridge = Bridge()
    phone, _ = bridge.give()
    ip = None if address is None else ip_address(address)
    directory = Accepted(USER, "ldap-bind", "dc1")
    expected = REQUIRED_HERE if required else directory
    assert bridge.ask(Secret("secret"), ip=ip) == expected
    assert bridge.directory.asked == (not required)
    assert bridge.ask(phone, ip=ip) == ACCEPTED


def test_it_is_required_in_that_domain_only() -> None:
    bridge = Bridge(account(COM, "anna"), account(ORG, "otto"))
    verdict = bridge.ask(Secret("secret"), "otto@design.org", OUTSIDE)
    assert verdict == Accepted("otto@design.org", "ldap-bind", "dc1")
    assert bridge.ask(Secret("secret"), "nobody", OUTSIDE) == Rejected(Reason.UNKNOWN)


def test_a_store_that_fails_is_an_outage_for_app_passwords_alone() -> None:
    bridge = Bridge()

    def failing(_account: Account) -> Credentials:
        raise StoreError("locked", "sqlite:///x")

    stage = AppPasswords(failing, REQUIRED)
    service = replace(bridge.service, stages=(stage,))
    phone = LoginRequest("anna", new_app_password())
    away = Unavailable(Cause.STORE, USER, "app-password", "local", "locked")
    assert service.answer(phone) == away
    other = LoginRequest("anna", Secret("secret"))
    assert service.answer(other) == Accepted(USER, "ldap-bind", "dc1")
