"""What changed in Open Directory, OpenLDAP and their kin.

| mode | needs | who went |
|---|---|---|
| `syncrepl` | overlay syncprov with a session log, contextCSN readable | is named |
| `csn` | overlay syncprov, contextCSN readable | is not named |
| `times` | nothing: entryCSN or modifyTimestamp of the entries | is not named |

`syncrepl` is RFC 4533 refreshOnly. Its cookie is made of the contextCSN that was read
before a paged full read, so the first load needs no search of everything at once
(facts: performance 4). Without a session log the server answers each change with the
ids of all entries; then the entries themselves are asked for their change numbers, at
a hundredth of that. Nothing is ever concluded from such a list of who is present: a
server that cut it short would empty the mail system (facts: ad-semantics 4e).

Deletions are named by entryUUID alone. Where the accounts' id is another attribute
the deleted entry cannot be asked for it, so the end of the delta says `SUSPECTED`.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from uuid import UUID

from dirbridge.connectors import cursors
from dirbridge.connectors.base import ReadItem
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

OVERLAP = timedelta(minutes=5)
"""A change may become visible that much later than its time says: clocks, replicas."""

BACK = timedelta(days=1)
"""How far back the newest entry is looked for, where nothing else tells the time."""

_ANY = "(objectClass=*)"
_NOBODY = "(!(objectClass=*))"
_CSN = re.compile(
    r"(?P<when>\d{14}\.\d{6}Z#[0-9a-f]{6})#(?P<sid>[0-9a-f]{3})#[0-9a-f]{6}\Z",
    re.ASCII,
)
_COOKIE = re.compile(r"(?:\A|,)csn=(?P<csns>[^,]+)", re.ASCII)

Csns = Mapping[str, str]
"""The newest change number of each server that may be written to, by its number."""


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

    def mark(
        self,
        session: Session,
        naming: Place,
        deadline: Deadline,
        after: Cursor | None = None,
    ) -> Cursor | None:
        """Say where a delta goes on; see `Changes.mark`."""
        csns = _context(session, naming, deadline)
        for mode in (Mode.SYNCREPL, Mode.CSN) if csns else ():
            state = cursors.unseal(after, mode, None)
            if state is not None:
                _see_progress(session, csns, _parsed(state.get("csns", "").split(";")))
        provider = bool(csns) and _provides(session, naming, csns, deadline)
        ways = {Mode.SYNCREPL: provider, Mode.CSN: provider, Mode.TIMES: True}
        for mode in self._modes:
            if ways[mode] and mode is not Mode.TIMES:
                return self._seal(mode, naming, {"csns": _written(csns)})
            if ways[mode]:
                start = self._begin_times(session, naming, deadline)
                return self._seal(mode, naming, start) if start else None
        return None

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
        before = _parsed(state.get("csns", "").split(";"))
        if not before:
            return None
        if mode is Mode.CSN or session.server in self._without_log:
            return self._numbers(mode, before, session, naming)
        return self._syncrepl(before, session, naming)

    def describe(
        self, session: Session, naming: Place, deadline: Deadline
    ) -> list[Finding]:
        """Say which way results; see `Changes.describe`."""
        cursor = self.mark(session, naming, deadline)
        text = _WAYS[Mode(cursor.kind)] if cursor else _NO_WAY
        return [Finding(session.server, "changes", Outcome.OK, text)]

    # --- RFC 4533 --------------------------------------------------------------

    def _syncrepl(
        self, before: Csns, session: Session, naming: Place
    ) -> list[ReadItem] | None:
        """Ask once: where nothing changed, that is the whole of it."""
        limit = self._scope.limit()
        query = Query(
            base=naming.base,
            filter=self._scope.filter,
            attributes=self._scope.attributes,
            controls=(sync_request(SyncMode.REFRESH_ONLY, _cookie(before)),),
        )
        answer = session.search(query, limit)
        if not answer.good or len(answer.entries) > MOST_CHANGED:
            # A server that is behind refuses a cookie from its future (53).
            if now := _context(session, naming, limit):
                _see_progress(session, now, before)
            return None
        try:
            answered = _answered(with_whole_ranges(session, answer, limit))
        except RemoteProtocolError:
            return None
        if not answered.named:
            self._without_log.add(session.server)
        return self._synchronised(answered, before, session, naming)

    def _synchronised(
        self, answered: _Answered, before: Csns, session: Session, naming: Place
    ) -> list[ReadItem] | None:
        # Where nothing changed there is no new cookie.
        now = {**before, **answered.csns}
        _see_progress(session, now, before)
        entries = [self._scope.entry(raw) for raw in answered.entries]
        ids = {entry.id for entry in entries}
        left = self._left(answered.deleted, session, naming)
        if left is None or "" in ids or len(ids) < len(entries):
            return None
        gone, unknown = left
        items: list[ReadItem] = list(entries)
        items += [Gone(one) for one in dict.fromkeys(gone) if one not in ids]
        all_named = answered.named and not unknown
        vanished = Vanished.TOLD if all_named else Vanished.SUSPECTED
        new = self._seal(Mode.SYNCREPL, naming, {"csns": _written(now)})
        return [*items, told(session, naming, new, vanished)]

    def _left(
        self, deleted: Sequence[str], session: Session, naming: Place
    ) -> tuple[list[DirectoryId], bool] | None:
        """Return who left, and whether some are gone whose id nobody can tell.

        An entry that only left the scope is still there and can be asked; one that
        was deleted had its entryUUID as id, or one that went with it.
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
            gone += [e.id for e in map(self._scope.entry, answer.entries) if e.id]
            away = [one for one in batch if one not in there]
            if "entryuuid" in {name.lower() for name in self._ids}:
                gone += map(DirectoryId, away)
            unknown = unknown or (self._scope.id.lower() != "entryuuid" and bool(away))
        return gone, unknown

    # --- change numbers ----------------------------------------------------------

    def _numbers(
        self, mode: Mode, before: Csns, session: Session, naming: Place
    ) -> list[ReadItem] | None:
        """Ask the entries for numbers above the cursor's, each by its own server's."""
        now = _context(session, naming, Deadline.after(self._scope.soon))
        if not now:
            return None
        _see_progress(session, now, before)
        if now == before:
            if not _provides(session, naming, now, self._scope.limit()):
                return None
            new = self._seal(mode, naming, {"csns": _written(before)})
            return [told(session, naming, new, Vanished.TOLD)]
        moved = [sid for sid, csn in now.items() if before.get(sid) != csn]
        bound = min((before.get(sid, "") for sid in moved), default="")
        if not bound:
            return None
        keys = self._changed("entryCSN", bound, session, naming)
        if keys is None:
            return None
        fresh = []
        newest: dict[str, str] = {}
        for raw in keys:
            csn = _text(raw, "entrycsn")
            for sid, found in _parsed([csn]).items():
                if found > before.get(sid, ""):
                    fresh.append(raw)
                    newest[sid] = max(newest.get(sid, ""), found)
        # The last change of a server that no entry shows was a deletion, most likely.
        hidden = any(newest.get(sid, "") < now[sid] for sid in moved)
        vanished = Vanished.SUSPECTED if hidden else Vanished.UNTOLD
        new = self._seal(mode, naming, {"csns": _written(now)})
        return self._again(fresh, session, naming, new, vanished)

    def _changed(
        self, attribute: str, bound: str, session: Session, naming: Place
    ) -> list[RawEntry] | None:
        query = Query(
            base=naming.suffix,
            filter=ldap_filter.at_least(attribute, bound),
            attributes=_each_once(*self._ids, self._key, attribute),
        )
        keys = read_keys(session, query, self._scope.patience)
        if keys is None or any(not _text(raw, self._key.lower()) for raw in keys):
            return None
        return keys

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
        return [*items, told(session, naming, new, vanished)]

    # --- times -------------------------------------------------------------------

    def _begin_times(
        self, session: Session, naming: Place, deadline: Deadline
    ) -> dict[str, str] | None:
        """Find the newest change; what the server calls now is nowhere to be read."""
        query = Query(
            base=naming.suffix,
            filter=_ANY,
            scope="BASE",
            attributes=("entryCSN", "modifyTimestamp"),
        )
        root = session.search(query, deadline).entries
        if not root:
            return None
        attribute = "entryCSN" if _text(root[0], "entrycsn") else "modifyTimestamp"
        if not _text(root[0], attribute.lower()):
            return None
        start = _written_time(attribute, datetime.now(UTC) - BACK)
        keys = self._changed(attribute, start, session, naming)
        if keys is None:
            return None
        return _times_state(self._key, attribute, start, keys, session.server)

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
        keys = self._changed(attribute, _earlier(newest), session, naming)
        if keys is None:
            return None
        seen = set(state.get("seen", "").split())
        sure = "" if attribute == "entryCSN" else newest
        fresh = [
            raw
            for raw in keys
            if _mark_of(raw, self._key, attribute) not in seen
            or (sure and _text(raw, attribute.lower()) >= sure)
        ]
        after = _times_state(self._key, attribute, newest, keys, session.server)
        new = self._seal(Mode.TIMES, naming, after)
        return self._again(fresh, session, naming, new, Vanished.UNTOLD)

    def _seal(self, mode: Mode, naming: Place, state: Mapping[str, str]) -> Cursor:
        return cursors.seal(mode, self._scope.fingerprint(naming), state)


