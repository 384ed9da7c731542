"""What a group names its members by."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class By(StrEnum):
    """The ways to name a member.

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
