"""The bind of the service account, which must never lock itself.

A refused service account is not tried again with the same password until a
hold-off is over: each try counts in the directory, and an account that is locked
stops every domain that uses it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from dirbridge.config.settings import Bind
from dirbridge.directory.bind_codes import win32_error
from dirbridge.errors import BindRefused, Unreachable, Unsupported
from dirbridge.ldap.messages import Result
from dirbridge.ldap.session import BUSY, STRONGER_AUTH, UNAVAILABLE, Session
from dirbridge.model.deadline import Deadline
from dirbridge.model.secret import Secret

HOLD_OFF = 300.0
"""Seconds before a refused password is tried once more."""

_REFUSED = {19, 32, 34, 48, 49, 50, 53}


class ServiceAccount:
    """Binds sessions as the account that may read the directory."""

    def __init__(
        self,
        username: str,
        password: Callable[[], Secret],
        *,
        bind: Bind = Bind.SIMPLE,
        hold_off: float = HOLD_OFF,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.username = username
        self._password = password
        self._bind = bind
        self._hold_off = hold_off
        self._clock = clock
        self._lock = threading.Lock()
        self._refused: tuple[Secret, float, BindRefused] | None = None
        self._proven: Secret | None = None
        self._first = threading.Lock()

    def bind(self, session: Session, deadline: Deadline) -> None:
        """Bind a session as the service account.

        Raises:
            BindRefused: The server refuses it, or did so a short while ago.
            Unreachable: No answer.
            Unsupported: The server wants a stronger way to bind.
        """
        if self._bind is not Bind.SIMPLE:
            raise self._unsupported(session, f"bind-{self._bind}", "")
        secret = self._password()
        if not secret:
            raise self._refusal(session, "no-password", "the password is empty")
        if secret == self._proven:
            self._try(session, secret, deadline)
            return
        # A password that nobody has seen work is tried by one thread at a time, so
        # that a wrong one counts once and not once for each of them.
        if not self._first.acquire(timeout=deadline.left()):
            raise session.transport.error("bind", "timeout")
        try:
            self._still_refused(secret)
            self._try(session, secret, deadline)
        finally:
            self._first.release()

    def _try(self, session: Session, secret: Secret, deadline: Deadline) -> None:
        session.transport.allow(deadline)
        result = session.transport.simple_bind(self.username, secret.reveal())
        if result.code != 0:
            raise self._judged(session, result, secret)
        self._proven = secret

    def _still_refused(self, secret: Secret) -> None:
        with self._lock:
            if self._refused is None:
                return
            known, until, error = self._refused
            if known == secret and self._clock() < until:
                raise BindRefused(
                    domain=error.domain,
                    server=error.server,
                    operation=error.operation,
                    code=error.code,
                    detail=error.detail,
                )
            self._refused = None

    def _judged(
        self, session: Session, result: Result, secret: Secret
    ) -> BindRefused | Unreachable | Unsupported:
        said = f"result {result.code} {result.text}".strip()
        if result.code in (BUSY, UNAVAILABLE):
            code = "busy" if result.code == BUSY else "unavailable"
            return session.transport.error("bind", code, said)
        if result.code not in _REFUSED or _not_a_verdict(result):
            code = "strong-auth" if result.code == STRONGER_AUTH else "bind"
            return self._unsupported(session, code, said)
        error = self._refusal(session, "credentials", said)
        self._proven = None
        with self._lock:
            self._refused = (secret, self._clock() + self._hold_off, error)
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


_BAD_BINDINGS = 0x80090346


def _not_a_verdict(result: Result) -> bool:
    return win32_error(result.text) == _BAD_BINDINGS
