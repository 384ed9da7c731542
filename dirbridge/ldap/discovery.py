"""Find a domain's directory servers by DNS, and keep the list while the bridge runs.

Active Directory's domain controllers of the client's own site come first, those of
other sites after them (MS-ADTS 6.3.2.3, 6.3.6). DNS that is silent, or that suddenly
names nobody, takes no server away that is known already.

Whoever answers in the name server's stead names servers of his own, for which he has
good certificates, and would be given passwords. A name that came over an insecure way
is nothing to check a certificate against (RFC 6125 section 6.2.1, RFC 4513 section
3.1.3), so only names that are the directory's own name or stand below it are taken.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, groupby
from typing import Protocol

from dirbridge.config.settings import DirectorySettings, DirectoryType, Security
from dirbridge.config.types import HostPort
from dirbridge.ldap.site import ask_site
from dirbridge.ldap.transport import Endpoint
from dirbridge.model.deadline import Deadline

LIFETIME = 5.0
"""Seconds for one question; a site without the records answers at once."""

LEAST_TTL, MOST_TTL = 60.0, 3600.0
"""Seconds between two looks, whatever the records say."""

LEAST_PAUSE = 10.0
"""Seconds between two looks while all servers are down or DNS fails."""

MOST_SERVERS = 64
"""Most servers of a list; a large forest has hundreds, and nobody asks them all."""

PLAIN_PORT = 389

PINGED = 3
"""How many domain controllers are asked for our site, one after the other."""

_log = logging.getLogger("dirbridge.ldap")


@dataclass(frozen=True, slots=True, order=True)
class Record:
    """One SRV record (RFC 2782)."""

    priority: int
    weight: int
    host: str
    port: int


@dataclass(frozen=True, slots=True)
class Records:
    """What DNS names: nobody is an answer as well.

    Attributes:
        servers: The records, in no order.
        ttl: Seconds for which they hold.
        foreign: Hosts that were named too and are not the domain's own.
    """

    servers: tuple[Record, ...] = ()
    ttl: float = LEAST_TTL
    foreign: tuple[str, ...] = ()


class DnsFailure(Exception):
    """DNS gave no answer, which is not the answer that there is nobody."""


class Dns(Protocol):
    """Asks DNS for SRV records."""

    def srv(self, name: str, seconds: float) -> Records:
        """Return the records of a name, none where there is no such name.

        Raises:
            DnsFailure: No answer within `seconds`.
        """
        ...


class SystemDns:
    """DNS as this machine is set up to ask it; what changes there is seen."""

    def __init__(self, resolv_conf: str = "/etc/resolv.conf") -> None:
        """Ask nobody yet.

        Args:
            resolv_conf: The file with the name servers; read at each look.
        """
        self._resolv_conf = resolv_conf

    def srv(self, name: str, seconds: float) -> Records:
        """Return the records of a name; see `Dns`."""
        # As long to load as a delta takes, and mostly for nothing: servers are named.
        import dns.exception  # noqa: PLC0415
        import dns.resolver  # noqa: PLC0415

        try:
            resolver = dns.resolver.Resolver(self._resolv_conf)
            answer = resolver.resolve(name, "SRV", lifetime=max(seconds, 0.1))
        except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
            return Records()
        except (dns.exception.DNSException, OSError) as error:
            raise DnsFailure(f"{name}: {error}") from error
        found = (
            Record(each.priority, each.weight, _host(each.target), each.port)
            for each in answer
        )
        # An empty target says "not here" (RFC 2782).
        servers = tuple(record for record in found if record.host)
        return Records(servers, float(answer.rrset.ttl if answer.rrset else 0))


Site = Callable[[Record, str, float], str | None]
"""Asks a server for the client's site within so many seconds."""


def in_order(
    records: Sequence[Record], choose: Callable[[], float] = random.random
) -> tuple[Record, ...]:
    """Return records as RFC 2782 wants them tried.

    Args:
        records: The records.
        choose: Gives a number from 0 to below 1, for the order by weight.
    """
    ordered: list[Record] = []
    for _, equal in groupby(sorted(set(records)), key=lambda each: each.priority):
        left = list(equal)  # those of weight 0 come first, as the RFC asks for
        while left:
            ordered.append(left.pop(_weighted(left, choose())))
    return tuple(ordered)


def _weighted(records: Sequence[Record], chosen: float) -> int:
    """Return which one is next: the first whose running sum reaches the chosen one."""
    total = sum(record.weight for record in records)
    if not total:
        return int(chosen * len(records))
    sums = accumulate(record.weight for record in records)
    return next(n for n, running in enumerate(sums) if running >= chosen * total)


