"""Reading a directory over LDAP, whatever its kind.

What differs between Active Directory, Open Directory and plain LDAP servers comes
in as `Traits`: values and functions. There is no `if` on the kind here.

Silence is never absence: how a read ends is told by `reading`, what changed since the
last one by `changes`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple, Protocol, TypeVar
from weakref import WeakKeyDictionary

from dirbridge.config.settings import DirectorySettings
from dirbridge.connectors import kinds
from dirbridge.connectors.base import Known, ReadItem
from dirbridge.connectors.changes import Changes, Scope, with_cursor, without_known
from dirbridge.connectors.examination import examine, exclusion_finding
from dirbridge.connectors.kinds import KindOf
from dirbridge.connectors.reading import Reading
from dirbridge.directory import dn, guid
from dirbridge.directory import filter as ldap_filter
from dirbridge.directory.errors import Undecodable
from dirbridge.errors import BindRefused, DirectoryError, Unreachable, Unsupported
from dirbridge.ldap.access import Endpoint
from dirbridge.ldap.client import Client, RootDse
from dirbridge.ldap.failover import Failover, ServerState
from dirbridge.ldap.ranges import with_whole_ranges
from dirbridge.ldap.session import (
    INSUFFICIENT_ACCESS,
    INVALID_DN,
    NO_SUCH_OBJECT,
    OPERATIONS_ERROR,
    REFERRAL,
    Answer,
    Query,
    RawEntry,
    Session,
)
from dirbridge.ldap.watching import Pace, Watch
from dirbridge.model.deadline import Deadline
from dirbridge.model.entry import (
    Cursor,
    Entry,
    Exclusion,
    Finished,
    Found,
    ReadKind,
    Unchanged,
)
from dirbridge.model.finding import Finding
from dirbridge.model.names import DirectoryId, DomainName
from dirbridge.model.quick import remaker

_entry = remaker(Entry)

LOOKUP_LIMIT = 20
"""Most entries that a look-up by name shows."""

R = TypeVar("R")


class Selection(Protocol):
    """What a connector needs of a mapping profile."""

    @property
    def id(self) -> str:
        """The identity attribute."""
        ...

    @property
    def base_filter(self) -> str:
        """What all accounts have in common."""
        ...

    @property
    def exclude(self) -> Sequence[Exclusion]:
        """What is left out of the accounts, with the reason."""
        ...

    @property
    def group_filter(self) -> str | None:
        """What all groups have in common; None where none are read."""
        ...

    @property
    def contact_filter(self) -> str | None:
        """What all contacts have in common; None where none are read."""
        ...

    @property
    def login_attributes(self) -> frozenset[str]:
        """Where login names come from, in lower case."""
        ...

    @property
    def attributes(self) -> Collection[str]:
        """Every attribute that a rule reads."""
        ...


@dataclass(frozen=True, slots=True)
class Naming:
    """Where a server keeps things.

    Attributes:
        suffix: The naming context.
        base: The DN to read below.
    """

    suffix: str
    base: str


@dataclass(frozen=True, slots=True)
class Mismatch:
    """The server is not the one that the settings describe."""

    expected: str
    found: str


Values = Mapping[str, tuple[bytes, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Traits:
    """What sets one kind of directory apart from the others.

    Attributes:
        kind_of: Tells accounts, groups and contacts apart.
        naming: Finds suffix and base from what the server says.
        id_fallback: Identity attribute of entries that lack the profile's.
        find: The search for one entry by its id.
        names: The filter for a name that somebody typed.
        watch: The search that tells of changes below a suffix, as long as it is open.
        state_attributes: The account's state, asked for one entry only.
        state: Reads what of the state needs searches of its own, for `find` only;
            returns further attributes, names in lower case.
        narrow: A filter that settings add, such as that of the place of people.
        contact: What a contact is besides the profile's filter. Who is not so would
            be taken for an account, beside the filters of accounts.
        compare: What `check` compares beyond the base, on a bound session.
        changes: How what changed is learned, or None: everything is read each time.
        stamps: What deltas search by. Full reads ask for it too, as a server that
            hides it from us answers a delta with a success and nobody.
    """

    kind_of: KindOf
    naming: Callable[[RootDse], Naming | Mismatch]
    find: Callable[[DirectoryId, Naming], Query]
    names: Callable[[str], str]
    watch: Callable[[Session, str, Deadline], Query]
    id_fallback: str | None = None
    state_attributes: Sequence[str] = ()
    state: Callable[[Session, Naming, Entry, Deadline], Values] | None = None
    narrow: str | None = None
    contact: str | None = None
    compare: Callable[[Session, RootDse, Deadline], list[Finding]]
    changes: Callable[[Scope], Changes] | None = None
    stamps: Sequence[str] = ()


class LdapDirectory:
    """A connector for one kind of LDAP directory; see `connectors.base`."""

    def __init__(
        self,
        domain: DomainName,
        settings: DirectorySettings,
        selection: Selection,
        client: Client,
        traits: Traits,
        *,
        source: str = "directory",
    ) -> None:
        self._domain = domain
        self._selection = selection
        self._client = client
        self._traits = traits
        self._source = source
        self._scope_filter = ldap_filter.all_of(
            selection.base_filter, settings.filter, traits.narrow
        )
        self._account_filter = ldap_filter.all_of(
            self._scope_filter,
            *(ldap_filter.negate(each.filter) for each in selection.exclude),
        )
        recipients = (selection.group_filter, _contacts(selection, traits))
        self._filter = ldap_filter.any_of(self._account_filter, *recipients)
        self._kind_of = traits.kind_of if any(recipients) else kinds.account
        ids = (selection.id, traits.id_fallback or selection.id)
        self._attributes = _unique((*selection.attributes, *ids, *traits.stamps))
        self._ids = tuple(name.lower() for name in self._id_attributes)
        self._changes = traits.changes(self._scope()) if traits.changes else None
        self._places: WeakKeyDictionary[Session, Naming] = WeakKeyDictionary()

    @property
    def source(self) -> str:
        """Name of the directory within its domain."""
        return self._source

    @property
    def failover(self) -> Failover:
        """Which server is asked; shared with the logins by LDAP bind."""
        return self._client.failover

    def states(self) -> tuple[ServerState, ...]:
        """Return what is known of each server."""
        return self._client.states()

    def close(self) -> None:
        """Close kept connections."""
        self._client.close()

    def read(
        self,
        cursor: Cursor | None = None,
        known: Known | None = None,
        *,
        full: bool = False,
    ) -> Iterator[ReadItem]:
        """Stream all entries, or what changed; see `Connector.read`."""
        delta = None if full else self._delta(cursor)
        if delta is not None:
            yield from without_known(delta, known)
            return
        begun = self._begin(self._attributes, after=cursor, known=known)
        mark, stamp = begun.mark, self._stamp(begun.mark)
        for item in self._items(begun):
            if isinstance(item, Finished):
                yield with_cursor(item, mark)
                return
            if stamp and isinstance(item, Entry) and stamp not in item.attributes:
                mark = None  # what changes there would never be told
            yield item

    def _stamp(self, mark: Cursor | None) -> str:
        if mark is None or self._changes is None:
            return ""
        return self._changes.stamp(mark)

    def sweep(self, cursor: Cursor | None = None) -> Iterator[DirectoryId | Finished]:
        """Stream the ids of all entries in scope; see `Connector.sweep`."""
        ids = _unique(self._id_attributes)
        for item in self._items(self._begin(ids, after=cursor)):
            yield item if isinstance(item, Finished) else item.id

    def _delta(self, cursor: Cursor | None) -> Sequence[ReadItem] | None:
        """Read what changed, on a kept session; None where all must be read."""
        changes = self._changes
        if cursor is None or changes is None:
            return None

        def work(session: Session, deadline: Deadline) -> Sequence[ReadItem] | None:
            naming, _ = self._place(session, deadline)
            return changes.since(cursor, session, naming)

        return self._client.run(work)

    def find(
        self, directory_id: DirectoryId, deadline: Deadline | None = None
    ) -> Entry | None:
        """Read one entry with its state; see `Connector.find`."""

        def work(session: Session, deadline: Deadline) -> Entry | None:
            naming, soon = self._place(session, deadline)
            try:
                query = self._traits.find(directory_id, naming)
            except Undecodable:
                return None
            found = self._all(session, self._with_state(query), soon)
            same = [e for raw in found if (e := self.entry(raw)).id == directory_id]
            if len(same) > 1:
                raise self._unsupported(session, "duplicate-id", str(directory_id))
            entry = next(iter(same), None)
            if entry is None or self._traits.state is None:
                return entry
            more = self._traits.state(session, naming, entry, deadline)
            return replace(entry, attributes={**entry.attributes, **more})

        return self._client.run(work, deadline)

    def ask(self, question: Callable[[Session, Deadline], R], deadline: Deadline) -> R:
        """Ask the first usable server something, as the service account.

        Raises:
            DirectoryError: It cannot be asked, not in time either.
        """
        return self._client.run(question, deadline)

    def lookup(self, name: str) -> tuple[Found, ...]:
        """Look a typed name up; see `Connector.lookup`."""

        def work(session: Session, deadline: Deadline) -> tuple[Found, ...]:
            naming = self._naming(session, deadline)
            query = Query(
                base=naming.suffix,
                filter=self._traits.names(name.strip()),
                size_limit=LOOKUP_LIMIT,
            )
            found = self._all(session, self._with_state(query), deadline)
            entries = [e for raw in found if (e := self.entry(raw)).id]
            return tuple(self._found(session, naming, e, deadline) for e in entries)

        return self._client.run(work)

    def check(self) -> list[Finding]:
        """Try every server; see `Connector.check`."""
        return [
            finding
            for server in self._client.failover.servers
            for finding in examine(server, self._client, self._examine_base)
        ]

    def watch(self, changed: Callable[[], None], stop: threading.Event) -> None:
        """Say when something changed, until stopped; see `Connector.watch`."""
        self.watching().run(changed, stop)

    def watching(self, pace: Pace | None = None) -> Watch:
        """Return what watches; at other times than usual if told so."""

        def question(session: Session, deadline: Deadline) -> Query:
            naming = self._naming(session, deadline)
            return self._traits.watch(session, naming.suffix, deadline)

        return Watch(self._client, question, pace)

    def entry(self, raw: RawEntry) -> Entry:
        """Give an entry its kind and its id, "" where it has none that can be read."""
        found = _id_of(raw.attributes, self._ids)
        kind = self._kind_of(raw.dn, raw.attributes)
        return _entry(found, raw.dn, raw.attributes, kind, raw.digest)

    @property
    def _id_attributes(self) -> tuple[str, ...]:
        fallback = self._traits.id_fallback
        return (self._selection.id, *([fallback] if fallback else []))

    def _begin(
        self,
        attributes: tuple[str, ...],
        *,
        after: Cursor | None = None,
        known: Known | None = None,
    ) -> _Begun:
        """Begin a read of everything; an error is raised here or not at all."""

        def work(
            session: Session, deadline: Deadline
        ) -> tuple[Naming, Cursor | None, Reading]:
            naming = self._naming(session, deadline)
            # Both refuse a server that is behind: what that one lacks is not gone.
            mark = None
            if self._changes is not None and attributes == self._attributes:
                mark = self._changes.mark(session, naming, deadline, after)
            elif self._changes is not None and after is not None:
                self._changes.behind(after, session, naming, deadline)
            query = Query(base=naming.base, filter=self._filter, attributes=attributes)
            reading = Reading(
                session,
                query,
                entry=self.entry,
                beside=partial(self._open_beside, session),
                known=known,
                first=deadline,
                ids_only=attributes != self._attributes,
            )
            if reading.result is not None:
                end = Answer((), reading.result.code, reading.result.text)
                self._refuse(session, naming.base, end)
            return naming, mark, reading

        server, session, (naming, mark, reading) = self._client.begin(work)
        return _Begun(server, session, naming, mark, reading)

    def _open_beside(self, session: Session) -> Session:
        access = self._client.access
        limit = Deadline.after(access.connect_seconds + access.read_seconds)
        return self._client.open(session.transport.endpoint, limit)

    def _items(self, begun: _Begun) -> Iterator[Entry | Unchanged | Finished]:
        try:
            yield from begun.reading.items()
            yield begun.reading.finished(begun.naming.base)
        except DirectoryError as error:
            if isinstance(error, Unreachable):
                self._client.failover.note_failure(begun.server, error)
            yield Finished(
                ReadKind.FULL,
                complete=False,
                server=begun.session.server,
                base=begun.naming.base,
                why=f"{error.code} {error.detail}".strip(),
            )
        finally:
            begun.reading.close()
            begun.session.close()

    def _scope(self) -> Scope:
        access = self._client.access
        return Scope(
            filter=self._filter,
            attributes=self._attributes,
            id=self._selection.id,
            id_fallback=self._traits.id_fallback,
            account=self._client.account.username,
            entry=self.entry,
            soon=access.connect_seconds,
            patience=access.read_seconds,
            lone=lambda: len(self._client.failover.servers) == 1,
        )

    def _place(self, session: Session, deadline: Deadline) -> tuple[Naming, Deadline]:
        """Return where a server keeps things, and when the next answer must be there.

        A kept session is not asked again; its next answer is the sign of life.
        """
        naming = self._places.get(session)
        if naming is not None:
            return naming, deadline.soon(self._client.access.connect_seconds)
        naming = self._naming(session, deadline)
        self._places[session] = naming
        return naming, deadline

    def _naming(self, session: Session, deadline: Deadline) -> Naming:
        # The first question on a kept session also tells whether it still lives: a
        # frozen server is to be noticed as fast here as at connecting.
        soon = deadline.soon(self._client.access.connect_seconds)
        naming = self._traits.naming(self._client.read_root(session, soon))
        if isinstance(naming, Mismatch):
            raise self._unsupported(
                session,
                "base-mismatch",
                f"the settings say {naming.expected}, the server has {naming.found}",
            )
        return naming

    def _with_state(self, query: Query) -> Query:
        attributes = _unique((*self._attributes, *self._traits.state_attributes))
        return Query(
            base=query.base,
            filter=query.filter,
            scope=query.scope,
            size_limit=query.size_limit,
            attributes=attributes,
        )

    def _all(
        self, session: Session, query: Query, deadline: Deadline
    ) -> tuple[RawEntry, ...]:
        """Search unpaged; no entry and no such object are the same answer here."""
        answer = session.search(query, deadline)
        if answer.code == NO_SUCH_OBJECT and query.base.startswith("<"):
            return ()
        if not answer.good and not (query.size_limit and answer.entries):
            self._refuse(session, query.base, answer)
            raise self._unsupported(session, "search-failed", answer.why())
        return with_whole_ranges(session, answer, deadline).entries

    def _found(
        self, session: Session, naming: Naming, entry: Entry, deadline: Deadline
    ) -> Found:
        def matches(text: str) -> bool:
            query = Query(base=entry.dn, filter=text, scope="BASE")
            return bool(session.search(query, deadline).entries)

        return Found(
            entry,
            tuple(e for e in self._selection.exclude if matches(e.filter)),
            _below(entry.dn, naming.base) and matches(self._scope_filter),
            session.server,
        )

    def _examine_base(
        self, session: Session, deadline: Deadline
    ) -> tuple[str, bool, list[Finding]]:
        """Return base, whether it has accounts, and what else was compared."""
        root = self._client.read_root(session, deadline)
        naming = self._naming(session, deadline)
        answer = self._one_page(session, naming, self._account_filter, deadline)
        if not answer.good:
            self._refuse(session, naming.base, answer)
            raise self._unsupported(session, "search-failed", answer.why())
        more = self._traits.compare(session, root, deadline)
        if not answer.entries:
            more += self._hiding(session, naming, deadline)
        elif self._changes is not None:
            more += self._changes.describe(session, naming, deadline)
        return naming.base, bool(answer.entries), more

    def _one_page(
        self, session: Session, naming: Naming, text: str, deadline: Deadline
    ) -> Answer:
        query = Query(base=naming.base, filter=text)
        return session.search(query, deadline, page=1)

    def _hiding(
        self, session: Session, naming: Naming, deadline: Deadline
    ) -> list[Finding]:
        """Name each exclusion that by itself leaves nobody of many.

        NOT of what a server cannot tell, such as an attribute that it does not
        know, is no entry at all (RFC 4511 4.5.1.7).
        """

        def is_there(text: str) -> bool:
            return bool(self._one_page(session, naming, text, deadline).entries)

        scope = self._scope_filter
        if not is_there(scope):
            return []
        return [
            exclusion_finding(session.server, each)
            for each in self._selection.exclude
            if not is_there(ldap_filter.all_of(scope, ldap_filter.negate(each.filter)))
        ]

    def _refuse(self, session: Session, base: str, answer: Answer) -> None:
        """Raise for answers that are about the base or about our rights."""
        if answer.code in _NO_BASE:
            raise self._unsupported(session, "base-missing", f"{base} {answer.why()}")
        if answer.code in (INSUFFICIENT_ACCESS, OPERATIONS_ERROR):
            raise BindRefused(
                domain=self._domain,
                server=session.server,
                operation="read",
                code="rights",
                detail=f"{base} {answer.why()}",
            )

    def _unsupported(self, session: Session, code: str, detail: str) -> DirectoryError:
        return Unsupported(
            domain=self._domain,
            server=session.server,
            operation="read",
            code=code,
            detail=detail,
        )


_NO_BASE = (NO_SUCH_OBJECT, INVALID_DN, REFERRAL)


class _Begun(NamedTuple):
    """A read of everything that has begun on some server."""

    server: Endpoint
    session: Session
    naming: Naming
    mark: Cursor | None
    reading: Reading


def _contacts(selection: Selection, traits: Traits) -> str | None:
    wanted = selection.contact_filter
    return wanted and ldap_filter.all_of(wanted, traits.contact)


def _id_of(attributes: Values, names: Sequence[str]) -> DirectoryId:
    for name in names:
        values = attributes.get(name)
        if values:
            try:
                return guid.decode_id(name, values[0])
            except Undecodable:
                continue
    return DirectoryId("")


def _below(entry: str, base: str) -> bool:
    try:
        return dn.is_below(entry, base)
    except Undecodable:
        return False


def _unique(names: Sequence[str]) -> tuple[str, ...]:
    """Return each attribute once, without regard to case, sorted."""
    return tuple(sorted({name.lower(): name for name in names}.values()))


def same_dn(one: str, other: str) -> bool:
    """Whether two DNs are the same; what is no DN is compared as text."""
    try:
        return dn.comparable(one) == dn.comparable(other)
    except Undecodable:
        return one == other


def one_value(entry: Mapping[str, Sequence[bytes]], name: str) -> str:
    """Return an attribute's first value as text for people, "" where none."""
    values = entry.get(name.lower(), ())
    return values[0].decode("utf-8", "replace") if values else ""
