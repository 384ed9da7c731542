"""What changed in Active Directory: DirSync, else uSNChanged.

| mode | needs | a cursor holds |
|---|---|---|
| `dirsync` | the right "Replicating Directory Changes" | on every DC of the domain |
| `dirsync-own` | nothing: what the account may read | on every DC of the domain |
| `usn` | nothing | on one DC, until it is restored from a backup |

None of the three is sure to tell deletions. Whether it does is proven, not assumed:
by a tombstone that the account was shown the same way (a search that may not see them
ends with success and nobody; measured on Samba 4.17, where the replication right alone
shows none). Without such a proof the end of a delta says `UNTOLD`, and a sweep finds
them.

A container that was renamed or moved, and what changes the groups of many, is not
told for each account below it: then everything is read (win32 docs, "Polling for
Changes Using the DirSync Control").
"""

from __future__ import annotations

import base64
import binascii
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from dirbridge.connectors import cursors
from dirbridge.connectors.base import ReadItem
from dirbridge.connectors.changes import (
    BATCH,
    MOST_CHANGED,
    Key,
    Place,
    Scope,
    read_again,
    read_keys,
    told,
)
from dirbridge.connectors.domain_controllers import (
    NAME,
    Dc,
    changed_at,
    newest,
    number,
    one_of,
    refuse_behind,
    witnessed,
)
from dirbridge.directory import extended_dn, guid, sid
from dirbridge.directory import filter as ldap_filter
from dirbridge.directory.errors import Undecodable
from dirbridge.errors import RemoteProtocolError
from dirbridge.ldap.ranges import with_whole_ranges
from dirbridge.ldap.session import Query, RawEntry, Session
from dirbridge.model.deadline import Deadline
from dirbridge.model.entry import Cursor, Entry, Gone, Vanished
from dirbridge.model.finding import Finding, Outcome
from dirbridge.model.names import DirectoryId
from dirbridge.protocols import ber
from dirbridge.protocols.ldap_controls import (
    DIRSYNC_OID,
    SHOW_DELETED,
    Control,
    dirsync,
    parse_dirsync,
)

OBJECT_SECURITY = 0x1
INCREMENTAL_VALUES = 0x80000000
"""Flags of DirSync (MS-ADTS 3.1.1.3.4.1.3)."""

MAX_BYTES = 1 << 20
MOST_ANSWERS = 10_000
"""A server that says "more" without end is left."""

_EXTENDED_DN = Control("1.2.840.113556.1.4.529", value=ber.sequence(ber.integer(1)))
_ANY = "(objectClass=*)"
_KINDS = ("user", "group", "contact")
"""Classes of what is read; whatever else is renamed may hold some of it."""

_WATCHED = (
    *_KINDS,
    *("organizationalUnit", "container", "builtinDomain", "lostAndFound"),
    *("organization", "locality", "country"),
    *("msDS-AzAdminManager", "msDS-AzApplication", "msDS-AzScope"),
)
"""With all classes that may stand above those in the tree (possible superiors in
MS-ADSC, and theirs in turn); sub-classes, such as Exchange's containers, come along."""

_LINKS = (
    *("member", "altRecipient", "manager", "managedBy", "secretary", "assistant"),
    *("owner", "seeAlso", "roleOccupant", "publicDelegates"),
    *("authOrig", "unauthOrig", "dLMemSubmitPerms", "dLMemRejectPerms"),
    *("msExchCoManagedByLink", "msExchDelegateListLink"),
)
"""Attributes that hold the DN of somebody else."""

_UNTOLD = frozenset(
    (
        # The other end of links (MS-ADA*); they change when others do.
        *("directreports", "managedobjects", "ownerbl", "nonsecuritymember"),
        *("msds-memberoftransitive", "msds-membertransitive", "msds-psoapplied"),
        # Made up when they are asked for (MS-ADTS 3.1.1.4.5).
        *("tokengroups", "tokengroupsnogcacceptable", "tokengroupsglobalanduniversal"),
        *("msds-user-account-control-computed", "msds-resultantpso"),
        *("msds-userpasswordexpirytimecomputed", "msds-revealeddsas"),
        *("msds-approx-immed-subordinates", "msds-replattributemetadata"),
        # Not replicated, each DC has its own.
        *("lastlogon", "lastlogoff", "logoncount", "badpwdcount", "badpasswordtime"),
        *("whenchanged", "usnchanged", "modifytimestamp"),
    )
)
"""Attributes that change without the entry being told as changed."""

