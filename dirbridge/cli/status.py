"""`dirbridge status`: what is here and how the last runs went."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
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
from dirbridge.model.account import AccountState
from dirbridge.model.entry import EntryKind
from dirbridge.model.names import DomainName
from dirbridge.notices.rules import conflicts
from dirbridge.store.base import Notice, Run, Store
from dirbridge.sync.by_hand import ADMIN

Counts = Mapping[tuple[DomainName, EntryKind, AccountState], int]


@click.command()
@shared
def status(call: Call) -> int:
    """Show accounts, syncs, notices, hooks and directory servers."""
    app = call.app()
    known = read_servers(app.settings.serve.run_dir)
    with app.open_store() as store:
        counts = store.counts()
        domains = [_domain(app, store, name, counts) for name in app.settings.domains]
        notices = [one for one in store.notices() if one.over_at is None]
    syncs = [_with_schedule(one, known) for each in domains for one in each["syncs"]]
    hooks = [_hook(hook) for hook in app.settings.hooks]
    _show_domains(call.out, domains)
    _show_syncs(call.out, syncs)
    _show_hooks(call.out, hooks)
    _show_servers(call.out, known)
    call.out.problem(*_stale(app, syncs), *map(_problem, notices))
    if known.fresh:
        call.out.problem(*_troubled(known.servers))
    call.out.problem(*(_silent(one) for one in hooks if not one["answers"]))
    told = {
        "at": _at(known.at),
        "fresh": known.fresh,
        "list": known.servers,
    }
    data = {
        "domains": [{**each, "syncs": _syncs_of(each, syncs)} for each in domains],
        "hooks": hooks,
        "servers": told,
        "notices": [_notice_json(one) for one in notices],
    }
    call.out.finish(data)
    return PROBLEMS if call.out.problems else DONE


def _domain(app: App, store: Store, name: DomainName, counts: Counts) -> Json:
    kinds: dict[EntryKind, dict[str, int]] = {kind: {} for kind in EntryKind}
    for (domain, kind, state), number in counts.items():
        if domain == name:
            kinds[kind][state] = number
    sources = [one.policy.source for one in app.directories[name]]
    runs = (run for one in sources for run in store.last_runs(name, source=one))
    last = max(runs, key=lambda run: run.finished_at, default=None)
    return {
        "domain": name,
        "accounts": kinds[EntryKind.ACCOUNT],
        "groups": kinds[EntryKind.GROUP],
        "contacts": kinds[EntryKind.CONTACT],
        "last_run": last and _run(last),
        "syncs": [_sync(store, name, source) for source in sources],
        "note": note(app.settings.domains[name]),
    }


def _sync(store: Store, domain: DomainName, source: str) -> Json:
    """Return how the syncs of one directory stand."""
    last = next(iter(store.last_runs(domain, 1, source, but=ADMIN)), None)
    good = store.last_success(domain, source, but=ADMIN)
    known = frozenset(last.known if last else ())
    open_conflicts = conflicts(known)
    return {
        "domain": domain,
        "directory": source,
        "last_run": last and _run(last),
        "last_success": good and _at(good.finished_at),
        "why": last.why if last else "",
        "conflicts": open_conflicts,
        "unmapped": len(known) - open_conflicts,
    }


def _run(run: Run) -> Json:
    return {
        "number": run.number,
        "at": _at(run.finished_at),
        "result": run.result,
        "server": run.server,
        "kind": run.kind,
        "read": run.read,
        "changes": run.changes,
    }


_NO_SCHEDULE: Json = {"next_at": None, "running_since": None, "failures": 0}


def _with_schedule(sync: Json, known: Known) -> Json:
    """Add what the running `serve` says of its schedule, if one runs here."""
    told = (
        {name: one[name] for name in _NO_SCHEDULE}
        for one in known.schedule
        if known.fresh
        and (one["domain"], one["directory"]) == (sync["domain"], sync["directory"])
    )
    return {**sync, **next(told, _NO_SCHEDULE)}


def _syncs_of(domain: Json, syncs: Sequence[Json]) -> list[Json]:
    return [one for one in syncs if one["domain"] == domain["domain"]]


def _show_domains(out: Output, domains: Sequence[Json]) -> None:
    out.table(
        "Domains",
        ("domain", "accounts", "groups", "contacts", "note"),
        [
            (
                one["domain"],
                *(_counts(one[kind]) for kind in ("accounts", "groups", "contacts")),
                one["note"],
            )
            for one in domains
        ],
    )


_SYNC_COLUMNS: tuple[tuple[str, Callable[[Json], object]], ...] = (
    ("domain", lambda one: one["domain"]),
    ("directory", lambda one: "" if one["directory"] == _ONLY else one["directory"]),
    ("last run", lambda one: _short((one["last_run"] or {}).get("at")) or "never"),
    ("result", lambda one: (one["last_run"] or {}).get("result", "")),
    ("success", lambda one: _short(one["last_success"]) or "never"),
    ("next", lambda one: "now" if one["running_since"] else _short(one["next_at"])),
    ("failures", lambda one: one["failures"] or ""),
    ("conflicts", lambda one: one["conflicts"] or ""),
)
"""What a table of 80 columns has room for; `sync runs` tells more of each run."""

_ONLY = "directory"
"""The name of a directory that the configuration gives none."""


def _show_syncs(out: Output, syncs: Sequence[Json]) -> None:
    """Show how the syncs stand, without columns that say nothing."""
    found = [
        (name, cells)
        for name, cell in _SYNC_COLUMNS
        if any(cells := [cell(one) for one in syncs])
    ]
    rows = zip(*(cells for _, cells in found), strict=True)
    out.table("Syncs (UTC)", [name for name, _ in found], list(rows))


def _short(at: str | None) -> str:
    """Return a time as people write it down, without year and seconds."""
    return "" if at is None else at[5:16].replace("T", " ")


def _show_hooks(out: Output, hooks: Sequence[Json]) -> None:
    out.table(
        "Hooks",
        ("type", "place", "answers"),
        [
            (one["type"], one["place"], "yes" if one["answers"] else "no")
            for one in hooks
        ],
    )


def _at(when: datetime | None) -> str | None:
    return when.isoformat(timespec="seconds") if when else None


def _problem(notice: Notice) -> Problem:
    since = notice.since.isoformat(" ", "minutes")
    where = f"{notice.domain} (since {since})"
    return Problem(notice.code, where, notice.text, notice.next)


def _notice_json(notice: Notice) -> Json:
    return {
        "key": notice.key,
        "domain": notice.domain,
        "code": notice.code,
        "text": notice.text,
        "next": notice.next,
        "since": _at(notice.since),
        "told_at": _at(notice.told_at),
    }


def _stale(app: App, syncs: Sequence[Json]) -> Iterator[Problem]:
    """Yield the directories that no run has read well for a long time."""
    for one in syncs:
        sync, last = app.settings.domains[one["domain"]].sync, one["last_success"]
        since = last and datetime.fromisoformat(last)
        # One run may be late, or fail, without anything being wrong.
        patience = max(sync.full_every, 2 * sync.interval)
        if not since or datetime.now(UTC) - since > patience:
            text = f"No sync has ended well since {last}."
            yield Problem(
                "sync-stale",
                one["domain"],
                text if last else "No sync has ended well yet.",
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
