"""Groups, contacts, digests, offers, notices and tallies."""

from __future__ import annotations

from collections import Counter
from functools import lru_cache
from hashlib import blake2b

import sqlalchemy as sa
from alembic import op

from dirbridge.directory.dn import parent
from dirbridge.directory.errors import Undecodable

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_TIME = sa.DateTime(timezone=True)
_KEY = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
_LONGEST = 500


def upgrade() -> None:
    """Expand only: `groups`, `memberships` and `approvals` stay, unused."""
    _widen_accounts()
    _make_tables()
    _make_indexes()
    _count()


def _widen_accounts() -> None:
    for new in (
        sa.Column("kind", sa.Text(), server_default="account", nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=True),
        sa.Column("name", sa.Text(), nullable=True),
        sa.Column("group_number", sa.Text(), nullable=True),
        sa.Column("primary_group", sa.Text(), nullable=True),
        sa.Column("forward_dn", sa.Text(), nullable=True),
        sa.Column(
            "forward_keep", sa.Boolean(), server_default=sa.false(), nullable=False
        ),
    ):
        op.add_column("accounts", new)
    if op.get_bind().dialect.name == "postgresql":
        for table, column in (("accounts", "mailbox_key"), ("addresses", "key")):
            op.alter_column(table, column, type_=sa.Text(collation="C"))


def _make_tables() -> None:
    op.create_table(
        "members",
        sa.Column("account", _NUMBER, nullable=False),
        sa.Column("position", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("by", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["account"],
            ["accounts.number"],
            name="fk_members_account",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("account", "position", name="pk_members"),
    )
    op.create_table(
        "notices",
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("domain", sa.Text(), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("next", sa.Text(), nullable=False),
        sa.Column("since", _TIME, nullable=False),
        sa.Column("told_at", _TIME, nullable=True),
        sa.Column("over_at", _TIME, nullable=True),
        sa.PrimaryKeyConstraint("key", name="pk_notices"),
    )
    op.create_table(
        "offers",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("domain", sa.String(length=253), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("covers", sa.Text(), nullable=False),
        sa.Column("offered_at", _TIME, nullable=False),
        sa.Column("until", _TIME, nullable=False),
        sa.Column("used_by", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["domain"], ["domains.name"], name="fk_offers_domain"),
        sa.PrimaryKeyConstraint("id", name="pk_offers"),
    )
    op.create_table(
        "tallies",
        sa.Column("domain", sa.String(length=253), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("origin", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("key", _KEY, nullable=False),
        sa.Column("container", sa.Text(), nullable=False),
        sa.Column("live", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["domain"], ["domains.name"], name="fk_tallies_domain"),
        sa.PrimaryKeyConstraint(
            "domain", "source", "origin", "kind", "key", name="pk_tallies"
        ),
    )


def _make_indexes() -> None:
    for name, table, columns, where in (
        (
            "ix_accounts_deactivated",
            "accounts",
            ["domain", "source", "state_since"],
            sa.text("state = 'deactivated'"),
        ),
        ("ix_runs_applied", "runs", ["number"], sa.text("result = 'applied'")),
    ):
        op.create_index(
            name, table, columns, sqlite_where=where, postgresql_where=where
        )


def _count() -> None:
    """Count the live accounts that are there; from now on `apply` keeps the numbers."""
    connection = op.get_bind()
    live = "SELECT domain, source, origin, dn FROM accounts WHERE state IN {}"
    found = connection.execute(sa.text(live.format("('active', 'disabled')")))
    counted = Counter((d, s, o, _container(dn)) for d, s, o, dn in found)
    tallies = sa.table(
        "tallies",
        *map(sa.column, ("domain", "source", "origin", "kind")),
        *map(sa.column, ("key", "container", "live")),
    )
    for (domain, source, origin, container), count in counted.items():
        values = (domain, source, origin, "account", _key(container), container, count)
        connection.execute(tallies.insert().values(values))


@lru_cache(maxsize=1024)
def _key(container: str) -> str:
    if len(container) <= _LONGEST:
        return container
    return " " + blake2b(container.encode("utf-8")).hexdigest()


def _container(dn: str) -> str:
    try:
        return parent(dn)
    except Undecodable:
        return ""
