"""Run one sync: directory, mapping, plan, limits, store.

Theory. Reading only what changed is nothing but faster: whatever a delta cannot tell,
a full read does, within the same run. That one is cheap as well, since entries whose
octets are those of the last time are not mapped again. Everything is read where

- nothing was read before, the cursor does not hold, or `full_every` is over;
- base, filter, mapping or anything else that decides what becomes of an entry is not
  what it was (then no digest is believed either);
- the last full read was stopped, or failed: who it would take away is still there;
- an admin changed accounts, or somebody waits for a name, an address or a place and
  another run may have freed it;
- the delta brings a new conflict, or touches what somebody waits for (`told`);
- a group is missing, or nobody seems to be left;
- a group decides who gets a mailbox, and the delta says anything that takes all its
  members to judge (`access`).
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from dirbridge.connectors.base import Connector
from dirbridge.errors import DirbridgeError, DirectoryError, StoreError, UnsafePlan
from dirbridge.model.entry import Entry, ReadKind
from dirbridge.model.mapping import MappingResult, Unmapped
from dirbridge.model.plan import Op, Plan
from dirbridge.model.sentences import problems_of
from dirbridge.store.base import Run, RunResult, Store, Turn
from dirbridge.sync import approvals, bookmark, told
from dirbridge.sync import limits as limit_rules
from dirbridge.sync.access import may_regroup
from dirbridge.sync.bookmark import Bookmark
from dirbridge.sync.by_hand import ADMIN
from dirbridge.sync.limits import Limits
from dirbridge.sync.planner import make_plan
from dirbridge.sync.policy import Policy
from dirbridge.sync.reading import Progress, Reader, Told

__all__ = ["Progress", "Report", "SyncJob"]

TRIES = 3
"""Plans that are made of one read, where other runs come in between."""


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
class _Order:
    """What was asked for; see `SyncJob.run`."""

    turn: Turn | None
    full: bool
    approved: str | None
    only: Callable[[Plan], Plan] | None
    progress: Progress


@dataclass(frozen=True, slots=True)
class _Start:
    """What a run finds when it begins.

    Attributes:
        at: When that is (UTC).
        version: The store's version then.
        before: What the last run left, None where there was none.
        known: Keys of what earlier runs told.
        delta: Whether only changes need be read.
        knows: Whether digests hold that the store remembers.
    """

    at: datetime
    version: int
    before: Bookmark | None
    known: told.Keys
    delta: bool
    knows: bool


@dataclass(frozen=True, slots=True)
class SyncJob:
    """The sync of one directory into one domain.

    Attributes:
        policy: The domain's rules.
        limits: What one run may take away.
        connector: Where entries come from.
        mapping: Turns an entry of any kind into values, or says why not.
        store: Where accounts go.
        scope: Fingerprint of what decides which entries are read; see
            `Plan.scope_changed`.
        rules: Fingerprint of what decides what becomes of an entry, the release
            among it: with another one, all entries are mapped again.
        full_every: How long deltas may follow one another without a full read.
        clock: Says what time it is (UTC).
    """

    policy: Policy
    limits: Limits
    connector: Connector
    mapping: Callable[[Entry], MappingResult]
    store: Store
    scope: str = ""
    rules: str = ""
    full_every: timedelta = timedelta(hours=24)
    clock: Callable[[], datetime] = field(default=lambda: datetime.now(UTC))

    def run(
        self,
        *,
        dry_run: bool = False,
        full: bool = False,
        approved: str | None = None,
        only: Callable[[Plan], Plan] | None = None,
        progress: Progress = lambda _phase, _done, _total: None,
    ) -> Report:
        """Read, plan, check the limits, and apply unless it is a dry run.

        Args:
            dry_run: Do everything but write.
            full: Read everything, not only what changed.
            approved: An approval that a person gave for a stopped run.
            only: Leaves out changes that shall not be applied; everything is read.
            progress: Told how far the run is.

        Returns:
            What was done; a plan above the limits is told as `stopped`.

        Raises:
            DirectoryError: The directory could not be read to its end; nothing
                was written but that the run failed.
            StoreError: Nothing was written; `turn-taken` where another run of the
                domain is going on.
        """
        everything = full or only is not None
        if dry_run:
            return self._run(_Order(None, everything, approved, only, progress))
        with self.store.turn(self.policy.domain) as turn:
            return self._run(_Order(turn, everything, approved, only, progress))

    def _run(self, order: _Order) -> Report:
        start = self._start(order)
        try:
            return self._read_and_apply(order, start)
        except DirectoryError as error:
            if order.turn is not None:
                self._remember_failure(error, start)
            raise

    def _read_and_apply(self, order: _Order, start: _Start) -> Report:
        reader = self._reader(start, order.progress)
        read = self._read(reader, start)
        for left in reversed(range(TRIES)):
            plan = self._plan(read, start, order)
            if self._is_doubtful(plan, read, start):
                read = reader.everything(read.read.finished.cursor, knows=start.knows)
                plan = self._plan(read, start, order)
            try:
                return self._finish(plan, read, start, order)
            except StoreError as error:
                if error.code != "outrun" or not left:
                    raise
        raise AssertionError("the last try either ends or raises")

    def _start(self, order: _Order) -> _Start:
        with self.store.view() as view:
            kept = view.cursor(self.policy.domain, self.policy.source)
            version = view.version
        before = bookmark.opened(kept)
        last = self._last_run()
        known = frozenset(last.known if last is not None else ())
        now = self.clock()
        if before is None:
            return _Start(now, version, None, known, delta=False, knows=False)
        knows = (before.scope, before.rules) == (self.scope, self.rules)
        delta = (
            knows
            and not order.full
            and before.cursor is not None
            and before.full_at is not None
            and before.full_at <= now < before.full_at + self.full_every
            and not _is_owed(last)
            and not self._is_moved(before, version, last, known)
        )
        return _Start(now, version, before, known, delta=delta, knows=knows)

    def _last_run(self) -> Run | None:
        """Return the last run that read this directory; an admin's read none."""
        policy = self.policy
        runs = self.store.last_runs(policy.domain, 1, policy.source, but=ADMIN)
        return next(iter(runs), None)

    def _is_moved(
        self, before: Bookmark, version: int, last: Run | None, known: told.Keys
    ) -> bool:
        """Whether others changed accounts in a way that a delta would miss."""
        applied = last is not None and last.result is RunResult.APPLIED
        own = last.number if last is not None and applied else before.version
        if version == own and before.began == before.version:
            return False
        domain, began = self.policy.domain, before.began
        by_hand = self.store.last_runs(domain, 1, server=ADMIN, after=began)
        return bool(by_hand) or told.has_conflicts(known)

    def _reader(self, start: _Start, progress: Progress) -> Reader:
        return Reader(
            connector=self.connector,
            domain=self.policy.domain,
            mapping=self.mapping,
            source=self.policy.source,
            views=self.store.view,
            waiting=told.owners(start.known),
            progress=progress,
        )

    def _read(self, reader: Reader, start: _Start) -> Told:
        # Who is missing on a server that is behind the last one has not vanished.
        after = None if start.before is None else start.before.cursor
        if start.delta and after is not None:
            return reader.changes(after)
        return reader.everything(after, knows=start.knows)

    def _plan(self, read: Told, start: _Start, order: _Order) -> Plan:
        order.progress("plan", read.read.count, read.read.count)
        with self.store.view() as view:
            plan = make_plan(self.policy, view, read.read, start.at)
            version = view.version
        before, finished = start.before, read.read.finished
        here = Bookmark(
            scope=self.scope,
            base=finished.base,
            rules=self.rules,
            cursor=finished.cursor,
            full_at=self._full_at(plan, start),
            version=version,
            began=version if plan.kind is ReadKind.FULL else start.version,
        )
        return replace(
            plan,
            cursor=here.kept(),
            based_on=version,
            scope_changed=before is not None
            and (before.scope, before.base) != (here.scope, here.base),
        )

    def _full_at(self, plan: Plan, start: _Start) -> datetime | None:
        if plan.kind is ReadKind.FULL:
            return start.at
        return None if start.before is None else start.before.full_at

    def _is_doubtful(self, plan: Plan, read: Told, start: _Start) -> bool:
        """Whether a delta may decide otherwise than a full read would."""
        if plan.kind is ReadKind.FULL:
            return False
        if read.whole or told.is_moot(plan, start.known, read.ids):
            return True
        if self.policy.require_group is None:
            return False
        return bool(plan.unmapped) or any(map(may_regroup, plan.changes))

    def _finish(self, plan: Plan, read: Told, start: _Start, order: _Order) -> Report:
        known = told.keys(plan, plan.unmapped)
        if plan.kind is ReadKind.DELTA:
            known |= told.carried(start.known, read.ids)
        new = known - start.known
        chosen = plan if order.only is None else _chosen(order.only(plan), start)
        allowed, stopped = approvals.allowed(
            self.store, chosen, self.limits, order.approved, self.clock()
        )
        run = None
        if order.turn is not None and stopped is not None:
            self._remember_stop(allowed, stopped, start)
        elif order.turn is not None:
            count = len(plan.changes)
            order.progress("apply", 0, count)
            fresh = told.only_new(allowed, new)
            run = order.turn.apply(fresh, self._record(allowed, start, known))
            order.progress("apply", count, count)
        return Report(allowed, plan.unmapped, read.notes, run, stopped, new)

    def _remember_stop(self, plan: Plan, stopped: UnsafePlan, start: _Start) -> None:
        offer = limit_rules.offer(plan, self.clock(), stopped.approval)
        why = _sentence(stopped)
        run = self._run_row(plan.server, plan.kind, start, RunResult.STOPPED, why=why)
        counts = {str(op): count for op, count in plan.counts().items()}
        self.store.remember(replace(run, read=plan.read, changes=counts), offer)

    def _remember_failure(self, error: DirectoryError, start: _Start) -> None:
        kind = ReadKind.DELTA if start.delta else ReadKind.FULL
        why = _sentence(error)
        run = self._run_row(error.server, kind, start, RunResult.FAILED, why=why)
        with suppress(StoreError):  # the directory's failure is the one to be told
            self.store.remember(run)

    def _record(self, plan: Plan, start: _Start, known: told.Keys) -> Run:
        counts = plan.counts()
        changed = any(count and op is not Op.CONFLICT for op, count in counts.items())
        result = RunResult.APPLIED if changed else RunResult.UNCHANGED
        run = self._run_row(plan.server, plan.kind, start, result)
        return replace(
            run,
            read=plan.read,
            changes={str(op): count for op, count in counts.items()},
            known=tuple(sorted(known)),
        )

    def _run_row(
        self,
        server: str,
        kind: ReadKind,
        start: _Start,
        result: RunResult,
        why: str = "",
    ) -> Run:
        """Return what to remember of the run; it knows what was known before."""
        return Run(
            number=0,
            domain=self.policy.domain,
            source=self.policy.source,
            server=server,
            kind=str(kind),
            started_at=start.at,
            finished_at=self.clock(),
            result=result,
            known=tuple(sorted(start.known)),
            why=why,
        )


def _chosen(plan: Plan, start: _Start) -> Plan:
    """Have everything read by the next run where something was left out.

    The store then agrees with no moment of the directory, and a delta would take what
    is stored already for what it has always been.
    """
    if plan.cursor is not None or start.before is None:
        return plan
    return replace(plan, cursor=replace(start.before, full_at=None).kept())


def _is_owed(last: Run | None) -> bool:
    """Whether a full read has stopped or failed, so that a delta would hide why."""
    done = (RunResult.APPLIED, RunResult.UNCHANGED)
    return last is not None and last.kind == ReadKind.FULL and last.result not in done


def _sentence(error: DirbridgeError) -> str:
    """Say in one sentence why nothing was applied."""
    return problems_of(error)[0].text
