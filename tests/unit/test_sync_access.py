"""Who gets a mailbox: members of the required group, and who has an address here."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from dirbridge.connectors.memory import Deltas, MemoryConnector
from dirbridge.errors import Unsupported
from dirbridge.mapping.profile import load_profile
from dirbridge.mapping.rules import Context, Mapper
from dirbridge.model.account import Account, AccountState, AccountValues
from dirbridge.model.entry import Entry, EntryKind, ReadKind
from dirbridge.model.mapping import Elsewhere
from dirbridge.model.names import DirectoryId, DomainName
from dirbridge.model.plan import Op
from dirbridge.model.sentences import problems_of
from dirbridge.store.memory import MemoryStore
from dirbridge.sync.job import Report, SyncJob
from dirbridge.sync.limits import Limits
from dirbridge.sync.planner import Policy

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
A, B = DomainName("a.com"), DomainName("b.com")
MAIL = "cn=Mail,ou=groups,dc=x"


def entry(name: str, kind: EntryKind, dn: str, **given: str | list[str]) -> Entry:
    attributes = {
        key.lower(): tuple(
            one.encode() for one in (text if isinstance(text, list) else [text])
        )
        for key, text in given.items()
    }
    octets = repr((dn, sorted(attributes.items()))).encode()
    digest = hashlib.sha256(octets).digest()
    return Entry(DirectoryId(f"id-{name}"), dn, attributes, kind, digest)


def person(name: str, **given: str | list[str]) -> Entry:
    dn = f"uid={name},ou=people,dc=x"
    return entry(name, EntryKind.ACCOUNT, dn, uid=name, **given)


def group(name: str, *members: str, **given: str | list[str]) -> Entry:
    """A group; members are people's names, or whole DNs."""
    dns = [m if "=" in m else f"uid={m},ou=people,dc=x" for m in members]
    dn = f"cn={name},ou=groups,dc=x"
    return entry(name, EntryKind.GROUP, dn, cn=name, member=dns, **given)


class Site:
    """One directory, and the domains that read it into one store."""

    def __init__(self, deltas: Deltas = Deltas.DIRSYNC) -> None:
        self.connector = MemoryConnector(deltas=deltas)
        self.store = MemoryStore()
        self.now = NOW

    def job(
        self, domain: DomainName = A, *, by_address: bool = False, **policy: Any
    ) -> SyncJob:
        own = frozenset({domain})
        context = Context(domain, frozenset({A, B}), own=own if by_address else None)
        return SyncJob(
            policy=Policy(domain, addresses=own, **policy),
            limits=Limits(from_accounts=4),
            connector=self.connector,
            mapping=Mapper(load_profile("openldap"), context),
            store=self.store,
            clock=lambda: self.now,
        )

    def put(self, *entries: Entry) -> None:
        for one in entries:
            self.connector.put(one)

    def accounts(self, domain: DomainName = A) -> dict[str, Account]:
        return {
            a.values.login_names[0]: a
            for a in self.store.accounts(domain)
            if a.kind is EntryKind.ACCOUNT
        }

    def groups(self, domain: DomainName = A) -> dict[str, AccountValues]:
        everybody = (account.values for account in self.store.accounts(domain))
        return {str(v.name): v for v in everybody if v.kind is EntryKind.GROUP}

    def active(self, domain: DomainName = A) -> set[str]:
        everybody = self.accounts(domain).items()
        return {name for name, a in everybody if a.state is AccountState.ACTIVE}


def with_group(deltas: Deltas = Deltas.DIRSYNC) -> tuple[Site, SyncJob]:
    site = Site(deltas)
    inner = "cn=inner,ou=groups,dc=x"
    site.put(
        *map(person, ("anna", "bob", "carla")),
        person("dora", gidNumber="7"),
        person("eve", gidNumber="8"),
        group("Mail", "anna", inner),
        group("inner", "bob", MAIL, gidNumber="7"),
    )
    return site, site.job(require_group=MAIL)


