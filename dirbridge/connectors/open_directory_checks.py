"""What `dirbridge check` says of an Open Directory beside its base."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress

from dirbridge.config.settings import DirectorySettings, DirectoryType, Security
from dirbridge.connectors.open_directory_records import ConfigRecords
from dirbridge.directory import auth_authority
from dirbridge.directory.auth_authority import Ways
from dirbridge.ldap.client import RootDse
from dirbridge.ldap.transport import resolve
from dirbridge.model.finding import Finding, Outcome
from dirbridge.model.names import RealmName
from dirbridge.protocols.ldap_entry import RawEntry

_MECHANISMS = frozenset({"DIGEST-MD5", "CRAM-MD5"})
"""What dirbridge can speak to a Password Server."""


def compare(
    root: RootDse,
    settings: DirectorySettings,
    records: ConfigRecords,
    realm: RealmName | None,
    sample: Iterable[RawEntry],
) -> Iterator[Finding]:
    """Compare what the directory says of itself with the settings.

    Args:
        root: The server's rootDSE.
        settings: The directory's table.
        records: The directory's config records.
        realm: The realm in which this configuration logs people in, or None.
        sample: Some accounts with authAuthority.
    """
    server = root.server
    ways = [
        auth_authority.ways(each.attributes.get("authauthority", ())) for each in sample
    ]
    yield _kind(root, records)
    yield from _broken(server, records)
    yield from _policy(server, settings, records)
    principals = [
        way.kerberos.principal or f"@{way.kerberos.realm}"
        for way in ways
        if way.kerberos
    ]
    theirs = records.realm_of(None, principals)
    yield _realm(server, realm, theirs)
    yield from _replicas(server, settings, records)
    if settings.type is DirectoryType.OPEN_DIRECTORY_PASSWORD_SERVER:
        yield from _password_servers(server, records, ways)


def hidden_authority(server: str) -> Finding:
    """Say that no account shows how it is let in."""
    return Finding(
        server,
        "rights",
        Outcome.WARNING,
        "No account shows its authAuthority to the service account, so somebody who "
        "is disabled there (DisabledUser) looks active here.",
        "Let the service account read authAuthority, or look whether it is really "
        "bound: an anonymous client sees the accounts too.",
        "authority-hidden",
    )


def hidden_id(server: str, attributes: Iterable[str], dn: str) -> Finding:
    """Say that an account shows no identity."""
    names = " or ".join(attributes)
    return Finding(
        server,
        "rights",
        Outcome.FAILED,
        f"{dn} shows no {names} that can be read; every read would be incomplete.",
        f"Let the service account read {names}, or choose the mapping whose `id` this "
        "server has.",
        "id-hidden",
    )


def _kind(root: RootDse, records: ConfigRecords) -> Finding:
    vendor = " ".join(filter(None, map(root.one, ("vendorName", "vendorVersion"))))
    if records.recognised:
        text = "It is an Open Directory" + (f" ({vendor})." if vendor else ".")
        return Finding(root.server, "kind", Outcome.OK, text)
    text = "There are no Open Directory records in cn=config: a look-alike?"
    mend = 'Write type = "ldap" if this is a plain LDAP server.'
    return Finding(root.server, "kind", Outcome.WARNING, text, mend, "kind")


def _broken(server: str, records: ConfigRecords) -> Iterator[Finding]:
    for name, why in records.broken:
        text = f"The directory's record cn={name} {why}."
        mend = "Have the record mended or restored in Open Directory."
        code = "record-broken"
        yield Finding(server, "records", Outcome.WARNING, text, mend, code)


def _policy(
    server: str, settings: DirectorySettings, records: ConfigRecords
) -> Iterator[Finding]:
    if not records.policy.no_cleartext:
        return
    if settings.security is Security.NONE:
        text = (
            "The directory forbids passwords in clear text, and the settings send so."
        )
        mend = 'Write security = "ldaps" or "starttls".'
        code = "cleartext-forbidden"
        yield Finding(server, "policy", Outcome.FAILED, text, mend, code)
    else:
        text = "The directory forbids passwords in clear text, as it should."
        yield Finding(server, "policy", Outcome.OK, text)


def _realm(server: str, ours: str | None, theirs: str) -> Finding:
    if not theirs:
        text = "The directory does not name its Kerberos realm."
        mend = "Write kerberos_realm in the domain's login table."
        outcome = Outcome.OK if ours else Outcome.UNKNOWN
        return Finding(server, "realm", outcome, text, "" if ours else mend, "realm")
    if ours is None or ours == theirs:
        return Finding(server, "realm", Outcome.OK, f"The realm is {theirs}.")
    text = f"The settings say {ours}, the directory says {theirs}."
    mend = f'Write kerberos_realm = "{theirs}".'
    return Finding(server, "realm", Outcome.FAILED, text, mend, "realm-mismatch")


def _replicas(
    server: str, settings: DirectorySettings, records: ConfigRecords
) -> Iterator[Finding]:
    """Name the directory's other servers; whether to use them is the admin's choice."""
    named = {each.host.lower() for each in settings.servers}
    others = [host for host in records.replicas if host not in named]
    if not others or settings.discover:
        return
    seconds = settings.connect_timeout.total_seconds()
    known = {address for host in named for address in _addresses(host, seconds)}
    others = [each for each in others if known.isdisjoint(_addresses(each, seconds))]
    if others:
        text = (
            f"It has servers that the settings do not name: {', '.join(others)}. "
            "As `backup_server` they would be asked when this one is away."
        )
        yield Finding(server, "replicas", Outcome.OK, text)


def _addresses(host: str, seconds: float) -> set[str]:
    with suppress(OSError):
        return {address for _, address in resolve(host, seconds)}
    return set()


def _password_servers(
    server: str, records: ConfigRecords, ways: list[Ways]
) -> Iterator[Finding]:
    what, known = "password-server", records.password_servers
    if not any(record.servers for record in known):
        text = "The directory names no Password Server."
        mend = 'Write type = "open-directory-kerberos" if it has none any more.'
        yield Finding(server, what, Outcome.FAILED, text, mend, "no-password-server")
        return
    names = dict.fromkeys(
        each.dns or each.addresses[0].host
        for record in known
        for each in record.servers
        if each.dns or each.addresses
    )
    keys = {way.password_server.public_key for way in ways if way.password_server}
    if keys and not any(one.belongs_to(key) for one in known for key in keys):
        text = "The accounts' Password Server is another one than the directory names."
        mend = "See that the directory's record passwordserver is of this directory."
        code = "password-server-mismatch"
        yield Finding(server, what, Outcome.WARNING, text, mend, code)
    elif records.mechanisms and _MECHANISMS.isdisjoint(records.mechanisms):
        text = f"It keeps secrets only for {', '.join(records.mechanisms)}."
        mend = "Enable DIGEST-MD5 or CRAM-MD5 in Open Directory's policy."
        yield Finding(server, what, Outcome.FAILED, text, mend, "no-mechanism")
    else:
        text = f"Its Password Servers are {', '.join(names)}."
        yield Finding(server, what, Outcome.OK, text)
