"""One contract for every store: memory, SQLite, PostgreSQL."""

from __future__ import annotations

import json
import threading
import traceback
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from ipaddress import ip_address
from itertools import count
from pathlib import Path

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg.sql import SQL, Identifier

from dirbridge.errors import StoreError
from dirbridge.model.account import (
    Account,
    AccountState,
    AccountValues,
    KeptAddress,
    Origin,
    Role,
)
from dirbridge.model.entry import Cursor, EntryKind, ReadKind
from dirbridge.model.login import (
    Accepted,
    Attempt,
    Cause,
    Reason,
    Rejected,
    Unavailable,
)
from dirbridge.model.names import Address, DirectoryId, DomainName
from dirbridge.model.plan import Change, Op, Plan
from dirbridge.store.base import NameKind, Run, RunResult, Store
from dirbridge.store.memory import MemoryStore
from dirbridge.store.opening import open_store
from dirbridge.store.schema import Base
from testbed.postgresql import Postgresql
from tests.stores import parted

COMPANY = DomainName("company.com")
BRANCH = DomainName("branch.example")
NOW = datetime(2026, 3, 1, 12, 30, 15, 123456, tzinfo=UTC)
HOUR = timedelta(hours=1)
NUMBERS = count(1)

ANNA = Account(
    number=0,
    domain=COMPANY,
    mailbox="anna.müller",
    origin=Origin.MAPPED,
    role=Role.ADMIN,
    state=AccountState.DISABLED,
    state_reason='the directory says "disabled"; ask O\'Brien 🎻',
    state_since=NOW,
    source="directory-2",
    kept=(KeptAddress(Address("a.old@company.com"), datetime.now(UTC) + HOUR),),
    values=AccountValues(
        directory_id=DirectoryId("6f9619ff-8b86-d011-b42d-00c04fc964ff"),
        dn='CN=Müller\\, Anna \U0001d11e,OU=Vertrieb "Süd",DC=corp,DC=company,DC=com',
        login_names=("Anna", "amüller", "o'brien -- \\ %s :x"),
        upn="Anna.Müller@corp.company.com",
        principal="anna@CORP.COMPANY.COM",
        display_name="Anna 'Ännchen' \"Müller\" 🎻",
        given_name="Anna",
        surname="Müller",
        primary_address=Address("Anna.Müller@company.com"),
        aliases=(Address("anna@company.com"), Address("am@company.com")),
        forward=Address("anna@elsewhere.example"),
        quota=2**40,
        title="Geschäftsführerin; DROP TABLE accounts",
        department="Vertrieb\tSüd\n2. Stock",
        phone="+49 30 1234-5",
        state=AccountState.DISABLED,
        state_reason="ACCOUNTDISABLE",
        expires_at=NOW + 90 * 24 * HOUR,
        created_at=NOW - 90 * 24 * HOUR,
    ),
)


def person(name: str, *, domain: DomainName = COMPANY, **values: object) -> Account:
    """A plain account."""
    return Account(
        number=0,
        domain=domain,
        mailbox=name,
        origin=Origin.MAPPED,
        state_since=NOW,
        values=AccountValues(
            directory_id=DirectoryId(f"id-{name}-{next(NUMBERS)}"),
            **{"login_names": (name,), **values},  # type: ignore[arg-type]
        ),
    )


def change(op: Op, account: Account, **fields: object) -> Change:
    return Change(
        op=op,
        account=account.values.directory_id,
        name=account.canonical,
        result=account,
        **fields,  # type: ignore[arg-type]
    )


def plan(*changes: Change, domain: DomainName = COMPANY, **fields: object) -> Plan:
    return Plan(
        domain=domain,
        server="dc1.corp:636",
        kind=ReadKind.FULL,
        complete=True,
        made_at=NOW,
        changes=changes,
        **fields,  # type: ignore[arg-type]
    )


def a_run(domain: DomainName = COMPANY, **fields: object) -> Run:
    return Run(
        number=0,
        domain=domain,
        source="directory",
        server="dc1.corp:636",
        kind="full",
        started_at=NOW,
        finished_at=NOW + HOUR,
        result=RunResult.APPLIED,
        **fields,  # type: ignore[arg-type]
    )