def ops(report: Report) -> set[tuple[Op, str]]:
    return {(change.op, change.account) for change in report.plan.changes}


class TestRequiredGroup:
    def test_members_nested_ones_and_by_primary_group(self) -> None:
        site, job = with_group()
        report = job.run()
        assert site.active() == {"anna", "bob", "dora"}
        assert report.stopped is None
        assert set(site.groups()) == {"Mail", "inner"}
        again = job.run(full=True)
        assert again.plan.changes == ()
        assert site.active() == {"anna", "bob", "dora"}

    def test_its_dn_may_be_written_otherwise(self) -> None:
        site, _ = with_group()
        site.job(require_group="CN=mail, OU=Groups,DC=X").run()
        assert site.active() == {"anna", "bob", "dora"}

    @pytest.mark.parametrize("deltas", [Deltas.DIRSYNC, Deltas.USN])
    def test_who_leaves_is_deactivated_and_may_come_back(self, deltas: Deltas) -> None:
        site, job = with_group(deltas)
        job.run()
        site.put(group("Mail", "anna"))
        (bob, dora) = (site.accounts()[name] for name in ("bob", "dora"))
        lax = replace(job, limits=Limits(absolute=9, share=1, container_share=1))
        assert lax.run().plan.kind is ReadKind.FULL
        assert site.active() == {"anna"}
        left = site.accounts()["bob"]
        assert left.state is AccountState.DEACTIVATED
        assert left.state_reason == (
            f"It is not in the group {MAIL}, which decides who gets a mailbox."
        )
        site.put(group("Mail", "anna", "bob", "dora"))
        assert {op for op, _ in ops(lax.run())} == {Op.REACTIVATE, Op.UPDATE}
        assert site.accounts()["bob"].number == bob.number
        assert site.accounts()["dora"].mailbox == dora.mailbox

    def test_who_stays_outside_is_removed_after_the_quarantine(self) -> None:
        site, job = with_group()
        lax = replace(job, limits=Limits(absolute=9, share=1, container_share=1))
        lax.run()
        site.put(group("inner", gidNumber="7"))
        lax.run()
        assert site.accounts()["bob"].state is AccountState.DEACTIVATED
        site.now += timedelta(days=31)
        lax.run(full=True)
        assert site.accounts()["bob"].state is AccountState.REMOVED

    def test_an_emptied_group_stops_the_run(self) -> None:
        site, job = with_group()
        site.put(*(person(f"p{n}") for n in range(5)))
        site.put(group("inner", "bob", *(f"p{n}" for n in range(5)), gidNumber="7"))
        job.run()
        site.put(group("Mail"))
        report = job.run()
        assert report.stopped is not None
        assert len(site.active()) == 8
        approved = job.run(approved=report.stopped.approval)
        assert approved.stopped is None
        assert site.active() == set()

    def test_an_emptied_group_stops_the_run_of_a_small_domain_too(self) -> None:
        site, job = with_group()
        job.run()
        site.put(group("Mail"))
        report = job.run()
        assert report.stopped is not None
        assert report.stopped.limit == "source-empty"
        assert site.active() == {"anna", "bob", "dora"}

    def test_a_group_that_is_not_found_is_an_error(self) -> None:
        site, job = with_group()
        job.run()
        site.connector.remove(DirectoryId("id-Mail"))
        with pytest.raises(Unsupported) as caught:
            job.run()
        assert caught.value.code == "group-missing"
        (problem,) = problems_of(caught.value)
        assert MAIL in problem.text
        assert "`require_group`" in problem.next
        assert site.active() == {"anna", "bob", "dora"}

    def test_a_delta_that_moves_nobody_stays_one(self) -> None:
        site, job = with_group()
        job.run()
        site.put(person("anna", title="Head"))
        assert job.run().plan.kind is ReadKind.DELTA
        assert site.accounts()["anna"].values.title == "Head"

    def test_who_moves_away_from_where_the_group_names_it_is_outside(self) -> None:
        site, job = with_group()
        job.run()
        dn = "uid=anna,ou=old,dc=x"
        moved = entry("anna", EntryKind.ACCOUNT, dn, uid="anna", title="Head")
        site.put(moved)
        lax = replace(job, limits=Limits(absolute=9, share=1, container_share=1))
        assert lax.run().plan.kind is ReadKind.FULL
        assert site.active() == {"bob", "dora"}

    def test_what_an_outsider_asks_for_by_a_delta_is_no_conflict(self) -> None:
        site, job = with_group()
        full = replace(job, policy=replace(job.policy, user_limit=3))
        assert full.run().new == frozenset()
        site.put(person("fay"))
        assert full.run().new == frozenset()
        site.put(entry("twin", EntryKind.ACCOUNT, "uid=anna,ou=old,dc=x", uid="anna"))
        report = full.run()
        assert (report.new, report.plan.of(Op.CONFLICT)) == (frozenset(), ())

    def test_an_outsider_that_cannot_be_mapped_is_not_reported(self) -> None:
        site, job = with_group()
        site.put(entry("x", EntryKind.ACCOUNT, "cn=x,dc=x", uid=""))
        for _ in range(2):
            report = job.run()
            assert (report.unmapped, report.new) == ((), frozenset())
            site.put(entry("y", EntryKind.ACCOUNT, "cn=y,dc=x", uid="", title="y"))
        site.put(entry("bob", EntryKind.ACCOUNT, "uid=bob,ou=people,dc=x", uid=""))
        (bob,) = job.run().unmapped
        assert bob.id == "id-bob"
        assert len(job.run(full=True).unmapped) == 1

    @pytest.mark.parametrize(
        "changed",
        [person("carla", gidNumber="7"), person("fay", gidNumber="7"),
         group("Mail", "anna", "carla", "cn=inner,ou=groups,dc=x")],
        ids=lambda one: one.dn,
    )  # fmt: skip
    def test_who_comes_in_by_a_delta_gets_a_mailbox(self, changed: Entry) -> None:
        site, job = with_group()
        job.run()
        site.put(changed)
        job.run()
        assert len(site.active()) == 4

    def test_who_is_outside_takes_no_name_and_no_place(self) -> None:
        """Two may have one name where only one of them is a member."""
        site, job = with_group()
        twin = entry("twin", EntryKind.ACCOUNT, "uid=anna,ou=old,dc=x", uid="anna")
        site.put(twin)
        report = replace(job, policy=replace(job.policy, user_limit=3)).run()
        assert report.plan.of(Op.CONFLICT) == ()
        assert site.active() == {"anna", "bob", "dora"}


