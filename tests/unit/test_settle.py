"""A new entry with an old name: the same person, or somebody else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from dirbridge.connectors.memory import MemoryConnector
from dirbridge.errors import Unsettled
from dirbridge.model.account import (
    Account,
    AccountState,
    AccountValues,
    KeptAddress,
    Origin,
)
from dirbridge.model.entry import Entry, EntryKind
from dirbridge.model.mapping import Mapped
from dirbridge.model.names import Address, DirectoryId, DomainName
from dirbridge.model.plan import Op, Plan
from dirbridge.model.sentences import problems_of
from dirbridge.store.memory import MemoryStore
from dirbridge.sync import settle
from dirbridge.sync.acting import Deed, Done, carry_out
from dirbridge.sync.by_hand import Ground, named
from dirbridge.sync.job import Report, SyncJob
from dirbridge.sync.limits import Limits
from dirbridge.sync.local import local_plan
from dirbridge.sync.planner import Policy

DOMAIN = DomainName("company.com")
POLICY = Policy(DOMAIN)


def entry(name: str, who: str, mail: str = "") -> Entry:
    address = mail or f"{name}.mail@{DOMAIN}"
    return Entry(
        DirectoryId(who),
        f"uid={name},dc=x",
        {"uid": (name.encode(),), "mail": (address.encode(),)},
        digest=f"{who} {address}".encode(),
    )


def mapped(one: Entry) -> Mapped:
    name = one.values("uid")[0].decode()
    person = one.kind is EntryKind.ACCOUNT
    values = AccountValues(
        directory_id=one.id,
        kind=one.kind,
        dn=one.dn,
        login_names=(name,) if person else (),
        name=None if person else name,
        primary_address=Address(one.values("mail")[0].decode()),
    )
    return Mapped(values, digest=one.digest)


class Place:
    """A store and a directory; Anna's entry was deleted and made anew."""

    def __init__(self) -> None:
        self.store = MemoryStore()
        self.connector = MemoryConnector([entry("anna", "old"), entry("zoe", "zoe")])
        self.sync()
        self.connector.remove(DirectoryId("old"))
        self.connector.put(entry("anna", "new"))

    def sync(self) -> Report:
        limits = Limits(from_accounts=100)
        return SyncJob(POLICY, limits, self.connector, mapped, self.store).run()

    def do(self, make: Callable[[Ground], Plan]) -> Done:
        return carry_out(self.store, Deed(DOMAIN, "directory", make))

    def of(self, who: str) -> Account:
        (found,) = (a for a in self.store.accounts() if a.values.directory_id == who)
        return found

    def mailboxes(self) -> dict[str, str]:
        return {a.values.directory_id: a.mailbox for a in self.store.accounts()}


@pytest.fixture
def place() -> Place:
    made = Place()
    report = made.sync()
    codes = {c.after["conflict"] for c in report.plan.of(Op.CONFLICT)}
    assert codes == {"recreated"}
    assert made.of("old").state is AccountState.DEACTIVATED
    return made


def test_the_same_person_keeps_the_mailbox(place: Place) -> None:
    old = place.of("old")
    place.do(lambda ground: settle.adopt(ground, old, DirectoryId("new")))

    report = place.sync()

    assert report.plan.of(Op.CONFLICT) == ()
    assert place.mailboxes() == {"new": "anna", "zoe": "zoe"}
    assert place.of("new").state is AccountState.ACTIVE
    assert place.of("new").number == old.number
    assert tuple(place.sync().plan.changes) == ()


def test_another_person_gets_another_mailbox(place: Place) -> None:
    old = place.of("old")
    place.do(lambda ground: settle.keep_apart(ground, old))

    report = place.sync()

    assert report.plan.of(Op.CONFLICT) == ()
    assert place.mailboxes() == {"old": "anna", "new": "anna-2", "zoe": "zoe"}
    assert place.of("new").values.login_names == ("anna",)
    assert place.of("old").values.login_names == ()
    assert place.of("old").canonical == f"anna@{DOMAIN}"


