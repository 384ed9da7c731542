"""What changed in Open Directory, OpenLDAP and their kin.

| mode | needs | who went |
|---|---|---|
| `syncrepl` | overlay syncprov with a session log, contextCSN readable | is named |
| `csn` | overlay syncprov, contextCSN readable | is not named |
| `times` | nothing: entryCSN or modifyTimestamp of the entries | is not named |

`syncrepl` is RFC 4533 refreshOnly. Its cookie is made of the contextCSN that was read
before a paged full read, so the first load needs no search of everything at once
(measured on slapd 2.5). Without a session log the server answers each change with the
ids of all entries; then the entries themselves are asked for their change numbers, at
a hundredth of that. Nothing is ever concluded from such a list of who is present: a
server that cut it short would empty the mail system (as in erthink/ReOpenLDAP#70).

Deletions are named by entryUUID alone. Where the accounts' id is another attribute
the deleted entry cannot be asked for it, so the end of the delta says `SUSPECTED`; it
does so too where somebody left the scope. Where entries only changed, one of them may
have been given another id, and it says `IF_NEW`. Only who is told by the id and the DN
of before has kept its id: had it taken both from others, those would have been told
with others in turn, and the last of them with what nobody had.

What else a delta cannot be believed in is looked for by `open_directory_doubts`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from uuid import UUID

from dirbridge.connectors import change_numbers as numbers
from dirbridge.connectors import cursors
from dirbridge.connectors import open_directory_doubts as doubts
from dirbridge.connectors.base import ReadItem
from dirbridge.connectors.change_numbers import Csns
from dirbridge.connectors.changes import (
    BATCH,
    MOST_CHANGED,
    Key,
    Place,
    Scope,
    behind,
    read_again,
    read_keys,
    told,
)
from dirbridge.directory import filter as ldap_filter
from dirbridge.errors import RemoteProtocolError
from dirbridge.ldap.ranges import with_whole_ranges
from dirbridge.ldap.session import Answer, Query, RawEntry, Session
from dirbridge.model.deadline import Deadline
from dirbridge.model.entry import Cursor, Gone, Vanished
from dirbridge.model.finding import Finding, Outcome
from dirbridge.model.names import DirectoryId
from dirbridge.protocols.ldap_controls import (
    SYNC_DONE_OID,
    SYNC_STATE_OID,
    SyncChange,
    SyncMode,
    SyncPhase,
    parse_sync_done,
    parse_sync_info,
    parse_sync_state,
    sync_request,
)


class Mode(StrEnum):
    """A way to learn of changes, the best first."""

    SYNCREPL = "syncrepl"
    CSN = "csn"
    TIMES = "times"


ALL_MODES = tuple(Mode)

BACK = timedelta(days=1)
"""How far back the newest entry is looked for, where nothing else tells the time."""

_ANY = "(objectClass=*)"
_MADE = "createTimestamp"
_TIMES = ("entryCSN", "modifyTimestamp")
_NOBODY = "(!(objectClass=*))"


@dataclass(frozen=True, slots=True)
class _Answered:
    """What RFC 4533 told.

    Attributes:
        entries: Whole entries that were added or changed.
        deleted: Who left the scope or the directory, by entryUUID.
        named: Whether all of those were named; else somebody may have gone unsaid.
        csns: Where the next one goes on, empty where it is not told.
    """

    entries: tuple[RawEntry, ...]
    deleted: tuple[str, ...]
    named: bool
    csns: Csns


class OpenDirectoryChanges:
    """RFC 4533 and change numbers; see `changes.Changes`."""

    def __init__(self, scope: Scope, modes: Sequence[Mode] = ALL_MODES) -> None:
        """Take what is read.

        Args:
            scope: What the connector reads.
            modes: The ways that may be used.
        """
        self._scope = scope
        self._modes = modes
        self._ids = tuple(
            {scope.id: None, **({scope.id_fallback: None} if scope.id_fallback else {})}
        )
        # A 389 Directory Server has no entryUUID, but an id of its own.
        other = scope.id.lower() == "nsuniqueid"
        self._key = scope.id if other else "entryUUID"
        self._without_log: set[str] = set()
        self._settable = doubts.is_settable(scope)
        self._back_linked = doubts.is_back_linked(scope)
        self._proofs = doubts.Proofs(scope)

    def mark(
        self,
        session: Session,
        naming: Place,
        deadline: Deadline,
        after: Cursor | None = None,
    ) -> Cursor | None:
        """Say where a delta goes on; see `Changes.mark`."""
        csns = _context(session, naming, deadline)
        self._refuse_behind(after, csns, session, naming, deadline)
        provider = (
            bool(csns)
            and max(csns.values()) < numbers.horizon("entryCSN")
            and _provides(session, naming, csns, deadline)
            and self._proofs.sampled("entryCSN", session, naming, deadline)
        )
        # A group that went takes the back link from entries that nothing names.
        ways = {
            Mode.SYNCREPL: provider,
            Mode.CSN: provider and not self._back_linked,
            Mode.TIMES: not self._back_linked,
        }
        for mode in self._modes:
            if ways[mode] and mode is not Mode.TIMES:
                return self._sealed(mode, naming, session, csns)
            if ways[mode]:
                start = self._begin_times(session, naming, deadline)
                return self._seal(mode, naming, start) if start else None
        return None

    def behind(
        self, cursor: Cursor, session: Session, naming: Place, deadline: Deadline
    ) -> None:
        """Refuse a server that knows less than a cursor; see `Changes.behind`."""
        csns = _context(session, naming, deadline)
        self._refuse_behind(cursor, csns, session, naming, deadline)

    def stamp(self, mark: Cursor) -> str:
        """Return what entries are searched by; see `Changes.stamp`."""
        state = cursors.unseal(mark, mark.kind, None) or {}
        return state.get("attribute", "entryCSN").lower()

    def since(
        self, cursor: Cursor, session: Session, naming: Place
    ) -> list[ReadItem] | None:
        """Read what changed; see `Changes.since`."""
        if cursor.kind not in self._modes:
            return None
        mode = Mode(cursor.kind)
        state = cursors.unseal(cursor, mode, self._scope.fingerprint(naming))
        if state is None:
            return None
        if mode is Mode.TIMES:
            return self._times(state, session, naming)
        before = numbers.parsed(state.get("csns", "").split(";"))
        if not before:
            return None
        made_by = state.get("server", "")
        if mode is Mode.CSN or session.server in self._without_log:
            return self._numbers(mode, before, made_by, session, naming)
        return self._syncrepl(before, made_by, session, naming)

    def describe(
        self, session: Session, naming: Place, deadline: Deadline
    ) -> list[Finding]:
        """Say which way results; see `Changes.describe`."""
        cursor = self.mark(session, naming, deadline)
        limit = self._scope.limit()
        if cursor is not None and self._proofs.shown(
            self.stamp(cursor), session, naming, limit
        ):
            text = _WAYS[Mode(cursor.kind)]
            return [Finding(session.server, "changes", Outcome.OK, text)]
        text, mend = _BACK_LINKED if self._back_linked else _NO_WAY
        return [Finding(session.server, "changes", Outcome.WARNING, text, mend)]

    # --- servers that know less --------------------------------------------------

    def _refuse_behind(
        self,
        after: Cursor | None,
        now: Csns,
        session: Session,
        naming: Place,
        deadline: Deadline,
    ) -> None:
        """Refuse a server that lacks what an earlier read has seen elsewhere."""
        for mode in Mode:
            state = cursors.unseal(after, mode, None)
            if state is None:
                continue
            made_by = state.get("server", "")
            before = numbers.parsed(state.get("csns", "").split(";"))
            if now and before:
                self._keeps_up(session, now, before, made_by)
                return
            newest = max(before.values(), default=state.get("newest", ""))
            if not newest:
                return
            aged = newest[:14] < numbers.lagging("modifyTimestamp")[:14]
            if made_by == session.server or (aged and self._scope.lone()):
                return
            if max(now.values(), default="") < newest and not self._has_seen(
                newest, session, naming, deadline
            ):
                raise behind(session, f"it has not seen the change of {newest} yet")

    def _keeps_up(
        self, session: Session, now: Csns, before: Csns, made_by: str
    ) -> bool:
        """Whether a server knows all changes that were read; False: it was restored.

        Raises:
            Unreachable: It is behind another one.
        """
        # A server's number goes when it is taken out of the replication.
        latest = max(map(numbers.when, now.values()), default="")
        lacking = [
            csn
            for sid, csn in before.items()
            if (now[sid] < csn if sid in now else latest < numbers.when(csn))
        ]
        if not lacking:
            return True
        own = made_by == session.server or self._scope.lone()
        if own and max(lacking) < numbers.lagging("entryCSN"):
            return False
        raise behind(session, f"it has not seen the change {lacking[0]} yet")

    def _has_seen(
        self, newest: str, session: Session, naming: Place, deadline: Deadline
    ) -> bool:
        """Whether some entry's time is not before this one, nor in the future."""
        for attribute in _TIMES:
            bound = numbers.in_form(attribute, newest)
            ahead = ldap_filter.at_least(attribute, numbers.horizon(attribute))
            text = ldap_filter.at_least(attribute, bound)
            query = Query(
                base=naming.suffix,
                filter=ldap_filter.all_of(text, ldap_filter.negate(ahead)),
                attributes=("1.1",),
                size_limit=1,
            )
            if session.search(query, deadline).entries:
                return True
        return False

    # --- RFC 4533 --------------------------------------------------------------

    def _syncrepl(
        self, before: Csns, made_by: str, session: Session, naming: Place
    ) -> list[ReadItem] | None:
        """Ask once: where nothing changed, that is the whole of it."""
        limit = self._scope.limit()
        query = Query(
            base=naming.base,
            filter=self._scope.filter,
            attributes=self._scope.attributes,
            controls=(sync_request(SyncMode.REFRESH_ONLY, numbers.cookie(before)),),
        )
        answer = session.search(query, limit)
        if not answer.good or len(answer.entries) > MOST_CHANGED:
            # A server that is behind refuses a cookie from its future (53).
            if now := _context(session, naming, limit):
                self._keeps_up(session, now, before, made_by)
            return None
        try:
            answered = _answered(with_whole_ranges(session, answer, limit))
        except RemoteProtocolError:
            return None
        if not answered.named:
            self._without_log.add(session.server)
        # Where nothing changed there is no new cookie.
        now = {**before, **answered.csns}
        if not self._keeps_up(session, now, before, made_by):
            return None
        if now != before and self._reached_many(before, now, session, naming):
            return None
        if self._back_linked and (answered.deleted or not answered.named):
            return None
        return self._synchronised(answered, now, session, naming)

    def _synchronised(
        self, answered: _Answered, now: Csns, session: Session, naming: Place
    ) -> list[ReadItem] | None:
        entries = [self._scope.entry(raw) for raw in answered.entries]
        ids = {entry.id for entry in entries}
        left = self._left(answered.deleted, session, naming)
        if left is None or "" in ids or len(ids) < len(entries):
            return None
        gone, unknown = left
        items: list[ReadItem] = list(entries)
        items += [Gone(one) for one in dict.fromkeys(gone) if one not in ids]
        # Who left may have been given another's id on the way.
        all_named = answered.named and not unknown and not (gone and self._settable)
        vanished = Vanished.TOLD if all_named else Vanished.SUSPECTED
        new = self._sealed(Mode.SYNCREPL, naming, session, now)
        return self._concluded(items, session, naming, new, vanished)

    def _reached_many(
        self, before: Csns, now: Csns, session: Session, naming: Place
    ) -> bool:
        """Whether something changed that others hang on, or that cannot be told."""
        bound = numbers.bound(before, now)
        if not bound:
            return True
        keys = self._reaching("entryCSN", bound, bound, session, naming)
        return keys is None or any(_after(raw, before) for raw in keys)

    def _reaching(
        self, attribute: str, bound: str, cursor: str, session: Session, naming: Place
    ) -> list[RawEntry] | None:
        """Return changed entries on which others hang, None where not all came.

        Who stands below a container that is new has come there after it.
        """
        many = doubts.reaching_many(self._scope)
        keys = self._changed(attribute, bound, session, naming, many)
        if keys is None or self._back_linked:
            return keys
        return [one for one in keys if _text(one, _MADE.lower())[:14] <= cursor[:14]]

    def _left(
        self, deleted: Sequence[str], session: Session, naming: Place
    ) -> tuple[list[DirectoryId], bool] | None:
        """Return who left, and whether some are gone whose id nobody can tell.

        An entry that only left the scope is still there and can be asked, unless it
        gave its id up; one that was deleted had its entryUUID as id, or one that went
        with it.
        """
        gone: list[DirectoryId] = []
        unknown = False
        for at in range(0, len(deleted), BATCH):
            batch = deleted[at : at + BATCH]
            wanted = (ldap_filter.equals("entryUUID", one) for one in batch)
            query = Query(
                base=naming.suffix,
                filter=ldap_filter.any_of(*wanted),
                attributes=_each_once(*self._ids, "entryUUID"),
            )
            answer = session.search(query, self._scope.limit())
            if not answer.good:
                return None
            there = {_text(e, "entryuuid").lower() for e in answer.entries}
            ids = [self._scope.entry(raw).id for raw in answer.entries]
            gone += filter(None, ids)
            away = [one for one in batch if one not in there]
            if "entryuuid" in {name.lower() for name in self._ids}:
                gone += map(DirectoryId, away)
            named = self._scope.id.lower() == "entryuuid"
            unknown = unknown or (not named and (bool(away) or "" in ids))
        return gone, unknown

    # --- change numbers ----------------------------------------------------------

    def _numbers(
        self, mode: Mode, before: Csns, made_by: str, session: Session, naming: Place
    ) -> list[ReadItem] | None:
        """Ask the entries for numbers above the cursor's, each by its own server's."""
        now = _context(session, naming, Deadline.after(self._scope.soon))
        if not now or not self._keeps_up(session, now, before, made_by):
            return None
        if now == before:
            if not _provides(session, naming, now, self._scope.limit()):
                return None
            new = self._sealed(mode, naming, session, before)
            return [told(session, naming, new, Vanished.TOLD)]
        bound = numbers.bound(before, now)
        if not bound or self._back_linked:
            return None
        keys = self._changed("entryCSN", bound, session, naming)
        if keys is None or self._reached_many(before, now, session, naming):
            return None
        fresh = []
        newest: dict[str, str] = {}
        for raw in keys:
            for sid, found in _after(raw, before).items():
                fresh.append(raw)
                newest[sid] = max(newest.get(sid, ""), found)
        # The last change of a server that no entry shows was a deletion, most likely.
        hidden = any(
            newest.get(sid, "") < now[sid] for sid in numbers.moved(before, now)
        )
        vanished = Vanished.SUSPECTED if hidden else Vanished.UNTOLD
        new = self._sealed(mode, naming, session, now)
        return self._again(fresh, session, naming, new, vanished)

    def _changed(
        self,
        attribute: str,
        bound: str,
        session: Session,
        naming: Place,
        which: str | None = None,
    ) -> list[RawEntry] | None:
        later = ldap_filter.at_least(attribute, bound)
        query = Query(
            base=naming.suffix,
            filter=ldap_filter.all_of(later, which),
            attributes=_each_once(*self._ids, self._key, attribute, _MADE),
        )
        keys = read_keys(session, query, self._scope.patience)
        if keys is None:
            return None
        shown = (self._key.lower(), attribute.lower())
        return keys if all(_text(raw, name) for raw in keys for name in shown) else None

    def _again(
        self,
        keys: Iterable[RawEntry],
        session: Session,
        naming: Place,
        new: Cursor,
        vanished: Vanished,
    ) -> list[ReadItem] | None:
        wanted = [
            Key(
                self._scope.entry(raw).id,
                ldap_filter.equals(self._key, _text(raw, self._key.lower())),
            )
            for raw in keys
        ]
        items = read_again(self._scope, naming, session, wanted)
        if items is None:
            return None
        return self._concluded(items, session, naming, new, vanished)

    def _concluded(
        self,
        items: list[ReadItem],
        session: Session,
        naming: Place,
        new: Cursor,
        vanished: Vanished,
    ) -> list[ReadItem] | None:
        """End a delta, with who else must be told; None where it is not believed."""
        entries = doubts.told_entries(items)
        if doubts.shares_ids(self._scope, naming, session, entries):
            return None
        groups = doubts.groups_of(self._scope, naming, session, entries)
        if groups is None:
            return None
        ids = {one.id for one in entries}
        if items and self._settable and vanished is Vanished.TOLD:
            vanished = Vanished.IF_NEW
        further = [group for group in groups if group.id not in ids]
        return [*items, *further, told(session, naming, new, vanished)]

    # --- times -------------------------------------------------------------------

    def _begin_times(
        self, session: Session, naming: Place, deadline: Deadline
    ) -> dict[str, str] | None:
        """Find the newest change; what the server calls now is nowhere to be read."""
        query = Query(base=naming.suffix, filter=_ANY, scope="BASE", attributes=_TIMES)
        root = session.search(query, deadline).entries
        shown = (name for name in _TIMES if root and _text(root[0], name.lower()))
        for attribute in shown:
            if self._proofs.sampled(attribute, session, naming, deadline):
                start = numbers.written_time(attribute, datetime.now(UTC) - BACK)
                keys = self._changed(attribute, start, session, naming)
                if keys is not None:
                    return _times_state(
                        self._key, attribute, start, keys, session.server
                    )
        return None

    def _times(
        self, state: Mapping[str, str], session: Session, naming: Place
    ) -> list[ReadItem] | None:
        """Ask for later times, with an overlap; what was seen in it is left out.

        Of two changes within the grain of a time the second would look as if it had
        been seen, so where the grain is a second the newest are read once more.
        """
        attribute, newest = state.get("attribute", ""), state.get("newest", "")
        if state.get("server") != session.server or not newest or not attribute:
            return None
        keys = self._changed(attribute, numbers.earlier(newest), session, naming)
        if keys is None:
            return None
        seen = set(state.get("seen", "").split())
        if seen and seen.isdisjoint(
            _mark_of(raw, self._key, attribute) for raw in keys
        ):
            # A server that was restored shows nothing of what it showed.
            return None
        is_fresh = self._freshness(attribute, state.get("sure", ""), seen)
        fresh = [raw for raw in keys if is_fresh(raw)]
        if fresh:
            begin = numbers.earlier(newest)
            found = self._reaching(attribute, begin, newest, session, naming)
            if found is None or any(map(is_fresh, found)):
                return None
        after = _times_state(self._key, attribute, newest, keys, session.server)
        new = self._seal(Mode.TIMES, naming, after)
        return self._again(fresh, session, naming, new, Vanished.UNTOLD)

    def _freshness(
        self, attribute: str, sure: str, seen: Iterable[str]
    ) -> Callable[[RawEntry], bool]:
        name = attribute.lower()

        def is_fresh(raw: RawEntry) -> bool:
            again = bool(sure) and sure <= _text(raw, name) < numbers.horizon(attribute)
            return again or _mark_of(raw, self._key, attribute) not in seen

        return is_fresh

    def _sealed(
        self, mode: Mode, naming: Place, session: Session, csns: Csns
    ) -> Cursor:
        state = {"csns": numbers.written(csns), "server": session.server}
        return self._seal(mode, naming, state)

    def _seal(self, mode: Mode, naming: Place, state: Mapping[str, str]) -> Cursor:
        return cursors.seal(mode, self._scope.fingerprint(naming), state)


