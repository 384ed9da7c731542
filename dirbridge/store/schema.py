"""The tables of the local user database, and how names become keys.

Every comparison of names is one of `key` columns, which hold `key(name)`. Login
names and UPNs are not unique: two accounts with one name are a conflict that the
planner settles, and until then a login with it is ambiguous. Timestamps are UTC.
"""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from hashlib import blake2b
from typing import cast

from sqlalchemy import (
    BigInteger,
    DateTime,
    Dialect,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    false,
    text,
)
from sqlalchemy import Column as PlainColumn
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.types import TypeDecorator

from dirbridge.model.names import fold

SCHEMA = 2
"""The number of the newest schema; its Alembic revision is the same in 4 digits."""

_LONGEST_KEY = 500


def key(name: str) -> str:
    """Return what a name is compared by: its fold, or a digest of a very long one.

    PostgreSQL refuses index entries above some 2,700 bytes; one absurd value in a
    directory must not stop a sync.
    """
    if len(name) <= _LONGEST_KEY and name.isascii():
        # As `fold` does it, and most names are; a first import makes many millions.
        return name.strip().lower()
    # No fold begins with a blank, so a digest equals no name.
    return short(fold(name))


def short(text: str) -> str:
    """Return a text itself, or a digest of a very long one; see `key`."""
    if len(text) <= _LONGEST_KEY:
        return text
    return " " + blake2b(text.encode("utf-8", "surrogatepass")).hexdigest()


class AddressKind(StrEnum):
    """How an address belongs to its account.

    Groups and contacts have kinds of their own: nobody logs in by their addresses,
    and a bridge of the release before, which knows only accounts, must not find
    them either.
    """

    PRIMARY = "primary"
    ALIAS = "alias"
    KEPT = "kept"
    TO_PRIMARY = "to-primary"
    TO_ALIAS = "to-alias"
    TO_KEPT = "to-kept"


def as_utc(time: datetime) -> datetime:
    """Return a time in UTC.

    Raises:
        ValueError: It has no zone.
    """
    if time.tzinfo is None:
        raise ValueError("a time without a zone cannot be stored")
    return time.astimezone(UTC)


class Utc(TypeDecorator[datetime]):
    """A moment: timezone-aware UTC outside, also on SQLite, which knows no zones."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(
        self, value: datetime | None, dialect: Dialect
    ) -> datetime | None:
        """Turn an aware time into UTC.

        Raises:
            ValueError: The time is naive.
        """
        if value is None:
            return None
        moment = as_utc(value)
        return moment.replace(tzinfo=None) if dialect.name == "sqlite" else moment

    def process_result_value(
        self, value: datetime | None, dialect: Dialect
    ) -> datetime | None:
        """Turn what the driver gives into aware UTC."""
        if value is None:
            return None
        if dialect.name == "sqlite":
            return value.replace(tzinfo=UTC)
        return value.astimezone(UTC)


# SQLite numbers rows by itself only in a column that is exactly INTEGER.
_Number = BigInteger().with_variant(Integer, "sqlite")
# By code points, as SQLite compares: PostgreSQL can then look for a beginning in an
# index, and compares faster.
_Key = Text().with_variant(Text(collation="C"), "postgresql")


class Base(DeclarativeBase):
    """Base of all tables."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {str: Text, datetime: Utc, bytes: LargeBinary}  # noqa: RUF012


class DomainRow(Base):
    """A mail domain that was synced at least once."""

    __tablename__ = "domains"

    name: Mapped[str] = mapped_column(String(253), primary_key=True)
    since: Mapped[datetime]


class RunRow(Base):
    """A sync run; see `store.base.Run`."""

    __tablename__ = "runs"
    __table_args__ = (
        Index(None, "domain", "number"),
        Index(
            "ix_runs_applied",
            "number",
            sqlite_where=text("result = 'applied'"),
            postgresql_where=text("result = 'applied'"),
        ),
        {"sqlite_autoincrement": True},
    )

    number: Mapped[int] = mapped_column(_Number, primary_key=True)
    domain: Mapped[str] = mapped_column(ForeignKey("domains.name"))
    source: Mapped[str]
    server: Mapped[str]
    kind: Mapped[str]
    started_at: Mapped[datetime]
    finished_at: Mapped[datetime]
    result: Mapped[str]
    read: Mapped[int]
    changes: Mapped[str]
    known: Mapped[str]
    why: Mapped[str]