MOST_SECONDS = 30 * 86_400.0
"""No cursor holds longer: tombstones live 60 days where nobody set another time, and
who was deleted before that is not told any more (tombstoneLifetime)."""

_KEYS = ("objectGUID", "objectClass", "uSNCreated", "replPropertyMetaData")
_FOLLOWED = ("isDeleted", "name", "objectClass", "parentGUID")


class Mode(StrEnum):
    """A way to learn of changes, the best first."""

    DIRSYNC = "dirsync"
    DIRSYNC_OWN = "dirsync-own"
    USN = "usn"


ALL_MODES = tuple(Mode)

_FLAGS = {
    Mode.DIRSYNC: INCREMENTAL_VALUES,
    Mode.DIRSYNC_OWN: INCREMENTAL_VALUES | OBJECT_SECURITY,
}

State = Mapping[str, str]


@dataclass(slots=True)
class _Told:
    """What a server told to have changed.

    Attributes:
        changed: To be read again.
        deleted: Tombstones.
        renamed: Those of `changed` that have another DN now, with it; they may be
            containers or groups.
        members: Who came into or went out of a group.
        new: Those of `changed` that were created.
        names: What those are called now who may have been renamed.
        all_deleted: Whether `deleted` are all that were.
    """

    changed: dict[DirectoryId, None] = field(default_factory=dict)
    deleted: dict[DirectoryId, None] = field(default_factory=dict)
    renamed: dict[DirectoryId, str] = field(default_factory=dict)
    members: dict[DirectoryId, None] = field(default_factory=dict)
    new: dict[DirectoryId, None] = field(default_factory=dict)
    names: dict[DirectoryId, str] = field(default_factory=dict)
    all_deleted: bool = False

    def __len__(self) -> int:
        return len(self.changed) + len(self.deleted) + len(self.members)


