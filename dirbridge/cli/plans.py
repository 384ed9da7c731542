"""How commands show plans, and what runs did."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

from dirbridge.cli.output import PROBLEMS, STOPPED, Json, Output, Streamed
from dirbridge.errors import Problem, UnsafePlan
from dirbridge.model.mapping import Unmapped
from dirbridge.model.plan import APPLY_ORDER, Change, Op, Plan
from dirbridge.model.sentences import problems_of
from dirbridge.store.base import Run
from dirbridge.sync.job import Report
from dirbridge.sync.plan_file import as_json

SHOWN = 100
"""Changes that are shown, but of a dry run in a pipe, which shows all."""

CHANGING = tuple(op for op in APPLY_ORDER if op is not Op.CONFLICT)


@dataclass(frozen=True, slots=True)
class Told:
    """What a command tells of one plan.

    Attributes:
        plan: The plan.
        run: The run as stored, None where nothing was written.
        stopped: The limit that stopped it, or None.
        dry_run: Whether nothing was to be written.
        unmapped: Entries that could not be mapped.
        notes: Per entry, what mapping dropped and why.
        new: Keys of conflicts and unmappable entries not known from before.
    """

    plan: Plan
    run: Run | None = None
    stopped: UnsafePlan | None = None
    dry_run: bool = False
    unmapped: tuple[Unmapped, ...] = ()
    notes: tuple[tuple[str, str], ...] = ()
    new: frozenset[str] = frozenset()

    @property
    def code(self) -> int:
        """The exit code that it makes."""
        if self.stopped is not None:
            return STOPPED
        return PROBLEMS if self.new else 0


def of_report(report: Report, *, dry_run: bool) -> Told:
    """Return what is told of a sync's run."""
    return Told(
        plan=report.plan,
        run=report.run,
        stopped=report.stopped,
        dry_run=dry_run,
        unmapped=report.unmapped,
        notes=report.notes,
        new=report.new,
    )


def show(out: Output, told: Told) -> None:
    """Print a plan: what was read, the changes, notes, and a summary."""
    plan = told.plan
    if plan.base:
        where = f"{plan.server} below {plan.base}"
        out.say(f"{plan.domain}: read {plan.read} entries from {where}", style="bold")
    total = sum(plan.counts().get(op, 0) for op in CHANGING)
    # A first import of a million does not fit into memory: its changes stream.
    everything = told.dry_run and not sys.stdout.isatty()
    most = total if everything else SHOWN
    if total:
        rows = ((c.op, c.name, what(c), c.why) for c in plan.walk(*CHANGING))
        out.table("", ("change", "account", "what", "why"), islice(rows, most))
    if total > most:
        out.say(f"... and {total - most} more; {_where_all(told)} shows all.")
    for dn, note in told.notes[:SHOWN]:
        out.say(f"note: {dn}: {note}", style="dim")
    out.say(_summary(told))


def _where_all(told: Told) -> str:
    if told.run is not None:
        return f"`dirbridge sync show {told.run.number}`"
    return "--json" if told.dry_run else "--dry-run in a pipe"


def what(change: Change) -> str:
    """Return the fields of a change with their old and new values."""
    if change.op is Op.CREATE:
        return str(change.after.get("primary_address") or "")
    return differences(change.before, change.after)


def differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    """Return fields with their old and new values, in one line."""
    names = dict.fromkeys((*after, *before))
    return "; ".join(
        f"{name}: {_short(before.get(name))} -> {_short(after.get(name))}"
        for name in names
    )


def _short(value: object) -> str:
    if isinstance(value, tuple | list):
        return ", ".join(str(one) for one in value) or "-"
    return "-" if value in (None, "") else str(value)


def _summary(told: Told) -> str:
    plan, counts = told.plan, told.plan.counts()
    changes = ", ".join(f"{counts[op]} {op}" for op in CHANGING if counts.get(op))
    conflicts = counts.get(Op.CONFLICT, 0)
    word = "conflict" if conflicts == 1 else "conflicts"
    tail = f"; {conflicts} {word}, see below." if conflicts else "."
    before = f", {plan.unchanged} as before" if plan.base else ""
    if told.stopped is not None:
        return f"{plan.domain}: stopped, nothing was written{tail}"
    if not changes:
        return f"{plan.domain}: nothing changed{before}{tail}"
    verb = "would change" if told.dry_run else "changed"
    number = "" if told.run is None else f" (run {told.run.number})"
    return f"{plan.domain}: {verb}: {changes}{before}{number}{tail}"


def problems(told: Told) -> Iterator[Problem]:
    """Yield what needs a person: the limit, each conflict, each unmappable entry."""
    if told.stopped is not None:
        for one in problems_of(told.stopped):
            yield replace(one, where=f"{told.plan.domain}: limits")
    yield from conflicts(told.plan.of(Op.CONFLICT))
    for entry in told.unmapped:
        then = "Mend the entry, or the mapping; the other entries are not held up."
        yield Problem("unmapped", entry.dn, entry.reason, then)


def conflicts(changes: Iterable[Change]) -> Iterator[Problem]:
    """Yield conflicts as problems; the last sentence of each is its mend."""
    for change in changes:
        text, _, then = change.why.rpartition(". ")
        code = str(change.after.get("conflict", "conflict"))
        yield Problem(code, change.name, f"{text}.", then)


def told_json(told: Told) -> Json:
    """Return what `--json` says of one plan."""
    plan, stopped = told.plan, told.stopped
    return {
        "domain": plan.domain,
        "directory": plan.source,
        "server": plan.server,
        "kind": plan.kind,
        "base": plan.base,
        "read": plan.read,
        "unchanged": plan.unchanged,
        "written": told.run is not None and not told.dry_run,
        "run": None if told.run is None else told.run.number,
        "stopped": None if stopped is None else stopped.limit,
        "approval": (stopped.approval or None) if stopped else None,
        "new": sorted(told.new),
        "unmapped": [
            {"entry": one.dn, "field": one.field, "reason": one.reason}
            for one in told.unmapped
        ],
        "notes": [{"entry": dn, "note": note} for dn, note in told.notes],
        "changes": Streamed(as_json(change) for change in plan.changes),
    }
