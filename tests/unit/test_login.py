"""Name resolution and the login service, on the shipped memory parts."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Collection, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dirbridge.authenticators.base import Authenticator
from dirbridge.authenticators.local import LocalAuthenticator, make_verifier
from dirbridge.errors import StoreError
from dirbridge.hooks.desk import THREADS
from dirbridge.login.attempts import AttemptsLog
from dirbridge.login.domains import MailDomain, Resolver, Way
from dirbridge.login.log_line import log_line
from dirbridge.login.refusals import refuse
from dirbridge.login.service import LoginService
from dirbridge.login.stage import Login
from dirbridge.model.account import Account, AccountState, AccountValues, Origin
from dirbridge.model.deadline import Deadline
from dirbridge.model.finding import Finding
from dirbridge.model.login import (
    Accepted,
    Attempt,
    Cause,
    LoginRequest,
    Reason,
    Rejected,
    Unavailable,
    Verdict,
)
from dirbridge.model.names import Address, DirectoryId, DomainName
from dirbridge.model.plan import Op
from dirbridge.model.secret import Secret
from dirbridge.store.base import NameKind
from dirbridge.store.memory import MemoryStore
from tests.contract import test_store as stores

NOW = datetime(2026, 3, 1, tzinfo=UTC)
COM, ORG = DomainName("company.com"), DomainName("design.org")
IDN = DomainName("xn--mller-kva.example")
V4, V6 = ip_address("192.0.2.10"), ip_address("2001:db8::10")
DOMAINS = (
    MailDomain(
        COM,
        primary=True,
        aliases=(DomainName("company.net"),),
        directory_domains=(DomainName("corp.company.com"),),
        nt_domain="CORP",
    ),
    MailDomain(ORG, bound_ip=(V4, V6)),
    MailDomain(IDN),
)


def account(domain: DomainName, login: str, **fields: object) -> Account:
    values: dict[str, object] = {
        "directory_id": DirectoryId(f"{domain}-{login}"),
        "login_names": (login,),
        "primary_address": Address(f"{login}@{domain}"),
    }
    ours = {key: fields.pop(key) for key in ("state", "origin") if key in fields}
    return Account(
        number=0,
        domain=domain,
        mailbox=login,
        origin=ours.pop("origin", Origin.MAPPED),  # type: ignore[arg-type]
        state_since=NOW,
        values=AccountValues(**{**values, **fields}),  # type: ignore[arg-type]
        **ours,  # type: ignore[arg-type]
    )


def filled(*accounts: Account) -> MemoryStore:
    store = MemoryStore()
    fill(store, *accounts)
    return store


def fill(store: MemoryStore, *accounts: Account) -> None:
    for one in accounts:
        new = stores.plan(stores.change(Op.CREATE, one), domain=one.domain)
        store.apply(new, stores.a_run(one.domain))


@pytest.fixture
def store() -> MemoryStore:
    return filled(
        account(COM, "anna", upn="anna.berg@group.example"),
        account(ORG, "anna"),
        account(
            COM,
            "bob",
            upn="bob@grüppe.example",
            aliases=(Address("robert@company.com"),),
        ),
        account(COM, "Jürgen"),
        account(IDN, "max", aliases=(Address(f"maxi@{IDN}"),)),
        account(COM, "off", state=AccountState.DISABLED),
        account(COM, "left", state=AccountState.DEACTIVATED),
        account(COM, "ended", expires_at=NOW - timedelta(days=1)),
    )


@pytest.mark.parametrize(
    ("name", "canonical", "way"),
    [
        ("anna", "anna@company.com", Way.PRIMARY_DOMAIN),
        ("  ANNA ", "anna@company.com", Way.PRIMARY_DOMAIN),
        ("anna@company.com", "anna@company.com", Way.ADDRESS),
        ("Anna@COMPANY.com.", "anna@company.com", Way.ADDRESS),
        ("anna@company.net", "anna@company.com", Way.ADDRESS),
        ("anna@corp.company.com", "anna@company.com", Way.ADDRESS),
        ("anna@design.org", "anna@design.org", Way.ADDRESS),
        ("anna.berg@group.example", "anna@company.com", Way.UPN),
        ("Bob@GRÜPPE.example", "bob@company.com", Way.UPN),
        ("robert@company.com", "bob@company.com", Way.ADDRESS),
        ("robert@company.net", "bob@company.com", Way.ADDRESS),
        ("robert", "bob@company.com", Way.PRIMARY_DOMAIN),
        ("CORP\\anna", "anna@company.com", Way.NT_DOMAIN),
        ("corp\\Ju\u0308rgen", "Jürgen@company.com", Way.NT_DOMAIN),
        ("JÜRGEN", "Jürgen@company.com", Way.PRIMARY_DOMAIN),
        ("max@xn--mller-kva.example", "max@xn--mller-kva.example", Way.ADDRESS),
        ("max@müller.example", "max@xn--mller-kva.example", Way.ADDRESS),
        ("Max@MU\u0308LLER.example.", "max@xn--mller-kva.example", Way.ADDRESS),
        ("maxi@müller.example", "max@xn--mller-kva.example", Way.ADDRESS),
    ],
)
def test_a_name_means_one_account(
    store: MemoryStore, name: str, canonical: str, way: Way
) -> None:
    found = Resolver(DOMAINS, store).resolve(name)
    assert found.account is not None
    assert (found.account.canonical, found.way) == (canonical, way)


@pytest.mark.parametrize(
    "name",
    [
        "nobody",
        "nobody@company.com",
        "anna@else.where",
        "OTHER\\anna",
        "@",
        "\\",
        "max@müller..example",
        "max@" + "ü" * 70,
        "max@\udcff",
    ],
)
def test_an_unknown_name_means_nobody(store: MemoryStore, name: str) -> None:
    found = Resolver(DOMAINS, store).resolve(name)
    assert (found.account, found.reason) == (None, Reason.UNKNOWN)


@pytest.mark.parametrize(
    ("local", "remote", "canonical"),
    [
        (V4, None, "anna@design.org"),
        (V6, None, "anna@design.org"),
        (ip_address("::ffff:192.0.2.10"), None, "anna@design.org"),
        (None, V4, "anna@design.org"),
        (ip_address("192.0.2.99"), V4, "anna@design.org"),
        (ip_address("192.0.2.99"), None, "anna@company.com"),
    ],
)
def test_a_bare_name_belongs_to_the_domain_bound_to_the_address(
    store: MemoryStore, local: object, remote: object, canonical: str
) -> None:
    found = Resolver(DOMAINS, store).resolve("anna", local, remote)  # type: ignore[arg-type]
    assert found.account is not None
    assert found.account.canonical == canonical


def test_the_local_address_is_looked_at_first() -> None:
    other = ip_address("192.0.2.20")
    domains = (
        MailDomain(COM, primary=True, bound_ip=(other,)),
        MailDomain(ORG, bound_ip=(V4,), match_remote=False),
    )
    resolver = Resolver(domains, filled(account(COM, "anna"), account(ORG, "anna")))
    assert resolver.resolve("anna", V4, other).domains == (ORG,)
    assert resolver.resolve("anna", other, V4).domains == (COM,)
    assert resolver.resolve("anna", None, V4).way is Way.PRIMARY_DOMAIN


def test_two_accounts_with_one_name_are_ambiguous() -> None:
    twins = filled(
        account(COM, "anna", upn="a@x.y"),
        replace(account(COM, "eva", upn="a@x.y"), mailbox="eva"),
    )
    found = Resolver(DOMAINS, twins).resolve("a@x.y")
    assert found.reason is Reason.AMBIGUOUS


def test_an_nt_domain_shared_by_two_mail_domains_means_the_one_with_the_account() -> (
    None
):
    domains = (
        MailDomain(COM, primary=True, nt_domain="CORP"),
        MailDomain(ORG, nt_domain="CORP"),
    )
    both = filled(account(COM, "anna"), account(ORG, "anna"), account(ORG, "carla"))
    resolver = Resolver(domains, both)
    assert resolver.resolve("CORP\\anna").reason is Reason.AMBIGUOUS
    found = resolver.resolve("CORP\\carla").account
    assert found is not None
    assert found.domain == ORG


class Answers:
    """An authenticator that answers what it is told, and counts."""

    def __init__(self, method: str, answer: Reason | Cause | None) -> None:
        self.method = method
        self.answer = answer
        self.asked = 0

    def authenticate(
        self, account: Account, password: Secret, deadline: Deadline
    ) -> Verdict:
        self.asked += 1
        match self.answer:
            case Reason():
                return Rejected(self.answer, method=self.method)
            case Cause():
                return Unavailable(self.answer, method=self.method)
            case _:
                return Accepted("", self.method, "dc1")

    def check(self) -> list[Finding]:
        return []


def service(store: MemoryStore, *methods: Answers) -> LoginService:
    local = LocalAuthenticator(store.verifier)

    def of(account: Account) -> tuple[Authenticator, ...]:
        return (local,) if account.origin is Origin.LOCAL else methods

    return LoginService(Resolver(DOMAINS, store), of)


def ask(bridge: LoginService, name: str, password: str = "secret") -> Verdict:
    return bridge.answer(LoginRequest(name, Secret(password)))


class Refreshes:
    """Notes what it was asked, and brings somebody or a cause."""

    def __init__(
        self, store: MemoryStore, hires: str = "", cause: Cause | None = None
    ) -> None:
        self.asked: list[tuple[DomainName, ...]] = []
        self._store, self._hires, self._cause = store, hires, cause

    def __call__(
        self, domains: Collection[DomainName], deadline: Deadline
    ) -> Cause | None:
        assert deadline.left() > 0
        self.asked.append(tuple(domains))
        if self._hires:
            fill(self._store, account(COM, self._hires))
        return self._cause


def refreshing(store: MemoryStore, refresh: Refreshes) -> LoginService:
    return replace(service(store, Answers("a", None)), refresh=refresh)


@pytest.mark.parametrize("name", ["newcomer", "newcomer@company.com", "CORP\\newcomer"])
def test_somebody_hired_at_nine_logs_in_at_nine(name: str, store: MemoryStore) -> None:
    refresh = Refreshes(store, hires="newcomer")
    verdict = ask(refreshing(store, refresh), name)
    assert verdict == Accepted("newcomer@company.com", "a", "dc1")
    assert refresh.asked == [(COM,)]


def test_who_is_unknown_afterwards_as_well_is_rejected(store: MemoryStore) -> None:
    refresh = Refreshes(store)
    assert ask(refreshing(store, refresh), "nobody") == Rejected(Reason.UNKNOWN)
    assert refresh.asked == [(COM,)]


def test_a_foreign_suffix_may_be_a_upn_of_any_domain(store: MemoryStore) -> None:
    refresh = Refreshes(store)
    assert ask(refreshing(store, refresh), "x@y.z") == Rejected(Reason.UNKNOWN)
    assert refresh.asked == [(COM, ORG, IDN)]


def test_an_outage_is_no_unknown_name(store: MemoryStore) -> None:
    refresh = Refreshes(store, cause=Cause.UNREACHABLE)
    verdict = ask(refreshing(store, refresh), "nobody")
    assert isinstance(verdict, Unavailable)
    assert verdict.cause is Cause.UNREACHABLE


def test_whoever_is_known_asks_for_no_sync(store: MemoryStore) -> None:
    refresh = Refreshes(store)
    ask(refreshing(store, refresh), "anna@company.com")
    ask(refreshing(store, refresh), "nobody", "")
    assert refresh.asked == []


def test_the_answer_carries_the_one_name(store: MemoryStore) -> None:
    verdict = ask(service(store, Answers("a", None)), "CORP\\ANNA")
    assert verdict == Accepted("anna@company.com", "a", "dc1")


@pytest.mark.parametrize(
    ("first", "second", "expected", "asked"),
    [
        (Reason.WRONG_PASSWORD, None, Reason.WRONG_PASSWORD, 0),
        (Reason.LOCKED, None, Reason.LOCKED, 0),
        (Cause.CONFIGURATION, None, None, 1),
        (Cause.UNREACHABLE, None, None, 1),
        (Reason.UNKNOWN, None, None, 1),
        (Cause.UNREACHABLE, Reason.WRONG_PASSWORD, Reason.WRONG_PASSWORD, 1),
        (Cause.UNREACHABLE, Cause.CONFIGURATION, Cause.UNREACHABLE, 1),
        (Cause.CONFIGURATION, Cause.TIMEOUT, Cause.TIMEOUT, 1),
        (Cause.UNREACHABLE, Reason.UNKNOWN, Cause.UNREACHABLE, 1),
        (Reason.UNKNOWN, Cause.UNREACHABLE, Cause.UNREACHABLE, 1),
        (Reason.UNKNOWN, Reason.UNKNOWN, Reason.UNKNOWN, 1),
        (Reason.UNKNOWN, Cause.CONFIGURATION, Reason.UNKNOWN, 1),
        (Cause.CONFIGURATION, Reason.UNKNOWN, Reason.UNKNOWN, 1),
        (Cause.OWN_ENTRY, Reason.UNKNOWN, Cause.OWN_ENTRY, 1),
    ],
)
def test_the_next_method_is_asked_only_when_nobody_could_say(
    store: MemoryStore,
    first: Reason | Cause,
    second: Reason | Cause | None,
    expected: Reason | Cause | None,
    asked: int,
) -> None:
    one, two = Answers("one", first), Answers("two", second)
    verdict = ask(service(store, one, two), "anna")
    got = getattr(verdict, "reason", getattr(verdict, "cause", None))
    assert (got, one.asked, two.asked) == (expected, 1, asked)


def test_a_domain_without_a_method_is_an_outage_not_a_wrong_password(
    store: MemoryStore,
) -> None:
    verdict = ask(service(store), "anna")
    assert isinstance(verdict, Unavailable)
    assert verdict.cause is Cause.CONFIGURATION


@pytest.mark.parametrize(
    ("name", "password", "reason"),
    [
        ("anna", "", Reason.EMPTY_PASSWORD),
        ("anna", "\r", Reason.BAD_PASSWORD),
        ("anna", "\0", Reason.BAD_PASSWORD),
        ("anna", "right\0", Reason.BAD_PASSWORD),
        ("", "x", Reason.BAD_NAME),
        ("   ", "x", Reason.BAD_NAME),
        ("an\0na", "x", Reason.BAD_NAME),
        ("an\nna", "x", Reason.BAD_NAME),
        ("a" * 2**20, "x", Reason.BAD_NAME),
        ("nobody", "x", Reason.UNKNOWN),
        ("off", "x", Reason.DISABLED),
        ("left", "x", Reason.DEACTIVATED),
        ("ended", "x", Reason.EXPIRED),
    ],
)
def test_what_may_not_reach_a_directory_is_refused_before(
    store: MemoryStore, name: str, password: str, reason: Reason
) -> None:
    method = Answers("one", None)
    verdict = ask(service(store, method), name, password)
    assert isinstance(verdict, Rejected)
    assert (verdict.reason, method.asked) == (reason, 0)


def test_a_store_that_fails_is_an_outage() -> None:
    class Broken(MemoryStore):
        def named(self, *_arguments: object) -> tuple[Account, ...]:  # type: ignore[override]
            raise StoreError("unreachable", "db")

    verdict = ask(service(Broken(), Answers("one", None)), "anna")
    assert isinstance(verdict, Unavailable)
    assert verdict.cause is Cause.STORE


def test_local_accounts_are_checked_here() -> None:
    store = filled(account(COM, "admin", origin=Origin.LOCAL))
    bridge = service(store, Answers("directory", Cause.UNREACHABLE))
    empty = ask(bridge, "admin")
    assert isinstance(empty, Rejected)
    assert empty.reason is Reason.NO_PASSWORD
    [admin] = store.accounts()
    store.set_verifier(admin, make_verifier(Secret("pässwörd")))
    assert ask(bridge, "admin", "pässwörd") == Accepted(
        "admin@company.com", "local", "local"
    )
    wrong = ask(bridge, "admin", "password")
    assert isinstance(wrong, Rejected)
    assert wrong.reason is Reason.WRONG_PASSWORD


def test_the_log_line_is_stable_and_holds_no_password(
    store: MemoryStore, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "dirbridge.login")
    bridge = service(store, Answers("ldap-bind", None))
    request = LoginRequest(
        "anna", Secret("hunter2"), "smtp", "dovecot-auth", V4, ip_address("::1")
    )
    bridge.told(request, bridge.answer(request), 0.1234)
    bridge.noted(request, bridge.answer(request), 0.1234)
    [line] = set(caplog.messages)
    assert line == (
        "login verdict=accepted reason= user=anna@design.org rip=::1 lip=192.0.2.10 "
        "service=smtp hook=dovecot-auth method=ldap-bind server=dc1 ms=123"
    )
    assert "hunter2" not in caplog.text


@given(name=st.text(max_size=60), service_name=st.text(max_size=20))
def test_nothing_typed_can_forge_a_log_line(name: str, service_name: str) -> None:
    attempt = Attempt(Rejected(Reason.UNKNOWN), name, service_name, "hook")
    line = log_line(attempt)
    assert len(line.splitlines()) == 1
    assert [word.split("=")[0] for word in line.split(" ")[1:]] == [
        "verdict", "reason", "user", "rip", "lip", "service", "hook", "method",
        "server", "ms",
    ]  # fmt: skip


@given(password=st.text(alphabet=st.characters(categories=["Cc"])))
def test_control_only_passwords_never_pass(password: str) -> None:
    assert refuse("anna", Secret(password)) is not None


def test_nobody_is_asked_once_the_time_is_up(store: MemoryStore) -> None:
    class Slow(Answers):
        def authenticate(
            self, account: Account, password: Secret, deadline: Deadline
        ) -> Verdict:
            time.sleep(deadline.left())
            return super().authenticate(account, password, deadline)

    def late(deadline: Deadline) -> Verdict:
        request = LoginRequest("anna", Secret("secret"), deadline=deadline)
        return bridge.answer(request)

    first, second = Slow("one", Reason.UNKNOWN), Answers("two", None)
    bridge = service(store, first, second)
    assert late(Deadline.after(0)) == Unavailable(Cause.TIMEOUT)
    assert (first.asked, second.asked) == (0, 0)
    cut = late(Deadline.after(0.1))
    assert cut == Unavailable(
        Cause.TIMEOUT, "anna@company.com", "two", against=Reason.UNKNOWN
    )
    assert (first.asked, second.asked) == (1, 0)


class Hanging:
    """An authenticator whose server answers nobody until it is let go."""

    method = "hanging"

    def __init__(self) -> None:
        self.let_go = threading.Event()

    def authenticate(
        self, account: Account, password: Secret, deadline: Deadline
    ) -> Verdict:
        self.let_go.wait(deadline.left())
        return Unavailable(Cause.TIMEOUT)

    def check(self) -> list[Finding]:
        return []


class Broken(Answers):
    """An authenticator with a bug."""

    def authenticate(
        self, account: Account, password: Secret, deadline: Deadline
    ) -> Verdict:
        raise ZeroDivisionError


class Notes:
    """A stage that lets everybody pass and notes what comes back."""

    def __init__(self) -> None:
        self.told: list[Verdict] = []

    def before(self, _login: Login) -> Verdict | None:
        return None

    def after(self, _login: Login, verdict: Verdict) -> Verdict:
        self.told.append(verdict)
        return verdict


def test_a_bug_leaves_no_stage_waiting(store: MemoryStore) -> None:
    outer, inner = Notes(), Notes()
    bridge = replace(service(store, Broken("one", None)), stages=(outer, inner))
    with pytest.raises(ZeroDivisionError):
        ask(bridge, "anna")
    assert outer.told == inner.told == [Unavailable(Cause.INTERNAL)]


def at_once(bridge: LoginService, names: Iterable[str]) -> list[Future[Verdict]]:
    """Ask through a desk's number of threads, in the order of the names."""
    pool = ThreadPoolExecutor(THREADS)
    try:
        return [pool.submit(ask, bridge, name) for name in names]
    finally:
        pool.shutdown(wait=False)


