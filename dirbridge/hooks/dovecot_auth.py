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
waited for. After a minute it is forgotten: mail servers do not take back what their
clients gave up.

Steps of a mechanism that works (Kerberos' cryptography) are done by threads; what
comes back for an exchange that is no more is dropped.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from dirbridge.hooks.connection import Connection, Hook
from dirbridge.hooks.desk import Question
from dirbridge.hooks.requests import from_dovecot, from_refused, from_ticket
from dirbridge.hooks.verdicts import Asked, dovecot_reply
from dirbridge.model.login import Question as Request
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

PATIENCE = 60.0
"""Seconds after which an exchange whose client says nothing is forgotten."""

_CUIDS = itertools.count(1)


@dataclass(slots=True)
class _Exchange:
    """An exchange that is not at its end."""

    auth: Auth
    machine: sasl.Machine
    patience: asyncio.TimerHandle | None = None

    def wait(self, patience: asyncio.TimerHandle | None) -> None:
        """Wait for the client until then; None: it is not its turn any more."""
        if self.patience is not None:
            self.patience.cancel()
        self.patience = patience


class DovecotAuthConnection(Connection):
    """One connection of a Dovecot auth client."""

    def __init__(self, hook: Hook) -> None:
        super().__init__(hook)
        self._codec = ServerConnection()
        self._exchanges: dict[int, _Exchange] = {}
        self._questions: dict[int, Question] = {}
        self._ending = False

    def opened(self) -> None:
        """Greet at once: Exim writes nothing before it has read it all."""
        greeting = Greeting(
            mechanisms=tuple(self.hook.mechanisms),
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
                # Nobody reads what is told from here on.
                self.closed()
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
        for number in tuple(self._exchanges):
            self._forget(number)

    def begin(self, auth: Auth) -> None:
        """Open an exchange."""
        make = self.hook.mechanisms.get(auth.mechanism)
        if make is None:
            self._send(Fail(auth.id))
            return
        self._exchanges[auth.id] = _Exchange(auth, make())
        self._step(auth.id, auth.response)

    def go_on(self, event: Continue) -> None:
        """Take the client's next response."""
        if event.id in self._exchanges:
            self._step(event.id, event.response)
        else:
            self._send(Fail(event.id))

    def cancel(self, event: Cancel) -> None:
        """Drop an exchange."""
        self._forget(event.id)
        question = self._questions.pop(event.id, None)
        if question is not None:
            question.withdraw()

    def refuse(self, event: Unanswerable) -> None:
        """Fail an exchange that makes no sense."""
        self._forget(event.id)
        self._send(Fail(event.id))

    def _forget(self, number: int) -> _Exchange | None:
        exchange = self._exchanges.pop(number, None)
        if exchange is not None:
            exchange.wait(None)
        return exchange

    def _step(self, number: int, response: bytes | None) -> None:
        exchange = self._exchanges[number]
        exchange.wait(None)
        if not exchange.machine.works:
            self._go(number, exchange.machine.step(response))
            return
        loop = asyncio.get_running_loop()
        step = loop.run_in_executor(self.hook.workers, exchange.machine.step, response)
        step.add_done_callback(
            lambda done: self._guard(lambda: self._stepped(number, exchange, done))
        )

    def _stepped(
        self, number: int, exchange: _Exchange, done: asyncio.Future[sasl.Outcome]
    ) -> None:
        if self._exchanges.get(number) is exchange and not self._ending:
            self._go(number, done.result())

    def _go(self, number: int, outcome: sasl.Outcome) -> None:
        if isinstance(outcome, sasl.Challenge):
            loop = asyncio.get_running_loop()
            patience = loop.call_later(PATIENCE, self._forget, number)
            self._exchanges[number].wait(patience)
            self._send(Challenge(number, outcome.data))
            return
        auth = self._exchanges.pop(number).auth
        match outcome:
            case sasl.Credentials():
                self._ask(from_dovecot(auth, outcome, hook=self.hook.name), number)
            case sasl.Proven() | sasl.Failed():
                self._ask(from_ticket(auth, outcome, hook=self.hook.name), number)
            case sasl.Refused():
                told = from_refused(auth, outcome, hook=self.hook.name)
                self.hook.desk.refused(*told)
                self._send(Fail(number))

    def _ask(self, request: Request, number: int) -> None:
        question = self.hook.desk.ask(
            request, lambda verdict: self._answered(number, request.name, verdict)
        )
        if question is not None:
            self._questions[number] = question

    def _answered(self, number: int, name: str, verdict: Verdict) -> None:
        self._guard(lambda: self._reply(number, name, verdict))

    def _reply(self, number: int, name: str, verdict: Verdict) -> None:
        question = self._questions.pop(number, None)
        reply = self._reply_to(number, name, verdict)
        if reply is None:
            # What else is in flight may take until this one's time is up.
            due = self.hook.desk.due() if question is None else question.due
            asyncio.get_running_loop().call_at(due, self.transport.close)
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
