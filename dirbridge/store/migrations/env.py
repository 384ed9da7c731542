"""Alembic's entry: runs the revisions on the connection that `upgrade` gives."""

from __future__ import annotations

from alembic import context

from dirbridge.store.schema import VERSION_TABLE, Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    version_table=VERSION_TABLE,
    # SQLite cannot alter most things: Alembic copies the table instead.
    render_as_batch=True,
)
context.run_migrations()