class TestByAddress:
    def test_each_domain_takes_its_own(self) -> None:
        site = Site()
        site.put(
            person("anna", mail=["anna@a.com", "anna@b.com"]),
            person("bob", mail="bob@b.com"),
            person("carla", mail="carla@elsewhere.net"),
            person("dora"),
        )
        for domain in (A, B):
            assert site.job(domain, by_address=True).run().unmapped == ()
        assert site.active(A) == {"anna"}
        assert site.active(B) == {"bob"}

    def test_who_has_no_address_any_more_gives_none_up(self) -> None:
        """Nobody has them in another domain, and they may be back in an hour."""
        site = Site()
        site.put(person("anna", mail=["anna@a.com", "anna@b.com"]))
        site.put(*(person(f"p{n}", mail=f"p{n}@{A}") for n in range(9)))
        jobs = {domain: site.job(domain, by_address=True) for domain in (A, B)}
        jobs[A].run()
        held = site.accounts(A)["anna"].values
        assert held.aliases == ("anna@b.com",)
        site.put(person("anna"))
        jobs[A].run()
        left = site.accounts(A)["anna"]
        assert left.state is AccountState.DEACTIVATED
        assert left.values.primary_address == held.primary_address
        assert left.values.aliases == held.aliases
        site.put(person("eve", mail=["eve@b.com", "anna@b.com"]))
        (conflict,) = jobs[B].run().plan.of(Op.CONFLICT)
        assert conflict.after["address"] == "anna@b.com"

    @pytest.mark.parametrize("deltas", [Deltas.DIRSYNC, Deltas.USN])
    @pytest.mark.parametrize("order", [(A, B, B), (B, A, B)])
    def test_who_moves_goes_on_in_the_other_domain(
        self, deltas: Deltas, order: tuple[DomainName, ...]
    ) -> None:
        site = Site(deltas)
        site.put(*(person(f"p{n}", mail=f"p{n}@{d}") for n in range(9) for d in [A]))
        site.put(person("anna", mail=["anna@a.com", "anna@b.com"]))
        site.put(person("bob", mail="bob@b.com"))
        jobs = {domain: site.job(domain, by_address=True) for domain in (A, B)}
        for domain in (A, B):
            jobs[domain].run()
        anna = site.accounts(A)["anna"]
        site.put(person("anna", mail=["anna@b.com"]))
        reports = [jobs[domain].run() for domain in order]
        assert all(report.stopped is None for report in reports)
        moved = site.accounts(A)["anna"]
        assert moved.state is AccountState.DEACTIVATED
        assert moved.state_reason == (
            "Its primary address anna@b.com is of another domain."
        )
        assert (moved.mailbox, moved.values.aliases) == (anna.mailbox, ())
        assert moved.values.primary_address == "anna@a.com"
        assert site.active(B) == {"anna", "bob"}
        assert site.accounts(B)["anna"].values.primary_address == "anna@b.com"

    def test_moving_out_counts_for_the_limits(self) -> None:
        site = Site()
        names = [f"p{n}" for n in range(6)]
        site.put(*(person(name, mail=f"{name}@a.com") for name in names))
        job = site.job(by_address=True)
        job.run()
        site.put(*(person(name, mail=f"{name}@b.com") for name in names[:3]))
        stopped = job.run().stopped
        assert stopped is not None
        assert stopped.limit == "share"
        assert len(site.active()) == 6

    def test_who_comes_back_is_the_same_account(self) -> None:
        site = Site()
        site.put(*(person(f"p{n}", mail=f"p{n}@a.com") for n in range(20)))
        job = site.job(by_address=True)
        job.run()
        before = site.accounts()["p1"]
        site.put(person("p1", mail="p1@b.com"))
        job.run()
        assert site.accounts()["p1"].state is AccountState.DEACTIVATED
        site.put(person("p1", mail="p1@a.com"))
        job.run()
        after = site.accounts()["p1"]
        assert (after.number, after.state) == (before.number, AccountState.ACTIVE)
        assert after.mailbox == before.mailbox

    def test_groups_are_read_everywhere_and_get_mail_in_one_domain(self) -> None:
        site = Site()
        site.put(person("anna", mail="anna@a.com"))
        site.put(group("sales", "anna", mail=["sales@b.com", "s@a.com"]))
        for domain in (A, B):
            report = site.job(domain, by_address=True).run()
            assert report.plan.of(Op.CONFLICT) == ()
        (there,) = (
            a.values for a in site.store.accounts(B) if a.kind is EntryKind.GROUP
        )
        (here,) = (
            a.values for a in site.store.accounts(A) if a.kind is EntryKind.GROUP
        )
        assert (there.primary_address, there.aliases) == ("sales@b.com", ("s@a.com",))
        assert (here.primary_address, here.aliases) == (None, ())
        assert here.members == there.members


def test_only_an_address_of_the_directory_counts() -> None:
    """The default of the mapping would make everybody a member of every domain."""
    context = Context(A, frozenset({A, B}), own=frozenset({A}))
    mapper = Mapper(load_profile("openldap"), context)
    result = mapper(person("dora"))
    assert isinstance(result, Elsewhere)
    assert result.why == "It has no primary address in any domain of this dirbridge."
    assert not result.goes_on
    there = mapper(person("bob", mail="bob@b.com"))
    assert isinstance(there, Elsewhere)
    assert there.goes_on


def test_groups_decide_only_where_they_shall() -> None:
    site, _ = with_group()
    site.job().run()
    assert len(site.active()) == 5
