"""`dirbridge accounts app-password`: passwords for one mail program of one person."""

from __future__ import annotations

from datetime import UTC, datetime

import click

from dirbridge.cli.finding import find_account, find_person
from dirbridge.cli.options import Call, shared
from dirbridge.cli.output import DONE, PROBLEMS
from dirbridge.cli.showing import app_password_json, last_uses
from dirbridge.errors import AccountError
from dirbridge.login.app_passwords import kept, new_app_password, server_of
from dirbridge.model.account import Account
from dirbridge.model.account_sentences import account_problem
from dirbridge.model.credentials import AppPassword
from dirbridge.model.names import fold
from dirbridge.store.base import RecordedAttempt, StoreReader

_LONGEST_LABEL = 64


@click.group("app-password")
def app_password() -> None:
    """Make, list and revoke passwords for mail programs, each for one device."""


@app_password.command()
@click.argument("name")
@click.option("--label", required=True, help="What the person calls the device.")
@shared
def add(call: Call, *, name: str, label: str) -> int:
    """Make an app password for the account NAME; it is shown this once."""
    app = call.app()
    label = label.strip()
    with app.open_store() as store:
        account = find_person(app, store, name)
        _check_label(store, account, label)
        password = new_app_password()
        made = store.add_app_password(account, kept(label, password, datetime.now(UTC)))
    call.out.say(f'app password "{label}" of {account.canonical}, shown this once:')
    call.out.say(password.reveal())
    data = {"account": account.canonical, "app_password": app_password_json(made, None)}
    call.out.finish({**data, "password": password.reveal()})
    return DONE


def _check_label(store: StoreReader, account: Account, label: str) -> None:
    if not 0 < len(label) <= _LONGEST_LABEL or not label.isprintable():
        raise AccountError(account_problem("bad-label", account.canonical))
    held = store.credentials(account).app_passwords
    if any(fold(one.label) == fold(label) for one in held):
        raise AccountError(account_problem("label-taken", account.canonical))


@app_password.command("list")
@click.argument("name")
@shared
def list_(call: Call, *, name: str) -> int:
    """List the app passwords of the account NAME, and when each was used last."""
    app = call.app()
    with app.open_store() as store:
        account = find_account(app, store, name)
        found = store.app_passwords(account)
        uses = last_uses(store, account)
    columns = ("label", "made", "last used", "from", "revoked")
    call.out.table(account.canonical, columns, (_row(one, uses) for one in found))
    listed = [app_password_json(one, uses.get(server_of(one))) for one in found]
    call.out.finish({"account": account.canonical, "app_passwords": listed})
    return DONE


def _row(one: AppPassword, uses: dict[str, RecordedAttempt]) -> tuple[object, ...]:
    use = uses.get(server_of(one))
    return (
        one.label,
        f"{one.created_at:%Y-%m-%d %H:%M}",
        "" if use is None else f"{use.at:%Y-%m-%d %H:%M}",
        "" if use is None else use.attempt.remote_ip or "",
        "" if one.revoked_at is None else f"{one.revoked_at:%Y-%m-%d %H:%M}",
    )


@app_password.command()
@click.argument("name")
@click.option("--label", help="Only the one with this label.")
@click.option("--all", "every", is_flag=True, help="All of the account.")
@shared
def revoke(call: Call, *, name: str, label: str | None, every: bool) -> int:
    """Let an app password of the account NAME count no more, at once."""
    if every is (label is not None):
        raise click.UsageError("Name its --label, or say --all.")
    app = call.app()
    with app.open_store() as store:
        account = find_account(app, store, name)
        now, wanted = datetime.now(UTC), fold(label or "")
        gone = [
            one.label
            for one in store.credentials(account).app_passwords
            if (every or fold(one.label) == wanted)
            and store.revoke_app_password(account, one.number, now)
        ]
    if not gone:
        call.out.problem(account_problem("no-app-password", account.canonical))
    for one in gone:
        call.out.say(f'revoked the app password "{one}" of {account.canonical}')
    call.out.finish({"account": account.canonical, "revoked": gone})
    return DONE if gone else PROBLEMS
