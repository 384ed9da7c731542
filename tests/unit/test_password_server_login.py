"""Logins at Password Servers: whom they ask, what they believe, how often they try.

The servers are the tests' own, on real sockets; the directory is a function.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest

from dirbridge.authenticators.live import Standing
from dirbridge.authenticators.password_server import PasswordServerLogin
from dirbridge.authenticators.password_server_list import AGAIN, KEPT, ServerList
from dirbridge.directory.auth_authority import PasswordServerData
from dirbridge.directory.password_server_record import (
    Address,
    PasswordServerRecord,
    identity,
)
from dirbridge.directory.password_server_record import (
    PasswordServer as Listed,
)
from dirbridge.errors import Unreachable
from dirbridge.ldap.transport import Endpoint
from dirbridge.model.account import Account
from dirbridge.model.deadline import Deadline
from dirbridge.model.entry import Entry
from dirbridge.model.finding import Finding, Outcome
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
from dirbridge.protocols import cast5_cbc
from testbed import cast
from testbed.password_server import (
    BELIEVE,
    CLOSE,
    SILENCE,
    Manners,
    PasswordServer,
    User,
    new_key,
)
from testbed.process import wait_until
from tests.directories import account

DOMAIN = DomainName("example.org")
ANNA = account(cast.od("anna"))
SLOT = "0xdb945916625111e39e62000c2928b48d"
RIGHT = "Größe € 1"
KEY, OTHER_KEY = new_key(), new_key()
LDAP = "ldap.example.org:636"


@dataclass
class Site:
    """A directory and its Password Servers, the master first."""

    servers: list[PasswordServer]
    values: tuple[str, ...] | None = None
    reasons: tuple[Reason, ...] = ()
    answer: Reason | Cause | None = None
    cram: bool = False
    listed: bool = True
    protected: bool = True
    ldap_host: str = ""
    right_key: str = ""
    looks: int = 0
    made: PasswordServerLogin | None = field(default=None, repr=False)

    @property
    def master(self) -> PasswordServer:
        return self.servers[0]

    @property
    def replica(self) -> PasswordServer:
        return self.servers[1]

    @property
    def key(self) -> str:
        return self.right_key or self.master.public_key

    def look(self, _account: Account, _deadline: Deadline) -> Standing | Reason | Cause:
        self.looks += 1
        if self.answer is not None:
            return self.answer
        values = self.values
        if values is None:
            values = (authority(self.key, self.master),)
        octets = tuple(value.encode() for value in values)
        entry = Entry(ANNA.values.directory_id, "uid=anna", {"authauthority": octets})
        return Standing(entry, self.reasons)

    def records(self, _deadline: Deadline) -> tuple[PasswordServerRecord, ...]:
        if not self.listed:
            return ()
        primary, *replicas = (
            Listed((Address(each.address, each.port),)) for each in self.servers
        )
        return (PasswordServerRecord(identity(self.key), primary, tuple(replicas)),)

    @property
    def authenticator(self) -> PasswordServerLogin:
        if self.made is None:
            self.made = PasswordServerLogin(
                DOMAIN,
                self.look,
                ServerList(self.records, lambda: self.ldap_host, self.master.port),
                lambda: LDAP,
                protected=self.protected,
                cram=self.cram,
            )
        return self.made

    def ask(self, password: str = RIGHT, seconds: float = 9) -> Verdict:
        deadline = Deadline.after(seconds)
        return self.authenticator.authenticate(ANNA, Secret(password), deadline)

    def check(self) -> list[Finding]:
        return self.authenticator.check()

    @property
    def tries(self) -> list[int]:
        return [server.tries.get(SLOT, 0) for server in self.servers]


def authority(key: str, server: PasswordServer, slot: str = SLOT) -> str:
    return f";ApplePasswordServer;{slot},{key}:{server.address}"


@pytest.fixture
def site() -> Iterator[Site]:
    """A master and a replica with one key."""
    users = {SLOT: User(RIGHT)}
    master = PasswordServer(KEY, dict(users), address="127.0.0.1")
    replica = PasswordServer(KEY, dict(users), address="127.0.0.2", port=master.port)
    with master, replica:
        yield Site([master, replica])


def where(server: PasswordServer) -> str:
    return f"{server.address}:{server.port}"


# Verdicts


def test_the_right_password(site: Site) -> None:
    assert site.ask() == Accepted(ANNA.canonical, "password-server", where(site.master))
    assert site.tries == [1, 0]
    wait_until(lambda: "C: QUIT" in site.master.transcript, "it said no QUIT")


def test_a_wrong_password_counts_once(site: Site) -> None:
    verdict = site.ask("wrong")
    assert isinstance(verdict, Rejected)
    assert verdict.reason is Reason.WRONG_PASSWORD
    assert verdict.server == where(site.master)
    assert verdict.detail == "-ERR SASL -13"
    assert site.tries == [1, 0]


@pytest.mark.parametrize(
    "manners",
    [
        Manners(sealing=False),
        Manners(two_steps="+OK"),
        Manners(two_steps="-ERR"),
        Manners(lower=True),
        Manners(version="10.6.8"),
        Manners(realm="größe.example.org"),
    ],
)
def test_servers_of_other_times(site: Site, manners: Manners) -> None:
    site.master.manners = manners
    assert isinstance(site.ask(), Accepted)
    verdict = site.ask("wrong")
    assert isinstance(verdict, Rejected)
    assert verdict.reason is Reason.WRONG_PASSWORD


def test_a_server_that_tells_its_key_only_when_asked(site: Site) -> None:
    site.master.behave(lists_key=False)
    assert isinstance(site.ask(), Accepted)


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ("-AUTHERR -2", Reason.DISABLED),
        ("-ERR -2", Reason.DISABLED),
        ("-ERR -6", Reason.EXPIRED),
        ("-AUTHERR -7", Reason.MUST_CHANGE),
        ("-ERR SASL -19", Reason.DISABLED),
        ("-ERR SASL -21", Reason.LOCKED),
    ],
)
def test_account_states_at_either_step(site: Site, said: str, reason: Reason) -> None:
    for user in (User(RIGHT, at_user=said), User(RIGHT, at_auth2=said)):
        for server in site.servers:
            server.users[SLOT] = user
        verdict = site.ask()
        assert isinstance(verdict, Rejected)
        assert (verdict.reason, verdict.detail) == (reason, said)


def test_a_bare_authok_is_a_disabled_account(site: Site) -> None:
    for server in site.servers:
        server.users[SLOT] = User(RIGHT, at_user="+AUTHOK")
    verdict = site.ask()
    assert isinstance(verdict, Rejected)
    assert verdict.reason is Reason.DISABLED


def test_an_unknown_slot(site: Site) -> None:
    for server in site.servers:
        del server.users[SLOT]
    verdict = site.ask()
    assert isinstance(verdict, Rejected)
    assert verdict.reason is Reason.UNKNOWN


@pytest.mark.parametrize(
    ("said", "cause"),
    [
        ("-ERR -5", Cause.INTERNAL),
        ("-ERR -3", Cause.CONFIGURATION),
        ("-ERR -11", Cause.INTERNAL),
        ("-ERR SASL -24", Cause.BUSY),
        ("-ERR SASL -1", Cause.UNREACHABLE),
    ],
)
def test_a_refusal_that_says_nothing_of_the_password(
    site: Site, said: str, cause: Cause
) -> None:
    site.master.users[SLOT] = User(RIGHT, at_auth2=said)
    verdict = site.ask()
    assert isinstance(verdict, Unavailable)
    assert verdict.sent
    assert verdict.cause is cause
    assert site.tries == [1, 0]


# What is refused without asking anybody


@pytest.mark.parametrize(
    ("password", "reason"),
    [
        ("", Reason.EMPTY_PASSWORD),
        ("a\0b", Reason.BAD_PASSWORD),
        ("********", Reason.WRONG_PASSWORD),
        ("<1-empty-insecure-1>", Reason.WRONG_PASSWORD),
    ],
)
def test_what_is_nobodys_password(site: Site, password: str, reason: Reason) -> None:
    site.master.users[SLOT] = User(password)
    verdict = site.ask(password)
    assert isinstance(verdict, Rejected)
    assert verdict.reason is reason
    assert (site.looks, site.master.connections) == (0, 0)


def test_the_directory_has_the_first_word(site: Site) -> None:
    site.reasons = (Reason.LOCKED, Reason.DISABLED)
    assert site.ask() == Rejected(
        Reason.LOCKED,
        ANNA.canonical,
        "password-server",
        LDAP,
        "the directory says so",
    )
    site.answer = Reason.UNKNOWN
    verdict = site.ask()
    assert isinstance(verdict, Rejected)
    assert verdict.reason is Reason.UNKNOWN
    site.answer = Cause.TIMEOUT
    verdict = site.ask()
    assert isinstance(verdict, Unavailable)
    assert verdict.cause is Cause.TIMEOUT
    assert site.master.connections == 0


def test_a_disabled_user_is_refused_whatever_else_is_there(site: Site) -> None:
    good = authority(site.key, site.master)
    site.values = (good, f";DisabledUser;<{good}>")
    verdict = site.ask()
    assert isinstance(verdict, Rejected)
    assert verdict.reason is Reason.DISABLED
    assert site.master.connections == 0


def test_entries_without_a_password_server(site: Site) -> None:
    site.values = (";Kerberosv5;;anna@OD.EXAMPLE.COM;OD.EXAMPLE.COM;",)
    verdict = site.ask()
    assert isinstance(verdict, Rejected)
    assert verdict.reason is Reason.UNKNOWN


@pytest.mark.parametrize(
    "value",
    [
        None,
        f";ApplePasswordServer;{SLOT}:127.0.0.1",
        f";ApplePasswordServer;{SLOT},512 3 15 root:127.0.0.1",
        ";ApplePasswordServer;0x1 AUTH PLAIN,KEY:127.0.0.1",
    ],
)
def test_entries_that_nobody_can_ask_with(site: Site, value: str | None) -> None:
    site.values = (value.replace("KEY", site.key),) if value else ()
    verdict = site.ask()
    assert isinstance(verdict, Unavailable)
    assert verdict.cause is Cause.CONFIGURATION
    assert site.master.connections == 0


# Outages


@pytest.mark.parametrize(
    ("step", "what"),
    [
        *((step, CLOSE) for step in ("GREETING", "LIST", "KEY", "RSAVALIDATE", "USER")),
        ("GREETING", b"\xff\x00garbage\r\n"),
        ("GREETING", b"-ERR\r\n"),
        ("LIST", b"+OKAY\r\n"),
        ("KEY", b"+OK no key\r\n"),
        ("USER", b"+OK no end"),
        ("USER", b"+AUTHOKAY 3C3E\r\n"),
        ("USER", b"+AUTHOK 3C3\r\n"),
        ("USER", b"-ERR SASL -24\r\n"),
    ],
)
def test_a_broken_server_before_the_password_is_left(
    site: Site, step: str, what: bytes
) -> None:
    site.master.behave(instead={step: what})
    verdict = site.ask()
    assert isinstance(verdict, Accepted)
    assert verdict.server == where(site.replica)
    assert site.tries == [0, 1]


def test_a_frozen_server_is_left_and_rests(site: Site) -> None:
    site.master.behave(instead={"GREETING": SILENCE})
    for _ in range(2):
        verdict = site.ask()
        assert isinstance(verdict, Accepted)
        assert verdict.server == where(site.replica)
    assert site.master.connections == 1


def test_a_stopped_server_is_left(site: Site) -> None:
    site.master.stop()
    verdict = site.ask("wrong")
    assert isinstance(verdict, Rejected)
    assert verdict.server == where(site.replica)
    assert verdict.reason is Reason.WRONG_PASSWORD


def test_nobody_left(site: Site) -> None:
    for server in site.servers:
        server.stop()
    verdict = site.ask()
    assert isinstance(verdict, Unavailable)
    assert not verdict.sent
    assert verdict.cause is Cause.UNREACHABLE
    assert where(site.replica) in verdict.server


@pytest.mark.parametrize(
    ("what", "cause"),
    [
        (SILENCE, Cause.TIMEOUT),
        (CLOSE, Cause.UNREACHABLE),
        (b"+OK", Cause.UNREACHABLE),
        (b"+OKAY\r\n", Cause.CONFIGURATION),
        (b"+AUTHOK 3C3E\r\n", Cause.CONFIGURATION),
        (b"garbage\r\n", Cause.CONFIGURATION),
    ],
)
@pytest.mark.parametrize("password", [RIGHT, "wrong"])
def test_once_the_response_is_out_nobody_else_is_asked(
    site: Site, what: bytes, cause: Cause, password: str
) -> None:
    site.master.behave(instead={"AUTH2": what})
    verdict = site.ask(password, seconds=1)
    assert isinstance(verdict, Unavailable)
    assert verdict.cause is cause
    assert verdict.sent
    assert site.tries[1] == 0
    assert site.replica.connections == 0


def test_no_time_is_no_verdict(site: Site) -> None:
    verdict = site.ask(seconds=0)
    assert isinstance(verdict, Unavailable)
    assert site.master.connections == 0
    assert isinstance(site.ask(), Accepted)


# Servers that are not to be believed


@pytest.fixture
def spoofed(site: Site) -> Site:
    """In the master's place somebody else, who takes any password."""
    site.right_key = site.key
    site.master.key = OTHER_KEY
    site.master.behave(instead={"AUTH2": BELIEVE})
    return site


