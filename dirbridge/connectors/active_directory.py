"""Active Directory: base from rootDSE, objectGUID, `<GUID=...>`, computed state."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial

from dirbridge.config.settings import DirectorySettings, LoginSettings
from dirbridge.connectors.ldap_directory import (
    LdapDirectory,
    Mismatch,
    Naming,
    Selection,
    Traits,
    one_value,
    same_dn,
)
from dirbridge.connectors.watching import change_notification
from dirbridge.directory import dn, generalized_time
from dirbridge.directory import filter as ldap_filter
from dirbridge.directory.errors import Undecodable
from dirbridge.directory.guid import encode_object_guid
from dirbridge.ldap.client import ANY, Client, RootDse
from dirbridge.ldap.refusals import Refusals
from dirbridge.ldap.session import Query, Session
from dirbridge.model.deadline import Deadline
from dirbridge.model.finding import Finding, Outcome
from dirbridge.model.names import DirectoryId, DomainName, split_address
from dirbridge.model.secret import Secret

STATE_ATTRIBUTES = (
    "userAccountControl",
    "msDS-User-Account-Control-Computed",
    "lockoutTime",
    "msDS-UserPasswordExpiryTimeComputed",
    "accountExpires",
    "pwdLastSet",
    "logonHours",
    "userWorkstations",
)
"""What explains a refused login (facts: ad-semantics 5); computed ones cost the
server, so they are asked for one entry at a time."""

CLOCK_WARNING = timedelta(minutes=2)
CLOCK_LIMIT = timedelta(minutes=5)
"""Kerberos refuses above five minutes (facts: ad-semantics 14.7)."""


def active_directory(  # noqa: PLR0913 - called once, by name
    domain: DomainName,
    settings: DirectorySettings,
    selection: Selection,
    password: Callable[[], Secret],
    *,
    source: str = "directory",
    login: LoginSettings | None = None,
    refusals: Refusals | None = None,
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
    """
    dns_name = settings.directory_domain or domain
    group = settings.require_group
    traits = Traits(
        naming=partial(_naming, dns_name, settings.base),
        find=_find,
        names=partial(_names, domain, dns_name),
        watch=change_notification,
        state_attributes=STATE_ATTRIBUTES,
        narrow=_member_of(group) if group else None,
        compare=partial(_compare, login or LoginSettings()),
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


def _member_of(group: str) -> str:
    """Return the filter for members of a group, nested ones included."""
    return ldap_filter.matches("memberOf", ldap_filter.IN_CHAIN, group)


def _compare(
    login: LoginSettings, session: Session, root: RootDse, deadline: Deadline
) -> list[Finding]:
    found_realm = dn.dns_name(root.one("defaultNamingContext")).upper()
    found_nt = _nt_domain(session, root, deadline)
    return [
        clock_finding(root.server, root.one("currentTime"), datetime.now(UTC)),
        _same(
            root.server, "realm", "kerberos_realm", login.kerberos_realm, found_realm
        ),
        _same(root.server, "nt-domain", "nt_domain", login.nt_domain, found_nt),
    ]


def clock_finding(server: str, current_time: str, here: datetime) -> Finding:
    """Compare the server's clock with ours.

    Args:
        server: The server.
        current_time: Its rootDSE's currentTime.
        here: Our time.
    """
    try:
        offset = generalized_time.decode(current_time) - here
    except Undecodable:
        text = "The server does not tell its time."
        mend = "See that both clocks follow the same time server."
        return Finding(server, "clock", Outcome.UNKNOWN, text, mend, "clock")
    seconds = round(offset.total_seconds())
    text = f"The server's clock is {seconds:+d} s from ours."
    if abs(offset) <= CLOCK_WARNING:
        return Finding(server, "clock", Outcome.OK, text)
    outcome = Outcome.FAILED if abs(offset) > CLOCK_LIMIT else Outcome.WARNING
    mend = "Let both machines follow the same time server; Kerberos allows 300 s."
    return Finding(server, "clock", outcome, text, mend, "clock")


def _nt_domain(session: Session, root: RootDse, deadline: Deadline) -> str:
    """Return the NetBIOS name that CN=Partitions has for this domain, or ""."""
    configuration = root.one("configurationNamingContext")
    if not configuration:
        return ""
    query = Query(
        base=dn.child("CN", "Partitions", configuration),
        filter=ldap_filter.all_of(
            ldap_filter.equals("nCName", root.one("defaultNamingContext")),
            ldap_filter.present("nETBIOSName"),
        ),
        attributes=("nETBIOSName",),
    )
    entries = session.search(query, deadline).entries
    return one_value(entries[0].attributes, "nETBIOSName") if entries else ""


def _same(server: str, what: str, key: str, ours: str | None, theirs: str) -> Finding:
    if not theirs:
        text = f"The server does not tell its {what}."
        mend = "Let the service account read CN=Partitions of the configuration."
        return Finding(server, what, Outcome.UNKNOWN, text, mend, what)
    if ours is None or ours.upper() == theirs.upper():
        return Finding(server, what, Outcome.OK, f"The {what} is {theirs}.")
    text = f"The settings say {ours}, the directory says {theirs}."
    mend = f'Write {key} = "{theirs}".'
    return Finding(server, what, Outcome.FAILED, text, mend, f"{what}-mismatch")
