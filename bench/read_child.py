"""One bulk read in an interpreter of its own; prints what it found as JSON.

`python -m bench.read_child WAY SETTINGS FILTER`: SETTINGS are a directory's table as
JSON, without its password, which is read from standard input. The seconds are those
of connecting, binding and reading, not of starting Python.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from dirbridge.config.settings import DirectorySettings
from dirbridge.connectors.base import ReadItem
from dirbridge.connectors.ldap_directory import LdapDirectory
from dirbridge.connectors.open_directory import open_directory
from dirbridge.model.entry import Entry, Exclusion, Finished, Unchanged
from dirbridge.model.names import DomainName
from dirbridge.model.secret import Secret

TWELVE = (
    "apple-generateduid",
    "authAuthority",
    "cn",
    "entryCSN",
    "entryUUID",
    "gidNumber",
    "givenName",
    "homeDirectory",
    "mail",
    "sn",
    "uid",
    "uidNumber",
)
"""Attributes that every account of the large slapd has; a connector asks for the
change number itself."""


@dataclass(frozen=True, slots=True)
class Twelve:
    """A selection of all accounts with twelve attributes, instead of a profile's."""

    base_filter: str
    id: str = "apple-generateduid"
    exclude: tuple[Exclusion, ...] = ()
    group_filter: str | None = None
    contact_filter: str | None = None
    login_attributes: frozenset[str] = frozenset({"uid"})
    attributes: tuple[str, ...] = TWELVE


@dataclass(slots=True)
class Seen:
    """What a read gave.

    Attributes:
        entries: How many entries, unchanged ones included.
        decoded: How many of them were decoded.
        octets: The lengths of all values together, where they were summed.
        seconds: How long it took.
        peak: The most memory that the process ever had, in kB.
    """

    entries: int = 0
    decoded: int = 0
    octets: int = 0
    seconds: float = 0.0
    peak: int = 0


def as_bytes(connector: LdapDirectory) -> Seen:
    """Read all entries, values as octets."""
    seen = Seen()
    for item in _whole(connector.read()):
        if item.__class__ is Entry:
            seen.decoded += 1
        seen.entries += 1
    return seen


def as_text(connector: LdapDirectory) -> Seen:
    """Read all entries, and decode every value to text."""
    seen = Seen()
    for item in _whole(connector.read()):
        if isinstance(item, Entry):
            _ = {
                name: [value.decode() for value in values]
                for name, values in item.attributes.items()
            }
            seen.decoded += 1
        seen.entries += 1
    return seen


def summed(connector: LdapDirectory) -> Seen:
    """Read all entries, and sum the lengths of their values."""
    seen = Seen()
    for item in _whole(connector.read()):
        if isinstance(item, Entry):
            for values in item.attributes.values():
                seen.octets += sum(map(len, values))
            seen.decoded += 1
        seen.entries += 1
    return seen


def skipping(connector: LdapDirectory) -> Seen:
    """Read all entries a second time; the first read is not measured."""
    known = {e.digest: e.id for e in connector.read() if isinstance(e, Entry)}
    seen = Seen()
    started = time.monotonic()
    for item in _whole(connector.read(known=known)):
        if item.__class__ is not Unchanged:
            seen.decoded += 1
        seen.entries += 1
    seen.seconds = time.monotonic() - started
    return seen


WAYS: dict[str, Callable[[LdapDirectory], Seen]] = {
    "bytes": as_bytes,
    "text": as_text,
    "skip": skipping,
    "sum": summed,
}


def _whole(items: Iterator[ReadItem]) -> Iterator[ReadItem]:
    for item in items:
        if isinstance(item, Finished):
            if not item.complete:
                sys.exit(f"the read is not complete: {item.why}")
            return
        yield item


def _peak() -> int:
    """The process's own peak; getrusage would count the parent's before exec."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("VmHWM")))


def main(way: str, settings: str, text: str) -> Seen:
    """Read in one of the ways."""
    password = Secret(sys.stdin.read())
    connector = open_directory(
        DomainName("example.org"),
        DirectorySettings(**json.loads(settings)),
        Twelve(text),
        lambda: password,
    )
    started = time.monotonic()
    seen = WAYS[way](connector)
    seen.seconds = seen.seconds or time.monotonic() - started
    seen.peak = _peak()
    return seen


if __name__ == "__main__":
    found = main(*sys.argv[1:])
    print(json.dumps({name: getattr(found, name) for name in Seen.__slots__}))
