"""`dirbridge mappings`: which attribute becomes which field."""

from __future__ import annotations

from pathlib import Path

import click

from dirbridge.cli.mapping_trials import preview, try_
from dirbridge.cli.options import Call, shared
from dirbridge.cli.output import DONE, USAGE
from dirbridge.config.loading import find
from dirbridge.errors import ConfigError
from dirbridge.mapping.profile import lint_profile, list_profiles, load_profile_file


@click.group()
def mappings() -> None:
    """Look at mapping profiles: which attribute becomes which field."""


mappings.add_command(preview)
mappings.add_command(try_)


@mappings.command("list")
@shared
def list_(call: Call) -> int:
    """List all mapping profiles; those beside the configuration win."""
    rows = []
    for one in list_profiles(_beside(call)):
        try:
            profile = load_profile_file(one.path)
        except ConfigError as error:
            call.out.problem(*error.problems)
            continue
        rows.append(
            {
                "name": one.name,
                "local": one.local,
                "path": str(one.path),
                "id": profile.id,
                "account_fields": [rule.name for rule in profile.account],
                "group_fields": [rule.name for rule in profile.group],
            }
        )
    call.out.table(
        "Mapping profiles",
        ("name", "from", "identity", "fields", "file"),
        [
            (
                row["name"],
                "beside the configuration" if row["local"] else "shipped",
                row["id"],
                row["account_fields"],
                row["path"],
            )
            for row in rows
        ],
    )
    call.out.finish({"mappings": rows})
    return USAGE if call.out.problems else DONE


@mappings.command()
@click.argument("names", nargs=-1)
@shared
def lint(call: Call, *, names: tuple[str, ...]) -> int:
    """Check profiles by NAME or file, or all of them, and tell every problem."""
    beside = _beside(call)
    wanted = names or tuple(one.name for one in list_profiles(beside))
    for name in wanted:
        as_file = Path(name) if name.endswith(".toml") else name
        found = lint_profile(as_file, beside)
        call.out.problem(*found)
        call.out.say(f"{name}: {'has problems' if found else 'ok'}")
    call.out.finish({"checked": list(wanted)})
    return USAGE if call.out.problems else DONE


def _beside(call: Call) -> Path | None:
    """Return the folder of the configuration, if there is one at all."""
    try:
        return find(call.config).parent
    except ConfigError:
        if call.config is not None:
            raise
        return None
