"""`dirbridge accounts switch`, `passwd`, `role`: how somebody logs in, and as what."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

import click

from dirbridge.app import App
from dirbridge.authenticators.local import make_verifier
from dirbridge.authenticators.missing import MissingMethod
from dirbridge.cli.admins import check_not_last
from dirbridge.cli.asking import names_of, new_password
from dirbridge.cli.finding import find_person
from dirbridge.cli.options import Call, shared
from dirbridge.cli.output import DONE, USAGE
from dirbridge.cli.runs import in_turn
from dirbridge.config.settings import Method
from dirbridge.errors import AccountError, Problem
from dirbridge.login.choices import LOCAL
from dirbridge.model.account import Account, Origin, Role
from dirbridge.model.account_sentences import account_problem
from dirbridge.model.plan import Plan
from dirbridge.model.secret import Secret
from dirbridge.store.base import Store
from dirbridge.sync.acting import Deed, carry_out
from dirbridge.sync.by_hand import Ground, Wish, plan_by_hand


@click.command()
@click.argument("name")
@shared
def passwd(call: Call, *, name: str) -> int:
    """Set the password of the account NAME that dirbridge itself keeps.

    Of a local account, and of one from a directory that logs in by the method local.
    In a pipe it is the first line of standard input.
    """
    app = call.app()
    with app.open_store() as store:
        account = find_person(app, store, name)
        methods = app.choices(store.credentials)(account)
        if not any(one.method == LOCAL for one in methods):
            raise AccountError(account_problem("mapped-account", account.canonical))
        password = new_password(call.out, account.canonical, names_of(account))
        if password is None:
            return _ended(call, USAGE)
        store.set_verifier(account, make_verifier(password))
    call.out.say(f"set the password of {account.canonical}")
    call.out.finish()
    return DONE


@click.command()
@click.argument("name")
@click.option(
    "--method",
    "methods",
    multiple=True,
    type=click.Choice([one.value for one in Method]),
    help="A login method; several are asked in this order.",
)
@click.option("--default", is_flag=True, help="The methods of its domain again.")
@shared
def switch(call: Call, *, name: str, methods: tuple[str, ...], default: bool) -> int:
    """Let the account NAME log in by other methods than its domain, or as it does.

    Mailbox, addresses and all else stay, and syncs go on. For `local` the account
    needs a password here: where it has none it is asked for; in a pipe it is the first
    line of standard input.
    """
    if default is bool(methods):
        raise click.UsageError("Name a --method, or say --default.")
    wanted = tuple(dict.fromkeys(methods))
    app = call.app()
    with app.open_store() as store:
        account = find_person(app, store, name)
        _check_switch(app, account, wanted)
        password = None
        if LOCAL in wanted and store.verifier(account) is None:
            password = new_password(call.out, account.canonical, names_of(account))
            if password is None:
                return _ended(call, USAGE)
        _switch(store, account, wanted, password)
        used = [one.method for one in app.choices(store.credentials)(account)]
        if LOCAL not in used:
            # What nobody uses any more shall not come to life by a later setting.
            store.set_verifier(account, None)
    call.out.say(f"{account.canonical} logs in by {', '.join(used)} from now on")
    call.out.finish(
        {"account": account.canonical, "methods": used, "default": not wanted}
    )
    return DONE


def _check_switch(app: App, account: Account, methods: Collection[str]) -> None:
    where = account.canonical
    if account.origin is Origin.LOCAL:
        raise AccountError(account_problem("local-account", where))
    named = (app.method_of(account, one) for one in methods if one != LOCAL)
    lacking = [
        Problem(found.code, where, found.text, found.next)
        for one in named
        if isinstance(one, MissingMethod)
        for found in one.check()
    ]
    if lacking:
        raise AccountError(*lacking)


def _switch(
    store: Store, account: Account, methods: Collection[str], password: Secret | None
) -> None:
    # First the password: nobody is to be left without any way in.
    if password is not None:
        store.set_verifier(account, make_verifier(password))
    store.set_methods(account, methods)


def _ended(call: Call, code: int) -> int:
    call.out.finish()
    return code


@click.command()
@click.argument("name")
@click.argument("role", type=click.Choice([one.value for one in Role]))
@click.option("--yes", is_flag=True, help="Also of the last local admin.")
@shared
def role(call: Call, *, name: str, role: str, yes: bool) -> int:
    """Say whether the account NAME may administer dirbridge."""
    app = call.app()
    wanted = Role(role)
    with app.open_store() as store:
        account = find_person(app, store, name)
        if wanted is Role.USER and not yes:
            check_not_last(store, account)
        deed = Deed(
            account.domain,
            account.source,
            lambda ground: _as_role(ground, account, wanted),
        )
        for attempt in in_turn():
            with attempt:
                carry_out(store, deed)
    call.out.say(f"{account.canonical} is {wanted} from now on")
    call.out.finish({"account": account.canonical, "role": wanted})
    return DONE


def _as_role(ground: Ground, account: Account, wanted: Role) -> Plan:
    held = ground.view.holders(account.domain, (), (account.canonical,))
    now = next((one for one in held if one.number == account.number), account)
    wish = Wish(now, replace(now, role=wanted), "An admin gave it another role.")
    return plan_by_hand(ground, [wish])
