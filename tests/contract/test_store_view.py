"""Every store's view answers what `AccountsView` answers from all its accounts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dirbridge.model.account import (
    Account,
    AccountState,
    AccountValues,
    KeptAddress,
    Origin,
)
from dirbridge.model.entry import Cursor, EntryKind
from dirbridge.model.names import Address, DirectoryId, DomainName, fold
from dirbridge.model.plan import Op
from dirbridge.model.recipient import By, Reference
from dirbridge.store.base import Store, StoreView
from dirbridge.store.view import AccountsView
from tests.contract.test_store import a_run, change, plan
from tests.stores import KINDS, empty

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)
EXAMPLES = count(1)
NAMES = [
    "anna",
    "Anna-2",
    "anna-2-3",
    "änne",
    "o'brien",
    "anna.x",
    "anna-x",
    "-1",
]
SOURCES = ["directory", "old"]
PLACES = [
    "",
    "CN=a,OU=Staff,DC=x",
    "CN=b,OU=Staff,DC=x",
    "cn=c\\,d,ou=Süd,dc=x",
    "none",
]


class Drawn(NamedTuple):
    """One account before it has a domain of its example."""

    domain: int
    mailbox: str
    origin: Origin
    state: AccountState
    since: int
    source: str
    kind: EntryKind
    dn: str
    logins: tuple[str, ...]
    upn: str | None
    addresses: tuple[tuple[str, int], ...]
    kept: tuple[tuple[str, int], ...]
    members: tuple[str, ...]


NAME = st.sampled_from(NAMES)
PLACE = st.tuples(NAME, st.integers(0, 1))
DRAWN = st.builds(
    Drawn,
    domain=st.integers(0, 1),
    mailbox=NAME,
    origin=st.sampled_from(Origin),
    state=st.sampled_from(AccountState),
    since=st.integers(0, 5),
    source=st.sampled_from(SOURCES),
    kind=st.sampled_from(EntryKind),
    dn=st.sampled_from(PLACES),
    logins=st.lists(NAME, max_size=2).map(tuple),
    upn=st.none() | NAME,
    addresses=st.lists(PLACE, max_size=3).map(tuple),
    kept=st.lists(PLACE, max_size=1).map(tuple),
    members=st.lists(NAME, max_size=2).map(tuple),
)
HISTORIES = st.lists(
    # What the accounts are at first, and what becomes of some of them.
    st.tuples(DRAWN, st.none() | DRAWN),
    max_size=6,
)


class Filling:
    """Accounts of one example, which share no name with another example's."""

    def __init__(self) -> None:
        number = next(EXAMPLES)
        self.domains = tuple(DomainName(f"{w}{number}.example") for w in "ab")
        self.prefix = f"id-{number}-"
        self._boxes: set[tuple[DomainName, str]] = set()
        self._held: dict[str, int] = {}

    def account(self, index: int, drawn: Drawn, before: Account | None) -> Account:
        """One that collides with nothing that was given before."""
        person = drawn.kind is EntryKind.ACCOUNT
        domain = before.domain if before else self.domains[drawn.domain]
        live = drawn.state is not AccountState.REMOVED
        wanted = self._addresses(drawn.addresses)
        free = [a for a in wanted if self._take(a, index, live)]
        return Account(
            number=before.number if before else 0,
            domain=domain,
            mailbox=before.mailbox
            if before and before.mailbox
            else self._mailbox(domain, drawn, index)
            if person
            else "",
            origin=before.origin if before else drawn.origin,
            state=drawn.state,
            state_since=NOW + drawn.since * DAY,
            source=before.source if before else drawn.source,
            digest=bytes([drawn.since]) * (drawn.since % 3),
            kept=tuple(KeptAddress(a, NOW) for a in self._addresses(drawn.kept)),
            values=AccountValues(
                directory_id=DirectoryId(f"{self.prefix}{index}"),
                kind=drawn.kind,
                dn=drawn.dn,
                login_names=drawn.logins if person else (),
                upn=drawn.upn if person else None,
                primary_address=free[0] if free else None,
                aliases=tuple(free[1:]),
                members=tuple(Reference(By.NAME, name) for name in drawn.members)
                if drawn.kind is EntryKind.GROUP
                else (),
            ),
        )

    def _addresses(self, places: tuple[tuple[str, int], ...]) -> list[Address]:
        return [Address(f"{name}@{self.domains[d]}") for name, d in places]

    def _take(self, address: Address, index: int, live: bool) -> bool:
        return not live or self._held.setdefault(fold(address), index) == index

    def _mailbox(self, domain: DomainName, drawn: Drawn, index: int) -> str:
        name = drawn.mailbox
        while (domain, fold(name)) in self._boxes:
            name += f"-{index}"
        self._boxes.add((domain, fold(name)))
        return name


@pytest.fixture(params=KINDS)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    with empty(request, tmp_path, "store_view") as store:
        yield store


def fill(store: Store, history: list[tuple[Drawn, Drawn | None]]) -> Filling:
    filling = Filling()
    first = [filling.account(i, drawn, None) for i, (drawn, _) in enumerate(history)]
    store.apply(plan(*(change(Op.CREATE, account) for account in first)), a_run())
    there = {
        account.values.directory_id: account
        for domain in filling.domains
        for account in store.accounts(domain)
    }
    again = []
    for index, (_, drawn) in enumerate(history):
        before = there[first[index].values.directory_id]
        if drawn is not None:
            # People stay people: their mailbox name is for ever.
            same = drawn._replace(kind=before.kind)
            again.append(change(Op.UPDATE, filling.account(index, same, before)))
    store.apply(plan(*again), a_run())
    return filling


