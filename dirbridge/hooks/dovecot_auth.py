"""The Dovecot auth hook: long-lived connections with many exchanges at once.

Theory. How an outage is told: Postfix and Exim take every FAIL for a wrong
password, so the connection is closed instead (`temp_failure = "close"`). They
have one exchange in flight for each connection; the close is at once and hits
nobody else. A client that has several in flight would lose them all. So from the
first outage on

- nothing more is taken from the connection: what is asked later gets no reply;
- the replies of the exchanges that are being answered are still waited for and
  written, since each is a person whose password was right or wrong;
- then the connection is closed, at the latest when the first outage's own time
  is up. Who has no reply then sees a temporary failure, never a wrong password.

An exchange that waits for its client (LOGIN between name and password) is not
waited for.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import secrets
from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any

from dirbridge.hooks.connection import Connection, Hook
from dirbridge.hooks.desk import Question
from dirbridge.hooks.requests import from_dovecot
from dirbridge.hooks.verdicts import Asked, dovecot_reply
from dirbridge.model.login import Verdict
from dirbridge.protocols import sasl
from dirbridge.protocols.dovecot_auth import (
    Auth,
    Cancel,
    Challenge,
    Closed,
    Continue,
    Fail,
    Greeting,
    Reply,
    ServerConnection,
    Unanswerable,
)

_CUIDS = itertools.count(1)


class DovecotAuthConnection(Connection):
    """One connection of a Dovecot auth client."""

    def __init__(self, hook: Hook) -> None:
        super().__init__(hook)
        self._codec = ServerConnection()
        self._exchanges: dict[int, tuple[Auth, sasl.Machine]] = {}
        self._questions: dict[int, Question] = {}
        self._ending = False

    def opened(self) -> None:
        """Greet at once: Exim writes nothing before it has read it all."""
        greeting = Greeting(
            mechanisms=tuple(sasl.MECHANISMS),
            spid=os.getpid(),
            cuid=next(_CUIDS),
            cookie=secrets.token_bytes(16),
        )
        self.transport.write(self._codec.send(greeting))

    def received(self, data: bytes) -> None:
        """Take each event in turn."""
        if self._ending:
            # Dropped instead of left unread: a close with unread bytes is a reset,
            # which may take our last replies with it.
            return
        self._codec.receive_data(data)
        while not isinstance(event := self._codec.next_event(), Enum):
            if isinstance(event, Closed):
                return
            handle = _HANDLERS.get(type(event))
            if handle is not None:
                handle(self, event)

    def finish(self) -> None:
        """Take no more; close when the questions in flight are answered."""
        self._ending = True
        if not self._questions:
            self.transport.close()

    def closed(self) -> None:
        """Take all questions back."""
        for question in self._questions.values():
            question.withdraw()
        self._questions.clear()
        self._exchanges.clear()

    def begin(self, auth: Auth) -> None:
        """Open an exchange."""
        make = sasl.MECHANISMS.get(auth.mechanism)
        if make is None:
            self._send(Fail(auth.id))
            return
        self._exchanges[auth.id] = auth, make()
        self._step(auth.id, auth.response)

    def go_on(self, event: Continue) -> None:
        """Take the client's next response."""
        self._step(event.id, event.response)

    def cancel(self, event: Cancel) -> None:
        """Drop an exchange."""
        self._exchanges.pop(event.id, None)
        question = self._questions.pop(event.id, None)
        if question is not None:
            question.withdraw()

    def refuse(self, event: Unanswerable) -> None:
        """Fail an exchange that makes no sense."""
        self._exchanges.pop(event.id, None)
        self._send(Fail(event.id))

    def _step(self, number: int, response: bytes | None) -> None:
        auth, machine = self._exchanges[number]
        match machine.step(response):
            case sasl.Challenge(data):
                self._send(Challenge(number, data))
            case sasl.Credentials() as credentials:
                del self._exchanges[number]
                self._ask(auth, credentials)
            case sasl.Refused():
                del self._exchanges[number]
                self._send(Fail(number))

    def _ask(self, auth: Auth, credentials: sasl.Credentials) -> None:
        request = from_dovecot(auth, credentials, hook=self.hook.name)
        verdict = self.hook.desk.quick(request)
        if verdict is not None:
            reply = self._reply_to(auth.id, request.name, verdict)
            if reply is not None:
                self._send(reply)
                return
        self._questions[auth.id] = self.hook.desk.ask(
            request, lambda verdict: self._answered(auth.id, verdict)
        )

    def _answered(self, number: int, verdict: Verdict) -> None:
        self._guard(lambda: self._reply(number, verdict))

    def _reply(self, number: int, verdict: Verdict) -> None:
        question = self._questions.pop(number)
        reply = self._reply_to(number, question.request.name, verdict)
        if reply is None:
            # What else is in flight may take until this one's time is up.
            asyncio.get_running_loop().call_at(question.due, self.transport.close)
            self.finish()
        else:
            self._send(reply)
        if self._ending and not self._questions:
            self.transport.close()

    def _reply_to(self, number: int, name: str, verdict: Verdict) -> Reply | None:
        temp_failure = self.hook.settings.temp_failure
        return dovecot_reply(Asked(number, name), verdict, temp_failure)

    def _send(self, reply: Reply) -> None:
        self.transport.write(self._codec.send(reply))


_HANDLERS: Mapping[type, Callable[[DovecotAuthConnection, Any], None]] = {
    Auth: DovecotAuthConnection.begin,
    Continue: DovecotAuthConnection.go_on,
    Cancel: DovecotAuthConnection.cancel,
    Unanswerable: DovecotAuthConnection.refuse,
}
