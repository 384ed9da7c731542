"""A connector over a list in memory: for tests of everything that reads one.

It passes the same contract as the real ones, and can be told to fail as they do. Its
deltas lose what those of the real ones lose, see `Deltas`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from enum import StrEnum

from dirbridge.connectors import cursors
from dirbridge.connectors.base import Known, ReadItem
from dirbridge.errors import Unreachable
from dirbridge.model.deadline import Deadline
from dirbridge.model.entry import (
    Cursor,
    Entry,
    Exclusion,
    Finished,
    Found,
    Gone,
    ReadKind,
    Unchanged,
    Vanished,
)
from dirbridge.model.finding import Finding, Outcome
from dirbridge.model.names import DirectoryId, DomainName, fold, split_address

_LOOK_SECONDS = 0.05

_NAMES = ("samaccountname", "userprincipalname", "uid", "mail")


class Deltas(StrEnum):
    """What a server can tell of changes, and what it cannot.

    Attributes:
        NONE: Nothing: every read is a full one.
        DIRSYNC: Everything, deletions too; a cursor holds on each server.
        DIRSYNC_OWN: No deletions; a cursor holds on each server.
        USN: No deletions; a cursor holds on one server only.
        SYNCREPL: That somebody was deleted, but not who.
        SYNCREPL_SET: Likewise; and ids are set by people, see `renumber`.
    """

    NONE = "none"
    DIRSYNC = "dirsync"
    DIRSYNC_OWN = "dirsync-own"
    USN = "usn"
    SYNCREPL = "syncrepl"
    SYNCREPL_SET = "syncrepl-set"


_VANISHED = {
    Deltas.DIRSYNC: Vanished.TOLD,
    Deltas.DIRSYNC_OWN: Vanished.UNTOLD,
    Deltas.USN: Vanished.UNTOLD,
    Deltas.SYNCREPL: Vanished.SUSPECTED,
    Deltas.SYNCREPL_SET: Vanished.SUSPECTED,
}
"""What is told of the deleted, where there are some."""


class MemoryConnector:
    """Entries in memory, with the failures of real servers on demand.

    What `put`, `remove` and `move_out` do is told by deltas; a change of `entries`
    itself only by a full read.

    Attributes:
        entries: What the directory holds, in its order.
        unreachable: No server answers.
        incomplete_after: The read breaks off after that many entries.
        exclusions: Entries that are left out, by id.
        deltas: What it can tell of changes.
        server_id: Which server answers, and which life of it.
        scope: What is read, and by whom; a cursor holds for one scope.
        refuse_cursors: The server takes none of the cursors it has given out.
        behind: The only server left knows less than any cursor.
    """

    def __init__(
        self,
        entries: Iterable[Entry] = (),
        *,
        domain: str = "example.com",
        source: str = "directory",
        server: str = "memory:0",
        base: str = "dc=example,dc=com",
        deltas: Deltas = Deltas.NONE,
    ) -> None:
        self.entries = list(entries)
        self.unreachable = False
        self.incomplete_after: int | None = None
        self.exclusions: dict[DirectoryId, Exclusion] = {}
        self.deltas = deltas
        self.server_id = "1"
        self.scope = "all"
        self.refuse_cursors = False
        self.behind = False
        self._log: list[tuple[DirectoryId, bool]] = []  # whether it was deleted then
        self._outside: set[DirectoryId] = set()
        self._domain = DomainName(domain)
        self._source = source
        self._server = server
        self._base = base

    @property
    def source(self) -> str:
        """Name of the directory within its domain."""
        return self._source

    def put(self, entry: Entry) -> None:
        """Add an entry, or change the one with its id; it is in scope afterwards."""
        ids = [each.id for each in self.entries]
        if entry.id in ids:
            self.entries[ids.index(entry.id)] = entry
        else:
            self.entries.append(entry)
        self._outside.discard(entry.id)
        self._log.append((entry.id, False))

    def renumber(self, ids: Mapping[DirectoryId, DirectoryId]) -> None:
        """Give entries other ids, all at once, as people can where an id may be set.

        Args:
            ids: The new id by the old one.
        """
        self.entries = [replace(e, id=ids.get(e.id, e.id)) for e in self.entries]
        self._outside = {ids.get(one, one) for one in self._outside}
        self._log = [
            (one if gone else ids.get(one, one), gone) for one, gone in self._log
        ]
        self._log += ((one, False) for one in ids.values())

    def remove(self, directory_id: DirectoryId) -> None:
        """Delete an entry."""
        self.entries = [each for each in self.entries if each.id != directory_id]
        self._log.append((directory_id, True))

    def move_out(self, directory_id: DirectoryId) -> None:
        """Let an entry leave what is read; it is still there."""
        self._outside.add(directory_id)
        self._log.append((directory_id, False))

    def read(
        self,
        cursor: Cursor | None = None,
        known: Known | None = None,
        *,
        full: bool = False,
    ) -> Iterator[ReadItem]:
        """Stream all entries, or what changed; see `Connector.read`."""
        self._reach("read")
        self._keep_up(cursor)
        since = None if full else self._opened(cursor)
        items, vanished = (
            (list(self._in_scope()), Vanished.TOLD)
            if since is None
            else self._changed(since)
        )
        end = self.incomplete_after
        whole = end is None or end > len(items)
        for item in items if whole else items[:end]:
            yield Unchanged(item.id) if _is_known(item, known) else item
        yield Finished(
            ReadKind.FULL if since is None else ReadKind.DELTA,
            complete=whole,
            server=self._server,
            base=self._base,
            cursor=self._mark() if whole else None,
            why="" if whole else "told to break off",
            vanished=vanished,
        )

    def sweep(self, cursor: Cursor | None = None) -> Iterator[DirectoryId | Finished]:
        """Stream the ids of all entries in scope; see `Connector.sweep`."""
        for item in self.read(cursor, full=True):
            match item:
                case Entry():
                    yield item.id
                case Finished():
                    yield replace(item, cursor=None)

    def _in_scope(self) -> Iterator[Entry]:
        left_out = self.exclusions.keys() | self._outside
        return (entry for entry in self.entries if entry.id not in left_out)

    def _changed(self, since: int) -> tuple[list[Entry | Gone], Vanished]:
        """Return what a server of this kind tells of the changes after `since`."""
        log = self._log[since:]
        changed = dict.fromkeys(one for one, _ in log)
        there = {entry.id: entry for entry in self._in_scope()}
        alive = {entry.id for entry in self.entries}
        deleted = [one for one in changed if one not in alive]
        items: list[Entry | Gone] = [there[one] for one in changed if one in there]
        items += [Gone(one) for one in changed if one in alive and one not in there]
        if self.deltas is Deltas.DIRSYNC:
            items += map(Gone, deleted)
        untold = _VANISHED[self.deltas]
        if self.deltas is Deltas.SYNCREPL and not deleted:
            untold = Vanished.TOLD
        if self.deltas is Deltas.SYNCREPL_SET and not any(gone for _, gone in log):
            untold = _untold(items)
        return items, untold

    def _mark(self) -> Cursor | None:
        if self.deltas is Deltas.NONE:
            return None
        state = {"at": str(len(self._log)), "server": self.server_id}
        return cursors.seal(self.deltas, self.scope, state)

    def _opened(self, cursor: Cursor | None) -> int | None:
        """Return up to where the log is known; None where all must be read."""
        state = cursors.unseal(cursor, self.deltas, self.scope)
        if state is None or self.refuse_cursors or self.deltas is Deltas.NONE:
            return None
        elsewhere = state.get("server") != self.server_id
        if self.deltas is Deltas.USN and elsewhere:
            return None
        return int(state["at"])

    def find(
        self, directory_id: DirectoryId, deadline: Deadline | None = None
    ) -> Entry | None:
        """Read one entry; see `Connector.find`."""
        self._reach("find")
        if deadline is not None and deadline.left() <= 0:
            raise self._away("find", "timeout")
        return next((e for e in self.entries if e.id == directory_id), None)

    def lookup(self, name: str) -> tuple[Found, ...]:
        """Look a typed name up; see `Connector.lookup`."""
        self._reach("find")
        wanted = {fold(name), fold((split_address(name) or (name, ""))[0])}
        return tuple(
            Found(
                entry,
                tuple(x for i, x in self.exclusions.items() if i == entry.id),
                True,
                self._server,
            )
            for entry in self.entries
            if wanted & set(_names(entry))
        )

    def check(self) -> list[Finding]:
        """Say whether it is reachable; see `Connector.check`."""
        if self.unreachable:
            text = "The connect failed: told to."
            mend = "Set unreachable to False."
            return [
                Finding(self._server, "connect", Outcome.FAILED, text, mend, "refused")
            ]
        return [Finding(self._server, "connect", Outcome.OK, "It is in memory.")]

    def watch(self, changed: Callable[[], None], stop: threading.Event) -> None:
        """Wait for changes of the list; see `Connector.watch`."""
        seen: list[Entry] | None = None
        while not stop.wait(_LOOK_SECONDS):
            now = None if self.unreachable else list(self.entries)
            if now is not None and now != seen:
                changed()
            seen = now

    def _reach(self, operation: str) -> None:
        if self.unreachable:
            raise self._away(operation, "refused")

    def _keep_up(self, cursor: Cursor | None) -> None:
        if self.behind and cursor is not None:
            raise self._away("read", "behind")

    def _away(self, operation: str, code: str) -> Unreachable:
        return Unreachable(
            domain=self._domain,
            server=self._server,
            operation=operation,
            code=code,
            detail="told to",
        )


def _untold(items: list[Entry | Gone]) -> Vanished:
    """Say what is untold where ids can be set, and nobody was deleted."""
    if any(isinstance(item, Gone) for item in items):
        return Vanished.SUSPECTED
    return Vanished.IF_NEW if items else Vanished.TOLD


def _is_known(item: Entry | Gone, known: Known | None) -> bool:
    return isinstance(item, Entry) and bool(known and known.get(item.digest) == item.id)


def _names(entry: Entry) -> Iterator[str]:
    for attribute in _NAMES:
        for value in entry.values(attribute):
            yield fold(value.decode("utf-8", "replace"))
