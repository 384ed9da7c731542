"""Whatever happens in a directory: deltas and full reads end in the same store.

A random history runs against three stores: one that is kept by deltas, a copy of it in
which everything is read and mapped again after each run, and one that only ever had
full reads at the same moments.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)

from dirbridge.connectors.memory import Deltas, MemoryConnector
from dirbridge.errors import IncompleteRead, StoreError, Unreachable
from dirbridge.model.account import Account, AccountState, AccountValues, Origin
from dirbridge.model.entry import Entry, EntryKind
from dirbridge.model.mapping import Mapped, Unmapped
from dirbridge.model.names import Address, DirectoryId, DomainName
from dirbridge.model.plan import Op, Plan
from dirbridge.model.recipient import By, Reference
from dirbridge.store.base import Run
from dirbridge.store.memory import MemoryStore
from dirbridge.sync import told
from dirbridge.sync.job import Report, SyncJob
from dirbridge.sync.limits import Limits
from dirbridge.sync.local import local_plan
from dirbridge.sync.planner import Policy

DOMAIN, OTHER = DomainName("company.com"), DomainName("other.org")
BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
NO_LIMITS = Limits(share=1, container_share=1, absolute=10**6)

WAITS = (timedelta(minutes=1), timedelta(hours=25), timedelta(days=31))
LOCALS = ("anna", "bob", "carla", "info", "sales")
names = st.sampled_from(LOCALS)
addresses = st.sampled_from([f"{local}@{DOMAIN}" for local in LOCALS])
aliases = st.lists(addresses, max_size=2, unique=True).map(tuple)
kinds = st.sampled_from([EntryKind.ACCOUNT] * 4 + [EntryKind.GROUP, EntryKind.CONTACT])
containers = st.sampled_from(["ou=a,dc=x", "ou=b,dc=x"])
which = st.integers(0, 20)

MAIL = 1000
"""The number of the group that decides who gets a mailbox, where one does."""

SETTABLE = (Deltas.NONE, Deltas.SYNCREPL_SET)
"""Where somebody may be given another id."""


def entry(
    number: int, kind: EntryKind, rdn: str = "", **texts: str | tuple[str, ...]
) -> Entry:
    """An entry as `mapped` understands it, with the digest of its octets."""
    attributes = {
        name: tuple(t.encode() for t in ((text,) if isinstance(text, str) else text))
        for name, text in texts.items()
        if name != "container" and text
    }
    dn = f"{rdn or f'cn={number}'},{texts['container']}"
    octets = repr((number, dn, kind, sorted(attributes.items()))).encode()
    digest = hashlib.blake2b(octets, digest_size=16).digest()
    return Entry(DirectoryId(f"id-{number}"), dn, attributes, kind, digest)


def texts_of(one: Entry) -> dict[str, Any]:
    texts: dict[str, Any] = {
        name: tuple(value.decode() for value in values)
        for name, values in one.attributes.items()
    }
    return {"container": one.dn.partition(",")[2], **texts}


def mapped(one: Entry) -> Mapped | Unmapped:
    texts = texts_of(one)
    if "broken" in texts:
        return Unmapped(one.id, one.dn, "login_names", "It is broken. Mend it.")
    is_account = one.kind is EntryKind.ACCOUNT
    number = int(one.id.removeprefix("id-"))
    values = AccountValues(
        directory_id=one.id,
        kind=one.kind,
        dn=one.dn,
        login_names=texts.get("uid", ()) if is_account else (),
        name=None if is_account else next(iter(texts.get("uid", ())), None),
        display_name=next(iter(texts.get("cn", ())), None),
        primary_address=next(map(Address, texts.get("mail", ())), None),
        aliases=tuple(map(Address, texts.get("alias", ()))),
        members=tuple(Reference(By.DN, value) for value in texts.get("member", ())),
        state=AccountState.DISABLED if "off" in texts else AccountState.ACTIVE,
        created_at=BEGIN + timedelta(seconds=number),
    )
    return Mapped(values, digest=one.digest)


class Frail(MemoryStore):
    """A store whose connection is lost at the commit, just before it or just after."""

    cut: str = ""

    def apply(self, plan: Plan, run: Run) -> Run:
        """Apply a plan, unless the connection is lost."""
        cut, self.cut = self.cut, ""
        if cut == "before":
            raise StoreError("unreachable", "memory")
        done = super().apply(plan, run)
        if cut == "after":
            raise StoreError("unreachable", "memory")
        return done


def copy_of(store: MemoryStore) -> MemoryStore:
    copy = MemoryStore()
    copy._content = store._content
    return copy


def content(store: MemoryStore) -> dict[tuple[str, str], Account]:
    """Who is in a store; without what only says how they came there."""
    return {
        (one.domain, one.values.directory_id): replace(one, number=0, digest=b"")
        for one in store.accounts()
    }


class Histories(RuleBasedStateMachine):
    """What may happen to a directory and to those who read it."""

    deltas = Deltas.DIRSYNC

    @initialize(limit=st.sampled_from([None, 3, 6]), by_group=st.booleans())
    def begin(self, limit: int | None, by_group: bool) -> None:
        self.now = BEGIN
        self.number = 0
        first = entry(0, EntryKind.ACCOUNT, uid="first", container="ou=a,dc=x")
        required = entry(MAIL, EntryKind.GROUP, uid="mail", container="ou=a,dc=x")
        self.fixed = [required, first] if by_group else [first]
        self.connector = MemoryConnector(self.fixed, deltas=self.deltas)
        self.deleted: list[Entry] = []
        self.store, self.whole = Frail(), MemoryStore()
        self.job = SyncJob(
            policy=Policy(
                DOMAIN,
                user_limit=limit,
                require_group=required.dn if by_group else None,
            ),
            limits=NO_LIMITS,
            connector=self.connector,
            mapping=mapped,
            store=self.store,
            clock=lambda: self.now,
        )
        self.admit([1, 2, 3])
        self.sync()

    def others(self) -> list[Entry]:
        """Who may go: never the first one, as a source is not empty."""
        return self.connector.entries[len(self.fixed) :]

    @rule(members=st.lists(which, max_size=5, unique=True))
    def admit(self, members: list[int]) -> None:
        """Say who gets a mailbox, where a group decides it."""
        required, *first = self.fixed
        if first:
            member = tuple(f"cn={one},ou=a,dc=x" for one in {0, *members})
            self.put(required, member=member)

    @rule(kind=kinds, uid=names, mail=addresses, alias=aliases, container=containers)
    def create(self, kind: EntryKind, **texts: Any) -> None:
        self.number += 1
        self.connector.put(entry(self.number, kind, **texts))

    def change(self, who: int, **texts: Any) -> None:
        """Change somebody, but never the first one."""
        others = self.others()
        if others:
            self.put(others[who % len(others)], **texts)

    def put(self, old: Entry, rdn: str = "", **texts: Any) -> None:
        """Change an entry; an id says nothing of a name any more."""
        number = int(old.id.removeprefix("id-"))
        rdn = rdn or old.dn.partition(",")[0]
        self.connector.put(entry(number, old.kind, rdn, **{**texts_of(old), **texts}))

    @rule(who=which, uid=names)
    def rename(self, who: int, uid: str) -> None:
        self.change(who, uid=uid)

    @rule(who=which, mail=addresses)
    def readdress(self, who: int, mail: str) -> None:
        self.change(who, mail=mail)

    @rule(who=which, alias=aliases)
    def realias(self, who: int, alias: tuple[str, ...]) -> None:
        self.change(who, alias=alias)

    @rule(who=which, container=containers)
    def move(self, who: int, container: str) -> None:
        self.change(who, container=container)

    @rule(who=which, cn=names)
    def describe(self, who: int, cn: str) -> None:
        self.change(who, cn=cn)

    @rule(who=which, off=st.sampled_from(["", "yes"]))
    def switch(self, who: int, off: str) -> None:
        self.change(who, off=off)

    @rule(who=which, broken=st.sampled_from(["", "yes"]))
    def break_or_mend(self, who: int, broken: str) -> None:
        self.change(who, broken=broken)

    @rule(who=which, members=st.lists(which, max_size=3, unique=True))
    def regroup(self, who: int, members: list[int]) -> None:
        groups = [e for e in self.others() if e.kind is EntryKind.GROUP]
        if groups:
            member = tuple(f"cn={one},ou=a,dc=x" for one in members)
            self.put(groups[who % len(groups)], member=member)

    @precondition(lambda self: self.deltas in SETTABLE)
    @rule(who=which, other=which, old=st.booleans())
    def renumber(self, who: int, other: int, old: bool) -> None:
        """An admin sets an id: a new one, a deleted one's, or that of somebody else."""
        ids = [each.id for each in self.others()]
        if not ids:
            return
        one, two = ids[who % len(ids)], ids[other % len(ids)]
        texts: dict[str, Any] = {}
        if one != two:
            new = {one: two, two: one}
        elif old and self.deleted:
            new = {one: self.deleted.pop(who % len(self.deleted)).id}
        else:
            self.number += 1
            new = {one: DirectoryId(f"id-{self.number}")}
        if one == two:
            # What the former id has would make it a conflict, and that a full read.
            self.number += 1
            texts = {"uid": f"u{self.number}", "mail": "", "alias": ()}
        self.connector.renumber(new)
        for each in [e for e in self.connector.entries if e.id in new.values()]:
            self.rewrite(each, **texts)

    @precondition(lambda self: self.deltas in SETTABLE)
    @rule(who=which, other=which, old=st.booleans())
    def only_renumber(self, who: int, other: int, old: bool) -> None:
        """Between two runs nothing else happens."""
        self.sync()
        self.renumber(who, other, old)
        self.sync()

    @precondition(lambda self: self.deltas in SETTABLE)
    @rule(who=which, other=which)
    def trade_places(self, who: int, other: int) -> None:
        """Two take each other's DN."""
        others = self.others()
        if others:
            one, two = others[who % len(others)], others[other % len(others)]
            self.take_place(one, two.dn)
            self.take_place(two, one.dn)

    def take_place(self, old: Entry, dn: str) -> None:
        rdn, _, container = dn.partition(",")
        self.rewrite(old, rdn, container=container)

    def rewrite(self, old: Entry, rdn: str = "", **texts: Any) -> None:
        """Change an entry without bringing it back into what is read."""
        outside = old.id in self.connector._outside
        self.put(old, rdn, **texts)
        if outside:
            self.connector.move_out(old.id)

    @rule(who=which)
    def delete(self, who: int) -> None:
        others = self.others()
        if others:
            gone = others[who % len(others)]
            self.connector.remove(gone.id)
            self.deleted.append(gone)

    @precondition(lambda self: self.deleted)
    @rule(who=which)
    def come_back(self, who: int) -> None:
        back = self.deleted.pop(who % len(self.deleted))
        self.connector.put(back)

    @rule(who=which)
    def move_out(self, who: int) -> None:
        others = self.others()
        if others:
            self.connector.move_out(others[who % len(others)].id)

    @rule(who=which)
    def move_back(self, who: int) -> None:
        self.change(who)

    @rule(server=st.sampled_from(["1", "2"]))
    def fail_over(self, server: str) -> None:
        self.connector.server_id = server

    @rule(refuse=st.booleans())
    def refuse_cursors(self, refuse: bool) -> None:
        self.connector.refuse_cursors = refuse

    @rule(
        by=st.sampled_from([timedelta(minutes=1), timedelta(hours=25), timedelta(31)])
    )
    def wait(self, by: timedelta) -> None:
        self.now += by

    @rule(local=names, domain=st.sampled_from([DOMAIN, OTHER]))
    def add_by_hand(self, local: str, domain: DomainName) -> None:
        """An admin makes a local account, with an address of ours."""
        self.number += 1
        account = Account(
            number=0,
            domain=domain,
            mailbox="",
            origin=Origin.LOCAL,
            state_since=self.now,
            source="local",
            values=AccountValues(
                directory_id=DirectoryId(f"local-{self.number}"),
                login_names=(f"{local}-{self.number}",),
                primary_address=Address(f"{local}@{DOMAIN}"),
            ),
        )
        for store in (self.store, self.whole):
            limit = self.job.policy.user_limit if domain == DOMAIN else None
            plan, run = local_plan(account, store.accounts(), self.now, limit)
            if not plan.of(Op.CONFLICT):
                store.apply(plan, run)

    @rule(fault=st.sampled_from(["unreachable", "behind", "incomplete", "before"]))
    def fail(self, fault: str) -> None:
        """A run that fails in the middle writes nothing."""
        before = content(self.store)
        self.connector.unreachable = fault == "unreachable"
        # A server that tells no changes gives nothing to compare it by.
        self.connector.behind = fault == "behind" and self.deltas is not Deltas.NONE
        self.connector.unreachable |= fault == "behind" and not self.connector.behind
        self.connector.incomplete_after = 0 if fault == "incomplete" else None
        self.store.cut = "before" if fault == "before" else ""
        with pytest.raises((Unreachable, IncompleteRead, StoreError)):
            self.job.run()
        self.connector.unreachable = self.connector.behind = False
        self.connector.incomplete_after = None
        assert content(self.store) == before

    @rule()
    def die_after_the_commit(self) -> None:
        self.store.cut = "after"
        with pytest.raises(StoreError):
            self.job.run()
        self.compare()

    @rule()
    def sync(self) -> None:
        self.job.run()
        self.compare()

    def compare(self) -> None:
        """Deltas have done what full reads do."""
        everything = replace(self.job, rules="all anew")
        again = replace(everything, store=copy_of(self.store)).run(dry_run=True)
        assert changes(again) == []
        last = self.store.last_runs(DOMAIN)[0]
        assert set(last.known) == told.keys(again.plan, again.unmapped)
        replace(everything, store=self.whole, rules=f"{self.now}").run(full=True)
        assert content(self.store) == content(self.whole)


def changes(report: Report) -> list[Any]:
    """What a run would do; only full reads look at what time alone brings about."""
    ops = {Op.CONFLICT, Op.REMOVE}
    return [change for change in report.plan.changes if change.op not in ops]


@pytest.mark.parametrize("deltas", Deltas)
def test_deltas_and_full_reads_end_in_the_same_store(deltas: Deltas) -> None:
    machine = type("Machine", (Histories,), {"deltas": deltas})
    run_state_machine_as_test(
        machine, settings=settings(max_examples=25, stateful_step_count=30)
    )