class AccountRow(Base):
    """An account without its lists; see `model.account.Account`.

    `entry_state` and `entry_state_reason` are what the directory says, `state`
    and `state_reason` what became of it here. Groups and contacts have no mailbox;
    `rows.mailbox_key` keeps theirs apart.
    """

    __tablename__ = "accounts"
    __table_args__ = (
        UniqueConstraint("domain", "mailbox_key"),
        UniqueConstraint("domain", "source", "directory_id"),
        Index(
            "ix_accounts_deactivated",
            "domain",
            "source",
            "state_since",
            sqlite_where=text("state = 'deactivated'"),
            postgresql_where=text("state = 'deactivated'"),
        ),
        {"sqlite_autoincrement": True},
    )

    number: Mapped[int] = mapped_column(_Number, primary_key=True)
    domain: Mapped[str] = mapped_column(ForeignKey("domains.name"))
    mailbox: Mapped[str]
    mailbox_key: Mapped[str] = mapped_column(_Key)
    origin: Mapped[str]
    role: Mapped[str]
    state: Mapped[str]
    state_reason: Mapped[str | None]
    state_since: Mapped[datetime]
    source: Mapped[str]
    directory_id: Mapped[str]
    dn: Mapped[str]
    principal: Mapped[str | None]
    display_name: Mapped[str | None]
    given_name: Mapped[str | None]
    surname: Mapped[str | None]
    forward: Mapped[str | None]
    quota: Mapped[int | None] = mapped_column(BigInteger)
    title: Mapped[str | None]
    department: Mapped[str | None]
    phone: Mapped[str | None]
    entry_state: Mapped[str]
    entry_state_reason: Mapped[str | None]
    expires_at: Mapped[datetime | None]
    created_at: Mapped[datetime | None]
    kind: Mapped[str] = mapped_column(server_default="account")
    digest: Mapped[bytes | None]
    name: Mapped[str | None]
    group_number: Mapped[str | None]
    primary_group: Mapped[str | None]
    forward_dn: Mapped[str | None]
    forward_keep: Mapped[bool] = mapped_column(server_default=false())


def _account() -> Mapped[int]:
    return mapped_column(
        _Number, ForeignKey("accounts.number", ondelete="CASCADE"), primary_key=True
    )