@pytest.mark.parametrize("claims", [False, True])
def test_a_server_without_the_key_is_passed_over(spoofed: Site, claims: bool) -> None:
    """With its own key, and with the right one shown that it does not have."""
    if claims:
        spoofed.master.behave(
            instead={"AUTH2": BELIEVE}, shows=spoofed.replica.public_key
        )
    verdict = spoofed.ask()
    assert isinstance(verdict, Accepted)
    assert verdict.server == where(spoofed.replica)
    assert spoofed.tries == [0, 1]
    assert not any("AUTH" in line for line in spoofed.master.transcript)


@pytest.mark.parametrize("claims", [False, True])
@pytest.mark.parametrize("cram", [False, True])
def test_a_spoofed_server_alone_is_reported_as_one(
    spoofed: Site, claims: bool, cram: bool
) -> None:
    shows = spoofed.replica.public_key if claims else ""
    spoofed.replica.stop()
    spoofed.cram = cram
    spoofed.master.behave(instead={"AUTH2": BELIEVE}, shows=shows)
    verdict = spoofed.ask("anything")
    assert isinstance(verdict, Unavailable)
    assert not verdict.sent
    assert verdict.cause is Cause.SERVER_NOT_VERIFIED
    assert spoofed.tries == [0, 0]


@pytest.mark.parametrize("proof", [b"+OK\r\n", b"+OK 727370617574683D00\r\n"])
def test_a_server_that_does_not_know_the_secret(site: Site, proof: bytes) -> None:
    """It has the key, but not the user's password: its word is worth nothing."""
    site.master.behave(instead={"AUTH2": proof})
    verdict = site.ask()
    assert isinstance(verdict, Unavailable)
    assert verdict.sent
    assert verdict.cause is Cause.SERVER_NOT_VERIFIED
    assert site.replica.connections == 0


