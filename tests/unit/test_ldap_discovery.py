"""Servers by DNS: their order, and what stays when DNS does not answer."""

from __future__ import annotations

import threading
from collections import Counter
from pathlib import Path
from random import Random

import dns.resolver
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dirbridge.config.settings import DirectorySettings, Security
from dirbridge.ldap import discovery
from dirbridge.ldap.discovery import (
    LEAST_PAUSE,
    LEAST_TTL,
    MOST_SERVERS,
    MOST_TTL,
    Discovered,
    DnsFailure,
    Record,
    Records,
    discovered,
    discovered_kdcs,
    find_domain_controllers,
    in_order,
    own,
)
from dirbridge.ldap.transport import Endpoint
from dirbridge.model.deadline import Deadline

DOMAIN = "example.com"
EVERYBODY = f"_ldap._tcp.dc._msdcs.{DOMAIN}"
NEAR = f"_ldap._tcp.Linz._sites.dc._msdcs.{DOMAIN}"


def record(host: str, priority: int = 0, weight: int = 100, port: int = 389) -> Record:
    return Record(priority, weight, f"{host}.example.com", port)


def ldaps(*hosts: str) -> tuple[Endpoint, ...]:
    return tuple(Endpoint(f"{host}.example.com", 636) for host in hosts)


class Zone:
    """DNS as a test wants it."""

    def __init__(self, **names: Records) -> None:
        self.names: dict[str, Records] = dict(names)
        self.asked: list[str] = []
        self.silent = False

    def srv(self, name: str, seconds: float) -> Records:
        self.asked.append(name)
        if self.silent:
            raise DnsFailure(f"{name}: the name server is silent")
        return self.names.get(name, Records())


class World:
    """A list of servers from a zone, and a clock that a test turns."""

    def __init__(self, *named: Endpoint, security: Security = Security.LDAPS) -> None:
        self.zone = Zone()
        self.site: str | None = None
        self.time = 1000.0
        self.list = Discovered(
            self._look_up,
            security,
            named,
            clock=lambda: self.time,
            choose=Random(7).random,
        )

    def _look_up(self, seconds: float) -> tuple[tuple[Records, ...], str | None]:
        return find_domain_controllers(
            DOMAIN, self.zone, lambda *_: self.site, seconds=seconds
        )

    def servers(self) -> tuple[Endpoint, ...]:
        found = self.list.current(Deadline.after(5))
        for thread in threading.enumerate():
            if thread.name == "discovery":
                thread.join(5)
        return found

    def later(self, seconds: float) -> tuple[Endpoint, ...]:
        """The servers so much later, when a look behind our back has ended."""
        self.time += seconds
        self.servers()
        return self.servers()


def test_priority_comes_before_weight() -> None:
    records = [record("far", 10, 1000), record("near", 0, 1), record("mid", 5, 5)]
    assert [r.host for r in in_order(records)] == [
        "near.example.com",
        "mid.example.com",
        "far.example.com",
    ]


def test_weight_says_how_often_one_is_first() -> None:
    records = [record("big", 0, 75), record("small", 0, 25), record("spare", 0, 0)]
    choose = Random(1).random
    firsts = Counter(in_order(records, choose)[0].host for _ in range(2000))
    assert firsts["big.example.com"] == pytest.approx(1500, abs=80)
    assert firsts["small.example.com"] == pytest.approx(500, abs=80)
    assert firsts["spare.example.com"] < 5


def test_without_weights_all_are_equal() -> None:
    records = [record(name, 0, 0) for name in ("a", "b", "c", "d")]
    choose = Random(1).random
    firsts = Counter(in_order(records, choose)[0].host for _ in range(2000))
    assert all(count == pytest.approx(500, abs=80) for count in firsts.values())
    assert len(firsts) == 4


@given(
    st.lists(st.builds(record, st.sampled_from("abcdef"), st.integers(0, 3))),
    st.floats(0, 1, exclude_max=True),
)
def test_nobody_is_lost_or_doubled(records: list[Record], chosen: float) -> None:
    ordered = in_order(records, lambda: chosen)
    assert sorted(ordered) == sorted(set(records))
    assert [r.priority for r in ordered] == sorted(r.priority for r in ordered)


def test_those_of_our_site_come_first() -> None:
    world = World()
    world.site = "Linz"
    far = tuple(record(f"far{n}") for n in range(5))
    near = (record("near1"), record("near2", 5))
    world.zone.names = {EVERYBODY: Records((*far, *near)), NEAR: Records(near)}
    found = world.servers()
    assert found[:2] == ldaps("near1", "near2")
    assert set(found[2:]) == set(ldaps(*(f"far{n}" for n in range(5))))
    assert world.list.site == "Linz"


def test_without_a_site_all_are_taken() -> None:
    world = World()
    world.zone.names[EVERYBODY] = Records((record("dc1"), record("dc2", 1)))
    assert world.servers() == ldaps("dc1", "dc2")
    world.site = ""
    assert world.later(LEAST_TTL) == ldaps("dc1", "dc2")
    assert world.zone.asked == [EVERYBODY, EVERYBODY]


