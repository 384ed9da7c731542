"""PostgreSQL's NOTIFY: the transaction that changes a domain tells the others."""

from __future__ import annotations

from contextlib import suppress
from threading import Event
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

_CHANNEL = "dirbridge"
_TELL = text("SELECT pg_notify(:channel, :domain)")
_WAIT = 0.5
"""Seconds after which a listener looks whether it is to stop."""

_PAUSE = 1.0
"""Seconds from a lost session to the next one."""


def tell(connection: Connection, domain: DomainName) -> None:
    """Tell of a domain's change when the transaction commits, and only then."""
    connection.execute(_TELL, {"channel": _CHANNEL, "domain": domain})


def listen(engine: Engine, told: Told, stop: Event) -> None:
    """Listen until stopped; see `Store.changed`.

    Args:
        engine: Gives sessions of their own, in autocommit mode.
        told: Told each domain that changed.
        stop: Ends it.
    """
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
            _hear(
                cast(
                    "psycopg.Connection[Any]", connection.connection.driver_connection
                ),
                told,
                stop,
            )
        # A server that takes connections and no LISTEN, such as a standby, is not
        # to be asked without end.
        stop.wait(_PAUSE)


def _hear(session: psycopg.Connection[Any], told: Told, stop: Event) -> None:
    session.execute(f"LISTEN {_CHANNEL}")
    # Only now, so that nothing falls between these words and the first to be heard.
    for (domain,) in session.execute("SELECT name FROM domains").fetchall():
        told(DomainName(domain))
    while not stop.is_set():
        for word in session.notifies(timeout=_WAIT):
            told(DomainName(word.payload))