def _context(session: Session, naming: Place, deadline: Deadline) -> Csns:
    """Return up to where the server knows all changes; empty where it is not told."""
    query = Query(
        base=naming.suffix, filter=_ANY, scope="BASE", attributes=("contextCSN",)
    )
    found = session.search(query, deadline).entries
    values = found[0].attributes.get("contextcsn", ()) if found else ()
    return _parsed(value.decode("utf-8", "replace") for value in values)


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
        controls=(sync_request(SyncMode.REFRESH_ONLY, _cookie(csns)),),
    )
    answer = session.search(query, deadline)
    return answer.good and SYNC_DONE_OID in answer.controls


def _cookie(csns: Csns) -> bytes:
    """Write OpenLDAP's cookie; as a consumer we are number 0 of none."""
    return f"rid=000,csn={_written(csns)}".encode()


def _see_progress(session: Session, now: Csns, before: Csns) -> None:
    """Refuse a server that lacks changes which were read from another one.

    Raises:
        Unreachable: It is behind.
    """
    lacking = [csn for sid, csn in before.items() if now.get(sid, "") < csn]
    if lacking:
        raise behind(session, f"it has not seen the change {lacking[0]} yet")


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
    return _Answered(tuple(entries), uuids, named, _csns_of(done.cookie))