def _context(session: Session, naming: Place, deadline: Deadline) -> Csns:
    """Return up to where the server knows all changes; empty where it is not told."""
    query = Query(
        base=naming.suffix, filter=_ANY, scope="BASE", attributes=("contextCSN",)
    )
    found = session.search(query, deadline).entries
    values = found[0].attributes.get("contextcsn", ()) if found else ()
    return numbers.parsed(value.decode("utf-8", "replace") for value in values)


def _provides(session: Session, naming: Place, csns: Csns, deadline: Deadline) -> bool:
    """Whether syncprov keeps contextCSN up to date, proven by a question to it.

    Without the overlay the value may be one that a load or an earlier set-up left
    there, which nobody moves any more; and supportedControl names RFC 4533 as soon as
    the module is loaded, for whichever database.
    """
    query = Query(
        base=naming.suffix,
        filter=_NOBODY,
        attributes=("1.1",),
        controls=(sync_request(SyncMode.REFRESH_ONLY, numbers.cookie(csns)),),
    )
    answer = session.search(query, deadline)
    return answer.good and SYNC_DONE_OID in answer.controls


def _after(raw: RawEntry, before: Csns) -> Csns:
    """Return an entry's change number by its server, if it came after the cursor."""
    found = numbers.parsed([_text(raw, "entrycsn")])
    return {sid: csn for sid, csn in found.items() if csn > before.get(sid, "")}


