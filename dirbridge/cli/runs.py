"""`dirbridge sync runs`, `show` and `undo`: what runs did, and taking one back."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import click
from tenacity import Retrying, retry_if_exception, stop_after_delay, wait_fixed

from dirbridge.app import App
from dirbridge.cli import plans
from dirbridge.cli.options import Call, shared
from dirbridge.cli.output import DONE, PROBLEMS, Json, Streamed
from dirbridge.errors import Problem, StoreError
from dirbridge.model.account import Account, Origin
from dirbridge.model.names import DirectoryId
from dirbridge.model.plan import Op, Plan
from dirbridge.store.base import AuditRow, Run, Store
from dirbridge.store.credentials import LOCAL
from dirbridge.sync.acting import Deed, carry_out
from dirbridge.sync.by_hand import Ground
from dirbridge.sync.undo import touched, undo_plan

WAIT = 60.0
"""Seconds to wait for another run of the same domain."""


def in_turn() -> Retrying:
    """Try again for a minute where another run of the domain is going on."""
    return Retrying(
        retry=retry_if_exception(
            lambda e: isinstance(e, StoreError) and e.code == "turn-taken"
        ),
        wait=wait_fixed(0.5),
        stop=stop_after_delay(WAIT),
        reraise=True,
    )


@click.command()
@click.argument("domain", required=False)
@click.option("--limit", default=20, help="How many of each domain; 20 by default.")
@shared
def runs(call: Call, *, domain: str | None, limit: int) -> int:
    """List the newest runs of DOMAIN, or of all domains, the newest first."""
    app = call.app()
    wanted = app.settings.domains if domain is None else (app.domain(domain),)
    with app.open_store() as store:
        found = [run for name in wanted for run in store.last_runs(name, limit)]
    found.sort(key=lambda run: run.number, reverse=True)
    columns = ("run", "when (UTC)", "domain", "from", "kind", "read", "result", "what")
    call.out.table("Runs", columns, map(_row, found))
    call.out.finish({"runs": [run_json(run) for run in found]})
    return DONE


def _row(run: Run) -> tuple[object, ...]:
    return (
        run.number,
        f"{run.finished_at:%Y-%m-%d %H:%M}",
        run.domain,
        run.server,
        run.kind,
        run.read,
        run.result,
        _counts(run) or run.why,
    )


def _counts(run: Run) -> str:
    return ", ".join(f"{count} {op}" for op, count in run.changes.items() if count)


def run_json(run: Run) -> Json:
    """Return one run for programs."""
    return {
        "run": run.number,
        "domain": run.domain,
        "directory": run.source,
        "server": run.server,
        "kind": run.kind,
        "started_at": run.started_at.isoformat(),
        "finished_at": run.finished_at.isoformat(),
        "result": run.result,
        "read": run.read,
        "changes": {op: count for op, count in run.changes.items() if count},
        "why": run.why,
    }


@click.command()
@click.argument("run", type=int)
@shared
def show(call: Call, *, run: int) -> int:
    """Show what RUN changed, each account with its old and new values."""
    with call.app().open_store() as store:
        found = store.run(run)
        if found is None:
            return _no_run(call, run)
        rows = store.audit(run)
    call.out.say(
        f"Run {found.number} of {found.domain}, {found.finished_at:%Y-%m-%d %H:%M:%S} "
        f"UTC, {found.kind}, from {found.server}: {found.result}",
        style="bold",
    )
    if found.why:
        call.out.say(found.why)
    if rows:
        shown = ((row.op, row.name, row_text(row), row.why) for row in rows)
        call.out.table("", ("change", "account", "what", "why"), shown)
    changes = Streamed(map(row_json, rows))
    call.out.finish({"run": run_json(found), "changes": changes})
    return DONE


def row_text(row: AuditRow) -> str:
    """Return what an audit row says, in one line."""
    after = _values(row.after)
    if row.op == Op.CREATE:
        return str(after.get("primary_address") or "")
    return plans.differences(_values(row.before), after)


def row_json(row: AuditRow) -> Json:
    """Return an audit row for programs."""
    return {
        "run": row.run,
        "at": row.at.isoformat(),
        "op": row.op,
        "account": row.account,
        "name": row.name,
        "before": _values(row.before),
        "after": _values(row.after),
        "why": row.why,
        "server": row.server,
    }


def _values(text: str) -> Mapping[str, Any]:
    found: Mapping[str, Any] = json.loads(text)
    return found


@click.command()
@click.argument("run", type=int)
@click.option("--dry-run", is_flag=True, help="Show the plan and write nothing.")
@click.option("--approve", metavar="ID", help="Let an undo pass that was stopped.")
@shared
def undo(call: Call, *, run: int, dry_run: bool, approve: str | None) -> int:
    """Take RUN back: a new run, which does the opposite, with the same limits.

    What is still as the run left it goes back to what it was before. What later runs
    changed stays, and is told. Mend what caused the run first, in the directory or
    in the configuration: else the next sync does the same again.
    """
    app = call.app()
    with app.open_store() as store:
        found = store.run(run)
        if found is None:
            return _no_run(call, run)
        rows = store.audit(run)
        if not touched(rows):
            return _nothing(call, found)
        deed = _undoing(app, store, found, rows)
        for attempt in in_turn():
            with attempt:
                done = carry_out(store, deed, dry_run=dry_run, approved=approve)
    told = plans.Told(done.plan, done.run, done.stopped, dry_run=dry_run)
    plans.show(call.out, told)
    call.out.problem(*plans.problems(told))
    clashes = bool(done.plan.of(Op.CONFLICT))
    code = told.code or (PROBLEMS if clashes else DONE)
    data = {"dry_run": dry_run, "undone": run, "runs": [plans.told_json(told)]}
    call.out.finish(data, ok=code == DONE)
    return code


def _undoing(app: App, store: Store, run: Run, rows: tuple[AuditRow, ...]) -> Deed:
    settings = app.settings.domains[app.domain(run.domain)]
    ids = touched(rows)

    def plan(ground: Ground) -> Plan:
        stored = dict(ground.view.by_id(run.domain, run.source, ids))
        if run.source == LOCAL or len(stored) < len(ids):
            stored |= dict(_local(store, run, ids))
        keep = settings.sync.keep_old_address
        return undo_plan(ground, run.number, rows, stored, keep)

    return Deed(
        run.domain,
        run.source,
        plan,
        user_limit=settings.user_limit,
        limits=app.limits(run.domain),
    )


def _local(
    store: Store, run: Run, ids: frozenset[DirectoryId]
) -> Iterator[tuple[DirectoryId, Account]]:
    """Yield local accounts by id; they belong to no directory."""
    for account in store.accounts(run.domain):
        who = account.values.directory_id
        if account.origin is Origin.LOCAL and who in ids:
            yield who, account


def _no_run(call: Call, run: int) -> int:
    problem = Problem(
        "no-run",
        str(run),
        "There is no run with this number.",
        "`dirbridge sync runs` lists them; old ones are forgotten after `changes` of "
        "[retention].",
    )
    call.out.problem(problem)
    call.out.finish()
    return PROBLEMS


def _nothing(call: Call, run: Run) -> int:
    problem = Problem(
        "nothing-to-undo",
        str(run.number),
        "The run changed nothing that could be taken back.",
        "`dirbridge sync runs` lists what each run did.",
    )
    call.out.problem(problem)
    call.out.finish()
    return PROBLEMS
