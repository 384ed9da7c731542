"""Collections that spill to disk, and the index of claims."""

from __future__ import annotations

import pickle
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from dirbridge.model.account import (
    Account,
    AccountState,
    AccountValues,
    KeptAddress,
    Origin,
)
from dirbridge.model.entry import EntryKind
from dirbridge.model.mapping import Mapped
from dirbridge.model.names import Address, DirectoryId, DomainName
from dirbridge.model.recipient import By, Reference
from dirbridge.sync.claim_index import ClaimIndex
from dirbridge.sync.spool import (
    Spool,
    mapped_spool,
    pack_account,
    pick,
    portions,
    unpack_account,
)

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def numbers(portion: int, count: int) -> Spool[int]:
    spool: Spool[int] = Spool(lambda n: (n,), lambda packed: packed[0], portion)
    for number in range(count):
        spool.add(number)
    return spool


@given(st.integers(1, 5), st.integers(0, 40))
def test_what_was_added_comes_back_in_its_order_as_often_as_asked(
    portion: int, count: int
) -> None:
    spool = numbers(portion, count)
    assert len(spool) == count
    assert list(spool) == list(spool) == list(range(count))
    assert (count - 1 in spool) == (count > 0)
    assert count not in spool


@given(st.integers(1, 5), st.sets(st.integers(0, 39)))
def test_places_are_picked_without_a_walk_through_all(
    portion: int, places: set[int]
) -> None:
    expected = [(place, place) for place in sorted(places)]
    assert list(pick(numbers(portion, 40), places)) == expected
    assert list(pick(tuple(range(40)), places)) == expected


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 7)), max_size=8))
def test_portions_from_elsewhere_stand_in_their_order(
    parts: list[tuple[bool, int]],
) -> None:
    spool = numbers(3, 0)
    for packed, count in parts:
        some = [len(spool) + more for more in range(count)]
        if packed:
            spool.append(count, pickle.dumps([(number,) for number in some]))
        else:
            for number in some:
                spool.add(number)
    everything = list(range(sum(count for _, count in parts)))
    assert list(spool) == everything
    assert [(n, n) for n in everything] == list(pick(spool, everything))


def test_two_walks_at_once_do_not_disturb_each_other() -> None:
    spool = numbers(2, 20)
    assert list(zip(spool, spool, strict=True)) == [(n, n) for n in range(20)]


def test_an_account_comes_back_whole() -> None:
    account = Account(
        number=7,
        domain=DomainName("company.com"),
        mailbox="anna",
        origin=Origin.MAPPED,
        state=AccountState.DISABLED,
        state_reason="off",
        state_since=NOW,
        values=AccountValues(
            directory_id=DirectoryId("id"),
            kind=EntryKind.GROUP,
            members=(Reference(By.DN, "CN=x"), Reference(By.NAME, "y")),
            created_at=NOW,
        ),
        kept=(KeptAddress(Address("old@company.com"), NOW),),
        digest=b"octets",
    )
    assert unpack_account(pack_account(account)) == account
    [back] = unpack_account(pack_account(account)).kept
    assert back.until == NOW


def test_what_was_mapped_comes_back_from_disk() -> None:
    spool = mapped_spool()
    people = [
        Mapped(AccountValues(directory_id=DirectoryId(f"id-{n}")), b"d", (f"note {n}",))
        for n in range(5000)
    ]
    for one in people:
        spool.add(one)
    assert list(spool) == people


def test_portions_cover_everything_once() -> None:
    assert list(portions(range(5), 2)) == [[0, 1], [2, 3], [4]]
    assert list(portions((), 2)) == []


CLAIMS = st.lists(st.frozensets(st.sampled_from("abcdefgh"), max_size=3), max_size=12)


@given(CLAIMS, st.sets(st.sampled_from("abcdefgh")))
def test_the_index_finds_who_claims_what_others_claim(
    claims: list[frozenset[str]], wanted: set[str]
) -> None:
    index = ClaimIndex()
    for place, some in enumerate(claims):
        index.add(place, some)
    together = [claim for some in claims for claim in some]
    assert index.twice() == {
        place
        for place, some in enumerate(claims)
        if any(together.count(claim) > 1 for claim in some)
    }
    assert index.places(wanted) == {
        place for place, some in enumerate(claims) if some & wanted
    }
