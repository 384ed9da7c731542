"""Serves all hooks on one event loop."""

from __future__ import annotations

import asyncio
import contextlib
import resource
import socket
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial

from dirbridge.config.settings import HookType
from dirbridge.hooks.base import Answerer
from dirbridge.hooks.connection import Hook
from dirbridge.hooks.desk import Desk
from dirbridge.hooks.door import Door
from dirbridge.hooks.dovecot_auth import DovecotAuthConnection
from dirbridge.hooks.saslauthd import take_saslauthd
from dirbridge.hooks.sockets import BACKLOG, Listener
from dirbridge.protocols import sasl

_MOST_FILES = 65536
"""As many descriptors are asked for: a mail server keeps its connections open."""


async def serve(
    listeners: Sequence[Listener],
    answerer: Answerer,
    *,
    deadline: float,
    stop: asyncio.Event,
    mechanisms: sasl.Mechanisms = sasl.MECHANISMS,
    ready: Callable[[], None] = lambda: None,
) -> None:
    """Serve all hooks until told to stop.

    At the end nothing new is taken, the answers in flight are given, within the
    deadline, and the socket files are removed.

    Args:
        listeners: The hooks' sockets; they are closed in the end.
        answerer: Who answers.
        deadline: Seconds within which each request has its answer.
        stop: Set it to end.
        mechanisms: What SASL exchanges are offered where the protocol has them.
        ready: Called when what comes is answered.
    """
    _raise_file_limit()
    desk = Desk(answerer, deadline=deadline)
    served: list[Hook] = []
    doors: list[asyncio.Server | Door] = []
    try:
        for listener in listeners:
            hook = Hook(listener.settings, desk, mechanisms)
            served.append(hook)
            doors += await _LISTEN[listener.settings.type](listener, hook)
        ready()
        await stop.wait()
    finally:
        await _finish(listeners, doors, served, desk)


async def _listen_dovecot_auth(listener: Listener, hook: Hook) -> list[asyncio.Server]:
    loop = asyncio.get_running_loop()
    servers = []
    for one in listener.sockets:
        unix = one.family is socket.AF_UNIX
        create = loop.create_unix_server if unix else loop.create_server
        made = await create(
            lambda: DovecotAuthConnection(hook), sock=one, backlog=BACKLOG
        )
        servers.append(made)
    return servers


async def _listen_saslauthd(listener: Listener, hook: Hook) -> list[Door]:
    take = partial(take_saslauthd, hook)
    return [Door(one, take, hook.name) for one in listener.sockets]


_LISTEN: Mapping[
    HookType, Callable[[Listener, Hook], Awaitable[Sequence[asyncio.Server | Door]]]
] = {
    HookType.DOVECOT_AUTH: _listen_dovecot_auth,
    HookType.SASLAUTHD: _listen_saslauthd,
}


async def _finish(
    listeners: Sequence[Listener],
    doors: Sequence[asyncio.Server | Door],
    served: Sequence[Hook],
    desk: Desk,
) -> None:
    for door in doors:
        door.close()
    for listener in listeners:
        listener.close()
    for hook in served:
        for connection in tuple(hook.connections):
            connection.finish()
    await desk.drained()
    desk.close()
    for hook in served:
        hook.workers.shutdown(wait=False)
        # A client that does not read its reply cannot hold us.
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(hook.empty.wait(), timeout=1)


def _raise_file_limit() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, _MOST_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
