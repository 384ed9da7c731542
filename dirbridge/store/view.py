"""A view of accounts that are in memory; see `store.base.StoreView`."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import datetime

from dirbridge.directory.dn import parent
from dirbridge.directory.errors import Undecodable
from dirbridge.model.account import LIVE, Account, AccountState, Origin
from dirbridge.model.entry import Cursor, EntryKind
from dirbridge.model.names import DirectoryId, DomainName, fold
from dirbridge.store.base import Remembered

NUMBERED = re.compile(r"-\d+\Z")
"""What stands behind a mailbox name that was taken already."""


def container(dn: str) -> str:
    """Return the DN that an account stands in; "" for the root and for no DN."""
    try:
        return parent(dn)
    except Undecodable:
        return ""


class AccountsView:
    """What a store had at one moment, from all of its accounts.

    Tested by `tests/contract/test_store_view.py`.
    """

    def __init__(
        self,
        accounts: Iterable[Account],
        version: int = 1,
        cursors: Mapping[tuple[DomainName, str], Cursor] | None = None,
    ) -> None:
        self._accounts = tuple(accounts)
        self._cursors = cursors or {}
        self.version = version

    def cursor(self, domain: DomainName, source: str) -> Cursor | None:
        """Return where the next delta of a domain's directory goes on, or None."""
        return self._cursors.get((domain, source))

    def remembered(self, domain: DomainName, source: str) -> Iterator[Remembered]:
        """Stream what a read must know of each mapped account of a directory."""
        return (
            Remembered(a.values.directory_id, a.digest, a.kind, a.state)
            for a in self._of(domain, source)
        )

    def by_id(
        self, domain: DomainName, source: str, ids: Collection[DirectoryId]
    ) -> dict[DirectoryId, Account]:
        """Return those of a directory's accounts that have one of these ids."""
        wanted = set(ids)
        mine = ((a.values.directory_id, a) for a in self._of(domain, source))
        return {one: account for one, account in mine if one in wanted}

    def holders(
        self,
        domain: DomainName,
        names: Collection[str],
        addresses: Collection[str],
    ) -> tuple[Account, ...]:
        """Return every account that has one of these names or addresses."""
        wanted_names, wanted_addresses = set(names), set(addresses)
        return tuple(
            account
            for account in self._accounts
            if (account.domain == domain and wanted_names & _names(account))
            or wanted_addresses & _addresses(account)
        )

    def taken(self, domain: DomainName, mailboxes: Collection[str]) -> frozenset[str]:
        """Return which mailbox names nobody new may have, numbered ones too."""
        wanted = set(mailboxes)
        found: set[str] = set()
        for account in self._accounts:
            own = {fold(account.mailbox)} if account.domain == domain else set()
            at = (one.rpartition("@") for one in _addresses(account))
            own |= {local for local, _, where in at if where == domain}
            found |= {n for n in own if n and NUMBERED.sub("", n) in wanted}
            found |= own & wanted
        return frozenset(found - {""})

    def live(self, domain: DomainName) -> Mapping[tuple[str, EntryKind], int]:
        """Count a domain's live accounts by source and kind."""
        mine = (a for a in self._accounts if a.domain == domain and a.state in LIVE)
        return Counter((a.source, a.kind) for a in mine)

    def containers(
        self, domain: DomainName, source: str
    ) -> Mapping[tuple[EntryKind, str], int]:
        """Count a directory's live accounts by kind and container."""
        live = (a for a in self._of(domain, source) if a.state in LIVE)
        return Counter((a.kind, container(a.values.dn)) for a in live)

    def due(
        self, domain: DomainName, source: str, since: datetime
    ) -> tuple[Account, ...]:
        """Return a directory's accounts that are deactivated since then or longer."""
        return tuple(
            account
            for account in self._of(domain, source)
            if account.state is AccountState.DEACTIVATED
            and account.state_since <= since
        )

    def mapped(self, domain: DomainName, source: str) -> Iterator[Account]:
        """Stream a directory's accounts, removed ones too, by number."""
        return self._of(domain, source)

    def _of(self, domain: DomainName, source: str) -> Iterator[Account]:
        return (
            account
            for account in self._accounts
            if account.origin is Origin.MAPPED
            and (account.domain, account.source) == (domain, source)
        )


def _names(account: Account) -> set[str]:
    names = (*account.values.login_names, account.values.upn or "")
    return {fold(name) for name in names if name}


def _addresses(account: Account) -> set[str]:
    values = account.values
    found = {*values.aliases, *(kept.address for kept in account.kept)}
    if values.primary_address is not None:
        found.add(values.primary_address)
    folded = {fold(address) for address in found}
    if account.mailbox:
        folded.add(f"{fold(account.mailbox)}@{account.domain}")
    return folded
