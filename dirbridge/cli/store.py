"""`dirbridge store`: look after the local user database."""

from __future__ import annotations

from pathlib import Path

import click

from dirbridge.cli.options import Call, shared
from dirbridge.cli.output import DONE
from dirbridge.store.opening import Upgrade


@click.group()
def store() -> None:
    """Look after the local user database."""


@store.command()
@click.option(
    "--backup-to",
    type=click.Path(path_type=Path, file_okay=False),
    help="The copy's folder; else beside the file (SQLite), none (PostgreSQL).",
)
@shared
def upgrade(call: Call, *, backup_to: Path | None) -> int:
    """Bring the database to this release's schema, after a backup."""
    upgraded = call.app().upgrade_store(backup_to)
    call.out.say(_sentence(upgraded))
    if upgraded.backup:
        call.out.say(upgraded.backup)
    call.out.finish(
        {
            "before": upgraded.before,
            "after": upgraded.after,
            "backup": upgraded.backup,
        }
    )
    return DONE


def _sentence(upgraded: Upgrade) -> str:
    if upgraded.before == upgraded.after:
        return f"schema {upgraded.after} is the newest; nothing was to be done"
    return f"upgraded from schema {upgraded.before} to {upgraded.after}"