class ActiveDirectoryChanges:
    """DirSync and uSNChanged; see `changes.Changes`."""

    def __init__(self, scope: Scope, modes: Sequence[Mode] = ALL_MODES) -> None:
        """Take what is read.

        Args:
            scope: What the connector reads.
            modes: The ways that may be used.
        """
        self._scope = scope
        names = {name.lower() for name in ldap_filter.attributes_of(scope.filter)}
        names |= {name.lower() for name in scope.attributes}
        can = scope.id.lower() == "objectguid" and not any(map(_is_untold, names))
        self._modes = modes if can else ()
        self._by_group = "memberof" in names
        self._links = [name for name in _LINKS if name.lower() in names]
        self._nested = ldap_filter.IN_CHAIN in scope.filter
        self._attributes = _each_once(
            *(*scope.attributes, *ldap_filter.attributes_of(scope.filter), *_FOLLOWED),
            *(["member"] if self._by_group else []),
        )

    def mark(
        self,
        session: Session,
        naming: Place,
        deadline: Deadline,
        after: Cursor | None = None,
    ) -> Cursor | None:
        """Say where a delta goes on; see `Changes.mark`."""
        place = Dc.read(session, naming.suffix, deadline)
        if after is not None:
            known = cursors.unseal(after, after.kind, None) or {}
            refuse_behind(session, naming.suffix, place, known, deadline)
        for mode in self._modes:
            begin = self._begin_usn if mode is Mode.USN else self._begin_dirsync
            state = begin(mode, session, naming, place)
            if state is not None:
                limit = self._scope.limit()
                seen = newest(session, naming.suffix, place, _KINDS, limit)
                return self._seal(mode, naming, state | seen | place.state())
        return None

    def behind(
        self, cursor: Cursor, session: Session, naming: Place, deadline: Deadline
    ) -> None:
        """Refuse a DC that lacks what was read before.

        Raises:
            Unreachable: It is `behind` the cursor.
        """
        state = cursors.unseal(cursor, cursor.kind, None) or {}
        place = Dc.read(session, naming.suffix, deadline)
        refuse_behind(session, naming.suffix, place, state, deadline)

    def stamp(self, mark: Cursor) -> str:  # noqa: ARG002
        """Return nothing; who hides uSNChanged is told by the next full read."""
        return ""

    def since(
        self, cursor: Cursor, session: Session, naming: Place
    ) -> list[ReadItem] | None:
        """Read what changed; see `Changes.since`."""
        if cursor.kind not in self._modes:
            return None
        mode = Mode(cursor.kind)
        state = cursors.unseal(cursor, mode, self._scope.fingerprint(naming))
        if state is None or _is_old(state):
            return None
        limit = Deadline.after(self._scope.soon)
        place = Dc.read(session, naming.suffix, limit)
        refuse_behind(session, naming.suffix, place, state, self._scope.limit())
        ask = self._usn if mode is Mode.USN else self._dirsync
        answer = ask(mode, state, session, naming, place)
        return answer and self._judged(mode, answer, state, session, naming, place)

    def describe(
        self, session: Session, naming: Place, deadline: Deadline
    ) -> list[Finding]:
        """Say which way results; see `Changes.describe`."""
        cursor = self.mark(session, naming, deadline)
        state = cursors.unseal(cursor, cursor.kind, None) if cursor else None
        if cursor is None or state is None:
            text = "The server tells no changes: everything is read each time."
            return [Finding(session.server, "changes", Outcome.OK, text)]
        mode, deletions = Mode(cursor.kind), state.get("told") == "yes"
        text = f"{_WAYS[mode]}; {_DELETIONS[deletions]}."
        advice = ""
        if mode is not Mode.DIRSYNC or not deletions:
            who = self._who(session, naming, deadline)
            advice = _advice(mode, deletions, who, naming)
        return [Finding(session.server, "changes", Outcome.OK, text, advice)]

    # --- DirSync ---------------------------------------------------------------

    def _begin_dirsync(
        self, mode: Mode, session: Session, naming: Place, _place: Dc
    ) -> dict[str, str] | None:
        """Take a cookie, and see on the way whether tombstones are shown."""
        shown: set[bool] = set()

        def see(entries: Sequence[RawEntry]) -> None:
            shown.update(map(_tombstone, entries))

        wanted = (mode, "(isDeleted=TRUE)", ("isDeleted", "name"))
        cookie = self._exchange(wanted, b"", session, naming, see)
        if cookie is None:
            return None
        return {"cookie": _text(cookie), "told": _yes(True in shown)}

    def _dirsync(
        self, mode: Mode, state: State, session: Session, naming: Place, _place: Dc
    ) -> tuple[_Told, dict[str, str]] | None:
        found = _Told()
        faults: list[str] = []

        def take(entries: Sequence[RawEntry]) -> None:
            try:
                for entry in entries:
                    _take_part(found, entry)
            except Undecodable as error:
                faults.append(str(error))
            if len(found) > MOST_CHANGED:
                faults.append("too many")

        # objectCategory is gone on tombstones: only classes are asked for (4b).
        watched = ldap_filter.any_of(
            *(ldap_filter.equals("objectClass", name) for name in _WATCHED)
        )
        cookie = self._exchange(
            (mode, watched, self._attributes),
            _octets(state.get("cookie", "")),
            session,
            naming,
            take,
            faults,
        )
        if cookie is None or faults:
            return None
        # That it told some says nothing of today: the right may be gone.
        once = state.get("told") == "yes"
        found.all_deleted = bool(found.deleted) or (
            once and self._shows_deleted(session, naming)
        )
        told_once = once or found.all_deleted
        return found, {"cookie": _text(cookie), "told": _yes(told_once)}

    def _exchange(
        self,
        what: tuple[Mode, str, Sequence[str]],
        cookie: bytes,
        session: Session,
        naming: Place,
        take: Callable[[Sequence[RawEntry]], None],
        faults: Collection[str] = (),
    ) -> bytes | None:
        """Ask until there is no more; return the last cookie, None where refused.

        A refusal comes as 50 (no right), 53 (not the root), 12 (a strange cookie) or
        as what Windows calls an error processing control (0x203D): all the same here.
        """
        mode, flt, attributes = what
        for _ in range(MOST_ANSWERS):
            control = dirsync(_FLAGS[mode], MAX_BYTES, cookie)
            query = Query(
                base=naming.suffix,
                filter=flt,
                attributes=attributes,
                controls=(control, _EXTENDED_DN),
            )
            answer = session.search(query, self._scope.limit())
            if not answer.good or DIRSYNC_OID not in answer.controls:
                return None
            try:
                end = parse_dirsync(answer.controls[DIRSYNC_OID])
            except RemoteProtocolError:
                return None
            take(answer.entries)
            if not end.more or faults:
                return end.cookie
            cookie = end.cookie
        return None

    # --- uSNChanged --------------------------------------------------------------

    def _begin_usn(
        self, _mode: Mode, session: Session, naming: Place, place: Dc
    ) -> dict[str, str] | None:
        if not place.invocation or not place.usn:
            return None
        return {"told": _yes(self._shows_deleted(session, naming))}

    def _shows_deleted(self, session: Session, naming: Place) -> bool:
        """Whether the account is shown a tombstone now."""
        query = Query(
            base=f"<WKGUID=18E2EA80684F11D2B9AA00C04F79F805,{naming.suffix}>",
            filter=_ANY,
            scope="LEVEL",
            attributes=("isDeleted", "name"),
            size_limit=1,
            controls=(SHOW_DELETED,),
        )
        return bool(session.search(query, self._scope.limit()).entries)

    def _usn(
        self, _mode: Mode, state: State, session: Session, naming: Place, place: Dc
    ) -> tuple[_Told, dict[str, str]] | None:
        """Ask for higher numbers; only of the DC, and its life, that gave them out."""
        if not place.is_same(state) or place.usn < number(state, "usn"):
            return None
        found, first = _Told(), number(state, "usn") + 1
        found.all_deleted = self._shows_deleted(session, naming)
        kept = {"told": _yes(found.all_deleted)}
        if place.usn < first:
            return found, kept
        newer = ldap_filter.at_least("uSNChanged", str(first))
        watched = (ldap_filter.equals("objectClass", name) for name in _WATCHED)
        changed = read_keys(
            session,
            Query(
                base=naming.suffix,
                filter=ldap_filter.all_of(ldap_filter.any_of(*watched), newer),
                attributes=_KEYS,
            ),
            self._scope.patience,
        )
        deleted = self._deleted(session, naming, newer) if found.all_deleted else []
        if changed is None or deleted is None:
            return None
        try:
            for entry in changed:
                if not self._take_number(found, entry, first):
                    return None
            found.deleted |= dict.fromkeys(map(_guid_of, deleted))
        except Undecodable:
            return None
        return found, kept

    def _deleted(
        self, session: Session, naming: Place, newer: str
    ) -> list[RawEntry] | None:
        query = Query(
            base=naming.suffix,
            filter=ldap_filter.all_of(ldap_filter.equals("isDeleted", "TRUE"), newer),
            attributes=("objectGUID",),
            controls=(SHOW_DELETED,),
        )
        return read_keys(session, query, self._scope.patience)

    def _take_number(self, found: _Told, entry: RawEntry, first: int) -> bool:
        """Take one changed entry; False where it may have changed others unsaid.

        A number does not say what has changed, only the stamps tell of a new name. A
        container may have been renamed, and a group have other members.
        """
        classes = _classes(entry)
        is_new = int(one_of(entry, "usncreated") or 0) >= first
        group_counts = self._by_group and "group" in classes
        holds_others = not classes & set(_KINDS)
        stamps = one_of(entry, "replpropertymetadata")
        named = changed_at(stamps, NAME)
        renamed = not is_new and (named is None or named >= first)
        if group_counts or (holds_others and renamed):
            return False
        one = _guid_of(entry)
        found.changed[one] = None
        if is_new:
            found.new[one] = None
        if renamed:
            found.names[one] = entry.dn
        return True

    # --- both --------------------------------------------------------------------

    def _judged(
        self,
        mode: Mode,
        answer: tuple[_Told, dict[str, str]],
        state: State,
        session: Session,
        naming: Place,
        place: Dc,
    ) -> list[ReadItem] | None:
        found, kept = answer
        if self._reaches_others(found, session, naming):
            return None
        wanted = [*found.changed, *found.members]
        keys = [_key(one) for one in dict.fromkeys(wanted) if one not in found.deleted]
        items = read_again(self._scope, naming, session, keys)
        if items is None:
            return None
        there = {item.id for item in items if isinstance(item, Entry)}
        pointing = self._pointing(found, session, naming)
        if pointing is None:
            return None
        items += [entry for entry in pointing if entry.id not in there]
        # What was deleted and brought back has both a tombstone's news and a life.
        items += [Gone(one) for one in found.deleted if one not in there]
        fresh = [one for one in found.new if one in there]
        alive = [one for one in found.changed if one not in found.deleted]
        limit = self._scope.limit()
        seen = witnessed(
            session,
            naming.suffix,
            place,
            state,
            new=fresh,
            changed=alive,
            deadline=limit,
        )
        new = kept | place.state() | seen
        vanished = Vanished.TOLD if found.all_deleted else Vanished.UNTOLD
        return [*items, told(session, naming, self._seal(mode, naming, new), vanished)]

    def _reaches_others(self, found: _Told, session: Session, naming: Place) -> bool:
        """Whether something changed that others are not told for."""
        asked = [*found.renamed, *(found.deleted if self._by_group else ())]
        asked += found.members if self._nested else ()
        classes = self._classes_of(asked, session, naming)
        if classes is None:
            return True
        return any(self._carries(one, each, found) for one, each in classes.items())

    def _pointing(
        self, found: _Told, session: Session, naming: Place
    ) -> list[Entry] | None:
        """Read who names somebody by a DN that is a new one now.

        The server writes the new DN into them without telling that they changed. Who
        was deleted is taken out of them the same way, but nobody can ask for that.
        """
        entries: dict[DirectoryId, Entry] = {}
        names = list((found.names | found.renamed).values()) if self._links else []
        for at in range(0, len(names), BATCH):
            limit = self._scope.limit()
            wanted = ldap_filter.any_of(
                *(
                    ldap_filter.equals(link, name)
                    for link in self._links
                    for name in names[at : at + BATCH]
                )
            )
            query = Query(
                base=naming.base,
                filter=ldap_filter.all_of(self._scope.filter, wanted),
                attributes=self._scope.attributes,
            )
            answer = session.search(query, limit)
            if not answer.good:
                return None
            whole = with_whole_ranges(session, answer, limit).entries
            entries |= {each.id: each for each in map(self._scope.entry, whole)}
        return list(entries.values())

    def _carries(
        self, one: DirectoryId, classes: Collection[str], found: _Told
    ) -> bool:
        if "group" in classes:
            return self._by_group
        return one not in found.deleted and not set(classes) & set(_KINDS)

    def _classes_of(
        self, ids: Sequence[DirectoryId], session: Session, naming: Place
    ) -> dict[DirectoryId, set[str]] | None:
        """Return the classes of those that are no people, tombstones included."""
        found: dict[DirectoryId, set[str]] = {}
        for at in range(0, len(ids), BATCH):
            wanted = (_key(one).filter for one in ids[at : at + BATCH])
            query = Query(
                base=naming.suffix,
                filter=ldap_filter.all_of(
                    ldap_filter.negate(ldap_filter.equals("objectClass", "user")),
                    ldap_filter.any_of(*wanted),
                ),
                attributes=("objectGUID", "objectClass"),
                controls=(SHOW_DELETED,),
            )
            answer = session.search(query, self._scope.limit())
            if not answer.good:
                return None
            found |= {_guid_of(entry): _classes(entry) for entry in answer.entries}
        return found

    def _who(self, session: Session, naming: Place, deadline: Deadline) -> _Who:
        """Return the service account as tools want it written."""
        root = Query(base="", filter=_ANY, scope="BASE", attributes=("tokenGroups",))
        found = session.search(root, deadline).entries
        tokens = found[0].attributes.get("tokengroups", ()) if found else ()
        if not tokens:
            return _Who(self._scope.account, "DN-OF-THE-ACCOUNT", "SID-OF-THE-ACCOUNT")
        query = Query(
            base=naming.suffix,
            filter=ldap_filter.equals("objectSid", tokens[0]),
            attributes=("objectSid",),
        )
        own = session.search(query, deadline).entries
        dn = own[0].dn if own else "DN-OF-THE-ACCOUNT"
        return _Who(self._scope.account, dn, _sid(tokens[0]))

    def _seal(self, mode: Mode, naming: Place, state: State) -> Cursor:
        dated = {**state, "time": f"{time.time():.0f}"}
        return cursors.seal(mode, self._scope.fingerprint(naming), dated)