def own(records: Records, domain: str) -> Records:
    """Return the records of a domain's own hosts; the others are named as foreign."""
    taken = tuple(each for each in records.servers if _is_own(each.host, domain))
    hosts = {each.host for each in records.servers}
    foreign = sorted(host for host in hosts if not _is_own(host, domain))
    return replace(records, servers=taken, foreign=tuple(foreign))


def _is_own(host: str, domain: str) -> bool:
    """Whether a host is the domain itself or stands below it, label by label."""
    labels, suffix = _labels(host), _labels(domain)
    return len(labels) >= len(suffix) and labels[-len(suffix) :] == suffix


def _labels(name: str) -> list[str]:
    return name.rstrip(".").lower().split(".")


def find_domain_controllers(
    domain: str,
    dns_: Dns | None = None,
    site: Site = ask_site,
    seconds: float = LIFETIME,
) -> tuple[tuple[Records, ...], str | None]:
    """Return Active Directory's domain controllers and the client's site.

    Args:
        domain: Active Directory's own DNS name.
        dns_: Asks DNS; as this machine is set up to without.
        site: Asks a domain controller for our site.
        seconds: Time for all of it.

    Returns:
        The records of the site, if there is one, then those of the whole domain.

    Raises:
        DnsFailure: DNS gave no answer.
    """
    asked, limit = dns_ or SystemDns(), Deadline.after(seconds)
    everybody = own(asked.srv(f"_ldap._tcp.dc._msdcs.{domain}", limit.left()), domain)
    ours = None
    for record in in_order(everybody.servers)[:PINGED]:
        ours = site(record, domain, limit.left() / (PINGED + 1))
        if ours is not None:
            break
    if not ours:
        return (everybody,), ours
    try:
        near = asked.srv(f"_ldap._tcp.{ours}._sites.dc._msdcs.{domain}", limit.left())
    except DnsFailure:
        return (everybody,), None
    return (own(near, domain), everybody), ours


def find_ldap_servers(
    domain: str, dns_: Dns | None = None, seconds: float = LIFETIME
) -> tuple[Records, ...]:
    """Return the LDAP servers of a DNS domain, as Open Directory announces them.

    Raises:
        DnsFailure: DNS gave no answer.
    """
    records = (dns_ or SystemDns()).srv(f"_ldap._tcp.{domain}", seconds)
    return (own(records, domain),)


def find_kdcs(
    realm: str, dns_: Dns | None = None, seconds: float = LIFETIME
) -> tuple[Records, ...]:
    """Return a realm's KDCs that are asked by TCP (RFC 4120 section 7.2.3.2).

    Raises:
        DnsFailure: DNS gave no answer.
    """
    domain = realm.lower()
    records = (dns_ or SystemDns()).srv(f"_kerberos._tcp.{domain}", seconds)
    return (own(records, domain),)


def domain_controllers(domain: str) -> tuple[str, ...]:
    """Return the hosts of Active Directory's domain controllers, the nearest first.

    Empty where DNS names none or does not answer.
    """
    return _host_names(lambda: find_domain_controllers(domain)[0])


def ldap_servers(domain: str) -> tuple[str, ...]:
    """Return the hosts of a domain's LDAP servers, the most wanted first.

    Empty where DNS names none or does not answer.
    """
    return _host_names(lambda: find_ldap_servers(domain))


def _host_names(look_up: Callable[[], Sequence[Records]]) -> tuple[str, ...]:
    try:
        groups = look_up()
    except DnsFailure:
        return ()
    ordered = (record.host for group in groups for record in in_order(group.servers))
    return tuple(dict.fromkeys(ordered))


