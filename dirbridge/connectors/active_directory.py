"""Active Directory: base from rootDSE, objectGUID, `<GUID=...>`, computed state."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from dirbridge.config.settings import DirectorySettings, LoginSettings
from dirbridge.connectors import kinds
from dirbridge.connectors.active_directory_changes import (
    ALL_MODES,
    ActiveDirectoryChanges,
    Mode,
)
from dirbridge.connectors.active_directory_checks import compare
from dirbridge.connectors.ldap_directory import (
    LdapDirectory,
    Mismatch,
    Naming,
    Selection,
    Traits,
    same_dn,
)
from dirbridge.connectors.watching import change_notification
from dirbridge.directory import dn
from dirbridge.directory import filter as ldap_filter
from dirbridge.directory.errors import Undecodable
from dirbridge.directory.guid import encode_object_guid
from dirbridge.ldap.client import ANY, Client, RootDse
from dirbridge.ldap.refusals import Refusals
from dirbridge.ldap.session import Query
from dirbridge.model.names import DirectoryId, DomainName, split_address
from dirbridge.model.secret import Secret

STATE_ATTRIBUTES = (
    "sAMAccountName",
    "userPrincipalName",
    "objectSid",
    "userAccountControl",
    "msDS-User-Account-Control-Computed",
    "lockoutTime",
    "msDS-UserPasswordExpiryTimeComputed",
    "accountExpires",
    "pwdLastSet",
    "logonHours",
    "userWorkstations",
    "msExchRecipientTypeDetails",
    "msExchHideFromAddressLists",
)
"""What explains a refused login (facts: ad-semantics 5); computed ones cost the
server, so they are asked for one entry at a time."""


def active_directory(  # noqa: PLR0913 - called once, by name
    domain: DomainName,
    settings: DirectorySettings,
    selection: Selection,
    password: Callable[[], Secret],
    *,
    source: str = "directory",
    login: LoginSettings | None = None,
    refusals: Refusals | None = None,
    modes: Sequence[Mode] = ALL_MODES,
) -> LdapDirectory:
    """Build the connector from a directory's settings.

    Args:
        domain: The mail domain; Active Directory's own name where
            `directory_domain` is left out.
        settings: The directory's table.
        selection: The mapping profile.
        password: Gives the service account's password; asked at each bind.
        source: Name of the directory within its domain.
        login: The domain's login table; `check` compares realm and NT domain.
        refusals: What the process knows of its service accounts.
        modes: The ways in which changes may be learned.
    """
    dns_name = settings.directory_domain or domain
    traits = Traits(
        kind_of=kinds.active_directory,
        naming=partial(_naming, dns_name, settings.base),
        find=_find,
        names=partial(_names, domain, dns_name),
        watch=change_notification,
        contact=ldap_filter.equals("objectClass", "contact"),
        state_attributes=STATE_ATTRIBUTES,
        compare=partial(compare, domain, login or LoginSettings()),
        changes=partial(ActiveDirectoryChanges, modes=modes),
    )
    client = Client.of(domain, settings, password, refusals)
    return LdapDirectory(domain, settings, selection, client, traits, source=source)


def _naming(dns_name: str, base: str | None, root: RootDse) -> Naming | Mismatch:
    expected = dn.from_dns_name(dns_name)
    suffix = root.one("defaultNamingContext")
    if not same_dn(expected, suffix):
        return Mismatch(f"{expected} ({dns_name})", suffix or "no naming context")
    if base and not _within(base, suffix):
        return Mismatch(base, suffix)
    return Naming(suffix, base or suffix)


def _within(base: str, suffix: str) -> bool:
    try:
        return dn.is_below(base, suffix)
    except Undecodable:
        return False


def _find(directory_id: DirectoryId, _naming: Naming) -> Query:
    encode_object_guid(directory_id)  # refuses what is no GUID
    return Query(base=f"<GUID={directory_id}>", filter=ANY, scope="BASE")


def _names(domain: str, dns_name: str, name: str) -> str:
    """Return the filter for a login name, UPN or address."""
    login, suffix = split_address(name) or (name, "")
    addresses = [name] if suffix else [f"{name}@{domain}", f"{name}@{dns_name}"]
    own = not suffix or suffix.lower() in {domain.lower(), dns_name.lower()}
    return ldap_filter.all_of(
        # Groups and contacts have addresses too; they cannot log in.
        ldap_filter.equals("objectClass", "user"),
        ldap_filter.any_of(
            ldap_filter.equals("sAMAccountName", login) if own else None,
            *(ldap_filter.equals("userPrincipalName", a) for a in addresses),
            *(ldap_filter.equals("mail", a) for a in addresses),
            *(ldap_filter.equals("proxyAddresses", f"smtp:{a}") for a in addresses),
        ),
    )