def put(store: Store, op: Op, *accounts: Account) -> Run:
    return store.apply(plan(*(change(op, a) for a in accounts)), a_run())


def pages_of(store: Store, domain: DomainName) -> list[tuple[Account, ...]]:
    pages = []
    last = 0
    while some := store.page(last, domain):
        pages.append(some)
        last = some[-1].number
    return pages


def stored(store: Store, account: Account) -> Account:
    """The account with this one's directory id."""
    wanted = account.values.directory_id
    (found,) = [a for a in store.accounts() if a.values.directory_id == wanted]
    return found


def made(store: Store, *accounts: Account) -> tuple[Account, ...]:
    put(store, Op.CREATE, *accounts)
    return tuple(stored(store, account) for account in accounts)


def values(account: Account, **fields: object) -> Account:
    return replace(account, values=replace(account.values, **fields))


TEXT = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"))
MAYBE = st.none() | TEXT
TIMES = st.datetimes(
    min_value=datetime(1601, 1, 1),  # noqa: DTZ001
    timezones=st.just(UTC),
)
TEXTS = st.lists(TEXT, max_size=4).map(tuple)
ACCOUNTS = st.builds(
    Account,
    number=st.just(0),
    domain=st.sampled_from([COMPANY, BRANCH]),
    mailbox=TEXT,
    origin=st.sampled_from(Origin),
    role=st.sampled_from(Role),
    state=st.sampled_from(AccountState),
    state_reason=MAYBE,
    state_since=TIMES,
    source=TEXT,
    kept=st.lists(st.builds(KeptAddress, TEXT, TIMES), max_size=3).map(tuple),
    values=st.builds(
        AccountValues,
        directory_id=TEXT,
        dn=TEXT,
        login_names=TEXTS,
        upn=MAYBE,
        principal=MAYBE,
        display_name=MAYBE,
        given_name=MAYBE,
        surname=MAYBE,
        primary_address=MAYBE,
        aliases=TEXTS,
        forward=MAYBE,
        quota=st.none() | st.integers(0, 2**63 - 1),
        title=MAYBE,
        department=MAYBE,
        phone=MAYBE,
        state=st.sampled_from([AccountState.ACTIVE, AccountState.DISABLED]),
        state_reason=MAYBE,
        expires_at=st.none() | TIMES,
        created_at=st.none() | TIMES,
    ),
)


