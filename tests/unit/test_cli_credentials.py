"""`accounts app-password`, `switch`, `passwd`, `role` and `erase`, in this process."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest

from dirbridge.app import App
from dirbridge.cli.main import exit_code
from dirbridge.model.account import Account, AccountState, Origin
from dirbridge.model.account_sentences import SENTENCES, account_problem
from dirbridge.model.entry import EntryKind
from dirbridge.model.fields import show
from dirbridge.model.login import (
    Accepted,
    Attempt,
    LoginRequest,
    Rejected,
    Unavailable,
)
from dirbridge.model.names import Address, DomainName
from dirbridge.model.plan import Op
from dirbridge.model.secret import Secret
from dirbridge.store.base import Store
from tests.command_line import CommandLine, Pipe, configured
from tests.contract import test_store as stores

pytestmark = pytest.mark.slow

EXAMPLE = DomainName("example.com")
ANNA = "anna@example.com"
CONFIG = """\
[store]
url = "sqlite:///{folder}/dirbridge.db"
[domains."example.com".directory]
type = "active-directory"
server = "127.0.0.1:9"
username = "svc@corp.example.com"
password = {{ file = "{folder}/secret" }}
connect_timeout = "1s"
[domains."example.com".login]
methods = ["ldap-bind"]
require_app_password_from = "198.51.100.0/24"
"""
SECRET = "a long secret\n"


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return configured(tmp_path, CONFIG)


@pytest.fixture
def store(config: Path) -> Iterator[Store]:
    with App.load(config).open_store() as store:
        people = [
            stores.person(
                name,
                domain=EXAMPLE,
                primary_address=Address(f"{name}@example.com"),
                display_name=f"{name.title()} Berg",
            )
            for name in ("anna", "berta")
        ]
        new = [stores.change(Op.CREATE, one) for one in people]
        store.apply(stores.plan(*new, domain=EXAMPLE), stores.a_run(EXAMPLE))
        yield store


@pytest.fixture
def run(
    config: Path,
    store: Store,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> CommandLine:
    return CommandLine(config, capsys, monkeypatch)


def problem(answer: tuple[int, dict[str, Any]]) -> tuple[int, str]:
    code, said = answer
    return code, said["problems"][0]["code"]


def account(store: Store, mailbox: str = "anna") -> Account:
    return next(one for one in store.accounts() if one.mailbox == mailbox)


def login(run: CommandLine, password: str, *words: str) -> dict[str, Any]:
    return run("login", "anna", *words, stdin=f"{password}\n")[1]["data"]


def test_an_app_password_from_its_making_to_its_end(
    run: CommandLine, store: Store
) -> None:
    code, made = run("accounts", "app-password", "add", "anna", "--label", " phone ")
    assert code == 0
    password = made["data"]["password"]
    assert made["data"]["app_password"]["label"] == "phone"
    again = run("accounts", "app-password", "add", ANNA, "--label", "PHONE")
    assert problem(again) == (1, "label-taken")
    run("accounts", "app-password", "add", "anna", "--label", "laptop")

    said = login(run, password.upper(), "--from-ip", "192.0.2.7")
    assert (said["verdict"], said["user"]) == ("accepted", ANNA)
    assert (said["method"], said["server"]) == ("app-password", "local#1")

    _, listed = run("accounts", "app-password", "list", "anna")
    phone, laptop = listed["data"]["app_passwords"]
    assert (phone["label"], phone["last_used_from"]) == ("phone", "192.0.2.7")
    assert (laptop["label"], laptop["last_used_at"]) == ("laptop", None)

    gone = run("accounts", "app-password", "revoke", "anna", "--label", "Phone")
    assert (gone[0], gone[1]["data"]["revoked"]) == (0, ["phone"])
    _, refused = run("login", "anna", stdin=f"{password}\n")
    assert refused["data"]["reason"] == "wrong-password"
    assert "was revoked" in refused["problems"][0]["text"]
    gone = run("accounts", "app-password", "revoke", "anna", "--label", "phone")
    assert problem(gone) == (1, "no-app-password")
    assert run("accounts", "app-password", "revoke", "anna")[0] == 2
    _, all_gone = run("accounts", "app-password", "revoke", "anna", "--all")
    assert all_gone["data"]["revoked"] == ["laptop"]
    assert store.credentials(account(store)).app_passwords == ()

    _, exported = run("accounts", "export", "anna")
    _, told = run("accounts", "history", "anna")
    for shown in (json.dumps(exported), json.dumps(told)):
        assert "phone" in shown
        assert password not in shown
        assert password.replace("-", "") not in shown
    assert len(exported["data"]["credentials"]["app_passwords"]) == 2


@pytest.mark.parametrize("label", ["", " ", "x" * 65, "a\nb", "a\x1b[2J"])
def test_a_label_must_be_one_that_can_be_shown(run: CommandLine, label: str) -> None:
    made = run("accounts", "app-password", "add", "anna", "--label", label)
    assert problem(made) == (1, "bad-label")


def test_from_some_networks_the_directory_is_not_asked(run: CommandLine) -> None:
    outside = login(run, "secret", "--from-ip", "198.51.100.7")
    assert (outside["verdict"], outside["reason"]) == ("rejected", "app-password")
    inside = login(run, "secret", "--from-ip", "192.0.2.7")
    assert (inside["verdict"], inside["method"]) == ("unavailable", "ldap-bind")


def test_an_account_is_switched_in_place_and_back(
    run: CommandLine, store: Store
) -> None:
    before = account(store)
    code, switched = run(
        "accounts", "switch", "anna", "--method", "local", stdin=SECRET
    )
    assert (code, switched["data"]["methods"]) == (0, ["local"])
    assert login(run, "a long secret")["verdict"] == "accepted"
    assert login(run, "another")["reason"] == "wrong-password"
    assert run("accounts", "passwd", "anna", stdin="another one\n")[0] == 0
    assert login(run, "another one")["method"] == "local"
    assert account(store) == before

    both = ("--method", "ldap-bind", "--method", "local")
    assert run("accounts", "switch", "anna", *both)[1]["data"]["methods"] == [
        "ldap-bind",
        "local",
    ]
    assert login(run, "another one")["method"] == "local"

    code, back = run("accounts", "switch", "anna", "--default")
    assert (back["data"]["methods"], back["data"]["default"]) == (["ldap-bind"], True)
    assert store.verifier(account(store)) is None
    assert login(run, "another one")["verdict"] == "unavailable"
    assert problem(run("accounts", "passwd", "anna")) == (1, "mapped-account")
    _, told = run("accounts", "history", "anna")
    changes = [one["after"] for one in reversed(told["data"]["changes"][:-1])]
    assert changes == [
        {"password": "set"},
        {"methods": ["local"]},
        {"password": "set"},
        {"methods": ["ldap-bind", "local"]},
        {"methods": []},
        {"password": None},
    ]


def test_nothing_is_switched_that_could_not_work(
    run: CommandLine, store: Store
) -> None:
    lacking = run("accounts", "switch", "anna", "--method", "password-server")
    assert problem(lacking) == (1, "method-missing")
    nothing_typed = run("accounts", "switch", "anna", "--method", "local")
    assert problem(nothing_typed) == (2, "no-password")
    assert run("accounts", "switch", "anna")[0] == 2
    assert run("accounts", "switch", "anna", "--default", "--method", "local")[0] == 2
    run("accounts", "add", "post", stdin=SECRET)
    local = run("accounts", "switch", "post", "--method", "ldap-bind")
    assert problem(local) == (1, "local-account")
    assert store.credentials(account(store)).methods == ()


@pytest.mark.parametrize(
    "typed", ["short", "aaaaaaaaaaaa", "ANNA@example.com", "Anna Berg"]
)
def test_passwords_that_would_be_guessed_are_refused(
    run: CommandLine, typed: str
) -> None:
    switched = run(
        "accounts", "switch", "anna", "--method", "local", stdin=f"{typed}\n"
    )
    assert problem(switched) == (2, "weak-password")
    assert typed not in json.dumps(switched[1]["problems"][0]["next"])


def test_groups_and_removed_accounts_have_no_credentials(
    run: CommandLine, store: Store
) -> None:
    anna = account(store)
    group = stores.person("team", domain=EXAMPLE)
    group = replace(
        group, mailbox="", values=replace(group.values, kind=EntryKind.GROUP)
    )
    gone = replace(anna, state=AccountState.REMOVED)
    changes = (stores.change(Op.CREATE, group), stores.change(Op.REMOVE, gone))
    store.apply(stores.plan(*changes, domain=EXAMPLE), stores.a_run(EXAMPLE))
    for name, code in (
        (ANNA, "removed-account"),
        (group.values.directory_id, "no-person"),
        ("nobody", "unknown"),
    ):
        for words in (
            ("app-password", "add", name, "--label", "phone"),
            ("switch", name, "--method", "local"),
            ("passwd", name),
            ("role", name, "admin"),
        ):
            assert problem(run("accounts", *words, stdin=SECRET)) == (1, code)


def test_the_last_local_admin_stays_one_unless_somebody_says_so(
    run: CommandLine, store: Store
) -> None:
    assert run("accounts", "add", "--admin", "post", stdin=SECRET)[0] == 0
    assert problem(run("accounts", "role", "post", "user")) == (1, "last-admin")
    adopted = run("accounts", "adopt", "post", "6f9619ff-8b86-d011-b42d-00c04fc964ff")
    assert problem(adopted) == (1, "last-admin")
    # A mapped admin cannot get in while the directory is down.
    assert run("accounts", "role", "anna", "admin")[0] == 0
    assert account(store).role == "admin"
    assert problem(run("accounts", "role", "post", "user")) == (1, "last-admin")
    run("accounts", "add", "--admin", "second", stdin=SECRET)
    assert run("accounts", "role", "post", "user")[0] == 0
    assert run("accounts", "role", "second", "user", "--yes")[0] == 0
    assert {one.role for one in store.accounts() if one.origin is Origin.LOCAL} == {
        "user"
    }
    _, told = run("accounts", "history", "anna")
    newest = told["data"]["changes"][0]
    assert (newest["before"], newest["after"]) == ({"role": "user"}, {"role": "admin"})
    assert run("sync", "undo", str(newest["run"]))[0] == 0
    assert account(store).role == "user"


def test_an_erased_person_is_in_no_history(run: CommandLine, store: Store) -> None:
    run("login", "anna", stdin="secret\n")
    run("login", "berta", stdin="secret\n")
    assert run("accounts", "erase", "anna")[0] == 2
    code, erased = run("accounts", "erase", "anna", "--yes")
    assert (code, erased["data"]) == (0, {"changes": 1, "attempts": 1})
    _, told = run("accounts", "history", "anna")
    assert [one["op"] for one in told["data"]["changes"]] == ["erase", "create"]
    assert "anna@" not in json.dumps(told["data"]["changes"])
    assert run("accounts", "export", "anna")[1]["data"]["attempts"] == []
    assert len(run("accounts", "export", "berta")[1]["data"]["attempts"]) == 1
    assert account(store).values.display_name == "Anna Berg"


def test_an_export_tells_of_the_guard_as_well(run: CommandLine, store: Store) -> None:
    exported = run("accounts", "export", "anna")[1]["data"]
    assert (exported["usual_addresses"], exported["wrong_tries"]) == ([], None)
    anna, now = account(store), datetime.now(UTC)
    store.note_address(anna, ip_address("203.0.113.99"), now)
    store.count_try(anna, now, since=now - timedelta(1), most=9)
    told = {"last_at": now.isoformat(), "count": 1, "server": ""}
    usual = [{"address": "203.0.113.99", "last_login_at": now.isoformat()}]
    exported = run("accounts", "export", "anna")[1]["data"]
    assert (exported["usual_addresses"], exported["wrong_tries"]) == (usual, told)
    assert run("accounts", "erase", "anna", "--yes")[0] == 0
    exported = run("accounts", "export", "anna")[1]["data"]
    assert (exported["usual_addresses"], exported["wrong_tries"]) == ([], told)


def test_a_removed_account_loses_its_persons_names(
    run: CommandLine, store: Store
) -> None:
    named = replace(
        account(store).values,
        dn="CN=Anna Berg,OU=Staff,DC=example,DC=com",
        upn="anna.berg@corp.example.com",
        principal="anna@CORP.EXAMPLE.COM",
        login_names=("anna", "a.berg"),
        forward=Address("anna.berg@private.example"),
    )
    gone = replace(account(store), values=named, state=AccountState.REMOVED)
    change = stores.change(Op.REMOVE, gone)
    store.apply(stores.plan(change, domain=EXAMPLE), stores.a_run(EXAMPLE))
    assert run("accounts", "erase", ANNA, "--yes")[0] == 0
    left = account(store)
    assert left.state is AccountState.REMOVED
    held = {name: value for name, value in show(left).items() if "anna" in str(value)}
    assert held == {"primary_address": ANNA}
    assert "berg" not in str(left).lower()
    with store.view() as view:
        assert not list(view.holders(EXAMPLE, ["a.berg"], ["a.berg"]))
    rows = store.history(left.values.directory_id)
    assert "Anna" not in " ".join(f"{r.before}{r.after}{r.why}{r.name}" for r in rows)


@pytest.mark.parametrize(
    "typed", ["anna@example.org", "anna@xn--bro-hoa.example", "ANNA@büro.example"]
)
def test_attempts_of_a_removed_person_by_any_domain_are_erased(
    run: CommandLine, store: Store, config: Path, typed: str
) -> None:
    domain = '[domains."example.com"]'
    aliases = 'aliases = ["example.org", "xn--bro-hoa.example"]\n'
    config.write_text(f"{domain}\n{aliases}{config.read_text()}")
    gone = replace(account(store), state=AccountState.REMOVED)
    store.apply(
        stores.plan(stores.change(Op.REMOVE, gone), domain=EXAMPLE),
        stores.a_run(EXAMPLE),
    )
    for name in (typed, "nobody@example.org"):
        run("login", name, "--from-ip", "192.0.2.7", stdin="wrong\n")
    assert run("accounts", "erase", ANNA, "--yes")[1]["data"]["attempts"] == 1
    assert store.attempts(typed) == ()
    assert len(store.attempts("nobody@example.org")) == 1


def explained(run: CommandLine, *words: str) -> dict[str, dict[str, Any]]:
    _, said = run("explain", *words)
    return {step["name"]: step for step in said["data"]["steps"]}


def test_people_read_explain_and_login_at_80_columns(
    run: CommandLine,
    config: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setattr("sys.stdin", Pipe("wrong\n"))
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    assert exit_code(["login", "anna", "--config", str(config)]) == 4
    _, detail, *_ = capsys.readouterr().out.splitlines()
    assert detail == "detail: refused [Errno 111] Connection refused"
    assert exit_code(["explain", "anna", "--config", str(config)]) == 4
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    steps = [line.split() for line in lines[:-2] if not line.startswith(" ")]
    assert ["warning", "app-password", "From"] in [words[:3] for words in steps]
    shown = " ".join(" ".join(lines).split())
    assert f"by ldap-bind login from unknown: {detail[8:]}" in shown


def test_explain_tells_of_app_passwords_and_chosen_methods(
    run: CommandLine, store: Store
) -> None:
    assert "app-password" not in explained(run, "anna", "--from-ip", "192.0.2.7")
    anywhere = explained(run, "anna")["app-password"]
    assert (anywhere["outcome"], "From 198.51.100.0/24" in anywhere["found"]) == (
        "warning",
        True,
    )
    assert "app-password add" in anywhere["found"]
    outside = ("anna", "--from-ip", "198.51.100.7")
    none_yet = explained(run, *outside)["app-password"]
    assert none_yet["outcome"] == "failed"
    assert "app-password add" in none_yet["found"]

    made = run("accounts", "app-password", "add", "anna", "--label", "phone")[1]["data"]
    login(run, made["password"], "--from-ip", "198.51.100.7")
    for words in (("anna",), outside):
        step = explained(run, *words)["app-password"]
        ((label, told),) = step["facts"]
        assert (step["outcome"], label) == ("ok", "phone")
        assert "last used" in told
        assert "from 198.51.100.7" in told

    run("accounts", "switch", "anna", "--method", "local", stdin=SECRET)
    step = explained(run, "anna")["method"]
    assert (step["outcome"], "switch" in step["rule"]) == ("ok", True)
    # The directory is away, which does not matter any more.
    assert explained(run, "anna")["entry"]["outcome"] == "warning"
    store.set_verifier(account(store), None)
    step = explained(run, "anna")["method"]
    assert (step["outcome"], "passwd" in step["found"]) == ("failed", True)


def test_check_names_a_method_that_accounts_chose_and_that_is_not_set_up(
    run: CommandLine, store: Store
) -> None:
    store.set_methods(account(store), ("password-server", "local"))
    _, said = run("check")
    missing = [one for one in said["problems"] if one["code"] == "method-missing"]
    (one,) = missing
    assert "password-server" in one["text"]
    assert one["text"].endswith("Accounts with it: 1.")


def test_show_names_chosen_methods_and_app_passwords(
    run: CommandLine, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run("accounts", "switch", "anna", "--method", "local", stdin=SECRET)
    run("accounts", "app-password", "add", "anna", "--label", "phone")
    held = run("accounts", "show", "anna")[1]["data"]["credentials"]
    assert (held["methods"], held["local_password"]) == (["local"], True)
    assert [one["label"] for one in held["app_passwords"]] == ["phone"]
    assert exit_code(["accounts", "show", "anna", "--config", str(config)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert {"login methods\tlocal", "app passwords\tphone"} <= set(lines)


def test_a_running_bridge_sees_at_once_what_an_admin_does(
    run: CommandLine, store: Store, config: Path
) -> None:
    words = ("accounts", "app-password", "add", "anna", "--label", "phone")
    password = Secret(run(*words)[1]["data"]["password"])
    request = LoginRequest("anna", password)
    typed = LoginRequest("anna", Secret("a long secret"))
    app = App.load(config)
    with app.open_store() as other, other.pulse() as pulse:
        bridge = app.login_service(other, pulse=pulse)
        accepted = Accepted(ANNA, "app-password", "local#1")
        assert bridge.answer(request) == accepted
        # Now it is known by heart, and answered without waiting for anybody.
        assert bridge.quick(request) == accepted
        run("accounts", "app-password", "revoke", "anna", "--label", "phone")
        assert bridge.quick(request) is None
        assert isinstance(bridge.answer(request), Rejected)

        assert isinstance(bridge.answer(typed), Unavailable)
        run("accounts", "switch", "anna", "--method", "local", stdin=SECRET)
        assert bridge.answer(typed) == Accepted(ANNA, "local", "local")
        run("accounts", "passwd", "anna", stdin="another one\n")
        assert isinstance(bridge.answer(typed), Rejected)
        run("accounts", "switch", "anna", "--default")
        assert isinstance(bridge.answer(typed), Unavailable)


@pytest.mark.parametrize("code", SENTENCES)
def test_each_sentence_ends_with_what_to_do(code: str) -> None:
    one = account_problem(code, ANNA, why="it is short")
    assert (one.code, one.where) == (code, ANNA)
    assert one.text.endswith(".")
    assert one.next.endswith(".")
    assert "{" not in one.text + one.next


def test_repetitions_are_told_as_such(run: CommandLine, store: Store) -> None:
    told = Accepted(ANNA, "ldap-bind", "cache")
    again = Attempt(told, "anna", "imap", "saslauthd:/run/x", times=14)
    store.record([again], datetime.now(UTC))
    (exported,) = run("accounts", "export", "anna")[1]["data"]["attempts"]
    assert exported["times"] == 14
    steps = run("explain", "anna")[1]["data"]["steps"]
    (attempts,) = (step for step in steps if step["name"] == "attempts")
    assert attempts["facts"][0][1].startswith("accepted 14 times by ldap-bind imap")
