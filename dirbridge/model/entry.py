"""What a connector reads: entries, and how a read ended."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from dirbridge.model.names import DirectoryId


class EntryKind(StrEnum):
    """What an entry is to a mail server: somebody who logs in, or only a recipient."""

    ACCOUNT = "account"
    GROUP = "group"
    CONTACT = "contact"


@dataclass(frozen=True, slots=True)
class Entry:
    """One directory entry as the server sent it.

    Attributes:
        id: The stable id, the account's identity.
        dn: The distinguished name at the time of the read; no identity.
        attributes: Values as bytes; names in lower case, as LDAP names compare
            without case. Use `values` to look one up.
        kind: Account, group or contact.
        digest: Hash of the octets that the server sent, b"" where they do not
            stand for the whole entry. See `Unchanged`.
    """

    id: DirectoryId
    dn: str
    attributes: Mapping[str, tuple[bytes, ...]] = field(repr=False)
    kind: EntryKind = EntryKind.ACCOUNT
    digest: bytes = field(default=b"", repr=False)

    def values(self, attribute: str) -> tuple[bytes, ...]:
        """Return an attribute's values in the server's order, empty if absent."""
        return self.attributes.get(attribute.lower(), ())


@dataclass(frozen=True, slots=True)
class Gone:
    """An entry that the directory says was deleted or left the base."""

    id: DirectoryId


@dataclass(frozen=True, slots=True)
class Unchanged:
    """An entry whose octets are those that the caller said it knows."""

    id: DirectoryId


class Vanished(StrEnum):
    """What a read tells of entries that are not there any more.

    Attributes:
        TOLD: All of them: by `Gone`, or by absence from a complete full read.
        IF_NEW: Nobody went, unless an entry came that is not known by this id and
            this DN: here people can give an entry another id, and the former one is
            told by nothing. Then a sweep tells.
        SUSPECTED: Some went, and the directory does not say which: a sweep does.
        UNTOLD: Nothing; a sweep or a full read has to be made now and then.
    """

    TOLD = "told"
    IF_NEW = "if-new"
    SUSPECTED = "suspected"
    UNTOLD = "untold"


class ReadKind(StrEnum):
    """Whether a read told everything or only what changed."""

    FULL = "full"
    DELTA = "delta"


@dataclass(frozen=True, slots=True)
class Cursor:
    """Where the next delta goes on; opaque outside its connector.

    Attributes:
        kind: The mechanism, such as `dirsync`, `usn`, `syncrepl`.
        value: The mechanism's own state.
    """

    kind: str
    value: bytes


@dataclass(frozen=True, slots=True)
class Finished:
    """The last thing that a read yields.

    Attributes:
        kind: Full or delta.
        complete: True only when every page's result code was good and no limit
            was met. Only a complete full read may show that somebody vanished.
        server: `host:port` that answered.
        base: The DN that was read below.
        cursor: Where a delta may go on, or None.
        why: Where not complete, the server's own words; else what was left out.
        vanished: What was told of entries that went.
    """

    kind: ReadKind
    complete: bool
    server: str
    base: str
    cursor: Cursor | None = None
    why: str = ""
    vanished: Vanished = Vanished.TOLD


@dataclass(frozen=True, slots=True)
class Exclusion:
    """A filter that leaves entries out, with the reason for people."""

    name: str
    filter: str
    why: str


@dataclass(frozen=True, slots=True)
class Found:
    """An entry that was looked up by name, live, for a person who asks why.

    Attributes:
        entry: The entry.
        excluded_by: The profile's exclusions that match it.
        in_scope: Whether it stands below the base and matches the filters.
        server: `host:port` that answered.
    """

    entry: Entry
    excluded_by: tuple[Exclusion, ...]
    in_scope: bool
    server: str