def answers(view: StoreView, filling: Filling) -> list[object]:
    """All that may be asked, of this example's names."""
    asked: list[object] = []
    ids = [DirectoryId(f"{filling.prefix}{index}") for index in range(7)]
    names = [*map(fold, NAMES), "nobody", "\0", "\ud800"]
    for domain in filling.domains:
        addresses = [f"{name}@{domain}" for name in names]
        asked += [view.live(domain), view.taken(domain, names)]
        asked += [view.taken(domain, [name]) for name in names[:2]]
        asked += [view.holders(domain, names, addresses)]
        asked += [view.holders(domain, [], [address]) for address in addresses[:4]]
        asked += [view.holders(domain, [name], []) for name in names[:4]]
        for source in SOURCES:
            asked += [
                sorted(view.remembered(domain, source)),
                view.by_id(domain, source, ids),
                view.by_id(domain, source, ids[:1]),
                view.containers(domain, source),
                tuple(view.mapped(domain, source)),
                view.due(domain, source, NOW + 2 * DAY),
            ]
    return asked


@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[
        HealthCheck.function_scoped_fixture,
        HealthCheck.too_slow,
        HealthCheck.data_too_large,
    ],
)
@given(history=HISTORIES)
def test_answers_as_from_all_accounts(
    store: Store, history: list[tuple[Drawn, Drawn | None]]
) -> None:
    filling = fill(store, history)
    accounts = [a for domain in filling.domains for a in store.accounts(domain)]
    reference = AccountsView(sorted(accounts, key=lambda account: account.number))
    with store.view() as view:
        assert answers(view, filling) == answers(reference, filling)


def somebody(number: int, **fields: object) -> Account:
    """A plain account."""
    values = {
        "directory_id": f"id-{number}",
        "login_names": (f"p{number}",),
        "primary_address": f"p{number}@company.com",
        "dn": f"CN=p{number},OU={number % 3},DC=x",
        **fields,
    }
    return Account(
        number=0,
        domain=DomainName("company.com"),
        mailbox=f"p{number}",
        origin=Origin.MAPPED,
        state_since=NOW,
        digest=b"d",
        values=AccountValues(**values),
    )


COMPANY = DomainName("company.com")


def test_more_than_one_statement_holds_is_answered(store: Store) -> None:
    people = [somebody(number) for number in range(2500)]
    store.apply(plan(*(change(Op.CREATE, one) for one in people)), a_run())
    ids = [one.values.directory_id for one in people]
    addresses = [str(one.values.primary_address) for one in people]
    boxes = [one.mailbox for one in people]
    with store.view() as view:
        assert {one.id for one in view.remembered(COMPANY, "directory")} == set(ids)
        assert set(view.by_id(COMPANY, "directory", ids)) == set(ids)
        told = view.holders(COMPANY, boxes, addresses)
        assert [one.values.directory_id for one in told] == ids
        assert view.taken(COMPANY, boxes) == frozenset(boxes)
        assert view.live(COMPANY) == {("directory", EntryKind.ACCOUNT): 2500}
        inside = view.containers(COMPANY, "directory")
        assert inside[EntryKind.ACCOUNT, "OU=0,DC=x"] == 834
        mapped = view.mapped(COMPANY, "directory")
        assert [one.values.directory_id for one in mapped] == ids


def test_a_view_stays_as_it_was(store: Store) -> None:
    cursor = Cursor("usn", b"1")
    first = plan(change(Op.CREATE, somebody(1)), cursor=cursor)
    run = store.apply(first, a_run())
    (before,) = store.accounts()
    with store.view() as view:
        later = replace(before, state=AccountState.REMOVED)
        store.apply(
            plan(
                change(Op.REMOVE, later),
                change(Op.CREATE, somebody(2)),
                cursor=Cursor("usn", b"2"),
            ),
            a_run(),
        )
        assert view.version == run.number
        assert view.cursor(COMPANY, "directory") == cursor
        assert tuple(view.mapped(COMPANY, "directory")) == (before,)
        assert view.live(COMPANY) == {("directory", EntryKind.ACCOUNT): 1}
        assert view.holders(COMPANY, ["p1", "p2"], []) == (before,)
        assert [one.state for one in view.remembered(COMPANY, "directory")] == [
            AccountState.ACTIVE
        ]
    with store.view() as view:
        assert view.version == run.number + 1
        assert view.cursor(COMPANY, "directory") == Cursor("usn", b"2")
        assert len(view.holders(COMPANY, ["p1", "p2"], [])) == 2


def test_questions_may_be_asked_in_the_middle_of_a_stream(store: Store) -> None:
    people = [somebody(number) for number in range(2500)]
    store.apply(plan(*(change(Op.CREATE, one) for one in people)), a_run())
    with store.view() as view:
        seen = 0
        for one in view.remembered(COMPANY, "directory"):
            if seen % 500 == 0:
                assert list(view.by_id(COMPANY, "directory", [one.id])) == [one.id]
            seen += 1
        assert seen == 2500


def test_what_goes_wrong_while_it_is_open_is_not_the_stores(store: Store) -> None:
    with pytest.raises(ValueError, match="mine"), store.view():
        raise ValueError("mine")
    store.apply(plan(change(Op.CREATE, somebody(1))), a_run())


def test_a_very_long_name_is_taken(store: Store) -> None:
    long = "ä" * 700
    account = replace(
        somebody(1, login_names=(long,), aliases=(f"{long}@company.com",)), mailbox=long
    )
    store.apply(plan(change(Op.CREATE, account)), a_run())
    with store.view() as view:
        assert view.taken(COMPANY, [long, "ä"]) == {long}
        (one,) = view.holders(COMPANY, [long], [])
        assert view.holders(COMPANY, [], [f"{long}@company.com"]) == (one,)
