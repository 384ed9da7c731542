"""`dirbridge serve`: answer mail services and sync on a schedule."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
from collections.abc import Sequence
from dataclasses import replace

import click
import uvloop

from dirbridge.app import App
from dirbridge.cli.options import Call, shared
from dirbridge.cli.output import DONE
from dirbridge.cli.servers import ServersFile
from dirbridge.errors import ConfigError, Problem, harmless
from dirbridge.hooks.server import serve as serve_hooks
from dirbridge.hooks.sockets import Listener, listening
from dirbridge.login.attempts import AttemptsLog, LineLog
from dirbridge.login.service import LoginService
from dirbridge.model.names import DomainName
from dirbridge.scheduler.service import Scheduler
from dirbridge.store.feed import followed

_LONGEST_LINE = 8000


@click.command()
@click.option("--no-sync", is_flag=True, help="Answer logins only; sync from cron.")
@shared
def serve(call: Call, *, no_sync: bool) -> int:
    """Answer the mail services' hooks until stopped by SIGTERM or Ctrl-C."""
    app = call.app()
    _log_to_stderr()
    if not app.settings.hooks:
        raise ConfigError((_no_hooks(app),))
    with (
        listening(app.settings.hooks) as listeners,
        app.open_store(as_owner=False) as store,
        AttemptsLog(store.record) as attempts,
        LineLog(_write) as lines,
        app.noticeboard(store) as board,
        app.housekeeping(store),
        followed(store, _note_change),
        store.pulse() as pulse,
    ):
        jobs = () if no_sync else app.schedule(store)
        scheduler = Scheduler(jobs, ended=board.ended)
        service = replace(
            app.login_service(store, attempts.add, scheduler.refresh, pulse),
            lines=lines.add,
        )
        run_dir = app.settings.serve.run_dir
        with ServersFile(run_dir, app.servers, scheduler.states):
            scheduler.start()
            try:
                # asyncio's own loop takes three times as long for a connection.
                with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                    runner.run(_answer(call, app, service, listeners))
            finally:
                scheduler.stop()
    call.out.finish()
    return DONE


async def _answer(
    call: Call, app: App, service: LoginService, listeners: Sequence[Listener]
) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)

    def ready() -> None:
        call.out.event("ready")
        logging.getLogger("dirbridge.serve").info("ready")

    await serve_hooks(
        listeners,
        service,
        deadline=app.settings.serve.deadline.total_seconds(),
        stop=stop,
        mechanisms=app.mechanisms,
        ready=ready,
    )


def _write(lines: str) -> None:
    """Write lines of the log, as `_log_to_stderr` has it write them."""
    sys.stderr.write(lines)
    sys.stderr.flush()


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


class _OneLine(logging.Formatter):
    """Writes one line whatever is in it: whoever writes a second one lets it lie."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        return harmless(super().format(record), _LONGEST_LINE)


def _log_to_stderr() -> None:
    """Log one line for each event; the journal adds the time by itself."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_OneLine("%(message)s"))
    log = logging.getLogger("dirbridge")
    log.addHandler(handler)
    log.setLevel(logging.INFO)
