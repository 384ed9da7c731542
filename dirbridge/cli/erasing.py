"""`dirbridge accounts erase`: forget what was remembered of one person."""

from __future__ import annotations

from dataclasses import replace

import click

from dirbridge.app import App
from dirbridge.cli.asking import confirm
from dirbridge.cli.finding import find_account
from dirbridge.cli.histories import all_ids
from dirbridge.cli.options import Call, shared
from dirbridge.cli.output import DONE
from dirbridge.cli.runs import in_turn
from dirbridge.model.account import Account, AccountState
from dirbridge.model.plan import Plan
from dirbridge.store.base import Store
from dirbridge.sync.acting import Deed, carry_out
from dirbridge.sync.by_hand import Ground, Wish, plan_by_hand


@click.command()
@click.argument("name")
@click.option("--yes", is_flag=True, help="Do not ask.")
@shared
def erase(call: Call, *, name: str, yes: bool) -> int:
    """Strip personal values of the account NAME from history and login attempts.

    What is left is what the numbers need: when something happened to which id, which
    fields changed, how a login ended. It cannot be taken back. A removed account loses
    its person's names and credentials as well; of a living one, the directory's values
    stay.
    """
    app = call.app()
    with app.open_store() as store:
        account = find_account(app, store, name)
        if not yes:
            confirm(f"Erase what is remembered of {account.canonical}, for good?")
        if account.state is AccountState.REMOVED:
            _strip(store, account)
        ids = all_ids(store, account)
        erased = store.erase(account, ids, _suffixes(app, account))
    call.out.say(
        f"erased personal values from {erased.changes} changes and "
        f"{erased.attempts} login attempts"
    )
    call.out.finish({"changes": erased.changes, "attempts": erased.attempts})
    return DONE


def _suffixes(app: App, account: Account) -> frozenset[str]:
    """Return what people of an account's domain may write behind the `@`."""
    own = (one for one in app.mail_domains if one.name == account.domain)
    known = {account.domain, *(suffix for one in own for suffix in one.suffixes)}
    return frozenset(known | {_as_typed(suffix) for suffix in known})


def _as_typed(suffix: str) -> str:
    """Return an IDN with its own letters, where it has any (RFC 3490)."""
    try:
        return suffix.encode("ascii").decode("idna")
    except UnicodeError:
        return suffix


def _strip(store: Store, account: Account) -> None:
    """Take its person's names from a removed account."""

    def plan(ground: Ground) -> Plan:
        # Its addresses stay: nobody shall get another's mail.
        values = replace(
            account.values,
            dn="",
            login_names=(),
            upn=None,
            principal=None,
            forward=None,
            forward_dn=None,
            display_name=None,
            given_name=None,
            surname=None,
            title=None,
            department=None,
            phone=None,
        )
        wish = Wish(account, replace(account, values=values), "Erased.")
        return plan_by_hand(ground, [wish])

    for attempt in in_turn():
        with attempt:
            carry_out(store, Deed(account.domain, account.source, plan))
