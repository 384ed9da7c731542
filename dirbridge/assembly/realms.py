"""Kerberos as this process uses it: krb5.conf, relays before KDCs, keytabs."""

from __future__ import annotations

import atexit
import os
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from dirbridge.authenticators.kdc_relay import KdcRelay
from dirbridge.authenticators.sent_proofs import SentProofs
from dirbridge.config import krb5_conf
from dirbridge.config.krb5_conf import Realm
from dirbridge.config.loading import Configuration
from dirbridge.config.secrets import secret_path
from dirbridge.config.settings import DirectorySettings
from dirbridge.ldap.discovery import discovered_kdcs
from dirbridge.ldap.failover import Failover
from dirbridge.model.names import DomainName, RealmName


@dataclass(frozen=True)
class Realms:
    """The Kerberos realms that the domains use.

    Attributes:
        configuration: The loaded configuration.
    """

    configuration: Configuration

    @cached_property
    def in_use(self) -> tuple[Realm, ...]:
        """The realms of all domains."""
        return krb5_conf.realms_in_use(self.configuration)

    def of(self, name: DomainName, directory: DirectorySettings) -> Realm | None:
        """Return the realm of one of a domain's directories, None where it has none."""
        domain = self.configuration.settings.domains[name]
        wanted = krb5_conf.realm_of_directory(name, domain, directory)
        return next((realm for realm in self.in_use if realm.name == wanted), None)

    @cached_property
    def krb5_conf(self) -> Path | None:
        """The private krb5.conf, written and named in KRB5_CONFIG; None without realms.

        It must be there before libkrb5 is used, for logins or by a service account.
        It names relays of this process, so each process has a file of its own.
        """
        if not self.in_use:
            return None
        text = krb5_conf.render(
            relayed(realm, self.kdcs_by_dns.get(realm.name), self.proofs[realm.name])
            for realm in self.in_use
        )
        run_dir = self.configuration.settings.serve.run_dir
        path = krb5_conf.install(text, run_dir, f"krb5-{os.getpid()}.conf")
        atexit.register(path.unlink, missing_ok=True)
        return path

    @cached_property
    def proofs(self) -> dict[RealmName, SentProofs]:
        """What the relays know of each realm's proofs of passwords."""
        return {realm.name: SentProofs() for realm in self.in_use}

    @cached_property
    def kdcs_by_dns(self) -> dict[RealmName, Failover]:
        """The KDCs of each realm for which the configuration names none."""
        return {
            realm.name: Failover(realm.name, discovered_kdcs(realm.name))
            for realm in self.in_use
            if not realm.kdcs
        }


def relayed(
    realm: Realm, by_dns: Failover | None = None, proofs: SentProofs | None = None
) -> Realm:
    """Put a relay before the realm's KDCs; it lives as long as this process.

    libkrb5 by itself waits too long for a KDC that is frozen, and would ask any host
    that DNS names.
    """
    relay = KdcRelay(realm.name, realm.kdcs, failover=by_dns, proofs=proofs)
    return replace(realm, kdcs=(relay.start(),))


def keytab_of(realm: Realm) -> Path | None:
    """Return the file with a realm's keys, None where none is configured.

    Raises:
        ConfigError: It cannot be named; see `config.secrets.secret_path`.
    """
    if realm.keytab is None:
        return None
    return secret_path(realm.keytab, f"realms: {realm.name}: keytab")
