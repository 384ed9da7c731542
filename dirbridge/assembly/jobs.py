"""The sync jobs of all domains, and what tells that their settings changed."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

from dirbridge import __version__
from dirbridge.assembly.directories import Directories, nt_domain_of
from dirbridge.config.settings import DirectorySettings, Settings
from dirbridge.explain.directory import Directory
from dirbridge.model.names import DomainName
from dirbridge.store.base import Store
from dirbridge.sync.job import SyncJob
from dirbridge.sync.limits import Limits


@dataclass(frozen=True)
class Jobs:
    """Makes sync jobs.

    Attributes:
        settings: The settings of `dirbridge.toml`.
        directories: What the jobs read.
    """

    settings: Settings
    directories: Directories

    def of(self, domains: Iterable[DomainName], store: Store) -> tuple[SyncJob, ...]:
        """Return the jobs of some domains."""
        return tuple(
            self._job(name, directory, settings, store)
            for name in domains
            for directory, settings in zip(
                self.directories.by_domain[name],
                self.settings.domains[name].directory,
                strict=True,
            )
        )

    def _job(
        self,
        name: DomainName,
        directory: Directory,
        settings: DirectorySettings,
        store: Store,
    ) -> SyncJob:
        return SyncJob(
            policy=directory.policy,
            limits=self.limits(name),
            connector=directory.connector,
            mapping=directory.mapping,
            store=store,
            scope=self._scope(settings),
            rules=self._rules(name, settings),
            full_every=self.settings.domains[name].sync.full_every,
        )

    def limits(self, name: DomainName) -> Limits:
        """Return what one run of a domain may take away."""
        return Limits(**self.settings.domains[name].limits.model_dump())

    def _scope(self, settings: DirectorySettings) -> str:
        """Fingerprint what decides which entries are read; see `SyncJob.scope`."""
        profile = self.directories.profiles[settings.profile]
        return _fingerprint(f"{settings.filter} {profile.fingerprint}")

    def _rules(self, name: DomainName, settings: DirectorySettings) -> str:
        """Fingerprint what decides what becomes of an entry; see `SyncJob.rules`."""
        domain = self.settings.domains[name]
        parts = (
            __version__,
            self.directories.profiles[settings.profile].fingerprint,
            settings.directory_domain,
            settings.require_group,
            settings.take,
            nt_domain_of(name, domain),
            domain.user_limit,
            domain.quarantine_days,
            domain.sync.keep_old_address,
            sorted(domain.protected),
            sorted(self.directories.served),
            # The union stays the same where an alias goes from one domain to another.
            sorted((name, *domain.aliases)),
        )
        return _fingerprint(repr(parts))


def _fingerprint(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=12).hexdigest()