def _answered(answer: Answer) -> _Answered:
    """Sort what came.

    Raises:
        RemoteProtocolError: It is no answer of RFC 4533.
    """
    done = parse_sync_done(answer.controls.get(SYNC_DONE_OID, b""))
    named = done.refresh_deletes
    deleted: list[bytes] = []
    entries: list[RawEntry] = []
    for value in answer.infos:
        info = parse_sync_info(value)
        if info.phase is SyncPhase.REFRESH_PRESENT:
            named = False
        if info.phase is SyncPhase.ID_SET and info.refresh_deletes:
            deleted += info.uuids
        elif info.phase is SyncPhase.ID_SET:
            named = False
    for raw in answer.entries:
        state = parse_sync_state(raw.controls.get(SYNC_STATE_OID, b""))
        if state.state is SyncChange.DELETE:
            deleted.append(state.entry_uuid)
        elif state.state is SyncChange.PRESENT:
            named = False
        else:
            # The octets had the state in them, which those of a full read have not.
            entries.append(raw._replace(digest=b""))
    uuids = tuple(dict.fromkeys(str(UUID(bytes=one)) for one in deleted))
    return _Answered(tuple(entries), uuids, named, numbers.csns_in(done.cookie))


def _times_state(
    key: str,
    attribute: str,
    newest: str,
    keys: Iterable[RawEntry],
    server: str,
) -> dict[str, str]:
    """Return the cursor's state: the newest change, and who is within the overlap."""
    name = attribute.lower()
    there = list(keys)
    horizon = numbers.horizon(attribute)
    times = [_text(raw, name) for raw in there]
    newest = max([newest, *(one for one in times if one < horizon)])
    # Two changes within the grain of a time look like one as long as it lasts.
    lasts = newest > numbers.written_time(
        attribute, datetime.now(UTC) - numbers.OVERLAP
    )
    begin = numbers.earlier(newest)
    seen = {_mark_of(raw, key, attribute) for raw in there if _text(raw, name) >= begin}
    return {
        "server": server,
        "attribute": attribute,
        "newest": newest,
        "sure": newest if lasts and attribute != "entryCSN" else "",
        "seen": " ".join(sorted(seen)),
    }


