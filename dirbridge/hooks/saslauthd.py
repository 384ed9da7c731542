"""The saslauthd hook: one connection, one request, one reply."""

from __future__ import annotations

import select
import socket

from dirbridge.hooks.connection import Hook
from dirbridge.hooks.desk import Question
from dirbridge.hooks.requests import from_saslauthd
from dirbridge.hooks.shield import followed
from dirbridge.hooks.verdicts import saslauthd_reply
from dirbridge.model.login import Verdict
from dirbridge.protocols.saslauthd import (
    MAX_REQUEST,
    Request,
    ServerConnection,
    octets_of,
    whole_request,
)


def take_saslauthd(hook: Hook, taken: socket.socket) -> None:
    """Serve one connection of a saslauthd client.

    Nearly every client has written its request by now, and is told at once.

    Args:
        hook: The hook.
        taken: The connection's socket, which is closed in the end.
    """
    data = _received(taken)
    told = hook.desk.again(hook.name, data) if data else None
    if told is not None:
        _reply(hook, taken, told)
        taken.close()
        return
    connection = SaslauthdConnection(hook, taken)
    if not followed(hook.name, connection.begin, data):
        connection.close()


class SaslauthdConnection:
    """One connection of a saslauthd client.

    A client that has said all it will say may still read the reply. One that
    says nothing is let go after the deadline.
    """

    __slots__ = ("_codec", "_hook", "_question", "_socket", "_watched")

    def __init__(self, hook: Hook, taken: socket.socket) -> None:
        self._hook = hook
        self._socket = taken
        self._codec: ServerConnection | None = None
        self._question: Question | None = None
        self._watched = False

    def begin(self, data: bytes | None) -> None:
        """Answer what is there, or wait for it, but not for ever.

        Args:
            data: What the client has written by now, b"" where it has ended, None
                where nothing has come.

        Raises:
            RemoteProtocolError: The client broke the protocol.
        """
        hook = self._hook
        hook.add(self)
        if data is None or not self._take(data):
            hook.silent.add(self)
            self._watch()

    def finish(self) -> None:
        """Close, unless there is a question; its reply closes as well."""
        if self._question is None:
            self.close()

    def let_go(self) -> None:
        """Close: it was silent for too long."""
        self.close()

    def close(self) -> None:
        """Close, and take the question back; closing twice is harmless."""
        if self._socket.fileno() < 0:
            return
        self._unwatch()
        self._socket.close()
        hook, question = self._hook, self._question
        hook.remove(self)
        hook.silent.remove(self)
        if question is not None:
            hook.asking.remove(self)
            question.withdraw()

    def see_whether_left(self) -> None:
        """Look from now on whether the client goes; its question takes its time."""
        if self._socket.fileno() >= 0:
            self._watch()

    def _readable(self) -> None:
        if not followed(self._hook.name, self._go_on):
            self.close()

    def _go_on(self) -> None:
        data = _received(self._socket)
        if data is None:
            return
        if self._question is not None:
            self._overheard(data)
        elif self._take(data):
            self._hook.silent.remove(self)

    def _overheard(self, data: bytes) -> None:
        """Take what follows a request: it belongs to nothing, or is the end."""
        if data:
            return
        self._unwatch()
        if _has_left(self._socket):
            self.close()

    def _take(self, data: bytes) -> bool:
        """Take a piece of the request, b"" at its end; say whether more is of no use.

        Raises:
            RemoteProtocolError: The client broke the protocol.
        """
        request = self._request_of(data)
        if request is not None:
            self._unwatch()
            self._ask(request, data if self._codec is None else b"")
        elif not data:
            self.close()
            return True
        return request is not None

    def _request_of(self, data: bytes) -> Request | None:
        """Return the request as soon as it is whole."""
        if self._codec is None:
            request = whole_request(data)
            if request is not None:
                return request
            self._codec = ServerConnection()
        self._codec.receive_data(data)
        event = self._codec.next_event()
        return event if isinstance(event, Request) else None

    def _ask(self, asked: Request, octets: bytes) -> None:
        hook, desk = self._hook, self._hook.desk
        request = from_saslauthd(
            asked,
            hook=hook.name,
            local_ip=hook.settings.local_ip,
            deadline=desk.time_to_work(),
        )
        self._question = desk.ask(request, self._answered, octets)
        if self._question is not None:
            hook.asking.add(self)

    def _answered(self, verdict: Verdict) -> None:
        if not followed(self._hook.name, self._reply, verdict):
            self.close()

    def _reply(self, verdict: Verdict) -> None:
        _reply(self._hook, self._socket, verdict)
        self.close()

    def _watch(self) -> None:
        if not self._watched:
            self._watched = True
            self._hook.loop.add_reader(self._socket.fileno(), self._readable)

    def _unwatch(self) -> None:
        if self._watched:
            self._watched = False
            self._hook.loop.remove_reader(self._socket.fileno())


def _received(client: socket.socket) -> bytes | None:
    """Return what has come, b"" at the end, None where nothing has."""
    try:
        return client.recv(MAX_REQUEST, socket.MSG_DONTWAIT)
    except (BlockingIOError, InterruptedError):
        return None
    except OSError:
        return b""


def _reply(hook: Hook, client: socket.socket, verdict: Verdict) -> bool:
    """Tell a verdict, which there is always room for, unless the client has left."""
    reply = saslauthd_reply(verdict, hook.settings.temp_failure)
    if reply is None:
        return False
    try:
        return client.send(octets_of(reply), socket.MSG_DONTWAIT) > 0
    except OSError:
        return False


def _has_left(client: socket.socket) -> bool:
    """Whether a client that says no more does not listen either."""
    poll = select.poll()
    poll.register(client, 0)
    return any(events & select.POLLHUP for _, events in poll.poll(0))
