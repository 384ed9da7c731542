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
    _widen_tables()
    _make_tables()
    _make_credentials()
    _make_guard()
    _make_indexes()
    _count()


def _widen_tables() -> None:
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
    times = sa.Column("times", sa.Integer(), server_default="1", nullable=False)
    op.add_column("attempts", times)
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


def _make_credentials() -> None:
    op.create_table(
        "choices",
        sa.Column("account", _NUMBER, nullable=False),
        sa.Column("methods", sa.Text(), nullable=False),
        _of_account("choices"),
        sa.PrimaryKeyConstraint("account", name="pk_choices"),
    )
    op.create_table(
        "app_passwords",
        sa.Column("number", _NUMBER, nullable=False),
        sa.Column("account", _NUMBER, nullable=False),
        sa.Column("label", sa.Text(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("revoked_at", _TIME, nullable=True),
        _of_account("app_passwords"),
        sa.PrimaryKeyConstraint("number", name="pk_app_passwords"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_app_passwords_account", "app_passwords", ["account"])
    op.create_table(
        "offline_verifiers",
        sa.Column("account", _NUMBER, nullable=False),
        sa.Column("verifier", sa.Text(), nullable=False),
        sa.Column("proven_at", _TIME, nullable=False),
        sa.Column("mark", sa.LargeBinary(), nullable=False),
        _of_account("offline_verifiers"),
        sa.PrimaryKeyConstraint("account", name="pk_offline_verifiers"),
    )


def _of_account(table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        ["account"],
        ["accounts.number"],
        name=f"fk_{table}_account",
        ondelete="CASCADE",
    )


def _make_guard() -> None:
    op.create_table(
        "tries",
        sa.Column("account", _NUMBER, nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.Column("last_at", _TIME, nullable=False),
        sa.Column("server", sa.Text(), nullable=False),
        _of_account("tries"),
        sa.PrimaryKeyConstraint("account", name="pk_tries"),
    )
    op.create_table(
        "known_addresses",
        sa.Column("account", _NUMBER, nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("last_at", _TIME, nullable=False),
        _of_account("known_addresses"),
        sa.PrimaryKeyConstraint("account", "address", name="pk_known_addresses"),
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
