"""PostgreSQL's NOTIFY: the transaction that changes a domain tells the others."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from threading import Event, Thread
from typing import Any, cast

import psycopg
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import SQLAlchemyError
from tenacity import (
    RetryError,
    Retrying,
    retry_if_exception_type,
    sleep_using_event,
    stop_when_event_set,
    wait_random_exponential,
)

from dirbridge.model.names import DomainName
from dirbridge.store.feed import Told
from dirbridge.store.pulse import HeardPulse

_CHANNEL = "dirbridge"
"""Tells of domains whose accounts or credentials were changed."""

_RUNS = "dirbridge_runs"
"""Tells of every run, for those who keep what they read."""

_TELL = text("SELECT pg_notify(:channel, :domain)")
_WAIT = 0.5
"""Seconds after which a listener looks whether it is to stop."""

Session = psycopg.Connection[Any]

_PAUSE = 1.0
"""Seconds from a lost session to the next one."""


def tell(connection: Connection, domain: DomainName, *, changed: bool) -> None:
    """Tell of a domain's run when the transaction commits, and only then."""
    for channel in (_CHANNEL, _RUNS) if changed else (_RUNS,):
        connection.execute(_TELL, {"channel": channel, "domain": domain})


def listen(engine: Engine, told: Told, stop: Event) -> None:
    """Listen until stopped; see `Store.changed`.

    Args:
        engine: Gives sessions of their own, in autocommit mode.
        told: Told each domain that changed.
        stop: Ends it.
    """
    _keep_listening(engine, lambda session: _hear(session, told, stop), stop)


@contextmanager
def pulsing(engine: Engine, pulse: HeardPulse) -> Iterator[None]:
    """Let a pulse hear of every run, in a thread of its own, until the block ends."""
    stop = Event()

    def hear(session: Session) -> None:
        _hear_runs(session, pulse, stop)

    thread = Thread(
        target=_keep_listening, args=(engine, hear, stop), name="pulse", daemon=True
    )
    thread.start()
    try:
        yield
    finally:
        stop.set()
        pulse.lose()
        thread.join(2 * _WAIT)


def _keep_listening(
    engine: Engine, hear: Callable[[Session], None], stop: Event
) -> None:
    connect = Retrying(
        retry=retry_if_exception_type(SQLAlchemyError),
        stop=stop_when_event_set(stop),
        wait=wait_random_exponential(multiplier=0.2, max=10),
        sleep=sleep_using_event(stop),
    )
    while not stop.is_set():
        with (
            suppress(RetryError, SQLAlchemyError, psycopg.Error),
            connect(engine.connect) as connection,
        ):
            hear(cast("Session", connection.connection.driver_connection))
        # A server that takes connections and no LISTEN, such as a standby, is not
        # to be asked without end.
        stop.wait(_PAUSE)


def _hear(session: Session, told: Told, stop: Event) -> None:
    session.execute(f"LISTEN {_CHANNEL}")
    # Only now, so that nothing falls between these words and the first to be heard.
    for (domain,) in session.execute("SELECT name FROM domains").fetchall():
        told(DomainName(domain))
    while not stop.is_set():
        for word in session.notifies(timeout=_WAIT):
            told(DomainName(word.payload))


def _hear_runs(session: Session, pulse: HeardPulse, stop: Event) -> None:
    session.execute(f"LISTEN {_RUNS}")
    # What comes now is heard: what is read from here on may be kept.
    pulse.listen()
    try:
        while not stop.is_set():
            for _ in session.notifies(timeout=_WAIT):
                pulse.move()
    finally:
        pulse.lose()
