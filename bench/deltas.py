"""Rows about reading only what changed."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

from bench.row import BenchError, Pair
from dirbridge.config.settings import DirectorySettings
from dirbridge.connectors.ldap_directory import LdapDirectory
from dirbridge.connectors.open_directory import open_directory
from dirbridge.mapping.profile import load_profile
from dirbridge.model.entry import Cursor, Entry, Finished, ReadKind
from dirbridge.model.names import DomainName
from dirbridge.model.secret import Secret
from testbed import cast, namespace, scale
from testbed.scale import Scale

READS = 50
"""Reads for one figure; the first of a connection is not counted."""


@contextmanager
def delta_nothing(accounts: int, folder: Path) -> Iterator[Pair]:
    """A delta in which nothing changed, over LDAPS, on a kept connection.

    It is `Connector.read` with the cursor of a full read of all accounts.
    """
    namespace.enter()
    server = scale.load(folder / "bed", accounts)
    server.start()
    connector = _connector(server)
    try:
        cursor = _read_all(connector, accounts)
        yield Pair(lambda: _milliseconds(connector, cursor))
    finally:
        connector.close()
        server.stop()


def _connector(server: Scale) -> LdapDirectory:
    secret = Secret(server.password(scale.PASSWORD_KEY))
    settings = DirectorySettings.model_validate(
        {
            "type": "open-directory-kerberos",
            "server": server.host,
            "suffix": cast.OD_BASE,
            "ca_file": server.ca_file,
            "username": cast.od("diradmin").dn,
        }
    )
    profile = load_profile("open-directory")
    domain = DomainName(cast.OD_MAIL_DOMAIN)
    return open_directory(domain, settings, profile, lambda: secret)


def _read_all(connector: LdapDirectory, accounts: int) -> Cursor:
    found = 0
    for item in connector.read():
        found += isinstance(item, Entry)
        if isinstance(item, Finished) and item.complete and item.cursor:
            if found < accounts:
                raise BenchError(f"{found} entries were read, not {accounts}")
            return item.cursor
    raise BenchError("the full read gave no cursor")


def _milliseconds(connector: LdapDirectory, cursor: Cursor) -> float:
    return median([_once(connector, cursor) for _ in range(READS + 1)][1:])


def _once(connector: LdapDirectory, cursor: Cursor) -> float:
    started = time.perf_counter()
    items = list(connector.read(cursor))
    taken = (time.perf_counter() - started) * 1000
    (end,) = items[-1:]
    if len(items) > 1 or not isinstance(end, Finished) or end.kind is ReadKind.FULL:
        raise BenchError(f"something changed: {len(items)} items")
    return taken
