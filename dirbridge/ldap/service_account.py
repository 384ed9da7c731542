"""The bind of the service account, which must never lock itself.

A password that the directory calls wrong is not tried again by this bridge until it
changes: each try counts in the directory, and an account that is locked stops every
domain that uses it. Where the account is refused for another reason, such as a lock or
its expiry, a try counts nowhere and is made again after a few minutes. A server that
takes no ticket of an account that the KDC has let in is at fault itself.
"""

from __future__ import annotations

import threading
from concurrent.futures import Future
from functools import partial

from dirbridge.directory import bind_codes
from dirbridge.errors import BindRefused, Unreachable, Unsupported
from dirbridge.ldap.failover import FAIR_TIME, WAITING
from dirbridge.ldap.proofs import KdcSilent, KdcVerdict, Keytab, Proof
from dirbridge.ldap.refusals import AccountRecord
from dirbridge.ldap.refusals_shared import AccountLock
from dirbridge.ldap.session import BUSY, STRONGER_AUTH, UNAVAILABLE, Session
from dirbridge.ldap.transport import Unanswered
from dirbridge.model.deadline import Deadline
from dirbridge.model.login import Cause, Reason
from dirbridge.model.secret import Secret
from dirbridge.protocols.ldap_messages import Result

HOLD_OFF = 300.0
"""Seconds before an account that was refused is tried once more."""

WRONG_HOLD_OFF = 24 * 3600.0
"""Seconds before a wrong password is tried once more: the directory may have been
given it meanwhile, and one try a day locks nobody."""

TURN_SECONDS = 2.0
"""Most seconds for which a bind waits for another one with a password that worked
before: should it be wrong by now, it counts once."""

_WAITS = "another bind with this password is not answered yet"
_REFUSED = {19, 32, 34, 48, 49, 50, 53}
_METHOD_UNKNOWN = 7  # authMethodNotSupported
_VERDICTS = {
    Reason.REVOKED: "account-revoked",
    Reason.EXPIRED: "account-expired",
    Reason.PASSWORD_EXPIRED: "account-password-expired",
}

_OF_PASSWORDS = {Reason.WRONG_PASSWORD, Reason.UNKNOWN, None}
"""What a server can say of an account that the KDC has let in only by mistake."""


