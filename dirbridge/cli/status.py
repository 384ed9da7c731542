"""`dirbridge status`: what is here and how the last runs went."""

from __future__ import annotations

import socket
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

import click

from dirbridge.app import App
from dirbridge.cli.domains import note
from dirbridge.cli.options import Call, shared
from dirbridge.cli.output import DONE, PROBLEMS, Json, Output
from dirbridge.cli.servers import Known, read_servers
from dirbridge.config.settings import HookSettings
from dirbridge.connectors.examination import WARN_DAYS
from dirbridge.errors import Problem
from dirbridge.model.names import DomainName
from dirbridge.store.base import Store


@click.command()
@shared
def status(call: Call) -> int:
    """Show accounts, last runs, hooks and directory servers."""
    app = call.app()
    with app.open_store() as store:
        domains = [_domain(app, store, name) for name in app.settings.domains]
    hooks = [_hook(hook) for hook in app.settings.hooks]
    call.out.table(
        "Domains",
        ("domain", "accounts", "last run", "result", "server", "changes", "note"),
        [
            (
                one["domain"],
                _counts(one["accounts"]),
                (one["last_run"] or {}).get("at", "never"),
                (one["last_run"] or {}).get("result", ""),
                (one["last_run"] or {}).get("server", ""),
                _counts((one["last_run"] or {}).get("changes", {})),
                one["note"],
            )
            for one in domains
        ],
    )
    call.out.table(
        "Hooks",
        ("type", "place", "answers"),
        [
            (one["type"], one["place"], "yes" if one["answers"] else "no")
            for one in hooks
        ],
    )
    servers = read_servers(app.settings.serve.run_dir)
    _show_servers(call.out, servers)
    call.out.problem(*_stale(app, domains))
    if servers.fresh:
        call.out.problem(*_troubled(servers.servers))
    call.out.problem(*(_silent(one) for one in hooks if not one["answers"]))
    told = {
        "at": servers.at and servers.at.isoformat(timespec="seconds"),
        "fresh": servers.fresh,
        "list": servers.servers,
    }
    call.out.finish({"domains": domains, "hooks": hooks, "servers": told})
    return PROBLEMS if call.out.problems else DONE


def _domain(app: App, store: Store, name: DomainName) -> Json:
    states = Counter(str(account.state) for account in store.accounts(name))
    sources = [one.policy.source for one in app.directories[name]]
    runs = (run for one in sources for run in store.last_runs(name, source=one))
    last = min(runs, key=lambda run: run.finished_at, default=None)
    return {
        "domain": name,
        "accounts": dict(states),
        "last_run": None
        if last is None
        else {
            "number": last.number,
            "at": last.finished_at.isoformat(timespec="seconds"),
            "result": last.result,
            "server": last.server,
            "kind": last.kind,
            "read": last.read,
            "changes": last.changes,
        },
        "note": note(app.settings.domains[name]),
    }


def _stale(app: App, domains: list[Json]) -> Iterator[Problem]:
    """Yield the domains whose directory no run has read for a long time.

    Runs that stop or fail write nothing, so an old last run is how they show.
    """
    for one in domains:
        settings = app.settings.domains[one["domain"]]
        last = one["last_run"]
        since = last and datetime.fromisoformat(last["at"])
        if settings.directory and (
            not since or datetime.now(UTC) - since > settings.sync.full_every
        ):
            yield Problem(
                "sync-stale",
                one["domain"],
                f"No sync has ended well since {last['at']}."
                if last
                else "No sync has ended well yet.",
                "Run `dirbridge sync` and mend what it names.",
            )


def _show_servers(out: Output, known: Known) -> None:
    if known.at is None:
        out.say("`dirbridge serve` does not run here, so no server's state is known.")
        return
    if not known.fresh:
        out.say(f"`dirbridge serve` told this of the servers at {known.at}, not since.")
    columns = ("domain", "server", "state", "since", "certificate", "clock", "answers")
    out.table(
        "Servers",
        (*columns, "error"),
        [
            (
                one["domain"],
                one["server"],
                _STATES[one["up"]],
                one["since"],
                _told(one["certificate_days"], "{} days"),
                _told(one["clock_offset"], "{:+.0f} s"),
                _told(one["round_trip"], "in {:.3f} s"),
                one["error"],
            )
            for one in known.servers
        ],
    )


_STATES = {True: "up", False: "DOWN", None: "not asked yet"}


def _told(value: float | None, text: str) -> str:
    return "" if value is None else text.format(value)


def _troubled(servers: Sequence[Json]) -> Iterator[Problem]:
    """Yield the servers that are down or whose certificate ends soon."""
    for one in servers:
        where, days = f"{one['domain']}: {one['server']}", one["certificate_days"]
        if one["up"] is False:
            text = (
                f"The directory server is down since {one['since']} ({one['error']})."
            )
            mend = "Run `dirbridge check`: it says what is wrong with it."
            yield Problem("server-down", where, text, mend)
        if days is not None and days < WARN_DAYS:
            text = f"The server's certificate ends in {days} days."
            mend = "Renew the server's certificate now."
            yield Problem("certificate-ends-soon", where, text, mend)


def _counts(counts: Json) -> str:
    return ", ".join(f"{number} {name}" for name, number in sorted(counts.items()))


def _hook(hook: HookSettings) -> Json:
    place = str(hook.socket or hook.listen)
    return {"type": hook.type, "place": place, "answers": _answers(hook)}


def _answers(hook: HookSettings) -> bool:
    """Say whether somebody listens on a hook's socket."""
    family = socket.AF_UNIX if hook.socket else socket.AF_UNSPEC
    try:
        if hook.socket:
            with socket.socket(family, socket.SOCK_STREAM) as client:
                client.settimeout(1)
                client.connect(str(hook.socket))
        elif hook.listen:
            address = (hook.listen.host, hook.listen.port or 0)
            socket.create_connection(address, timeout=1).close()
    except OSError:
        return False
    return True


def _silent(hook: Json) -> Problem:
    return Problem(
        "hook-silent",
        str(hook["place"]),
        "Nobody answers on this hook, so no mail service can log anybody in.",
        "Start `dirbridge serve`.",
    )
