"""The planner decides what a look at everybody would decide."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from dirbridge.model.account import Account, AccountState, AccountValues, Origin
from dirbridge.model.entry import EntryKind, Finished, ReadKind
from dirbridge.model.mapping import Mapped, Unmapped
from dirbridge.model.names import Address, DirectoryId, DomainName
from dirbridge.store.view import AccountsView
from dirbridge.sync.changes import apply_order
from dirbridge.sync.claims import held_addresses
from dirbridge.sync.planner import make_plan
from dirbridge.sync.policy import Policy
from dirbridge.sync.read import Read
from tests.exact_planner import exact_plan
from tests.plans import applied

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
COMPANY, OTHER = DomainName("company.com"), DomainName("other.org")
KINDS = st.sampled_from([*[EntryKind.ACCOUNT] * 4, EntryKind.GROUP, EntryKind.CONTACT])
LOCAL = st.sampled_from(["anna", "ANNA", "anna-2", "anna-3", "bob", "info", "Zoë"])
ADDRESSES = st.builds(
    lambda local, domain: Address(f"{local}@{domain}"),
    LOCAL,
    st.sampled_from([COMPANY, COMPANY, COMPANY, OTHER]),
)


def _placed(values: AccountValues) -> AccountValues:
    """Put an entry into one of three containers; only people have names."""
    person = values.kind is EntryKind.ACCOUNT
    return replace(
        values,
        dn=f"CN={values.directory_id},OU={values.created_at:%d},DC=corp",
        login_names=values.login_names if person else (),
        upn=values.upn if person else None,
    )


VALUES = st.builds(
    AccountValues,
    directory_id=st.integers(0, 9).map(lambda key: DirectoryId(f"id-{key}")),
    kind=KINDS,
    login_names=st.tuples(LOCAL),
    upn=st.none() | st.builds(lambda local: f"{local}@corp.example", LOCAL),
    primary_address=st.none() | ADDRESSES,
    aliases=st.lists(ADDRESSES, max_size=2, unique=True).map(tuple),
    state=st.sampled_from(
        [AccountState.ACTIVE, AccountState.ACTIVE, AccountState.DISABLED]
    ),
    created_at=st.integers(1, 3).map(lambda age: NOW - timedelta(days=age)),
).map(_placed)
PEOPLE = st.lists(VALUES, max_size=8, unique_by=lambda values: values.directory_id)
DIGESTS = st.sampled_from([b"", b"one", b"two"])
STEPS = st.tuples(
    PEOPLE,
    st.sampled_from([ReadKind.FULL, ReadKind.FULL, ReadKind.DELTA]),
    st.sampled_from(
        [(COMPANY, "directory"), (COMPANY, "second"), (OTHER, "directory")]
    ),
    st.sampled_from([0, 1, 31, 181, 400]),
    st.lists(st.integers(0, 9), max_size=3),
    DIGESTS,
)


def read_of(
    people: list[AccountValues], kind: ReadKind, gone: list[int], digest: bytes
) -> Read:
    """Some are read, some cannot be mapped, some are as they were, some are gone."""
    mapped = tuple(Mapped(one, digest) for one in people)
    unmapped = tuple(
        Unmapped(DirectoryId(f"id-{key}"), "", "login_names", "x") for key in gone[:1]
    )
    unmapped = tuple(
        one
        for one in unmapped
        if one.id not in {values.directory_id for values in people}
    )
    seen = {one.directory_id for one in people} | {one.id for one in unmapped}
    seen |= {DirectoryId(f"id-{key}") for key in gone[2:]}  # unchanged
    return Read(
        mapped,
        unmapped,
        frozenset(DirectoryId(f"id-{key}") for key in gone[1:2]),
        seen,
        Finished(kind, complete=True, server="dc1:636", base="DC=corp"),
    )


LOCAL_ANNA = Account(
    number=1,
    domain=COMPANY,
    mailbox="anna",
    origin=Origin.LOCAL,
    state_since=NOW,
    source="local",
    values=AccountValues(
        directory_id=DirectoryId("local:1"),
        login_names=("anna",),
        primary_address=Address("anna@company.com"),
    ),
)


@settings(max_examples=100, deadline=None)
@given(
    steps=st.lists(STEPS, min_size=1, max_size=5),
    local=st.booleans(),
    limit=st.sampled_from([None, None, 2, 4]),
    protected=st.sampled_from([frozenset(), frozenset({"bob", "info@company.com"})]),
)
def test_the_plan_is_that_of_a_look_at_everybody(
    steps: list[tuple[object, ...]],
    local: bool,
    limit: int | None,
    protected: frozenset[str],
) -> None:
    stored = [LOCAL_ANNA] if local else []
    now = NOW
    for people, kind, (domain, source), days, others, digest in steps:
        now += timedelta(days=days)
        policy = Policy(domain, source, user_limit=limit, protected=protected)
        read = read_of(people, kind, others, digest)
        view = AccountsView(stored)
        plan = make_plan(policy, view, read, now)
        exact = exact_plan(policy, stored, read, now)
        assert plan.changes == exact.changes
        assert plan.remembered == exact.remembered
        assert plan.unchanged == exact.unchanged
        assert [c.result for c in plan.changes] == [c.result for c in exact.changes]
        walked = make_plan(policy, view, read, now, few=0)
        assert len(walked.changes) == len(plan.changes)
        assert sorted(walked.changes, key=apply_order) == list(plan.changes)
        assert [c.op for c in walked.changes] == [c.op for c in plan.changes]
        stored = applied(stored, plan)
        held = [claim for one in stored for claim in held_addresses(one, now)]
        assert len(held) == len(set(held))
