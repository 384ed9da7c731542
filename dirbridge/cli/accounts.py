"""`dirbridge accounts`: look at accounts, add local ones, set their passwords."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime

import click

from dirbridge.app import App
from dirbridge.authenticators.local import make_verifier
from dirbridge.cli.app_passwords import app_password
from dirbridge.cli.asking import new_password
from dirbridge.cli.erasing import erase
from dirbridge.cli.finding import find_account
from dirbridge.cli.histories import export, history
from dirbridge.cli.options import Call, shared
from dirbridge.cli.output import DONE, PROBLEMS, USAGE, Streamed
from dirbridge.cli.settling import adopt, keep_apart, restore
from dirbridge.cli.showing import account_json, credentials_json
from dirbridge.cli.switching import passwd, role, switch
from dirbridge.directory import address
from dirbridge.directory.errors import Undecodable
from dirbridge.errors import Problem
from dirbridge.model.account import Account, AccountValues, Origin, Role
from dirbridge.model.entry import EntryKind
from dirbridge.model.names import Address, DirectoryId, DomainName
from dirbridge.model.plan import Op
from dirbridge.model.secret import Secret
from dirbridge.store.base import Store
from dirbridge.store.credentials import LOCAL
from dirbridge.sync.local import local_plan


@click.group()
def accounts() -> None:
    """Look at accounts and their history, settle conflicts, add local ones."""


for _command in (
    *(history, restore, adopt, keep_apart, export, erase),
    *(passwd, switch, role, app_password),
):
    accounts.add_command(_command)


@accounts.command("list")
@click.argument("domain", required=False)
@click.option("--all", "every", is_flag=True, help="Groups and contacts as well.")
@shared
def list_(call: Call, *, domain: str | None, every: bool) -> int:
    """List the accounts of DOMAIN, or of all domains."""
    app = call.app()
    wanted = None if domain is None else app.domain(domain)
    with app.open_store() as store:

        def found() -> Iterator[Account]:
            stored = _paged(store, wanted)
            return (a for a in stored if every or a.kind is EntryKind.ACCOUNT)

        columns = ("account", "state", "origin", "name", "address", "logs in as")
        # A million accounts pass one by one: none of them waits in memory.
        call.out.table("Accounts", columns, map(_row, found()))
        listed = Streamed(account_json(account) for account in found())
        call.out.finish({"accounts": listed})
    return DONE


def _paged(store: Store, domain: DomainName | None) -> Iterator[Account]:
    """Stream accounts; nothing of the store is open while somebody reads them."""
    last = 0
    while some := store.page(last, domain):
        last = some[-1].number
        yield from some


def _row(account: Account) -> tuple[object, ...]:
    values = account.values
    return (
        account.canonical,
        account.state,
        account.origin,
        values.display_name,
        values.primary_address,
        values.login_names,
    )


@accounts.command()
@click.argument("name")
@shared
def show(call: Call, *, name: str) -> int:
    """Show all that is known of the account NAME, also of a removed one."""
    app = call.app()
    with app.open_store() as store:
        found = find_account(app, store, name)
        held = credentials_json(store, found)
    data = account_json(found)
    labels = [o["label"] for o in held["app_passwords"] if not o["revoked_at"]]
    own = {"login methods": held["methods"], "app passwords": labels}
    shown = {**data, **{name: value for name, value in own.items() if value}}
    call.out.table("", ("field", "value"), shown.items())
    call.out.finish({"account": data, "credentials": held})
    return DONE


@accounts.command()
@click.argument("name")
@click.option("--admin", is_flag=True, help="The account may administer dirbridge.")
@click.option("--display-name", help="The name for people.")
@shared
def add(call: Call, *, name: str, admin: bool, display_name: str | None) -> int:
    """Add the local account NAME, which no directory knows.

    NAME is user@domain, or a bare name for the primary domain. A password is
    asked for; in a pipe it is the first line of standard input.
    """
    app = call.app()
    user, domain = _split(app, name)
    if not _can_be_address(user, domain):
        call.out.problem(_bad_name(name))
        call.out.finish()
        return USAGE
    password = new_password(call.out, name, (user, f"{user}@{domain}"))
    if password is None:
        call.out.finish()
        return USAGE
    values = AccountValues(
        directory_id=DirectoryId(f"local:{uuid.uuid4()}"),
        login_names=(user,),
        display_name=display_name,
        primary_address=Address(f"{user}@{domain}"),
    )
    account = Account(
        number=0,
        domain=domain,
        mailbox="",
        origin=Origin.LOCAL,
        role=Role.ADMIN if admin else Role.USER,
        state_since=datetime.now(UTC),
        values=values,
        source=LOCAL,
    )
    with app.open_store() as store:
        limit = app.settings.domains[domain].user_limit
        return _add(call, store, account, password, limit)


def _add(
    call: Call, store: Store, account: Account, password: Secret, limit: int | None
) -> int:
    plan, run = local_plan(account, store.accounts(), datetime.now(UTC), limit)
    conflicts = plan.of(Op.CONFLICT)
    for one in conflicts:
        text, _, then = one.why.rpartition(". ")
        code = str(one.after["conflict"])
        call.out.problem(Problem(code, one.name, f"{text}.", then))
    if conflicts:
        call.out.finish()
        return PROBLEMS
    store.apply(plan, run)
    made = _stored(store.accounts(account.domain), account.values.directory_id)
    store.set_verifier(made, make_verifier(password))
    call.out.say(f"added the local account {made.canonical}")
    call.out.finish({"account": account_json(made)})
    return DONE


def _can_be_address(user: str, domain: DomainName) -> bool:
    try:
        address.decode(f"{user}@{domain}")
    except Undecodable:
        return False
    return user.isprintable()


def _bad_name(name: str) -> Problem:
    return Problem(
        "bad-name",
        name,
        "The name cannot be the first part of an address.",
        "Use letters, digits, dots and hyphens.",
    )


def _split(app: App, name: str) -> tuple[str, DomainName]:
    user, at, domain = name.strip().rpartition("@")
    return (user, app.domain(domain)) if at else (domain, app.settings.primary)


def _stored(found: Iterable[Account], wanted: DirectoryId) -> Account:
    return next(one for one in found if one.values.directory_id == wanted)
