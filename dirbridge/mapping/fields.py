"""The fields that a profile can fill, and what each of them holds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """What a value is on its way from attribute to field."""

    OCTETS = "raw value"
    TEXT = "text"
    ADDRESS = "mail address"
    NUMBER = "number"
    TIME = "time"
    FLAG = "yes or no"
    REASON = "reason"


@dataclass(frozen=True, slots=True)
class Field:
    """One field of an account, a group or a contact.

    Attributes:
        kind: What its values are.
        many: Whether it can hold more than one.
        served_only: Whether only addresses in served domains may stand in it.
        told: Whether it is told that an address in another domain was left out.
    """

    kind: Kind = Kind.TEXT
    many: bool = False
    served_only: bool = False
    told: bool = True


ACCOUNT_FIELDS: Mapping[str, Field] = {
    "login_names": Field(many=True),
    "upn": Field(),
    "principal": Field(),
    "display_name": Field(),
    "given_name": Field(),
    "surname": Field(),
    "primary_address": Field(Kind.ADDRESS, served_only=True),
    "aliases": Field(Kind.ADDRESS, many=True, served_only=True),
    "forward": Field(Kind.ADDRESS),
    "forward_dn": Field(),
    "forward_keep": Field(Kind.FLAG),
    "quota": Field(Kind.NUMBER),
    "title": Field(),
    "department": Field(),
    "phone": Field(),
    "primary_group": Field(),
    # An account is disabled where a source of `state` yields a reason.
    "state": Field(Kind.REASON),
    "expires_at": Field(Kind.TIME),
    "created_at": Field(Kind.TIME),
}
"""`[account.FIELD]`."""

GROUP_FIELDS: Mapping[str, Field] = {
    "name": Field(),
    "display_name": Field(),
    "primary_address": Field(Kind.ADDRESS, served_only=True),
    "aliases": Field(Kind.ADDRESS, many=True, served_only=True),
    "members": Field(many=True),
    "member_names": Field(many=True),
    "member_ids": Field(many=True),
    "nested": Field(many=True),
    "number": Field(),
}
"""`[group.FIELD]`."""

CONTACT_FIELDS: Mapping[str, Field] = {
    "display_name": Field(),
    # Most contacts are elsewhere, and have no address here.
    "primary_address": Field(Kind.ADDRESS, served_only=True, told=False),
    "aliases": Field(Kind.ADDRESS, many=True, served_only=True, told=False),
    "target": Field(Kind.ADDRESS),
}
"""`[contact.FIELD]`."""

WITHDRAWN: Mapping[tuple[str, str], str] = {
    ("account", "groups"): "Who is in a group is read from the groups' own entries "
    "now: take the table out, and add group_filter and the [group] tables of a "
    "shipped mapping where yours has none.",
    ("group", "kind"): "Take the table out.",
}
"""Fields that there were once, and what to do about them."""
