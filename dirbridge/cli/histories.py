"""`dirbridge accounts history` and `export`: all that was done to one account."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import datetime

import click

from dirbridge.cli.finding import find_account
from dirbridge.cli.options import Call, shared
from dirbridge.cli.output import DONE, Json, Streamed
from dirbridge.cli.runs import row_json, row_text
from dirbridge.cli.showing import account_json, credentials_json
from dirbridge.model.account import Account
from dirbridge.model.names import DirectoryId
from dirbridge.store.base import AuditRow, RecordedAttempt, StoreReader
from dirbridge.store.tries_base import Tries

_EVERYTHING = 1_000_000


@click.command()
@click.argument("name")
@click.option("--limit", default=100, help="How many changes; 100 by default.")
@shared
def history(call: Call, *, name: str, limit: int) -> int:
    """Show what runs and admins changed of the account NAME, the newest first.

    NAME may also be a removed account, or the stable id of an entry.
    """
    app = call.app()
    with app.open_store() as store:
        account = find_account(app, store, name)
        rows = account_rows(store, account, limit)
    call.out.table(
        account.canonical,
        ("run", "when (UTC)", "from", "change", "what", "why"),
        map(_row, rows),
    )
    data = {
        "account": account.canonical,
        "directory_id": account.values.directory_id,
        "changes": Streamed(map(row_json, rows)),
    }
    call.out.finish(data)
    return DONE


def _row(row: AuditRow) -> tuple[object, ...]:
    when = f"{row.at:%Y-%m-%d %H:%M:%S}"
    return (row.run, when, row.server, row.op, row_text(row), row.why)


def account_rows(
    store: StoreReader, account: Account, limit: int
) -> tuple[AuditRow, ...]:
    """Return an account's changes, those from before it was adopted as well."""
    rows, _ = _rows_and_ids(store, account, limit)
    return tuple(sorted(rows, key=_newest_first)[:limit])


def all_ids(store: StoreReader, account: Account) -> list[DirectoryId]:
    """Return an account's stable id, and those that it had before it was adopted."""
    return _rows_and_ids(store, account, _EVERYTHING)[1]


def _rows_and_ids(
    store: StoreReader, account: Account, limit: int
) -> tuple[list[AuditRow], list[DirectoryId]]:
    rows: list[AuditRow] = []
    waiting = [account.values.directory_id]
    for who in waiting:
        own = store.history(who, limit)
        rows += own
        waiting += [one for one in _earlier_ids(own) if one not in waiting]
    return rows, waiting


def _newest_first(row: AuditRow) -> tuple[int, float]:
    return (-row.run, -row.at.timestamp())


def _earlier_ids(rows: Iterable[AuditRow]) -> list[DirectoryId]:
    values = (json.loads(row.before) for row in rows if '"directory_id"' in row.before)
    return [DirectoryId(one["directory_id"]) for one in values]


@click.command()
@click.argument("name")
@shared
def export(call: Call, *, name: str) -> int:
    """Print all that is stored of the account NAME, for who asks what is known of them.

    It is JSON with the account, its credentials, changes, login attempts, from where
    it logs in, and its wrong tries. There is no password in it: none is stored.
    """
    app = call.app()
    with app.open_store() as store:
        account = find_account(app, store, name)
        data = {
            "exported_at": datetime.now().astimezone().isoformat(),
            "account": account_json(account),
            "credentials": credentials_json(store, account),
            "changes": [row_json(r) for r in account_rows(store, account, _EVERYTHING)],
            "attempts": [
                _attempt_json(one)
                for one in store.attempts(account.canonical, _EVERYTHING)
            ],
            "usual_addresses": [
                {"address": one.address, "last_login_at": one.last_at.isoformat()}
                for one in store.places(account)
            ],
            "wrong_tries": _tries_json(store.tries(account)),
        }
    if not call.out.json:
        # For a person as well: whoever asked gets it as a file.
        call.out.say(json.dumps(data, ensure_ascii=False, indent=2, default=str))
    call.out.finish(data)
    return DONE


def _tries_json(tries: Tries | None) -> Json | None:
    if tries is None:
        return None
    # "?" stands for a server that has not answered yet.
    server = "" if tries.server == "?" else tries.server
    return {
        "count": tries.count,
        "last_at": tries.last_at.isoformat(),
        "server": server,
    }


def _attempt_json(recorded: RecordedAttempt) -> Json:
    attempt = recorded.attempt
    verdict = attempt.verdict
    return {
        "at": recorded.at.isoformat(),
        "name": attempt.request_name,
        "verdict": type(verdict).__name__.lower(),
        "reason": str(getattr(verdict, "reason", getattr(verdict, "cause", ""))),
        "service": attempt.service,
        "from_ip": None if attempt.remote_ip is None else str(attempt.remote_ip),
        "method": verdict.method,
        "hook": attempt.hook,
        "server": verdict.server,
        "detail": getattr(verdict, "detail", ""),
        "times": attempt.times,
    }
