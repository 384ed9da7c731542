"""`dirbridge status`: what is here and how the last runs went."""

from __future__ import annotations

import socket
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime

import click

from dirbridge.app import App
from dirbridge.cli.domains import note
from dirbridge.cli.options import Call, shared
from dirbridge.cli.output import DONE, PROBLEMS, Json
from dirbridge.config.settings import HookSettings
from dirbridge.errors import Problem
from dirbridge.model.names import DomainName
from dirbridge.store.base import Store


@click.command()
@shared
def status(call: Call) -> int:
    """Show accounts, last runs and hooks."""
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
    call.out.problem(*_stale(app, domains))
    call.out.problem(*(_silent(one) for one in hooks if not one["answers"]))
    call.out.finish({"domains": domains, "hooks": hooks})
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
