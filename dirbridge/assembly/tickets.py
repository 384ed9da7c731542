"""Logins by Kerberos ticket: whose are taken, and by which mechanisms."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from dirbridge.assembly.realms import Realms, keytab_of
from dirbridge.authenticators.acceptor import Acceptor, tickets_finding
from dirbridge.authenticators.live import Look
from dirbridge.config.settings import DirectoryType, Settings
from dirbridge.login.choices import Choices
from dirbridge.login.domains import Resolver
from dirbridge.login.service import Refresh
from dirbridge.login.tickets import Place, TicketJudge, Tickets, no_tickets
from dirbridge.model.finding import Finding
from dirbridge.model.names import RealmName
from dirbridge.protocols import sasl


@dataclass(frozen=True)
class SingleSignOn:
    """What takes tickets, where the configuration wants it.

    Attributes:
        settings: The settings of `dirbridge.toml`.
        realms: The realms that tickets come from, with the keys to read them.
    """

    settings: Settings
    realms: Realms

    @cached_property
    def mechanisms(self) -> sasl.Mechanisms:
        """The SASL mechanisms that hooks offer, those of tickets where they are set up.

        KRB5_CONFIG is set first; see `Realms.krb5_conf`.
        """
        _ = self.realms.krb5_conf
        keytabs = {
            realm.name: path
            for realm in self.realms.in_use
            if self._places.get(realm.name) and (path := keytab_of(realm))
        }
        return {**sasl.MECHANISMS, **Acceptor(keytabs).mechanisms}

    def judge(
        self, resolver: Resolver, choices: Choices, refresh: Refresh, look: Look
    ) -> Tickets:
        """Return what answers whose ticket it is, and whether they may log in."""
        if not self._places:
            return no_tickets
        plain = [
            (name, settings.name)
            for name, domain in self.settings.domains.items()
            for settings in domain.directory
            if settings.type is DirectoryType.LDAP
        ]
        return TicketJudge(
            self._places,
            resolver,
            look,
            choices.by_directory,
            refresh,
            stale_locks=plain,
        )

    @cached_property
    def _places(self) -> dict[RealmName, tuple[Place, ...]]:
        """The directories whose people come by ticket, by their realm."""
        found: dict[RealmName, tuple[Place, ...]] = {}
        for name, domain in self.settings.domains.items():
            for settings in domain.directory if domain.login.sso else ():
                realm = self.realms.of(name, settings)
                if realm is not None:
                    own = found.get(realm.name, ())
                    found[realm.name] = (*own, (name, settings.name))
        return found

    def check(self) -> list[Finding]:
        """Tell whose tickets are taken.

        Raises:
            ConfigError: A keytab cannot be named.
        """
        found: list[Finding] = []
        for name, domain in self.settings.domains.items():
            for settings in domain.directory if domain.login.sso else ():
                realm = self.realms.of(name, settings)
                keytab = None if realm is None else keytab_of(realm)
                known = None if realm is None else realm.name
                found.append(tickets_finding(name, known, keytab, settings.type))
        return found
