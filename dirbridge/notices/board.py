"""The notices of this bridge: kept in the store, told by a thread until they arrive.

Theory. Notices are kept in the store, so that a fleet, and a sync from cron, tells each
of them once: who tells takes the turn of a domain that nobody has. A notice is told
when one channel has taken it. A channel that has not is tried again by this process
only, as one that is broken for good must not let the other one tell everything twice.
That the store itself is away is kept here alone, and told by each bridge.
"""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from dirbridge.errors import StoreError
from dirbridge.model.names import DomainName
from dirbridge.model.sentences import problems_of
from dirbridge.notices.base import Channel, Message
from dirbridge.notices.rules import Code, Ended, judge, whose
from dirbridge.store.base import Notice, RunResult, Store

LOG = logging.getLogger("dirbridge.notices")

FAILURES = 3
"""Runs that fail in a row before people are told."""

LOOK_SECONDS = 60.0
"""Seconds after which another bridge's notices are looked for."""

LONGEST_PAUSE = 900.0
"""Seconds to which that grows while nobody takes them."""

_TURN = DomainName("notices.invalid")
"""No mail domain can have this name (RFC 2606)."""


_STORE = "store-away"
"""Key of the notice that is kept nowhere else."""


def _now() -> datetime:
    return datetime.now(UTC)