def _mark_of(raw: RawEntry, key: str, attribute: str) -> str:
    text = f"{_text(raw, key.lower())} {_text(raw, attribute.lower())}"
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


_text = doubts.first_text


def _each_once(*names: str) -> tuple[str, ...]:
    return tuple({name.lower(): name for name in names}.values())


_INDEX = "index entryCSN,entryUUID,modifyTimestamp eq"
_WAYS = {
    Mode.SYNCREPL: "Changes come by RFC 4533 (syncprov). Without `syncprov-sessionlog "
    f"10000` and `{_INDEX}` in slapd's database each change costs it a look at all "
    "entries.",
    Mode.CSN: "Changes come by the entries' change numbers; deletions are found by a "
    "sweep of all ids.",
    Mode.TIMES: "Changes come by the entries' times; deletions are found by a sweep of "
    "all ids. Not needed, but faster: `overlay syncprov`, `syncprov-sessionlog 10000` "
    f"and `{_INDEX}` in slapd's database, and read access to contextCSN of the suffix.",
}
_NO_WAY = (
    "The server tells no changes: everything is read each time.",
    "Not needed, but faster: let the service account read and search entryUUID, and "
    "entryCSN or modifyTimestamp, of all entries.",
)
_BACK_LINKED = (
    "The mapping or the filter uses memberOf, whose changes this server does not tell: "
    "everything is read each time.",
    "Not needed, but faster: `overlay syncprov` with `syncprov-sessionlog 10000`, or "
    "`member` of the groups instead of memberOf.",
)