def _csns_of(cookie: bytes | None) -> Csns:
    """Return the change numbers in OpenLDAP's cookie, such as `rid=000,csn=...`."""
    match = _COOKIE.search((cookie or b"").decode("utf-8", "replace"))
    return _parsed(match["csns"].split(";")) if match else {}


def _parsed(values: Iterable[str]) -> dict[str, str]:
    """Read change numbers by server; one that is none makes all worthless."""
    found: dict[str, str] = {}
    for value in values:
        match = _CSN.match(value)
        if match is None:
            return {}
        found[match["sid"]] = value
    return found


def _written(csns: Csns) -> str:
    return ";".join(csns[sid] for sid in sorted(csns))


def _written_time(attribute: str, when: datetime) -> str:
    text = f"{when.year:04}{when:%m%d%H%M%S}"
    return (
        f"{text}.000000Z#000000#000#000000" if attribute == "entryCSN" else f"{text}Z"
    )


def _earlier(newest: str) -> str:
    """Return where to begin: the overlap before the newest change that was seen."""
    attribute = "entryCSN" if "#" in newest else "modifyTimestamp"
    try:
        when = datetime.strptime(newest[:14], "%Y%m%d%H%M%S").replace(tzinfo=UTC)
        return _written_time(attribute, when - OVERLAP)
    except (ValueError, OverflowError):
        return newest


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
    newest = max([newest, *(_text(raw, name) for raw in there)])
    begin = _earlier(newest)
    seen = {_mark_of(raw, key, attribute) for raw in there if _text(raw, name) >= begin}
    return {
        "server": server,
        "attribute": attribute,
        "newest": newest,
        "seen": " ".join(sorted(seen)),
    }


def _mark_of(raw: RawEntry, key: str, attribute: str) -> str:
    text = f"{_text(raw, key.lower())} {_text(raw, attribute.lower())}"
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def _text(raw: RawEntry, name: str) -> str:
    values = raw.attributes.get(name, ())
    return values[0].decode("utf-8", "replace") if values else ""


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
    "The server tells no changes: everything is read each time. It would need "
    "entryUUID with entryCSN or modifyTimestamp readable for the service account."
)
