"""One sync run on the shipped memory parts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from dirbridge.connectors.memory import Deltas, MemoryConnector
from dirbridge.errors import IncompleteRead, StoreError, Unreachable
from dirbridge.model.account import AccountState, AccountValues
from dirbridge.model.entry import Cursor, Entry
from dirbridge.model.mapping import Mapped, Unmapped
from dirbridge.model.names import Address, DirectoryId, DomainName
from dirbridge.store.base import RunResult
from dirbridge.store.memory import MemoryStore
from dirbridge.sync import bookmark
from dirbridge.sync.bookmark import Bookmark
from dirbridge.sync.job import SyncJob
from dirbridge.sync.limits import Limits
from dirbridge.sync.planner import Policy

DOMAIN = DomainName("company.com")


def entry(name: str, address: str | None = None) -> Entry:
    attributes = {"uid": (name.encode(),), "mail": ((address or name).encode(),)}
    return Entry(DirectoryId(f"id-{name}"), f"uid={name},dc=x", attributes)


def mapped(one: Entry) -> Mapped | Unmapped:
    name = one.values("uid")[0].decode()
    if name.startswith("broken"):
        return Unmapped(one.id, one.dn, "login_names", "It is broken. Mend it.")
    address = Address(f"{one.values('mail')[0].decode()}@{DOMAIN}")
    values = AccountValues(
        directory_id=one.id, dn=one.dn, login_names=(name,), primary_address=address
    )
    return Mapped(values, {})


def job(entries: Sequence[Entry], store: MemoryStore, scope: str = "") -> SyncJob:
    connector = MemoryConnector(entries)
    return SyncJob(Policy(DOMAIN), Limits(), connector, mapped, store, scope)


def names(store: MemoryStore) -> dict[str, AccountState]:
    return {account.mailbox: account.state for account in store.accounts()}


def test_a_dry_run_plans_the_same_and_writes_nothing() -> None:
    store = MemoryStore()
    entries = [entry("anna"), entry("bob")]
    dry = job(entries, store).run(dry_run=True)
    assert (dry.run, store.version(), names(store)) == (None, 0, {})
    wet = job(entries, store).run()
    assert wet.plan.changes == dry.plan.changes
    assert names(store) == {"anna": AccountState.ACTIVE, "bob": AccountState.ACTIVE}


def test_the_second_run_changes_nothing_and_says_so() -> None:
    store = MemoryStore()
    job([entry("anna")], store).run()
    again = job([entry("anna")], store).run()
    assert again.run is not None
    assert (again.run.result, again.run.changes) == (RunResult.UNCHANGED, {})
    assert store.audit(again.run.number) == ()


def test_an_incomplete_read_writes_nothing() -> None:
    store = MemoryStore()
    job([entry("anna"), entry("bob")], store).run()
    version = store.version()
    connector = MemoryConnector([entry("carla"), entry("dora")])
    connector.incomplete_after = 1
    broken = replace(job([], store), connector=connector)
    with pytest.raises(IncompleteRead):
        broken.run()
    assert (store.version(), set(names(store))) == (version, {"anna", "bob"})


def test_an_unreachable_directory_writes_nothing() -> None:
    store = MemoryStore()
    job([entry("anna")], store).run()
    connector = MemoryConnector()
    connector.unreachable = True
    gone = replace(job([], store), connector=connector)
    with pytest.raises(Unreachable):
        gone.run()
    assert names(store) == {"anna": AccountState.ACTIVE}


def test_an_empty_source_takes_nobody_away_and_cannot_be_approved() -> None:
    store = MemoryStore()
    job([entry("anna")], store).run()
    report = job([], store).run()
    assert report.stopped is not None
    assert (report.stopped.limit, report.stopped.approval) == ("source-empty", "")
    assert job([], store).run(approved="").stopped is not None
    assert names(store) == {"anna": AccountState.ACTIVE}


def test_a_changed_filter_or_mapping_takes_nobody_away_unasked() -> None:
    store = MemoryStore()
    job([entry("anna"), entry("bob")], store, "first").run()
    stopped = job([entry("anna")], store, "second").run().stopped
    assert stopped is not None
    assert stopped.limit == "scope-changed"
    assert names(store)["bob"] is AccountState.ACTIVE
    job([entry("anna")], store, "second").run(approved=stopped.approval)
    assert names(store)["bob"] is AccountState.DEACTIVATED
    assert job([entry("anna")], store, "second").run().stopped is None


def test_a_known_conflict_is_told_each_time_but_new_and_audited_once() -> None:
    store = MemoryStore()
    entries = [entry("anna", "info"), entry("bob", "info"), entry("broken")]
    first = job(entries, store).run()
    assert (len(first.new), len(first.unmapped)) == (3, 1)
    second = job(entries, store).run()
    assert second.run is not None
    assert (second.new, store.audit(second.run.number)) == (frozenset(), ())
    assert len([c for c in second.plan.changes if c.op == "conflict"]) == 2


def test_a_run_that_another_one_outran_writes_nothing() -> None:
    store = MemoryStore()
    slow = job([entry("anna")], store)

    def meanwhile(phase: str, _done: int) -> None:
        if phase == "apply":
            job([entry("bob")], store).run()

    with pytest.raises(StoreError) as caught:
        slow.run(progress=meanwhile)
    assert caught.value.code == "outrun"
    assert set(names(store)) == {"bob"}


def test_a_server_that_is_behind_the_last_one_takes_nobody_away() -> None:
    store = MemoryStore()
    connector = MemoryConnector([entry("anna"), entry("bob")], deltas=Deltas.USN)
    first = replace(job([], store), connector=connector)
    first.run()
    version = store.version()
    connector.entries.pop()
    connector.behind = True
    with pytest.raises(Unreachable, match="behind"):
        first.run()
    assert (store.version(), set(names(store))) == (version, {"anna", "bob"})


@pytest.mark.parametrize(
    "kept",
    [
        Bookmark("abc dc=x"),
        Bookmark("abc dc=x", Cursor("usn", b"")),
        Bookmark("", Cursor("syncrepl", b'{"csn": "2026"}\nand more\n')),
    ],
)
def test_a_bookmark_is_opened_as_it_was_kept(kept: Bookmark) -> None:
    assert bookmark.opened(kept.kept()) == kept
    assert bookmark.opened(None) is None
