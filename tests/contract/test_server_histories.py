"""Deltas and full reads of real directories end in the same store.

The short sister of `tests/unit/test_sync_histories.py`: people come, change, clash, go
and come back on Samba and on slapd, and after each step a sync that reads only what
changed has done what a sync does that reads and maps everything.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import pytest

from dirbridge.connectors import active_directory_changes as ad_changes
from dirbridge.connectors.active_directory import active_directory
from dirbridge.connectors.base import Connector
from dirbridge.connectors.ldap_directory import LdapDirectory
from dirbridge.mapping.profile import load_profile
from dirbridge.mapping.rules import Context, Mapper
from dirbridge.model.account import AccountState
from dirbridge.model.entry import ReadKind
from dirbridge.model.names import DomainName
from dirbridge.model.plan import Op
from dirbridge.model.secret import Secret
from dirbridge.store.memory import MemoryStore
from dirbridge.sync import told
from dirbridge.sync.job import SyncJob
from dirbridge.sync.limits import Limits
from dirbridge.sync.policy import Policy
from testbed import cast, ldif
from testbed.bed import Bed
from testbed.samba import Dc1
from testbed.slapd import Od1
from tests.directories import AD_LOGIN, AD_MAIL, OD_MAIL, ad_settings, od_connector

NO_LIMITS = Limits(share=1, container_share=1, absolute=10**6)


@dataclass
class History:
    """What happens to some people of one directory, by chance.

    Attributes:
        apply: Writes LDIF to the server.
        add: The record of a new person with this name and mail address.
        parents: The containers that they may stand in.
        rdn: What a person is called by within a container.
        shared: An address that several want.
    """

    apply: Callable[[str], None]
    add: Callable[[str, str, str], str]
    parents: tuple[str, ...]
    rdn: str
    shared: str
    chance: random.Random
    people: dict[str, tuple[str, str]] = field(default_factory=dict)
    number: int = 0

    def step(self, left: int) -> str:
        """Let one thing happen; in the last step, somebody goes."""
        deeds = (self.come, self.come, self.change, self.clash, self.rename, self.go)
        deed = self.chance.choice(deeds) if len(self.people) > 1 else self.come
        deed = deed if left else self.go
        deed()
        return deed.__name__

    def come(self) -> None:
        self.number += 1
        name, parent = f"hist{self.number}", self.chance.choice(self.parents)
        self.apply(self.add(name, parent, f"{name}@{self.domain}"))
        self.people[name] = (name, parent)

    @property
    def domain(self) -> str:
        return self.shared.partition("@")[2]

    def someone(self) -> str:
        return self.chance.choice(sorted(self.people))

    def dn(self, who: str) -> str:
        called, parent = self.people[who]
        return f"{self.rdn}={called},{parent}"

    def change(self) -> None:
        who = self.someone()
        mail = f"{who}.{self.chance.randint(1, 3)}@{self.domain}"
        self.apply(ldif.modify(self.dn(who), [("mail", mail)]))

    def clash(self) -> None:
        """Somebody gets the address that others may have or want."""
        self.apply(ldif.modify(self.dn(self.someone()), [("mail", self.shared)]))

    def rename(self) -> None:
        who, parent = self.someone(), self.chance.choice(self.parents)
        self.number += 1
        called = f"hist{self.number}"
        self.apply(ldif.move(self.dn(who), f"{self.rdn}={called}", parent))
        self.people[who] = (called, parent)

    def go(self) -> None:
        who = self.someone()
        self.apply(ldif.delete(self.dn(who)))
        del self.people[who]


def job_for(domain: DomainName, connector: Connector, profile: str) -> SyncJob:
    context = Context(
        domain=domain,
        served=frozenset({domain}),
        directory_domain=cast.AD_DOMAIN,
        nt_domain="CORP",
    )
    return SyncJob(
        policy=Policy(domain),
        limits=NO_LIMITS,
        connector=connector,
        mapping=Mapper(load_profile(profile), context),
        store=MemoryStore(),
    )


def follow(jobs: Sequence[SyncJob], history: History, steps: int) -> None:
    """Let things happen, and follow them by deltas."""
    for job in jobs:
        job.run()
    deltas = 0
    for left in reversed(range(steps)):
        happened = history.step(left)
        for job in jobs:
            deltas += job.run().plan.kind is ReadKind.DELTA
            is_true(job, happened)
    assert deltas >= steps // 4 * len(jobs)
    states = {account.state for job in jobs for account in job.store.accounts()}
    assert AccountState.DEACTIVATED in states


def is_true(job: SyncJob, happened: str) -> None:
    """The store is as a sync would make it that reads and maps everything."""
    store, copy = job.store, MemoryStore()
    assert isinstance(store, MemoryStore)
    copy._content = store._content
    anew = replace(job, store=copy, rules="all anew").run(dry_run=True)
    changes = [c for c in anew.plan.changes if c.op is not Op.CONFLICT]
    assert changes == [], happened
    (last, *_) = store.last_runs(job.policy.domain)
    assert set(last.known) == told.keys(anew.plan, anew.unmapped), happened


@pytest.fixture
def changing_ad(bed: Bed, dc1: Dc1) -> Iterator[Dc1]:
    yield dc1
    bed.reset("dc1")


AD_MODES = (
    ("svc-repl", ad_changes.Mode.DIRSYNC),
    ("svc-dirbridge", ad_changes.Mode.DIRSYNC_OWN),
    ("svc-dirbridge", ad_changes.Mode.USN),
)


def test_histories_on_active_directory(bed: Bed, changing_ad: Dc1) -> None:
    def add(name: str, parent: str, mail: str) -> str:
        pairs = [("objectClass", "user"), ("sAMAccountName", name), ("mail", mail)]
        return ldif.add(f"CN={name},{parent}", pairs)

    history = History(
        apply=changing_ad.modify,
        add=add,
        parents=(cast.AD_STAFF, cast.AD_SALES),
        rdn="CN",
        shared=f"shared@{AD_MAIL}",
        chance=random.Random(1),
    )
    connectors = [ad_connector(bed, *mode) for mode in AD_MODES]
    jobs = [job_for(AD_MAIL, one, "active-directory") for one in connectors]
    follow(jobs, history, steps=8)
    for connector in connectors:
        connector.close()


def ad_connector(bed: Bed, account: str, mode: ad_changes.Mode) -> LdapDirectory:
    secret = Secret(bed.password(account, "ad"))
    settings = ad_settings(
        bed,
        username=f"{account}@{cast.AD_DOMAIN}",
        backup_server=(),
        base=cast.AD_STAFF,
    )
    return active_directory(
        AD_MAIL,
        settings,
        load_profile("active-directory"),
        lambda: secret,
        login=AD_LOGIN,
        modes=(mode,),
    )


def test_histories_on_open_directory(bed: Bed, changeable_od: Od1) -> None:
    def add(name: str, parent: str, mail: str) -> str:
        number = int(name.removeprefix("hist"))
        pairs = [
            ("objectClass", "inetOrgPerson"),
            ("objectClass", "posixAccount"),
            ("objectClass", "apple-user"),
            ("uid", name),
            ("cn", name),
            ("sn", "99"),
            ("uidNumber", str(9000 + number)),
            ("gidNumber", "20"),
            ("homeDirectory", "/dev/null"),
            ("mail", mail),
            ("apple-generateduid", cast.od_guid(f"user:{name}")),
        ]
        return ldif.add(f"uid={name},{parent}", pairs)

    history = History(
        apply=changeable_od.modify,
        add=add,
        parents=(cast.OD_USERS,),
        rdn="uid",
        shared=f"shared@{OD_MAIL}",
        chance=random.Random(4),
    )
    connector = od_connector(bed)
    follow([job_for(OD_MAIL, connector, "open-directory")], history, steps=20)
    connector.close()