class Noticeboard:
    """Keep notices and tell people; a context manager for its thread."""

    def __init__(
        self,
        store: Store,
        channels: Sequence[Channel] = (),
        *,
        failures: int = FAILURES,
        clock: Callable[[], datetime] = _now,
        look: float = LOOK_SECONDS,
        served: Collection[tuple[str, str]] | None = None,
    ) -> None:
        """Prepare; nothing is sent before the block, or `deliver`.

        Args:
            store: Where notices are kept.
            channels: The ways to people; without one notices are only kept.
            failures: How many runs in a row must fail before people are told.
            clock: Gives the present (UTC).
            look: Seconds between two looks into the store.
            served: Domains with their directories; what is about others, which were
                taken out of the configuration, is forgotten. None for no such rule.
        """
        self._store = store
        self._channels = tuple(channels)
        self._failures = failures
        self._clock = clock
        self._look = look
        self._served = served
        self._owed: dict[str, tuple[Notice, frozenset[str]]] = {}
        self._away = 0
        self._local: Notice | None = None
        self._failed: dict[tuple[str, str], tuple[int, int]] = {}
        self._one_at_a_time = threading.Lock()
        self._woken = threading.Event()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="notices", daemon=True)

    def __enter__(self) -> Noticeboard:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._woken.set()
        # A delivery that hangs is told again by the next one.
        self._thread.join(1)

    def ended(self, ended: Ended) -> None:
        """Keep what a run's end means to people; sends nothing by itself.

        A store that cannot be written is logged: the next run tells it again.
        """
        try:
            held = {one.key: one for one in self._store.notices()}
            count = self._failed_in_a_row(ended)
            outcome = judge(ended, count, self._failures, held, self._clock())
            for key in (*outcome.forget, *self._foreign(held)):
                self._store.forget_notice(key)
            for notice in outcome.keep:
                self._store.notice(notice)
        except StoreError as error:
            _warn(error)
            self._store_failed(error)
            return
        self._store_answered()
        if outcome.keep:
            self._woken.set()

    def deliver(self) -> bool:
        """Tell people what they have not been told; waits for the other sides.

        Returns:
            Whether all is told, by us or by another process that is about it.
        """
        if not self._channels:
            return True
        try:
            with self._one_at_a_time:
                told = self._tell_of_store()
                with self._store.turn(_TURN):
                    return self._tell_all() and told
        except StoreError as error:
            if error.code == "turn-taken":
                return True
            _warn(error)
            return False

    def deliver_within(self, seconds: float) -> None:
        """Tell people as `deliver` does, and give up waiting after some seconds."""
        thread = threading.Thread(target=self._shielded, name="notices", daemon=True)
        thread.start()
        thread.join(seconds)

    def _foreign(self, held: Iterable[str]) -> list[str]:
        served = self._served
        return [key for key in held if served is not None and whose(key) not in served]

    def _failed_in_a_row(self, ended: Ended) -> int:
        """Count what the store remembers, and what it does not, in this process.

        What another bridge has done well since our last failure ends our row as well.
        """
        who = (ended.domain, ended.source)
        count, seen = self._failed.pop(who, (0, 0))
        if ended.result is not RunResult.FAILED:
            return 0
        runs = self._store.last_runs(ended.domain, self._failures, source=ended.source)
        well = [run.number for run in runs if run.result is not RunResult.FAILED]
        if any(number > seen for number in well):
            count = 0
        newest = max((run.number for run in runs), default=seen)
        self._failed[who] = (count + 1, newest)
        failed = [run.result is RunResult.FAILED for run in runs]
        remembered = failed.index(False) if False in failed else len(failed)
        return max(remembered, count + 1)

    def _store_failed(self, error: StoreError) -> None:
        """Let people know that the store is away, where it stays so."""
        self._away += 1
        if self._away < self._failures or self._local is not None:
            return
        (problem,) = problems_of(error)
        text, now = problem.text, self._clock()
        self._local = Notice(_STORE, "", Code.STORE, text, problem.next, since=now)
        self._woken.set()

    def _store_answered(self) -> None:
        self._away, local = 0, self._local
        if local is None or local.over_at is not None:
            return
        over = replace(local, over_at=self._clock())
        self._local = None if local.told_at is None else over
        self._woken.set()

    def _tell_of_store(self) -> bool:
        """Tell that the store is away, or is back; whether that is told."""
        local = self._local
        if local is None or (local.told_at is not None and local.over_at is None):
            return True
        everybody = frozenset(one.name for one in self._channels)
        if self._send(local, everybody) == everybody:
            return False
        if self._local is local:
            told = replace(local, told_at=self._clock())
            self._local = None if local.over_at is not None else told
        return True

    def _loop(self) -> None:
        pause = self._look
        while not self._stop.is_set():
            self._woken.clear()
            pause = self._look if self._shielded() else min(2 * pause, LONGEST_PAUSE)
            self._woken.wait(pause)

    def _shielded(self) -> bool:
        """Deliver; a bug, logged without its text, must not silence all that follows.

        This loop counts as part of the scheduler's run loop, where bare `Exception`
        is caught: `serve` runs it beside the syncs, and nobody else hears of a bug.
        """
        try:
            return self.deliver()
        except Exception as error:
            LOG.error(  # noqa: TRY400 - a traceback could show values
                "notices failed in themselves: %s; they are tried again, please "
                "report this line as a bug",
                type(error).__name__,
            )
            return False

    def _tell_all(self) -> bool:
        """Tell what nobody was told, then what some channel has not taken."""
        fresh = [one for one in self._store.notices() if not one.told_at or one.over_at]
        everybody = frozenset(one.name for one in self._channels)
        untaken = 0
        for notice in fresh:
            left = self._send(notice, everybody)
            if left == everybody:
                untaken += 1
                continue
            self._note(notice)
            self._owe(notice, left)
        untold = {one.key for one in fresh}
        for notice, names in tuple(self._owed.values()):
            if notice.key not in untold:
                self._owe(notice, self._send(notice, names))
        return not self._owed and not untaken

    def _send(self, notice: Notice, names: frozenset[str]) -> frozenset[str]:
        """Send a notice by the named channels; gives those that have not taken it."""
        message = Message(notice, socket.gethostname())
        return frozenset(
            one.name
            for one in self._channels
            if one.name in names and not _taken(one, message)
        )

    def _owe(self, notice: Notice, names: frozenset[str]) -> None:
        self._owed.pop(notice.key, None)
        if names:
            self._owed[notice.key] = (notice, names)

    def _note(self, notice: Notice) -> None:
        """Note that people were told; a run may have changed the notice meanwhile."""
        held = {one.key: one for one in self._store.notices()}.get(notice.key)
        if notice.over_at is None:
            gone = replace(notice, over_at=self._clock())
            self._store.notice(replace(held or gone, told_at=self._clock()))
        elif held is not None and held.over_at is not None:
            self._store.forget_notice(notice.key)


def _taken(channel: Channel, message: Message) -> bool:
    why = channel.send(message)
    if why:
        LOG.warning(
            "notice %s not taken by the %s: %s; it is tried again, `dirbridge check` "
            "says whether the other side can be reached",
            message.notice.code,
            channel.name,
            why,
        )
    return not why


def _warn(error: StoreError) -> None:
    for one in problems_of(error):
        LOG.warning("notices: %s %s", one.text, one.next)
