"""`dirbridge sync`: bring the directory's accounts into the user database."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dirbridge.cli import plans, progress
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
from dirbridge.cli.plans import Told
from dirbridge.cli.runs import in_turn, runs, show, undo
from dirbridge.errors import ConfigError, DirbridgeError, DirectoryError, Problem
from dirbridge.model.plan import Plan
from dirbridge.model.sentences import of_approval, problems_of
from dirbridge.notices.rules import Ended
from dirbridge.scheduler.running import ended_by, ended_of
from dirbridge.store.base import Store
from dirbridge.sync import plan_file
from dirbridge.sync.job import SyncJob
from dirbridge.sync.plan_file import Choice, PlanFile

if TYPE_CHECKING:
    from dirbridge.app import App


class Default(click.Group):
    """A group that is a command as well, where no subcommand is named."""

    default: click.Command

    def make_context(
        self,
        info_name: str | None,
        args: list[str],
        parent: click.Context | None = None,
        **extra: Any,
    ) -> click.Context:
        """Return the context of the subcommand's group, or of the default command."""
        if self._names_a_subcommand(args):
            return super().make_context(info_name, args, parent, **extra)
        return self.default.make_context(info_name, args, parent, **extra)

    def _names_a_subcommand(self, args: list[str]) -> bool:
        with_value = {
            name
            for one in self.default.params
            if isinstance(one, click.Option) and not one.is_flag
            for name in one.opts
        }
        words = iter(args)
        for word in words:
            if word in with_value:
                next(words, None)
            elif not word.startswith("-"):
                return word in self.commands
        return False


@dataclass(frozen=True, slots=True)
class _Asked:
    """What the command line asks of every run.

    Attributes:
        dry_run: Write nothing.
        full: Read everything.
        approve: An approval's id.
        out: A plan file, or a folder for several, to write.
        lines: Whether a pipe gets lines of progress.
        ended: Told how each run ended that was no dry run, for notices.
    """

    dry_run: bool
    full: bool = False
    approve: str | None = None
    out: Path | None = None
    lines: bool = False
    ended: Callable[[Ended], None] = lambda _ended: None


@dataclass(slots=True)
class _Result:
    """What all runs came to.

    Attributes:
        codes: Their exit codes.
        told: What is told of each plan.
        choice: The plan file that was applied, and what of it passed.
        files: The plan files that were written.
    """

    codes: set[int] = field(default_factory=lambda: {DONE})
    told: list[Told] = field(default_factory=list)
    choice: tuple[PlanFile, Choice] | None = None
    files: list[str] = field(default_factory=list)


@click.command()
@click.argument("domain", required=False)
@click.option("--dry-run", is_flag=True, help="Show the plan and write nothing.")
@click.option("--full", is_flag=True, help="Read everything, not only what changed.")
@click.option("--approve", metavar="ID", help="Let a run pass that was stopped.")
@click.option(
    "--out",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="With --dry-run: save the plan, in a folder that is there one for each run.",
)
@click.option(
    "--apply",
    "applied",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Apply what is in a saved plan and is still so, and nothing else.",
)
@click.option(
    "--progress", "lines", is_flag=True, help="Tell a pipe how far the run is."
)
@shared
def run(call: Call, *, domain: str | None, applied: Path | None, **options: Any) -> int:
    """Read the directory of DOMAIN, or of all domains, and apply what changed.

    Nothing is written before the whole plan is made and checked against the
    limits. Where the directory can tell what changed, only that is read; with --full,
    after a change of the configuration and once a day everything is.

    A domain that fails holds up no other. Outside of a terminal, as under cron,
    nothing is printed unless a person is needed; a dry run always shows its plan.

    `dirbridge sync runs` lists earlier runs, `sync show RUN` shows one, and
    `sync undo RUN` takes it back.
    """
    asked = _Asked(**options)
    out = asked.out
    if out is not None and (not asked.dry_run or applied is not None):
        raise click.UsageError("--out belongs to --dry-run: what is saved is a plan.")
    file = None if applied is None else plan_file.load(applied)
    app = call.app()
    wanted = domain if file is None or domain is not None else file.domain
    with app.open_store() as store, _telling(app, store, asked) as asked:
        jobs = app.jobs(store, wanted)
        if out is not None:
            _check_out(out, jobs)
        if file is not None:
            return _finish(call.out, _apply(call.out, store, jobs, file, asked), asked)
        return _finish(call.out, _run_all(call.out, jobs, asked), asked)


DELIVERY = 20.0
"""Seconds that a sync waits for its notices to arrive; else the next one tells them."""


@contextmanager
def _telling(app: App, store: Store, asked: _Asked) -> Iterator[_Asked]:
    """Keep what runs mean to people, and tell them in the end."""
    if asked.dry_run:
        yield asked
        return
    board = app.noticeboard(store)
    yield replace(asked, ended=board.ended)
    board.deliver_within(DELIVERY)


@click.group(cls=Default)
def sync() -> None:
    """Bring the directory's accounts into the user database, and look at runs."""


sync.default = run
sync.add_command(runs)
sync.add_command(show)
sync.add_command(undo)


GRAVEST = (USAGE, STORE, STOPPED, UNAVAILABLE, PROBLEMS, DONE)
"""Which exit code several domains have together: the first that one of them has."""


def _run_all(out: Output, jobs: tuple[SyncJob, ...], asked: _Asked) -> _Result:
    result = _Result()
    for job in jobs:
        try:
            told = _run(out, job, asked)
            if asked.out is not None:
                path = _out_path(asked.out, job)
                plan_file.write(path, told.plan, rules_of(job), told.stopped)
                result.files.append(str(path))
        except DirbridgeError as error:
            out.problem(*problems_of(error))
            result.codes.add(code_of(error))
            continue
        result.told.append(told)
        result.codes.add(told.code)
    return result