def test_a_site_that_nobody_tells_this_time_stays() -> None:
    world = World()
    world.site = "Linz"
    dc1, dc2 = record("dc1"), record("dc2", 1)
    world.zone.names = {EVERYBODY: Records((dc1, dc2)), NEAR: Records((dc2,))}
    assert world.servers() == ldaps("dc2", "dc1")
    world.site = None
    assert world.later(LEAST_TTL) == ldaps("dc2", "dc1")
    assert world.list.site == "Linz"


def test_only_the_first_caller_waits_and_the_order_stays() -> None:
    world = World()
    world.zone.names[EVERYBODY] = Records(tuple(record(f"dc{n}") for n in range(9)))
    first = world.servers()
    for _ in range(5):
        assert world.later(LEAST_TTL) == first
    assert len(world.zone.asked) == 6


@pytest.mark.parametrize(
    ("ttl", "held"), [(1, LEAST_TTL), (900, 900), (10**9, MOST_TTL)]
)
def test_it_is_looked_up_again_after_its_ttl_within_bounds(
    ttl: float, held: float
) -> None:
    world = World()
    world.zone.names[EVERYBODY] = Records((record("dc1"),), ttl)
    world.servers()
    world.later(held - 1)
    assert len(world.zone.asked) == 1
    world.zone.names[EVERYBODY] = Records((record("dc2"),), ttl)
    assert world.later(1) == ldaps("dc2")


def test_silence_of_dns_takes_nobody_away() -> None:
    world = World()
    world.zone.names[EVERYBODY] = Records((record("dc1"),))
    world.servers()
    world.zone.silent = True
    assert world.later(LEAST_TTL) == ldaps("dc1")
    world.zone.silent = False
    del world.zone.names[EVERYBODY]
    assert world.later(LEAST_PAUSE) == ldaps("dc1")
    world.zone.names[EVERYBODY] = Records((record("dc2"),))
    assert world.later(LEAST_PAUSE) == ldaps("dc2")


def test_silence_from_the_beginning_is_asked_again_soon() -> None:
    world = World()
    world.zone.silent = True
    assert world.servers() == ()
    assert world.servers() == ()
    assert len(world.zone.asked) == 1
    world.zone.silent = False
    world.zone.names[EVERYBODY] = Records((record("dc1"),))
    world.time += LEAST_PAUSE
    assert world.servers() == ldaps("dc1")


def test_when_all_are_down_it_is_looked_up_before_its_time() -> None:
    world = World()
    world.zone.names[EVERYBODY] = Records((record("dc1"),), 900)
    world.servers()
    world.zone.names[EVERYBODY] = Records((record("dc2"),), 900)
    world.list.renew()
    assert world.servers() == ldaps("dc1")
    world.time += LEAST_PAUSE
    world.list.renew()
    world.servers()
    assert world.servers() == ldaps("dc2")


def held(world: World) -> threading.Event:
    """Keep DNS's answers back until the event."""
    go_on = threading.Event()
    srv = world.zone.srv

    def slow(name: str, seconds: float) -> Records:
        go_on.wait(5)
        return srv(name, seconds)

    world.zone.srv = slow
    return go_on


def test_named_servers_come_first_and_wait_for_no_dns() -> None:
    world = World(*ldaps("named"))
    world.zone.names[EVERYBODY] = Records((record("dc1"), record("named", 5)))
    go_on = held(world)
    assert world.list.current(Deadline.after(5)) == ldaps("named")
    go_on.set()
    world.servers()
    assert world.servers() == ldaps("named", "dc1")


def test_who_wants_the_whole_list_waits_for_it() -> None:
    world = World(*ldaps("named"))
    world.zone.names[EVERYBODY] = Records((record("dc1"),))
    assert world.list.current(Deadline.after(5), whole=True) == ldaps("named", "dc1")


@pytest.mark.parametrize(
    ("security", "port", "used"),
    [
        (Security.LDAPS, 389, 636),
        (Security.LDAPS, 3636, 3636),
        (Security.STARTTLS, 389, 389),
        (Security.STARTTLS, 3389, 3389),
    ],
)
def test_the_port_fits_the_security(security: Security, port: int, used: int) -> None:
    world = World(security=security)
    world.zone.names[EVERYBODY] = Records((record("dc1", port=port),))
    assert world.servers() == (Endpoint("dc1.example.com", used),)


FOREIGN = Record(0, 100, "ldap.attacker.example", 389)


@pytest.mark.parametrize(
    ("host", "taken"),
    [
        ("corp.example.com", True),
        ("dc1.corp.example.com", True),
        ("DC1.Linz.Corp.Example.COM.", True),
        ("example.com", False),
        ("evilcorp.example.com", False),
        ("corp.example.com.attacker.example", False),
        ("dc1.corp.example", False),
        ("com", False),
    ],
)
def test_only_names_of_the_directorys_own_are_taken(host: str, taken: bool) -> None:
    found = own(Records((Record(0, 0, host, 389),), 7.0), "Corp.example.com")
    assert bool(found.servers) is taken
    assert found.foreign == (() if taken else (host,))
    assert found.ttl == 7.0


