"""Open Directory and plain LDAP servers: suffix from the server's name, or theirs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from ipaddress import ip_address

from dirbridge.config.krb5_conf import realm_of
from dirbridge.config.settings import (
    DirectorySettings,
    DirectoryType,
    DomainSettings,
    LoginSettings,
)
from dirbridge.connectors import kinds, open_directory_checks
from dirbridge.connectors.ldap_directory import (
    LdapDirectory,
    Mismatch,
    Naming,
    Selection,
    Traits,
    same_dn,
)
from dirbridge.connectors.open_directory_changes import (
    ALL_MODES,
    Mode,
    OpenDirectoryChanges,
)
from dirbridge.connectors.open_directory_records import contexts, read_records
from dirbridge.connectors.watching import content_sync
from dirbridge.directory import dn, guid, open_directory_state, plain_ldap_state
from dirbridge.directory import filter as ldap_filter
from dirbridge.directory.errors import Undecodable
from dirbridge.ldap.client import ANY, Client, RootDse
from dirbridge.ldap.refusals import Refusals
from dirbridge.ldap.session import Query, RawEntry, Session
from dirbridge.model.deadline import Deadline
from dirbridge.model.entry import Entry
from dirbridge.model.finding import Finding
from dirbridge.model.names import DirectoryId, DomainName, RealmName, split_address
from dirbridge.model.secret import Secret

SAMPLE = 25
"""How many accounts `check` looks at."""

_AUTHORITY = "authAuthority"
_ENTRY_UUID = "entryUUID"
_NS_UNIQUE_ID = "nsUniqueId"

IN_USERS = "(cn:dn:=users)"
"""Accounts stand in cn=users (Apple's AppleOpenLDAP.plist); of whoever was moved to
another container the entry is there still."""

STATE_ATTRIBUTES = (_AUTHORITY, "altSecurityIdentities")
"""What is stored; what the server makes up comes with `_computed`."""


def open_directory(  # noqa: PLR0913 - called once, by name
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
    """Build the connector for both kinds of Open Directory and for plain LDAP.

    Args:
        domain: The mail domain.
        settings: The directory's table; its type decides base and comparisons.
        selection: The mapping profile.
        password: Gives the service account's password; asked at each bind.
        source: Name of the directory within its domain.
        login: The domain's login table; `check` compares the realm.
        refusals: What the process knows of its service accounts.
        modes: The ways in which changes may be learned.
    """
    apple = settings.type is not DirectoryType.LDAP
    ids = _identities(selection.id)
    # Groups stand beside cn=users; their filter says where, and so does that of people.
    users_only = apple and not (selection.group_filter or selection.contact_filter)
    beside = apple and not users_only and settings.base is None
    expected = _expected(settings, apple=apple)
    naming = partial(_naming, expected, settings.base, users_only)
    checks = _Checks(settings, selection, ids, naming, _realm(domain, settings, login))
    contacts = selection.login_attributes if selection.contact_filter else frozenset()
    traits = Traits(
        kind_of=partial(kinds.plain, contacts),
        naming=naming,
        find=partial(_find, ids),
        names=_names,
        watch=content_sync,
        id_fallback=ids[1],
        narrow=IN_USERS if beside else None,
        contact=_without(contacts),
        state_attributes=STATE_ATTRIBUTES if apple else plain_ldap_state.ATTRIBUTES,
        state=_computed if apple else None,
        compare=checks.compare,
        changes=partial(OpenDirectoryChanges, modes=modes),
        stamps=("entryCSN",) if apple else ("entryCSN", "modifyTimestamp"),
    )
    client = Client.of(domain, settings, password, refusals)
    return LdapDirectory(domain, settings, selection, client, traits, source=source)


def _without(attributes: Iterable[str]) -> str | None:
    """Return the filter for who has none of the attributes."""
    missing = (ldap_filter.negate(ldap_filter.present(a)) for a in sorted(attributes))
    return ldap_filter.all_of(*missing) if attributes else None


def _identities(first: str) -> tuple[str, str]:
    """Return the identity attribute and the one for entries that lack it.

    OpenLDAP has entryUUID, a 389 Directory Server nsUniqueId.
    """
    plain = first.lower() == _ENTRY_UUID.lower()
    return first, _NS_UNIQUE_ID if plain else _ENTRY_UUID


def _realm(
    domain: DomainName, settings: DirectorySettings, login: LoginSettings | None
) -> RealmName | None:
    """Return the realm that logins use, written down or made of the server's name."""
    table = DomainSettings(directory=(settings,), login=login or LoginSettings())
    return realm_of(domain, table) or table.login.kerberos_realm


def _expected(settings: DirectorySettings, *, apple: bool) -> str | None:
    """Return the suffix that the settings lead us to expect, None for the server's.

    slapconfig makes it of the master's whole name, host label included. A backup has
    another name but the same suffix.
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
    expected: str | None, base: str | None, users_only: bool, root: RootDse
) -> Naming | Mismatch:
    known = contexts(root)
    if expected is None:
        suffix = next(iter((*_proposed(root, known), *known)), "")
    else:
        suffix = next((c for c in known if same_dn(c, expected)), "")
    if not suffix:
        return Mismatch(expected or "any suffix", ", ".join(known) or "none")
    if base and not _within(base, suffix):
        return Mismatch(base, suffix)
    users = dn.child("cn", "users", suffix) if users_only else suffix
    return Naming(suffix, base or users)


def _proposed(root: RootDse, known: Sequence[str]) -> tuple[str, ...]:
    """Return the suffixes that a server proposes, the likeliest first.

    Its default one is said by Open Directory and 389 Directory Servers; without it
    only names made of DNS labels are a directory's own tree: `cn=authdata` is none.
    """
    default = root.one("defaultNamingContext")
    own = [each for each in known if same_dn(each, default)]
    return (*own, *(each for each in known if each.lower().startswith("dc=")))


def _within(base: str, suffix: str) -> bool:
    try:
        return dn.is_below(base, suffix)
    except Undecodable:
        return False


def _find(
    attributes: Sequence[str], directory_id: DirectoryId, naming: Naming
) -> Query:
    """Search the id as it is written: apple-generateduid matches case-exact."""
    parts = []
    for attribute in attributes:
        with suppress(Undecodable):
            value = guid.encode_id(attribute, directory_id)
            parts.append(ldap_filter.equals(attribute, value))
    if not parts:
        raise Undecodable("is no id that this directory can have")
    return Query(base=naming.suffix, filter=ldap_filter.any_of(*parts))


def _names(name: str) -> str:
    """Return the filter for a short name or an address."""
    login, _ = split_address(name) or (name, "")
    return ldap_filter.all_of(
        ldap_filter.equals("objectClass", "person"),
        ldap_filter.any_of(
            ldap_filter.equals("uid", login), ldap_filter.equals("mail", name)
        ),
    )


def _computed(
    session: Session, naming: Naming, entry: Entry, deadline: Deadline
) -> dict[str, tuple[bytes, ...]]:
    """Read what the server makes up of one account (odusers.c of Apple's slapd).

    Each value is answered only where it is the first that is asked for, so each has
    a search of its own. What the server refuses or does not know is left out.
    """
    found: dict[str, tuple[bytes, ...]] = {}
    for attribute in open_directory_state.SYNTHETIC:
        query = Query(base=entry.dn, filter=ANY, scope="BASE", attributes=(attribute,))
        for each in session.search(query, deadline).entries:
            found[attribute.lower()] = each.attributes.get(attribute.lower(), ())
    groups = Query(
        base=dn.child("cn", "groups", naming.suffix),
        filter=_disabled_group(entry),
        attributes=("cn",),
    )
    names = tuple(e.dn.encode() for e in session.search(groups, deadline).entries)
    return found | {open_directory_state.DISABLED_GROUP: names}


def _disabled_group(entry: Entry) -> str:
    """Return the filter for the group of the disabled, if this one is in it."""
    return ldap_filter.all_of(
        ldap_filter.equals("cn", open_directory_state.DISABLED_GROUP),
        ldap_filter.any_of(
            *(ldap_filter.equals("memberUid", uid) for uid in entry.values("uid")),
            *(
                ldap_filter.equals("apple-group-memberguid", value)
                for value in entry.values("apple-generateduid")
            ),
            ldap_filter.equals("member", entry.dn),
        ),
    )


@dataclass(frozen=True, slots=True)
class _Checks:
    """What `check` looks at beyond the base."""

    settings: DirectorySettings
    selection: Selection
    ids: tuple[str, str]
    naming: Callable[[RootDse], Naming | Mismatch]
    realm: RealmName | None

    def compare(
        self, session: Session, root: RootDse, deadline: Deadline
    ) -> list[Finding]:
        """See `Traits.compare`."""
        sample = self._sample(session, root, deadline)
        found = [
            open_directory_checks.hidden_id(root.server, self.ids, each.dn)
            for each in sample
            if not any(_has_id(each, attribute) for attribute in self.ids)
        ][:1]
        if self.settings.type is DirectoryType.LDAP:
            return found
        shown = [each for each in sample if each.attributes.get(_AUTHORITY.lower())]
        if sample and not shown:
            more = ldap_filter.present(_AUTHORITY)
            answer = self._sample(session, root, deadline, more)
            shown = [each for each in answer if each.attributes.get(_AUTHORITY.lower())]
        if sample and not shown:
            found.append(open_directory_checks.hidden_authority(root.server))
        records = read_records(session, root, deadline)
        return found + list(
            open_directory_checks.compare(
                root, self.settings, records, self.realm, shown
            )
        )

    def _sample(
        self, session: Session, root: RootDse, deadline: Deadline, more: str = ""
    ) -> tuple[RawEntry, ...]:
        naming = self.naming(root)
        if isinstance(naming, Mismatch):
            return ()
        query = Query(
            base=naming.base,
            filter=ldap_filter.all_of(self.selection.base_filter, more),
            attributes=(*self.ids, _AUTHORITY),
        )
        return session.search(query, deadline, page=SAMPLE).entries


def _has_id(entry: RawEntry, attribute: str) -> bool:
    for value in entry.attributes.get(attribute.lower(), ()):
        with suppress(Undecodable):
            guid.decode_id(attribute, value)
            return True
    return False
