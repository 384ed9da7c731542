"""`dirbridge check`: try everything that the configuration names."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from dirbridge.assembly.database import Database
from dirbridge.assembly.directories import Directories
from dirbridge.assembly.methods import Methods
from dirbridge.assembly.notices import Notices
from dirbridge.assembly.realms import Realms
from dirbridge.assembly.tickets import SingleSignOn
from dirbridge.config.inspection import inspect
from dirbridge.config.loading import Configuration
from dirbridge.config.login_rules import idle_keys
from dirbridge.connectors.examination import empty_findings, foreign_findings
from dirbridge.errors import ConfigError, Problem, StoreError
from dirbridge.model.finding import Finding, Outcome
from dirbridge.model.names import DomainName
from dirbridge.model.sentences import problems_of
from dirbridge.sync.protection import idle_names


@dataclass(frozen=True, slots=True)
class Checks:
    """Tries the parts of one configuration.

    Attributes:
        configuration: The loaded configuration.
        database: The local user database.
        realms: Where KDCs are found by DNS.
        directories: The directories, each with its servers.
        methods: The login methods, those that accounts chose included.
        tickets: Whose tickets are taken.
        notices: The ways to people.
    """

    configuration: Configuration
    database: Database
    realms: Realms
    directories: Directories
    methods: Methods
    tickets: SingleSignOn
    notices: Notices

    def findings(self) -> list[Finding]:
        """Try everything: files, each directory's servers, each login method.

        Root becomes the store's owner first, so that it meets what the bridge meets.
        """
        self.database.become_owner()
        return list(dict.fromkeys(self._all()))

    def _all(self) -> Iterator[Finding]:
        yield from map(_finding, inspect(self.configuration))
        for name in self.configuration.settings.domains:
            for directory in self.directories.by_domain[name]:
                yield from _tried(directory.connector.check)
            for one in self.directories.of(name):
                yield from empty_findings(name, one.connector.failover)
                yield from foreign_findings(one.connector.failover)
        for check in (
            self._check_methods,
            self.tickets.check,
            self._check_switched,
            self._check_protected,
            self._check_idle_keys,
        ):
            yield from _tried(check)
        for channel in self.notices.channels:
            yield channel.check()
        for kdcs in self.realms.kdcs_by_dns.values():
            yield from foreign_findings(kdcs)

    def _check_methods(self) -> list[Finding]:
        return [
            finding
            for methods in self.methods.by_directory.values()
            for method in methods
            for finding in _tried(method.check)
        ]

    def _check_switched(self) -> list[Finding]:
        """Try the methods that accounts have of their own choice; makes no store."""
        if not self.database.is_there():
            return []
        with self.database.open(as_owner=False) as store:
            switched = store.switched()
        return [
            replace(finding, text=f"{finding.text} Accounts with it: {count}.")
            for (domain, source, method), count in switched.items()
            if domain in self.configuration.settings.domains
            for finding in self.methods.named(domain, source, method).check()
            if finding.code == "method-missing"
        ]

    def _check_idle_keys(self) -> list[Finding]:
        """Look whether a method looks at each key; makes no store."""
        used = defaultdict[DomainName, set[str]](set)
        for (domain, _), methods in self.methods.by_directory.items():
            used[domain].update(one.method for one in methods)
        if self.database.is_there():
            with self.database.open(as_owner=False) as store:
                for domain, _, method in store.switched():
                    used[domain].add(method)
        return list(idle_keys(self.configuration.settings, used))

    def _check_protected(self) -> list[Finding]:
        """Look whether accounts have the names in `protected`; makes no store."""
        domains = self.configuration.settings.domains
        named = {n: d.protected for n, d in domains.items()}
        if not any(named.values()) or not self.database.is_there():
            return []
        with self.database.open(as_owner=False) as store, store.view() as view:
            return [
                finding
                for name, protected in named.items()
                for finding in idle_names(view, name, protected)
            ]


def _tried(check: Callable[[], list[Finding]]) -> list[Finding]:
    """Run a check; a secret or a store that cannot be read is a finding as well."""
    try:
        return check()
    except (ConfigError, StoreError) as error:
        return [_finding(problem) for problem in problems_of(error)]


def _finding(problem: Problem) -> Finding:
    return Finding(
        problem.where,
        "file",
        Outcome.FAILED,
        problem.text,
        problem.next,
        problem.code,
    )