@dataclass(frozen=True, slots=True)
class _Who:
    """The service account: as it binds, its DN, its SID."""

    name: str
    dn: str
    sid: str


def _take_part(found: _Told, entry: RawEntry) -> None:
    """Take one entry of DirSync: only what changed is in it."""
    one = _guid_of(entry)
    if one_of(entry, "isdeleted").upper() == b"TRUE":
        found.deleted[one] = None
        return
    found.changed[one] = None
    if "objectclass" in entry.attributes:
        found.new[one] = None
    elif "name" in entry.attributes:
        found.renamed[one] = extended_dn.decode(entry.dn).dn
    for name, values in entry.attributes.items():
        # Incremental: `member;range=1-1` came, `member;range=0-0` went (4b).
        if name.startswith("member;") or name == "member":
            found.members |= dict.fromkeys(map(_member, values))


def _member(value: bytes) -> DirectoryId:
    one = extended_dn.decode(value).id
    if one is None:
        raise Undecodable("has no GUID before a member's DN")
    return one


def _guid_of(entry: RawEntry) -> DirectoryId:
    return guid.decode_object_guid(one_of(entry, "objectguid"))


def _key(one: DirectoryId) -> Key:
    octets = guid.encode_object_guid(one)
    return Key(one, ldap_filter.equals("objectGUID", octets))


