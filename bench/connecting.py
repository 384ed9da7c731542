"""Rows about connections: a new one, and the first answer of another server."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from bench.row import BenchError, Pair
from dirbridge.authenticators.ldap_bind import ldap_bind
from dirbridge.config.settings import DirectorySettings, DirectoryType, LoginSettings
from dirbridge.config.types import HostPort
from dirbridge.connectors.ldap_directory import LdapDirectory
from dirbridge.connectors.open_directory import open_directory
from dirbridge.ldap.kept import FRESH_SECONDS
from dirbridge.ldap.transport import Access, Endpoint, open_transport
from dirbridge.mapping.profile import load_profile
from dirbridge.model.account import Account, AccountValues, Origin
from dirbridge.model.deadline import Deadline
from dirbridge.model.login import Accepted
from dirbridge.model.names import DirectoryId, DomainName
from dirbridge.model.secret import Secret
from testbed import cast, namespace
from testbed.bed import Bed
from testbed.process import run
from testbed.slapd import Od1

DOMAIN = DomainName(cast.OD_MAIL_DOMAIN)
BACKUP = "od2.example.com:636"
SECONDS = 9.0
"""The time that a login has."""

REFERENCE = Path(__file__).with_name("python_ldap_binds.py")


@contextmanager
def ldaps_bind(binds: int, folder: Path) -> Iterator[Pair]:
    """A new LDAPS connection with one simple bind, against python-ldap.

    Both check certificate and name, and do one after the other in one thread.
    """
    with _bed(folder, "od1") as bed:
        yield Pair(lambda: _bind_often(bed, binds), lambda: _theirs(bed, binds))


@contextmanager
def failover_stopped(_: int, folder: Path) -> Iterator[Pair]:
    """The first answer of the backup, after the first server was stopped."""
    with _bed(folder, "od1", "od2") as bed:
        yield Pair(lambda: _first_answers(bed, Od1.stop))


@contextmanager
def failover_frozen(_: int, folder: Path) -> Iterator[Pair]:
    """The first answer of the backup, after the first server was frozen."""
    with _bed(folder, "od1", "od2") as bed:
        yield Pair(lambda: _first_answers(bed, Od1.freeze))


@contextmanager
def _bed(folder: Path, *servers: str) -> Iterator[Bed]:
    namespace.enter()
    with Bed(folder / "bed") as bed:
        bed.start(*servers)
        yield bed


def _bind_often(bed: Bed, binds: int) -> float:
    """Return the milliseconds of one connection and bind."""
    person = cast.od("anna")
    access = Access.of(DOMAIN, _settings(bed))
    server = Endpoint(bed.od1.host, 636)
    password = bed.password(person)
    started = time.monotonic()
    for _ in range(binds):
        transport = open_transport(server, access, Deadline.after(SECONDS))
        transport.allow(Deadline.after(SECONDS))
        result = transport.simple_bind(person.dn, password)
        transport.close()
        if result.code != 0:
            raise BenchError(f"the bind ended with result {result.code}")
    return (time.monotonic() - started) / binds * 1000


def _theirs(bed: Bed, binds: int) -> float:
    person = cast.od("anna")
    what = [f"ldaps://{bed.od1.host}", bed.ca_file, person.dn, str(binds)]
    argv = ["/usr/bin/python3", REFERENCE, *what]
    return float(run(argv, stdin=bed.password(person))) / binds * 1000


@dataclass(frozen=True, slots=True)
class _Bridge:
    """What looks accounts up and checks passwords, with both servers."""

    connector: LdapDirectory
    log_in: Callable[[], None]

    def find(self) -> None:
        """Read one entry."""
        if self.connector.find(DirectoryId(cast.od("anna").guid)) is None:
            raise BenchError("anna was not found")

    def server(self) -> str:
        """The server that answered last."""
        up = [state.server for state in self.connector.states() if state.up]
        return up[0] if up else ""


def _first_answers(bed: Bed, fail: Callable[[Od1], None]) -> float:
    """Return the seconds of the slower one of a first login and a first look-up.

    Each has a bridge of its own, which used the first server a short while ago.
    """
    bridges = [_bridge(bed), _bridge(bed)]
    works = [bridges[0].log_in, bridges[1].find]
    for work in works:
        work()
    time.sleep(FRESH_SECONDS + 0.1)
    fail(bed.od1)
    try:
        took = [_time(work) for work in works]
        if [bridge.server() for bridge in bridges] != [BACKUP, BACKUP]:
            raise BenchError("somebody else than the backup answered")
    finally:
        bed.heal()
        for bridge in bridges:
            bridge.connector.close()
    return max(took)


def _time(work: Callable[[], None]) -> float:
    started = time.monotonic()
    work()
    return time.monotonic() - started


def _bridge(bed: Bed) -> _Bridge:
    settings = _settings(bed)
    secret = Secret(bed.password("diradmin", "od"))
    connector = open_directory(
        DOMAIN,
        settings,
        load_profile("open-directory"),
        lambda: secret,
        login=LoginSettings(),
    )
    binds = ldap_bind(DOMAIN, settings, connector.failover)
    account, password = _account(), Secret(bed.password(cast.od("anna")))

    def log_in() -> None:
        verdict = binds.authenticate(account, password, Deadline.after(SECONDS))
        if not isinstance(verdict, Accepted):
            raise BenchError(f"the login ended with {verdict}")

    return _Bridge(connector, log_in)


def _settings(bed: Bed) -> DirectorySettings:
    return DirectorySettings(
        type=DirectoryType.OPEN_DIRECTORY_KERBEROS,
        server=HostPort(bed.od1.host),
        backup_server=(HostPort(bed.od2.host),),
        ca_file=bed.ca_file,
        username=cast.od("diradmin").dn,
    )


def _account() -> Account:
    person = cast.od("anna")
    values = AccountValues(
        directory_id=DirectoryId(person.guid), dn=person.dn, login_names=person.uids
    )
    return Account(
        number=1,
        domain=DOMAIN,
        mailbox=person.uid,
        origin=Origin.MAPPED,
        state_since=datetime.now(UTC),
        values=values,
    )
