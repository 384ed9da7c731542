"""What answers logins, and what explains them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from dirbridge.assembly.directories import Directories
from dirbridge.assembly.guards import Guards
from dirbridge.assembly.methods import Methods
from dirbridge.assembly.names import Names
from dirbridge.assembly.tickets import SingleSignOn
from dirbridge.config.settings import Settings
from dirbridge.explain.guarding import Guarding
from dirbridge.explain.service import Explainer
from dirbridge.login.cache_names import KnownNames
from dirbridge.login.repeats import Repeats
from dirbridge.login.service import LoginService, Refresh
from dirbridge.model.login import Attempt
from dirbridge.store.base import Store, StoreReader
from dirbridge.store.pulse import Pulse


@dataclass(frozen=True)
class Logins:
    """Puts the parts of a login together.

    Attributes:
        settings: The settings of `dirbridge.toml`.
        directories: Where people are looked up for an explanation.
        names: Who is meant.
        methods: Whom to ask.
        guards: What stands before the methods.
        tickets: What takes tickets.
    """

    settings: Settings
    directories: Directories
    names: Names
    methods: Methods
    guards: Guards
    tickets: SingleSignOn

    def service(
        self,
        store: Store,
        attempted: Callable[[Attempt], None],
        refresh: Refresh,
        pulse: Pulse | None,
    ) -> LoginService:
        """Return what answers logins; see `App.login_service`."""
        resolver = self.names.resolver(store)
        known = (
            None if pulse is None else KnownNames(resolver, store.credentials, pulse)
        )
        credentials = store.credentials if known is None else known.credentials
        cache = self.guards.positive_cache(credentials)
        instant = self.guards.instant(credentials, cache)
        choices = self.methods.choices(credentials)
        look = self.methods.look
        return LoginService(
            resolver=resolver,
            known=known,
            repeats=Repeats(known, cache) if known and cache.remembers else None,
            stages=(*instant, *self.guards.inner(store, choices)),
            instant=len(instant),
            methods=choices,
            tickets=self.tickets.judge(resolver, choices, refresh, look),
            limit=self.settings.serve.deadline,
            reserves=self.guards.reserves,
            attempted=attempted,
            refresh=refresh,
        )

    def explainer(self, store: StoreReader) -> Explainer:
        """Return what explains logins."""
        guards = self.guards
        return Explainer(
            self.names.resolver(store),
            self.directories.by_domain,
            self.methods.choices(store.credentials),
            guards.app_passwords_from,
            Guarding(guards.budgets, guards.offline_logins),
        )
