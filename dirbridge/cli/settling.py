"""`dirbridge accounts adopt`, `keep-apart`, `restore`: what only a person can say."""

from __future__ import annotations

from collections.abc import Callable

import click

from dirbridge.app import App
from dirbridge.cli import plans
from dirbridge.cli.admins import check_not_last
from dirbridge.cli.finding import find_account
from dirbridge.cli.options import Call, shared
from dirbridge.cli.output import DONE, PROBLEMS
from dirbridge.cli.runs import in_turn
from dirbridge.errors import Unsettled
from dirbridge.model.account import LIVE, Account, Origin
from dirbridge.model.entry import Entry
from dirbridge.model.names import DirectoryId
from dirbridge.model.plan import Plan
from dirbridge.store.base import Store
from dirbridge.sync import settle
from dirbridge.sync.acting import Deed, carry_out
from dirbridge.sync.by_hand import Ground

_DRY_RUN = click.option("--dry-run", is_flag=True, help="Show it and write nothing.")


@click.command()
@click.argument("account")
@click.argument("entry-id")
@_DRY_RUN
@click.option("--yes", is_flag=True, help="Also of the last local admin.")
@shared
def adopt(call: Call, *, account: str, entry_id: str, dry_run: bool, yes: bool) -> int:
    """Give ACCOUNT to the new entry ENTRY-ID: it is the same person.

    For a person whose entry was deleted and made anew, and for a local account whose
    person is in the directory by now. The mailbox stays; names, addresses and state
    come from the entry with the next sync.
    """
    app = call.app()
    entries: list[Entry] = []

    def source(store: Store, found: Account) -> str:
        """Return the directory that has the entry, asked live."""
        if not yes:
            check_not_last(store, found)
        directory, entry = _entry(app, found, entry_id)
        entries.append(entry)
        return directory

    def plan(ground: Ground, found: Account, gone: bool) -> Plan:
        entry = entries[-1]
        return settle.adopt(ground, found, entry.id, entry.kind, gone=gone)

    return _settle(call, app, account, plan, source, dry_run=dry_run)


def _is_gone(app: App, account: Account) -> bool:
    """Whether the entry of an account that looks live is not there, asked live.

    A run that is stopped writes nothing down, and its conflicts want an answer.

    Raises:
        DirectoryError: The directory cannot be asked.
    """
    if account.origin is not Origin.MAPPED or account.state not in LIVE:
        return False
    return any(
        directory.connector.find(account.values.directory_id) is None
        for directory in app.directories[account.domain]
        if directory.connector.source == account.source
    )


def _entry(app: App, account: Account, typed: str) -> tuple[str, Entry]:
    """Return the directory that has an entry, and the entry."""
    for directory in app.directories[account.domain]:
        for text in dict.fromkeys((typed, typed.upper(), typed.lower())):
            entry = directory.connector.find(DirectoryId(text))
            if entry is not None:
                return directory.connector.source, entry
    raise Unsettled("no-entry", typed)


@click.command("keep-apart")
@click.argument("account")
@_DRY_RUN
@shared
def keep_apart(call: Call, *, account: str, dry_run: bool) -> int:
    """Take names and addresses from ACCOUNT, whose person is gone.

    A new entry with these names is somebody else, and gets an account and a mailbox
    of its own with the next sync. The old account keeps its mailbox and the address
    `mailbox@domain`, so that nobody gets another's mail.
    """

    def plan(ground: Ground, found: Account, gone: bool) -> Plan:
        return settle.keep_apart(ground, found, gone=gone)

    return _settle(call, call.app(), account, plan, dry_run=dry_run)


@click.command()
@click.argument("name")
@_DRY_RUN
@shared
def restore(call: Call, *, name: str, dry_run: bool) -> int:
    """Bring the account NAME back that was removed, or give it more time.

    A mapped account becomes deactivated, and its quarantine begins anew: it gets mail
    again, and as soon as its entry is back in the directory, its person logs in. A
    local account is active at once.
    """

    def plan(ground: Ground, found: Account, _gone: bool) -> Plan:
        return settle.restore(ground, found)

    return _settle(call, call.app(), name, plan, dry_run=dry_run)


def _settle(
    call: Call,
    app: App,
    name: str,
    make: Callable[[Ground, Account, bool], Plan],
    source: Callable[[Store, Account], str] = lambda _store, found: found.source,
    *,
    dry_run: bool,
) -> int:
    with app.open_store() as store:
        found = find_account(app, store, name)
        directory, gone = source(store, found), _is_gone(app, found)

        def plan(ground: Ground) -> Plan:
            now = _as_of(ground, found)
            same = now.values.directory_id == found.values.directory_id
            return make(ground, now, gone and same)

        deed = Deed(
            found.domain,
            directory,
            plan,
            user_limit=app.settings.domains[found.domain].user_limit,
        )
        for attempt in in_turn():
            with attempt:
                done = carry_out(store, deed, dry_run=dry_run)
    told = plans.Told(done.plan, done.run, dry_run=dry_run)
    plans.show(call.out, told)
    call.out.problem(*plans.problems(told))
    data = {"dry_run": dry_run, "runs": [plans.told_json(told)]}
    call.out.finish(data)
    return PROBLEMS if call.out.problems else DONE


def _as_of(ground: Ground, found: Account) -> Account:
    """Return the account as it is on the plan's own view of the store.

    A sync may have changed it between the search and the plan.
    """
    names = (found.canonical,)
    held = ground.view.holders(found.domain, (), names)
    return next((a for a in held if a.number == found.number), found)