def test_a_dead_domain_starves_neither_another_nor_local_accounts() -> None:
    store = filled(
        account(COM, "anna"),
        account(COM, "admin", origin=Origin.LOCAL),
        account(ORG, "eva"),
    )
    [admin] = store.named(COM, NameKind.LOGIN, "admin")
    store.set_verifier(admin, make_verifier(Secret("secret")))
    hanging, healthy = Hanging(), Answers("one", None)
    local = LocalAuthenticator(store.verifier)

    def methods(account: Account) -> tuple[Authenticator, ...]:
        if account.origin is Origin.LOCAL:
            return (local,)
        return (hanging if account.domain == COM else healthy,)

    bridge = replace(service(store), methods=methods)
    began = time.monotonic()
    names = ["anna"] * 140 + ["eva@design.org", "admin"]
    *dead, elsewhere, here = at_once(bridge, names)
    assert isinstance(elsewhere.result(5), Accepted)
    assert isinstance(here.result(5), Accepted)
    assert time.monotonic() - began < 4
    causes = [one.result().cause for one in dead if one.done()]  # type: ignore[union-attr]
    assert set(causes) == {Cause.OVERLOADED}
    hanging.let_go.set()
    assert all(isinstance(one.result(5), Unavailable) for one in dead)
    assert isinstance(ask(bridge, "eva@design.org"), Accepted)


