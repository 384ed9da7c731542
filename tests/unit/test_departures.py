"""Who vanished, as a full read and the store say it together."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from dirbridge.model.account import Account, AccountValues, Origin
from dirbridge.model.entry import Finished, ReadKind
from dirbridge.model.names import DirectoryId, DomainName
from dirbridge.store.view import AccountsView
from dirbridge.sync.departures import departures
from dirbridge.sync.policy import Policy
from dirbridge.sync.read import Read, read_of
from dirbridge.sync.reading import stock_of

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
POLICY = Policy(DomainName("company.com"))
VERSION = 7


def account(number: int, name: str, digest: bytes) -> Account:
    return Account(
        number=number,
        domain=POLICY.domain,
        source=POLICY.source,
        mailbox=name,
        origin=Origin.MAPPED,
        state_since=NOW,
        values=AccountValues(directory_id=DirectoryId(name), login_names=(name,)),
        digest=digest,
    )


STORED = [
    account(1, "anna", b"a"),
    account(2, "bob", b"b"),
    account(3, "carla", b""),
    account(4, "dora", b"b"),  # no two are to have one, but nobody is lost by it
]


def view() -> AccountsView:
    return AccountsView(STORED, version=VERSION)


def full(**words: object) -> Read:
    finished = Finished(ReadKind.FULL, True, "dc1:636", "dc=x")
    return replace(read_of(finished, ()), seen={DirectoryId("anna")}, **words)


def gone(read: Read) -> list[str]:
    found = departures(POLICY, view(), read, NOW)
    return sorted(account.mailbox for account in found.vanished)


def test_what_the_read_remembered_says_what_the_store_says() -> None:
    stock = stock_of(view().remembered(POLICY.domain, POLICY.source), VERSION)
    assert stock.known == {b"a": "anna", b"b": "bob"}
    read = full()
    missing = tuple(stock.missing(read.seen))
    assert gone(read) == ["bob", "carla", "dora"]
    assert gone(replace(read, missing=missing, version=VERSION)) == gone(read)


@pytest.mark.parametrize("version", [None, VERSION - 1])
def test_what_was_remembered_of_another_version_is_not_believed(
    version: int | None,
) -> None:
    assert gone(full(missing=(), version=version)) == ["bob", "carla", "dora"]
    assert gone(full(missing=(), version=VERSION)) == []
