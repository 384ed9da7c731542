"""A connector over a list in memory: for tests of everything that reads one.

It passes the same contract as the real ones, and can be told to fail as they do.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator

from dirbridge.connectors.base import Known, ReadItem
from dirbridge.errors import Unreachable
from dirbridge.model.entry import Cursor, Entry, Exclusion, Finished, Found, ReadKind
from dirbridge.model.finding import Finding, Outcome
from dirbridge.model.names import DirectoryId, DomainName, fold, split_address

_LOOK_SECONDS = 0.05

_NAMES = ("samaccountname", "userprincipalname", "uid", "mail")


class MemoryConnector:
    """Entries in memory, with the failures of real servers on demand.

    Attributes:
        entries: What the directory holds, in its order.
        unreachable: No server answers.
        incomplete_after: The read breaks off after that many entries.
        exclusions: Entries that are left out, by id.
    """

    def __init__(
        self,
        entries: Iterable[Entry] = (),
        *,
        domain: str = "example.com",
        source: str = "directory",
        server: str = "memory:0",
        base: str = "dc=example,dc=com",
    ) -> None:
        self.entries = list(entries)
        self.unreachable = False
        self.incomplete_after: int | None = None
        self.exclusions: dict[DirectoryId, Exclusion] = {}
        self._domain = DomainName(domain)
        self._source = source
        self._server = server
        self._base = base

    @property
    def source(self) -> str:
        """Name of the directory within its domain."""
        return self._source

    def read(
        self,
        cursor: Cursor | None = None,  # noqa: ARG002
        known: Known | None = None,  # noqa: ARG002
    ) -> Iterator[ReadItem]:
        """Stream all entries; see `Connector.read`."""
        self._reach("read")
        wanted = [entry for entry in self.entries if entry.id not in self.exclusions]
        end = self.incomplete_after
        whole = end is None or end > len(wanted)
        yield from wanted if whole else wanted[:end]
        yield Finished(
            ReadKind.FULL,
            complete=whole,
            server=self._server,
            base=self._base,
            why="" if whole else "told to break off",
        )

    def find(self, directory_id: DirectoryId) -> Entry | None:
        """Read one entry; see `Connector.find`."""
        self._reach("find")
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
            raise Unreachable(
                domain=self._domain,
                server=self._server,
                operation=operation,
                code="refused",
                detail="told to",
            )


def _names(entry: Entry) -> Iterator[str]:
    for attribute in _NAMES:
        for value in entry.values(attribute):
            yield fold(value.decode("utf-8", "replace"))