def test_a_burst_at_a_healthy_directory_is_no_outage(store: MemoryStore) -> None:
    class Brisk(Answers):
        def authenticate(
            self, account: Account, password: Secret, deadline: Deadline
        ) -> Verdict:
            time.sleep(0.02)
            return super().authenticate(account, password, deadline)

    answers = at_once(service(store, Brisk("one", None)), ["anna"] * 150)
    assert all(isinstance(one.result(5), Accepted) for one in answers)


def test_attempts_that_find_no_room_are_told_once_for_each_batch(
    caplog: pytest.LogCaptureFixture,
) -> None:
    written: list[Attempt] = []

    def write(batch: Iterable[Attempt], _at: datetime) -> None:
        written.extend(batch)

    attempts = AttemptsLog(write, room=2, pause=60)
    with attempts:
        for _ in range(5):
            attempts.add(Attempt(Rejected(Reason.UNKNOWN), "anna", "", ""))
    assert (len(written), attempts.dropped) == (2, 3)
    [line] = caplog.messages
    assert line.startswith("login attempts not recorded: 3, since the store is slower")


def test_attempts_that_the_store_does_not_take_are_told(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def write(_batch: Iterable[Attempt], _at: datetime) -> None:
        raise StoreError("locked", "db")

    with AttemptsLog(write, pause=60) as attempts:
        attempts.add(Attempt(Rejected(Reason.UNKNOWN), "anna", "", ""))
    [line] = caplog.messages
    assert line.startswith("login attempts not recorded: 1, since the store is locked;")
