"""`dirbridge sync`: bring the directory's accounts into the user database."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import click
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from dirbridge.cli.options import Call, shared
from dirbridge.cli.output import (
    DONE,
    PROBLEMS,
    STOPPED,
    STORE,
    UNAVAILABLE,
    USAGE,
    Json,
    Output,
    code_of,
)
from dirbridge.errors import DirbridgeError, Problem
from dirbridge.model.plan import Change, Op
from dirbridge.model.sentences import problems_of
from dirbridge.sync.job import Progress as Told
from dirbridge.sync.job import Report, SyncJob


@click.command()
@click.argument("domain", required=False)
@click.option("--dry-run", is_flag=True, help="Show the plan and write nothing.")
@click.option("--full", is_flag=True, help="Read everything, not only what changed.")
@click.option("--approve", metavar="ID", help="Let a run pass that was stopped.")
@shared
def sync(
    call: Call, *, domain: str | None, dry_run: bool, full: bool, approve: str | None
) -> int:
    """Read the directory of DOMAIN, or of all domains, and apply what changed.

    Nothing is written before the whole plan is made and checked against the
    limits. Every run reads everything in this release, with or without --full.

    A domain that fails holds up no other. Outside of a terminal, as under cron,
    nothing is printed unless a person is needed; a dry run always shows its plan.
    """
    del full
    app = call.app()
    codes, reports = {DONE}, list[Report]()
    with app.open_store() as store:
        for job in app.jobs(store, domain):
            try:
                report = _run(call.out, job, dry_run=dry_run, approved=approve)
            except DirbridgeError as error:
                call.out.problem(*problems_of(error))
                codes.add(code_of(error))
                continue
            reports.append(report)
            codes.add(_code(report))
    code = next(code for code in GRAVEST if code in codes)
    asked = dry_run or approve is not None
    for report in reports if asked or _somebody_reads(call.out, code) else ():
        _show(call.out, report, dry_run=dry_run)
        call.out.problem(*_problems(report))
    runs = [_json(report, dry_run=dry_run) for report in reports]
    call.out.finish({"dry_run": dry_run, "runs": runs}, ok=code == DONE)
    return code


GRAVEST = (USAGE, STORE, STOPPED, UNAVAILABLE, PROBLEMS, DONE)
"""Which exit code several domains have together: the first that one of them has."""


def _somebody_reads(out: Output, code: int) -> bool:
    return out.json or code != DONE or sys.stdout.isatty()


def _run(out: Output, job: SyncJob, *, dry_run: bool, approved: str | None) -> Report:
    with _progress(out, job.policy.domain) as told:
        return job.run(dry_run=dry_run, approved=approved, progress=told)


@contextmanager
def _progress(out: Output, domain: str) -> Iterator[Told]:
    """Show how far the run is: a bar on a terminal, events in JSON, else nothing."""
    if out.json:
        yield _events(out, domain)
        return
    if not sys.stderr.isatty():
        yield lambda _phase, _done: None
        return
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        TextColumn("{task.completed} entries"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, transient=True) as bar:
        task = bar.add_task(f"{domain}: read", total=None)
        yield lambda phase, done: bar.update(
            task, description=f"{domain}: {phase}", completed=done
        )


def _events(out: Output, domain: str) -> Told:
    def told(phase: str, done: int) -> None:
        if phase != "read" or done % 1000 == 0:
            out.event("progress", domain=domain, phase=phase, done=done)

    return told


SHOWN = 100
"""Changes that a terminal shows; a pipe and JSON get all."""


def _show(out: Output, report: Report, *, dry_run: bool) -> None:
    plan = report.plan
    out.say(
        f"{plan.domain}: read {plan.read} entries from {plan.server} below {plan.base}",
        style="bold",
    )
    changes = [change for change in plan.changes if change.op is not Op.CONFLICT]
    shown = changes[:SHOWN] if sys.stdout.isatty() else changes
    if shown:
        rows = [(c.op, c.name, _what(c), c.why) for c in shown]
        out.table("", ("change", "account", "what", "why"), rows)
    if len(shown) < len(changes):
        out.say(f"... and {len(changes) - len(shown)} more; --json shows all.")
    for dn, note in report.notes[:SHOWN]:
        out.say(f"note: {dn}: {note}", style="dim")
    out.say(_summary(report, dry_run=dry_run))


def _what(change: Change) -> str:
    if change.op in (Op.CREATE, Op.REMOVE):
        return str(change.after.get("primary_address") or "")
    fields = (
        f"{name}: {_short(change.before.get(name))} -> {_short(value)}"
        for name, value in change.after.items()
    )
    return "; ".join(fields)


def _short(value: object) -> str:
    if isinstance(value, tuple):
        return ", ".join(str(one) for one in value) or "-"
    return "-" if value is None else str(value)


def _summary(report: Report, *, dry_run: bool) -> str:
    plan = report.plan
    counts = {op: len(plan.of(op)) for op in Op if op is not Op.CONFLICT}
    changes = ", ".join(f"{number} {op}" for op, number in counts.items() if number)
    conflicts = len(plan.of(Op.CONFLICT))
    tail = f"; {conflicts} conflicts, see below." if conflicts else "."
    if report.stopped is not None:
        return f"{plan.domain}: stopped, nothing was written{tail}"
    if not changes:
        return f"{plan.domain}: nothing changed, {plan.unchanged} as before{tail}"
    verb = "would change" if dry_run else "changed"
    return f"{plan.domain}: {verb}: {changes}; {plan.unchanged} as before{tail}"


def _problems(report: Report) -> Iterator[Problem]:
    if report.stopped is not None:
        for one in problems_of(report.stopped):
            yield replace(one, where=f"{report.plan.domain}: limits")
    for change in report.plan.of(Op.CONFLICT):
        text, _, then = change.why.rpartition(". ")
        code = str(change.after.get("conflict", "conflict"))
        yield Problem(code, change.name, f"{text}.", then)
    for entry in report.unmapped:
        then = "Mend the entry, or the mapping; the other entries are not held up."
        yield Problem("unmapped", entry.dn, entry.reason, then)


def _code(report: Report) -> int:
    if report.stopped is not None:
        return STOPPED
    return PROBLEMS if report.new else DONE


def _json(report: Report, *, dry_run: bool) -> Json:
    plan = report.plan
    return {
        "domain": plan.domain,
        "directory": plan.source,
        "server": plan.server,
        "kind": plan.kind,
        "base": plan.base,
        "read": plan.read,
        "unchanged": plan.unchanged,
        "written": report.run is not None and not dry_run,
        "run": None if report.run is None else report.run.number,
        "stopped": None if report.stopped is None else report.stopped.limit,
        "approval": (report.stopped.approval or None) if report.stopped else None,
        "new": sorted(report.new),
        "unmapped": [
            {"entry": one.dn, "field": one.field, "reason": one.reason}
            for one in report.unmapped
        ],
        "notes": [{"entry": dn, "note": note} for dn, note in report.notes],
        "changes": [_change_json(change) for change in plan.changes],
    }


def _change_json(change: Change) -> Json:
    return {
        "op": change.op,
        "account": change.account,
        "name": change.name,
        "before": dict(change.before),
        "after": dict(change.after),
        "entry": change.entry,
        "row": change.row,
        "why": change.why,
    }
