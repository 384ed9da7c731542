"""Run one sync: directory, mapping, plan, limits, store."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from dirbridge.connectors.base import Connector
from dirbridge.errors import IncompleteRead, UnsafePlan
from dirbridge.model.entry import Entry, EntryKind, Finished, Gone
from dirbridge.model.mapping import Mapped, Unmapped
from dirbridge.model.plan import Change, Op, Plan
from dirbridge.store.base import Run, RunResult, Store
from dirbridge.sync import bookmark
from dirbridge.sync import limits as limit_rules
from dirbridge.sync.bookmark import Bookmark
from dirbridge.sync.limits import Limits
from dirbridge.sync.planner import Policy, Read, make_plan

Progress = Callable[[str, int], None]
"""Told the phase (`read`, `plan`, `apply`) and how many items it has done."""


@dataclass(frozen=True, slots=True)
class Report:
    """What a run did, or would do.

    Attributes:
        plan: The whole plan.
        unmapped: Entries that could not be mapped.
        notes: Per entry name, what mapping dropped and why.
        run: The run as stored; None for a dry run and a stopped one.
        stopped: The limit that stopped it, or None.
        new: Keys of conflicts and unmappable entries not known from before.
    """

    plan: Plan
    unmapped: tuple[Unmapped, ...]
    notes: tuple[tuple[str, str], ...]
    run: Run | None
    stopped: UnsafePlan | None
    new: frozenset[str]


@dataclass(frozen=True, slots=True)
class SyncJob:
    """The sync of one directory into one domain.

    Attributes:
        policy: The domain's rules.
        limits: What one run may take away.
        connector: Where entries come from.
        mapping: Turns an entry into values, or says why not.
        store: Where accounts go.
        scope: Fingerprint of what decides which entries are read; see
            `Plan.scope_changed`.
    """

    policy: Policy
    limits: Limits
    connector: Connector
    mapping: Callable[[Entry], Mapped | Unmapped]
    store: Store
    scope: str = ""

    def run(
        self,
        *,
        dry_run: bool = False,
        approved: str | None = None,
        progress: Progress = lambda _phase, _done: None,
    ) -> Report:
        """Read, plan, check the limits, and apply unless it is a dry run.

        Args:
            dry_run: Do everything but write.
            approved: An approval that a person gave for a stopped run.
            progress: Told how far the run is.

        Returns:
            What was done; a plan above the limits is told as `stopped`.

        Raises:
            DirectoryError: The directory could not be read to its end; nothing
                was written.
            StoreError: Nothing was written.
        """
        started = datetime.now(UTC)
        before = self._before()
        read = self._read(before, progress)
        progress("plan", read.count)
        plan = self._plan(read, before, started)
        stopped = self._stopped(plan, approved)
        known = _keys(plan, read.unmapped)
        new = known - self._known_before()
        run = None
        if stopped is None and not dry_run:
            progress("apply", len(plan.changes))
            fresh = _without_known_conflicts(plan, new)
            run = self.store.apply(fresh, self._record(plan, started, known))
        return Report(plan, read.unmapped, tuple(_notes(read)), run, stopped, new)

    def _before(self) -> Bookmark | None:
        return bookmark.opened(
            self.store.cursor(self.policy.domain, self.policy.source)
        )

    def _read(self, before: Bookmark | None, progress: Progress) -> Read:
        mapped: list[Mapped] = []
        unmapped: list[Unmapped] = []
        gone: list[Gone] = []
        # Who is missing on a server that is behind the last one has not vanished.
        after = None if before is None else before.cursor
        for item in self.connector.read(after, full=True):
            match item:
                case Finished(complete=True) as finished:
                    return Read(tuple(mapped), tuple(unmapped), tuple(gone), finished)
                case Finished() as finished:
                    raise self._incomplete(finished)
                case Gone():
                    gone.append(item)
                case Entry(kind=EntryKind.ACCOUNT):
                    result = self.mapping(item)
                    if isinstance(result, Mapped):
                        mapped.append(result)
                    else:
                        unmapped.append(result)
                    progress("read", len(mapped) + len(unmapped))
        raise AssertionError("a read ended without Finished")

    def _plan(self, read: Read, before: Bookmark | None, now: datetime) -> Plan:
        version = self.store.version()
        plan = make_plan(self.policy, self.store.accounts(), read, now)
        here = Bookmark(f"{self.scope} {plan.base}", read.finished.cursor)
        changed = before is not None and before.scope != here.scope
        return replace(
            plan, cursor=here.kept(), based_on=version, scope_changed=changed
        )

    def _incomplete(self, finished: Finished) -> IncompleteRead:
        return IncompleteRead(
            domain=self.policy.domain,
            server=finished.server,
            operation="read",
            code="incomplete",
            detail=finished.why,
        )

    def _stopped(self, plan: Plan, approved: str | None) -> UnsafePlan | None:
        try:
            limit_rules.check(plan, self.limits, approved)
        except UnsafePlan as stopped:
            return stopped
        return None

    def _known_before(self) -> frozenset[str]:
        policy = self.policy
        runs = self.store.last_runs(policy.domain, source=policy.source)
        return frozenset(known for run in runs for known in run.known)

    def _record(self, plan: Plan, started: datetime, known: frozenset[str]) -> Run:
        counts = Counter(str(change.op) for change in plan.changes)
        written = any(change.op is not Op.CONFLICT for change in plan.changes)
        return Run(
            number=0,
            domain=plan.domain,
            source=plan.source,
            server=plan.server,
            kind=str(plan.kind),
            started_at=started,
            finished_at=datetime.now(UTC),
            result=RunResult.APPLIED if written else RunResult.UNCHANGED,
            read=plan.read,
            changes=dict(counts),
            known=tuple(sorted(known)),
        )


def _keys(plan: Plan, unmapped: tuple[Unmapped, ...]) -> frozenset[str]:
    """Name each conflict and unmappable entry, so that new ones can be told."""
    conflicts = {_key(change) for change in plan.of(Op.CONFLICT)}
    return frozenset(conflicts | {f"{one.id} unmapped {one.field}" for one in unmapped})


def _key(conflict: Change) -> str:
    return f"{conflict.account} {sorted(conflict.after.items())}"


def _without_known_conflicts(plan: Plan, new: frozenset[str]) -> Plan:
    """Leave out conflicts that an earlier run has audited already."""
    changes = (c for c in plan.changes if c.op is not Op.CONFLICT or _key(c) in new)
    return replace(plan, changes=tuple(changes))


def _notes(read: Read) -> Iterator[tuple[str, str]]:
    for one in read.mapped:
        for note in one.notes:
            yield (one.values.dn, note)
