"""What is left in every store once somebody's personal values are erased."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest

from dirbridge.model.account import Account, AccountState
from dirbridge.model.credentials import AppPassword, Credentials, OfflineVerifier
from dirbridge.model.login import (
    Accepted,
    Attempt,
    Cause,
    Reason,
    Rejected,
    Unavailable,
    Verdict,
)
from dirbridge.model.names import Address, DirectoryId
from dirbridge.model.plan import Op
from dirbridge.store.base import AuditRow, Store
from dirbridge.store.personal_base import Place
from tests.contract.test_store import COMPANY, a_run, change, made, person, plan, values
from tests.stores import KINDS, empty

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
DN = 'CN=Müller\\, Änne "Ä",OU=Vertrieb,DC=corp'
IP = ip_address("192.0.2.7")
PERSONAL = ("müller", "änne", "192.0.2.7", "chief of", "phone of")


@pytest.fixture(params=KINDS)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    with empty(request, tmp_path, "store_personal") as store:
        yield store


def people(store: Store) -> tuple[Account, Account]:
    """Somebody with hard names, and somebody with an ordinary one."""
    anne = person(
        "änne.müller",
        login_names=("Änne",),
        upn="Änne.MÜLLER@corp",
        dn=DN,
        primary_address=Address("Änne.Müller@company.com"),
        title="Chief of Änne",
    )
    anne = values(anne, directory_id=DirectoryId("6f9619ff-8b86-d011-b42d-00c04fc9"))
    return made(
        store, anne, person("berta", primary_address=Address("berta@company.com"))
    )


def attempt(
    user: str, name: str, verdict: Verdict | None = None, service: str = "imap"
) -> Attempt:
    said = verdict or Rejected(Reason.LOCKED, user, "ldap-bind", "dc1", "775 of Änne")
    return Attempt(said, name, service, "hook", IP, IP, 12.5)


def all_rows(store: Store) -> list[AuditRow]:
    runs = store.last_runs(COMPANY, 100)
    return [row for run in reversed(runs) for row in store.audit(run.number)]


def texts(rows: list[AuditRow]) -> str:
    return " ".join(f"{r.name} {r.before} {r.after} {r.why}" for r in rows).lower()


def test_history_keeps_what_happened_and_to_which_id(store: Store) -> None:
    anne, berta = people(store)
    later = values(anne, title="Chief of nothing")
    told = change(
        Op.UPDATE,
        later,
        before={"title": "Chief of Änne", "state": "active"},
        after={"title": "Chief of nothing", "state": "disabled"},
        why="Änne Müller has another title.",
    )
    store.apply(plan(told), a_run())
    store.apply(
        plan(change(Op.UPDATE, berta, before={"title": "x"}, after={"title": "Boss"})),
        a_run(),
    )
    rows = len(all_rows(store))

    erased = store.erase(anne, [anne.values.directory_id])

    assert (erased.changes, erased.attempts) == (2, 0)
    left = all_rows(store)
    assert len(left) == rows + 1
    assert not any(word in texts(left) for word in PERSONAL)
    own = store.history(anne.values.directory_id)
    assert [row.op for row in own] == ["erase", "update", "create"]
    assert json.loads(own[1].before) == {"state": "active", "title": None}
    assert json.loads(own[1].after) == {"state": "disabled", "title": None}
    assert {row.name for row in own} == {anne.values.directory_id}
    (update, _) = store.history(berta.values.directory_id)
    assert json.loads(update.after) == {"title": "Boss"}
    assert store.erase(anne, [anne.values.directory_id]).changes == 0


def test_other_rows_lose_what_names_the_person(store: Store) -> None:
    anne, berta = people(store)
    group = change(
        Op.UPDATE,
        berta,
        before={"members": (f"dn:{DN}", "dn:CN=Carla,DC=corp")},
        after={"members": (), "other": "ÄNNE.MÜLLER@company.com", "title": "Boss"},
        why='The address "änne.müller@company.com" belongs to another.',
    )
    store.apply(plan(group), a_run())
    assert store.erase(anne, [anne.values.directory_id]).changes == 2
    (row, _) = store.history(berta.values.directory_id)
    assert json.loads(row.before) == {"members": ["dn:CN=Carla,DC=corp"]}
    assert json.loads(row.after) == {"members": [], "other": None, "title": "Boss"}
    assert (row.why, row.name) == ("", berta.canonical)
    assert not any(word in texts(all_rows(store)) for word in PERSONAL)


def test_ids_from_before_an_adoption_are_hers_as_well(store: Store) -> None:
    anne, _ = people(store)
    store.apply(
        plan(
            replace(change(Op.UPDATE, anne, after={"title": "Dr."}), account="older-id")
        ),
        a_run(),
    )
    store.erase(anne, ["older-id"])
    assert json.loads(store.history("older-id")[0].after) == {"title": None}


def test_attempts_keep_how_they_ended_and_nothing_of_whom(store: Store) -> None:
    anne, berta = people(store)
    user = anne.canonical
    theirs = [
        attempt(user, "corp\\änne"),
        attempt(user, "ÄNNE", Accepted(user, "ldap-bind", "dc1")),
        attempt(user, "", Unavailable(Cause.TIMEOUT, user, detail="Änne waits")),
        attempt("", "änne.müller@COMPANY.com", Rejected(Reason.UNKNOWN)),
        attempt("", " Änne.Müller@company.org ", Rejected(Reason.UNKNOWN)),
        attempt("", "ÄNNE@company.org", Rejected(Reason.EMPTY_PASSWORD)),
        attempt("", "änne.müller", Rejected(Reason.UNKNOWN)),
        attempt("", "CORP\\Änne", Rejected(Reason.UNKNOWN)),
    ]
    others = [
        attempt(berta.canonical, "änne"),
        attempt("", "somebody", Rejected(Reason.UNKNOWN)),
        attempt("", "änne@elsewhere.org", Rejected(Reason.UNKNOWN)),
        attempt("", "corp\\somebody else", Rejected(Reason.UNKNOWN)),
    ]
    store.record([*theirs, *others], NOW)

    erased = store.erase(
        anne, [anne.values.directory_id], ["company.com", "company.org"]
    )
    assert erased.attempts == len(theirs)

    assert store.attempts(user) == ()
    left = [r.attempt for r in store.attempts("") if not r.attempt.request_name]
    for one in left:
        assert (one.remote_ip, one.verdict.user) == (None, "")
        assert (one.service, one.hook, one.milliseconds) == ("imap", "hook", 12.5)
    words = [type(one.verdict).__name__ for one in reversed(left)]
    assert words == ["Rejected", "Accepted", "Unavailable", *["Rejected"] * 5]
    assert store.attempts(berta.canonical)[0].attempt == others[0]
    for other in others[1:]:
        assert store.attempts(other.request_name)[0].attempt == other


@pytest.mark.parametrize("removed", [False, True])
def test_credentials_that_count_stay_while_the_account_does(
    store: Store, removed: bool
) -> None:
    anne, _ = people(store)
    store.set_methods(anne, ("local",))
    store.set_verifier(anne, "$argon2id$")
    store.set_offline(anne, OfflineVerifier("$argon2id$", NOW))
    old = store.add_app_password(anne, AppPassword(0, "phone of Änne", b"x", NOW))
    new = store.add_app_password(anne, AppPassword(0, "laptop", b"y", NOW))
    store.revoke_app_password(anne, old.number, NOW)
    store.note_address(anne, IP, NOW)
    store.count_try(anne, NOW, since=NOW - timedelta(1), most=9)
    before = store.credentials(anne)
    if removed:
        anne = replace(anne, state=AccountState.REMOVED)
        store.apply(plan(change(Op.REMOVE, anne)), a_run())

    store.erase(anne, [anne.values.directory_id])

    assert store.app_passwords(anne) == (() if removed else (new,))
    assert store.credentials(anne) == (Credentials() if removed else before)
    assert store.came_from(anne, IP) is None
    assert (store.tries(anne) is None) is removed
    assert not any(word in texts(all_rows(store)) for word in PERSONAL)


def test_from_where_somebody_logs_in_is_told_newest_first(store: Store) -> None:
    anne, berta = people(store)
    other = ip_address("2001:db8::")
    store.note_address(anne, IP, NOW)
    store.note_address(anne, other, NOW + timedelta(1))
    store.note_address(berta, IP, NOW)
    assert store.places(anne) == (
        Place(str(other), NOW + timedelta(1)),
        Place(str(IP), NOW),
    )
    store.erase(anne, [anne.values.directory_id])
    assert (store.places(anne), len(store.places(berta))) == ((), 1)


def test_an_erasure_is_told_moves_no_version_and_names_nobody(store: Store) -> None:
    anne, _ = people(store)
    version = store.version()
    store.erase(anne, [anne.values.directory_id])
    (run,) = store.last_runs(COMPANY)
    assert (run.kind, run.server, run.changes) == (
        "credentials",
        "accounts",
        {"erase": 1},
    )
    (row,) = store.audit(run.number)
    assert (row.op, row.server, row.name) == ("erase", "admin", row.account)
    assert store.version() == version


def test_the_newest_acceptance_of_each_server_is_found(store: Store) -> None:
    anne, berta = people(store)

    def accepted(user: str, method: str, server: str, service: str) -> Attempt:
        return attempt(user, "x", Accepted(user, method, server), service)

    who = anne.canonical
    store.record(
        [
            accepted(who, "app-password", "local#1", "old"),
            accepted(who, "app-password", "local#2", "two"),
            accepted(who, "ldap-bind", "dc1", "other"),
            attempt(
                who,
                "x",
                Rejected(Reason.WRONG_PASSWORD, who, "app-password", "local#1"),
            ),
            accepted(berta.canonical, "app-password", "local#1", "hers"),
        ],
        NOW,
    )
    store.record([accepted(who, "app-password", "local#1", "new")], NOW + timedelta(1))
    found = store.last_accepted(anne, "app-password")
    assert {(r.at, r.attempt.service) for r in found} == {
        (NOW, "two"),
        (NOW + timedelta(1), "new"),
    }
    assert store.last_accepted(berta, "kerberos") == ()
