"""One sync run on the shipped memory parts."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from dirbridge.connectors.memory import Deltas, MemoryConnector
from dirbridge.errors import IncompleteRead, StoreError, Unreachable
from dirbridge.model.account import AccountState, AccountValues
from dirbridge.model.entry import Cursor, Entry, EntryKind, Finished, ReadKind
from dirbridge.model.mapping import Mapped, Unmapped
from dirbridge.model.names import Address, DirectoryId, DomainName
from dirbridge.model.plan import Change, Op, Plan
from dirbridge.model.recipient import By, Reference
from dirbridge.store.base import RunResult
from dirbridge.store.memory import MemoryStore
from dirbridge.sync import bookmark
from dirbridge.sync.bookmark import Bookmark
from dirbridge.sync.job import Report, SyncJob
from dirbridge.sync.limits import Limits
from dirbridge.sync.planner import Policy

DOMAIN = DomainName("company.com")
NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


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
    return Mapped(values)


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


def test_an_empty_source_takes_nobody_away_unasked() -> None:
    store = MemoryStore()
    job([entry("anna")], store).run()
    stopped = job([], store).run().stopped
    assert stopped is not None
    assert stopped.limit == "source-empty"
    assert names(store) == {"anna": AccountState.ACTIVE}
    job([], store).run(approved=stopped.approval)
    assert names(store) == {"anna": AccountState.DEACTIVATED}


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


def test_a_run_that_another_domain_outran_is_planned_again() -> None:
    store = MemoryStore()
    slow = job([entry("anna", "info")], store)
    elsewhere = replace(
        job([entry("bob", "info")], store), policy=Policy(DomainName("other.org"))
    )
    meanwhile = iter([elsewhere])

    def told(phase: str, _done: int, _total: int | None) -> None:
        if phase == "apply":
            for other in meanwhile:
                other.run()

    report = slow.run(progress=told)
    assert [c.op for c in report.plan.changes] == [Op.CREATE, Op.CONFLICT]
    assert [a.values.primary_address for a in store.accounts()] == [
        f"info@{DOMAIN}",
        None,
    ]


def test_a_run_that_is_outrun_each_time_gives_up_and_writes_nothing() -> None:
    store = MemoryStore()
    elsewhere = MemoryConnector()
    other = replace(
        job([], store), connector=elsewhere, policy=Policy(DomainName("other.org"))
    )

    def told(phase: str, done: int, _total: int | None) -> None:
        if phase == "apply" and not done:
            number = len(elsewhere.entries)
            elsewhere.put(entry(f"bob{number}", f"bob{number}"))
            other.run()

    with pytest.raises(StoreError) as caught:
        job([entry("anna")], store).run(progress=told)
    assert caught.value.code == "outrun"
    assert set(names(store)) == {"bob0", "bob1", "bob2"}


def test_two_runs_of_one_domain_never_run_at_once() -> None:
    store = MemoryStore()
    caught: list[str] = []

    def told(phase: str, _done: int, _total: int | None) -> None:
        if phase == "plan":
            with pytest.raises(StoreError) as taken:
                job([], store).run()
            caught.append(taken.value.code)
            assert job([], store).run(dry_run=True).plan.read == 0

    job([entry("anna")], store).run(progress=told)
    assert caught == ["turn-taken"]


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
        Bookmark(scope="abc", base="dc=x"),
        Bookmark(scope="abc", base="dc=x", cursor=Cursor("usn", b"")),
        Bookmark(
            scope="",
            base="dc=x y",
            rules="r",
            cursor=Cursor("syncrepl", b'{"csn": "2026"}\nand more\n'),
            full_at=NOW,
            version=7,
            began=6,
        ),
    ],
)
def test_a_bookmark_is_opened_as_it_was_kept(kept: Bookmark) -> None:
    assert bookmark.opened(kept.kept()) == kept
    assert bookmark.opened(None) is None


def test_a_bookmark_of_the_first_release_is_read() -> None:
    kept = Cursor("scope", b'abc dc=x\nusn\n{"1": "2"}')
    assert bookmark.opened(kept) == Bookmark(
        scope="abc", base="dc=x", cursor=Cursor("usn", b'{"1": "2"}')
    )


class Running:
    """A directory that tells changes, and the job that follows it."""

    def __init__(self, deltas: Deltas = Deltas.DIRSYNC, **settings: Any) -> None:
        self.connector = MemoryConnector(deltas=deltas)
        self.store = MemoryStore()
        self.now = NOW
        self.mapped: list[str] = []
        self.job = SyncJob(
            policy=Policy(DOMAIN),
            limits=Limits(from_accounts=100),
            connector=self.connector,
            mapping=self.map,
            store=self.store,
            clock=lambda: self.now,
        )
        self.job = replace(self.job, **settings)

    def map(self, one: Entry) -> Mapped | Unmapped:
        self.mapped.append(one.values("uid")[0].decode())
        result = mapped(one)
        return (
            replace(result, digest=one.digest) if isinstance(result, Mapped) else result
        )

    def put(self, *entries: Entry) -> None:
        for one in entries:
            octets = repr((one.dn, one.attributes)).encode()
            self.connector.put(replace(one, digest=hashlib.sha256(octets).digest()))

    def run(self, **words: Any) -> Report:
        self.mapped.clear()
        return self.job.run(**words)


@pytest.fixture
def running() -> Running:
    found = Running()
    found.put(entry("anna"), entry("bob"), entry("carla"))
    assert found.run().plan.kind is ReadKind.FULL
    return found


def group(name: str, *members: str) -> Entry:
    values = tuple(f"uid={member},dc=x".encode() for member in members)
    attributes = {"uid": (name.encode(),), "member": values}
    one = Entry(DirectoryId(f"id-{name}"), f"cn={name},dc=x", attributes)
    return replace(one, kind=EntryKind.GROUP)


def test_only_what_changed_is_read(running: Running) -> None:
    running.put(entry("dora"))
    running.connector.remove(DirectoryId("id-bob"))
    report = running.run()
    assert (report.plan.kind, running.mapped) == (ReadKind.DELTA, ["dora"])
    assert names(running.store) == {
        "anna": AccountState.ACTIVE,
        "bob": AccountState.DEACTIVATED,
        "carla": AccountState.ACTIVE,
        "dora": AccountState.ACTIVE,
    }
    again = running.run()
    assert again.run is not None
    assert (again.run.result, again.run.kind) == (RunResult.UNCHANGED, "delta")


def test_a_full_read_maps_only_what_changed(running: Running) -> None:
    running.put(entry("bob", "robert"))
    report = running.run(full=True)
    assert (report.plan.kind, running.mapped) == (ReadKind.FULL, ["bob"])
    assert (report.plan.read, report.plan.unchanged) == (3, 2)
    assert names(running.store)["anna"] is AccountState.ACTIVE


def test_everything_is_read_again_and_again(running: Running) -> None:
    running.now += timedelta(hours=23)
    assert running.run().plan.kind is ReadKind.DELTA
    running.now += timedelta(hours=1)
    assert running.run().plan.kind is ReadKind.FULL
    running.now += timedelta(hours=23)
    assert running.run().plan.kind is ReadKind.DELTA


def test_a_clock_that_goes_back_makes_a_full_read(running: Running) -> None:
    running.now -= timedelta(days=1)
    assert running.run().plan.kind is ReadKind.FULL


def test_other_rules_map_everything_again(running: Running) -> None:
    running.job = replace(running.job, rules="others")
    assert running.run().plan.kind is ReadKind.FULL
    assert running.mapped == ["anna", "bob", "carla"]
    assert running.run().plan.kind is ReadKind.DELTA


def test_who_comes_back_unchanged_is_there_again(running: Running) -> None:
    bob = running.connector.entries[1]
    running.connector.remove(bob.id)
    running.run()
    running.put(replace(bob, digest=b""))
    running.connector.refuse_cursors = True
    assert running.run().plan.kind is ReadKind.FULL
    assert names(running.store)["bob"] is AccountState.ACTIVE


@pytest.mark.parametrize("deltas", [Deltas.DIRSYNC_OWN, Deltas.USN, Deltas.SYNCREPL])
def test_who_vanished_untold_is_found_by_a_sweep(deltas: Deltas) -> None:
    running = Running(deltas)
    running.put(entry("anna"), entry("bob"))
    running.run()
    running.connector.remove(DirectoryId("id-bob"))
    report = running.run()
    assert (report.plan.kind, running.mapped) == (ReadKind.DELTA, [])
    assert names(running.store)["bob"] is AccountState.DEACTIVATED


class Sweeping(MemoryConnector):
    """It counts its sweeps; ids can be set."""

    sweeps = 0

    def sweep(self, cursor: Cursor | None = None) -> Iterator[DirectoryId | Finished]:
        self.sweeps += 1
        return super().sweep(cursor)


@pytest.fixture
def settable() -> Running:
    found = Running(connector=Sweeping(deltas=Deltas.SYNCREPL_SET))
    found.connector = found.job.connector
    found.put(entry("anna"), entry("bob"), entry("carla"))
    found.run()
    return found


def swept(running: Running) -> int:
    before = running.connector.sweeps
    assert running.run().plan.kind is ReadKind.DELTA
    return running.connector.sweeps - before


def test_an_entry_that_is_known_costs_no_sweep(settable: Running) -> None:
    assert swept(settable) == 0
    settable.put(entry("anna", "new"))
    assert swept(settable) == 0
    shouted = replace(entry("bob", "newer"), dn="UID=Bob, DC=X")
    settable.put(shouted)
    assert swept(settable) == 0
    settable.put(replace(shouted, dn="uid=bob,ou=there,dc=x"))
    assert swept(settable) == 1
    settable.put(entry("dora"))
    assert swept(settable) == 1
    assert len(names(settable.store)) == 4


def test_an_id_that_is_set_takes_the_former_account_away(settable: Running) -> None:
    anna, bob, carla = (DirectoryId(f"id-{n}") for n in ("anna", "bob", "carla"))
    settable.connector.renumber({carla: DirectoryId("id-new")})
    settable.put(replace(entry("new"), dn="uid=carla,dc=x"))
    assert swept(settable) == 1
    assert names(settable.store)["carla"] is AccountState.DEACTIVATED
    settable.connector.renumber({anna: bob, bob: anna})
    sweeps = settable.connector.sweeps
    settable.run()  # they want each other's names, so it becomes a full read
    assert settable.connector.sweeps == sweeps + 1
    settable.put(entry("anna"), entry("bob"))
    settable.run()
    settable.connector.renumber({anna: carla})  # the id of one who is away
    settable.put(replace(entry("carla"), dn="uid=carla,dc=x"))
    assert swept(settable) == 1
    gone = AccountState.DEACTIVATED
    found = {a.values.directory_id: a.state for a in settable.store.accounts()}
    assert (found[anna], found[carla]) == (gone, AccountState.ACTIVE)


def test_who_left_while_ids_can_be_set_costs_a_sweep(settable: Running) -> None:
    settable.connector.remove(DirectoryId("id-anna"))
    assert swept(settable) == 1
    settable.connector.move_out(DirectoryId("id-bob"))
    assert swept(settable) == 1
    gone = AccountState.DEACTIVATED
    expected = {"anna": gone, "bob": gone, "carla": AccountState.ACTIVE}
    assert names(settable.store) == expected


def test_a_sweep_that_breaks_off_takes_nobody_away() -> None:
    running = Running(Deltas.DIRSYNC_OWN)
    running.put(entry("anna"), entry("bob"), entry("carla"))
    running.run()
    before = running.store._content
    running.put(entry("anna", "other"))
    running.connector.incomplete_after = 2
    with pytest.raises(IncompleteRead):
        running.run()
    (failed,) = running.store.last_runs(DOMAIN)
    assert (failed.result, failed.kind) == (RunResult.FAILED, "delta")
    assert running.store._content.accounts == before.accounts
    assert running.store._content.cursors == before.cursors


def test_a_group_that_vanished_untold_lets_everything_be_read() -> None:
    running = Running(Deltas.DIRSYNC_OWN, mapping=mapped_groups)
    running.put(entry("anna"), group("staff", "anna"))
    running.run()
    running.connector.remove(DirectoryId("id-staff"))
    assert running.run().plan.kind is ReadKind.FULL


@pytest.mark.parametrize("required", ["cn=staff,dc=x", None])
def test_groups_that_decide_who_gets_in_let_everything_be_read(
    required: str | None,
) -> None:
    policy = Policy(DOMAIN, require_group=required)
    running = Running(policy=policy, mapping=mapped_groups)
    running.put(entry("anna"), entry("bob"), group("staff", "anna"))
    running.run()
    assert ("bob" in names(running.store)) is (required is None)
    running.put(group("staff", "anna", "bob"))
    kind = running.run().plan.kind
    assert kind is (ReadKind.DELTA if required is None else ReadKind.FULL)
    assert "bob" in names(running.store)
    assert running.run().plan.kind is ReadKind.DELTA


def mapped_groups(one: Entry) -> Mapped | Unmapped:
    if one.kind is EntryKind.ACCOUNT:
        return mapped(one)
    members = (Reference(By.DN, dn.decode()) for dn in one.values("member"))
    values = AccountValues(
        directory_id=one.id,
        kind=one.kind,
        dn=one.dn,
        name=one.values("uid")[0].decode(),
        members=tuple(members),
    )
    return Mapped(values, one.digest)


def test_a_name_that_becomes_free_goes_to_who_waits_for_it(running: Running) -> None:
    running.put(entry("dora", "bob"))
    clash = running.run()
    assert clash.plan.kind is ReadKind.FULL  # it is settled among all
    assert addresses(running.store)["dora"] is None
    running.put(entry("anna", "other"))
    assert running.run().plan.kind is ReadKind.DELTA
    running.put(entry("bob", "robert"))
    assert running.run().plan.kind is ReadKind.FULL
    assert addresses(running.store)["bob"] == f"robert@{DOMAIN}"


def addresses(store: MemoryStore) -> dict[str, str | None]:
    return {a.mailbox: a.values.primary_address for a in store.accounts()}


BY_ADMIN = Plan(
    domain=DOMAIN, server="admin", kind=ReadKind.DELTA, complete=True, made_at=NOW
)


def test_an_admin_s_change_lets_everything_be_read(running: Running) -> None:
    """Settled by hand, an account is mapped anew although its octets are the same."""
    (anna, *_) = running.store.accounts()
    promotion = Change(
        op=Op.UPDATE,
        account=anna.values.directory_id,
        name=anna.canonical,
        after={"title": "Boss"},
        result=replace(anna, digest=b"", values=replace(anna.values, title="Boss")),
    )
    plan = replace(BY_ADMIN, changes=[promotion])
    (last,) = running.store.last_runs(DOMAIN)
    running.store.apply(plan, replace(last, server="admin", result=RunResult.APPLIED))
    assert running.run().plan.kind is ReadKind.FULL
    assert running.mapped == ["anna"]
    assert running.run().plan.kind is ReadKind.DELTA


def test_a_restored_store_is_read_anew_and_gives_nobody_away_unasked(
    running: Running,
) -> None:
    (last,) = running.store.last_runs(DOMAIN)
    running.store.apply(replace(BY_ADMIN, cursor=bookmark.RESTORED), last)
    running.connector.remove(DirectoryId("id-bob"))
    report = running.run()
    assert report.stopped is not None
    assert running.mapped == ["anna", "carla"]
    assert names(running.store)["bob"] is AccountState.ACTIVE


def test_a_stopped_run_is_remembered_with_what_would_let_it_pass(
    running: Running,
) -> None:
    running.job = replace(running.job, limits=Limits(absolute=0))
    running.connector.remove(DirectoryId("id-bob"))
    stopped = running.run().stopped
    assert stopped is not None
    (run,) = running.store.last_runs(DOMAIN)
    assert (run.result, run.changes) == (RunResult.STOPPED, {"deactivate": 1})
    assert run.why
    offer = running.store.approval(stopped.approval)
    assert offer is not None
    assert offer.covers == {(Op.DEACTIVATE, DirectoryId("id-bob"))}
    assert names(running.store)["bob"] is AccountState.ACTIVE

    done = running.run(approved=stopped.approval)
    assert names(running.store)["bob"] is AccountState.DEACTIVATED
    used = running.store.approval(stopped.approval)
    assert done.run is not None
    assert used is not None
    assert used.used_by == done.run.number


def test_an_approval_holds_for_less_but_not_for_more(running: Running) -> None:
    running.job = replace(running.job, limits=Limits(absolute=0))
    running.connector.remove(DirectoryId("id-bob"))
    running.connector.remove(DirectoryId("id-carla"))
    first = running.run().stopped
    assert first is not None
    running.connector.remove(DirectoryId("id-anna"))
    more = running.run(approved=first.approval).stopped
    assert more is not None
    assert more.approval != first.approval
    running.put(entry("anna"), entry("carla"))
    assert running.run(approved=first.approval).stopped is None
    assert names(running.store)["bob"] is AccountState.DEACTIVATED
    assert names(running.store)["carla"] is AccountState.ACTIVE


def test_an_approval_is_used_once_and_lapses(running: Running) -> None:
    running.job = replace(running.job, limits=Limits(absolute=0))
    bob = running.connector.entries[1]
    running.connector.remove(bob.id)
    first = running.run().stopped
    assert first is not None
    running.now += timedelta(hours=25)
    late = running.run(approved=first.approval).stopped
    assert late is not None
    assert running.run(approved=late.approval).stopped is None
    running.put(bob)
    running.run()
    running.connector.remove(bob.id)
    again = running.run(approved=late.approval).stopped
    assert again is not None
    assert names(running.store)["bob"] is AccountState.ACTIVE
    assert running.run(approved=again.approval).stopped is None


def test_what_a_dry_run_named_lets_exactly_that_pass(running: Running) -> None:
    running.job = replace(running.job, limits=Limits(absolute=0))
    running.connector.remove(DirectoryId("id-bob"))
    named = running.run(dry_run=True).stopped
    assert named is not None
    assert running.store.approval(named.approval) is None
    assert running.run(approved="0123456789ab").stopped is not None
    assert running.run(approved=named.approval).stopped is None


def test_an_outage_makes_no_conflict_new_again(running: Running) -> None:
    running.put(entry("dora", "bob"), entry("broken"))
    assert len(running.run().new) == 2
    running.connector.unreachable = True
    with pytest.raises(Unreachable):
        running.run()
    (failed,) = running.store.last_runs(DOMAIN)
    assert failed.result is RunResult.FAILED
    assert failed.why.endswith(".")
    running.connector.unreachable = False
    assert running.run().new == frozenset()
    assert running.run(full=True).new == frozenset()


def test_who_asks_for_some_changes_only_gets_a_full_read(running: Running) -> None:
    running.put(entry("dora"), entry("emil"))

    def without_emil(plan: Plan) -> Plan:
        kept = [c for c in plan.changes if c.account != "id-emil"]
        return replace(plan, changes=kept, cursor=None, remembered={})

    report = running.run(only=without_emil)
    assert report.plan.kind is ReadKind.FULL
    assert "emil" not in names(running.store)
    # What is stored now was never so in the directory: no delta goes on from it.
    assert running.run().plan.kind is ReadKind.FULL
    assert names(running.store)["emil"] is AccountState.ACTIVE


@pytest.mark.parametrize(
    "deltas", [Deltas.NONE, Deltas.DIRSYNC, Deltas.DIRSYNC_OWN, Deltas.USN]
)
def test_a_source_that_a_delta_finds_empty_takes_nobody_away(deltas: Deltas) -> None:
    """As a service account without rights finds it: nobody is there, nobody named."""
    running = Running(deltas)
    running.put(entry("anna"), entry("bob"))
    running.run()
    told = running.connector.entries[:]
    running.connector.entries.clear()
    if deltas is Deltas.DIRSYNC:
        for one in told:
            running.connector.put(one)
            running.connector.remove(one.id)
    stopped = running.run().stopped
    assert stopped is not None
    assert stopped.limit == "source-empty"
    assert set(names(running.store).values()) == {AccountState.ACTIVE}
    assert running.run(approved=stopped.approval).stopped is None
    assert set(names(running.store).values()) == {AccountState.DEACTIVATED}


def aged(name: str, uid: str = "") -> Entry:
    """An entry whose name says how old it is."""
    return replace(entry(uid or name), id=DirectoryId(f"id-{name}"))


def test_a_newer_entry_never_gets_the_place_that_an_older_one_waits_for() -> None:
    running = Running(policy=Policy(DOMAIN, user_limit=2))
    running.put(entry("anna"))
    running.run()
    running.put(aged("b1", "anna"), entry("b2"), entry("b3"))
    running.run()  # the oldest newcomer has the place, but not its name
    running.put(entry("b3", "other"))
    assert running.run().plan.kind is ReadKind.FULL
    assert set(names(running.store)) == {"anna"}


def test_a_place_that_somebody_gives_up_who_never_came_in_is_not_left_empty() -> None:
    running = Running(policy=Policy(DOMAIN, user_limit=2))
    running.put(entry("anna"))
    running.run()
    running.put(aged("b1", "anna"), entry("b2"))
    running.run()
    running.connector.remove(DirectoryId("id-b1"))
    running.run()
    assert set(names(running.store)) == {"anna", "b2"}


def touched_by_hand(running: Running) -> None:
    """A person changed an account."""
    (anna, *_) = running.store.accounts()
    title = f"{anna.values.title}!"
    result = replace(anna, digest=b"", values=replace(anna.values, title=title))
    who = anna.values.directory_id
    change = Change(op=Op.UPDATE, account=who, name=anna.canonical, result=result)
    plan = Plan(
        domain=DOMAIN,
        server="admin",
        kind=ReadKind.DELTA,
        complete=True,
        made_at=NOW,
        changes=[change],
    )
    (last,) = running.store.last_runs(DOMAIN)
    row = replace(last, server="admin", result=RunResult.APPLIED, known=())
    running.store.apply(plan, row)


def test_an_admin_s_change_is_not_forgotten_by_runs_that_stop(
    running: Running,
) -> None:
    running.job = replace(running.job, limits=Limits(absolute=0))
    touched_by_hand(running)
    running.connector.remove(DirectoryId("id-bob"))
    for _ in range(25):
        report = running.run()
        assert report.stopped is not None
        assert report.plan.kind is ReadKind.FULL


def test_a_full_read_that_was_stopped_is_owed(running: Running) -> None:
    running.job = replace(running.job, limits=Limits(absolute=0))
    running.connector.remove(DirectoryId("id-bob"))
    assert running.run(full=True).stopped is not None
    again = running.run()
    assert again.stopped is not None
    assert again.plan.kind is ReadKind.FULL
    running.run(approved=again.stopped.approval)
    assert running.run().plan.kind is ReadKind.DELTA


def test_what_is_known_is_known_after_many_changes_by_hand(running: Running) -> None:
    running.put(entry("dora", "bob"))
    assert len(running.run().new) == 1
    for _ in range(25):
        touched_by_hand(running)
    assert running.run().new == frozenset()


def test_what_another_domain_frees_while_a_delta_is_read_is_not_missed(
    running: Running,
) -> None:
    connector = MemoryConnector([entry("bea", "shared")])
    elsewhere = Policy(DomainName("other.org"), keep_old_address=timedelta())
    other = replace(running.job, connector=connector, mapping=mapped, policy=elsewhere)
    other.run()
    running.put(entry("dora", "shared"))
    running.run()
    assert addresses(running.store)["dora"] is None
    running.run()
    meanwhile = iter([other])

    def told(phase: str, _done: int, _total: int | None) -> None:
        if phase == "plan":
            for one in meanwhile:
                connector.put(entry("bea", "own"))
                one.run()

    running.put(entry("emil"))
    assert running.run(progress=told).plan.kind is ReadKind.DELTA
    assert running.run().plan.kind is ReadKind.FULL
    assert addresses(running.store)["dora"] == f"shared@{DOMAIN}"
    assert running.run().plan.kind is ReadKind.DELTA


def test_who_names_one_approval_again_and_again_lets_one_run_pass(
    running: Running,
) -> None:
    running.job = replace(running.job, limits=Limits(absolute=0))
    bob = running.connector.entries[1]
    offered: list[str] = []
    for _ in range(3):
        running.connector.remove(bob.id)
        named = running.run(dry_run=True).stopped
        assert named is not None
        for earlier in offered * 3:
            again = running.run(approved=earlier).stopped
            assert again is not None
            assert again.approval == named.approval
        assert names(running.store)["bob"] is AccountState.ACTIVE
        offered.append(named.approval)
        assert running.run(approved=named.approval).stopped is None
        assert names(running.store)["bob"] is AccountState.DEACTIVATED
        running.put(bob)
        running.run()
    assert len(set(offered)) == 3


def test_an_approval_that_lapsed_lets_no_later_run_pass(running: Running) -> None:
    running.job = replace(running.job, limits=Limits(absolute=0))
    running.connector.remove(DirectoryId("id-bob"))
    first = running.run().stopped
    assert first is not None
    running.now += timedelta(hours=25)
    for _ in range(3):
        assert running.run(approved=first.approval).stopped is not None
