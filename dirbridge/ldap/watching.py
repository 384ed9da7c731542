"""Watching a directory: one search that stays open, and what keeps it honest.

What comes of the search is never trusted for its content: an entry means "look now"
and nothing more. So it does no harm that both kinds of push forget everything when
their connection ends: whenever watching begins, the word is given once.

An open search is silent while nothing changes, and a frozen server is silent as well.
So the server is asked something harmless on the same connection once a minute, and the
kernel asks the other machine more often than that. One connection holds one search:
Active Directory has few to give, and no other work waits behind it.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from dirbridge.errors import (
    DirbridgeError,
    DirectoryError,
    RemoteProtocolError,
    Unreachable,
    Unsupported,
)
from dirbridge.ldap.client import ANY, Client
from dirbridge.ldap.session import INSUFFICIENT_ACCESS, Info, Query, Session
from dirbridge.ldap.transport import Endpoint
from dirbridge.model.deadline import Deadline
from dirbridge.model.sentences import problems_of
from dirbridge.protocols.ldap_controls import SyncPhase, parse_sync_info
from dirbridge.protocols.ldap_messages import Result

LOG = logging.getLogger("dirbridge.push")

_PROOF = Query(base="", filter=ANY, scope="BASE")

# Protocol error, admin limit, unavailable critical extension, unwilling to perform.
_REFUSALS = frozenset({2, 11, 12, INSUFFICIENT_ACCESS, 53})


@dataclass(frozen=True, slots=True)
class Pace:
    """How often what is done, in seconds.

    Attributes:
        look: At most this long it takes to see that it is to stop, or that reads go
            to another server by now.
        proof: The server is asked for a sign of life after so much silence.
        shortest: Before watching begins anew, the first time.
        longest: To which that grows, twice as long each time.
        steady: A watch that lasted so long begins anew after the shortest time.
        refused: Before a server is asked again that cannot watch, or does not take
            the service account.
    """

    look: float = 0.5
    proof: float = 60.0
    shortest: float = 1.0
    longest: float = 30.0
    steady: float = 60.0
    refused: float = 300.0


class Watch:
    """Keeps one search open on the server that reads go to."""

    def __init__(
        self,
        client: Client,
        question: Callable[[Session, Deadline], Query],
        pace: Pace | None = None,
    ) -> None:
        """Take what is needed; nothing is opened yet.

        Args:
            client: The directory's servers and its service account.
            question: Gives the search for a new session; may read on it, and may
                raise `Unsupported`.
            pace: Other times than usual.
        """
        self._client = client
        self._question = question
        self._pace = pace or Pace()
        self._told: tuple[str, ...] = ()

    def run(self, changed: Callable[[], None], stop: threading.Event) -> None:
        """Say that something changed until stopped; see `Connector.watch`."""
        pause = self._pace.shortest
        while not stop.is_set():
            begun = time.monotonic()
            wait = 0.0
            try:
                self._watch(changed, stop)
            except Unreachable as error:
                self._tell(error)
            except DirbridgeError as error:
                self._tell(error)
                wait = self._pace.refused
            if time.monotonic() - begun >= self._pace.steady:
                pause = self._pace.shortest
            stop.wait(max(wait, pause))
            pause = min(2 * pause, self._pace.longest)

    def _watch(self, changed: Callable[[], None], stop: threading.Event) -> None:
        """Watch one server until there is a better one."""
        server, session, query = self._client.begin(self._question)
        try:
            session.transport.keep_alive()
            listening = _Listening(
                session, query, self._pace.proof, self._client.access.read_seconds
            )
            while not stop.is_set() and not self._is_elsewhere(server):
                if listening.hears(self._pace.look):
                    self._works(session.server)
                    changed()
        except Unreachable as error:
            if error.code == "timeout":
                # Whoever closes may be back at once; a frozen one is to be spared.
                self._client.failover.note_failure(server, error)
            raise
        finally:
            session.close()

    def _is_elsewhere(self, watched: Endpoint) -> bool:
        """Whether reads go to another server than this one.

        A server tells what it knows itself: from a backup we could hear of a change
        before the primary has it, read there, and find nothing.
        """
        for state in self._client.states():
            if state.server == str(watched):
                return state.up is False
            if state.up:
                return True
        return True

    def _works(self, server: str) -> None:
        if self._told != (server,):
            LOG.info(
                "push domain=%s server=%s watching", self._client.access.domain, server
            )
        self._told = (server,)

    def _tell(self, error: DirbridgeError) -> None:
        """Log a failure with its mend, once until something else happens."""
        known = type(error).__name__, str(getattr(error, "code", "")), _server_of(error)
        if known == self._told:
            return
        self._told = known
        for problem in problems_of(error):
            domain = self._client.access.domain
            LOG.warning("push domain=%s %s %s", domain, problem.text, problem.next)


class _Listening:
    """One open search, and the questions beside it."""

    def __init__(
        self, session: Session, query: Query, proof: float, patience: float
    ) -> None:
        """Send the search, and a first question: its answer shows that both came.

        Raises:
            Unreachable: It could not be sent.
            Unsupported: No request can be made of it.
        """
        self._session = session
        self._every = proof
        self._patience = patience
        self._heard = time.monotonic()
        self._began = False
        # Nothing that a server could take amiss together with its push.
        session.standing = ()
        session.allow(Deadline.after(patience))
        self._search = session.begin(query)
        self._proof: int | None = session.begin(_PROOF)

    def hears(self, seconds: float) -> bool:
        """Listen for a while; whether there is reason to look now.

        Raises:
            Unreachable: The server is gone, silent, or has ended the search.
            Unsupported: It refused the search.
        """
        asked = [self._search] if self._proof is None else [self._search, self._proof]
        came = self._session.poll(asked, seconds)
        if came is None:
            self._ask_after_silence()
            return False
        self._heard = time.monotonic()
        number, event = came
        if number == self._search:
            return self._means_change(event)
        if isinstance(event, Result):
            self._proof = None
            began, self._began = self._began, True
            return not began
        return False

    def _means_change(self, event: object) -> bool:
        if isinstance(event, Result):
            raise self._ended(event)
        if isinstance(event, Info):
            try:
                return parse_sync_info(event.value).phase is SyncPhase.ID_SET
            except RemoteProtocolError as error:
                code = "protocol"
                raise self._session.transport.error(
                    "watch", code, str(error)
                ) from error
        return True

    def _ask_after_silence(self) -> None:
        silent = time.monotonic() - self._heard
        if self._proof is not None and silent > self._patience:
            raise self._session.transport.error("watch", "timeout")
        if self._proof is None and silent >= self._every:
            self._session.allow(Deadline.after(self._patience))
            self._proof = self._session.begin(_PROOF)
            self._heard = time.monotonic()

    def _ended(self, result: Result) -> DirectoryError:
        said = f"result {result.code} {result.text}".strip()
        transport = self._session.transport
        if result.code not in _REFUSALS:
            return transport.error("watch", "watch-ended", said)
        return Unsupported(
            domain=transport.domain,
            server=self._session.server,
            operation="watch",
            code="no-push",
            detail=said,
        )


def _server_of(error: DirbridgeError) -> str:
    return error.server if isinstance(error, DirectoryError) else ""
