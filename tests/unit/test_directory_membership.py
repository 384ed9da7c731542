"""Membership: four ways to name a member, loops, depth, and a naive closure."""

from __future__ import annotations

import sys

from hypothesis import given
from hypothesis import strategies as st

from dirbridge.directory.membership import Membership, resolve
from dirbridge.model.account import AccountValues
from dirbridge.model.entry import EntryKind
from dirbridge.model.names import DirectoryId
from dirbridge.model.recipient import By, Reference

DN, ID, NAME = By.DN, By.ID, By.NAME


def leaf(
    one: str, dn: str, names: tuple[str, ...], primary: str | None = None
) -> AccountValues:
    return AccountValues(
        directory_id=DirectoryId(one), dn=dn, login_names=names, primary_group=primary
    )


ANNA = leaf("A", "CN=Groß\\, Anna,DC=x", ("anna", "a.gross"), "513")
BOB = leaf("B", "CN=Bob,DC=x", ("bob",), "514")


def group(
    name: str, *members: tuple[By, str], number: str | None = None
) -> AccountValues:
    return AccountValues(
        kind=EntryKind.GROUP,
        directory_id=DirectoryId(name),
        dn=f"CN={name},OU=Groups,DC=x",
        members=tuple(Reference(by, value) for by, value in members),
        number=number,
    )


def test_every_way_to_name_a_member_is_united() -> None:
    found = resolve(
        [
            group("dn", (DN, ANNA.dn)),
            group("spelled", (DN, "cn=GROß\\2C  anna, dc=X")),
            group("id", (ID, "a"), (NAME, "anna"), (NAME, "A.GROSS")),
            group("name", (NAME, "bob")),
            ANNA,
            BOB,
        ]
    )
    assert found.direct == {
        "dn": {"A"}, "spelled": {"A"}, "id": {"A"}, "name": {"B"}
    }  # fmt: skip
    assert found.unknown == {}
    assert found.groups(ANNA.directory_id) == {"dn", "spelled", "id"}


def test_the_primary_group_stands_in_no_member() -> None:
    users = group("Users", number="513")
    outer = group("Outer", (DN, users.dn))
    found = resolve([users, outer, ANNA, BOB])
    assert found.members(users.directory_id) == {"A"}
    assert found.members(outer.directory_id) == {"A"}
    assert found.groups(ANNA.directory_id) == {"Users", "Outer"}
    assert found.groups(BOB.directory_id) == frozenset()


def test_nested_by_dn_and_id_in_a_loop() -> None:
    one = group("One", (ID, "two"), (DN, ANNA.dn))
    two = group("two", (DN, "CN=One,OU=Groups,DC=x"), (NAME, "bob"))
    found = resolve([one, two, ANNA, BOB])
    for each in (one, two):
        assert found.members(each.directory_id) == {"A", "B"}
    assert found.groups(BOB.directory_id) == {"One", "two"}
    assert found.direct["One"] == {"A"}
    assert found.nested["One"] == {"two"}


def test_what_nobody_has_is_listed() -> None:
    twin = leaf("T", "CN=T,DC=x", ("BOB",))
    lost = [(DN, "CN=Gone,DC=x"), (ID, "?"), (NAME, "bob"), (DN, "no dn"), (ID, "?")]
    found = resolve([group("G", *lost, (DN, BOB.dn)), BOB, twin])
    assert found.unknown == {"G": tuple(Reference(*one) for one in lost[:4])}
    assert found.members(DirectoryId("G")) == {"B"}
    assert found.members(DirectoryId("none")) == frozenset()


def test_a_short_name_is_no_groups() -> None:
    found = resolve([group("bob"), group("G", (NAME, "bob")), ANNA])
    assert found.unknown == {"G": (Reference(NAME, "bob"),)}


def test_a_chain_deeper_than_the_stack() -> None:
    depth = 5000
    chain = [group(f"g{n}", (ID, f"g{n + 1}")) for n in range(depth)]
    found = resolve([*chain, group(f"g{depth}", (ID, "a")), ANNA])
    assert found.members(DirectoryId("g0")) == {"A"}
    assert len(found.groups(ANNA.directory_id)) == depth + 1


def test_a_crowd() -> None:
    """Four times as many take about four times the calls, not sixteen times."""

    def calls(size: int) -> int:
        people = [
            leaf(
                f"id{n}-{size}",
                f"CN=P {n},OU=Crowd {size},DC=x",
                (f"p{n}-{size}",),
                "513",
            )
            for n in range(size)
        ]
        crowd = group("Crowd", *((DN, one.dn) for one in people))
        users = group("Users", number="513")
        counted = 0

        def count(*_: object) -> None:
            nonlocal counted
            counted += 1

        before = sys.getprofile()
        sys.setprofile(count)
        try:
            found = resolve([crowd, users, *people])
        finally:
            sys.setprofile(before)
        assert len(found.members(crowd.directory_id)) == size
        assert len(found.members(users.directory_id)) == size
        assert found.groups(people[17].directory_id) == {"Crowd", "Users"}
        return counted

    assert calls(4_000) < 5 * calls(1_000)


SIZE = 5
EDGES = st.sets(st.tuples(st.integers(0, SIZE - 1), st.integers(0, SIZE - 1)))
WITHIN = st.sets(st.tuples(st.integers(0, 3), st.integers(0, SIZE - 1)))


def closure(edges: set[tuple[int, int]]) -> set[tuple[int, int]]:
    """The naive one: join until nothing is added."""
    whole = edges | {(n, n) for n in range(SIZE)}
    while more := {(a, d) for a, b in whole for c, d in whole if b == c} - whole:
        whole |= more
    return whole


def made(edges: set[tuple[int, int]], within: set[tuple[int, int]]) -> Membership:
    """Groups g0.. with groups and people in them, named in all the ways."""
    ways = (
        lambda kind, n: (DN, f"CN={kind}{n},OU=Groups,DC=x"),
        lambda kind, n: (ID, f"{kind}{n}".upper()),
    )
    groups = [
        group(
            f"g{n}",
            *(
                ways[(n + inner) % 2]("g", inner)
                for outer, inner in edges
                if outer == n
            ),
            *(ways[(n + p) % 2]("p", p) for p, outer in within if outer == n),
        )
        for n in range(SIZE)
    ]
    people = [leaf(f"p{n}", f"CN=p{n},OU=Groups,DC=x", (f"p{n}",)) for n in range(4)]
    return resolve([*groups, *people])


@given(EDGES, WITHIN)
def test_it_is_the_closure(
    edges: set[tuple[int, int]], within: set[tuple[int, int]]
) -> None:
    found = made(edges, within)
    whole = closure(edges)
    for n in range(SIZE):
        inside = {f"p{p}" for p, g in within if (n, g) in whole}
        assert found.members(DirectoryId(f"g{n}")) == inside
    for p in range(4):
        above = {f"g{n}" for n in range(SIZE) for q, g in within
                 if q == p and (n, g) in whole}  # fmt: skip
        assert found.groups(DirectoryId(f"p{p}")) == above
    assert found.unknown == {}