def _apply(
    out: Output,
    store: Store,
    jobs: tuple[SyncJob, ...],
    file: PlanFile,
    asked: _Asked,
) -> _Result:
    """Run the one job that a plan file is of, on what stands in the file."""
    job = _job_of(file, jobs)
    plan_file.check_rules(file, rules_of(job))
    room = _room(store, job)
    chosen: list[Choice] = []

    def only(plan: Plan) -> Plan:
        plan_file.check_rules(file, rules_of(job), plan.base)
        chosen[:] = [plan_file.choose(plan, file, room())]
        return chosen[0].plan

    told = _run(out, job, replace(asked, full=True), only)
    (choice,) = chosen
    left = choice.missing or choice.held_back
    return _Result(
        {told.code, PROBLEMS if left else DONE}, [told], choice=(file, choice)
    )


def _job_of(file: PlanFile, jobs: tuple[SyncJob, ...]) -> SyncJob:
    for job in jobs:
        if (job.policy.domain, job.policy.source) == (file.domain, file.source):
            return job
    where = f'domain "{file.domain}", directory "{file.source}"'
    problem = Problem(
        "plan-elsewhere",
        str(file.path),
        f"The plan is of the {where}, which is not the one to sync.",
        "Name the plan's own domain, or none.",
    )
    raise ConfigError((problem,))


def _room(store: Store, job: SyncJob) -> Callable[[], int | None]:
    """Return what counts the places that the user limit has left."""
    limit, domain = job.policy.user_limit, job.policy.domain

    def room() -> int | None:
        if limit is None:
            return None
        with store.view() as view:
            counts = view.live(domain)
        return limit - sum(n for (_, kind), n in counts.items() if kind == "account")

    return room


def rules_of(job: SyncJob) -> str:
    """Return the fingerprint of what decides which entries are read, and how."""
    return f"{job.scope} {job.rules}"


def _run(
    out: Output,
    job: SyncJob,
    asked: _Asked,
    only: Callable[[Plan], Plan] | None = None,
) -> Told:
    try:
        with progress.shown(out, job.policy.domain, lines=asked.lines) as told:
            for attempt in in_turn():
                with attempt:
                    report = job.run(
                        dry_run=asked.dry_run,
                        full=asked.full,
                        approved=asked.approve,
                        only=only,
                        progress=told,
                    )
    except (ConfigError, DirectoryError) as error:
        asked.ended(ended_by(job, error))
        raise
    asked.ended(ended_of(report))
    if asked.approve is not None and report.stopped is not None:
        known = job.store.approval(asked.approve)
        out.problem(of_approval(asked.approve, known, job.clock()))
    return plans.of_report(report, dry_run=asked.dry_run)


def _check_out(out: Path, jobs: tuple[SyncJob, ...]) -> None:
    if len(jobs) > 1 and not out.is_dir():
        problem = Problem(
            "several-plans",
            str(out),
            f"A plan file holds one run, and there are {len(jobs)}.",
            "Name one domain, or a folder that is there.",
        )
        raise ConfigError((problem,))


def _out_path(out: Path, job: SyncJob) -> Path:
    return (
        out / f"{job.policy.domain}-{job.policy.source}.json" if out.is_dir() else out
    )


def _finish(out: Output, result: _Result, asked: _Asked) -> int:
    code = next(code for code in GRAVEST if code in result.codes)
    by_hand = asked.dry_run or asked.approve is not None or result.choice is not None
    if by_hand or _somebody_reads(out, code):
        for told in result.told:
            plans.show(out, told)
            out.problem(*plans.problems(told))
        out.problem(*_left_out(out, result))
        for path in result.files:
            out.say(f"saved the plan in {path}")
    data: Json = {
        "dry_run": asked.dry_run,
        "runs": [plans.told_json(told) for told in result.told],
        "saved": result.files,
    }
    if result.choice is not None:
        data["plan_file"] = _choice_json(*result.choice)
    out.finish(data, ok=code == DONE)
    return code


def _somebody_reads(out: Output, code: int) -> bool:
    return out.json or code != DONE or sys.stdout.isatty()


def _left_out(out: Output, result: _Result) -> Iterator[Problem]:
    """Yield what stands in the plan file and was not applied."""
    if result.choice is None:
        return
    file, choice = result.choice
    if choice.waiting:
        out.say(
            f"{file.domain}: further changes that are not in the file, and wait for "
            f"the next sync: {choice.waiting}."
        )
    for code, why, left in (
        ("plan-left-out", _MISSING, choice.missing),
        ("plan-held-back", _HELD_BACK, choice.held_back),
    ):
        for change in left[: plans.SHOWN]:
            text = f"The change ({change['op']}) is not applied: {why}."
            yield Problem(code, change["name"], text, _AGAIN)
        if len(left) > plans.SHOWN:
            more = len(left) - plans.SHOWN
            text = f"{more} more changes are not applied: {why}."
            yield Problem(code, str(file.path), text, _AGAIN)


_MISSING = "entry or account are others than in the file, or it is done already"
_HELD_BACK = "it needs a change that is left out"
_AGAIN = "Make the plan anew with `dirbridge sync --dry-run --out FILE`."


def _choice_json(file: PlanFile, choice: Choice) -> Json:
    return {
        "id": file.id,
        "left_out": [*choice.missing, *choice.held_back],
        "not_in_file": choice.waiting,
    }
