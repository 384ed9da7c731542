"""The contract of all connectors, tested by `tests/contract/test_connector.py`."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Protocol

from dirbridge.model.deadline import Deadline
from dirbridge.model.entry import Cursor, Entry, Finished, Found, Gone, Unchanged
from dirbridge.model.finding import Finding
from dirbridge.model.names import DirectoryId

ReadItem = Entry | Gone | Unchanged | Finished
"""What a read yields."""

Known = Mapping[bytes, DirectoryId]
"""Ids by `Entry.digest`, of an earlier read. A digest holds for one connector's
attribute list; who changes a mapping forgets what it knows."""


class Connector(Protocol):
    """Read one directory of one domain, failing over between its servers.

    A connector is used by several threads at once. Every call may raise
    `Unreachable` (no server of the list could be used), `BindRefused` (the
    service account was refused; no other server was tried) or `Unsupported`.
    """

    @property
    def source(self) -> str:
        """Name of the directory within its domain, see `Account.source`."""
        ...

    def read(
        self,
        cursor: Cursor | None = None,
        known: Known | None = None,
        *,
        full: bool = False,
    ) -> Iterator[ReadItem]:
        """Stream all entries, or what changed since `cursor`.

        Whole entries come in the server's order, each id once. The last item is
        always exactly one `Finished`; a server that fails in mid-read is told by
        `Finished(complete=False)`, never by an exception after the first entry,
        and never by silence. A cursor that does not hold leads to a full read.

        Args:
            cursor: Where the last read ended, or None for a full read.
            known: Entries whose octets hash to one of these come as `Unchanged`,
                without being decoded.
            full: Read everything, also where the cursor holds. No server is read
                that knows less than the cursor: what it lacks is not gone.

        Yields:
            Entries, unchanged and gone ids, then one `Finished`.
        """
        ...

    def sweep(self, cursor: Cursor | None = None) -> Iterator[DirectoryId | Finished]:
        """Stream the ids of all entries in scope and nothing else of them.

        After a delta that does not tell who vanished (`Vanished`), this does, at a
        small part of a full read's cost. It ends and fails as a full read does; its
        `Finished` carries no cursor. Where a group is missing that was there, read in
        full: its members' entries have changed as well, which nothing tells.

        Args:
            cursor: Where the last read ended; no server is asked that knows less.

        Yields:
            Each id once, then one `Finished`.
        """
        ...

    def find(
        self, directory_id: DirectoryId, deadline: Deadline | None = None
    ) -> Entry | None:
        """Read one account's entry, live, with its account-state attributes.

        Args:
            directory_id: The entry's stable id.
            deadline: When the answer must be there, for logins: past it, `Unreachable`.
                None for the time that the settings give.

        Returns:
            The entry, or None where the directory says that there is none. Not
            knowing is an exception, never None.
        """
        ...

    def lookup(self, name: str) -> tuple[Found, ...]:
        """Look entries up by what a person may type: login, UPN, address.

        Entries that a sync would leave out are found as well, with the
        exclusions that match them. Used by `explain`.

        Args:
            name: A name without its mail domain, or a whole address.

        Returns:
            What was found, in the server's order; empty where nothing was.
        """
        ...

    def check(self) -> list[Finding]:
        """Try every server: name, TLS, certificate, bind, base, and compare.

        Never raises for a server's failure: a failure is a finding with its mend.
        """
        ...

    def watch(self, changed: Callable[[], None], stop: threading.Event) -> None:
        """Wait for changes and say "look now", until stopped.

        `changed` is called from this thread whenever the directory says that
        something changed, and each time when watching begins, as something may have
        been missed before. It says nothing about what changed: who is told reads. It
        comes once for each change that the server tells, so a burst is the caller's
        to gather.

        A server that ends, freezes or is cut off is left for the next one, and what
        was lost is set up again by itself. Nothing is raised for a server's failure:
        each new one is logged once, with its mend. A server that cannot watch, or
        refuses the service account, is left alone for minutes.

        Tested by `tests/contract/test_watching.py`.

        Args:
            changed: Told of a change; must not block for long.
            stop: Ends it, within about a second while a server is watched.
        """
        ...
