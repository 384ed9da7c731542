"""`dirbridge store`: look after the local user database."""

from __future__ import annotations

from pathlib import Path

import click

from dirbridge.cli.asking import confirm
from dirbridge.cli.options import Call, shared
from dirbridge.cli.output import DONE
from dirbridge.store.opening import Upgrade
from dirbridge.store.saving import Restored


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


@store.command()
@click.argument("file", required=False, type=click.Path(path_type=Path, dir_okay=False))
@shared
def backup(call: Call, *, file: Path | None) -> int:
    """Save the whole database in a new file, also while dirbridge runs."""
    saved = call.app().save_store(None if file is None else file.absolute())
    call.out.say(f"saved in {saved.file} ({saved.size} octets)")
    call.out.finish(
        {"file": str(saved.file), "octets": saved.size, "schema": saved.schema}
    )
    return DONE


@store.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--yes", is_flag=True, help="Do not ask.")
@shared
def restore(call: Call, *, file: Path, yes: bool) -> int:
    """Put a backup in the place of the database, which nobody may be using."""
    app = call.app()
    if not yes:
        confirm(f"Replace {app.settings.store.url} by {file}?")
    restored = app.restore_store(file.absolute())
    call.out.say(f"restored {restored.accounts} accounts, schema {restored.schema}")
    if restored.kept is not None:
        call.out.say(f"the former database is kept in {restored.kept}")
    call.out.say(_next(restored))
    call.out.finish(
        {
            "file": str(file.absolute()),
            "accounts": restored.accounts,
            "schema": restored.schema,
            "kept": None if restored.kept is None else str(restored.kept),
            "upgrade": not restored.newest,
        }
    )
    return DONE


def _next(restored: Restored) -> str:
    if not restored.newest:
        return "next: dirbridge store upgrade"
    return "next: dirbridge sync; what it would take away needs approval"


def _sentence(upgraded: Upgrade) -> str:
    if upgraded.before == upgraded.after:
        return f"schema {upgraded.after} is the newest; nothing was to be done"
    return f"upgraded from schema {upgraded.before} to {upgraded.after}"