def test_the_old_mailboxs_own_address_stays_with_it(place: Place) -> None:
    place.connector.put(entry("anna", "new", f"anna@{DOMAIN}"))
    old = place.of("old")
    place.do(lambda ground: settle.keep_apart(ground, old))

    (conflict,) = place.sync().plan.of(Op.CONFLICT)

    assert conflict.after["conflict"] == "kept-apart"
    assert "keep-apart" not in conflict.why
    assert place.mailboxes()["new"] == "anna-2"
    assert place.of("new").values.primary_address is None


def test_who_is_still_there_is_nobody_elses(place: Place) -> None:
    old = replace(place.of("old"), state=AccountState.DISABLED)
    for make in (
        lambda ground: settle.adopt(ground, old, DirectoryId("new")),
        lambda ground: settle.keep_apart(ground, old),
    ):
        with pytest.raises(Unsettled) as refused:
            place.do(make)
        assert refused.value.code == "still-there"


def test_who_is_gone_can_be_settled_before_a_sync_says_so(place: Place) -> None:
    """While a limit stops the run, the account looks live and its entry is gone."""
    live = {"state": AccountState.ACTIVE, "state_reason": None}
    old = replace(place.of("old"), **live)
    with place.store.view() as view:
        ground = Ground(view, DOMAIN, "directory", datetime.now(UTC))
        adopted = settle.adopt(ground, old, DirectoryId("new"), gone=True)
        apart = settle.keep_apart(ground, old, gone=True)

    (same,) = adopted.changes
    assert same.account == "new"
    assert same.result is not None
    assert same.result.state is AccountState.ACTIVE
    (other,) = apart.changes
    assert other.op is Op.DEACTIVATE
    assert other.result is not None
    assert other.result.state is AccountState.DEACTIVATED
    assert other.result.state_reason == "It vanished from the directory."
    assert other.result.values.login_names == ()


def test_an_entry_has_one_account(place: Place) -> None:
    place.connector.put(entry("bob", "bob"))
    place.sync()
    old = place.of("old")
    with pytest.raises(Unsettled) as refused:
        place.do(lambda ground: settle.adopt(ground, old, DirectoryId("bob")))
    assert (refused.value.code, refused.value.account) == (
        "entry-taken",
        f"bob@{DOMAIN}",
    )


def local(values: AccountValues) -> Account:
    return Account(
        number=0,
        domain=DOMAIN,
        mailbox="",
        origin=Origin.LOCAL,
        state_since=datetime.now(UTC),
        values=values,
        source="local",
    )


def test_a_local_account_becomes_an_entrys(place: Place) -> None:
    values = AccountValues(directory_id=DirectoryId("local:1"), login_names=("post",))
    place.store.apply(*local_plan(local(values), (), datetime.now(UTC)))
    place.connector.put(entry("post", "post"))
    assert place.sync().plan.of(Op.CONFLICT)
    stored = place.of("local:1")
    with pytest.raises(Unsettled):
        place.do(lambda ground: settle.keep_apart(ground, stored))

    done = place.do(lambda ground: settle.adopt(ground, stored, DirectoryId("post")))

    (change,) = done.plan.changes
    assert dict(change.after) == {
        "directory_id": "post",
        "origin": "mapped",
        "directory": "directory",
    }
    place.sync()
    assert place.of("post").values.dn == "uid=post,dc=x"
    assert place.of("post").mailbox == "post"


def test_groups_do_not_count_for_the_limit_of_a_local_account() -> None:
    new = local(
        AccountValues(directory_id=DirectoryId("local:1"), login_names=("post",))
    )
    others = [
        local(AccountValues(directory_id=DirectoryId(kind), kind=kind, name=str(kind)))
        for kind in EntryKind
    ]
    plans = [local_plan(new, others, datetime.now(UTC), limit)[0] for limit in (2, 1)]
    codes = [[c.after.get("conflict") for c in one.changes] for one in plans]
    assert codes == [[None], ["user-limit"]]


