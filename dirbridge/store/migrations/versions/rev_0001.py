"""The first schema."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Make every table."""
    op.create_table(
        "attempts",
        sa.Column("number", _NUMBER, nullable=False),
        sa.Column("at", _TIME, nullable=False),
        sa.Column("verdict", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("user", sa.Text(), nullable=False),
        sa.Column("user_key", sa.Text(), nullable=False),
        sa.Column("request_name", sa.Text(), nullable=False),
        sa.Column("name_key", sa.Text(), nullable=False),
        sa.Column("method", sa.Text(), nullable=False),
        sa.Column("server", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("service", sa.Text(), nullable=False),
        sa.Column("hook", sa.Text(), nullable=False),
        sa.Column("remote_ip", sa.Text(), nullable=True),
        sa.Column("local_ip", sa.Text(), nullable=True),
        sa.Column("milliseconds", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_attempts"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_attempts_at", "attempts", ["at"], unique=False)
    op.create_index(
        "ix_attempts_name_key_number", "attempts", ["name_key", "number"], unique=False
    )
    op.create_index(
        "ix_attempts_user_key_number", "attempts", ["user_key", "number"], unique=False
    )
    op.create_table(
        "domains",
        sa.Column("name", sa.String(length=253), nullable=False),
        sa.Column("since", _TIME, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_domains"),
    )
    op.create_table(
        "accounts",
        sa.Column("number", _NUMBER, nullable=False),
        sa.Column("domain", sa.String(length=253), nullable=False),
        sa.Column("mailbox", sa.Text(), nullable=False),
        sa.Column("mailbox_key", sa.Text(), nullable=False),
        sa.Column("origin", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("state_reason", sa.Text(), nullable=True),
        sa.Column("state_since", _TIME, nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("directory_id", sa.Text(), nullable=False),
        sa.Column("dn", sa.Text(), nullable=False),
        sa.Column("principal", sa.Text(), nullable=True),
        sa.Column("display_name", sa.Text(), nullable=True),
        sa.Column("given_name", sa.Text(), nullable=True),
        sa.Column("surname", sa.Text(), nullable=True),
        sa.Column("forward", sa.Text(), nullable=True),
        sa.Column("quota", sa.BigInteger(), nullable=True),
        sa.Column("title", sa.Text(), nullable=True),
        sa.Column("department", sa.Text(), nullable=True),
        sa.Column("phone", sa.Text(), nullable=True),
        sa.Column("entry_state", sa.Text(), nullable=False),
        sa.Column("entry_state_reason", sa.Text(), nullable=True),
        sa.Column("expires_at", _TIME, nullable=True),
        sa.Column("created_at", _TIME, nullable=True),
        sa.ForeignKeyConstraint(
            ["domain"], ["domains.name"], name="fk_accounts_domain"
        ),
        sa.PrimaryKeyConstraint("number", name="pk_accounts"),
        sa.UniqueConstraint(
            "domain", "mailbox_key", name="uq_accounts_domain_mailbox_key"
        ),
        sa.UniqueConstraint(
            "domain",
            "source",
            "directory_id",
            name="uq_accounts_domain_source_directory_id",
        ),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "cursors",
        sa.Column("domain", sa.String(length=253), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("value", sa.LargeBinary(), nullable=False),
        sa.Column("at", _TIME, nullable=False),
        sa.ForeignKeyConstraint(["domain"], ["domains.name"], name="fk_cursors_domain"),
        sa.PrimaryKeyConstraint("domain", "source", name="pk_cursors"),
    )
    op.create_table(
        "groups",
        sa.Column("number", _NUMBER, nullable=False),
        sa.Column("domain", sa.String(length=253), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("dn", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["domain"], ["domains.name"], name="fk_groups_domain"),
        sa.PrimaryKeyConstraint("number", name="pk_groups"),
        sa.UniqueConstraint("domain", "digest", name="uq_groups_domain_digest"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "runs",
        sa.Column("number", _NUMBER, nullable=False),
        sa.Column("domain", sa.String(length=253), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("server", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("started_at", _TIME, nullable=False),
        sa.Column("finished_at", _TIME, nullable=False),
        sa.Column("result", sa.Text(), nullable=False),
        sa.Column("read", sa.Integer(), nullable=False),
        sa.Column("changes", sa.Text(), nullable=False),
        sa.Column("known", sa.Text(), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["domain"], ["domains.name"], name="fk_runs_domain"),
        sa.PrimaryKeyConstraint("number", name="pk_runs"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_runs_domain_number", "runs", ["domain", "number"], unique=False)
    op.create_table(
        "addresses",
        sa.Column("account", _NUMBER, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("position", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("until", _TIME, nullable=True),
        sa.Column("live", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(
            ["account"],
            ["accounts.number"],
            name="fk_addresses_account",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("account", "kind", "position", name="pk_addresses"),
    )
    op.create_index("ix_addresses_key_kind", "addresses", ["key", "kind"], unique=False)
    op.create_index(
        "uq_addresses_live",
        "addresses",
        ["key"],
        unique=True,
        sqlite_where=sa.text("live"),
        postgresql_where=sa.text("live"),
    )
    op.create_table(
        "approvals",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("domain", sa.String(length=253), nullable=False),
        sa.Column("covers", sa.Text(), nullable=False),
        sa.Column("given_by", sa.Text(), nullable=False),
        sa.Column("given_at", _TIME, nullable=False),
        sa.Column("until", _TIME, nullable=False),
        sa.Column("used_by", _NUMBER, nullable=True),
        sa.ForeignKeyConstraint(
            ["domain"], ["domains.name"], name="fk_approvals_domain"
        ),
        sa.ForeignKeyConstraint(
            ["used_by"], ["runs.number"], name="fk_approvals_used_by"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_approvals"),
    )
    op.create_table(
        "changes",
        sa.Column("run", _NUMBER, nullable=False),
        sa.Column("position", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("at", _TIME, nullable=False),
        sa.Column("op", sa.Text(), nullable=False),
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("before", sa.Text(), nullable=False),
        sa.Column("after", sa.Text(), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("server", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["run"], ["runs.number"], name="fk_changes_run", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("run", "position", name="pk_changes"),
    )
    op.create_index("ix_changes_account", "changes", ["account"], unique=False)
    op.create_table(
        "memberships",
        sa.Column("account", _NUMBER, nullable=False),
        sa.Column("position", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("group", _NUMBER, nullable=False),
        sa.ForeignKeyConstraint(
            ["account"],
            ["accounts.number"],
            name="fk_memberships_account",
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["group"], ["groups.number"], name="fk_memberships_group"
        ),
        sa.PrimaryKeyConstraint("account", "position", name="pk_memberships"),
    )
    op.create_index("ix_memberships_group", "memberships", ["group"], unique=False)
    op.create_table(
        "names",
        sa.Column("account", _NUMBER, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("position", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["account"],
            ["accounts.number"],
            name="fk_names_account",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("account", "kind", "position", name="pk_names"),
    )
    op.create_index("ix_names_key_kind", "names", ["key", "kind"], unique=False)
    op.create_table(
        "verifiers",
        sa.Column("account", _NUMBER, nullable=False),
        sa.Column("verifier", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["account"],
            ["accounts.number"],
            name="fk_verifiers_account",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("account", name="pk_verifiers"),
    )
