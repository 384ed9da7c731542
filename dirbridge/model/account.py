"""Accounts: ours, and what the directory says of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from dirbridge.model.entry import EntryKind
from dirbridge.model.names import Address, DirectoryId, DomainName
from dirbridge.model.recipient import Reference


class AccountState(StrEnum):
    """What an account may do.

    A `disabled` one is so because the directory says it; a `deactivated` one
    vanished from the directory. Both keep mailbox and mail; a `removed` one
    keeps only the reservation of its addresses.
    """

    ACTIVE = "active"
    DISABLED = "disabled"
    DEACTIVATED = "deactivated"
    REMOVED = "removed"


LIVE = frozenset({AccountState.ACTIVE, AccountState.DISABLED})
"""The states of an account that the directory still has."""


class Origin(StrEnum):
    """Who owns an account: a directory, or this database alone."""

    MAPPED = "mapped"
    LOCAL = "local"


class Role(StrEnum):
    """What an account may do to dirbridge itself."""

    USER = "user"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountValues:
    """What the directory says of one account, in our words.

    Groups and contacts get mail as well, and are kept in the same way: as accounts
    that nobody logs in to. They have no login names, no UPN and no mailbox.

    Attributes:
        directory_id: The entry's stable id.
        kind: Somebody who logs in, a group, or a contact.
        dn: Where the entry stands now.
        login_names: Names to log in by; the first is the main one.
        upn: The user principal name (Active Directory), `name@suffix`.
        principal: The Kerberos principal where the directory names one.
        display_name: Name for people.
        given_name: First name.
        surname: Last name.
        primary_address: The address that mail from this account carries.
        aliases: Further addresses.
        forward: Where mail is to be forwarded to; of a contact, where it goes.
        forward_dn: The entry that mail goes on to (altRecipient).
        forward_keep: Whether the mailbox keeps a copy of what goes on.
        quota: Mailbox limit in bytes.
        title: Job title.
        department: Department.
        phone: Telephone number.
        name: A group's short name.
        members: Whom a group names, groups among them; see `directory.membership`.
        number: By which accounts name a group as their primary one (RID, gidNumber).
        primary_group: The number of an account's primary group.
        state: `active` or `disabled`.
        state_reason: Why it is disabled.
        expires_at: When the account ends (UTC); judged at login.
        created_at: When the entry was made (UTC).
    """

    directory_id: DirectoryId
    kind: EntryKind = EntryKind.ACCOUNT
    dn: str = ""
    login_names: tuple[str, ...] = ()
    upn: str | None = None
    principal: str | None = None
    display_name: str | None = None
    given_name: str | None = None
    surname: str | None = None
    primary_address: Address | None = None
    aliases: tuple[Address, ...] = ()
    forward: Address | None = None
    forward_dn: str | None = None
    forward_keep: bool = False
    quota: int | None = None
    title: str | None = None
    department: str | None = None
    phone: str | None = None
    name: str | None = None
    members: tuple[Reference, ...] = ()
    number: str | None = None
    primary_group: str | None = None
    state: AccountState = AccountState.ACTIVE
    state_reason: str | None = None
    expires_at: datetime | None = None
    created_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class KeptAddress:
    """An old primary address that goes on as an alias for a time (UTC)."""

    address: Address
    until: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """One account of the local user database.

    Attributes:
        number: The store's own key.
        domain: The mail domain that it belongs to.
        mailbox: The mailbox name; given once, changed by no sync. Groups and
            contacts have none: "".
        origin: Mapped from a directory, or local.
        role: User or admin.
        state: See `AccountState`.
        state_reason: Why it is not active.
        state_since: Since when it has this state (UTC).
        values: What the directory says, or an admin for a local account.
        kept: Old primary addresses that still reach it.
        source: Name of the directory within its domain, as its settings say it
            (`directory` where they say nothing).
        digest: `Entry.digest` of the octets that the values were mapped from; b""
            where the entry must be mapped again, though its octets are the same.
    """

    number: int
    domain: DomainName
    mailbox: str
    origin: Origin
    role: Role = Role.USER
    state: AccountState = AccountState.ACTIVE
    state_reason: str | None = None
    state_since: datetime
    values: AccountValues
    kept: tuple[KeptAddress, ...] = field(default=())
    source: str = "directory"
    digest: bytes = field(default=b"", repr=False)

    @property
    def kind(self) -> EntryKind:
        """Somebody who logs in, a group, or a contact."""
        return self.values.kind

    @property
    def canonical(self) -> str:
        """The name that every hook answers: `mailbox@domain`.

        Groups and contacts have no mailbox: theirs is for people only.
        """
        if self.kind is not EntryKind.ACCOUNT:
            shown = self.values.primary_address or self.values.name
            return shown or self.values.dn or self.values.directory_id
        return f"{self.mailbox}@{self.domain}"