class ServiceAccount:
    """Binds sessions as the account that may read the directory."""

    def __init__(
        self,
        username: str,
        proof: Proof,
        *,
        record: AccountRecord | None = None,
    ) -> None:
        """Take the account as it is configured.

        Args:
            username: Its name, for people.
            proof: How it proves itself; asked for its secret at each bind.
            record: What is known of its secrets; shared by all who use it.
        """
        self.username = username
        self._proof = proof
        self._record = record or AccountRecord()

    @property
    def in_clear(self) -> bool:
        """Whether a password crosses the connection as it is."""
        return self._proof.in_clear

    @property
    def ties(self) -> bool:
        """Whether it ties its bind to the TLS connection (RFC 5929) where it can."""
        return isinstance(self._proof, Keytab) and self._proof.ties

    def bind(self, session: Session, deadline: Deadline) -> None:
        """Bind a session as the service account.

        Raises:
            BindRefused: The server refuses it, or did so a short while ago.
            Unreachable: No answer; `WAITING` where another thread's first try with
                this password took all the time.
            Unsupported: The server wants a stronger way to bind.
        """
        secret = self._proof.secret()
        if not secret:
            raise self._refusal(session, "no-password", "the password is empty")
        accepted = self._record.accepted
        turn = self._take_turn(secret, deadline)
        try:
            if self._record.is_proven(secret):
                if self._record.accepted != accepted:
                    turn.end()  # somebody saw it work while we waited
                self._try_proven(session, secret, deadline)
                return
            self._still_refused(session, secret)
            if not turn.held:
                raise session.transport.error("bind", WAITING, _WAITS)
            self._try_first(session, secret, deadline, turn)
        finally:
            turn.end()

    def _take_turn(self, secret: Secret, deadline: Deadline) -> _Turn:
        """Wait until no other thread tries a password of this account.

        One at a time, so that a wrong one counts once and not once for each thread.
        The directory may have another by now than the one that worked; but whoever
        has that one waits for nobody long, as the other may be at a frozen server.
        A wait leaves time for a try of our own, so that a server is not taken for dead
        because we came to it late.
        """
        wait = max(0.0, deadline.left() - FAIR_TIME)
        if self._record.is_proven(secret):
            wait = min(wait, TURN_SECONDS)
        return _Turn(self._record.first, wait)

    def _still_refused(self, session: Session, secret: Secret) -> None:
        known = self._record.refusal(secret)
        if known is not None:
            raise BindRefused(
                domain=session.transport.domain,
                server=known.server,
                operation=known.operation,
                code=known.code,
                detail=known.detail,
            )

    def _try_first(
        self, session: Session, secret: Secret, deadline: Deadline, turn: _Turn
    ) -> None:
        try:
            self._try(session, secret, deadline)
        except KdcSilent as error:
            # libkrb5 asks on; the next try would ask beside it and count as well.
            turn.end_with(error.pending)
            raise

    def _try_proven(self, session: Session, secret: Secret, deadline: Deadline) -> None:
        try:
            self._try(session, secret, deadline)
        except Unanswered as error:
            # It is right, so it counts nowhere: the next server may get it as well.
            raise session.transport.error("bind", error.code, error.detail) from error

    def _try(self, session: Session, secret: Secret, deadline: Deadline) -> None:
        session.transport.allow(deadline)
        try:
            result = self._proof.give(session.transport, secret, deadline)
        except KdcVerdict as verdict:
            raise self._sentenced(session, verdict, secret) from verdict
        except KdcSilent as error:
            told = partial(self._told_late, session, secret)
            error.pending.add_done_callback(told)
            raise
        if result.code != 0:
            raise self._judged(session, result, secret)
        self._record.accept(secret)

    def _told_late(
        self, session: Session, secret: Secret, pending: Future[object]
    ) -> None:
        """Take the verdict of a KDC for which nobody waits any more."""
        verdict = pending.exception()
        if isinstance(verdict, KdcVerdict):
            self._sentenced(session, verdict, secret)

    def _judged(
        self, session: Session, result: Result, secret: Secret
    ) -> BindRefused | Unreachable | Unsupported:
        said = f"result {result.code} {result.text}".strip()
        if result.code in (BUSY, UNAVAILABLE):
            code = "busy" if result.code == BUSY else "unavailable"
            return session.transport.error("bind", code, said)
        meaning = _meaning(result)
        if meaning is Cause.UNREACHABLE:
            return session.transport.error("bind", "unavailable", said)
        if result.code not in _REFUSED or isinstance(meaning, Cause):
            return self._unsupported(session, self._unsupported_code(result), said)
        if self._proof.server_judges:
            code = self._proof.refused
            return self._remembered(session, code, said, meaning, secret)
        if result.code == bind_codes.INVALID_CREDENTIALS and meaning in _OF_PASSWORDS:
            return session.transport.error("bind", "ticket-refused", said)
        code = _VERDICTS.get(meaning, self._proof.refused) if meaning else ""
        return self._remembered(
            session, code or self._proof.refused, said, meaning, secret
        )

    def _unsupported_code(self, result: Result) -> str:
        if result.code == STRONGER_AUTH:
            return self._proof.too_weak
        if bind_codes.win32_error(result.text) == bind_codes.BAD_BINDINGS:
            return "channel-binding"
        return "no-sasl" if result.code == _METHOD_UNKNOWN else "bind"

    def _sentenced(
        self, session: Session, verdict: KdcVerdict, secret: Secret
    ) -> BindRefused:
        """Return what the KDC's no is; it counts there as a bind does."""
        if verdict.reason is None:
            return self._refusal(session, "clock", verdict.words)
        code = _VERDICTS.get(verdict.reason, self._proof.refused)
        return self._remembered(session, code, verdict.words, verdict.reason, secret)

    def _remembered(
        self,
        session: Session,
        code: str,
        said: str,
        reason: Reason | None,
        secret: Secret,
    ) -> BindRefused:
        error = self._refusal(session, code, said)
        # A name that is unknown can lock nobody: Windows' 525 waits the short time.
        wrong = reason is Reason.WRONG_PASSWORD
        hold_off = WRONG_HOLD_OFF if wrong else HOLD_OFF
        self._record.refuse(secret, hold_off, error)
        return error

    def _refusal(self, session: Session, code: str, detail: str) -> BindRefused:
        return BindRefused(
            domain=session.transport.domain,
            server=session.server,
            operation="bind",
            code=code,
            detail=detail,
        )

    def _unsupported(self, session: Session, code: str, detail: str) -> Unsupported:
        return Unsupported(
            domain=session.transport.domain,
            server=session.server,
            operation="bind",
            code=code,
            detail=detail,
        )


class _Turn:
    """Somebody's turn to try a password of an account, if it came in time.

    Attributes:
        held: Whether it is ours now.
    """

    def __init__(self, lock: threading.Lock | AccountLock, seconds: float) -> None:
        self._lock = lock
        self.held = lock.acquire(timeout=seconds)

    def end(self) -> None:
        """Let the next one try."""
        if self.held:
            self.held = False
            self._lock.release()

    def end_with(self, pending: Future[object]) -> None:
        """Let the next one try when a call has ended."""
        if self.held:
            self.held = False
            pending.add_done_callback(lambda _: self._lock.release())


def _meaning(result: Result) -> Reason | Cause | None:
    """Say what a refusal means, of whichever kind of directory it is."""
    if bind_codes.win32_error(result.text) is not None:
        return bind_codes.decode_active_directory(result.text)
    return bind_codes.decode_open_directory(result.code, result.text)