# Mechanisms


def test_cram_md5_only_where_it_is_admitted(site: Site) -> None:
    for server in site.servers:
        server.behave(mechanisms=("CRAM-MD5", "DHX"))
    verdict = site.ask()
    assert isinstance(verdict, Unavailable)
    assert verdict.cause is Cause.CONFIGURATION
    assert verdict.detail == "it offers CRAM-MD5, DHX"
    site.cram, site.made = True, None
    assert isinstance(site.ask(), Accepted)
    assert isinstance(site.ask("wrong"), Rejected)
    assert site.tries == [2, 0]


@pytest.mark.parametrize("whose", ["an old server's", "our own"])
@pytest.mark.parametrize("answer", [b"+OK\r\n", b""])
def test_no_cram_md5_where_a_yes_can_be_made_of_a_no(
    site: Site, whose: str, answer: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In clear, by whoever sits in between; he hides DIGEST-MD5, too."""
    site.cram = True
    sealing = whose == "our own"
    if sealing:
        monkeypatch.setattr(cast5_cbc, "is_there", lambda: False)
    between = {"AUTH2": answer} if answer else {}
    for server in site.servers:
        server.behave(mechanisms=("CRAM-MD5",), sealing=sealing, instead=between)
    verdict = site.ask("anything")
    assert isinstance(verdict, Unavailable)
    assert verdict.cause is Cause.CONFIGURATION
    assert verdict.detail == "it offers CRAM-MD5, and nothing is encrypted"
    assert site.tries == [0, 0]
    codes = [(found.outcome, found.code) for found in site.check()]
    assert (Outcome.FAILED, "password-server-mechanisms") in codes
    lacking = (Outcome.WARNING, "password-server-cast5")
    assert (lacking in codes) is sealing


def test_digest_md5_proves_itself_in_clear(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cast5_cbc, "is_there", lambda: False)
    site.cram = True
    assert isinstance(site.ask(), Accepted)
    assert isinstance(site.ask("wrong"), Rejected)


def test_somebody_without_a_secret_of_the_best_mechanism(site: Site) -> None:
    site.cram = True
    for server in site.servers:
        server.behave(refuses={"DIGEST-MD5": "-ERR SASL -20"})
    assert isinstance(site.ask(), Accepted)
    assert site.tries == [1, 0]


# Replicas that are behind


@pytest.mark.parametrize("said", ["-AUTHERR -2", "-ERR -6", "-ERR -4", "+AUTHOK"])
def test_the_master_has_the_last_word_on_an_account(site: Site, said: str) -> None:
    site.ldap_host = site.replica.address
    site.replica.users[SLOT] = User(RIGHT, at_user=said)
    verdict = site.ask()
    assert isinstance(verdict, Accepted)
    assert verdict.server == where(site.master)
    assert site.tries == [1, 0]


def test_without_the_master_the_replicas_word_stands(site: Site) -> None:
    site.ldap_host = site.replica.address
    site.replica.users[SLOT] = User(RIGHT, at_user="-AUTHERR -2")
    site.master.stop()
    verdict = site.ask()
    assert isinstance(verdict, Rejected)
    assert (verdict.reason, verdict.server) == (Reason.DISABLED, where(site.replica))


def test_a_master_that_may_have_counted_is_no_second_opinion(site: Site) -> None:
    site.ldap_host = site.replica.address
    site.replica.users[SLOT] = User(RIGHT, at_user="-AUTHERR -2")
    site.master.behave(instead={"AUTH2": CLOSE})
    verdict = site.ask()
    assert isinstance(verdict, Unavailable)
    assert verdict.sent
    assert site.tries == [1, 0]


@pytest.mark.parametrize("said", ["-AUTHERR -2", "-ERR -7"])
def test_no_second_try_for_a_second_opinion(site: Site, said: str) -> None:
    site.ldap_host = site.replica.address
    site.replica.users[SLOT] = User(RIGHT, at_auth2=said)
    assert isinstance(site.ask(), Rejected)
    assert site.tries == [0, 1]


def test_a_wrong_password_at_a_replica_stands(site: Site) -> None:
    site.ldap_host = site.replica.address
    verdict = site.ask("wrong")
    assert isinstance(verdict, Rejected)
    assert site.tries == [0, 1]


# Whom to ask


def data(address: str, key: str = "k", family: str = "ipv4") -> PasswordServerData:
    return PasswordServerData(SLOT, key, family, address)


def order(
    records: Callable[[Deadline], tuple[PasswordServerRecord, ...]],
    asked: PasswordServerData,
    ldap_host: str = "",
) -> list[str]:
    servers = ServerList(records, lambda: ldap_host, 3659)
    return [str(each) for each in servers.of(asked, Deadline.after(1)).order]


def test_the_order_of_the_servers() -> None:
    record = PasswordServerRecord(
        identity("k"),
        Listed((Address("10.0.0.5"), Address("10.1.0.5", 106)), "od.example.org"),
        (
            Listed((Address("10.0.0.6"),), "od2.example.org", status="NotFound"),
            Listed((), "od3.example.org"),
            Listed((Address("10.0.0.8"),), "od4.example.org"),
        ),
    )
    other = PasswordServerRecord("0" * 32, Listed((Address("10.9.9.9"),)))

    def records(_deadline: Deadline) -> tuple[PasswordServerRecord, ...]:
        return (other, record)

    assert order(records, data("10.0.0.7"), "od4.example.org") == [
        *("10.0.0.8:3659", "10.0.0.5:3659", "10.1.0.5:106", "od3.example.org:3659"),
        *("10.0.0.6:3659", "10.0.0.7:3659"),
    ]
    assert order(records, data("10.0.0.5"))[0] == "10.0.0.5:3659"
    assert order(records, data("10.0.0.7", "another")) == ["10.0.0.7:3659"]


def test_addresses_of_authauthority() -> None:
    def none(_deadline: Deadline) -> tuple[PasswordServerRecord, ...]:
        return ()

    assert order(none, data("2001:db8::1", family="ipv6")) == ["[2001:db8::1]:3659"]
    assert order(none, data("od.example.org", family="dns")) == ["od.example.org:3659"]
    assert order(none, data("10.0.0.5:106")) == ["10.0.0.5:106"]
    assert order(none, data("not an address")) == []


def test_the_list_is_read_again_after_a_while_only() -> None:
    now, asked, away = [0.0], [0], [False]
    record = PasswordServerRecord("", Listed((Address("10.0.0.5"),)))

    def records(_deadline: Deadline) -> tuple[PasswordServerRecord, ...]:
        asked[0] += 1
        if away[0]:
            raise Unreachable(domain="d", server="s", operation="read", code="timeout")
        return (record,)

    servers = ServerList(records, lambda: "", 3659, lambda: now[0])
    soon = Deadline.after(1)
    for _ in range(3):
        assert servers.records(soon) == (record,)
    assert asked == [1]
    now[0], away[0] = KEPT + 1, True
    for _ in range(3):
        assert servers.records(soon) == (record,)  # what was known before
    assert asked == [2]
    now[0] += AGAIN + 1
    servers.records(soon)
    assert asked == [3]


def test_without_a_list_the_address_of_authauthority_does(site: Site) -> None:
    site.listed = False
    verdict = site.ask()
    assert isinstance(verdict, Accepted)
    assert verdict.server == str(Endpoint(site.master.address, site.master.port))


# `check`


def test_check_tries_every_server(site: Site) -> None:
    found = site.check()
    assert [each.outcome for each in found] == [Outcome.OK] * 2
    assert [each.where for each in found] == [where(s) for s in site.servers]
    assert "10.5.0.0" in found[0].text
    assert "not tried against Apple's own server" in found[0].next
    assert site.tries == [0, 0]


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"mechanisms": ("CRAM-MD5",)}, "password-server-mechanisms"),
        ({"mechanisms": ()}, "password-server-mechanisms"),
        ({"instead": {"GREETING": b"-ERR -1 busy\r\n"}}, "password-server-away"),
        ({"instead": {"GREETING": CLOSE}}, "password-server-away"),
        ({"instead": {"RSAVALIDATE": b"+OK {0}\r\n"}}, "password-server-key"),
        ({"instead": {"RSAVALIDATE": b"-ERR -5\r\n"}}, "password-server-key"),
    ],
)
def test_check_says_what_is_wrong(
    site: Site, changes: dict[str, object], code: str
) -> None:
    site.replica.behave(**changes)
    first, second = site.check()
    assert first.outcome is Outcome.OK
    assert (second.outcome, second.code) == (Outcome.FAILED, code)
    assert second.next


def test_check_knows_the_directorys_key(site: Site) -> None:
    site.replica.key = OTHER_KEY
    _, second = site.check()
    assert second.code == "password-server-key"


def test_check_warns_of_cram_md5(site: Site) -> None:
    site.cram = True
    site.replica.behave(mechanisms=("CRAM-MD5",))
    _, second = site.check()
    assert (second.outcome, second.code) == (Outcome.WARNING, "password-server-cram")


def test_check_warns_where_there_is_no_list(site: Site) -> None:
    site.listed = False
    (found,) = site.check()
    assert (found.outcome, found.code) == (Outcome.WARNING, "password-server-list")


def test_check_warns_of_keys_that_are_read_in_clear(site: Site) -> None:
    site.protected = False
    first, *_ = site.check()
    assert (first.outcome, first.code) == (Outcome.WARNING, "password-server-clear")


def test_no_password_shows(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(0)
    site.master.behave(instead={"AUTH2": b"garbage\r\n"})
    verdict = site.ask("Tell-Nobody-17")
    shown = f"{verdict!r} {vars(site.authenticator)!r} {caplog.text}"
    assert "Tell-Nobody-17" not in shown