def _classes(entry: RawEntry) -> set[str]:
    names = entry.attributes.get("objectclass", ())
    return {name.decode("utf-8", "replace") for name in names}


def _is_untold(name: str) -> bool:
    """Whether an attribute changes untold; the names of many back-links tell it."""
    return name in _UNTOLD or name.endswith("bl")


def _is_old(state: State) -> bool:
    """Whether too much time has gone by, or the clock was wrong then or is now."""
    return abs(time.time() - number(state, "time")) > MOST_SECONDS


def _tombstone(entry: RawEntry) -> bool:
    """Whether it is one; the container of them all is marked as deleted too."""
    return b"\nDEL:" in one_of(entry, "name")


def _each_once(*names: str) -> tuple[str, ...]:
    return tuple({name.lower(): name for name in names}.values())


def _text(octets: bytes) -> str:
    return base64.b64encode(octets).decode()


def _octets(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return b"broken"


def _yes(proven: bool) -> str:
    return "yes" if proven else ""


def _sid(raw: bytes) -> str:
    try:
        return sid.decode(raw)
    except Undecodable:
        return "SID-OF-THE-ACCOUNT"


_WAYS = {
    Mode.DIRSYNC: "Changes come by DirSync with the replication right",
    Mode.DIRSYNC_OWN: "Changes come by DirSync, as far as the account may read",
    Mode.USN: "Changes come by uSNChanged, which holds on one DC only",
}
_DELETIONS = {
    True: "deletions are told",
    False: "no deletion has been shown to the account yet, so a sweep of all ids finds "
    "them",
}


def _advice(mode: Mode, deletions: bool, who: _Who, naming: Place) -> str:
    """Return the very lines that give more; nothing is wrong without them."""
    parts = []
    if mode is not Mode.DIRSYNC:
        parts.append(
            f'dsacls "{naming.suffix}" /G "{who.name}:CA;Replicating Directory '
            'Changes" (Samba: samba-tool dsacl set --action=allow --car=get-changes '
            f'--objectdn="{naming.suffix}" --trusteedn="{who.dn}")'
        )
    if not deletions:
        container = f"CN=Deleted Objects,{naming.suffix}"
        parts.append(
            f'dsacls "{container}" /takeownership, dsacls "{container}" '
            f'/G "{who.name}:LCRP" (Samba: add (A;;RPLC;;;{who.sid}) to its '
            "nTSecurityDescriptor; docs/directories.md)"
        )
    return f"Not needed, but changes are read faster with {' and '.join(parts)}."
