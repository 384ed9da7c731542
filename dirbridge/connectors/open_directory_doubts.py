"""When a delta of OpenLDAP and its kin must not be taken at its word.

Silence has many reasons there: a right that hides the change numbers, a container
whose move changes the place of everybody below it without touching them, an overlay
that writes into other entries without giving them a new number. Each is looked for
with a search of few entries, or of none.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Sequence

from dirbridge.connectors.changes import BATCH, PAGE, Place, Scope, read_keys
from dirbridge.directory import dn
from dirbridge.directory import filter as ldap_filter
from dirbridge.directory.errors import Undecodable
from dirbridge.ldap.session import Query, RawEntry, Session
from dirbridge.model.deadline import Deadline
from dirbridge.model.entry import Entry, EntryKind

PROVEN_SECONDS = 3600.0
"""How long it holds that an attribute is shown; rights change seldom."""

SAMPLE = 25

CONTAINERS = (
    "(hasSubordinates=TRUE)",
    "(objectClass=organizationalUnit)",
    "(objectClass=container)",
    "(objectClass=organization)",
)
"""What may have others below it. RFC 4512 has no attribute for that which all servers
know, so the classes stand beside OpenLDAP's."""

_GROUPS = ("(member=*)", "(uniqueMember=*)", "(objectClass=groupOfURLs)")
_OWN_IDS = frozenset(("entryuuid", "nsuniqueid"))
_BACK_LINK = "memberof"


def is_back_linked(scope: Scope) -> bool:
    """Whether groups decide on their members' entries: the overlay gives no number."""
    names = (*scope.attributes, *ldap_filter.attributes_of(scope.filter))
    return _BACK_LINK in {name.lower() for name in names}


def is_settable(scope: Scope) -> bool:
    """Whether somebody may give an entry another id, as `apple-generateduid`."""
    return scope.id.lower() not in _OWN_IDS


def reaching_many(scope: Scope) -> str:
    """Return the filter for entries whose change reaches others."""
    groups = _GROUPS if is_back_linked(scope) else ()
    return ldap_filter.any_of(*CONTAINERS, *groups)


def shares_ids(
    scope: Scope, place: Place, session: Session, entries: Sequence[Entry]
) -> bool:
    """Whether another entry has the id of one of these, or that cannot be told.

    Nobody can say then whose account it is: a full read does (and refuses).
    """
    if not is_settable(scope):
        return False
    named = [each for each in entries if each.attributes.get(scope.id.lower())]
    for at in range(0, len(named), BATCH):
        batch = named[at : at + BATCH]
        query = Query(
            base=place.base,
            filter=ldap_filter.all_of(scope.filter, _others(scope, batch)),
            attributes=("1.1",),
        )
        keys = read_keys(session, query, scope.patience)
        told = {_comparable(each.dn) for each in batch}
        if keys is None or any(_comparable(raw.dn) not in told for raw in keys):
            return True
    return False


def groups_of(
    scope: Scope, place: Place, session: Session, entries: Sequence[Entry]
) -> list[Entry] | None:
    """Read the groups that name one of these accounts by its DN.

    Where an overlay keeps them right (refint), a renamed account changes its groups
    without giving them a new number. None where not all came.
    """
    asked = {name.lower() for name in scope.attributes}
    links = [name for name in ("member", "uniqueMember") if name.lower() in asked]
    accounts = [one.dn for one in entries if one.kind is EntryKind.ACCOUNT]
    groups: dict[str, Entry] = {}
    for at in range(0, len(accounts) if links else 0, BATCH):
        wanted = [
            ldap_filter.equals(name, one)
            for one in accounts[at : at + BATCH]
            for name in links
        ]
        query = Query(
            base=place.base,
            filter=ldap_filter.all_of(scope.filter, ldap_filter.any_of(*wanted)),
            attributes=scope.attributes,
        )
        found = read_keys(session, query, scope.patience)
        if found is None:
            return None
        groups |= {each.id: each for each in map(scope.entry, found) if each.id}
    return list(groups.values())


