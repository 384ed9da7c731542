"""Groups and contacts: who gets mail without logging in, and who belongs to whom."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from dirbridge.model.names import Address, DirectoryId


class By(StrEnum):
    """What a group names a member by.

    Attributes:
        DN: The distinguished name (`member`).
        ID: The stable id (apple-group-memberguid, apple-group-nestedgroup).
        NAME: An account's login name (memberUid); never a group's.
    """

    DN = "dn"
    ID = "id"
    NAME = "name"


@dataclass(frozen=True, slots=True)
class Reference:
    """One member as a group names it.

    Attributes:
        by: What it is named by.
        value: The name as written.
    """

    by: By
    value: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """What the directory says of one group.

    Attributes:
        directory_id: The entry's stable id.
        dn: Where the entry stands now.
        name: Its short name.
        display_name: Its name for people.
        primary_address: The address that its mail goes to.
        aliases: Further addresses.
        members: Who belongs to it, as the entry names them; groups among them.
        number: By which accounts name it as their primary group: the RID
            (Active Directory) or gidNumber. That membership stands in no member.
        kind: What it is for and how far it reaches, for people.
    """

    directory_id: DirectoryId
    dn: str = ""
    name: str | None = None
    display_name: str | None = None
    primary_address: Address | None = None
    aliases: tuple[Address, ...] = ()
    members: tuple[Reference, ...] = ()
    number: str | None = None
    kind: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Contact:
    """What the directory says of somebody who gets mail elsewhere.

    Attributes:
        directory_id: The entry's stable id.
        dn: Where the entry stands now.
        display_name: Name for people.
        primary_address: The address that people here write to.
        aliases: Further addresses of that kind.
        target: Where the mail really goes; None where it is the primary address.
    """

    directory_id: DirectoryId
    dn: str = ""
    display_name: str | None = None
    primary_address: Address | None = None
    aliases: tuple[Address, ...] = ()
    target: Address | None = None


@dataclass(frozen=True, slots=True)
class Forward:
    """Where an account's mail goes on to.

    Attributes:
        address: The address, where the entry holds one (targetAddress).
        dn: The entry of the recipient, where it names one (altRecipient).
        keep: Whether the mailbox keeps a copy (deliverAndRedirect).
    """

    address: Address | None = None
    dn: str | None = None
    keep: bool = False
