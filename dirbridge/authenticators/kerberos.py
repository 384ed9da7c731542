"""Passwords checked by the realm's KDC, and the KDC checked by us.

An AS exchange alone proves nothing, so the KDC proves itself by a ticket that only the
directory's keys open (`kdc_proofs`). A principal is no identity, and a KDC neither says
why it refuses somebody nor looks at everything that the directory does (workstations).
So the account's entry is read live, after the KDC has spoken and never instead of it:

- refused: a code that means several things becomes the reason that the entry shows;
- accepted: the ticket must be for the entry's person, and nothing in the entry may
  stand against the login.

Where the directory is away meanwhile, the KDC's word counts: it refuses whom the
directory has disabled, and mail goes on. Only who was let in by a KDC and refused by
the entry before has to wait until the entry can be read again. Where it is not away but
refuses us, or is not the right one, that may last: then only tickets count that are
known to be the account's, by the SID that its entry had.

A KDC time-out cannot be set, so the whole check runs in a bounded worker that is
left behind when the deadline passes. Nothing is written to disk.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from dirbridge.authenticators import kerberos_findings as findings
from dirbridge.authenticators.answers import Answers
from dirbridge.authenticators.kdc_proofs import Believed, ByBind, ByKeytab, KdcProof
from dirbridge.authenticators.live import Look, Standing
from dirbridge.authenticators.own_entry import Doubt
from dirbridge.authenticators.principals import Asked, Ticket, is_for, principal_of
from dirbridge.authenticators.sent_proofs import SentProofs
from dirbridge.authenticators.vetoes import Sids, Vetoes
from dirbridge.config.settings import DirectoryType, Method
from dirbridge.directory.kerberos_codes import BLURRED, CAUSES, REASONS
from dirbridge.ldap.bounded import Bounded, Full, Overdue
from dirbridge.model.account import Account
from dirbridge.model.deadline import Deadline
from dirbridge.model.finding import Finding
from dirbridge.model.login import Cause, Reason, Verdict
from dirbridge.model.names import RealmName
from dirbridge.model.secret import Secret

WORKERS = 32
"""Most checks on their way at once, abandoned ones included."""

LOOK_SECONDS = 3.0
"""Most seconds for the look at an account's entry, once the KDC has spoken."""

_SPARE = 0.1
"""Seconds of a deadline that are left for the way back."""

# An outage that ends by itself, for which mail does not stop. A fault of the set-up
# may last until the name has gone to somebody else.
_PASSING = frozenset({Cause.UNREACHABLE, Cause.TIMEOUT, Cause.BUSY})

_SID = "objectSid"
_CHECK_SECONDS = 10.0
_ANOTHER = "the name belongs to another entry by now"
_GONE = "the directory has no such entry any more"


@dataclass(frozen=True, slots=True, kw_only=True)
class Realm:
    """What the method needs to know of its realm.

    Attributes:
        name: The realm, in upper case.
        keytab: Our keytab, None where there is none.
        service: Our own name in it, such as `smtp/mail.company.com`; None takes
            the keytab's first.
        verify: Whether the KDC must prove itself.
        kind: The directory's type.
    """

    name: RealmName
    keytab: Path | None = None
    service: str | None = None
    verify: bool = True
    kind: DirectoryType = DirectoryType.ACTIVE_DIRECTORY


