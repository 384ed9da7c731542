"""The steps from one schema to the next, run by Alembic.

A revision is the schema's number in four digits. To add one, change `schema.py`,
raise `SCHEMA`, and write `versions/rev_NNNN.py`; `docs/store.md` says how.
Revisions expand first (new columns may be empty, nothing old goes away), and
contract a release later.
"""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection


def revisions() -> tuple[str, ...]:
    """Return every revision, oldest first."""
    scripts = ScriptDirectory.from_config(_config())
    return tuple(reversed([step.revision for step in scripts.walk_revisions()]))


def upgrade(connection: Connection, revision: str = "head") -> None:
    """Run what is missing up to a revision, inside the connection's transaction."""
    config = _config()
    config.attributes["connection"] = connection
    command.upgrade(config, revision)


def _config() -> Config:
    config = Config()
    # A percent sign in the path would be an interpolation.
    here = str(Path(__file__).parent).replace("%", "%%")
    config.set_main_option("script_location", here)
    config.set_main_option("path_separator", "os")
    return config
