"""`dirbridge mappings preview` and `try`: what a mapping would do, before it does."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import click

from dirbridge.app import App
from dirbridge.cli import plans, progress
from dirbridge.cli.options import Call, shared
from dirbridge.cli.output import DONE, PROBLEMS, Json, Output, code_of
from dirbridge.errors import ConfigError, DirbridgeError, Problem
from dirbridge.explain.directory import Directory
from dirbridge.mapping.profile import Profile, load_profile_file
from dirbridge.model.entry import Found
from dirbridge.model.mapping import Elsewhere, Mapped, MappingResult, Unmapped
from dirbridge.model.names import DomainName
from dirbridge.model.sentences import problems_of

_PROFILE = click.option(
    "--profile",
    metavar="FILE",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The mapping to try; else the one that is configured.",
)


def _with_profile(app: App, file: Path | None, domain: str | None) -> App:
    """Return the application as it would be with this profile.

    It stands in for the profile of the same name, and for those of a domain that is
    named.
    """
    if file is None:
        return app
    profile = load_profile_file(file)
    names = {profile.name} & set(app.profiles)
    if domain is not None:
        settings = app.settings.domains[app.domain(domain)]
        names |= {one.profile for one in settings.directory}
    if not names:
        raise ConfigError((_of_nobody(file, profile),))
    return replace(app, profiles={**app.profiles, **dict.fromkeys(names, profile)})


def _of_nobody(file: Path, profile: Profile) -> Problem:
    return Problem(
        "profile-of-nobody",
        str(file),
        f'No domain uses a mapping with the name "{profile.name}".',
        "Name the domain for which it is to be tried.",
    )


@click.command()
@click.argument("domain", required=False)
@_PROFILE
@shared
def preview(call: Call, *, domain: str | None, profile: Path | None) -> int:
    """Show what a mapping would do to everybody, as a plan; nothing is written.

    Reads the directory of DOMAIN, or of all domains that use a mapping of this name,
    maps every entry anew, and compares the outcome with the user database.
    """
    app = call.app()
    changed = _with_profile(app, profile, domain)
    code, told = DONE, list[plans.Told]()
    with changed.open_store() as store:
        for job in changed.jobs(store, domain):
            try:
                with progress.shown(call.out, job.policy.domain) as tell:
                    report = job.run(dry_run=True, full=True, progress=tell)
            except DirbridgeError as error:
                call.out.problem(*problems_of(error))
                code = max(code, code_of(error))
                continue
            told.append(plans.of_report(report, dry_run=True))
            plans.show(call.out, told[-1])
            call.out.problem(*plans.problems(told[-1]))
            code = max(code, told[-1].code)
        runs = [plans.told_json(one) for one in told]
        name = "" if profile is None else str(profile)
        call.out.finish({"profile": name, "runs": runs}, ok=code == DONE)
    return code


@click.command("try")
@click.argument("name")
@_PROFILE
@shared
def try_(call: Call, *, name: str, profile: Path | None) -> int:
    """Show of the entry NAME, live: raw attribute, rule, and what it becomes.

    NAME is a login name, a UPN or an address, also of an entry that no sync takes.
    """
    app = call.app()
    with app.open_store() as store:
        found = app.resolver(store).resolve(name)
    entries: list[Json] = []
    for domain in found.domains or tuple(app.settings.domains):
        tried = _with_profile(app, profile, domain)
        for directory in tried.directories[domain]:
            names = found.names_in(domain)
            entries += list(_entries(call.out, tried, domain, directory, names))
    if not entries:
        call.out.problem(
            Problem(
                "no-entry",
                name,
                "No directory has an entry with this name.",
                "Check the spelling, or have the person entered there.",
            )
        )
    call.out.finish({"entries": entries})
    lacking = any(one["unmapped"] for one in entries)
    return PROBLEMS if lacking or call.out.problems else DONE


def _entries(
    out: Output,
    app: App,
    domain: DomainName,
    directory: Directory,
    names: tuple[str, ...],
) -> Iterator[Json]:
    settings = app.settings.domains[domain].directory
    source = directory.connector.source
    profile = next(one.profile for one in settings if one.name == source)
    looked = (one for name in names for one in directory.connector.lookup(name))
    for found in {one.entry.id: one for one in looked}.values():
        answer = _entry(found, directory, app.profiles[profile].name)
        _show(out, answer)
        yield answer


def _entry(found: Found, directory: Directory, profile: str) -> Json:
    entry, result = found.entry, directory.mapping(found.entry)
    return {
        "dn": entry.dn,
        "id": entry.id,
        "directory": directory.connector.source,
        "kind": entry.kind,
        "profile": profile,
        "in_scope": found.in_scope,
        "excluded_by": [f"{one.name}: {one.why}" for one in found.excluded_by],
        "unmapped": _why_not(result),
        "fields": _fields(found, directory, result),
        "notes": list(result.notes) if isinstance(result, Mapped) else [],
    }


def _why_not(result: MappingResult) -> str | None:
    match result:
        case Mapped():
            return None
        case Unmapped(reason=why) | Elsewhere(why=why):
            return why


def _fields(found: Found, directory: Directory, result: MappingResult) -> list[Json]:
    values = result.values if isinstance(result, Mapped) else None
    return [
        {
            "field": field,
            "value": _text(getattr(values, field, None)),
            "attribute": rule.attribute,
            "raw": list(rule.raw),
            "transforms": list(rule.transforms),
        }
        for field, rule in directory.provenance(found.entry).items()
    ]


def _text(value: object) -> str | None:
    if isinstance(value, tuple):
        return ", ".join(map(str, value))
    return None if value is None else str(value)


def _show(out: Output, entry: Json) -> None:
    out.say(
        f"{entry['dn']}  ({entry['kind']}, mapping {entry['profile']})", style="bold"
    )
    for why in entry["excluded_by"]:
        out.say(f"left out by {why}")
    if not entry["in_scope"]:
        out.say("It is outside of what is synced: see `base` and `filter`.")
    rows = [
        (
            one["attribute"],
            one["raw"],
            ", ".join(one["transforms"]),
            one["field"],
            one["value"],
        )
        for one in entry["fields"]
    ]
    if rows:
        out.table("", ("attribute", "holds", "rule", "field", "becomes"), rows)
    for note in entry["notes"]:
        out.say(f"note: {note}", style="dim")
    if entry["unmapped"]:
        out.say(f"It cannot be mapped: {entry['unmapped']}")
