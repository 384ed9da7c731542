"""A password that is out at a server that does not answer: nobody else gets it."""

from __future__ import annotations

import pytest

from dirbridge.authenticators.ldap_bind import LdapBind, ldap_bind
from dirbridge.authenticators.nt_domain import nt_domain
from dirbridge.config.settings import DirectorySettings, LoginSettings
from dirbridge.ldap.failover import Failover
from dirbridge.ldap.transport import Endpoint
from dirbridge.login.methods import first_to_know
from dirbridge.model.deadline import Deadline
from dirbridge.model.login import Reason, Rejected, Unavailable, Verdict
from dirbridge.model.names import DomainName
from dirbridge.model.secret import Secret
from testbed import cast
from tests.directories import account
from tests.ldap_responder import BIND, Answer, Responder

DOMAIN = DomainName("example.com")
ANNA = account(cast.ad("anna"))


def tell_after(answer: Answer) -> Responder:
    """A server that is alive until somebody binds."""
    return Responder(lambda tag, _before: answer if tag == BIND else (0, ""))


def settings_of(*servers: Responder) -> DirectorySettings:
    first, *others = (f"127.0.0.1:{server.port}" for server in servers)
    return DirectorySettings(
        type="active-directory",
        server=first,
        backup_server=others,
        security="none",
        allow_cleartext_passwords=True,
        username="svc@corp.example.com",
        directory_domain="corp.example.com",
    )


def method_at(*servers: Responder) -> LdapBind:
    return ldap_bind(DOMAIN, settings_of(*servers))


def methods_at(*servers: Responder) -> tuple[LdapBind, LdapBind]:
    """Two methods that know together which server is down."""
    settings = settings_of(*servers)
    shared = Failover(
        DOMAIN, [Endpoint.of(each, settings.security) for each in settings.servers]
    )
    login = LoginSettings(ntlm=False)
    first = nt_domain(DOMAIN, settings, login, lambda: "CORP", shared)
    return first, ldap_bind(DOMAIN, settings, shared)


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
    gone.stop()
    verdict = ask(method_at(gone))
    assert isinstance(verdict, Unavailable)
    assert not verdict.sent


@pytest.mark.parametrize("code", [51, 52])
def test_a_server_that_says_it_is_busy_counted_none(code: int) -> None:
    with tell_after((code, "busy")) as only:
        verdict = ask(method_at(only))
        assert isinstance(verdict, Unavailable)
        assert not verdict.sent


@pytest.mark.parametrize("answer", [None, b"", b"garbage"])
def test_one_password_is_counted_once_whatever_the_methods(answer: Answer) -> None:
    with tell_after(answer) as first, tell_after((49, "")) as second:
        methods, late = methods_at(first, second), Deadline.after(3)
        verdict = first_to_know(methods, ANNA, Secret("typed"), late)
        assert isinstance(verdict, Unavailable)
        assert (verdict.method, verdict.sent) == ("nt-domain", True)
        binds = [server.seen.count(BIND) for server in (first, second)]
        assert binds == [1, 0]


def test_the_next_method_is_asked_where_no_server_had_the_password() -> None:
    gone = Responder()
    gone.stop()
    with tell_after((49, "80090308: data 52e")) as there:
        away, _ = methods_at(gone)
        verdict = first_to_know(
            (away, method_at(there)), ANNA, Secret("typed"), Deadline.after(5)
        )
        assert isinstance(verdict, Rejected)
        assert verdict.reason is Reason.WRONG_PASSWORD