class Discovered:
    """The servers that DNS names, after those that the configuration does.

    Attributes:
        site: The client's site in Active Directory, "" where it has none or nobody
            told it.
        foreign: Hosts that DNS names and that are not taken, as they are not the
            directory's own.
    """

    def __init__(
        self,
        look_up: Callable[[float], tuple[tuple[Records, ...], str | None]],
        security: Security,
        named: Sequence[Endpoint] = (),
        *,
        clock: Callable[[], float] = time.monotonic,
        choose: Callable[[], float] = random.random,
    ) -> None:
        """Look for nobody yet.

        Args:
            look_up: Asks DNS, within so many seconds; groups in order of preference.
            security: Says which port is meant.
            named: Servers that come first, whatever DNS says.
            clock: Seconds.
            choose: For the order by weight.
        """
        self.site = ""
        self.foreign: tuple[str, ...] = ()
        self._look_up = look_up
        self._security = security
        self._named = tuple(named)
        self._clock = clock
        self._choose = choose
        self._looking = threading.Lock()
        self._groups: tuple[frozenset[Record], ...] = ()
        self._servers = tuple(dict.fromkeys(named))
        self._known = False
        self._next_look = self._last_look = float("-inf")

    def current(
        self, deadline: Deadline, *, whole: bool = False
    ) -> tuple[Endpoint, ...]:
        """Return the servers; see `failover.Servers`.

        Only who comes first waits for DNS; a list that grows old is renewed behind
        the callers' backs.
        """
        if self._clock() >= self._next_look:
            if self._known or (self._named and not whole):
                self._look_behind()
            elif self._looking.acquire(timeout=deadline.within(LIFETIME)):
                self._look_once(deadline)
        return self._servers

    def renew(self) -> None:
        """Look for others soon; see `failover.Servers`."""
        if self._clock() - self._last_look >= LEAST_PAUSE:
            self._look_behind()

    def _look_behind(self) -> None:
        if not self._looking.acquire(blocking=False):
            return
        limit = Deadline.after(LIFETIME)
        look = threading.Thread(
            target=self._look_once, args=(limit,), name="discovery", daemon=True
        )
        try:
            look.start()
        except RuntimeError:  # the machine gives no more threads
            self._looking.release()

    def _look_once(self, deadline: Deadline) -> None:
        """Look, unless somebody did just now; gives the place free in the end."""
        try:
            if self._clock() - self._last_look < LEAST_PAUSE:
                return
            groups, site = self._look_up(deadline.within(LIFETIME))
            self._take(groups, site)
        except DnsFailure as error:
            self._last_look = self._clock()
            self._next_look = self._last_look + LEAST_PAUSE
            _log.warning("discovery: %s; the servers known before are kept", error)
        finally:
            self._looking.release()

    def _take(self, groups: tuple[Records, ...], site: str | None) -> None:
        now = self._clock()
        self._pass_over({host for group in groups for host in group.foreign})
        found = tuple(frozenset(group.servers) for group in groups)
        ttl = min((group.ttl for group in groups if group.servers), default=0.0)
        self._last_look = now
        self._next_look = now + min(max(ttl, LEAST_TTL), MOST_TTL)
        if not any(found):
            # Silence of another kind: a zone that lost its records for a while.
            self._next_look = now + LEAST_PAUSE
            return
        if site is None and self._known:
            # Nobody told our site this time; the order that we have is the better one.
            found = (*self._groups[:-1], found[-1])
        self.site = self.site if site is None else site
        self._known = True
        if found != self._groups:
            # An order once drawn stays while the records are the same.
            self._groups = found
            ordered = (
                r for group in found for r in in_order(list(group), self._choose)
            )
            endpoints = (self._endpoint(record) for record in ordered)
            self._servers = tuple(dict.fromkeys((*self._named, *endpoints)))
            self._servers = self._servers[: len(self._named) + MOST_SERVERS]

    def _pass_over(self, hosts: set[str]) -> None:
        """Note who is not taken; who is named in the configuration is asked anyhow."""
        named = {server.host for server in self._named}
        foreign = tuple(sorted({host.lower() for host in hosts} - named))
        if foreign and foreign != self.foreign:
            names = ", ".join(foreign)
            _log.warning("discovery: %s: not below the directory's name", names)
        self.foreign = foreign

    def _endpoint(self, record: Record) -> Endpoint:
        """Return the server; records name the port of plain LDAP (RFC 2782).

        A port that is not the standard one was set up so, and is kept.
        """
        port = None if record.port == PLAIN_PORT else record.port
        return Endpoint.of(HostPort(record.host, port), self._security)


def discovered(
    domain: str, settings: DirectorySettings, dns_: Dns | None = None
) -> Discovered:
    """Return the servers of a directory whose settings say `discover = "dns"`.

    Args:
        domain: The mail domain; its name is asked for where the directory's own name
            is not given.
        settings: The directory's table.
        dns_: Asks DNS; as this machine is set up to without.
    """
    name = settings.directory_domain or domain
    named = [Endpoint.of(server, settings.security) for server in settings.servers]

    def look_up(seconds: float) -> tuple[tuple[Records, ...], str | None]:
        if settings.type is DirectoryType.ACTIVE_DIRECTORY:
            return find_domain_controllers(name, dns_, seconds=seconds)
        return find_ldap_servers(name, dns_, seconds), None

    return Discovered(look_up, settings.security, named)


def discovered_kdcs(realm: str, dns_: Dns | None = None) -> Discovered:
    """Return the KDCs of a realm for which nobody named any.

    Args:
        realm: The realm; its DNS name is the same in lower case.
        dns_: Asks DNS; as this machine is set up to without.
    """

    def look_up(seconds: float) -> tuple[tuple[Records, ...], str | None]:
        return find_kdcs(realm, dns_, seconds), None

    return Discovered(look_up, Security.NONE)


def _host(target: object) -> str:
    return str(target).rstrip(".").lower()
