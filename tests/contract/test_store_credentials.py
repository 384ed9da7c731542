"""What every store keeps for logins beside accounts, and how history tells of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from dirbridge.errors import StoreError
from dirbridge.model.account import Account, AccountState
from dirbridge.model.credentials import AppPassword, Credentials, OfflineVerifier
from dirbridge.model.names import DomainName
from dirbridge.model.plan import Op
from dirbridge.store.base import AuditRow, Store
from dirbridge.store.feed import followed
from testbed.process import wait_until
from tests.contract.test_store import ANNA, COMPANY, a_run, change, made, person, plan
from tests.stores import KINDS, empty

NOW = datetime(2026, 3, 1, 12, 30, 15, 123456, tzinfo=UTC)
DAY = timedelta(days=1)
PHONE = AppPassword(0, "Anna's 📱 phone", b"\0\xff" * 16, NOW)
OFFLINE = OfflineVerifier("$argon2id$v=19$offline", NOW, b"\x00digest")
SECRETS = ("$argon2id", PHONE.digest.hex(), "\\u0000")


@pytest.fixture(params=KINDS)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    with empty(request, tmp_path, "store_credentials") as store:
        yield store


@pytest.fixture
def anna(store: Store) -> Account:
    return made(store, person("anna"), person("berta"))[0]


def history(store: Store, account: Account) -> list[AuditRow]:
    """What admins did to an account's credentials, the newest first."""
    rows = store.history(account.values.directory_id)
    return [row for row in rows if row.op == "credentials"]


def test_nobody_has_any_in_the_beginning(store: Store, anna: Account) -> None:
    assert store.credentials(anna) == Credentials()
    assert store.credentials(replace(ANNA, number=4711)) == Credentials()
    assert store.app_passwords(anna) == ()


def test_all_of_an_account_comes_in_one_look(store: Store, anna: Account) -> None:
    store.set_methods(anna, ("kerberos", "local"))
    store.set_verifier(anna, "$argon2id$v=19$local")
    phone = store.add_app_password(anna, PHONE)
    laptop = store.add_app_password(anna, replace(PHONE, label="laptop"))
    store.set_offline(anna, OFFLINE)
    assert 0 < phone.number < laptop.number
    assert replace(phone, number=0) == PHONE
    assert store.credentials(anna) == Credentials(
        ("kerberos", "local"), "$argon2id$v=19$local", (phone, laptop), OFFLINE
    )
    berta = next(a for a in store.accounts() if a.mailbox == "berta")
    assert store.credentials(berta) == Credentials()


def test_what_was_set_can_be_replaced_and_taken_away(
    store: Store, anna: Account
) -> None:
    for methods in (("local",), ("ldap-bind", "kerberos"), ()):
        store.set_methods(anna, methods)
        assert store.credentials(anna).methods == methods
    for verifier in ("$argon2id$a", "$argon2id$b", None):
        store.set_verifier(anna, verifier)
        assert store.credentials(anna).verifier == store.verifier(anna) == verifier
    for offline in (OFFLINE, replace(OFFLINE, proven_at=NOW + DAY), None):
        store.set_offline(anna, offline)
        assert store.credentials(anna).offline == offline


def test_a_revoked_app_password_counts_no_more(store: Store, anna: Account) -> None:
    phone = store.add_app_password(anna, PHONE)
    laptop = store.add_app_password(anna, replace(PHONE, label="laptop"))
    assert store.revoke_app_password(anna, phone.number, NOW + DAY)
    assert store.credentials(anna).app_passwords == (laptop,)
    gone = replace(phone, revoked_at=NOW + DAY)
    assert store.app_passwords(anna) == (gone, laptop)
    assert not store.revoke_app_password(anna, phone.number, NOW)
    assert store.app_passwords(anna) == (gone, laptop)


def test_nobody_revokes_anothers(store: Store, anna: Account) -> None:
    berta = next(a for a in store.accounts() if a.mailbox == "berta")
    phone = store.add_app_password(anna, PHONE)
    assert not store.revoke_app_password(berta, phone.number, NOW)
    assert store.credentials(anna).app_passwords == (phone,)


def test_they_stay_while_an_account_changes_and_goes(
    store: Store, anna: Account
) -> None:
    store.set_methods(anna, ("local",))
    phone = store.add_app_password(anna, PHONE)
    gone = replace(anna, state=AccountState.REMOVED)
    store.apply(plan(change(Op.REMOVE, gone)), a_run())
    assert store.credentials(gone) == Credentials(("local",), None, (phone,))


