"""What `serve` does beside logins: runs at intervals, and forgetting."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from dirbridge.config.settings import Settings
from dirbridge.scheduler.housekeeping import Housekeeping, Retention
from dirbridge.scheduler.service import Scheduled
from dirbridge.store.base import Store
from dirbridge.sync.job import SyncJob


@dataclass(frozen=True, slots=True)
class Upkeep:
    """Makes what runs by itself.

    Attributes:
        settings: The settings of `dirbridge.toml`.
    """

    settings: Settings

    def schedule(self, jobs: Iterable[SyncJob]) -> tuple[Scheduled, ...]:
        """Return jobs with their intervals."""
        return tuple(
            Scheduled(job, sync.interval, push=sync.push)
            for job in jobs
            for sync in (self.settings.domains[job.policy.domain].sync,)
        )

    def housekeeping(self, store: Store) -> Housekeeping:
        """Return what forgets what is old."""
        kept = self.settings.retention
        return Housekeeping(store, Retention(kept.attempts, kept.changes))
