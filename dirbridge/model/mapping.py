"""What mapping an entry yields."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from dirbridge.model.account import AccountValues
from dirbridge.model.names import DirectoryId
from dirbridge.model.recipient import Contact, Forward, Group


@dataclass(frozen=True, slots=True)
class Rule:
    """Where a mapped value comes from.

    Attributes:
        attribute: The LDAP attribute, or `default` for the profile's default.
        transforms: The transforms that were applied, in order.
        raw: The undecoded values for people, shortened, never a secret.
    """

    attribute: str
    transforms: tuple[str, ...] = ()
    raw: tuple[str, ...] = ()


Provenance = Mapping[str, Rule]
"""Field name to the rule that won."""


@dataclass(frozen=True, slots=True)
class Mapped:
    """An entry that became an account's values.

    Attributes:
        values: The values.
        provenance: For each field that has a value, the rule that gave it.
        notes: Values that were dropped on the way and why, for people.
        primary_group: The number of its primary group; see `Group.number`.
        forward_dn: The entry that its mail goes on to.
        forward_keep: Whether its mailbox keeps a copy of that.
    """

    values: AccountValues
    provenance: Provenance
    notes: tuple[str, ...] = ()
    primary_group: str | None = None
    forward_dn: str | None = None
    forward_keep: bool = False

    @property
    def forward(self) -> Forward | None:
        """Where its mail goes on to, or None where it stays."""
        if self.values.forward is None and self.forward_dn is None:
            return None
        return Forward(self.values.forward, self.forward_dn, self.forward_keep)


@dataclass(frozen=True, slots=True)
class MappedGroup:
    """An entry that became a group's values; see `Mapped`."""

    values: Group
    provenance: Provenance
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class MappedContact:
    """An entry that became a contact's values; see `Mapped`."""

    values: Contact
    provenance: Provenance
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Unmapped:
    """An entry that could not be mapped; it blocks nothing else.

    Attributes:
        id: The entry's stable id.
        dn: Where it stands.
        field: The field that could not be filled.
        reason: Why, one sentence that ends with what to do next.
    """

    id: DirectoryId
    dn: str
    field: str
    reason: str