def test_no_forged_record_names_a_server() -> None:
    world = World()
    world.site = "Linz"
    asked: list[str] = []
    world.zone.names = {
        EVERYBODY: Records((FOREIGN, record("dc1", 5))),
        NEAR: Records((FOREIGN,)),
    }

    def site(server: Record, *_: object) -> str:
        asked.append(server.host)
        return "Linz"

    groups, _ = find_domain_controllers(DOMAIN, world.zone, site)
    assert [r.host for group in groups for r in group.servers] == ["dc1.example.com"]
    assert asked == ["dc1.example.com"]
    assert world.servers() == ldaps("dc1")
    assert world.list.foreign == (FOREIGN.host,)
    world.zone.names = {EVERYBODY: Records((FOREIGN,))}
    assert world.later(LEAST_TTL) == ldaps("dc1")
    world.zone.names = {EVERYBODY: Records((record("dc2"),))}
    assert world.later(LEAST_TTL) == ldaps("dc2")
    assert world.list.foreign == ()


def test_who_is_named_in_the_configuration_is_not_foreign() -> None:
    world = World(Endpoint("LDAP.attacker.example", 636))
    world.zone.names[EVERYBODY] = Records((FOREIGN, record("dc1")))
    found = world.list.current(Deadline.after(5), whole=True)
    assert found == (Endpoint(FOREIGN.host, 636), *ldaps("dc1"))
    assert world.list.foreign == ()


def test_a_directory_takes_names_below_its_own_alone() -> None:
    zone = Zone()
    servers = (FOREIGN, record("ldap"), record("dc.corp"))
    zone.names["_ldap._tcp.corp.example.com"] = Records(servers)
    settings = DirectorySettings(
        type="ldap",
        discover="dns",
        directory_domain="corp.example.com",
        username="bridge@corp.example.com",
    )
    found = discovered("example.com", settings, zone)
    assert found.current(Deadline.after(5)) == ldaps("dc.corp")
    assert found.foreign == (FOREIGN.host, "ldap.example.com")


def test_kdcs_are_found_by_the_realms_name() -> None:
    zone = Zone()
    kdc = record("kdc", port=88)
    zone.names["_kerberos._tcp.example.com"] = Records((FOREIGN, kdc))
    found = discovered_kdcs("EXAMPLE.COM", zone)
    assert found.current(Deadline.after(5)) == (Endpoint("kdc.example.com", 88),)
    assert found.foreign == (FOREIGN.host,)


def test_case_makes_no_second_server() -> None:
    world = World(Endpoint("DC1.Example.com", 636))
    world.zone.names[EVERYBODY] = Records((record("dc1"), record("Dc1", 5)))
    assert world.list.current(Deadline.after(5), whole=True) == ldaps("dc1")


def test_name_servers_that_change_are_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[object] = []

    def note(resolver: dns.resolver.Resolver, *_: object, **__: object) -> None:
        asked.extend(resolver.nameservers)
        raise OSError("no network")

    monkeypatch.setattr(dns.resolver.Resolver, "resolve", note)
    file = tmp_path / "resolv.conf"
    system = discovery.SystemDns(str(file))
    for address in ("192.0.2.1", "192.0.2.2"):
        file.write_text(f"nameserver {address}\n")
        with pytest.raises(DnsFailure):
            system.srv("_ldap._tcp.example.org", 1)
    assert asked == ["192.0.2.1", "192.0.2.2"]
    file.unlink()
    with pytest.raises(DnsFailure):
        system.srv("_ldap._tcp.example.org", 1)


def test_a_list_is_bounded() -> None:
    world = World()
    world.zone.names[EVERYBODY] = Records(tuple(record(f"dc{n}") for n in range(500)))
    assert len(world.servers()) == MOST_SERVERS


def test_open_directory_has_records_of_its_own() -> None:
    zone = Zone()
    zone.names["_ldap._tcp.example.com"] = Records((record("od"),))
    settings = DirectorySettings(
        type="open-directory-kerberos",
        discover="dns",
        username="uid=diradmin",
    )
    found = discovered("example.com", settings, zone).current(Deadline.after(5))
    assert found == ldaps("od")


def test_many_callers_ask_dns_once() -> None:
    world = World()
    go_on = held(world)
    world.zone.names[EVERYBODY] = Records((record("dc1"),))
    found: list[tuple[Endpoint, ...]] = []
    threads = [
        threading.Thread(target=lambda: found.append(world.servers())) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    go_on.set()
    for thread in threads:
        thread.join(10)
    assert found == [ldaps("dc1")] * 8
    assert world.zone.asked == [EVERYBODY]


def test_a_dns_that_is_not_there_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise OSError("no network")

    monkeypatch.setattr(dns.resolver.Resolver, "resolve", broken)
    with pytest.raises(DnsFailure):
        discovery.SystemDns().srv("_ldap._tcp.example.org", 1)
    assert discovery.domain_controllers("example.org") == ()
    assert discovery.ldap_servers("example.org") == ()
