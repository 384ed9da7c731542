"""Open Directory and plain LDAP servers: suffix from the server's name, or theirs."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from ipaddress import ip_address

from dirbridge.config.settings import DirectorySettings, DirectoryType, LoginSettings
from dirbridge.connectors.ldap_directory import (
    LdapDirectory,
    Mismatch,
    Naming,
    Selection,
    Traits,
    one_value,
    same_dn,
)
from dirbridge.directory import dn
from dirbridge.directory import filter as ldap_filter
from dirbridge.directory.errors import Undecodable
from dirbridge.directory.guid import encode_id
from dirbridge.errors import Unsupported
from dirbridge.ldap.client import Client, RootDse
from dirbridge.ldap.refusals import Refusals
from dirbridge.ldap.session import Query, Session
from dirbridge.model.deadline import Deadline
from dirbridge.model.finding import Finding, Outcome
from dirbridge.model.names import DirectoryId, DomainName, split_address
from dirbridge.model.secret import Secret

STATE_ATTRIBUTES = (
    "authAuthority",
    "apple-user-passwordpolicy",
    "altSecurityIdentities",
)


def open_directory(  # noqa: PLR0913 - called once, by name
    domain: DomainName,
    settings: DirectorySettings,
    selection: Selection,
    password: Callable[[], Secret],
    *,
    source: str = "directory",
    login: LoginSettings | None = None,
    refusals: Refusals | None = None,
) -> LdapDirectory:
    """Build the connector for both kinds of Open Directory and for plain LDAP.

    Args:
        domain: The mail domain.
        settings: The directory's table; its type decides base and comparisons.
        selection: The mapping profile.
        password: Gives the service account's password; asked at each bind.
        source: Name of the directory within its domain.
        login: The domain's login table; `check` compares the realm.
        refusals: What the process knows of its service accounts.

    Raises:
        Unsupported: A group is required; taking everybody would be wrong.
    """
    if settings.require_group:
        raise Unsupported(
            domain=domain,
            server=str(settings.server),
            operation="read",
            code="require-group",
        )
    realm = login.kerberos_realm if login else None
    apple = settings.type is not DirectoryType.LDAP
    traits = Traits(
        naming=partial(_naming, _expected(settings, apple=apple), settings.base, apple),
        find=partial(_find, selection.id),
        names=_names,
        id_fallback="entryUUID",
        state_attributes=STATE_ATTRIBUTES if apple else (),
        compare=partial(_compare, realm) if apple else _nothing,
    )
    client = Client.of(domain, settings, password, refusals)
    return LdapDirectory(domain, settings, selection, client, traits, source=source)


def _expected(settings: DirectorySettings, *, apple: bool) -> str | None:
    """Return the suffix that the settings lead us to expect, None for the server's.

    slapconfig makes it of the master's whole name, host label included (facts:
    open-directory 1.1). A backup has another name but the same suffix.
    """
    if settings.suffix:
        return settings.suffix
    if settings.directory_domain:
        return dn.from_dns_name(settings.directory_domain)
    if not apple or settings.server is None:
        return None
    with suppress(ValueError):
        ip_address(settings.server.host)
        return None
    return dn.from_dns_name(settings.server.host)


def _naming(
    expected: str | None, base: str | None, apple: bool, root: RootDse
) -> Naming | Mismatch:
    contexts = root.all("namingContexts")
    if expected is None:
        suffix = next((c for c in contexts if c.lower().startswith("dc=")), "")
        suffix = suffix or next(iter(contexts), "")
    else:
        suffix = next((c for c in contexts if same_dn(c, expected)), "")
    if not suffix:
        return Mismatch(expected or "any suffix", ", ".join(contexts) or "none")
    if base and not _within(base, suffix):
        return Mismatch(base, suffix)
    users = dn.child("cn", "users", suffix) if apple else suffix
    return Naming(suffix, base or users)


def _within(base: str, suffix: str) -> bool:
    try:
        return dn.is_below(base, suffix)
    except Undecodable:
        return False


def _find(attribute: str, directory_id: DirectoryId, naming: Naming) -> Query:
    """Search the id as it is written: apple-generateduid matches case-exact."""
    return Query(
        base=naming.suffix,
        filter=ldap_filter.any_of(
            ldap_filter.equals(attribute, encode_id(attribute, directory_id)),
            ldap_filter.equals("entryUUID", encode_id("entryUUID", directory_id)),
        ),
    )


def _names(name: str) -> str:
    """Return the filter for a short name or an address."""
    login, _ = split_address(name) or (name, "")
    return ldap_filter.all_of(
        ldap_filter.equals("objectClass", "person"),
        ldap_filter.any_of(
            ldap_filter.equals("uid", login), ldap_filter.equals("mail", name)
        ),
    )


def _nothing(_session: Session, _root: RootDse, _deadline: Deadline) -> list[Finding]:
    return []


def _compare(
    realm: str | None, session: Session, root: RootDse, deadline: Deadline
) -> list[Finding]:
    records = _config_records(session, root, deadline)
    if not records:
        text = "There are no Open Directory records in cn=config: a look-alike?"
        mend = 'Write type = "ldap" if this is a plain LDAP server.'
        return [Finding(root.server, "kind", Outcome.WARNING, text, mend, "kind")]
    kind = Finding(root.server, "kind", Outcome.OK, "It is an Open Directory.")
    return [kind, _realm(root.server, realm, records.get("kerberoskdc", ""))]


def _config_records(
    session: Session, root: RootDse, deadline: Deadline
) -> dict[str, str]:
    """Return the names of Apple's config records with their realm (facts: 1.3)."""
    marker = ldap_filter.any_of(
        ldap_filter.equals("ou", "macosxodconfig"),
        ldap_filter.equals("cn", "KerberosKDC"),
        ldap_filter.equals("cn", "ldapreplicas"),
    )
    found: dict[str, str] = {}
    for context in root.all("namingContexts"):
        # cn=authdata holds password data and is never searched (facts: 1.1).
        if not context.lower().startswith("dc="):
            continue
        query = Query(
            base=dn.child("cn", "config", context),
            filter=marker,
            attributes=("cn", "ou", "apple-config-realname"),
        )
        for entry in session.search(query, deadline).entries:
            name = one_value(entry.attributes, "cn") or one_value(
                entry.attributes, "ou"
            )
            found[name.lower()] = one_value(entry.attributes, "apple-config-realname")
    return found


def _realm(server: str, ours: str | None, theirs: str) -> Finding:
    if not theirs or theirs.startswith("LKDC:"):
        text = "The directory does not name its Kerberos realm."
        mend = "Write kerberos_realm in the domain's login table."
        outcome = Outcome.OK if ours else Outcome.UNKNOWN
        return Finding(server, "realm", outcome, text, "" if ours else mend, "realm")
    if ours is None or ours == theirs:
        return Finding(server, "realm", Outcome.OK, f"The realm is {theirs}.")
    text = f"The settings say {ours}, the directory says {theirs}."
    mend = f'Write kerberos_realm = "{theirs}".'
    return Finding(server, "realm", Outcome.FAILED, text, mend, "realm-mismatch")
