"""What mapping an entry yields."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from dirbridge.model.account import AccountValues
from dirbridge.model.names import DirectoryId


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
"""Field name, as in the profile, to the rule that won."""


@dataclass(frozen=True, slots=True)
class Mapped:
    """An entry that became the values of an account, a group or a contact.

    Attributes:
        values: The values.
        digest: `Entry.digest` of the octets that they come from.
        notes: Values that were dropped on the way and why, for people.
    """

    values: AccountValues
    digest: bytes = field(default=b"", repr=False)
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


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """An entry that is no account of this mail domain, perhaps of another one.

    Attributes:
        id: The entry's stable id.
        dn: Where it stands.
        why: Why it is not of this domain, one sentence.
        goes_on: Whether it is an account of another domain here; else it has no
            address that says of which.
    """

    id: DirectoryId
    dn: str
    why: str
    goes_on: bool = False


MappingResult = Mapped | Unmapped | Elsewhere
"""What may become of an entry."""