def test_a_removed_account_gets_another_quarantine(place: Place) -> None:
    long_ago = datetime.now(UTC) - timedelta(days=99)
    removed = replace(place.of("old"), state=AccountState.REMOVED, state_since=long_ago)
    place.do(lambda ground: settle.restore(ground, removed))
    assert place.of("old").state is AccountState.DEACTIVATED
    assert place.of("old").state_since > long_ago
    # It is still not in the directory, and stays what it is until that ends.
    place.sync()
    assert place.of("old").state is AccountState.DEACTIVATED


@pytest.fixture
def group_place() -> Place:
    """A group was deleted and made anew, which no sync has seen yet."""
    made = Place()
    made.connector.put(replace(entry("sales", "g-old"), kind=EntryKind.GROUP))
    made.sync()
    made.connector.remove(DirectoryId("g-old"))
    made.connector.put(replace(entry("sales", "g-new"), kind=EntryKind.GROUP))
    return made


def test_a_group_that_is_kept_apart_leaves_its_address_to_the_new_one(
    group_place: Place,
) -> None:
    conflicts = group_place.sync().plan.of(Op.CONFLICT)
    (conflict,) = (one for one in conflicts if one.account == "g-new")
    assert conflict.after["conflict"] == "recreated"
    old = group_place.of("g-old")
    done = group_place.do(lambda ground: settle.keep_apart(ground, old))
    (change,) = done.plan.changes
    assert change.why == "An admin said that the new entry is another group."
    group_place.sync()
    address = group_place.of("g-new").values.primary_address
    assert address == f"sales.mail@{DOMAIN}"


def test_a_group_goes_over_to_a_group_and_to_nobody_else(group_place: Place) -> None:
    old = replace(group_place.of("g-old"), state=AccountState.DEACTIVATED)
    new = DirectoryId("g-new")
    for kind in (EntryKind.ACCOUNT, EntryKind.CONTACT):
        with pytest.raises(Unsettled) as refused:
            group_place.do(lambda g, kind=kind: settle.adopt(g, old, new, kind))
        assert refused.value.code == "other-kind"
        assert problems_of(refused.value)[0].next
    group_place.do(lambda ground: settle.adopt(ground, old, new, EntryKind.GROUP))
    report = group_place.sync()
    assert [c.account for c in report.plan.of(Op.CONFLICT)] == ["new"]
    adopted = group_place.of("g-new")
    assert (adopted.number, adopted.state) == (old.number, AccountState.ACTIVE)


def test_who_is_restored_gets_no_old_address_that_is_anothers(place: Place) -> None:
    now = datetime.now(UTC)
    until = now + timedelta(days=99)
    mine, given = Address(f"mine@{DOMAIN}"), Address(f"zoe.mail@{DOMAIN}")
    removed = replace(
        place.of("old"),
        state=AccountState.REMOVED,
        state_since=now - timedelta(days=200),
        kept=(KeptAddress(mine, until), KeptAddress(given, until)),
    )
    place.do(lambda ground: settle.restore(ground, removed))
    restored = place.of("old")
    assert restored.state is AccountState.DEACTIVATED
    assert [one.address for one in restored.kept] == [mine]
    assert place.of("zoe").values.primary_address == given


def test_restoring_needs_something_to_restore(place: Place) -> None:
    live = replace(place.of("old"), state=AccountState.ACTIVE)
    with pytest.raises(Unsettled) as refused:
        place.do(lambda ground: settle.restore(ground, live))
    assert refused.value.code == "is-live"


def test_accounts_are_found_by_name_in_any_state(place: Place) -> None:
    with place.store.view() as view:
        for name in ("ANNA", f"anna@{DOMAIN}", f"anna.mail@{DOMAIN}"):
            assert [a.mailbox for a in named(view, DOMAIN, (name,))] == ["anna"]
        assert named(view, DOMAIN, ("bob",)) == []
