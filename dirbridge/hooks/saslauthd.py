"""The saslauthd hook: one connection, one request, one reply."""

from __future__ import annotations

from dirbridge.hooks.connection import Connection, Hook
from dirbridge.hooks.desk import Question
from dirbridge.hooks.requests import from_saslauthd
from dirbridge.hooks.verdicts import saslauthd_reply
from dirbridge.model.login import Verdict
from dirbridge.protocols.saslauthd import (
    Event,
    Need,
    Request,
    ServerConnection,
    octets_of,
    whole_request,
)


class SaslauthdConnection(Connection):
    """One connection of a saslauthd client.

    A client that has said all it will say may still read the reply. One that
    says nothing is let go after the deadline.
    """

    def __init__(self, hook: Hook) -> None:
        super().__init__(hook)
        self._codec: ServerConnection | None = None
        self._has_asked = False
        self._question: Question | None = None

    def opened(self) -> None:
        """Wait for the request, but not for ever."""
        self.hook.expect(self)

    def received(self, data: bytes) -> None:
        """Ask as soon as the request is whole; what follows it belongs to nothing."""
        if self._has_asked:
            return
        event = self._event_of(data)
        if isinstance(event, Request):
            self._has_asked = True
            self.hook.heard(self)
            self._ask(event)

    def _event_of(self, data: bytes) -> Event | Need:
        if self._codec is None:
            request = whole_request(data)
            if request is not None:
                return request
            self._codec = ServerConnection()
        self._codec.receive_data(data)
        return self._codec.next_event()

    def _ask(self, asked: Request) -> None:
        hook, desk = self.hook, self.hook.desk
        request = from_saslauthd(
            asked,
            hook=hook.name,
            local_ip=hook.settings.local_ip,
            deadline=desk.time_to_work(),
        )
        self._question = desk.ask(request, self._answered)

    def eof_received(self) -> bool | None:
        """Keep the connection for a reply that is under way."""
        super().eof_received()
        return self._question is not None

    def finish(self) -> None:
        """Close, unless there is a question; its reply closes as well."""
        if self._question is None:
            self.transport.close()

    def closed(self) -> None:
        """Take the question back."""
        self.hook.heard(self)
        if self._question is not None:
            self._question.withdraw()

    def _answered(self, verdict: Verdict) -> None:
        self._guard(self._reply, verdict)

    def _reply(self, verdict: Verdict) -> None:
        reply = saslauthd_reply(verdict, self.hook.settings.temp_failure)
        if reply is not None:
            self.transport.write(octets_of(reply))
        self.transport.close()
