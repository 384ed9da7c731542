"""A password that is out at a server that does not answer: nobody else gets it."""

from __future__ import annotations

import pytest

from dirbridge.authenticators.ldap_bind import LdapBind, ldap_bind
from dirbridge.config.settings import DirectorySettings
from dirbridge.model.deadline import Deadline
from dirbridge.model.login import Unavailable, Verdict
from dirbridge.model.names import DomainName
from dirbridge.model.secret import Secret
from testbed import cast
from tests.directories import account
from tests.ldap_responder import BIND, Answer, Responder

ANNA = account(cast.ad("anna"))


def tell_after(answer: Answer) -> Responder:
    """A server that is alive until somebody binds."""
    return Responder(lambda tag, _before: answer if tag == BIND else (0, ""))


def method_at(*servers: Responder) -> LdapBind:
    first, *others = (f"127.0.0.1:{server.port}" for server in servers)
    settings = DirectorySettings(
        type="active-directory",
        server=first,
        backup_server=others,
        security="none",
        allow_cleartext_passwords=True,
        username="svc@corp.example.com",
        directory_domain="corp.example.com",
    )
    return ldap_bind(DomainName("example.com"), settings)


def ask(method: LdapBind, seconds: float = 5) -> Verdict:
    return method.authenticate(ANNA, Secret("typed"), Deadline.after(seconds))


@pytest.mark.parametrize("answer", [None, b"", b"garbage"])
def test_an_unanswered_bind_says_that_the_password_is_out(answer: Answer) -> None:
    with tell_after(answer) as first, tell_after((0, "")) as second:
        verdict = ask(method_at(first, second), seconds=1)
        assert isinstance(verdict, Unavailable)
        assert verdict.sent
        assert BIND not in second.seen


def test_who_was_never_sent_a_password_counted_none() -> None:
    gone = Responder()
    gone.close()
    verdict = ask(method_at(gone))
    assert isinstance(verdict, Unavailable)
    assert not verdict.sent


@pytest.mark.parametrize("code", [51, 52])
def test_a_server_that_says_it_is_busy_counted_none(code: int) -> None:
    with tell_after((code, "busy")) as only:
        verdict = ask(method_at(only))
        assert isinstance(verdict, Unavailable)
        assert not verdict.sent