def test_history_tells_who_did_what_and_no_secret(store: Store, anna: Account) -> None:
    store.set_methods(anna, ("local",))
    store.set_verifier(anna, "$argon2id$v=19$geheim")
    phone = store.add_app_password(anna, PHONE)
    store.revoke_app_password(anna, phone.number, NOW)
    store.set_methods(anna, ())
    told = history(store, anna)
    assert [(json.loads(r.before), json.loads(r.after)) for r in reversed(told)] == [
        ({"methods": []}, {"methods": ["local"]}),
        ({"password": None}, {"password": "set"}),
        ({}, {"app_password": PHONE.label}),
        ({"app_password": PHONE.label}, {"app_password": None}),
        ({"methods": ["local"]}, {"methods": []}),
    ]
    for row in told:
        assert (row.name, row.server) == (anna.canonical, "admin")
        assert abs(datetime.now(UTC) - row.at) < timedelta(minutes=5)
        assert not any(secret in repr(row) for secret in SECRETS)
        run = store.run(row.run)
        assert run is not None
        assert (run.source, run.server) == ("local", "accounts")
        assert (run.kind, run.changes) == ("credentials", {"credentials": 1})


def test_what_changes_nothing_leaves_no_run(store: Store, anna: Account) -> None:
    store.set_methods(anna, ("local",))
    newest = store.last_runs(COMPANY)
    store.set_methods(anna, ("local",))
    store.set_verifier(anna, None)
    assert not store.revoke_app_password(anna, 4711, NOW)
    store.set_offline(anna, OFFLINE)
    store.set_offline(anna, None)
    assert store.last_runs(COMPANY) == newest


def test_no_plan_is_outrun_and_no_directory_has_another_run(
    store: Store, anna: Account
) -> None:
    version = store.version()
    store.set_methods(anna, ("local",))
    store.set_verifier(anna, "$argon2id$")
    assert store.version() == version
    assert store.last_runs(COMPANY, 9, "directory")[0].kind == "full"
    assert store.last_runs(COMPANY, 9, server="admin") == ()
    berta = person("carla")
    store.apply(plan(change(Op.CREATE, berta), based_on=version), a_run())
    assert store.version() > version


def test_who_was_switched_is_counted_by_method(store: Store, anna: Account) -> None:
    assert dict(store.switched()) == {}
    berta = next(a for a in store.accounts() if a.mailbox == "berta")
    store.set_methods(anna, ("kerberos", "local"))
    store.set_methods(berta, ("local",))
    where = (COMPANY, "directory")
    assert store.switched() == {(*where, "kerberos"): 1, (*where, "local"): 2}
    gone = replace(anna, state=AccountState.REMOVED)
    store.apply(plan(change(Op.REMOVE, gone)), a_run())
    assert store.switched() == {(*where, "local"): 1}


def test_what_was_revoked_long_ago_is_forgotten(store: Store, anna: Account) -> None:
    counting = store.add_app_password(anna, PHONE)
    old = store.add_app_password(anna, replace(PHONE, label="old"))
    older = store.add_app_password(anna, replace(PHONE, label="older"))
    store.revoke_app_password(anna, old.number, NOW)
    store.revoke_app_password(anna, older.number, NOW - DAY)
    store.prune(NOW, None)
    assert len(store.app_passwords(anna)) == 3
    store.prune(None, NOW)
    left = replace(old, revoked_at=NOW)
    assert store.app_passwords(anna) == (counting, left)


def test_nobody_gets_any(store: Store) -> None:
    nobody = replace(ANNA, number=4711)
    for write in (
        lambda: store.set_methods(nobody, ("local",)),
        lambda: store.set_verifier(nobody, "$argon2id$"),
        lambda: store.add_app_password(nobody, PHONE),
        lambda: store.set_offline(nobody, OFFLINE),
    ):
        with pytest.raises(StoreError) as caught:
            write()
        assert caught.value.code == "refused"
    assert store.last_runs(nobody.domain) == ()


def test_many_writers_at_once_lose_nothing(store: Store, anna: Account) -> None:
    def write(who: int) -> None:
        for turn in range(5):
            with suppress(StoreError):  # it waits for no busy store
                again = replace(OFFLINE, proven_at=NOW + turn * DAY)
                store.set_offline(anna, again)
            store.set_verifier(anna, f"$argon2id${who}-{turn}")
            store.add_app_password(anna, replace(PHONE, label=f"{who}-{turn}"))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, range(4)))
    held = store.credentials(anna)
    assert len({one.label for one in held.app_passwords}) == 20
    assert len(history(store, anna)) == 40


def test_an_admins_change_is_told_to_others_and_a_logins_is_not(
    store: Store, anna: Account, request: pytest.FixtureRequest
) -> None:
    heard: list[DomainName] = []
    with followed(store, heard.append):
        if "memory" in request.node.name:
            # Nobody else can write what is in this process's memory.
            store.set_methods(anna, ("local",))
            assert heard == []
            return
        wait_until(lambda: heard == [COMPANY], "nothing is told in the beginning")
        store.set_offline(anna, OFFLINE)
        store.set_methods(anna, ("local",))
        wait_until(lambda: len(heard) > 1, "it was not told")
        assert heard == [COMPANY, COMPANY]
