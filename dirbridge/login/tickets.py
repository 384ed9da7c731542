"""Logins by ticket: whose principal it is, and whether that account may log in.

A ticket outlives a disabling by hours, so its account's entry is read live: it must be
the one that the ticket is for, and the directory must not refuse its person now. Only
that a smart card is asked for does not matter: it may be how the ticket was had. While
no server of the directory answers, what the last sync knew counts, and mail goes on,
unless the entry stood against the account when it was seen last, or showed another SID
than the ticket's. A fault of the set-up is no such outage: it lets nobody in.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from dirbridge.authenticators.live import Look, Standing
from dirbridge.authenticators.principals import Ticket, is_for, unquoted
from dirbridge.authenticators.vetoes import Sids, Vetoes
from dirbridge.errors import StoreError
from dirbridge.login.domains import Resolver
from dirbridge.login.refusals import barred_by, is_name
from dirbridge.model.account import Account, Origin
from dirbridge.model.deadline import Deadline
from dirbridge.model.login import (
    AWAY,
    Accepted,
    Cause,
    Reason,
    Rejected,
    TicketRequest,
    Unavailable,
    Verdict,
)
from dirbridge.model.names import DomainName, RealmName, fold
from dirbridge.store.base import NameKind

METHOD = "ticket"

_ANOTHER = "the ticket is for another entry"

Tickets = Callable[[TicketRequest, Deadline], Verdict]
"""Judges a login by ticket."""

Place = tuple[DomainName, str]
"""A directory: its mail domain and its name in it."""


def no_tickets(_request: TicketRequest, _deadline: Deadline) -> Verdict:
    """Say that nothing is set up for tickets."""
    return Unavailable(Cause.CONFIGURATION, detail="no realm has a keytab")


@dataclass(frozen=True, slots=True)
class TicketJudge:
    """Judge logins by ticket, from any thread.

    Attributes:
        places: The directories whose people come with tickets of a realm.
        resolver: Finds who is meant by a name.
        look: Reads an account's entry live.
        by_directory: Whether an account logs in by its directory at all; it may have
            been switched away. None where that cannot be read.
        refresh: Brings domains up to date for a name that nobody has.
        stale_locks: Directories whose lock may have run out long ago.
    """

    places: Mapping[RealmName, Collection[Place]]
    resolver: Resolver
    look: Look
    by_directory: Callable[[Account], bool | None]
    refresh: Callable[[Collection[DomainName], Deadline], Cause | None]
    stale_locks: Collection[Place] = ()
    _vetoes: Vetoes = field(default_factory=Vetoes)
    _sids: Sids = field(default_factory=Sids)

    def __call__(self, request: TicketRequest, deadline: Deadline) -> Verdict:
        """Judge a login by ticket; see `Tickets`."""
        if isinstance(request.doubt, Reason):
            return Rejected(request.doubt, method=METHOD, detail=request.detail)
        if request.doubt is not None:
            return Unavailable(request.doubt, method=METHOD, detail=request.detail)
        realm = RealmName(request.principal.rpartition("@")[2])
        try:
            return self._judged(request, realm, deadline)
        except StoreError as error:
            return Unavailable(Cause.STORE, "", METHOD, realm, error.code)

    def _judged(
        self, request: TicketRequest, realm: RealmName, deadline: Deadline
    ) -> Verdict:
        found = self._named(request.principal, realm)
        if not found:
            domains = tuple({domain for domain, _ in self.places.get(realm, ())})
            cause = self.refresh(domains, deadline) if domains else None
            if cause is not None:
                return Unavailable(cause, "", METHOD, realm, "for a name not known")
            found = self._named(request.principal, realm)
        if len(found) != 1:
            reason = Reason.AMBIGUOUS if found else Reason.UNKNOWN
            return Rejected(reason, "", METHOD, realm)
        return self._of(found[0], request, realm, deadline)

    def _of(
        self,
        account: Account,
        request: TicketRequest,
        realm: RealmName,
        deadline: Deadline,
    ) -> Verdict:
        user = account.canonical
        refused = self._against(account, request)
        if isinstance(refused, Reason):
            return Rejected(refused, user, METHOD, realm)
        by_directory = self.by_directory(account)
        if by_directory is None:
            return Unavailable(Cause.STORE, user, METHOD, realm)
        if not by_directory:
            detail = "the account was switched away from its directory"
            return Rejected(Reason.UNKNOWN, user, METHOD, realm, detail)
        standing = self.look(account, deadline)
        if isinstance(standing, Cause):
            return self._unseen(account, request, realm, standing)
        refused, detail = self._by_entry(account, request, realm, standing)
        if refused is not None:
            return Rejected(refused, user, METHOD, realm, detail)
        return Accepted(user, METHOD, realm)

    def _against(self, account: Account, request: TicketRequest) -> Reason | None:
        """Return what stands against a login before the directory is asked."""
        barred = barred_by(account, datetime.now(UTC))
        if barred is not None or self._is(account, request):
            return barred
        return Reason.OTHER_IDENTITY

    def _is(self, account: Account, request: TicketRequest) -> bool:
        """Whether whom the client wants to act for is the ticket's own person.

        To act as somebody else is a right that nobody has here.
        """
        wanted = request.identity
        if not wanted or fold(wanted) == fold(request.principal):
            return True
        if not is_name(wanted):
            return False
        found = self.resolver.resolve(wanted, request.local_ip, request.remote_ip)
        meant = found.account
        return meant is not None and meant.number == account.number

    def _by_entry(
        self,
        account: Account,
        request: TicketRequest,
        realm: RealmName,
        standing: Standing | Reason,
    ) -> tuple[Reason | None, str]:
        """Return what an entry says against the login, and in which words."""
        if isinstance(standing, Reason):
            return standing, "the directory has no such entry any more"
        own = account.values.directory_id
        self._sids.note(own, next(iter(standing.entry.values("objectSid")), None))
        ticket = Ticket(request.principal, request.sid)
        if is_for(ticket, standing.entry, realm) is False:
            return Reason.UNKNOWN, _ANOTHER
        passed_over = {Reason.SMARTCARD}
        if (account.domain, account.source) in self.stale_locks:
            passed_over.add(Reason.LOCKED)
        left = (one for one in standing.reasons if one not in passed_over)
        against = next(left, None)
        self._vetoes.note(own, against)
        return against, "the entry says so; the ticket is older" if against else ""

    def _unseen(
        self, account: Account, request: TicketRequest, realm: RealmName, cause: Cause
    ) -> Verdict:
        """Judge without the entry: what the last sync knew counts in an outage.

        Not where too many look at once, which whoever comes may bring about, nor where
        the directory cannot be read for another reason.
        """
        own, user = account.values.directory_id, account.canonical
        known, sid = self._vetoes.of(own), self._sids.of(own)
        if None not in (sid, request.sid) and sid != request.sid:
            return Rejected(Reason.UNKNOWN, user, METHOD, realm, _ANOTHER)
        if cause not in AWAY or known is not None:
            detail = f"refused when last seen: {known}" if known else ""
            return Unavailable(cause, user, METHOD, realm, detail)
        return Accepted(user, METHOD, realm)

    def _named(self, principal: str, realm: RealmName) -> tuple[Account, ...]:
        """Return the accounts that a principal may be, by the first kind of name."""
        places = self.places.get(realm, ())
        name = unquoted(principal[: -len(realm) - 1])
        if not is_name(name):
            return ()
        for found in self._lookups(name, realm, {domain for domain, _ in places}):
            mine = {
                one.number: one
                for one in found
                if one.origin is Origin.MAPPED and (one.domain, one.source) in places
            }
            if mine:
                return tuple(mine.values())
        return ()

    def _lookups(
        self, name: str, realm: RealmName, domains: Collection[DomainName]
    ) -> Iterator[list[Account]]:
        # A ticket by an enterprise name that the KDC did not translate has an @.
        upn = name if "@" in name else f"{name}@{realm.lower()}"
        for kind, wanted in ((NameKind.LOGIN, name), (NameKind.UPN, upn)):
            named = self.resolver.store.named
            yield [one for d in sorted(domains) for one in named(d, kind, wanted)]