class StoreContract:
    """What every store must do."""

    @pytest.fixture
    def store(self) -> Iterator[Store]:
        raise NotImplementedError

    def test_gives_back_every_field(self, store: Store) -> None:
        (found,) = made(store, ANNA)
        assert found == replace(ANNA, number=found.number)
        assert found.state_since.tzinfo is UTC

    def test_counts_by_kind_and_state(self, store: Store) -> None:
        assert store.counts() == {}
        made(store, person("bob"), person("carla"))
        account = EntryKind.ACCOUNT
        assert store.counts() == {(COMPANY, account, AccountState.ACTIVE): 2}
        bob = next(store.accounts(COMPANY))
        put(store, Op.DEACTIVATE, replace(bob, state=AccountState.DEACTIVATED))
        made(store, person("dora", domain=BRANCH))
        assert store.counts() == {
            (COMPANY, account, AccountState.ACTIVE): 1,
            (COMPANY, account, AccountState.DEACTIVATED): 1,
            (BRANCH, account, AccountState.ACTIVE): 1,
        }

    def test_takes_times_of_any_zone(self, store: Store) -> None:
        there = NOW.astimezone(timezone(timedelta(hours=5, minutes=30)))
        (found,) = made(store, replace(ANNA, state_since=there))
        assert found.state_since == NOW

    @settings(
        max_examples=40,
        deadline=None,
        suppress_health_check=[
            # Meant so: one contract, several stores, examples that clean up.
            HealthCheck.differing_executors,
            HealthCheck.function_scoped_fixture,
            HealthCheck.too_slow,
        ],
    )
    @given(account=ACCOUNTS)
    def test_gives_back_any_account(self, store: Store, account: Account) -> None:
        unique = f" {next(NUMBERS)}"
        account = replace(account, mailbox=account.mailbox + unique)
        account = values(account, directory_id=account.values.directory_id + unique)
        (found,) = made(store, account)
        assert found == replace(account, number=found.number)
        # Its addresses must be free for the next example.
        put(store, Op.UPDATE, values(found, primary_address=None, aliases=()))

    def test_numbers_rise_and_accounts_come_by_number(self, store: Store) -> None:
        people = made(store, person("a"), person("b", domain=BRANCH), person("c"))
        assert [p.number for p in people] == sorted({p.number for p in people})
        put(store, Op.UPDATE, values(people[0], title="Chief"))
        assert [a.mailbox for a in store.accounts()] == ["a", "b", "c"]
        assert [a.mailbox for a in store.accounts(COMPANY)] == ["a", "c"]
        assert list(store.accounts(DomainName("nobody.example"))) == []

    def test_reads_more_accounts_than_one_page(self, store: Store) -> None:
        people = [
            person(f"p{i}", domain=(COMPANY, BRANCH)[i % 2], title=f"t{i % 7}")
            for i in range(2500)
        ]
        put(store, Op.CREATE, *people)
        for domain in (COMPANY, BRANCH):
            wanted = [p for p in people if p.domain == domain]
            found = [replace(a, number=0) for a in store.accounts(domain)]
            assert found == wanted
            pages = pages_of(store, domain)
            assert [replace(a, number=0) for one in pages for a in one] == wanted
            assert len(pages) > 1
        (far,) = store.named(BRANCH, NameKind.LOGIN, "p2499")
        assert far.values.title == "t0"

    @pytest.mark.parametrize(
        ("kind", "name"),
        [
            (NameKind.LOGIN, "ANNA"),
            (NameKind.LOGIN, "  AMU\u0308LLER "),
            (NameKind.LOGIN, "O'Brien -- \\ %S :X"),
            (NameKind.UPN, "anna.MÜLLER@corp.company.com"),
            (NameKind.PRIMARY, "anna.müller@COMPANY.com"),
            (NameKind.ALIAS, "AM@company.com"),
            (NameKind.ALIAS, "A.Old@company.com"),
        ],
    )
    def test_finds_names_after_fold(
        self, store: Store, kind: NameKind, name: str
    ) -> None:
        (anna,) = made(store, ANNA)
        made(store, person("berta", primary_address="b@company.com"))
        assert store.named(COMPANY, kind, name) == (anna,)
        assert store.named(BRANCH, kind, name) == ()
        for other in set(NameKind) - {kind}:
            assert store.named(COMPANY, other, name) == ()

    def test_two_accounts_may_share_a_login_name_and_both_answer(
        self, store: Store
    ) -> None:
        people = made(
            store,
            person("a1", login_names=("Straße",)),
            person("a2", login_names=("x", "STRASSE")),
        )
        assert store.named(COMPANY, NameKind.LOGIN, "strasse") == people

    @pytest.mark.parametrize("name", ["", "\0", "an\0na", "\ud800", "x" * 2**20])
    @pytest.mark.parametrize("kind", NameKind)
    def test_odd_names_belong_to_nobody(
        self, store: Store, kind: NameKind, name: str
    ) -> None:
        made(store, ANNA)
        assert store.named(COMPANY, kind, name) == ()
        assert store.attempts(name) == ()

    def test_very_long_names_are_kept_apart_and_found(self, store: Store) -> None:
        long = "Ä" * 5000
        people = made(
            store,
            person("a", login_names=(long + "1",)),
            person("b", login_names=(long + "2",)),
        )
        for number, who in enumerate(people, 1):
            name = long.lower() + str(number)
            assert store.named(COMPANY, NameKind.LOGIN, name) == (who,)

    def test_kept_addresses_answer_until_their_time(self, store: Store) -> None:
        now = datetime.now(UTC)
        kept = (
            KeptAddress(Address("old@company.com"), now - HOUR),
            KeptAddress(Address("newer@company.com"), now + HOUR),
        )
        (anna,) = made(store, replace(person("anna"), kept=kept))
        assert anna.kept == kept
        assert store.named(COMPANY, NameKind.ALIAS, "old@company.com") == ()
        assert store.named(COMPANY, NameKind.ALIAS, "newer@company.com") == (anna,)

    def test_replaces_an_account_whole(self, store: Store) -> None:
        (anna,) = made(store, ANNA)
        renamed = replace(
            person("anna.müller", login_names=("anna.schmidt",)),
            number=anna.number,
            domain=anna.domain,
            mailbox=anna.mailbox,
        )
        put(store, Op.RENAME, renamed)
        assert stored(store, renamed) == renamed
        assert store.named(COMPANY, NameKind.LOGIN, "anna") == ()
        assert store.named(COMPANY, NameKind.ALIAS, "am@company.com") == ()
        assert store.named(COMPANY, NameKind.LOGIN, "Anna.Schmidt") == (renamed,)

    def test_the_way_of_an_account(self, store: Store) -> None:
        (anna,) = made(store, person("anna", primary_address="anna@company.com"))
        gone = replace(
            anna,
            state=AccountState.DEACTIVATED,
            state_reason="vanished",
            state_since=NOW + HOUR,
        )
        for op, state in (
            (Op.DEACTIVATE, gone),
            (Op.REACTIVATE, anna),
            (Op.MOVE, values(anna, dn="CN=anna,OU=Elsewhere")),
        ):
            put(store, op, state)
            assert stored(store, anna) == state
            assert store.named(COMPANY, NameKind.LOGIN, "anna") == (state,)
        removed = replace(anna, state=AccountState.REMOVED)
        put(store, Op.REMOVE, removed)
        assert list(store.accounts()) == [removed]
        for kind, name in (
            (NameKind.LOGIN, "anna"),
            (NameKind.PRIMARY, "anna@company.com"),
        ):
            assert store.named(COMPANY, kind, name) == ()

    def test_two_accounts_swap_addresses_in_one_plan(self, store: Store) -> None:
        a, b = made(
            store,
            person("a", primary_address="a@company.com", aliases=("x@company.com",)),
            person("b", primary_address="b@company.com"),
        )
        a = values(a, primary_address="b@company.com", aliases=())
        b = values(b, primary_address="a@company.com", aliases=("x@company.com",))
        put(store, Op.UPDATE, a, b)
        assert list(store.accounts()) == [a, b]

    def test_the_last_of_two_changes_to_one_account_stays(self, store: Store) -> None:
        (anna,) = made(store, ANNA)
        moved = values(anna, dn="CN=moved")
        both = values(moved, title="Chief")
        run = store.apply(
            plan(change(Op.MOVE, moved), change(Op.UPDATE, both)), a_run()
        )
        assert stored(store, anna) == both
        assert [row.op for row in store.audit(run.number)] == ["move", "update"]

    def test_one_account_may_name_an_address_twice(self, store: Store) -> None:
        twice = person(
            "a", primary_address="a@company.com", aliases=("A@company.com",) * 2
        )
        assert made(store, twice)[0].values == twice.values

    @pytest.mark.parametrize(
        ("first", "second"),
        [
            (person("Straße"), person("STRASSE")),
            (
                person("a", primary_address="x@company.com"),
                person("b", domain=BRANCH, aliases=("X@company.com",)),
            ),
            (
                ANNA,
                replace(values(ANNA, primary_address=None, aliases=()), mailbox="x"),
            ),
        ],
        ids=["mailbox", "address", "directory-id"],
    )
    def test_a_change_that_cannot_be_leaves_nothing_behind(
        self, store: Store, first: Account, second: Account
    ) -> None:
        cursor = Cursor("usn", b"1")
        store.apply(plan(change(Op.CREATE, first), cursor=cursor), a_run())
        before = list(store.accounts())
        failing = plan(
            change(Op.UPDATE, values(before[0], title="Chief")),
            change(Op.CREATE, person("new", primary_address="new@company.com")),
            change(Op.CREATE, second),
            cursor=Cursor("usn", b"2"),
        )
        with pytest.raises(StoreError) as caught:
            store.apply(failing, a_run())
        assert caught.value.code == "refused"
        assert list(store.accounts()) == before
        assert store.named(COMPANY, NameKind.LOGIN, "new") == ()
        assert store.cursor(COMPANY, "directory") == cursor
        (run,) = store.last_runs(COMPANY, 5)
        assert len(store.audit(run.number)) == 1
        assert store.audit(run.number + 1) == ()

    def test_errors_show_no_personal_value(self, store: Store) -> None:
        made(store, person("geheimer", primary_address="geheim@company.com"))
        again = person("other", primary_address="geheim@company.com")
        with pytest.raises(StoreError) as caught:
            put(store, Op.CREATE, again)
        assert "geheim@" not in "".join(traceback.format_exception(caught.value))

    def test_addresses_of_removed_accounts_do_not_block_the_planner(
        self, store: Store
    ) -> None:
        (anna,) = made(store, person("anna", primary_address="anna@company.com"))
        removed = replace(anna, state=AccountState.REMOVED)
        put(store, Op.REMOVE, removed)
        (other,) = made(store, person("anna-2", primary_address="anna@company.com"))
        assert store.named(COMPANY, NameKind.PRIMARY, "anna@company.com") == (other,)
        assert tuple(store.accounts()) == (removed, other)

    @pytest.mark.parametrize(
        "bad",
        [
            values(ANNA, title="nul\0"),
            values(ANNA, login_names=("\udcff",)),
            values(ANNA, quota=2**63),
            values(ANNA, expires_at=datetime(2026, 1, 1)),  # noqa: DTZ001
            replace(ANNA, kept=(KeptAddress(Address("a@b"), datetime(2026, 1, 1)),)),  # noqa: DTZ001
        ],
        ids=["nul", "surrogate", "number", "zone", "kept-zone"],
    )
    def test_refuses_what_no_database_holds(self, store: Store, bad: Account) -> None:
        with pytest.raises(StoreError) as caught:
            put(store, Op.CREATE, person("good"), bad)
        assert caught.value.code == "refused"
        assert str(ANNA.values.directory_id) in caught.value.detail
        assert list(store.accounts()) == []

    def test_refuses_to_change_an_account_that_is_not_there(self, store: Store) -> None:
        with pytest.raises(StoreError):
            put(store, Op.UPDATE, replace(ANNA, number=4711))
        assert store.last_runs(COMPANY) == ()

    def test_refuses_a_change_without_a_result(self, store: Store) -> None:
        with pytest.raises(StoreError):
            store.apply(plan(replace(change(Op.CREATE, ANNA), result=None)), a_run())

    def test_audits_every_change_in_order(self, store: Store) -> None:
        (anna,) = made(store, person("anna"))
        conflict = Change(
            op=Op.CONFLICT,
            account=DirectoryId("id-x"),
            name="änne@company.com",
            why="taken",
        )
        renamed = change(
            Op.RENAME,
            values(anna, title="Chief"),
            before={"title": None, "aliases": ("a", "b"), "quota": 5},
            after={"title": "Chef\0 🎻", "aliases": (), "quota": None},
            why="the directory says so",
        )
        run = store.apply(plan(conflict, renamed), a_run())
        first, second = store.audit(run.number)
        assert (first.op, first.account, first.name, first.why) == (
            "conflict",
            "id-x",
            "änne@company.com",
            "taken",
        )
        assert (first.before, first.after) == ("{}", "{}")
        assert json.loads(second.before) == {
            "title": None,
            "aliases": ["a", "b"],
            "quota": 5,
        }
        assert json.loads(second.after)["title"] == "Chef\0 🎻"
        assert (second.run, second.at, second.server) == (
            run.number,
            NOW + HOUR,
            "dc1.corp:636",
        )
        assert store.audit(run.number + 1) == ()

    def test_remembers_runs_newest_first(self, store: Store) -> None:
        assert store.last_runs(COMPANY) == ()
        told = a_run(
            read=7, changes={"create": 2}, known=("conflict:ä",), why="it's stopped"
        )
        told = replace(told, source="directory-2")
        first = store.apply(plan(), a_run())
        store.apply(plan(domain=BRANCH), a_run(BRANCH))
        last = store.apply(plan(), told)
        assert last == replace(told, number=last.number)
        assert store.last_runs(COMPANY, 5) == (last, first)
        assert store.last_runs(COMPANY) == (last,)
        assert store.last_runs(COMPANY, 5, source=last.source) == (last,)
        assert store.last_runs(COMPANY, 5, source="another") == ()
        assert store.version() == last.number
        assert last.number > first.number

    def test_finds_a_run_behind_however_many_others(self, store: Store) -> None:
        read = store.apply(plan(), a_run())
        admin = replace(a_run(), server="admin")
        by_hand = [store.apply(plan(), admin) for _ in range(25)]
        assert store.last_runs(COMPANY, but="admin") == (read,)
        assert store.last_runs(COMPANY, server="admin") == (by_hand[-1],)
        after = by_hand[-2].number
        assert store.last_runs(COMPANY, 9, after=after) == (by_hand[-1],)
        last = by_hand[-1].number
        assert store.last_runs(COMPANY, 9, server="admin", after=last) == ()

    def test_finds_a_success_behind_however_many_failures(self, store: Store) -> None:
        def last_success(**fields: str) -> Run | None:
            return store.last_success(COMPANY, "directory", **fields)

        assert last_success() is None
        read = store.apply(plan(), replace(a_run(), result=RunResult.UNCHANGED))
        for result in (RunResult.FAILED, RunResult.STOPPED) * 15:
            store.remember(replace(a_run(), result=result))
        store.apply(plan(domain=BRANCH), a_run(BRANCH))
        store.apply(plan(), replace(a_run(), source="directory-2"))
        assert last_success() == read
        by_hand = store.apply(plan(), replace(a_run(), server="admin"))
        assert last_success() == by_hand
        assert last_success(but="admin") == read

    def test_refuses_a_plan_that_another_run_outran(self, store: Store) -> None:
        version = store.version()
        store.apply(plan(based_on=version), a_run())
        with pytest.raises(StoreError) as caught:
            store.apply(plan(change(Op.CREATE, ANNA), based_on=version), a_run())
        assert caught.value.code == "outrun"
        assert (tuple(store.accounts()), len(store.last_runs(COMPANY, 9))) == ((), 1)
        store.apply(plan(based_on=store.version()), a_run())

    def test_keeps_cursors_by_directory(self, store: Store) -> None:
        assert store.cursor(COMPANY, "directory") is None
        cursor, other = Cursor("dirsync", b"\0\xff" * 500), Cursor("usn", b"")
        store.apply(plan(cursor=Cursor("usn", b"old")), a_run())
        store.apply(plan(cursor=cursor), a_run())
        store.apply(plan(cursor=other, source="directory-2"), a_run())
        store.apply(plan(), a_run())
        assert store.cursor(COMPANY, "directory") == cursor
        assert store.cursor(COMPANY, "directory-2") == other
        assert store.cursor(BRANCH, "directory") is None

    def test_keeps_verifiers(self, store: Store) -> None:
        anna, berta = made(store, person("anna"), person("berta"))
        assert store.verifier(anna) is None
        store.set_verifier(anna, "$argon2id$v=19$old")
        store.set_verifier(anna, "$argon2id$v=19$new")
        put(store, Op.UPDATE, values(anna, title="Chief"))
        assert store.verifier(anna) == "$argon2id$v=19$new"
        assert store.verifier(berta) is None
        store.set_verifier(anna, None)
        store.set_verifier(berta, None)
        assert store.verifier(anna) is None

    def test_refuses_a_verifier_of_nobody(self, store: Store) -> None:
        with pytest.raises(StoreError):
            store.set_verifier(replace(ANNA, number=4711), "$argon2id$")

    def test_remembers_attempts_newest_first(self, store: Store) -> None:
        attempts = [
            Attempt(
                Accepted("anna@company.com", "ldap-bind", "dc1"), "Anna", "imap", "h"
            ),
            Attempt(
                Rejected(Reason.LOCKED, "anna@company.com", "kerberos", "dc1", "775"),
                "anna@corp",
                "smtp",
                "dovecot-auth /run/x",
                ip_address("192.0.2.7"),
                ip_address("2001:db8::1"),
                12.5,
                14,
            ),
            Attempt(Unavailable(Cause.TIMEOUT, detail="no word"), "berta", "", ""),
        ]
        store.record(attempts[:2], NOW)
        store.record(attempts[2:], NOW + HOUR)
        store.record([], NOW)
        (berta,) = store.attempts("BERTA")
        assert (berta.at, berta.attempt) == (NOW + HOUR, attempts[2])
        assert [r.attempt for r in store.attempts("Anna@Company.com")] == [
            attempts[1],
            attempts[0],
        ]
        assert [r.attempt for r in store.attempts("anna")] == [attempts[0]]
        assert len(store.attempts("anna@company.com", 1)) == 1

    def test_attempts_take_whatever_strangers_send(self, store: Store) -> None:
        odd = Attempt(
            Rejected(Reason.BAD_NAME, detail="\udcff\0"),
            "\0\ud800" + "x" * 2**20,
            "",
            "",
        )
        store.record([odd], NOW)
        (told,) = store.attempts("\N{REPLACEMENT CHARACTER}?" + "x" * 253)
        assert told.attempt.verdict == Rejected(
            Reason.BAD_NAME, detail="?\N{REPLACEMENT CHARACTER}"
        )

    def test_readers_never_see_half_of_a_change(self, store: Store) -> None:
        (anna,) = made(store, person("anna", title="0", department="0"))
        done = threading.Event()
        seen: list[Account] = []
        failed: list[BaseException] = []

        def read() -> None:
            try:
                while not done.is_set():
                    seen.extend(store.named(COMPANY, NameKind.LOGIN, "anna"))
                    seen.extend(store.accounts(COMPANY))
            except BaseException as error:
                failed.append(error)

        readers = [threading.Thread(target=read) for _ in range(2)]
        for reader in readers:
            reader.start()
        for turn in range(40):
            word = str(turn)
            put(
                store,
                Op.UPDATE,
                values(
                    anna,
                    title=word,
                    department=word,
                    aliases=(f"a{word}@company.com",),
                    login_names=("anna", word),
                ),
            )
        done.set()
        for reader in readers:
            reader.join(30)
        assert failed == []
        assert len(seen) > 10
        for told in (a.values for a in seen):
            assert told.department == told.title
            assert told.aliases in ((), (f"a{told.title}@company.com",))
            assert told.login_names in (("anna",), ("anna", told.title))

    def test_writers_queue(self, store: Store) -> None:
        def write(who: int) -> None:
            for turn in range(10):
                put(store, Op.CREATE, person(f"p{who}-{turn}"))
                attempt = Attempt(Unavailable(Cause.BUSY), f"p{who}", "", "")
                store.record([attempt], NOW)

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(write, range(4)))
        assert len(list(store.accounts())) == 40
        assert len(store.last_runs(COMPANY, 100)) == 40

    def test_an_abandoned_read_harms_nobody(self, store: Store) -> None:
        made(store, person("a"), person("b"))
        for _ in range(50):
            next(iter(store.accounts()))
        made(store, person("c"))


class TestMemory(StoreContract):
    @pytest.fixture
    def store(self) -> Iterator[Store]:
        with MemoryStore() as store:
            yield store


class TestSqlite(StoreContract):
    @pytest.fixture
    def store(self, tmp_path: Path) -> Iterator[Store]:
        with open_store(f"sqlite:///{tmp_path}/dirbridge.db") as store:
            yield store


@pytest.fixture(scope="module")
def database(postgresql: Postgresql) -> Iterator[str]:
    """An empty database of its own, with the password in its url."""
    yield postgresql.create_database("store_contract")
    postgresql.drop_database("store_contract")


class TestPostgresql(StoreContract):
    @pytest.fixture
    def store(self, database: str) -> Iterator[Store]:
        with open_store(*parted(database)) as store:
            yield store
        with psycopg.connect(database) as connection:
            for table in reversed(Base.metadata.sorted_tables):
                connection.execute(SQL("DELETE FROM {}").format(Identifier(table.name)))