class Proofs:
    """What is known of attributes that must be shown of everybody.

    Success without entries is also what a server answers that hides the attribute
    (RFC 4511 4.5.1.7: a filter on what may not be read is undefined).
    """

    def __init__(self, scope: Scope) -> None:
        """Take what is read."""
        self._scope = scope
        self._lock = threading.Lock()
        self._until: dict[tuple[str, ...], float] = {}

    def sampled(
        self, attribute: str, session: Session, place: Place, deadline: Deadline
    ) -> bool:
        """Whether some entries in scope all show it; quick, for every full read.

        The read itself sees whether any other does not.
        """
        shown, _more = self._sample(attribute, session, place, deadline)
        return bool(shown) and all(shown)

    def shown(
        self, attribute: str, session: Session, place: Place, deadline: Deadline
    ) -> bool:
        """Whether each entry in scope shows it, as far as there is time to see.

        It counts everybody twice: for `check`, which reads nobody.
        """
        key = (session.server, attribute, self._scope.fingerprint(place))
        with self._lock:
            if self._until.get(key, 0.0) > time.monotonic():
                return True
        # What follows needs its time too.
        limit = Deadline.after(deadline.left() / 4)
        if not self._is_shown(attribute, session, place, limit):
            return False
        with self._lock:
            self._until[key] = time.monotonic() + PROVEN_SECONDS
        return True

    def _sample(
        self, attribute: str, session: Session, place: Place, deadline: Deadline
    ) -> tuple[list[object], bool]:
        """Return the values of some entries that have it, and whether more do."""
        having = ldap_filter.all_of(self._scope.filter, ldap_filter.present(attribute))
        query = Query(base=place.base, filter=having, attributes=(attribute,))
        answer = session.search(query, deadline, page=SAMPLE)
        shown = [raw.attributes.get(attribute.lower()) for raw in answer.entries]
        return (list(shown) if answer.good else []), bool(answer.cookie)

    def _is_shown(
        self, attribute: str, session: Session, place: Place, limit: Deadline
    ) -> bool:
        everybody = self._scope.filter
        having = ldap_filter.all_of(everybody, ldap_filter.present(attribute))
        shown, more = self._sample(attribute, session, place, self._scope.limit())
        if not shown or not all(shown):
            return False
        if not more and len(shown) < SAMPLE:
            return self._count(everybody, session, place, limit) in (None, len(shown))
        # Somebody may come or go between the two: only a difference is looked into.
        before = self._count(everybody, session, place, limit)
        count = self._count(having, session, place, limit)
        if before is None or count is None or before <= count:
            return True
        after = self._count(everybody, session, place, limit)
        return after is None or after <= count

    def _count(
        self, text: str, session: Session, place: Place, limit: Deadline
    ) -> int | None:
        """Count entries; None where they are too many for the time."""
        query = Query(base=place.base, filter=text, attributes=("1.1",))
        count, cookie = 0, b""
        while limit.left() > 0:
            answer = session.search(
                query, self._scope.limit(), page=PAGE, cookie=cookie
            )
            if not answer.good:
                return None
            count += len(answer.entries)
            cookie = answer.cookie
            if not cookie:
                return count
        return None


def _others(scope: Scope, entries: Iterable[Entry]) -> str:
    """Return the filter for entries with these ids that are not these entries."""
    values: dict[str, None] = {}
    own: list[str] = []
    for each in entries:
        text = each.attributes[scope.id.lower()][0].decode("utf-8", "replace")
        # apple-generateduid matches case-exact, ids do not.
        values |= dict.fromkeys((text, text.upper(), text.lower()))
        own += [
            ldap_filter.equals("entryUUID", uuid)
            for uuid in each.attributes.get("entryuuid", ())[:1]
        ]
    wanted = ldap_filter.any_of(*(ldap_filter.equals(scope.id, v) for v in values))
    if not own:
        return wanted
    return ldap_filter.all_of(wanted, ldap_filter.negate(ldap_filter.any_of(*own)))


def _comparable(text: str) -> object:
    try:
        return dn.comparable(text)
    except Undecodable:
        return text


def told_entries(items: Iterable[object]) -> list[Entry]:
    """Return the entries among what was told."""
    return [item for item in items if isinstance(item, Entry)]


def first_text(raw: RawEntry, name: str) -> str:
    """Return an attribute's first value as text, "" where none."""
    values = raw.attributes.get(name, ())
    return values[0].decode("utf-8", "replace") if values else ""