class KerberosAuthenticator:
    """The method `kerberos`; see `authenticators.base`.

    KRB5_CONFIG must be set before the first call: libkrb5 reads it then.
    """

    def __init__(
        self,
        realm: Realm,
        *,
        look: Look | None = None,
        by_bind: ByBind | None = None,
        proofs: SentProofs | None = None,
        workers: int = WORKERS,
    ) -> None:
        """Prepare the method; nobody is asked yet.

        Args:
            realm: The realm.
            look: Reads an account's entry; None where the directory is not asked.
            by_bind: How the KDC proves itself where there is no keytab.
            proofs: What the relay before the realm's KDCs knows.
            workers: Most checks at once.
        """
        self._realm = realm
        self._look = look
        self._by_bind = by_bind
        self._proof = _proof_of(realm, by_bind)
        self._proofs = proofs or SentProofs()
        self._bounded = Bounded("kerberos", workers)
        self._vetoes = Vetoes()
        self._sids = Sids()

    @property
    def method(self) -> str:
        """The method's name in the configuration."""
        return Method.KERBEROS.value

    def authenticate(
        self, account: Account, password: Secret, deadline: Deadline
    ) -> Verdict:
        """Check a password; see `Authenticator.authenticate`."""
        answer = Answers(account.canonical, self.method, self._realm.name)
        if not password:
            return answer.rejected(Reason.EMPTY_PASSWORD)
        if "\0" in password.reveal():
            # libkrb5 would stop reading there and take the rest for granted.
            return answer.rejected(Reason.BAD_PASSWORD)
        asked = principal_of(account, self._realm.name, lookup=self._looks_names_up)
        if asked is None or self._proof is None:
            lacking = "keytab" if asked else f"principal in {self._realm.name}"
            return answer.unavailable(Cause.CONFIGURATION, f"there is no {lacking}")
        work = partial(
            self._check, answer, account, asked, password, self._proof, deadline
        )
        return self._within(answer, work, deadline.left())

    def check(self) -> list[Finding]:
        """Say how the KDC proves itself and whether a KDC answers."""
        realm = self._realm
        if not realm.verify or realm.keytab is not None or self._by_bind is None:
            kind = realm.kind
            proof = findings.keytab(
                realm.name, realm.keytab, realm.service, kind, verify=realm.verify
            )
        else:
            proof = findings.bind(
                realm.name, realm.service, realm.kind, self._by_bind, _CHECK_SECONDS
            )
        return [proof, self._kdc_finding()]

    @property
    def _looks_names_up(self) -> bool:
        return self._realm.kind is DirectoryType.ACTIVE_DIRECTORY

    def _within(
        self, answer: Answers, work: Callable[[], Verdict], seconds: float
    ) -> Verdict:
        begun = self._proofs.now()
        try:
            return self._bounded.call(work, seconds)
        except Overdue:
            sent = self._proofs.unanswered(begun)
            return answer.unavailable(Cause.TIMEOUT, "the KDC is silent", sent=sent)
        except Full:
            return answer.unavailable(Cause.OVERLOADED, "too many checks wait already")

    def _check(
        self,
        answer: Answers,
        account: Account,
        asked: Asked,
        password: Secret,
        proof: KdcProof,
        deadline: Deadline,
    ) -> Verdict:
        from dirbridge.authenticators import gss  # noqa: PLC0415 - see its first lines

        begun = self._proofs.now()
        try:
            tickets = gss.acquire(asked.text, password, enterprise=asked.enterprise)
        except gss.GssFailure as error:
            sent = self._proofs.unanswered(begun)
            verdict = _judged(answer, error.code, error.words, sent=sent)
            return self._told(answer, account, error.code, verdict, deadline)
        proven = proof.prove(tickets, asked, account, deadline)
        if isinstance(proven, Doubt):
            return answer.told(proven.verdict, proven.detail)
        return self._let_in(answer, account, asked, proven, deadline)

    def _told(
        self,
        answer: Answers,
        account: Account,
        code: int,
        verdict: Verdict,
        deadline: Deadline,
    ) -> Verdict:
        """Tell what a refusal means that may mean several things."""
        meant = BLURRED.get(code)
        if meant is None:
            return verdict
        standing = self._looked_at(account, deadline)
        if not isinstance(standing, Standing):
            return verdict
        shown = next((one for one in standing.reasons if one in meant), None)
        if shown is None:
            return verdict
        return answer.rejected(shown, f"code {code}; the entry shows why")

    def _let_in(
        self,
        answer: Answers,
        account: Account,
        asked: Asked,
        ticket: Ticket,
        deadline: Deadline,
    ) -> Verdict:
        """Judge who has the right password by the account's own entry."""
        if self._look is None:
            return answer.accepted()
        standing = self._looked_at(account, deadline)
        if isinstance(standing, Reason):
            return answer.rejected(standing, _GONE)
        if isinstance(standing, Cause):
            return self._unseen(answer, account, asked, ticket, standing)
        self._sids.note(
            account.values.directory_id, next(iter(standing.entry.values(_SID)), None)
        )
        same = is_for(ticket, standing.entry, self._realm.name)
        if same is False or (same is None and asked.enterprise):
            return answer.rejected(Reason.UNKNOWN, _ANOTHER)
        against = self._against(standing)
        self._vetoes.note(account.values.directory_id, against)
        if against is not None:
            return answer.rejected(against, "the KDC does not look at it")
        return answer.accepted()

    def _unseen(
        self,
        answer: Answers,
        account: Account,
        asked: Asked,
        ticket: Ticket,
        cause: Cause,
    ) -> Verdict:
        """Judge without the entry: the KDC's word counts, unless it misled before."""
        if cause is Cause.OVERLOADED:  # ours, and somebody may have made it so
            return answer.unavailable(cause, "too many looks at entries wait already")
        known = self._vetoes.of(account.values.directory_id)
        if known is not None:
            return answer.unavailable(cause, f"refused when last seen: {known}")
        same = self._is_known_for(ticket, account)
        if same is False:
            return answer.rejected(Reason.UNKNOWN, _ANOTHER)
        if same is None and asked.enterprise:
            return answer.unavailable(cause, "an enterprise name needs the entry")
        if same is None and cause not in _PASSING:
            return answer.unavailable(cause, "whose name it is shows in the entry only")
        return answer.accepted()

    def _is_known_for(self, ticket: Ticket, account: Account) -> bool | None:
        """Tell whether a ticket is the account's, None where that is not known."""
        seen = self._sids.of(account.values.directory_id)
        if ticket.own or seen is None or ticket.sid is None:
            return True if ticket.own else None
        return ticket.sid == seen

    def _against(self, standing: Standing) -> Reason | None:
        """Return what in an entry stands against a login that the KDC admits.

        A plain LDAP server's lock may have run out long ago, see `plain_ldap_state`.
        """
        plain = self._realm.kind is DirectoryType.LDAP
        passed_over = {Reason.LOCKED} if plain else set()
        return next((r for r in standing.reasons if r not in passed_over), None)

    def _looked_at(
        self, account: Account, deadline: Deadline
    ) -> Standing | Reason | Cause:
        if self._look is None:
            return Cause.CONFIGURATION
        seconds = min(LOOK_SECONDS, deadline.left() - _SPARE)
        return self._look(account, Deadline.after(seconds))

    def _kdc_finding(self) -> Finding:
        """Ask for somebody who is not there: a KDC that says so is alive."""
        realm = self._realm.name
        answer = Answers("", self.method, realm)
        verdict = self._within(answer, partial(_ask_for_nobody, answer), _CHECK_SECONDS)
        return findings.kdc(realm, verdict)


def _proof_of(realm: Realm, by_bind: ByBind | None) -> KdcProof | None:
    """Return how the KDC proves itself, None where it should and cannot."""
    if not realm.verify:
        return Believed()
    if realm.keytab is not None:
        return ByKeytab(realm.name, realm.keytab, realm.service)
    return by_bind


def _ask_for_nobody(answer: Answers) -> Verdict:
    from dirbridge.authenticators import gss  # noqa: PLC0415 - see its first lines

    try:
        gss.acquire(f"dirbridge-check-nobody@{answer.server}", Secret("of nobody"))
    except gss.GssFailure as error:
        return _judged(answer, error.code, error.words)
    return answer.accepted()


def _judged(answer: Answers, code: int, words: str, *, sent: bool = False) -> Verdict:
    if code in REASONS:
        return answer.rejected(REASONS[code], words)
    return answer.unavailable(CAUSES.get(code, Cause.INTERNAL), words, sent=sent)
