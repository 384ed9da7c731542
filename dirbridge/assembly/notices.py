"""Who is told what needs a person."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from dirbridge.config.secrets import Secrets
from dirbridge.config.settings import Settings
from dirbridge.model.names import DomainName
from dirbridge.model.secret import Secret
from dirbridge.notices.base import Channel
from dirbridge.notices.board import Noticeboard
from dirbridge.notices.mail import Mail
from dirbridge.notices.webhook import Webhook
from dirbridge.store.base import Store

_SMTP = 25
"""SMTP's port."""


@dataclass(frozen=True)
class Notices:
    """Makes what tells people.

    Attributes:
        settings: The settings of `dirbridge.toml`.
        secrets: Reads the webhook's token.
    """

    settings: Settings
    secrets: Secrets

    def noticeboard(self, store: Store) -> Noticeboard:
        """Return what keeps notices and tells people."""
        failures = self.settings.notices.failures
        served = self._sources()
        return Noticeboard(store, self.channels, failures=failures, served=served)

    def _sources(self) -> set[tuple[DomainName, str]]:
        domains = self.settings.domains.items()
        return {(name, one.name) for name, each in domains for one in each.directory}

    @cached_property
    def channels(self) -> tuple[Channel, ...]:
        """The ways to people that the configuration names."""
        settings = self.settings.notices
        found: list[Channel] = []
        if settings.webhook is not None:
            token = self._webhook_token
            found.append(Webhook(settings.webhook, token, settings.ca_file))
        if settings.mail_to:
            sender = settings.mail_from or f"dirbridge@{self.settings.primary}"
            host, port = settings.smtp.host, settings.smtp.port or _SMTP
            mail = Mail(host, port, sender, settings.mail_to, settings.ca_file)
            found.append(mail)
        return tuple(found)

    def _webhook_token(self) -> Secret:
        reference = self.settings.notices.webhook_token
        if reference is None:
            return Secret("")
        return self.secrets.get(reference, "notices: webhook_token")
