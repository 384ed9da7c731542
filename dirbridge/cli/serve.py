"""`dirbridge serve`: answer mail services and sync on a schedule."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import importlib
import logging
import signal
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import click
import uvloop

from dirbridge import assembly
from dirbridge.app import App
from dirbridge.cli.log_lines import log_to_stderr, write_lines
from dirbridge.cli.options import Call, shared
from dirbridge.cli.output import DONE
from dirbridge.cli.processes import Ended, Family
from dirbridge.cli.servers import ServersFile
from dirbridge.errors import ConfigError, Problem
from dirbridge.hooks.server import serve as serve_hooks
from dirbridge.hooks.sockets import Listener, listening
from dirbridge.login.attempts import AttemptsLog, LineLog
from dirbridge.login.service import LoginService
from dirbridge.model.names import DomainName
from dirbridge.scheduler.rests import Rest
from dirbridge.scheduler.service import Scheduler
from dirbridge.store.base import Store
from dirbridge.store.feed import followed

_log = logging.getLogger("dirbridge.serve")


@dataclass(frozen=True, slots=True)
class _Bridge:
    """What one process answers with.

    Attributes:
        app: The application; not yet in use.
        listeners: The hooks' sockets.
        no_sync: Whether nobody syncs.
        rests: When unknown names may ask for runs, by domain.
    """

    app: App
    listeners: Sequence[Listener]
    no_sync: bool
    rests: dict[DomainName, Rest]


@click.command()
@click.option("--no-sync", is_flag=True, help="Answer logins only; sync from cron.")
@shared
def serve(call: Call, *, no_sync: bool) -> int:
    """Answer the mail services' hooks until stopped by SIGTERM or Ctrl-C."""
    app = call.app()
    log_to_stderr()
    if not app.settings.hooks:
        raise ConfigError((_no_hooks(app),))
    rests = {name: Rest() for name in app.settings.domains}
    with listening(app.settings.hooks) as listeners:
        bridge = _Bridge(app, listeners, no_sync, rests)
        if app.settings.serve.processes > 1:
            return _serve_with_several(call, bridge)
        _serve(bridge, lambda: _tell_ready(call))
    call.out.finish()
    return DONE


def _serve_with_several(call: Call, bridge: _Bridge) -> int:
    """Answer with several processes; comes to its end in each of them, and here."""
    _prepare(bridge.app)
    family = Family(
        bridge.app.settings.serve.processes,
        ready=lambda: _tell_ready(call),
        ending=lambda: _close(bridge.listeners),
    )
    part = family.run()
    if isinstance(part, Ended):
        return _end(call, part)
    for listener in bridge.listeners:
        listener.leave_file()
    # What is wrong at the very start is told by the first one, all else by the log.
    call.out.json &= part.number == 0 and not part.again

    def ready() -> None:
        call.out.json = False
        part.ready()

    _serve(bridge, ready, alone=part.number == 0)
    return DONE


def _prepare(app: App) -> None:
    """Load and make before the fork what all processes have in common."""
    app.share()
    for name in assembly.__all__:
        importlib.import_module(f"{assembly.__name__}.{name}")
    # Memory that nobody writes to is there once; looking for garbage writes to all.
    gc.collect()
    gc.freeze()


def _close(listeners: Sequence[Listener]) -> None:
    for listener in listeners:
        listener.close()


def _end(call: Call, ended: Ended) -> int:
    """Say how it ended, unless the first process has told it."""
    if ended.code:
        call.out.problem(_ended_badly())
    if not ended.told:
        call.out.finish()
    return ended.code


def _serve(bridge: _Bridge, ready: Callable[[], None], *, alone: bool = True) -> None:
    """Answer until stopped.

    Args:
        bridge: What to answer with.
        ready: Called when all hooks are served.
        alone: Whether this process does what only one of a bridge may do.
    """
    app = bridge.app
    with (
        app.open_store(as_owner=False) as store,
        AttemptsLog(store.record) as attempts,
        LineLog(write_lines) as lines,
        store.pulse() as pulse,
        _syncing(bridge, store, alone=alone) as scheduler,
    ):
        service = replace(
            app.login_service(store, attempts.add, scheduler.refresh, pulse),
            lines=lines.add,
        )
        scheduler.start()
        try:
            # asyncio's own loop takes three times as long for a connection.
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(_answer(bridge, service, ready))
        finally:
            scheduler.stop()


@contextlib.contextmanager
def _syncing(bridge: _Bridge, store: Store, *, alone: bool) -> Iterator[Scheduler]:
    """Give the scheduler, with all that one process of a bridge does beside logins."""
    app, rests = bridge.app, bridge.rests
    jobs = () if bridge.no_sync else app.schedule(store)
    board = app.noticeboard(store)
    if not alone:
        # What its runs mean to people it keeps in the store, and the other one tells.
        yield Scheduler(jobs, ended=board.ended, asked_only=True, rests=rests)
        return
    scheduler = Scheduler(jobs, ended=board.ended, rests=rests)
    with (
        board,
        app.housekeeping(store),
        followed(store, _note_change),
        ServersFile(app.settings.serve.run_dir, app.servers, scheduler.states),
    ):
        yield scheduler


async def _answer(
    bridge: _Bridge, service: LoginService, ready: Callable[[], None]
) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await serve_hooks(
        bridge.listeners,
        service,
        deadline=bridge.app.settings.serve.deadline.total_seconds(),
        stop=stop,
        mechanisms=bridge.app.mechanisms,
        ready=ready,
    )


def _tell_ready(call: Call) -> None:
    call.out.event("ready")
    _log.info("ready")


def _note_change(domain: DomainName) -> None:
    """Note that somebody changed a domain; nothing of it is kept in this process."""
    logging.getLogger("dirbridge.store").debug("store changed domain=%s", domain)


def _no_hooks(app: App) -> Problem:
    return Problem(
        "no-hooks",
        str(app.configuration.path),
        "No hook is configured, so no mail service could ask.",
        "Add a [[hooks]] table; `dirbridge connect postfix` shows its other half.",
    )


def _ended_badly() -> Problem:
    return Problem(
        "process-ended",
        "serve: processes",
        "A process that answers logins did not end well.",
        "Read the lines before this one, then start dirbridge again.",
    )