class NameRow(Base):
    """A name to log in by: kind `login` or `upn`."""

    __tablename__ = "names"
    __table_args__ = (Index(None, "key", "kind"),)

    account: Mapped[int] = _account()
    kind: Mapped[str] = mapped_column(primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    name: Mapped[str]
    key: Mapped[str]


class AddressRow(Base):
    """A mail address; `live` ones belong to one account of the whole store.

    Live is the first row of an address in its account, unless the address is only
    kept or the account is removed: those are reserved by the planner, for a time,
    which no constraint can say.
    """

    __tablename__ = "addresses"
    __table_args__ = (
        Index(None, "key", "kind"),
        Index(
            "uq_addresses_live",
            "key",
            unique=True,
            sqlite_where=text("live"),
            postgresql_where=text("live"),
        ),
    )

    account: Mapped[int] = _account()
    kind: Mapped[str] = mapped_column(primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    address: Mapped[str]
    key: Mapped[str] = mapped_column(_Key)
    until: Mapped[datetime | None]
    live: Mapped[bool]


class MemberRow(Base):
    """Whom a group names, in its order; see `model.recipient.Reference`."""

    __tablename__ = "members"

    account: Mapped[int] = _account()
    position: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    by: Mapped[str]
    value: Mapped[str]


class TallyRow(Base):
    """How many active and disabled accounts stand in a container.

    Kept by each `apply`: a delta must know these numbers and cannot count a million
    rows. `key` is the container's DN, or a digest of a very long one.
    """

    __tablename__ = "tallies"

    domain: Mapped[str] = mapped_column(ForeignKey("domains.name"), primary_key=True)
    source: Mapped[str] = mapped_column(primary_key=True)
    origin: Mapped[str] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(_Key, primary_key=True)
    container: Mapped[str]
    live: Mapped[int]


class GroupRow(Base):
    """Unused since schema 2; the next one drops it."""

    __tablename__ = "groups"
    __table_args__ = (
        UniqueConstraint("domain", "digest"),
        {"sqlite_autoincrement": True},
    )

    number: Mapped[int] = mapped_column(_Number, primary_key=True)
    domain: Mapped[str] = mapped_column(ForeignKey("domains.name"))
    digest: Mapped[str]
    dn: Mapped[str]


class MembershipRow(Base):
    """Unused since schema 2; the next one drops it."""

    __tablename__ = "memberships"

    account: Mapped[int] = _account()
    position: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    group: Mapped[int] = mapped_column(_Number, ForeignKey("groups.number"), index=True)


class ChangeRow(Base):
    """A change as it was applied; see `store.base.AuditRow`."""

    __tablename__ = "changes"
    __table_args__ = (Index(None, "account"),)

    run: Mapped[int] = mapped_column(
        _Number, ForeignKey("runs.number", ondelete="CASCADE"), primary_key=True
    )
    position: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    at: Mapped[datetime]
    op: Mapped[str]
    account: Mapped[str]
    name: Mapped[str]
    before: Mapped[str]
    after: Mapped[str]
    why: Mapped[str]
    server: Mapped[str]


class CursorRow(Base):
    """Where the next delta read of a directory goes on."""

    __tablename__ = "cursors"

    domain: Mapped[str] = mapped_column(ForeignKey("domains.name"), primary_key=True)
    source: Mapped[str] = mapped_column(primary_key=True)
    kind: Mapped[str]
    value: Mapped[bytes]
    at: Mapped[datetime]


class VerifierRow(Base):
    """An account's Argon2id verifier, a PHC string."""

    __tablename__ = "verifiers"

    account: Mapped[int] = _account()
    verifier: Mapped[str]


class ChoiceRow(Base):
    """The login methods that were chosen for an account, as a JSON list."""

    __tablename__ = "choices"

    account: Mapped[int] = _account()
    methods: Mapped[str]


class AppPasswordRow(Base):
    """An app password; see `model.credentials.AppPassword`."""

    __tablename__ = "app_passwords"
    __table_args__ = ({"sqlite_autoincrement": True},)

    number: Mapped[int] = mapped_column(_Number, primary_key=True)
    account: Mapped[int] = mapped_column(
        _Number, ForeignKey("accounts.number", ondelete="CASCADE"), index=True
    )
    label: Mapped[str]
    digest: Mapped[bytes]
    created_at: Mapped[datetime]
    revoked_at: Mapped[datetime | None]


class OfflineVerifierRow(Base):
    """What lets an account in during an outage; see `OfflineVerifier`."""

    __tablename__ = "offline_verifiers"

    account: Mapped[int] = _account()
    verifier: Mapped[str]
    proven_at: Mapped[datetime]
    mark: Mapped[bytes]


class TriesRow(Base):
    """Wrong passwords that went to an account's directory; see `tries_base.Tries`."""

    __tablename__ = "tries"

    account: Mapped[int] = _account()
    count: Mapped[int]
    last_at: Mapped[datetime]
    server: Mapped[str]


class KnownAddressRow(Base):
    """From where an account logged in, and when it last did."""

    __tablename__ = "known_addresses"

    account: Mapped[int] = _account()
    address: Mapped[str] = mapped_column(primary_key=True)
    last_at: Mapped[datetime]


class AttemptRow(Base):
    """A login attempt; it holds no password. `user` and `request_name` as keys too."""

    __tablename__ = "attempts"
    __table_args__ = (
        Index(None, "user_key", "number"),
        Index(None, "name_key", "number"),
        Index(None, "at"),
        {"sqlite_autoincrement": True},
    )

    number: Mapped[int] = mapped_column(_Number, primary_key=True)
    at: Mapped[datetime]
    verdict: Mapped[str]
    reason: Mapped[str]
    user: Mapped[str]
    user_key: Mapped[str]
    request_name: Mapped[str]
    name_key: Mapped[str]
    method: Mapped[str]
    server: Mapped[str]
    detail: Mapped[str]
    service: Mapped[str]
    hook: Mapped[str]
    remote_ip: Mapped[str | None]
    local_ip: Mapped[str | None]
    milliseconds: Mapped[float]
    times: Mapped[int] = mapped_column(server_default="1")


class ApprovalRow(Base):
    """Unused since schema 2, which has `offers`; the next one drops it."""

    __tablename__ = "approvals"

    id: Mapped[str] = mapped_column(primary_key=True)
    domain: Mapped[str] = mapped_column(ForeignKey("domains.name"))
    covers: Mapped[str]
    given_by: Mapped[str]
    given_at: Mapped[datetime]
    until: Mapped[datetime]
    used_by: Mapped[int | None] = mapped_column(_Number, ForeignKey("runs.number"))


class OfferRow(Base):
    """What a stopped run offers to a person; see `model.plan.Approval`.

    `covers` is the set of (operation, directory id) as JSON. `used_by` outlives its
    run.
    """

    __tablename__ = "offers"

    id: Mapped[str] = mapped_column(primary_key=True)
    domain: Mapped[str] = mapped_column(ForeignKey("domains.name"))
    source: Mapped[str]
    covers: Mapped[str]
    offered_at: Mapped[datetime]
    until: Mapped[datetime]
    used_by: Mapped[int | None] = mapped_column(BigInteger)


class NoticeRow(Base):
    """Something that needs a person; see `store.base.Notice`."""

    __tablename__ = "notices"

    key: Mapped[str] = mapped_column(primary_key=True)
    domain: Mapped[str]
    code: Mapped[str]
    text: Mapped[str]
    next: Mapped[str]
    since: Mapped[datetime]
    told_at: Mapped[datetime | None]
    over_at: Mapped[datetime | None]


VERSION_TABLE = "schema_version"

version: Table = Table(
    VERSION_TABLE,
    # Alembic's own table under our name; not in `Base`, as Alembic makes it too.
    MetaData(),
    PlainColumn("version_num", String(32), nullable=False, primary_key=True),
)


def table(row: type[Base]) -> Table:
    """Return a row class's table, typed."""
    return cast("Table", row.__table__)
